"""Certificates: what they state is what their entries say, and nothing changed is taken for it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785

from retention.ledger.certificate_paper import to_pdf, to_text
from retention.ledger.verifier import (
    CertificateError,
    SignatureError,
    Trust,
    body_of,
    canonical,
)
from tests.unit.retention.ledger.certificates import (
    ACME,
    CERTIFICATE,
    GLOBEX,
    Entry,
    Made,
    assemble,
    batch,
    certified,
    certify,
    changed_at,
    for_tenant,
    leaves_of,
    refused,
    resealed,
    run_entries,
    sha256,
    unit,
)
from tests.unit.retention.ledger.ledgers import NEW, TRUST

MADE = certify(run_entries())


def test_it_states_what_the_entries_say() -> None:
    stated = certified(MADE.data).statement
    assert (stated["kind"], stated["tenant"], stated["issued"]["id"]) == ("run", None, CERTIFICATE)
    assert [(t["table"], t["action"], t["rows"]) for t in stated["tables"]] == [
        ("shop.notes", "delete", 12)
    ]
    assert "neither Clear nor Purge nor Destroy" in stated["tables"][0]["method"]
    assert [(u["batches"], u["tables"][0]["rows"], u["left_due"]) for u in stated["units"]] == [
        (2, 7, 2), (1, 5, 2),
    ]  # fmt: skip
    keys = sha256("".join(f"{sha256(f'keys {n}')}\n" for n in (1, 2)))
    assert stated["units"][0]["tables"][0]["keys_sha256"] == keys
    assert stated["units"][0]["exceptions"] == [{"reason": "held", "rows": 2}]
    assert [k["reason"] for k in stated["units"][0]["kept"]] == ["referenced"]
    assert stated["policies"][0]["legal_basis"] == "Art. 5(1)(e) GDPR"
    assert stated["backups"] == {"kept_days": 35, "expired_by": "2026-04-05T00:00:03+00:00"}
    assert stated["verification"]["findings"] == 0
    assert stated["verification"]["results"][0]["query"] == "SELECT 1"
    assert [t["name"] for t in stated["tenants"]] == ["Acme & Söhne", "Globex"]
    assert stated["run"]["requested_by"] == "command:ann"
    assert stated["complete"] == {"batches": True, "units": True}
    assert len(stated["holds"]["in_force"]) == 1
    assert rfc8785.dumps(stated) == canonical(stated)


def test_one_for_a_tenant_speaks_of_that_tenant_alone() -> None:
    made = certify(for_tenant(run_entries(), ACME), ACME)
    stated = certified(made.data).statement
    assert stated["complete"]["units"] is False
    assert stated["units"][0]["kept"] is None
    assert [t["slug"] for t in stated["tenants"]] == ["acme"]
    assert stated["tables"][0]["rows"] == 7
    assert stated["verification"]["findings"] is None
    assert [book["deleted"] for book in stated["verification"]["books"]] == [7]
    for text in ("globex", "Globex", GLOBEX):
        assert text.encode() not in made.data
        assert text not in str([each.leaf for each in certified(made.data).evidence])
    with pytest.raises(CertificateError, match="another tenant's"):
        certify(run_entries(), ACME)
    entries = for_tenant(run_entries(), ACME)
    entries[12].closed = frozenset()
    with pytest.raises(CertificateError, match="of other tenants"):
        certify(entries, ACME)


def test_any_bit_flipped_is_refused() -> None:
    data = MADE.data
    chosen = random.Random(1).sample(range(len(data) * 8), 4000)
    for bit in chosen:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(changed)), f"bit {bit} of {data[bit // 8 - 20 : bit // 8 + 20]!r}"


def test_any_bit_flipped_under_a_seal_made_anew_is_refused() -> None:
    """Who changes a certificate can make its own SHA-256 anew."""
    data, flipped = canonical(MADE.content), 0
    for bit in random.Random(2).sample(range(len(data) * 8), 1500):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            content = json.loads(changed.decode())
            forged = resealed(content)
        except (ValueError, UnicodeDecodeError):
            continue
        flipped += 1
        assert refused(forged), f"bit {bit} of {data[bit // 8 - 20 : bit // 8 + 20]!r}"
    assert flipped > 300


@pytest.mark.parametrize("path", list(leaves_of(MADE.content)), ids=lambda p: "/".join(map(str, p)))
def test_any_value_changed_is_refused(path: tuple[Any, ...]) -> None:
    assert refused(resealed(changed_at(MADE.content, path))), path


def test_a_true_is_no_one() -> None:
    forged = copy.deepcopy(MADE.content)
    forged["statement"]["complete"]["batches"] = 1
    assert refused(resealed(forged))


@pytest.mark.parametrize("number", range(len(MADE.content["evidence"])))
def test_any_entry_left_out_is_refused_also_with_what_it_states_drawn_anew(number: int) -> None:
    forged = copy.deepcopy(MADE.content)
    del forged["evidence"][number]
    assert refused(resealed(forged))
    entries = [e for e in (*run_entries(), own_entry()) if e.shown]
    hidden = [
        replace(each, shown=False) if each is entries[number] else each
        for each in everything(entries)
    ]
    with pytest.raises(CertificateError):
        assemble(hidden)


def own_entry(**more: Any) -> Entry:
    """The entry of MADE itself."""
    record = {
        "id": CERTIFICATE, "kind": "run", "subject_id": MADE.content["statement"]["subject"],
        "tenant_id": None, "backups_kept_days": 35, "release": "1.0",
        "issued_at": "2026-03-02T00:00:00+00:00",
        "statement_sha256": sha256(canonical({
            k: v for k, v in MADE.content["statement"].items() if k not in {"issued", "ledger"}
        })),
    }  # fmt: skip
    return Entry("certificate", record | more, None, {"issued_by": "command:ann"})


def everything(entries: list[Entry]) -> list[Entry]:
    """Entries that are shown, with the one that is not in its place."""
    between = next(e for e in run_entries() if not e.shown)
    return [*entries[:6], between, *entries[6:]]


def test_what_the_tests_leave_out_is_there_without_it() -> None:
    entries = [e for e in (*run_entries(), own_entry()) if e.shown]
    assert assemble(everything(entries)).data == MADE.data


def test_an_entry_twice_or_out_of_order_is_refused() -> None:
    forged = copy.deepcopy(MADE.content)
    forged["evidence"].insert(0, forged["evidence"][0])
    assert "order" in str(refused(resealed(forged)))
    forged = copy.deepcopy(MADE.content)
    forged["evidence"].reverse()
    assert "order" in str(refused(resealed(forged)))


def test_a_certificate_of_another_key_is_refused() -> None:
    with pytest.raises(SignatureError):
        certified(MADE.data, Trust((NEW.verifier_key,)))


Forge = Callable[[list[Entry]], object]


def lost_batch(entries: list[Entry]) -> None:
    del entries[7]


def foreign_batch(entries: list[Entry]) -> None:
    entries.insert(8, batch(9, ACME, 1))


def other_count(entries: list[Entry]) -> None:
    entries[5] = batch(1, ACME, 30)


def lost_unit(entries: list[Entry]) -> None:
    del entries[10:12]  # with its batch


def unit_not_named(entries: list[Entry]) -> None:
    entries.insert(12, unit(3, GLOBEX, [], policy="notes"))


def run_not_ended(entries: list[Entry]) -> None:
    del entries[12]


def other_run(entries: list[Entry]) -> None:
    entries[8].record["run_id"] = CERTIFICATE


def policy_not_shown(entries: list[Entry]) -> None:
    entries[2].shown = False


def strange_entry(entries: list[Entry]) -> None:
    entries[6].shown = True


def no_count(entries: list[Entry]) -> None:
    del entries[5].record["counts"]["shop.notes"]["rows"]


def counts_of_text(entries: list[Entry]) -> None:
    entries[5].record["counts"] = "many"


def broken_definition(entries: list[Entry]) -> None:
    entries[2].values["definition"] = '{"legal_basis"'


def plan_not_shown(entries: list[Entry]) -> None:
    entries[12].closed = frozenset({"plan"})


def plan_of_others(entries: list[Entry]) -> None:
    units = json.loads(entries[12].values["plan"])["units"][:1]
    entries[12].values["plan"] = json.dumps({"units": units})


def two_verifications(entries: list[Entry]) -> None:
    entries.insert(13, copy.deepcopy(entries[13]))


def unknown_action(entries: list[Entry]) -> None:
    entries[5].record["action"] = "shred"


def of_kind(entries: list[Entry], kind: str) -> Entry:
    return next(each for each in entries if each.kind == kind and each.shown)


def batch_of_another_version(entries: list[Entry]) -> None:
    entries[7].record["policy_version"] += 1


def batch_of_another_cutoff(entries: list[Entry]) -> None:
    entries[7].record["cutoff"] = "2026-02-28T00:00:00+00:00"


def batch_that_contradicts_itself(entries: list[Entry]) -> None:
    entries[7].record["counts"]["shop.notes"]["rows"] = 1


def run_without_its_beginning(entries: list[Entry]) -> None:
    of_kind(entries, "run").kind = "run-changed"


def verification_from_before_the_end(entries: list[Entry]) -> None:
    of_kind(entries, "verification").record["started_at"] = "2026-02-28T00:00:00+00:00"


def verification_entered_before_the_end(entries: list[Entry]) -> None:
    verified = of_kind(entries, "verification")
    entries.remove(verified)
    entries.insert(entries.index(of_kind(entries, "run-changed")), verified)


def deep_nest(entries: list[Entry]) -> None:
    nest = '{"a":' * 5000 + "1" + "}" * 5000
    of_kind(entries, "policy-version").values["definition"] = nest


@pytest.mark.parametrize(
    "forge",
    [
        batch_of_another_version, batch_of_another_cutoff, batch_that_contradicts_itself,
        run_without_its_beginning, verification_from_before_the_end,
        verification_entered_before_the_end, deep_nest,
        lost_batch, foreign_batch, other_count, lost_unit, unit_not_named, run_not_ended, other_run,
        policy_not_shown, strange_entry, no_count, counts_of_text, broken_definition,
        two_verifications, unknown_action, plan_not_shown, plan_of_others,
    ],
    ids=lambda forge: forge.__name__,
)  # fmt: skip
def test_entries_that_do_not_go_together_bear_no_certificate(forge: Forge) -> None:
    entries = run_entries()
    forge(entries)
    with pytest.raises(CertificateError):
        certify(entries)


def test_what_cannot_be_written_down_bears_no_certificate() -> None:
    entries = run_entries()
    policy = of_kind(entries, "policy-version")
    defined = json.loads(policy.values["definition"]) | {"legal_basis": "\ud800"}
    policy.values["definition"] = json.dumps(defined)
    with pytest.raises(CertificateError, match="cannot be written down"):
        assemble([*entries, own_entry()])


def test_erased_names_are_missing_and_the_rest_stands() -> None:
    entries = run_entries()
    made = certify([replace(e, texts={}) for e in entries])
    stated = certified(made.data).statement
    assert stated["run"]["requested_by"] is None
    assert (
        "its name was erased" in to_text(certified(made.data).statement) or stated["tenant"] is None
    )
    assert "somebody whose name was erased, or is not shown" in to_text(stated)


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(CertificateError, match="not known here"):
        body_of("miracle", "x", None, None, [])


def test_text_and_paper_have_the_same_figures() -> None:
    stated = certified(MADE.data).statement
    text = to_text(stated)
    for part in (CERTIFICATE, "acme", "Art. 5(1)(e) GDPR", "held: 2", "35 days", "NIST"):
        assert part in text
    assert to_pdf(stated) == to_pdf(stated)
    assert to_pdf(stated).startswith(b"%PDF")


def test_one_that_holds_nothing_but_its_own_entry_is_refused() -> None:
    own = own_entry()
    with pytest.raises(CertificateError, match="cannot be read"):
        assemble([own])


def test_hostile_files_are_refused_and_never_a_crash() -> None:
    for data in (
        b'{"certificate":',
        b'{"certificate":1}\n',
        resealed({"certificate": "x", "format": "tenure-certificate/v1"}),
        resealed({**MADE.content, "evidence": [None]}),
        resealed({**MADE.content, "evidence": []}),
        resealed(
            {**MADE.content, "evidence": [{"proof": "", "texts": {}, "values": {}, "rows": {}}]}
        ),
        resealed({**MADE.content, "checkpoint": {"note": "", "timestamps": []}}),
        resealed({**MADE.content, "checkpoint": {**MADE.content["checkpoint"], "more": 1}}),
        resealed({**MADE.content, "more": 1}),
        MADE.data[:-1],
        MADE.data + b"\n",
    ):
        assert refused(data), data[:80]
    for opened in (
        {"texts": {"a": 1}},
        {"texts": {"a": {"salt": "zz", "text": "x"}}},
        {"values": {"definition": 1}},
        {"rows": {"units": 1}},
        {"rows": {"units": [1]}},
    ):
        forged = copy.deepcopy(MADE.content)
        forged["evidence"][0] |= opened
        assert refused(resealed(forged)), opened


def test_trust_is_the_logs_key() -> None:
    assert isinstance(MADE, Made)
    assert TRUST.keys[0].name in MADE.content["checkpoint"]["note"]
