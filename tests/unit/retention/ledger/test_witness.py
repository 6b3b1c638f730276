"""A witness over real HTTP: what it cosigns, what it never does, and how the log asks it."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from retention.errors import AttestationError, WitnessError
from retention.ledger.checkpoint import (
    COSIGNATURE,
    Checkpoint,
    SignedCheckpoint,
    add_signatures,
    sign,
)
from retention.ledger.cosigning import RemoteWitness
from retention.ledger.verifier import EMPTY_ROOT, VerifierError
from retention.ledger.witness import MOST_BODY, SIZE, Request, Witness
from retention.ledger.witness_server import server_of
from tests.unit.retention.ledger.ledgers import (
    LOG,
    NEW,
    ORIGIN,
    WITNESS,
    Ledger,
    checkpoint_of,
    entry,
    keys,
    ledger,
    signer,
)

WHOLE = ledger(20, 3, 8, 12)
TIME = 1_800_000_000


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path, keys(LOG), WITNESS, lambda: TIME + 0.9)


def request(old: int, new: int, whole: Ledger = WHOLE) -> bytes:
    return bytes(Request(old, tuple(whole.consistency(old, new)), whole.note(new)))


def test_what_continues_is_cosigned_step_by_step(witness: Witness) -> None:
    for old, new in ((0, 3), (3, 3), (3, 8), (8, 20)):
        reply = witness.add_checkpoint(request(old, new))
        assert (reply.status, reply.body[:4]) == (200, "— ".encode())
        note = WHOLE.note(new) + reply.body
        found = SignedCheckpoint.verify(note, keys(LOG, WITNESS))
        assert found.cosigned_by == ((WITNESS.verifier_key, TIME),)
        kept = witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
        assert kept == note


def test_another_size_than_the_last_is_answered_with_the_last(witness: Witness) -> None:
    assert witness.add_checkpoint(request(3, 8)).status == 409
    assert witness.add_checkpoint(request(0, 8)).status == 200
    for old, new in ((0, 20), (3, 20), (12, 20)):
        reply = witness.add_checkpoint(request(old, new))
        assert (reply.status, reply.body, reply.content_type) == (409, b"8\n", SIZE)


REBUILT = WHOLE.with_leaves([entry(i + 50) for i in range(20)])
FORKED = WHOLE.with_leaves([*WHOLE.leaves[:7], *REBUILT.leaves[7:]])


@pytest.mark.parametrize("other", [REBUILT, FORKED])
def test_a_ledger_written_anew_is_not_cosigned(witness: Witness, other: Ledger) -> None:
    """Signed by the ledger's own key, with whatever proof it likes."""
    witness.add_checkpoint(request(0, 8))
    kept = witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
    for size in (8, 12, 20):
        for path in (other.consistency(8, size), WHOLE.consistency(8, size), []):
            body = bytes(Request(8, tuple(path), other.note(size)))
            assert witness.add_checkpoint(body).status == 422
    assert witness.add_checkpoint(request(3, 3, other)).status == 409
    assert witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest()) == kept


def test_a_smaller_checkpoint_is_not_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 8))
    assert witness.add_checkpoint(bytes(Request(8, (), WHOLE.note(3)))).status == 400


EMPTY = sign(Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG)
WRONG_EMPTY = EMPTY.replace(b"47DEQpj8HBSa", b"47DEQpj8HBSb")
STRANGER = signer(9, "stranger.example/ledger")
STRANGE = replace(checkpoint_of(WHOLE.leaves, 8), origin=STRANGER.name)
ANSWERS = {
    "nothing": (b"", 400),
    "no size": (request(0, 8).replace(b"old 0\n", b""), 400),
    "a size with a zero before": (request(0, 8).replace(b"old 0", b"old 00"), 400),
    "no empty line": (request(0, 8).replace(b"\n\n", b"\n", 1), 400),
    "no note": (b"old 0\n\nnote", 400),
    "no checkpoint": (b"old 0\n\n" + WHOLE.note(8).replace(b"8\n", b"x\n", 1), 400),
    "hashes that are none": (b"old 8\nAAAA\n\n" + WHOLE.note(8), 422),
    "base64 that is none": (b"old 8\n!\n\n" + WHOLE.note(8), 400),
    "sixty-four hashes": (b"old 8\n" + b"AAAA\n" * 64 + b"\n" + WHOLE.note(12), 400),
    "bytes that are not UTF-8": (b"old 8\n\xff\n\n" + WHOLE.note(8), 400),
    "an unknown ledger": (b"old 8\n\n" + sign(STRANGE, STRANGER), 404),
    "another's key": (b"old 8\n\n" + replace(WHOLE, signers=(NEW,)).note(8), 403),
    "a wrong signature": (b"old 8\n\n" + WHOLE.note(8)[:-10] + WHOLE.note(12)[-10:], 403),
    "a proof from nothing": (request(8, 12).replace(b"old 8", b"old 0"), 409),
    "an empty ledger that is none": (b"old 0\n\n" + WRONG_EMPTY, 422),
    "smaller than its old size": (b"old 8\n\n" + EMPTY, 400),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
def test_each_wrong_request_has_the_standards_answer(what: str, witness: Witness) -> None:
    witness.add_checkpoint(request(0, 8))
    body, status = ANSWERS[what]
    assert witness.add_checkpoint(body).status == status


def test_a_proof_where_none_belongs_is_refused(witness: Witness) -> None:
    body = bytes(Request(0, (bytes(32),), WHOLE.note(8)))
    assert witness.add_checkpoint(body).status == 422


def test_the_empty_ledger_is_cosigned_and_what_comes_after(witness: Witness) -> None:
    assert witness.add_checkpoint(b"old 0\n\n" + EMPTY).status == 200
    assert witness.add_checkpoint(request(0, 8)).status == 200


def test_others_signatures_are_not_handed_on(witness: Witness) -> None:
    note = add_signatures(WHOLE.note(8), [STRANGER.signature(b"whatever")])
    assert witness.add_checkpoint(b"old 0\n\n" + note).status == 200
    kept = witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert kept is not None
    assert b"stranger" not in kept


def test_both_keys_of_a_ledger_that_changes_them_count(tmp_path: Path) -> None:
    both = Witness(tmp_path, keys(LOG, NEW), WITNESS)
    for old, new, signers in ((0, 3, (LOG,)), (3, 8, (LOG, NEW)), (8, 12, (NEW,))):
        assert both.add_checkpoint(request(old, new, replace(WHOLE, signers=signers))).status == 200


def test_ledgers_are_watched_apart(tmp_path: Path) -> None:
    both = Witness(tmp_path, keys(LOG, STRANGER), WITNESS)
    assert both.add_checkpoint(request(0, 8)).status == 200
    assert both.add_checkpoint(b"old 0\n\n" + sign(STRANGE, STRANGER)).status == 200
    assert both.add_checkpoint(request(8, 12)).status == 200


def test_what_was_cosigned_outlives_the_process_and_a_damaged_file_is_no_new_beginning(
    tmp_path: Path,
) -> None:
    Witness(tmp_path, keys(LOG), WITNESS).add_checkpoint(request(0, 8))
    again = Witness(tmp_path, keys(LOG), WITNESS)
    assert again.add_checkpoint(request(0, 12)).body == b"8\n"
    (path,) = tmp_path.glob("*.checkpoint")
    good = path.read_bytes()
    others_own = replace(signer(4, WITNESS.name), kind=COSIGNATURE)
    text = checkpoint_of(WHOLE.leaves, 3).text
    by_another = str(others_own.cosignature(text, 1)).encode()
    for damaged in (
        b"",
        good[:-1],
        WHOLE.note(8),
        good.replace(b"\n8\n", b"\n3\n"),
        WHOLE.note(3) + by_another,
    ):
        path.write_bytes(damaged)
        with pytest.raises(WitnessError):
            again.add_checkpoint(request(0, 12))
    path.write_bytes(good)
    assert again.add_checkpoint(request(8, 12)).status == 200
    with pytest.raises(WitnessError):
        Witness(tmp_path / "missing", keys(LOG), WITNESS).add_checkpoint(request(0, 8))


def test_two_that_ask_at_once_do_not_roll_each_other_back(tmp_path: Path) -> None:
    """Of all that ask to continue the same size, one is cosigned; the last kept is the largest."""
    whole = ledger(64)
    answers: list[int] = []

    def ask(size: int) -> None:
        own = Witness(tmp_path, keys(LOG), WITNESS)
        answers.append(own.add_checkpoint(request(0, size, whole)).status)

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 33)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [200] + [409] * 31


def test_a_witness_is_told_its_ledgers_and_has_a_key_for_cosigning(tmp_path: Path) -> None:
    with pytest.raises(WitnessError):
        Witness(tmp_path, (), WITNESS)
    with pytest.raises(WitnessError):
        Witness(tmp_path, keys(LOG), LOG)
    with pytest.raises(WitnessError):
        Witness(tmp_path, keys(WITNESS), WITNESS)


# --- Over HTTP


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def url(witness: Witness) -> Iterator[str]:
    with running(server_of(witness, "127.0.0.1", 0)) as found:
        yield found


@dataclass
class Asked:
    status: int
    body: bytes
    content_type: str | None


def ask(url: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Asked:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Asked(response.status, response.read(), response.getheader("Content-Type"))
    finally:
        connection.close()


def test_the_log_asks_and_takes_in_the_cosignature(url: str) -> None:
    remote = RemoteWitness(url + "/", WITNESS.verifier_key)
    line = remote.cosign(WHOLE.note(8), keys(LOG), 0, WHOLE.consistency)
    note = add_signatures(WHOLE.note(8), [line])
    assert SignedCheckpoint.verify(note, keys(LOG, WITNESS)).cosigned_by
    # It does not know what the witness has seen, and is told.
    for seen in (0, 3, 12, 20):
        line = remote.cosign(WHOLE.note(20), keys(LOG), seen, WHOLE.consistency)
        note = add_signatures(WHOLE.note(20), [line])
        assert SignedCheckpoint.verify(note, keys(LOG, WITNESS)).cosigned_by


def test_the_log_hears_that_its_ledger_was_written_anew(url: str) -> None:
    remote = RemoteWitness(url, WITNESS.verifier_key)
    remote.cosign(WHOLE.note(12), keys(LOG), 0, WHOLE.consistency)
    with pytest.raises(AttestationError, match="422"):
        remote.cosign(FORKED.note(20), keys(LOG), 12, FORKED.consistency)
    with pytest.raises(AttestationError, match="has seen 12 entries, and the checkpoint has 8"):
        remote.cosign(WHOLE.note(8), keys(LOG), 0, WHOLE.consistency)
    stranger = replace(WHOLE, signers=(NEW,))
    with pytest.raises(AttestationError, match="403"):
        remote.cosign(stranger.note(20), keys(NEW), 12, stranger.consistency)


def test_an_answer_that_is_not_the_witnesss_is_not_taken_in() -> None:
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_args: object) -> None:
            pass

    other = replace(signer(4, WITNESS.name), kind=COSIGNATURE)
    text = checkpoint_of(WHOLE.leaves, 8).text
    right = WITNESS.cosignature(text, TIME)
    wrong = (
        b"",
        str(other.cosignature(text, TIME)).encode(),
        str(WITNESS.cosignature(checkpoint_of(WHOLE.leaves, 3).text, TIME)).encode(),
        str(right).encode()[:-1],
        str(right).encode() * 2,
        b"<html>\n",
        b"\xff\n",
    )
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        remote = RemoteWitness(url, WITNESS.verifier_key)
        for each in wrong:
            answers.append(each)
            with pytest.raises(AttestationError):
                remote.cosign(WHOLE.note(8), keys(LOG), 0, WHOLE.consistency)
        answers.append(str(other.cosignature(text, TIME)).encode() + str(right).encode())
        assert remote.cosign(WHOLE.note(8), keys(LOG), 0, WHOLE.consistency) == right


def test_the_last_checkpoint_can_be_had_by_everybody(url: str) -> None:
    path = f"/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
    assert ask(url, "GET", path).status == 404
    assert ask(url, "POST", "/add-checkpoint", request(0, 8)).status == 200
    found = ask(url, "GET", path)
    assert found.status == 200
    assert SignedCheckpoint.verify(found.body, keys(LOG, WITNESS)).checkpoint.size == 8
    for other in ("/", "/../x/checkpoint", path.upper(), f"{path}/", "/add-checkpoint"):
        assert ask(url, "GET", other).status == 404


def test_what_is_no_request_is_refused_without_reading_on(url: str, tmp_path: Path) -> None:
    assert ask(url, "POST", "/elsewhere", request(0, 8)).status == 404
    assert ask(url, "PUT", "/add-checkpoint", b"").status == 501
    too_long = {"Content-Length": str(MOST_BODY + 1)}
    assert ask(url, "POST", "/add-checkpoint", None, **too_long).status == 413
    for length in ("-1", "x", "1_0"):
        assert ask(url, "POST", "/add-checkpoint", None, **{"Content-Length": length}).status == 411
    chunked = {"Transfer-Encoding": "chunked"}
    assert ask(url, "POST", "/add-checkpoint", b"0\r\n\r\n", **chunked).status == 411
    # And it still answers.
    assert ask(url, "POST", "/add-checkpoint", request(0, 8)).status == 200


def test_a_damaged_folder_is_an_error_of_the_servers_that_says_no_path(
    url: str, witness: Witness
) -> None:
    assert ask(url, "POST", "/add-checkpoint", request(0, 8)).status == 200
    (path,) = witness.folder.glob("*.checkpoint")
    path.write_bytes(b"damaged")
    found = ask(url, "POST", "/add-checkpoint", request(8, 12))
    assert found.status == 500
    assert str(witness.folder).encode() not in found.body
    assert ask(url, "GET", f"/{path.stem}/checkpoint").status == 500


def test_verifier_errors_are_what_a_request_can_cause(witness: Witness) -> None:
    """Whatever the bits, a witness answers; and cosigns nothing but what was asked in full."""
    body = request(0, 8)
    for at in range(0, len(body), 3):
        for bit in range(8):
            flipped = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
            try:
                status = witness.add_checkpoint(flipped).status
            except VerifierError:
                pytest.fail(f"byte {at}, bit {bit}")
            assert status != 200, (at, bit)
