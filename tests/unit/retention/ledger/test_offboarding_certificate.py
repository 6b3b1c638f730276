"""Certificates of offboardings: what they state is what their entries say, and nothing changed is
taken for it."""

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
from retention.ledger.verifier import CertificateError, canonical
from tests.unit.retention.ledger.certificates import (
    ACME,
    CERTIFICATE,
    EXPORT,
    GLOBEX,
    HOLD,
    OFFBOARDING,
    Entry,
    Made,
    assemble,
    certified,
    certify,
    changed_at,
    connector_event,
    leaves_of,
    offboarding_entries,
    purge_batch,
    refused,
    resealed,
    sha256,
)


def issue(entries: list[Entry], tenant: str | None = ACME) -> Made:
    return certify(entries, tenant, of=("tenant", OFFBOARDING))


MADE = issue(offboarding_entries())


def test_it_states_what_the_entries_say() -> None:
    stated = certified(MADE.data).statement
    assert (stated["kind"], stated["subject"], stated["tenant"]) == ("tenant", OFFBOARDING, ACME)
    one = stated["offboarding"]
    assert (one["requested_at"], one["grace"], one["deletes_at"]) == (
        "2026-01-10T00:00:00+00:00", "P30D", "2026-02-09T00:00:00+00:00",
    )  # fmt: skip
    assert (one["started_at"], one["ended_at"]) == (
        "2026-02-10T00:00:00+00:00", "2026-02-11T00:00:00+00:00",
    )  # fmt: skip
    assert (one["requested_by"], one["started_by"]) == ("command:ann", "command:eve")
    export = stated["export"]
    assert (export["id"], export["manifest_sha256"]) == (EXPORT, sha256("manifest"))
    assert export["counts"] == [
        {"name": "shop.customers", "value": 2}, {"name": "shop.notes", "value": 3},
    ]  # fmt: skip
    assert {each["table"]: each["rows"] for each in stated["tables"]} == {
        "shop.customers": 2, "shop.notes": 3,
    }  # fmt: skip
    assert "neither Clear nor Purge nor Destroy" in str(stated["tables"])
    assert [t["keys_sha256"] for b in stated["batches"] for t in b["tables"]] == [
        sha256("shop.notes 1"), sha256("shop.customers 2"), sha256("shop.notes 2"),
    ]  # fmt: skip
    assert {each["name"]: each["value"] for each in stated["access_ended"]} == {
        "memberships": 3, "api_tokens": 1, "sessions": 2,
    }  # fmt: skip
    assert [(d["state"], d["at"], d["until"]) for d in stated["deferrals"]] == [
        ("deferred", "2026-03-01T00:00:06.000000Z", "2026-03-01T00:00:10.000000Z"),
        ("waiting", "2026-03-01T00:00:14.000000Z", "2026-03-01T00:00:17.000000Z"),
    ]
    assert [(h["id"], h["effective_at"]) for h in stated["holds"]["in_force"]] == [
        (HOLD, "2026-02-09T12:00:00+00:00")
    ]
    (mail,) = stated["connectors"]
    assert (mail["state"], mail["answer"]["digest"]) == ("acknowledged", sha256("answer"))
    assert [(s["table"], s["rows"]) for s in stated["stays"]] == [
        ("tenure.ledger_texts", None), ("tenure.tenants", 1),
    ]  # fmt: skip
    assert stated["verification"] == {
        "at": "2026-02-10T23:59:59+00:00", "by": "tenure_verifier", "findings": 0,
        "tables": ["shop.customers", "shop.letters", "shop.notes"],
    }  # fmt: skip
    assert stated["backups"]["expired_by"] == "2026-03-18T00:00:00+00:00"
    assert any("tables that are no tenant's" in each for each in stated["not_covered"])
    assert rfc8785.dumps(stated) == canonical(stated)


def test_any_bit_flipped_is_refused() -> None:
    for bit in random.Random(5).sample(range(len(MADE.data) * 8), 3000):
        changed = bytearray(MADE.data)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(changed)), f"bit {bit}"


def test_any_bit_flipped_under_a_seal_made_anew_is_refused() -> None:
    data, flipped = canonical(MADE.content), 0
    for bit in random.Random(6).sample(range(len(data) * 8), 1500):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            forged = resealed(json.loads(changed.decode()))
        except (ValueError, UnicodeDecodeError):
            continue
        flipped += 1
        assert refused(forged), f"bit {bit} of {data[bit // 8 - 20 : bit // 8 + 20]!r}"
    assert flipped > 300


@pytest.mark.parametrize("path", list(leaves_of(MADE.content)), ids=lambda p: "/".join(map(str, p)))
def test_any_value_changed_is_refused(path: tuple[Any, ...]) -> None:
    assert refused(resealed(changed_at(MADE.content, path))), path


def own_entry() -> Entry:
    body = {k: v for k, v in MADE.content["statement"].items() if k not in {"issued", "ledger"}}
    record = {
        "id": CERTIFICATE, "kind": "tenant", "subject_id": OFFBOARDING, "tenant_id": ACME,
        "backups_kept_days": 35, "release": "1.0", "issued_at": "2026-03-02T00:00:00+00:00",
        "statement_sha256": sha256(canonical(body)),
    }  # fmt: skip
    return Entry("certificate", record, ACME, {"issued_by": "command:ann"})


def test_what_the_next_test_leaves_out_is_there_without_it() -> None:
    assert assemble([*offboarding_entries(), own_entry()]).data == MADE.data


@pytest.mark.parametrize("number", range(len(MADE.content["evidence"])))
def test_any_entry_left_out_is_refused_also_with_what_it_states_drawn_anew(number: int) -> None:
    forged = copy.deepcopy(MADE.content)
    del forged["evidence"][number]
    assert refused(resealed(forged))
    entries = [*offboarding_entries(), own_entry()]
    shown = [each for each in entries if each.shown]
    shown[number].shown = False
    with pytest.raises(CertificateError):
        assemble(entries)


Forge = Callable[[list[Entry]], object]


def at(entries: list[Entry], kind: str, event: str | None = None) -> int:
    return next(
        n for n, each in enumerate(entries)
        if each.kind == kind and event in {None, each.record.get("event")}
    )  # fmt: skip


def record(entries: list[Entry], kind: str, event: str | None = None) -> dict[str, Any]:
    return entries[at(entries, kind, event)].record


def end(entries: list[Entry]) -> dict[str, Any]:
    return entries[-1].record


def lost_batch(entries: list[Entry]) -> None:
    del entries[at(entries, "purge-batch")]


def batch_too_many(entries: list[Entry]) -> None:
    entries.insert(13, purge_batch(3, {"shop.notes": 1}))


def batch_of_another(entries: list[Entry]) -> None:
    record(entries, "purge-batch")["purge_id"] = CERTIFICATE


def batch_that_contradicts_itself(entries: list[Entry]) -> None:
    record(entries, "purge-batch")["rows"] = 30


def batch_that_changed_rows_and_did_not_delete_them(entries: list[Entry]) -> None:
    counts = entries[13].record["counts"]["shop.customers"]
    counts["anonymise"] = counts.pop("delete")


def other_end(entries: list[Entry]) -> None:
    end(entries)["counts"]["deleted"] = {"shop.notes": {"delete": 3}}


def other_end_of_the_deletion(entries: list[Entry]) -> None:
    entries[-2].record["counts"] = {"shop.notes": {"delete": 3}}


def deletion_that_kept_rows(entries: list[Entry]) -> None:
    entries[-2].record["kept"] = {"held": {"shop.notes": 1}}


def deletion_that_goes_on(entries: list[Entry]) -> None:
    del entries[-2]


def deletion_that_never_began(entries: list[Entry]) -> None:
    entries[:] = [each for each in entries if not each.kind.startswith("purge")]


def deletion_of_another(entries: list[Entry]) -> None:
    record(entries, "purge")["cause"] = {"offboarding": CERTIFICATE}


def deletion_of_another_kind(entries: list[Entry]) -> None:
    record(entries, "purge")["kind"] = "replay"


def deletion_under_another_id(entries: list[Entry]) -> None:
    record(entries, "purge")["id"] = CERTIFICATE


def not_completed(entries: list[Entry]) -> None:
    end(entries)["state"] = "waiting"


def end_not_shown(entries: list[Entry]) -> None:
    entries[-1].shown = False


def taken_back(entries: list[Entry]) -> None:
    end(entries)["state"] = "taken back"


def request_not_shown(entries: list[Entry]) -> None:
    entries[at(entries, "offboarding")].shown = False


def requested_twice(entries: list[Entry]) -> None:
    entries[4].kind = "offboarding"


def of_another(entries: list[Entry]) -> None:
    record(entries, "offboarding")["id"] = CERTIFICATE


def anothers(entries: list[Entry]) -> None:
    for each in entries:
        each.tenant = GLOBEX if each.tenant else None


def anothers_record(entries: list[Entry]) -> None:
    record(entries, "offboarding-changed")["tenant_id"] = GLOBEX


def other_grace(entries: list[Entry]) -> None:
    end(entries)["grace"] = "P0D"


def other_export_at_the_end(entries: list[Entry]) -> None:
    end(entries)["export_id"] = CERTIFICATE


def begun_in_the_grace(entries: list[Entry]) -> None:
    for each in entries:
        if each.record.get("started_at") and each.kind == "offboarding-changed":
            each.record["started_at"] = "2026-02-08T00:00:00+00:00"


def begun_twice(entries: list[Entry]) -> None:
    entries[10].record["started_at"] = "2026-02-09T01:00:00+00:00"


def ended_before_it_began(entries: list[Entry]) -> None:
    end(entries)["ended_at"] = "2026-02-09T23:00:00+00:00"


def no_export(entries: list[Entry]) -> None:
    entries[:] = [each for each in entries if not each.kind.startswith("export")]


def export_not_finished(entries: list[Entry]) -> None:
    del entries[at(entries, "export-changed")]


def export_that_failed(entries: list[Entry]) -> None:
    record(entries, "export-changed")["state"] = "failed"


def export_of_a_person(entries: list[Entry]) -> None:
    record(entries, "export-changed")["kind"] = "subject"


def export_made_after(entries: list[Entry]) -> None:
    record(entries, "export-changed")["ended_at"] = "2026-02-10T00:00:01+00:00"


def another_export(entries: list[Entry]) -> None:
    for kind in ("export", "export-changed"):
        record(entries, kind)["id"] = CERTIFICATE


def never_verified(entries: list[Entry]) -> None:
    del end(entries)["counts"]["verified"]


def verified_with_rows_left(entries: list[Entry]) -> None:
    end(entries)["counts"]["verified"]["left"]["shop.letters"] = 1


def verified_without_a_table(entries: list[Entry]) -> None:
    del end(entries)["counts"]["verified"]["left"]["shop.notes"]


def connector_not_asked(entries: list[Entry]) -> None:
    del entries[at(entries, "connector-event", "requested")]


def connector_silent(entries: list[Entry]) -> None:
    del entries[at(entries, "connector-event", "acknowledged")]


def connector_said_otherwise(entries: list[Entry]) -> None:
    record(entries, "connector-event", "acknowledged")["event"] = "refused"


def another_connector(entries: list[Entry]) -> None:
    record(entries, "connector-event", "acknowledged")["connector"] = "files"


def connector_of_something_else(entries: list[Entry]) -> None:
    entries.insert(15, connector_event("failed", CERTIFICATE))


def connector_that_the_end_does_not_name(entries: list[Entry]) -> None:
    end(entries)["counts"]["elsewhere"] = {}


def strange_entry(entries: list[Entry]) -> None:
    entries[at(entries, "login")].shown = True


def counts_of_text(entries: list[Entry]) -> None:
    record(entries, "purge-batch")["counts"] = "many"


def verified_of_text(entries: list[Entry]) -> None:
    end(entries)["counts"]["verified"] = "yes"


def stays_of_text(entries: list[Entry]) -> None:
    end(entries)["stays"] = "all"


@pytest.mark.parametrize(
    "forge",
    [
        lost_batch, batch_too_many, batch_of_another, batch_that_contradicts_itself,
        batch_that_changed_rows_and_did_not_delete_them, other_end, other_end_of_the_deletion,
        deletion_that_kept_rows, deletion_that_goes_on, deletion_that_never_began,
        deletion_of_another, deletion_of_another_kind, deletion_under_another_id, not_completed,
        end_not_shown, taken_back, request_not_shown, requested_twice, of_another, anothers,
        anothers_record, other_grace, other_export_at_the_end, begun_in_the_grace, begun_twice,
        ended_before_it_began, no_export, export_not_finished, export_that_failed,
        export_of_a_person, export_made_after, another_export, never_verified,
        verified_with_rows_left, verified_without_a_table, connector_not_asked, connector_silent,
        connector_said_otherwise, another_connector, connector_of_something_else,
        connector_that_the_end_does_not_name, strange_entry, counts_of_text, verified_of_text,
        stays_of_text,
    ],
    ids=lambda forge: forge.__name__,
)  # fmt: skip
def test_entries_that_do_not_go_together_bear_no_certificate(forge: Forge) -> None:
    # Entries share what they hold; a forger changes one of them.
    entries = copy.deepcopy(offboarding_entries())
    for each in entries:
        each.record = copy.deepcopy(each.record)
    forge(entries)
    with pytest.raises(CertificateError):
        issue(entries)


def test_there_is_none_for_all_tenants() -> None:
    with pytest.raises(CertificateError, match="of one tenant"):
        issue(offboarding_entries(), None)


def test_of_a_tenant_without_a_row_it_says_that_none_was_touched() -> None:
    entries = copy.deepcopy([e for e in offboarding_entries() if e.kind != "purge-batch"])
    entries[-2].record["counts"] = {}
    end(entries)["counts"]["deleted"] = {}
    stated = certified(issue(entries).data).statement
    assert (stated["tables"], stated["batches"]) == ([], [])
    assert "No row was touched." in to_text(stated)


def test_erased_names_are_missing_and_the_rest_stands() -> None:
    stated = certified(issue([replace(e, texts={}) for e in offboarding_entries()]).data).statement
    assert (stated["offboarding"]["requested_by"], stated["offboarding"]["started_by"]) == (
        None, None,
    )  # fmt: skip
    assert stated["tables"] == MADE.content["statement"]["tables"]
    assert "somebody whose name was erased" in to_text(stated)


def test_text_and_paper_have_the_same_figures() -> None:
    stated = certified(MADE.data).statement
    text = to_text(stated)
    for part in (
        OFFBOARDING, "acme", "P30D, until 2026-02-09", sha256("manifest"), HOLD, "a legal hold",
        "connectors to answer", "messages 4", "NIST", "tenure.ledger_texts", "not counted",
        "as tenure_verifier", "shop.letters",
    ):  # fmt: skip
        assert part in text
    assert to_pdf(stated) == to_pdf(stated)
    assert to_pdf(stated).startswith(b"%PDF")
