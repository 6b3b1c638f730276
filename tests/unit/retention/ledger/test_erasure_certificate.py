"""Certificates of erasures: what they state is what their entries say, and nothing changed is
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
from retention.ledger.verifier import CertificateError, _said, canonical
from tests.unit.retention.ledger.certificates import (
    ACME,
    CERTIFICATE,
    ERASURE,
    GLOBEX,
    HOLD,
    Entry,
    Made,
    assemble,
    certified,
    certify,
    changed_at,
    connector_event,
    erasure_batch,
    erasure_entries,
    leaves_of,
    refused,
    resealed,
    sha256,
    step,
)


def issue(entries: list[Entry], tenant: str | None = ACME) -> Made:
    return certify(entries, tenant, of=("erasure", ERASURE))


MADE = issue(erasure_entries())


def test_it_states_what_the_entries_say() -> None:
    stated = certified(MADE.data).statement
    assert (stated["kind"], stated["subject"], stated["tenant"]) == ("erasure", ERASURE, ACME)
    erasure = stated["erasure"]
    assert (erasure["received_at"], erasure["due_at"]) == (
        "2026-02-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00",
    )  # fmt: skip
    assert (erasure["extended_months"], erasure["in_time"]) == (1, True)
    assert stated["confirmation"]["by"] == "command:ann"
    assert [(e["months"], e["reason"]) for e in stated["extensions"]] == [(1, "complexity")]
    approval = stated["approval"]
    assert (erasure["entered_by"], approval["by"]) == ("command:ann", "command:bob")
    assert (approval["plan"], approval["alone"]) == (2, False)
    assert [p["number"] for p in stated["plans"]] == [1, 2]
    outcome = {each["table"]: each for each in stated["outcome"]}
    assert outcome["shop.customers"]["done"] == [{"action": "anonymise", "rows": 1}]
    assert outcome["shop.notes"]["planned"]["rows"] == 3
    assert outcome["shop.notes"]["done"] == [{"action": "delete", "rows": 3}]
    assert outcome["shop.invoices"]["basis"] == "s. 12 Books Act"
    assert outcome["shop.invoices"]["kept"]["rows"] == 2
    assert outcome["shop.letters"]["done"] == [{"action": "cut", "rows": 1}]
    assert "neither Clear nor Purge nor Destroy" in str(stated["tables"])
    assert [b["tables"][0]["keys_sha256"] for b in stated["batches"]] == [
        sha256("shop.letters cut 1"), sha256("shop.customers anonymise 2"),
    ]  # fmt: skip
    assert stated["deferrals"][0]["waiting"][0]["value"][0]["hold"] == HOLD
    (mail,) = stated["connectors"]
    assert (mail["state"], mail["answer"]["digest"]) == ("acknowledged", sha256("answer"))
    assert mail["answer"]["counts"] == [{"name": "messages", "value": 4}]
    assert stated["verification"]["findings"] == 0
    assert stated["steps"][-1]["event"] == "completed"
    assert rfc8785.dumps(stated) == canonical(stated)


def test_any_bit_flipped_is_refused() -> None:
    for bit in random.Random(3).sample(range(len(MADE.data) * 8), 3000):
        changed = bytearray(MADE.data)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(changed)), f"bit {bit}"


def test_any_bit_flipped_under_a_seal_made_anew_is_refused() -> None:
    data, flipped = canonical(MADE.content), 0
    for bit in random.Random(4).sample(range(len(data) * 8), 1500):
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
        "id": CERTIFICATE, "kind": "erasure", "subject_id": ERASURE, "tenant_id": ACME,
        "backups_kept_days": 35, "release": "1.0", "issued_at": "2026-03-02T00:00:00+00:00",
        "statement_sha256": sha256(canonical(body)),
    }  # fmt: skip
    return Entry("certificate", record, ACME, {"issued_by": "command:ann"})


def test_what_the_next_test_leaves_out_is_there_without_it() -> None:
    assert assemble([*erasure_entries(), own_entry()]).data == MADE.data


@pytest.mark.parametrize("number", range(len(MADE.content["evidence"])))
def test_any_entry_left_out_is_refused_also_with_what_it_states_drawn_anew(number: int) -> None:
    forged = copy.deepcopy(MADE.content)
    del forged["evidence"][number]
    assert refused(resealed(forged))
    entries = [*erasure_entries(), own_entry()]
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


def facts(entries: list[Entry], event: str) -> dict[str, Any]:
    found: dict[str, Any] = entries[at(entries, "erasure-event", event)].record["facts"]
    return found


def lost_batch(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-batch")]


def batch_too_many(entries: list[Entry]) -> None:
    entries.insert(13, erasure_batch(3, {"shop.notes": {"delete": 1}}))


def batch_of_another(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-batch")].record["erasure_id"] = CERTIFICATE


def batch_that_contradicts_itself(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-batch")].record["rows"] = 30


def other_end(entries: list[Entry]) -> None:
    facts(entries, "completed")["erased"]["shop.notes"]["delete"] = 2


def erased_what_was_to_be_kept(entries: list[Entry]) -> None:
    facts(entries, "completed")["erased"]["shop.invoices"] = {"delete": 1}
    entries.insert(13, erasure_batch(3, {"shop.invoices": {"delete": 1}}))


def kept_on_another_basis(entries: list[Entry]) -> None:
    facts(entries, "completed")["kept"][0]["basis"] = "because"


def kept_what_was_to_go(entries: list[Entry]) -> None:
    facts(entries, "completed")["kept"][0]["table"] = "shop.notes"


def lost_plan(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-plan")]


def lost_plan_with_its_step(entries: list[Entry]) -> None:
    del entries[4:6]


def plan_not_shown(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-plan")].closed = frozenset({"plan"})


def other_plan_shown(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-plan")].values["plan"] = "{}"


def other_plan_approved(entries: list[Entry]) -> None:
    facts(entries, "approved")["plan"] = 1


def approved_alone_by_two(entries: list[Entry]) -> None:
    facts(entries, "approved")["alone"] = True


def approved_by_two_alone(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-event", "approved")].texts["actor"] = "command:ann"


def approved_by_two_through_two_doors(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-event", "approved")].texts["actor"] = f"login:{ERASURE}"


def never_approved(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-event", "approved")]


def never_confirmed(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-event", "confirmed")]


def never_verified(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-event", "verified")]


def lost_extension(entries: list[Entry]) -> None:
    del entries[at(entries, "erasure-event", "extended")]


def completed_twice(entries: list[Entry]) -> None:
    entries.insert(-1, copy.deepcopy(entries[-2]))


def step_after_the_end(entries: list[Entry]) -> None:
    entries.append(step(12, "resumed", "command:eve", {}))


def not_completed(entries: list[Entry]) -> None:
    entries[-1].record["state"] = "running"


def end_not_shown(entries: list[Entry]) -> None:
    entries[-1].shown = False


def refused_one(entries: list[Entry]) -> None:
    entries[-1].record["state"] = "refused"


def anothers(entries: list[Entry]) -> None:
    for each in entries:
        each.tenant = GLOBEX if each.tenant else None


def anothers_record(entries: list[Entry]) -> None:
    for each in entries:
        if each.kind == "erasure-changed":
            each.record["tenant_id"] = GLOBEX


def connector_not_asked(entries: list[Entry]) -> None:
    del entries[at(entries, "connector-event", "requested")]


def connector_silent(entries: list[Entry]) -> None:
    del entries[at(entries, "connector-event", "acknowledged")]


def connector_called_silent_that_answered(entries: list[Entry]) -> None:
    facts(entries, "completed")["elsewhere"] = {"mail": "withdrawn"}


def connector_called_answering_that_was_silent(entries: list[Entry]) -> None:
    entries[at(entries, "connector-event", "acknowledged")].record["event"] = "withdrawn"


def connector_given_up_twice(entries: list[Entry]) -> None:
    given_up(entries)
    entries.insert(16, connector_event("withdrawn", id=CERTIFICATE))


def connector_that_answered_before_it_was_given_up(entries: list[Entry]) -> None:
    given_up(entries)
    entries.insert(
        at(entries, "connector-event", "withdrawn"), connector_event("refused", id=CERTIFICATE)
    )


def connector_that_answered_twice_since(entries: list[Entry]) -> None:
    given_up(entries)
    number = at(entries, "connector-event", "withdrawn") + 1
    entries[number:number] = [
        connector_event(event, id=f"0192abd0-0000-7000-8000-00000000001{n}")
        for n, event in enumerate(("refused", "acknowledged"))
    ]


def silent_where_the_end_names_no_request(entries: list[Entry]) -> None:
    given_up(entries)
    entries[:] = [each for each in entries if each.kind != "connector-event"]
    del facts(entries, "completed")["requests"]


def given_up(entries: list[Entry]) -> None:
    """Have nobody answer, and the request withdrawn by eve, after it was told."""
    number = at(entries, "connector-event", "acknowledged")
    entries[number] = connector_event("withdrawn", id="0192abd0-0000-7000-8000-000000000003")
    entries[number].texts["actor"] = "command:eve"
    entries.insert(number, connector_event("told", id="0192abd0-0000-7000-8000-000000000004"))
    facts(entries, "completed")["elsewhere"] = {"mail": "withdrawn"}


def connector_said_otherwise(entries: list[Entry]) -> None:
    entries[at(entries, "connector-event", "acknowledged")].record["event"] = "refused"


def another_connector(entries: list[Entry]) -> None:
    entries[at(entries, "connector-event", "acknowledged")].record["connector"] = "files"


def connector_of_something_else(entries: list[Entry]) -> None:
    entries.insert(15, connector_event("failed", CERTIFICATE))


def connector_that_the_end_does_not_name(entries: list[Entry]) -> None:
    facts(entries, "completed")["elsewhere"] = {}


def connector_asked_that_never_answered(entries: list[Entry]) -> None:
    facts(entries, "completed")["requests"]["files"] = CERTIFICATE


def answers_where_the_end_names_no_request(entries: list[Entry]) -> None:
    del facts(entries, "completed")["requests"]


def plan_of_another(entries: list[Entry]) -> None:
    plan = entries[at(entries, "erasure-plan")]
    plan.values["plan"] = plan.values["plan"].replace(ERASURE, CERTIFICATE)
    plan.record["digest"] = sha256(plan.values["plan"])
    facts(entries, "planned")["digest"] = plan.record["digest"]


def strange_entry(entries: list[Entry]) -> None:
    entries[at(entries, "login")].shown = True


def due_later(entries: list[Entry]) -> None:
    entries[-1].record["due_at"] = "2099-01-01T00:00:00+00:00"


def verified_with_findings(entries: list[Entry]) -> None:
    facts(entries, "verified")["findings"] = 1


def started_before_it_was_approved(entries: list[Entry]) -> None:
    started = entries.pop(at(entries, "erasure-event", "started"))
    entries.insert(at(entries, "erasure-event", "approved"), started)


def batch_after_it_was_verified(entries: list[Entry]) -> None:
    done = entries.pop(at(entries, "erasure-batch"))
    entries.insert(at(entries, "erasure-event", "verified") + 1, done)


def counts_of_text(entries: list[Entry]) -> None:
    entries[at(entries, "erasure-batch")].record["counts"] = "many"


@pytest.mark.parametrize(
    "forge",
    [
        lost_batch, batch_too_many, batch_of_another, batch_that_contradicts_itself, other_end,
        erased_what_was_to_be_kept, kept_on_another_basis, kept_what_was_to_go, lost_plan,
        lost_plan_with_its_step, plan_not_shown, other_plan_shown, other_plan_approved,
        approved_alone_by_two, approved_by_two_alone,
        approved_by_two_through_two_doors, never_approved, never_confirmed,
        never_verified, lost_extension, completed_twice, step_after_the_end, not_completed,
        end_not_shown, refused_one, anothers, anothers_record, connector_not_asked,
        connector_silent, connector_called_silent_that_answered,
        connector_called_answering_that_was_silent, connector_given_up_twice,
        connector_that_answered_before_it_was_given_up, connector_that_answered_twice_since,
        silent_where_the_end_names_no_request, connector_said_otherwise, another_connector,
        connector_of_something_else, connector_that_the_end_does_not_name,
        connector_asked_that_never_answered, answers_where_the_end_names_no_request,
        plan_of_another, strange_entry, due_later, verified_with_findings,
        started_before_it_was_approved, batch_after_it_was_verified, counts_of_text,
    ],
    ids=lambda forge: forge.__name__,
)  # fmt: skip
def test_entries_that_do_not_go_together_bear_no_certificate(forge: Forge) -> None:
    entries = erasure_entries()
    forge(entries)
    with pytest.raises(CertificateError):
        issue(entries)


def test_there_is_none_for_all_tenants() -> None:
    with pytest.raises(CertificateError, match="of one tenant"):
        issue(erasure_entries(), None)


def test_erased_names_are_missing_and_the_rest_stands() -> None:
    stated = certified(issue([replace(e, texts={}) for e in erasure_entries()]).data).statement
    assert stated["approval"]["by"] is None
    assert stated["approval"]["alone"] is False
    text = to_text(stated)
    assert "somebody whose name was erased" in text
    assert "another than who had entered the request" in " ".join(text.split())


def test_who_may_be_who_entered_it_is_not_called_another() -> None:
    for actor, said in (
        (f"login:{ERASURE}", "nothing shows that it is another than who had entered the request"),
        ("command:ann", "who had entered the request, alone"),
    ):
        entries = erasure_entries()
        facts(entries, "approved")["alone"] = True
        entries[at(entries, "erasure-event", "approved")].texts["actor"] = actor
        stated = certified(issue(entries).data).statement
        assert said in " ".join(to_text(stated).split())


def test_who_never_acknowledged_is_said_not_to_have() -> None:
    entries = erasure_entries()
    given_up(entries)
    found = certified(issue(entries).data)
    (mail,) = found.statement["connectors"]
    assert (mail["state"], mail["answer"], mail["reached"]) == ("withdrawn", None, True)
    assert mail["withdrawn"]["by"] == "command:eve"
    paper = " ".join(to_text(found.statement).split())
    for part in (
        "never; withdrawn 2026-02-06",
        "command:eve",
        "never acknowledged, and was reached",
    ):
        assert part in paper, paper
    (said,) = [line for line in _said(found.statement) if "connector" in line]
    assert said.startswith("The connector mail was reached, and had not acknowledged when")
    assert said.endswith("by command:eve: whether it has erased anything is not known.")

    number = at(entries, "connector-event", "withdrawn") + 1
    late = connector_event("acknowledged", digest=sha256("late"), id=CERTIFICATE)
    entries.insert(number, late)
    (mail,) = certified(issue(entries).data).statement["connectors"]
    assert (mail["state"], mail["answer"]["event"]) == ("withdrawn", "acknowledged")
    (said,) = [
        line for line in _said(certified(issue(entries).data).statement) if "connector" in line
    ]
    assert "it has acknowledged since" in said


def test_whom_nobody_reached_is_said_not_to_have_been() -> None:
    entries = erasure_entries()
    given_up(entries)
    del entries[at(entries, "connector-event", "told")]
    stated = certified(issue(entries).data).statement
    assert "was never reached" in " ".join(to_text(stated).split())
    assert any("connector mail was never reached" in line for line in _said(stated))


def test_who_entered_an_answer_for_a_connector_is_named() -> None:
    entries = erasure_entries()
    entries[at(entries, "connector-event", "acknowledged")].texts["actor"] = "command:eve"
    stated = certified(issue(entries).data).statement
    assert "acknowledged, as command:eve entered" in " ".join(to_text(stated).split())
    entries[at(entries, "connector-event", "acknowledged")].texts["actor"] = "connector:mail"
    stated = certified(issue(entries).data).statement
    assert " entered" not in " ".join(to_text(stated).split("What others were asked")[1:])[:300]


def test_one_from_before_requests_were_named_says_what_was_answered() -> None:
    entries = [each for each in erasure_entries() if each.kind != "connector-event"]
    del facts(entries, "completed")["requests"]
    (mail,) = certified(issue(entries).data).statement["connectors"]
    assert (mail["connector"], mail["state"], mail["answer"]) == ("mail", "acknowledged", None)
    assert "not recorded" in to_text(certified(issue(entries).data).statement)


def test_text_and_paper_have_the_same_figures() -> None:
    stated = certified(MADE.data).statement
    text = to_text(stated)
    for part in (
        ERASURE, "acme", "s. 12 Books Act", HOLD, "mail", "messages 4", "NIST", "by 1 month",
        "plan 2", "the complexity of the request", "another than who had entered",
    ):  # fmt: skip
        assert part in text
    assert to_pdf(stated) == to_pdf(stated)
    assert to_pdf(stated).startswith(b"%PDF")
