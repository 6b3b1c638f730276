"""Exports: what verifies, what is found however it was tampered with, and by whom."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from retention.ledger.checkpoint import Signer, sign
from retention.ledger.tree import leaf_hash
from retention.ledger.verifier import (
    CLOCKS,
    LATENESS,
    Attested,
    Checkpoint,
    Note,
    NoteError,
    SignatureError,
    SignedCheckpoint,
    Times,
    TimestampError,
    Trust,
    VerifierError,
    canonical,
    check,
    export_header,
    hashed_line,
    sealed,
)
from tests.timestamp_authority import LocalAuthority
from tests.unit.retention.ledger.ledgers import (
    LOG,
    NEW,
    ORIGIN,
    TRUST,
    WITNESS,
    Ledger,
    checkpoint_of,
    entry,
    keys,
    ledger,
    refusal,
    signer,
    verified,
)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_an_export_verifies_with_each_checkpoint_at_its_own_size() -> None:
    export = verified(ledger(12, 1, 5, 8).export())
    assert [each.signed.checkpoint.size for each in export.checkpoints] == [1, 5, 8, 12]
    assert export.unread.hashed == 0


@pytest.mark.parametrize("size", range(1, 40))
def test_every_size_and_every_checkpoint_before_it(size: int) -> None:
    whole = ledger(size, *range(1, size))
    assert len(verified(whole.export()).checkpoints) == size
    for held in range(1, size + 1):
        assert verified(whole.export(), since=whole.note(held)).since == checkpoint_of(
            whole.leaves, held
        )


def test_other_tenants_entries_are_hashes_and_count() -> None:
    whole = replace(ledger(12, 5), hidden=frozenset({0, 3, 4, 11}))
    assert verified(whole.export()).unread.hashed == 4
    assert b'"rows":3,' not in whole.export()
    nothing = replace(ledger(12, 5), hidden=frozenset(range(12)))
    assert verified(nothing.export()).unread.hashed == 12


def test_the_header_is_canonical_json_with_its_own_hash() -> None:
    line = ledger(3).export().partition(b"\n")[0]
    content = json.loads(line)
    assert rfc8785.dumps(content) == line
    claimed = content.pop("sha256")
    assert claimed == hashlib.sha256(rfc8785.dumps(content)).hexdigest()


# --- Tampering


BASE = ledger(12, 5, 8)
AT = "2024-03-01T00:20:00"
EARLIER = BASE.note(8)


STRANGER = entry(77, at="2024-03-01T00:03:30Z")


def moved(leaves: list[bytes]) -> list[bytes]:
    return [*leaves[:2], leaves[3], leaves[2], *leaves[4:]]


TAMPERED = {
    "an entry changed": lambda e: [*e[:3], entry(3, rows=99), *e[4:]],
    "an entry dropped": lambda e: [*e[:3], *e[4:]],
    "an entry dropped and another put in its place": lambda e: [*e[:3], STRANGER, *e[4:]],
    "an entry put in": lambda e: [*e[:3], STRANGER, *e[3:]],
    "entries exchanged": moved,
    "an entry twice": lambda e: [*e[:3], e[3], *e[3:]],
    "an entry back-dated": lambda e: [*e[:7], entry(7, at="2020-01-01T00:00:00Z"), *e[8:]],
    "the first dropped": lambda e: e[1:],
    "the end cut off": lambda e: e[:6],
    "everything written anew": lambda e: [entry(100 + i) for i in range(12)],
    "a space put into an entry": lambda e: [e[0].replace(b":", b": ", 1), *e[1:]],
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_with_the_entries_is_found_with_the_key_alone(what: str) -> None:
    header = BASE.export().partition(b"\n")[0] + b"\n"
    leaves = TAMPERED[what](list(BASE.leaves))
    assert refusal(header + b"".join(each + b"\n" for each in leaves))


#: What entries say of themselves shows these, whoever signed them.
SHOWN = {"an entry back-dated", "a space put into an entry"}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_signed_again_by_the_operator_is_found_by_who_holds_a_checkpoint(
    what: str,
) -> None:
    leaves = TAMPERED[what](list(BASE.leaves))
    sizes = tuple(n for n in (5, 8) if n < len(leaves))
    rebuilt = Ledger(tuple(leaves), (*sizes, len(leaves)))
    if what in SHOWN:
        assert refusal(rebuilt.export())
        return
    assert refusal(rebuilt.export()) is None  # the key alone does not show it
    found = refusal(rebuilt.export(), since=EARLIER)
    assert found
    assert "the first 8 entries" in found or "ends at 6" in found


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_signed_again_by_the_operator_is_found_by_the_timestamp(
    what: str, authority: LocalAuthority
) -> None:
    """What the authority stamped is the old ledger; it will not stamp the new one into the past."""
    stamped = replace(
        BASE, timestamps={8: [authority.stamp(checkpoint_of(BASE.leaves, 8).text.encode())]}
    )
    trust = Trust(keys(LOG), authorities=(authority.root,))
    leaves = TAMPERED[what](list(BASE.leaves))
    rebuilt = replace(stamped, leaves=tuple(leaves[:8]), sizes=(min(8, len(leaves)),))
    assert refusal(rebuilt.export(), trust)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    return LocalAuthority(tmp_path_factory.mktemp("authority"))


def test_an_entry_slipped_in_later_under_an_old_date_is_found_by_an_attested_time() -> None:
    """Nothing before it is touched, and all is signed: an earlier checkpoint does not show it."""
    trust = Trust(keys(LOG), (WITNESS.verifier_key,))
    honest = replace(
        ledger(4), sizes=(2, 4), cosigned={2: seconds(AT), 4: seconds(AT) + 7 * 86_400}
    )
    leaves = [*honest.leaves[:3], entry(3, at="2024-03-06T10:00:00Z")]
    assert refusal(honest.with_leaves(leaves).export(), trust) is None
    leaves[3] = entry(3, at="2024-02-29T23:19:00Z")
    dated = honest.with_leaves(leaves)
    assert refusal(dated.export(), Trust(keys(LOG))) is None
    assert "contradicts" in str(refusal(dated.export(), trust))
    late = entry(3, at="2024-02-29T23:21:00Z")  # within an hour: its transaction took long
    assert refusal(honest.with_leaves([*leaves[:3], late]).export(), trust) is None


def test_an_entry_of_long_before_those_ahead_of_it_is_found_without_anybodys_word() -> None:
    """An hour is what a transaction can take; and what is not shown says nothing."""
    leaves = list(ledger(120).leaves)
    for at, found in (("2024-03-01T00:18:59Z", True), ("2024-03-01T00:19:00Z", False)):
        leaves[80] = entry(80, at=at)
        assert ("back-dated" in str(refusal(BASE.with_leaves(leaves[:100]).signed(100)))) is found
    leaves[80] = entry(80, at="2024-03-01T00:18:59Z")
    hidden = replace(BASE.with_leaves(leaves[:100]), sizes=(100,), hidden=frozenset({80}))
    assert refusal(hidden.export()) is None
    leaves[99] = entry(99, at="2024-02-31T00:00:00Z")
    assert "no time" in str(
        refusal(BASE.with_leaves([entry(0, at="2024-02-31T00:00:00Z")]).signed(1))
    )


OTHERWISE = {
    "a key twice": lambda line: line.replace(b'"rows":', b'"rows":3,"rows":'),
    "a key twice, above": lambda line: line.replace(b'"id":', b'"id":"","id":', 1),
    "keys in another order": lambda line: line.replace(b'"rows":', b'"z":1,"rows":'),
    "a key in disguise": lambda line: line.replace(b'"rows":', b'"row\\u0073":'),
    "a space": lambda line: line.replace(b'"rows":', b'"rows": '),
    "a number otherwise": lambda line: line.replace(b'"rows":', b'"rows":0'),
    "a fraction": lambda line: line.replace(b'"rows":', b'"rows":0.'),
    "minus nothing": lambda line: line.replace(b'"rows":', b'"a":-0,"rows":'),
    "a control character": lambda line: line.replace(b'"batch"', b'"ba\tch"'),
    "half a character": lambda line: line.replace(b'"batch"', b'"ba\xc3ch"'),
    "an escape that is not needed": lambda line: line.replace(b'"batch"', b'"b\\u0061tch"'),
    "no object": lambda line: line.replace(b'"rows":', b'"rows"'),
    "something behind it": lambda line: line + b" {}",
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_an_entry_that_is_shown_is_in_its_one_form(what: str) -> None:
    """Whether it is the first of its shape, which is parsed, or one like those before it."""
    for at in (0, 3):
        leaves = list(BASE.leaves)
        leaves[at] = OTHERWISE[what](leaves[at])
        assert leaves[at] != BASE.leaves[at]
        assert f"entry {at}" in str(refusal(BASE.with_leaves(leaves).export()))


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(_TEXTS, _VALUES, max_size=4), min_size=1, max_size=6))
def test_whatever_can_be_entered_is_read(records: list[dict[str, object]]) -> None:
    """Twice each, so that the second is taken by the shape of the first."""
    leaves = [entry(n, **{"": record}) for n, record in enumerate([*records, *records])]
    assert refusal(Ledger(tuple(leaves), (len(leaves),)).export()) is None


def said(kind: str, at: str, /, **record: object) -> bytes:
    return rfc8785.dumps({**json.loads(entry(0, at=at)), "kind": kind, "record": record})


def test_when_something_was_done_is_compared_with_when_it_was_entered(tmp_path: Path) -> None:
    at = "2024-03-01T00:30:00.000000Z"
    right = [
        said("batch", at, recorded_at="2024-02-29T23:30:01+00:00", started_at=None),
        said("batch", at, recorded_at="2024-03-01T01:29:59+00:00", started_at=None),
        said("hold-changed", at, placed_at="2020-01-01T00:00:00+00:00"),
    ]
    wrong = [
        said("batch", at, recorded_at="2024-02-29T23:29:59+00:00", started_at=None),
        said("batch", at, recorded_at="2020-01-01T00:30:00+00:00", started_at=None),
        said("intervention", at, taken_at="2020-01-01T00:00:00+00:00"),
        said("intervention", at, taken_at="in spring"),
    ]
    whole = BASE.with_leaves([*right, *wrong])
    told_of = told(replace(whole, sizes=(len(whole.leaves),)), tmp_path)
    assert "Whether what 4 entries are of was done when they say" in told_of
    assert "entry 4, batch, says recorded_at 2020-01-01T00:30:00" in told_of
    assert "was done when they say" not in told(
        replace(whole.with_leaves(right), sizes=(3,)), tmp_path
    )


def test_what_was_there_before_its_table_entered_is_older_than_its_entry(tmp_path: Path) -> None:
    old = {"taken_at": "2020-01-01T00:00:00+00:00"}
    fed = said("ledger-source", "2024-03-01T00:31:00Z", kind="intervention",
               fed_at="2024-03-01T00:31:00.5+00:00")  # fmt: skip
    leaves = [said("intervention", "2024-03-01T00:30:00Z", **old), fed]
    whole = replace(BASE.with_leaves(leaves), sizes=(2,))
    assert "was done when they say" not in told(whole, tmp_path)
    later = [*leaves, said("intervention", "2024-03-01T00:32:00Z", **old)]
    whole = replace(BASE.with_leaves(later), sizes=(3,))
    assert "Whether what 1 entries are of was done when they say" in told(whole, tmp_path)


@pytest.mark.parametrize(
    ("what", "written"),
    [
        ("another key first", b'{"as":"","at":"2024-01-01T10:00:00.000000Z"'),
        (
            "a second time",
            b'{"at":"2024-03-01T00:03:00.000000Z","at":"2024-01-01T10:00:00.000000Z"',
        ),
        (
            "a second time in disguise",
            b'{"at":"2024-03-01T00:03:00.000000Z","\\u0061t":"2024-01-01T10:00:00.000000Z"',
        ),
        ("another zone", b'{"at":"2024-03-01T00:03:00.000000+23:59"'),
        ("no time at all", b'{"at":"2024-03-01T00:03:00 or so"'),
    ],
)
def test_an_entry_that_two_readers_could_date_differently_is_refused(
    what: str, written: bytes
) -> None:
    """Where others attest the time: an entry cannot get past them by the way it is written."""
    trust = Trust(keys(LOG), (WITNESS.verifier_key,))
    honest = replace(ledger(4), sizes=(2, 4), cosigned={2: seconds(AT), 4: seconds(AT)})
    assert refusal(honest.export(), trust) is None
    first = b'{"at":"2024-03-01T00:03:00.000000Z"'
    assert honest.leaves[3].startswith(first)
    dated = honest.with_leaves([*honest.leaves[:3], written + honest.leaves[3][len(first) :]])
    assert "entry 3" in str(refusal(dated.export(), trust)), what


def test_an_entry_that_says_it_is_younger_than_the_checkpoint_with_it_is_found() -> None:
    trust = Trust(keys(LOG), (WITNESS.verifier_key,))
    dated = replace(ledger(4), sizes=(2, 4), cosigned={2: seconds(AT), 4: seconds(AT)})
    assert refusal(dated.export(), trust) is None
    leaves = [entry(0, at="2024-03-01T00:25:01Z"), *dated.leaves[1:]]
    assert "contradicts" in str(refusal(dated.with_leaves(leaves).export(), trust))


def test_a_witness_at_the_end_of_time_does_not_break_the_verifier() -> None:
    trust = Trust(keys(LOG), (WITNESS.verifier_key,))
    assert refusal(replace(ledger(2), cosigned={2: 253_402_300_799}).export(), trust) is None
    assert refusal(replace(ledger(2), cosigned={2: 2**62}).export(), trust)
    assert refusal(replace(ledger(2), cosigned={2: 0}).export(), trust)


def test_an_export_older_than_what_is_held_is_refused() -> None:
    assert "ends at 5" in str(refusal(ledger(5).export(), since=ledger(8).note(8)))


def test_a_checkpoint_held_of_another_ledger_or_by_a_stranger_is_refused() -> None:
    other = "other.example/ledger"
    theirs = checkpoint_of(BASE.leaves, 5)
    theirs = replace(theirs, origin=other)
    stranger = signer(9, other)
    note = f"{theirs.text}\n{stranger.signature(theirs.text.encode())}".encode()
    trust = Trust(keys(LOG, stranger))
    assert "is of other.example" in str(refusal(BASE.export(), trust, note))
    assert "no key" in str(refusal(BASE.export(), since=replace(BASE, signers=(NEW,)).note(5)))


# --- What is required


def test_a_required_witness_must_have_cosigned_the_last_checkpoint() -> None:
    trust = Trust(keys(LOG), keys(WITNESS))
    for cosigned, good in (({12: 1_800_000_000}, True), ({5: 1_800_000_000}, False), ({}, False)):
        whole = replace(ledger(12, 5), cosigned=cosigned)
        assert (refusal(whole.export(), trust) is None) is good
        assert refusal(whole.export()) is None
    two = Trust(keys(LOG), keys(WITNESS, replace(signer(8, "other.example"), kind=WITNESS.kind)))
    with pytest.raises(SignatureError, match=r"other\.example has not cosigned"):
        verified(replace(ledger(12), cosigned={12: 1_800_000_000}).export(), two)


def test_a_required_timestamp_must_be_on_the_last_checkpoint(
    authority: LocalAuthority, tmp_path: Path
) -> None:
    # What comes after a checkpoint that was stamped today is of today.
    today = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    whole = ledger(12, 5).with_leaves([entry(i, at=today) for i in range(12)])
    first, last = (
        authority.stamp(checkpoint_of(whole.leaves, size).text.encode()) for size in (5, 12)
    )
    trust = Trust(keys(LOG), authorities=(authority.root,))
    stamped = replace(whole, timestamps={5: [first], 12: [last]})
    assert len(verified(stamped.export(), trust).last.stamped) == 1
    missing = replace(stamped, timestamps={5: [first]})
    assert "has no timestamp" in str(refusal(missing.export(), trust))
    others = replace(stamped, timestamps={12: [first]})
    assert "something else" in str(refusal(others.export(), trust))
    stranger = LocalAuthority(tmp_path / "stranger")
    both = Trust(keys(LOG), authorities=(authority.root, stranger.root))
    with pytest.raises(TimestampError, match="has no timestamp"):
        verified(stamped.export(), both)


def test_rotation_verifies_with_the_old_key_or_the_new() -> None:
    both = replace(ledger(12), signers=(LOG, NEW))
    for trusted in ((LOG,), (NEW,), (LOG, NEW)):
        assert refusal(both.export(), Trust(keys(*trusted))) is None
    assert refusal(ledger(12).export(), Trust(keys(NEW)))


def test_trust_is_in_a_key_of_the_ledger() -> None:
    with pytest.raises(NoteError):
        Trust(())
    with pytest.raises(NoteError):
        Trust(keys(WITNESS))
    with pytest.raises(NoteError):
        Trust(keys(LOG), keys(LOG))


# --- What is no export


def header(**changes: object) -> bytes:
    """A header that hashes right, whatever it says."""
    content = json.loads(BASE.export().partition(b"\n")[0])
    del content["sha256"]
    return sealed(content | changes) + b"\n"


LINES = BASE.export().partition(b"\n")[2]
NOTE = {"note": BASE.note(12).decode(), "timestamps": []}
HOSTILE_HEADERS = {
    "no checkpoints": header(checkpoints=[]),
    "checkpoints that are none": header(checkpoints={}),
    "a checkpoint that is none": header(checkpoints=["note"]),
    "a checkpoint with something more": header(checkpoints=[{**NOTE, "more": 1}]),
    "a note that is none": header(checkpoints=[{**NOTE, "note": "note"}]),
    "a note that is a number": header(checkpoints=[{**NOTE, "note": 1}]),
    "timestamps that are none": header(checkpoints=[{**NOTE, "timestamps": "AA=="}]),
    "a timestamp that is no base64": header(checkpoints=[{**NOTE, "timestamps": ["A"]}]),
    "a timestamp that is no text": header(checkpoints=[{**NOTE, "timestamps": [1]}]),
    "a checkpoint twice": header(checkpoints=[NOTE, NOTE]),
    "checkpoints in the wrong order": header(
        checkpoints=[NOTE, {"note": BASE.note(5).decode(), "timestamps": []}]
    ),
    "another format": header(format="tenure-ledger-export/v2"),
    "no format": sealed({"checkpoints": [NOTE]}) + b"\n",
    "something more": header(more=1),
    "another hash": header().replace(b'"sha256":"', b'"sha256":"0')[:-4] + b'"}\n',
    "no hash": canonical({"checkpoints": [NOTE], "format": "tenure-ledger-export/v1"}) + b"\n",
    "spaces": header().replace(b'":', b'": '),
    "keys in another order": b'{"sha256":"","format":"","checkpoints":[]}\n',
    "a key twice": header().replace(b'{"checkpoints"', b'{"checkpoints":[],"checkpoints"'),
    "a fraction": header(more=1).replace(b'"more":1', b'"more":1.0'),
    "a number that is none": header(more=1).replace(b'"more":1', b'"more":NaN'),
    "a number of ten thousand digits": b'{"more":' + b"9" * 10_000 + b"}\n",
    "half a character": b'{"more":"\\ud800"}\n',
    "bytes that are not UTF-8": b'{"more":"\xff"}\n',
    "a list": b"[]\n",
    "depth": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "nothing": b"\n",
    "no end": header()[:-1],
}


@pytest.mark.parametrize("what", HOSTILE_HEADERS)
def test_a_header_that_is_none_is_refused(what: str) -> None:
    assert refusal(HOSTILE_HEADERS[what] + LINES)
    assert refusal(HOSTILE_HEADERS[what])


def test_a_checkpoint_of_another_ledger_has_no_place_in_an_export() -> None:
    other = signer(9, "other.example/ledger")
    theirs = replace(checkpoint_of(BASE.leaves, 5), origin=other.name)
    note = f"{theirs.text}\n{other.signature(theirs.text.encode())}".encode()
    data = export_header([(note, []), (BASE.note(12), [])]) + LINES
    assert "different ledgers" in str(refusal(data, Trust(keys(LOG, other))))


HOSTILE_LINES = {
    "no last newline": LINES[:-1],
    "an empty line": b"\n" + LINES,
    "an empty line after": LINES + b"\n",
    "a line too many": LINES + entry(12) + b"\n",
    "a carriage return": LINES.replace(b"\n", b"\r\n"),
    "a byte after": LINES + b"{",
    "nothing": b"",
    "a hash in capitals": hashed_line(leaf_hash(BASE.leaves[0])).upper().replace(b"HASH", b"hash")
    + LINES.partition(b"\n")[2],
    "a hash that is none": b'{"hash":"' + b"g" * 64 + b'"}\n' + LINES.partition(b"\n")[2],
    "another hash": hashed_line(bytes(32)) + LINES.partition(b"\n")[2],
    "a node in the place of two entries": LINES.partition(b"\n")[2],
}


@pytest.mark.parametrize("what", HOSTILE_LINES)
def test_lines_that_are_none_are_refused(what: str) -> None:
    head = BASE.export().partition(b"\n")[0] + b"\n"
    assert refusal(head + LINES) is None
    assert refusal(head + HOSTILE_LINES[what])


def test_an_inner_node_does_not_pass_for_an_entry() -> None:
    """Sixty-four bytes of two hashes, hashed as an entry, are no node: leaves hash otherwise."""
    first, second = (leaf_hash(each) for each in BASE.leaves[:2])
    lines = LINES.split(b"\n", 2)[2]
    head = BASE.export().partition(b"\n")[0] + b"\n"
    assert refusal(head + first + second + b"\n" + lines)


# --- Bits


def every_flip(data: bytes) -> list[bytes]:
    return [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


def test_no_bit_of_an_export_can_be_flipped(authority: LocalAuthority) -> None:
    leaves = ledger(3).leaves
    stamp = authority.stamp(checkpoint_of(leaves, 3).text.encode())
    whole = Ledger(
        leaves,
        (2, 3),
        timestamps={3: [stamp]},
        cosigned={3: int(datetime.now(UTC).timestamp())},
        hidden=frozenset({1}),
    )
    for trust in (
        TRUST,
        Trust(keys(LOG), keys(WITNESS), (authority.root,)),
    ):
        assert refusal(whole.export(), trust) is None
        for flipped in every_flip(whole.export()):
            assert refusal(flipped, trust)


def test_no_byte_of_an_export_can_be_missing_or_too_many() -> None:
    data = ledger(3, 2).export()
    for at in range(len(data)):
        assert refusal(data[:at] + data[at + 1 :]), at
        assert refusal(data[:at] + data[at : at + 1] + data[at:]), at
        assert refusal(data[:at])


LARGE = ledger(300, 17, 128, 255).export()


@given(st.lists(st.tuples(st.integers(0, len(LARGE) - 1), st.integers(1, 255)), min_size=1))
def test_no_bytes_of_a_larger_export_can_be_changed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(LARGE)
    for at, by in dict(changes).items():
        data[at] ^= by
    assert refusal(bytes(data))


@given(st.binary(max_size=300))
def test_bytes_are_no_export(data: bytes) -> None:
    assert refusal(data)
    assert refusal(data + b"\n")
    assert refusal(LARGE.partition(b"\n")[0] + b"\n" + data)


def test_the_format_stays_what_it_is() -> None:
    """An export that somebody has kept must verify with every later verifier."""
    head, _, lines = ledger(2).export().partition(b"\n")
    root = base64.b64encode(checkpoint_of(ledger(2).leaves).root).decode()
    assert json.loads(head)["checkpoints"][0]["note"].startswith(f"{ORIGIN}\n2\n{root}\n\n— ")
    assert json.loads(head)["format"] == "tenure-ledger-export/v1"
    assert lines == entry(0) + b"\n" + entry(1) + b"\n"


def test_a_file_of_many_blocks_verifies_and_is_searched_to_its_end() -> None:
    whole = ledger(8000, 1, 3999, 4000, 7999)
    data = whole.export()
    assert len(data) > 2**20 + 10_000
    assert len(verified(data, since=whole.note(4000)).checkpoints) == 5
    for at in (2**20 - 1, 2**20, 2**20 + 1, len(data) - 2):
        assert refusal(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert "longer" in str(refusal(ledger(1).export().partition(b"\n")[0] + b"\n" + b"{" * 2**25))


# --- What is not shown, and whose key it was


def told(made: Ledger, tmp_path: Path, trust: Trust = TRUST, **how: bool) -> str:
    (tmp_path / "export").write_bytes(made.export())
    return str(check(tmp_path / "export", trust, **how))


def test_entries_that_are_not_shown_are_named_and_nobody_says_whose_they_are(
    tmp_path: Path,
) -> None:
    hidden = replace(ledger(40, 5), hidden=frozenset({0, 3, 4, *range(20, 31)}))
    said = told(hidden, tmp_path)
    assert "14 of them are shown by their hashes alone: 0, 3 to 4, 20 to 30." in said
    assert "26 of them can be read." in said
    assert "or whatever the operator would not show" in said
    assert "Whether a key was exchanged among them." in said
    with pytest.raises(VerifierError, match="nothing but the hash of entries 0, 3 to 4, 20 to 30"):
        told(hidden, tmp_path, whole=True)
    assert "40 of them can be read" in told(ledger(40, 5), tmp_path, whole=True)
    many = replace(ledger(100), hidden=frozenset(range(0, 100, 2)))
    assert "36, 38, and more" in told(many, tmp_path)


def test_an_entry_that_was_too_long_counts_as_one_that_cannot_be_read(tmp_path: Path) -> None:
    long = rfc8785.dumps({**json.loads(entry(3)), "body_sha256": "0" * 64})
    quoted = entry(4, text='"body_sha256":"')
    whole = replace(BASE, leaves=(*BASE.leaves[:3], long, quoted, *BASE.leaves[5:]))
    said = told(whole, tmp_path)
    assert "1 of them show a digest of what they say." in said
    assert "11 of them can be read." in said


def exchange(number: int, key: Signer, previous: Signer | None) -> bytes:
    record = {
        "step": "installed" if previous is None else "rotated",
        "vkey": str(key.verifier_key),
        "previous_vkey": None if previous is None else str(previous.verifier_key),
    }
    written = {**json.loads(entry(number)), "kind": "ledger-key", "record": record}
    return rfc8785.dumps(written)


def exchanged(*signed: tuple[int, tuple[Signer, ...]]) -> bytes:
    """Twelve entries; LOG signs from entry 1 on, NEW from entry 6 on. `signed`: sizes, by whom."""
    leaves = [entry(i) for i in range(12)]
    leaves[1], leaves[6] = exchange(1, LOG, None), exchange(6, NEW, LOG)
    notes = [(sign(checkpoint_of(leaves, size), *signers), ()) for size, signers in signed]
    return export_header(notes) + b"".join(leaf + b"\n" for leaf in leaves)


BOTH = Trust(keys(LOG, NEW))


def test_each_checkpoint_bears_the_signature_of_the_key_of_its_time() -> None:
    right = exchanged((5, (LOG,)), (8, (NEW, LOG)), (12, (NEW,)))
    assert refusal(right, BOTH) is None
    # Who has the former key alone can follow up to the exchange.
    upto = exchanged((5, (LOG,)), (12, (NEW, LOG)))
    assert refusal(upto, TRUST) is None


def test_an_exchange_that_shows_no_key_is_refused() -> None:
    leaf = json.loads(exchange(1, NEW, LOG))
    digest = {**{k: v for k, v in leaf.items() if k not in {"record", "commitments"}}}
    long = rfc8785.dumps({**digest, "body_sha256": "0" * 64})
    leaves = [entry(0), long, *BASE.leaves[2:]]
    assert "does not show which" in str(refusal(BASE.with_leaves(leaves).export()))


def test_a_key_that_was_exchanged_signs_no_more() -> None:
    for forged in (
        exchanged((8, (NEW, LOG)), (12, (LOG,))),
        exchanged((5, (LOG,)), (8, (NEW,)), (12, (LOG,))),
    ):
        assert "had been exchanged at entry 6" in str(refusal(forged, BOTH))


def test_it_is_said_when_a_key_that_was_given_signed_nothing(tmp_path: Path) -> None:
    """A ledger written anew by who has a key that leaked after it was exchanged."""
    path = tmp_path / "export"
    path.write_bytes(BASE.export())
    new = f"{NEW.name}+{NEW.verifier_key.key_id.hex()}"
    assert f"Why {new}, which you gave, has signed nothing here" in str(check(path, BOTH))
    path.write_bytes(exchanged((5, (LOG,)), (8, (NEW,)), (12, (NEW,))))
    assert "Whether the exchange of keys at entry 6 was by who had" in str(check(path, BOTH))
    path.write_bytes(exchanged((5, (LOG,)), (8, (NEW, LOG)), (12, (NEW,))))
    assert "exchange of keys" not in str(check(path, BOTH))


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.lists(st.integers(0, 50), min_size=1, max_size=3)),
        max_size=8,
        unique_by=lambda seen: seen[0],
    )
)
def test_the_bounds_of_an_entrys_time_are_those_of_the_definition(
    seen: list[tuple[int, list[int]]],
) -> None:
    def at(minute: int) -> datetime:
        return datetime(2024, 3, 1, 12, minute, tzinfo=UTC)

    checkpoints = [
        replace(
            Attested.verify(BASE.note(5), [], TRUST),
            signed=SignedCheckpoint(
                Checkpoint(ORIGIN, size, bytes(32)), Note("x\n", ()), (LOG.verifier_key,), ()
            ),
            cosigned=tuple((WITNESS.verifier_key, at(m)) for m in minutes),
        )
        for size, minutes in sorted(seen)
    ]
    times = Times(checkpoints)
    for index in range(32):
        without = [at(max(m)) for size, m in seen if size <= index]
        with_it = [at(min(m)) for size, m in seen if size > index]
        early, late = times.bounds(index)
        assert early == (text(max(without) - LATENESS) if without else b"")
        assert late == (text(min(with_it) + CLOCKS) if with_it else b"~")


def text(instant: datetime) -> bytes:
    return instant.strftime("%Y-%m-%dT%H:%M:%S").encode()
