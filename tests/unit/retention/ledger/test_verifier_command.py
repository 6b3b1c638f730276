"""The verifier on its own: copied into an empty folder, run as somebody else would run it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cryptography
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import retention.ledger.verifier as module
from tests.timestamp_authority import LocalAuthority
from tests.unit.retention.ledger.ledgers import (
    LOG,
    NEW,
    WITNESS,
    checkpoint_of,
    entry,
    ledger,
    signer,
)

KEY = str(LOG.verifier_key)
WHOLE = ledger(12, 5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module, and one with what of other libraries it may import."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(module.__file__, folder / "verifier.py")
    allowed = folder / "allowed"
    allowed.mkdir()
    installed = Path(cryptography.__file__).parent.parent
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        for found in installed.glob(f"{name}*"):
            if found.suffix != ".dist-info":
                (allowed / found.name).symlink_to(found)
    return folder


class Outcome:
    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self) -> str:
        return f"{self.code}\n{self.out}\n{self.err}"


def run(folder: Path, *arguments: str) -> Outcome:
    """Run the copy with nothing but the standard library and `cryptography` to import."""
    program = (
        "import runpy, sys; sys.path.append('allowed'); sys.argv = sys.argv[1:]; "
        "runpy.run_path('verifier.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", program, "verifier.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done)


def test_the_copy_imports_nothing_of_the_product_nor_of_others(alone: Path) -> None:
    listed = (
        "import sys; sys.path.append('allowed'); sys.path.insert(0, '.'); import verifier; "
        "print('\\n'.join(sorted({each.partition('.')[0] for each in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", listed],
        cwd=alone,
        capture_output=True,
        text=True,
        check=True,
    )
    own = {"verifier", "cryptography", "_cffi_backend", "_openssl", "__main__"}
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) <= own


def test_an_export_is_verified_by_the_copy_in_plain_words(alone: Path) -> None:
    path = alone / "ledger.export"
    path.write_bytes(replace(WHOLE, hidden=frozenset({1, 2})).export())
    found = run(alone, "--key", KEY, str(path))
    assert found.code == 0, found
    assert "VERIFIED. This is an export of the ledger tenure.example/ledger." in found.out
    assert "holds all 12 entries" in found.out
    assert "2 of them are shown by their hashes alone" in found.out
    assert "1 earlier checkpoints" in found.out
    assert checkpoint_of(WHOLE.leaves).root.hex() in found.out
    unknown = found.out.partition("Not known:")[2]
    assert "written anew and signed again" in unknown
    assert "operator's words" in unknown
    assert "another ledger under the same name" in unknown
    assert found.err == ""


def test_a_checkpoint_that_is_held_is_what_the_key_alone_does_not_give(alone: Path) -> None:
    held = alone / "held"
    held.write_bytes(WHOLE.note(5))
    path = alone / "good.export"
    path.write_bytes(WHOLE.export())
    found = run(alone, "--key", KEY, "--since", str(held), str(path))
    assert found.code == 0, found
    assert "The 5 entries of the checkpoint that you hold are the first of this file" in found.out
    assert "beyond the checkpoint that you hold" in found.out
    path.write_bytes(WHOLE.with_leaves([entry(i + 50) for i in range(12)]).export())
    assert run(alone, "--key", KEY, str(path)).code == 0
    found = run(alone, "--key", KEY, "--since", str(held), str(path))
    assert found.code == 1, found
    assert found.err.startswith("NOT VERIFIED: the first 5 entries are not those")
    assert found.out == ""


def test_a_timestamp_and_a_witness_can_be_required(
    alone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = LocalAuthority(tmp_path_factory.mktemp("authority"))
    stamped = authority.stamp(checkpoint_of(WHOLE.leaves).text.encode())
    certificate = alone / "root.pem"
    certificate.write_bytes(authority.root.public_bytes(Encoding.PEM))
    path = alone / "attested.export"
    stamp, witness = (
        ("--require-timestamp", str(certificate)),
        ("--require-witness", str(WITNESS.verifier_key)),
    )
    whole = replace(WHOLE, sizes=(12,))  # of a day before the test, so it may be stamped today
    attested = replace(whole, timestamps={12: [stamped]}, cosigned={12: 1_709_337_600})
    path.write_bytes(attested.export())
    found = run(alone, "--key", KEY, *stamp, *witness, str(path))
    assert found.code == 0, found
    assert "The authority CN=Stamps saw it at" in found.out
    assert "The witness witness.example saw it at 2024-03-02 " in found.out
    assert "before 2024-03-02" in found.out.partition("Not known:")[2]
    found = run(alone, "--key", KEY, str(path))
    assert "Whether the 1 timestamps on it are right" in found.out
    path.write_bytes(whole.export())
    for required, why in ((stamp, "has no timestamp"), (witness, "has not cosigned")):
        found = run(alone, "--key", KEY, *required, str(path))
        assert (found.code, why in found.err) == (1, True), found


def test_a_proof_is_verified_with_the_entry_in_it_or_beside_it(alone: Path) -> None:
    path, beside = alone / "3.tlog-proof", alone / "entry"
    proof = WHOLE.proof(3)
    path.write_text(str(proof))
    found = run(alone, "--key", KEY, str(path))
    assert found.code == 0, found
    assert "Entry 3 of 12" in found.out
    assert WHOLE.leaves[3].decode() in found.out
    path.write_text(str(replace(proof, extra=None)))
    assert "--entry" in run(alone, "--key", KEY, str(path)).err
    beside.write_bytes(WHOLE.leaves[3])
    assert run(alone, "--key", KEY, "--entry", str(beside), str(path)).code == 0
    beside.write_bytes(WHOLE.leaves[4])
    assert run(alone, "--key", KEY, "--entry", str(beside), str(path)).code == 1
    beside.write_bytes(WHOLE.note(5))
    path.write_text(str(proof))
    found = run(alone, "--key", KEY, "--since", str(beside), str(path))
    assert found.code == 1
    assert "shown by an export alone" in found.err


def test_a_checkpoint_alone_says_little(alone: Path) -> None:
    path = alone / "checkpoint"
    path.write_bytes(WHOLE.note(12))
    found = run(alone, "--key", KEY, str(path))
    assert found.code == 0, found
    assert "shows none" in found.out.partition("Not known:")[2]
    assert run(alone, "--key", str(NEW.verifier_key), str(path)).code == 1


def test_what_others_wrote_cannot_pass_for_our_words(alone: Path) -> None:
    """An operator who signs what he likes still does not write to the reader's terminal."""
    hostile = b'{"at":"\x1b[2J\n\nVERIFIED."}'
    whole = ledger(1).with_leaves([hostile])
    path = alone / "hostile.tlog-proof"
    path.write_text(str(whole.proof(0)))
    found = run(alone, "--key", KEY, str(path))
    assert found.code == 0
    assert "\x1b" not in found.out
    assert "\\x1b[2J\\n\\nVERIFIED." in found.out
    path.write_bytes(b"\x1b[2J\n\nVERIFIED.\n")
    found = run(alone, "--key", KEY, str(path))
    assert found.code == 1
    assert "\x1b" not in found.err
    assert found.err.count("\n") == 1


def test_wrong_usage_is_two(alone: Path) -> None:
    path = alone / "some.export"
    path.write_bytes(WHOLE.export())
    witness = str(WITNESS.verifier_key)
    for arguments in (
        (str(path),),
        ("--key", KEY),
        ("--key", "nonsense", str(path)),
        ("--key", witness, str(path)),
        ("--key", KEY, "--require-witness", KEY, str(path)),
        ("--key", KEY, "--require-timestamp", str(path), str(path)),
        ("--key", KEY, "--since", "missing", str(path)),
        ("--key", KEY, "missing"),
        ("--key", KEY, str(alone)),
    ):
        found = run(alone, *arguments)
        assert found.code == 2, found
        assert "usage:" in found.err
        assert "Traceback" not in found.err


def test_the_help_teaches(alone: Path) -> None:
    found = run(alone, "--help")
    assert found.code == 0
    for word in ("--since", "--require-timestamp", "--require-witness", "Exit codes"):
        assert word in found.out


def test_the_file_needs_no_name_of_ours(alone: Path) -> None:
    stranger = signer(9)
    path = alone / "x"
    path.write_bytes(replace(WHOLE, signers=(LOG, stranger)).export())
    assert run(alone, "--key", str(stranger.verifier_key), str(path)).code == 0
    assert json.loads(path.read_bytes().partition(b"\n")[0])["format"]
