"""A timestamping authority on this machine: openssl behind real HTTP, with certificates of its own.

openssl makes the timestamps, so that what we check was not made by the code that checks it.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
STAMPING = [ExtendedKeyUsageOID.TIME_STAMPING]
CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = {ess}
"""


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str,
    key: Key,
    issuer: tuple[x509.Certificate, Key] | None = None,
    *,
    ca: bool = False,
    usage: list[x509.ObjectIdentifier] | None = None,
    critical: bool = True,
    days: tuple[int, int] = (-1, 3650),
) -> x509.Certificate:
    """A certificate valid from the first to the second of `days`, counted from now."""
    now = datetime.now(UTC)
    public = key.public_key()
    above, signer = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(above.subject if above else name(subject))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True
        )
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm)


@dataclass
class LocalAuthority:
    """`own` signs timestamps and is issued by `middle`, which is issued by `root`."""

    folder: Path
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ess: str = "sha256"
    days: tuple[int, int] = (-1, 3650)
    asked: int = 0
    answer: bytes | None = None  # instead of a timestamp
    status: int = 200
    content_type: str = "application/timestamp-reply"
    url: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        above = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = certificate("Root", above[0], ca=True)
        self.middle = certificate("Middle", above[1], (self.root, above[0]), ca=True)
        self.own = certificate(
            "Stamps", self.key, (self.middle, above[1]), usage=STAMPING, days=self.days
        )
        self.middle_key = above[1]
        for each, made in {"own": self.own, "middle": self.middle, "root": self.root}.items():
            (self.folder / f"{each}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        (self.folder / "key.pem").write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (self.folder / "serial").write_text("01\n")
        (self.folder / "tsa.cnf").write_text(CONFIG.format(folder=self.folder, ess=self.ess))

    def reply(self, query: bytes, *, chain: bool = True) -> bytes:
        """Answer a TimeStampReq with a TimeStampResp."""
        (self.folder / "query").write_bytes(query)
        self._openssl(
            "ts -reply -config tsa.cnf -section here -queryfile query -inkey key.pem "
            f"-signer own.pem -out reply {'-chain middle.pem' if chain else ''}"
        )
        return (self.folder / "reply").read_bytes()

    def stamp(
        self, data: bytes, *, cert: bool = True, chain: bool = True, digest: str = "sha256"
    ) -> bytes:
        """Return a TimeStampResp over data, without asking over HTTP."""
        (self.folder / "data").write_bytes(data)
        self._openssl(f"ts -query -data data -{digest} {'-cert' if cert else ''} -out query")
        return self.reply((self.folder / "query").read_bytes(), chain=chain)

    def confirmed(self, response: bytes, data: bytes) -> bool:
        """Whether openssl, too, says that this is a timestamp of the data."""
        (self.folder / "data").write_bytes(data)
        (self.folder / "response").write_bytes(response)
        done = self._run(
            "ts -verify -data data -in response -CAfile root.pem -untrusted middle.pem"
        )
        return done.returncode == 0

    @contextmanager
    def served(self) -> Iterator[LocalAuthority]:
        """Serve it over HTTP on a port of this machine."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                authority.asked += 1
                query = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/timestamp-query"
                answer = authority.answer or authority.reply(query)
                self.send_response(authority.status)
                self.send_header("Content-Type", authority.content_type)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/stamp"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _openssl(self, command: str) -> None:
        done = self._run(command)
        assert done.returncode == 0, done.stderr.decode()

    def _run(self, command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["openssl", *command.split()], cwd=self.folder, capture_output=True, check=False
        )
