"""Signed notes and checkpoints: the published examples, and notes made to deceive."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.ledger.checkpoint import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    NoteError,
    SignatureError,
    SignedCheckpoint,
    Signer,
    VerifierKey,
    add_signatures,
    cosign,
    sign,
)
from retention.ledger.verifier import EMPTY_ROOT, VerifierError

# C2SP signed-note.
C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""  # noqa: E501 - a published vector, whole

# golang.org/x/mod/sumdb/note.
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
GO_TEXT = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.
"""
PETER = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501
ENOCH = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"  # noqa: E501

ORIGIN = "tenure.example/ledger"


def signer(seed: int, name: str = ORIGIN, kind: int = LOG_SIGNATURE) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32), kind)


LOG = signer(1)
NEW = signer(2)
WITNESS = signer(3, "witness.example", COSIGNATURE)
CHECKPOINT = Checkpoint(ORIGIN, 12, bytes(range(32)))


def verified(note: str, *keys: str) -> list[str]:
    parsed = Note.parse(note.encode())
    return [str(each) for each in parsed.verified_by(VerifierKey.parse(key) for key in keys)]


def refused(note: str | bytes, *keys: VerifierKey) -> bool:
    with suppress(VerifierError):
        SignedCheckpoint.verify(note if isinstance(note, bytes) else note.encode(), keys)
        return False
    return True


def test_the_published_notes_verify() -> None:
    assert verified(C2SP_NOTE, C2SP_KEY) == [C2SP_KEY]
    both = GO_TEXT + "\n" + PETER + ENOCH
    assert verified(both, PETER_KEY, ENOCH_KEY) == [PETER_KEY, ENOCH_KEY]
    assert Note.parse(both.encode()).text == GO_TEXT
    assert str(Note.parse(both.encode())) == both


def test_the_published_private_key_signs_as_published() -> None:
    encoded = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
    peter = Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(encoded[1:]))
    assert str(peter.verifier_key) == PETER_KEY
    assert str(peter.signature(GO_TEXT.encode())) == PETER
    assert "private" not in repr(peter)


def test_signatures_of_unknown_keys_are_ignored_and_never_enough() -> None:
    assert verified(GO_TEXT + "\n" + PETER + ENOCH, PETER_KEY) == [PETER_KEY]
    wrong = ENOCH.replace("rwz+eB", "rwz+eC")
    assert verified(GO_TEXT + "\n" + PETER + wrong + wrong, PETER_KEY) == [PETER_KEY]
    for key in (ENOCH_KEY, C2SP_KEY):
        with pytest.raises(SignatureError, match="no key"):
            verified(GO_TEXT + "\n" + PETER, key)
    with pytest.raises(SignatureError, match="no key"):
        verified(GO_TEXT + "\n" + PETER)


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    wrong = PETER.replace("x08go/Z", "x08go/Y")
    with pytest.raises(SignatureError, match="wrong"):
        verified(GO_TEXT + "\n" + wrong + ENOCH, PETER_KEY, ENOCH_KEY)
    with pytest.raises(SignatureError, match="wrong"):
        verified(GO_TEXT.replace("answer", "anwser") + "\n" + PETER, PETER_KEY)
    for twice in (PETER + PETER, PETER + wrong, wrong + PETER):
        with pytest.raises(SignatureError):
            verified(GO_TEXT + "\n" + twice, PETER_KEY)


def test_two_keys_under_one_name_and_id_are_refused() -> None:
    """A key whose id collides is made in a minute; it must not stand in for the other."""
    key = VerifierKey.parse(PETER_KEY)

    class Colliding(VerifierKey):
        @property
        def key_id(self) -> bytes:
            return key.key_id

    other = Colliding(key.name, key.kind, bytes(32))
    with pytest.raises(SignatureError, match="two keys"):
        Note.parse((GO_TEXT + "\n" + PETER).encode()).verified_by([other, key])


MALFORMED = {
    "no signatures": GO_TEXT,
    "an empty list of signatures": GO_TEXT + "\n",
    "no text": "\n" + PETER,
    "no newline at the end": GO_TEXT + "\n" + PETER[:-1],
    "an empty line at the end": GO_TEXT + "\n" + PETER + "\n",
    "no empty line before the signatures": GO_TEXT + PETER,
    "a control character": "\x01" + GO_TEXT + "\n" + PETER,
    "a carriage return": GO_TEXT.replace("\n", "\r\n") + "\n" + PETER,
    "a tab": GO_TEXT + "\n" + PETER.replace(" ", "\t"),
    "a line that is no signature": GO_TEXT + "\n" + PETER + "Unexpected line.\n",
    "a name with a space": GO_TEXT + "\n" + PETER.replace("PeterNeumann", "Peter Neumann"),
    "a name with a space of another script": GO_TEXT
    + "\n"
    + PETER.replace("PeterNeumann", "Peter\u2003Neumann"),
    "a name with a plus": GO_TEXT + "\n" + PETER.replace("PeterNeumann", "Peter+Neumann"),
    "no name": GO_TEXT + "\n" + PETER.replace("PeterNeumann", ""),
    "a hyphen for the dash": GO_TEXT + "\n" + PETER.replace("—", "-"),
    "two spaces": GO_TEXT + "\n" + PETER.replace(" x08", "  x08"),
    "a space after": GO_TEXT + "\n" + PETER.replace("=\n", "= \n"),
    "base64 without its end": GO_TEXT + "\n" + PETER.replace("=\n", "\n"),
    "base64 with a bit too many": GO_TEXT + "\n" + PETER.replace("nAM=", "nAN="),
    "base64 of the other alphabet": GO_TEXT + "\n" + PETER.replace("/", "_"),
    "a key id and nothing more": GO_TEXT + "\n— PeterNeumann x08gow==\n",
    "too many signatures": GO_TEXT + "\n" + PETER + ENOCH * 100,
    "too long": "x" * 1_000_000 + GO_TEXT + "\n" + PETER,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_note_is_refused_before_any_signature(what: str) -> None:
    with pytest.raises(NoteError) as raised:
        Note.parse(MALFORMED[what].encode())
    assert not isinstance(raised.value, SignatureError)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    for each in (b"\xff" + GO_TEXT.encode(), b"\xed\xa0\x80" + GO_TEXT.encode()):
        with pytest.raises(NoteError, match="UTF-8"):
            Note.parse(each + b"\n" + PETER.encode())


def test_sixteen_signatures_are_accepted() -> None:
    others = [signer(each, "other.example").signature(GO_TEXT.encode()) for each in range(16)]
    note = GO_TEXT + "\n" + "".join(map(str, others)) + PETER
    assert verified(note, PETER_KEY) == [PETER_KEY]


def test_no_mangled_verifier_key_is_accepted() -> None:
    assert str(VerifierKey.parse(PETER_KEY)) == PETER_KEY
    mangled = {
        PETER_KEY[start:end]
        for start in range(len(PETER_KEY))
        for end in range(start + 1, len(PETER_KEY) + 1)
    } - {PETER_KEY}
    mangled |= {
        PETER_KEY[:at] + chr(ord(PETER_KEY[at]) ^ 1 << bit) + PETER_KEY[at + 1 :]
        for at in range(len(PETER_KEY))
        for bit in range(7)
    }
    mangled |= {
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER_KEY.replace("c74f20a3", "C74F20A3"),
        PETER_KEY + "\n",
        " " + PETER_KEY,
        PETER_KEY + "+",
    }
    for each in mangled:
        with pytest.raises(NoteError):
            VerifierKey.parse(each)


def test_a_checkpoint_signed_here_verifies_and_is_the_same_each_time() -> None:
    note = sign(CHECKPOINT, LOG)
    assert sign(CHECKPOINT, LOG) == note
    found = SignedCheckpoint.verify(note, [LOG.verifier_key])
    assert found.checkpoint == CHECKPOINT
    assert found.signed_by == (LOG.verifier_key,)
    assert found.cosigned_by == ()
    assert note.decode().startswith(f"{ORIGIN}\n12\n{base64.b64encode(bytes(range(32))).decode()}")


def test_the_published_checkpoint_is_one() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = Checkpoint.parse(text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text == text


def test_rotation_signs_with_both_keys_and_either_verifies() -> None:
    note = sign(CHECKPOINT, LOG, NEW)
    old, new = LOG.verifier_key, NEW.verifier_key
    assert SignedCheckpoint.verify(note, [old]).signed_by == (old,)
    assert SignedCheckpoint.verify(note, [new]).signed_by == (new,)
    assert SignedCheckpoint.verify(note, [old, new, old]).signed_by == (old, new)


def test_only_a_key_named_after_the_ledger_speaks_for_it() -> None:
    stranger = signer(9, "stranger.example")
    note = Note(CHECKPOINT.text, (stranger.signature(CHECKPOINT.text.encode()),))
    assert refused(str(note), stranger.verifier_key)
    with pytest.raises(NoteError, match="does not sign"):
        sign(CHECKPOINT, stranger)
    with pytest.raises(NoteError, match="does not sign"):
        sign(CHECKPOINT, signer(9, ORIGIN, COSIGNATURE))
    with pytest.raises(NoteError, match="somebody"):
        sign(CHECKPOINT)


HOSTILE_TEXTS = {
    "a leading zero": f"{ORIGIN}\n012\n{base64.b64encode(bytes(32)).decode()}\n",
    "a sign": f"{ORIGIN}\n+12\n{base64.b64encode(bytes(32)).decode()}\n",
    "a negative size": f"{ORIGIN}\n-12\n{base64.b64encode(bytes(32)).decode()}\n",
    "no size": f"{ORIGIN}\n\n{base64.b64encode(bytes(32)).decode()}\n",
    "a size in other digits": f"{ORIGIN}\n\u0661\u0662\n{base64.b64encode(bytes(32)).decode()}\n",
    "a size with an underscore": f"{ORIGIN}\n1_2\n{base64.b64encode(bytes(32)).decode()}\n",
    "a size beyond all": f"{ORIGIN}\n{2**63}\n{base64.b64encode(bytes(32)).decode()}\n",
    "a size of a thousand digits": f"{ORIGIN}\n{'9' * 1000}\n"
    f"{base64.b64encode(bytes(32)).decode()}\n",
    "an extension line": CHECKPOINT.text + "extension\n",
    "an empty line more": CHECKPOINT.text + "\n",
    "no origin": CHECKPOINT.text.removeprefix(ORIGIN),
    "a short root": f"{ORIGIN}\n12\n{base64.b64encode(bytes(31)).decode()}\n",
    "a long root": f"{ORIGIN}\n12\n{base64.b64encode(bytes(33)).decode()}\n",
    "a root in hex": f"{ORIGIN}\n12\n{bytes(32).hex()}\n",
    "a root that is not canonical": CHECKPOINT.text.replace("Hh8=", "Hh9="),
    "another root of nothing": f"{ORIGIN}\n0\n{base64.b64encode(bytes(32)).decode()}\n",
    "two lines": f"{ORIGIN}\n12\n",
    "another line break": CHECKPOINT.text.replace("\n", "\u2028"),
}


@pytest.mark.parametrize("what", HOSTILE_TEXTS)
def test_a_text_that_is_no_checkpoint_is_refused_even_if_signed(what: str) -> None:
    text = HOSTILE_TEXTS[what]
    note = f"{text}\n{LOG.signature(text.encode())}"
    assert refused(note, LOG.verifier_key)
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_the_empty_ledger_has_a_checkpoint() -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    note = sign(empty, LOG)
    assert SignedCheckpoint.verify(note, [LOG.verifier_key]).checkpoint == empty


def test_a_cosignature_verifies_and_says_when() -> None:
    keys = [LOG.verifier_key, WITNESS.verifier_key]
    note = sign(CHECKPOINT, LOG)
    line = cosign(SignedCheckpoint.verify(note, keys[:1]), WITNESS, 1_700_000_000)
    both = add_signatures(note, [line])
    found = SignedCheckpoint.verify(both, keys)
    assert found.cosigned_by == ((WITNESS.verifier_key, 1_700_000_000),)
    assert SignedCheckpoint.verify(both, keys[:1]).cosigned_by == ()
    later = cosign(found, WITNESS, 1_700_000_001)
    again = SignedCheckpoint.verify(add_signatures(both, [later]), keys)
    assert again.cosigned_by == ((WITNESS.verifier_key, 1_700_000_001),)


def test_a_witness_alone_does_not_make_a_checkpoint() -> None:
    line = WITNESS.cosignature(CHECKPOINT.text, 1)
    note = str(Note(CHECKPOINT.text, (line,)))
    assert refused(note, WITNESS.verifier_key, LOG.verifier_key)
    named_alike = signer(4, ORIGIN, COSIGNATURE)
    note = str(Note(CHECKPOINT.text, (named_alike.cosignature(CHECKPOINT.text, 1),)))
    assert refused(note, named_alike.verifier_key)


def test_a_signature_does_not_pass_for_the_other_kind() -> None:
    """The same private key under both kinds: no line of the one verifies as the other."""
    as_witness = signer(1, ORIGIN, COSIGNATURE)
    time = 1_700_000_000
    line = as_witness.cosignature(CHECKPOINT.text, time)
    renamed = type(line)(line.name, LOG.verifier_key.key_id, line.signature)
    assert refused(str(Note(CHECKPOINT.text, (renamed,))), LOG.verifier_key)
    shortened = type(line)(line.name, LOG.verifier_key.key_id, line.signature[8:])
    assert refused(str(Note(CHECKPOINT.text, (shortened,))), LOG.verifier_key)
    with pytest.raises(NoteError, match="not one for cosigning"):
        cosign(SignedCheckpoint.verify(sign(CHECKPOINT, LOG), [LOG.verifier_key]), LOG, time)


def test_no_bit_of_a_signed_checkpoint_can_be_flipped() -> None:
    keys = [LOG.verifier_key, WITNESS.verifier_key]
    note = sign(CHECKPOINT, LOG)
    note = add_signatures(note, [WITNESS.cosignature(CHECKPOINT.text, 1_700_000_000)])
    witness_line = note.index("— witness".encode())
    for at in range(len(note)):
        for bit in range(8):
            flipped = note[:at] + bytes([note[at] ^ 1 << bit]) + note[at + 1 :]
            if not refused(flipped, *keys):
                # The witness's name or key id: a key that nobody knows. It no longer counts.
                assert at > witness_line
                assert SignedCheckpoint.verify(flipped, keys).cosigned_by == ()


def test_a_cosignature_of_no_time_is_refused() -> None:
    line = WITNESS.cosignature(CHECKPOINT.text, 2**63)
    note = add_signatures(sign(CHECKPOINT, LOG), [line])
    assert refused(note, LOG.verifier_key, WITNESS.verifier_key)
