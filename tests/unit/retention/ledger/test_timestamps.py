"""Timestamps: made by openssl and verified here; made by hand and refused here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from retention.errors import AttestationError
from retention.ledger.timestamps import Authority
from retention.ledger.verifier import Checkpoint, Timestamp, TimestampError
from tests.timestamp_authority import STAMPING, Key, LocalAuthority, certificate
from tests.unit.retention.ledger import forging
from tests.unit.retention.ledger.forging import Forged, attribute, der, integer

TEXT = Checkpoint("tenure.example/ledger", 12, bytes(range(32))).text
DATA = TEXT.encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    return LocalAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def forged(authority: LocalAuthority) -> Forged:
    own = authority.own
    return Forged(TEXT, own, forging.as_ec(authority.key), (own, authority.middle))


@pytest.fixture
def served(authority: LocalAuthority) -> Iterator[LocalAuthority]:
    authority.answer, authority.status = None, 200
    authority.content_type = "application/timestamp-reply"
    with authority.served():
        yield authority


def refused(response: bytes, anchor: x509.Certificate, text: str = TEXT) -> str:
    with pytest.raises(TimestampError) as raised:
        Timestamp.verify(response, text, anchor)
    return str(raised.value)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("ess", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_what_openssl_stamps_verifies_under_each_authority_above(
    kind: str, ess: str, digest: str, tmp_path: Path
) -> None:
    key: Key
    if kind == "RSA":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1() if kind == "P-256" else ec.SECP384R1())
    authority = LocalAuthority(tmp_path / "tsa", key, ess)
    response = authority.stamp(DATA, digest=digest)
    for anchor in (authority.own, authority.middle, authority.root):
        found = Timestamp.verify(response, TEXT, anchor)
        assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=1)
        assert found.authority == "CN=Stamps"
    assert authority.confirmed(response, DATA)
    # Others read the same (but not where certificates stand in openssl's order).
    response = authority.stamp(DATA, digest=digest, chain=False)
    found = Timestamp.verify(response, TEXT, authority.own)
    parsed = rfc3161_client.decode_timestamp_response(response)
    assert parsed.tst_info.gen_time == found.time
    assert parsed.tst_info.nonce == found.nonce


def test_a_timestamp_of_another_checkpoint_is_refused(authority: LocalAuthority) -> None:
    response = authority.stamp(DATA)
    other = Checkpoint("tenure.example/ledger", 12, bytes(32)).text
    assert "something else" in refused(response, authority.own, other)
    assert "something else" in refused(response, authority.root, TEXT[:-1])


def test_without_its_certificate_only_the_authority_itself_will_do(
    authority: LocalAuthority,
) -> None:
    response = authority.stamp(DATA, cert=False)
    Timestamp.verify(response, TEXT, authority.own)
    for anchor in (authority.middle, authority.root):
        assert "missing" in refused(response, anchor)


def test_a_stranger_of_the_same_names_is_refused(authority: LocalAuthority, tmp_path: Path) -> None:
    stranger = LocalAuthority(tmp_path / "stranger")
    response = stranger.stamp(DATA)
    for anchor in (authority.own, authority.middle, authority.root):
        assert refused(response, anchor)
    for anchor in (stranger.own, stranger.middle, stranger.root):
        assert refused(authority.stamp(DATA), anchor)


def test_one_made_by_hand_verifies_so_that_what_follows_fails_for_its_own_reason(
    authority: LocalAuthority, forged: Forged
) -> None:
    for anchor in (authority.own, authority.middle, authority.root):
        assert Timestamp.verify(bytes(forged), TEXT, anchor).nonce is None
    assert authority.confirmed(bytes(forged), DATA)


OTHER = certificate("Other", forging.key())
WRONG: dict[str, tuple[dict[str, object], str]] = {
    "not granted": ({"status": der(0x30, integer(2))}, "did not grant"),
    "granted with changes": ({"status": der(0x30, integer(1))}, "did not grant"),
    "granted, with a text that nobody signed": (
        {"status": der(0x30, integer(0), der(0x30, der(0x0C, b"all is well")))},
        "did not grant",
    ),
    "another version": ({"version": 1}, "belongs"),
    "another version inside": ({"info_version": 2}, "belongs"),
    "a weak hash": ({"imprint_algorithm": forging.SHA1, "imprint": bytes(20)}, "not known"),
    "another imprint": ({"imprint": bytes(32)}, "something else"),
    "a short imprint": ({"imprint": bytes(31)}, "something else"),
    "a time that is none": ({"gen_time": "20261399000000Z"}, "not a timestamp"),
    "a local time": ({"gen_time": "20261130000000+0100"}, "not a time"),
    "a time with an empty fraction": ({"gen_time": "20261130000000.0Z"}, "not a time"),
    "a time before the certificate": ({"gen_time": "20200101000000Z"}, "not valid"),
    "a time after the certificate": ({"gen_time": "20990101000000Z"}, "not valid"),
    "an extension": ({"extensions": der(0xA1, der(0x30))}, "extensions"),
    "something after": ({"extensions": der(0x05)}, "more than belongs"),
    "other content": ({"content_type": forging.DATA}, "belongs"),
    "signed as other content": ({"signed_type": forging.DATA}, "belongs"),
    "another digest": ({"digest": bytes(32)}, "something else"),
    "no attributes": ({"attributes": ()}, "missing"),
    "an attribute twice": (
        {"extra_attributes": (attribute(forging.CONTENT_TYPE, der(6, forging.TST_INFO)),)},
        "twice",
    ),
    "an attribute of two values": (
        {"extra_attributes": (attribute(b"\x2a\x03", der(6, forging.DATA), der(6, forging.DATA)),)},
        "more than belongs",
    ),
    "an attribute of no value": ({"extra_attributes": (attribute(b"\x2a\x03"),)}, ""),
    "names another certificate": ({"named": OTHER}, "another certificate"),
    "another certificate's issuer": ({"issuer": OTHER.issuer}, "missing"),
    "signed by another key": ({"key": forging.key()}, "signature is wrong"),
    "another hash announced": ({"digest_algorithm": forging.SHA1}, "belongs"),
    "an unknown signature": ({"signature_algorithm": b"\x2b\x65\x70"}, "not known"),
    "nobody signed": ({"signers": 0}, ""),
    "signed twice": ({"signers": 2}, "more than belongs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_part_that_is_wrong_is_refused(
    what: str, authority: LocalAuthority, forged: Forged
) -> None:
    changes, why = WRONG[what]
    response = bytes(dataclasses.replace(forged, **changes))  # type: ignore[arg-type]  # any field
    for anchor in (authority.own, authority.root):
        assert why in refused(response, anchor)


CERTIFICATES: dict[str, dict[str, object]] = {
    "for nothing": {"usage": None},
    "for servers": {"usage": [ExtendedKeyUsageOID.SERVER_AUTH]},
    "for timestamps and more": {"usage": [*STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]},
    "for timestamps, perhaps": {"usage": STAMPING, "critical": False},
    "not valid any more": {"usage": STAMPING, "days": (-20, -10)},
    "not valid yet": {"usage": STAMPING, "days": (10, 20)},
}


@pytest.mark.parametrize("what", CERTIFICATES)
def test_a_certificate_that_is_not_one_for_timestamps_is_refused(
    what: str, authority: LocalAuthority, forged: Forged
) -> None:
    key = forging.key()
    issuer = (authority.middle, authority.middle_key)
    own = certificate("Stamps", key, issuer, **CERTIFICATES[what])  # type: ignore[arg-type]
    response = bytes(
        dataclasses.replace(forged, certificate=own, key=key, bag=(own, authority.middle))
    )
    for anchor in (own, authority.middle, authority.root):
        assert refused(response, anchor)


def test_a_certificate_issued_by_one_that_issues_none_is_refused(
    authority: LocalAuthority, forged: Forged
) -> None:
    """Who can stamp cannot make others that can."""
    key = forging.key()
    made = certificate("Stamps too", key, (authority.own, authority.key), usage=STAMPING)
    bag = (made, authority.own, authority.middle)
    response = bytes(dataclasses.replace(forged, certificate=made, key=key, bag=bag))
    Timestamp.verify(response, TEXT, made)
    for anchor in (authority.own, authority.middle, authority.root):
        assert "not under the authority" in refused(response, anchor)


def test_der_that_is_not_der_is_refused(authority: LocalAuthority, forged: Forged) -> None:
    response = bytes(forged)
    long_form = response.replace(integer(3) + der(0x31), b"", 0)  # as it is
    assert long_form == response
    assert response[:2] == b"\x30\x82"
    longer = b"\x30\x83\x00" + response[2:]
    indefinite = b"\x30\x80" + response[4:] + b"\x00\x00"
    for each in (b"", response[:-1], response + b"\x00", longer, indefinite, b"\x30", b"\x30\x84"):
        refused(each, authority.own)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_bit_of_a_timestamp_can_be_flipped(authority: LocalAuthority) -> None:
    """But in certificates that are not needed: those of authorities that were given anyway."""
    response = authority.stamp(DATA)
    expected = Timestamp.verify(response, TEXT, authority.own)
    own = response.index(authority.own.public_bytes(forging.Encoding.DER))
    start = min(own, response.index(authority.middle.public_bytes(forging.Encoding.DER)))
    # With the head of what they stand in, which could also be that of revocation lists.
    bag = range(start - 4, start + len(authority.own.public_bytes(forging.Encoding.DER)) * 2 + 40)
    accepted = 0
    for at in range(len(response)):
        for bit in range(8):
            flipped = response[:at] + bytes([response[at] ^ 1 << bit]) + response[at + 1 :]
            for anchor in (authority.own, authority.root):
                try:
                    found = Timestamp.verify(flipped, TEXT, anchor)
                except TimestampError:
                    continue
                accepted += 1
                assert found == expected
                assert at in bag, f"byte {at}, bit {bit}"
    assert accepted  # the middle certificate, where its own was given


def test_an_authority_is_asked_over_http_and_its_answer_checked(served: LocalAuthority) -> None:
    response = Authority(served.url, served.root).stamp(TEXT)
    assert Timestamp.verify(response, TEXT, served.root).nonce is not None
    assert served.confirmed(response, DATA)


def test_an_old_answer_is_not_taken_for_a_new_one(served: LocalAuthority) -> None:
    served.answer = Authority(served.url, served.root).stamp(TEXT)
    with pytest.raises(AttestationError, match="nonce"):
        Authority(served.url, served.root).stamp(TEXT)


def test_what_an_authority_can_do_wrong_is_an_error_that_names_no_address(
    served: LocalAuthority, tmp_path: Path
) -> None:
    ours = Authority(served.url + "?secret=1", served.root)
    stranger = LocalAuthority(tmp_path / "stranger")
    with pytest.raises(AttestationError, match="does not verify") as raised:
        Authority(served.url, stranger.root).stamp(TEXT)
    served.answer = served.stamp(b"something else")
    with pytest.raises(AttestationError, match="something else"):
        ours.stamp(TEXT)
    served.answer = b"x" * 70_000
    with pytest.raises(AttestationError, match="more than 65536"):
        ours.stamp(TEXT)
    served.answer, served.status = b"no", 500
    with pytest.raises(AttestationError, match="500"):
        ours.stamp(TEXT)
    served.answer, served.status, served.content_type = b"<html>", 200, "text/html"
    with pytest.raises(AttestationError, match="text/html"):
        ours.stamp(TEXT)
    for url in ("http://127.0.0.1:1/secret", "ftp://127.0.0.1/secret", "http:///secret"):
        with pytest.raises(AttestationError) as raised:
            Authority(url, served.root).stamp(TEXT)
        assert "secret" not in str(raised.value)
    assert "secret" not in repr(ours)
