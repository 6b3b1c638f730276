"""What is given out is attested: by an authority and a witness, each a server of its own."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from api.workshop import attesters_of
from config.errors import ConfigError
from config.settings import load_settings
from retention.alerts import OpenAlert, open_alerts
from retention.ledger.attesting import Attesters
from retention.ledger.checkpoint import COSIGNATURE, Checkpoint, SignedCheckpoint, VerifierKey, sign
from retention.ledger.cosigning import RemoteWitness
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key, read_key
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.timestamps import Authority
from retention.ledger.verifier import Attested, Trust, export_header, verify_export
from retention.ledger.witness import Witness
from retention.ledger.witness_server import server_of
from retention.workshop import publish
from tenants.context import TenantId
from tests.timestamp_authority import LocalAuthority

from .conftest import Tenure

ORIGIN = "ledger.example/acme"
Rows = list[tuple[int, str, str, bytes]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAuthority]:
    with LocalAuthority(tmp_path_factory.mktemp("authority")).served() as served:
        yield served


@pytest.fixture
def key(tmp_path: Path) -> VerifierKey:
    return create_key(tmp_path / "ledger.key", ORIGIN).verifier_key


@pytest.fixture
def witness(tmp_path: Path, key: VerifierKey) -> Iterator[RemoteWitness]:
    (tmp_path / "seen").mkdir()
    signer = create_key(tmp_path / "witness.key", "witness.example", COSIGNATURE)
    server: ThreadingHTTPServer = server_of(
        Witness(tmp_path / "seen", (key,), signer), "127.0.0.1", 0
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield RemoteWitness(f"http://127.0.0.1:{server.server_address[1]}", signer.verifier_key)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ledger(
    lab: Any, tmp_path: Path, key: VerifierKey, authority: LocalAuthority, witness: RemoteWitness
) -> Ledger:
    (tmp_path / "checkpoints").mkdir()
    outside = Outside(ORIGIN, tmp_path / "ledger.key", Folder(tmp_path / "checkpoints"))
    attesters = Attesters(Authority(authority.url, authority.root), witness)
    return Ledger(lab.installation.retention, outside, "test", attesters=attesters)


def attestations(lab: Any) -> Rows:
    return [
        (size, kind, name, bytes(content))
        for size, kind, name, content in lab.sql(
            "SELECT size, kind, name, content FROM tenure.ledger_attestations ORDER BY size, kind"
        )
    ]


def warned(lab: Any) -> list[OpenAlert]:
    with lab.installation.auditor.transaction(None) as cursor:
        return open_alerts(cursor)


def enter(lab: Any) -> None:
    lab.sql("INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'a', 'r')")


def test_each_checkpoint_given_out_is_attested_once_and_verifies_from_the_file(
    lab: Any,
    acme: TenantId,
    ledger: Ledger,
    key: VerifierKey,
    authority: LocalAuthority,
    witness: RemoteWitness,
) -> None:
    sizes = []
    for _ in range(3):
        enter(lab)
        published = ledger.publish()
        assert published.not_attested == ()
        sizes.append(published.size)
    asked = authority.asked
    assert ledger.publish().not_attested == ()
    assert authority.asked == asked, "what is attested is not asked for again"
    kept = attestations(lab)
    assert [each[:3] for each in kept] == [
        (size, kind, name)
        for size in sizes
        for kind, name in (("cosignature", "witness.example"), ("timestamp", "CN=Root"))
    ]
    trust = Trust((key,), (witness.key,), (authority.root,))
    checkpoints = []
    for size in sizes:
        ((note,),) = lab.sql("SELECT note FROM tenure.ledger_checkpoints WHERE size = %s", (size,))
        line, stamp = (content for at, _, _, content in kept if at == size)
        checkpoints.append((note.encode() + line, [stamp]))
        Attested.verify(*checkpoints[-1], trust).require(trust)
    leaves = lab.sql(
        "SELECT leaf FROM tenure.ledger_entries WHERE position IS NOT NULL ORDER BY position"
    )
    lines = b"".join(bytes(leaf) + b"\n" for (leaf,) in leaves)
    export = verify_export(io.BytesIO(export_header(checkpoints) + lines), trust)
    assert len(export.last.times) == 2


def test_who_does_not_answer_is_warned_of_and_asked_again(
    lab: Any, acme: TenantId, ledger: Ledger, key: VerifierKey, authority: LocalAuthority
) -> None:
    """The ledger is signed and given out all the same: what others say comes on top."""
    stranger = LocalAuthority(authority.folder.parent / "stranger")
    broken = replace(
        ledger,
        attesters=Attesters(
            Authority(authority.url, stranger.root),
            RemoteWitness("http://127.0.0.1:1/", key),
        ),
    )
    enter(lab)
    published = publish(broken)
    assert published
    assert published.size
    assert attestations(lab) == []
    assert ledger.outside
    note = ledger.outside.folder.last()
    assert note
    assert SignedCheckpoint.verify(note, [key]).checkpoint.size == published.size
    (alert,) = warned(lab)
    assert "no timestamp" in alert.detail
    assert "no cosignature" in alert.detail
    # That it was warned of has entered since.
    again = publish(ledger)
    assert again
    assert again.size == published.size + 1
    assert [each[0] for each in attestations(lab)] == [again.size] * 2
    assert warned(lab) == []


def test_a_witness_that_saw_another_ledger_is_heard(
    lab: Any, acme: TenantId, ledger: Ledger, tmp_path: Path, key: VerifierKey
) -> None:
    enter(lab)
    assert ledger.publish().not_attested == ()
    (seen,) = (tmp_path / "seen").glob("*.checkpoint")
    signer = read_key(tmp_path / "ledger.key", ORIGIN)
    own = read_key(tmp_path / "witness.key", "witness.example", COSIGNATURE)
    other = Checkpoint(ORIGIN, 10_000, bytes(32))
    seen.write_bytes(sign(other, signer) + str(own.cosignature(other.text, 1)).encode())
    enter(lab)
    (problem,) = ledger.publish().not_attested
    assert "has seen 10000 entries" in problem


def test_settings_that_are_half_of_something_are_refused(
    tmp_path: Path, authority: LocalAuthority, key: VerifierKey, witness: RemoteWitness
) -> None:
    certificate = tmp_path / "root.pem"
    certificate.write_bytes(authority.root.public_bytes(Encoding.PEM))

    def attesters(**env: str) -> Attesters:
        return attesters_of(load_settings({f"TENURE_{k}": v for k, v in env.items()}, None))

    assert attesters() == Attesters()
    whole = {
        "TIMESTAMP_URL": "https://tsa.example/secret",
        "TIMESTAMP_CERTIFICATE": str(certificate),
        "WITNESS_URL": "https://witness.example/secret",
        "WITNESS_KEY": str(witness.key),
    }
    found = attesters(**whole)
    assert found.authority
    assert found.witness
    assert found.authority.certificate == authority.root
    assert "secret" not in repr(found)
    for missing in whole:
        with pytest.raises(ConfigError, match="belong together"):
            attesters(**{name: value for name, value in whole.items() if name != missing})
    with pytest.raises(ConfigError, match="no witness's"):
        attesters(**{**whole, "WITNESS_KEY": str(key)})
    with pytest.raises(ConfigError, match="no public key"):
        attesters(**{**whole, "WITNESS_KEY": str(witness.key).replace("witness.", "other.")})
    certificate.write_text("nothing")
    with pytest.raises(ConfigError, match="no certificate"):
        attesters(**whole)


def test_a_witness_is_run_by_command_and_the_ledger_cosigned_by_it(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    authority: LocalAuthority,
    tmp_path: Path,
) -> None:
    make_tenant("acme")
    for folder in ("checkpoints", "seen"):
        (tmp_path / folder).mkdir()
    env = {
        "TENURE_LEDGER_ORIGIN": ORIGIN,
        "TENURE_LEDGER_KEY_FILE": str(tmp_path / "ledger.key"),
        "TENURE_LEDGER_DIR": str(tmp_path / "checkpoints"),
    }
    log = tenure("ledger", "keys", "new", env=env).stdout.strip()
    own = ("--name", "witness.example", "--key", str(tmp_path / "witness.key"))
    made = tenure("ledger", "witness", "new-key", *own, "--format", "json")
    key = VerifierKey.parse(json.loads(made.stdout)["key"])
    assert key.kind == COSIGNATURE
    assert tenure("ledger", "witness", "new-key", *own).exit_code == 2, "never written over"
    ledgers = str(tmp_path / "ledger.key")
    serve = ("ledger", "witness", "serve", "--folder", str(tmp_path / "seen"), "--log", log)
    assert tenure(*serve, "--key", ledgers).exit_code == 2
    child = subprocess.Popen(
        [Path(sys.executable).with_name("tenure"), *serve, "--key", own[3], "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TENURE_")},
    )
    try:
        assert child.stderr
        said = child.stderr.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert port, said
        env |= {
            "TENURE_WITNESS_URL": f"http://127.0.0.1:{port[1]}",
            "TENURE_WITNESS_KEY": str(key),
        }
        published = tenure("ledger", "publish", "--format", "json", env=env)
        assert published.exit_code == 0, published.stderr
        assert json.loads(published.stdout)["not_attested"] == []
        status = json.loads(tenure("ledger", "status", "--format", "json", env=env).stdout)
        assert status["checkpoint"]["attestations"] == 1
        verified = ("ledger", "verify", "--export", "given.jsonl", "--require-witness")
        assert tenure("ledger", "export", "--output", "given.jsonl", env=env).exit_code == 0
        assert tenure(*verified, str(key), env=env).exit_code == 0
        another = create_key(tmp_path / "other.key", "other.example", COSIGNATURE).verifier_key
        unseen = tenure(*verified, str(another), env=env)
        assert unseen.exit_code == 1
        assert "NOT VERIFIED" in unseen.stdout
        (tmp_path / "tsa.pem").write_bytes(authority.root.public_bytes(Encoding.PEM))
        stamped = (*verified[:-1], "--require-timestamp")
        assert tenure(*stamped, "tsa.pem", env=env).exit_code == 1
        for wrong in ((*stamped, "given.jsonl"), (*verified, "no key"), (*verified, log)):
            assert tenure(*wrong, env=env).exit_code == 2
        assert tenure("ledger", "verify", verified[-1], str(key), env=env).exit_code == 2
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=10)
    assert child.returncode == 0
    published = tenure("ledger", "publish", env=env)
    assert published.exit_code == 0, "nothing new is nothing to attest"
