"""Timestamps made by hand, so that each of their parts can be wrong and all else right."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

SHA256 = bytes.fromhex("608648016503040201")
SHA1 = bytes.fromhex("2b0e03021a")
ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
DATA = bytes.fromhex("2a864886f70d010701")
TST_INFO = bytes.fromhex("2a864886f70d0109100104")
CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def algorithm(oid: bytes) -> bytes:
    return der(0x30, der(6, oid))


def attribute(oid: bytes, *values: bytes) -> bytes:
    return der(0x30, der(6, oid), der(0x31, *values))


@dataclass
class Forged:
    """A TimeStampResp by `certificate` and `key`; change a part, and the rest stays right."""

    text: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    bag: tuple[x509.Certificate, ...]
    status: bytes = der(0x30, integer(0))
    version: int = 3
    info_version: int = 1
    imprint_algorithm: bytes = SHA256
    imprint: bytes | None = None
    gen_time: str = ""
    extensions: bytes = b""
    content_type: bytes = TST_INFO
    attributes: tuple[bytes, ...] | None = None
    extra_attributes: tuple[bytes, ...] = ()
    signed_type: bytes = TST_INFO
    digest: bytes | None = None
    named: x509.Certificate | None = None
    digest_algorithm: bytes = SHA256
    signature_algorithm: bytes = ECDSA_SHA256
    signers: int = 1
    issuer: x509.Name | None = None

    def info(self) -> bytes:
        imprint = self.imprint or hashlib.sha256(self.text.encode()).digest()
        now = self.gen_time or datetime.now(UTC).strftime("%Y%m%d%H%M%SZ")
        return der(
            0x30,
            integer(self.info_version),
            der(6, bytes.fromhex("2b0601")),
            der(0x30, algorithm(self.imprint_algorithm), der(4, imprint)),
            integer(7),
            der(0x18, now.encode()),
            self.extensions,
        )

    def signed(self, info: bytes) -> bytes:
        """The signed attributes, as a set."""
        named = (self.named or self.certificate).fingerprint(hashes.SHA256())
        usual = (
            attribute(CONTENT_TYPE, der(6, self.signed_type)),
            attribute(MESSAGE_DIGEST, der(4, self.digest or hashlib.sha256(info).digest())),
            attribute(SIGNING_CERTIFICATE_V2, der(0x30, der(0x30, der(0x30, der(4, named))))),
        )
        chosen = usual if self.attributes is None else self.attributes
        return der(0x31, *sorted((*chosen, *self.extra_attributes)))

    def __bytes__(self) -> bytes:
        info = self.info()
        attributes = self.signed(info)
        issuer = self.issuer or self.certificate.issuer
        signer = der(
            0x30,
            integer(1),
            der(0x30, issuer.public_bytes(), integer(self.certificate.serial_number)),
            algorithm(SHA256),
            b"\xa0" + attributes[1:],
            algorithm(self.signature_algorithm),
            der(4, self.key.sign(attributes, ec.ECDSA(hashes.SHA256()))),
        )
        bag = [each.public_bytes(Encoding.DER) for each in self.bag]
        signed_data = der(
            0x30,
            integer(self.version),
            der(0x31, algorithm(self.digest_algorithm)),
            der(0x30, der(6, self.content_type), der(0xA0, der(4, info))),
            der(0xA0, *bag),
            der(0x31, *[signer] * self.signers),
        )
        token = der(0x30, der(6, SIGNED_DATA), der(0xA0, signed_data))
        return der(0x30, self.status, token)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def as_ec(private: object) -> ec.EllipticCurvePrivateKey:
    return cast(ec.EllipticCurvePrivateKey, private)


def nonsense() -> bytes:
    return os.urandom(32)
