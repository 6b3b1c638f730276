"""Letters say what is so: erased is what is gone, and whose word an answer is, is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from retention.erasures.letters import letter_of
from retention.erasures.records import Erasure, ErasureEvent
from tenants.context import TenantId

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ERASED = "Your data has been erased"
IN_PART = "Your request for erasure: what was erased, and what was not"
REMEDIES = "lodge a complaint"


def erasure(**changes: Any) -> Erasure:
    tables = [
        {"table": "shop.people", "action": "pseudonymise", "basis": "Statistics Act § 3"},
        {"table": "shop.notes", "action": "delete"},
    ]
    given = {
        "id": UUID(int=1), "tenant_id": TenantId(UUID(int=2)), "tenant": "acme",
        "subject": "person", "state": "completed", "entered_by": "login:x", "received_at": NOW,
        "due_at": NOW, "extended_months": 0, "plan": 1, "waits_until": None, "ended_at": NOW,
        "definition": {"name": "person", "table": "shop.people", "lookup": [], "tables": tables},
    }  # fmt: skip
    return Erasure(**(given | changes))


def letter(
    erased: dict[str, dict[str, int]],
    *,
    event: str = "completed",
    facts: Any = None,
    **changes: Any,
) -> tuple[str, str]:
    events = [ErasureEvent(event, "login:x", NOW, facts or {})]  # type: ignore[arg-type]
    found = letter_of(
        erasure(**changes), events, erased, sender="Acme", now=NOW, bases={"notes": "§ 147 AO"}
    )
    assert found.pdf().startswith(b"%PDF")
    return found.title, " ".join(found.text().split())


def test_what_is_gone_everywhere_is_called_erased() -> None:
    title, said = letter(
        {"shop.notes": {"delete": 2}}, facts={"elsewhere": {"crm": "acknowledged"}, "by_hand": []}
    )
    assert title == ERASED
    assert "We have done so, and verified it." in said
    assert "have answered that they did, or had none: crm." in said
    assert REMEDIES not in said


def test_what_is_made_pseudonymous_is_kept_on_a_ground_that_is_named() -> None:
    title, said = letter({"shop.people": {"pseudonymise": 1}, "shop.notes": {"delete": 2}})
    assert title == IN_PART
    assert "We have done so, and verified it, for: - shop.notes, 2 records: deleted" in said
    assert "We keep in pseudonymised form" in said
    assert "by a key that we have it can still be told whose it is" in said
    assert "- shop.people, 1 record: Statistics Act § 3" in said
    assert REMEDIES in said
    assert "made pseudonymous" not in said


def test_a_connector_that_refused_has_not_erased() -> None:
    title, said = letter(
        {"shop.notes": {"delete": 2}},
        facts={"elsewhere": {"crm": "refused", "files": "acknowledged"}, "by_hand": []},
    )
    assert title == IN_PART
    assert "refused to erase it, so that it is still there: crm." in said
    assert "did, or had none: files." in said
    assert REMEDIES in said


def test_an_answer_that_one_of_us_entered_is_said_to_be() -> None:
    title, said = letter(
        {"shop.notes": {"delete": 2}},
        facts={"elsewhere": {"crm": "acknowledged"}, "by_hand": ["crm"]},
    )
    assert title == ERASED
    assert "came on another way, and one of us entered it: crm." in said
    assert "have answered that they did" not in said


def test_one_that_found_nothing_does_not_say_that_it_erased() -> None:
    title, said = letter({})
    assert title == "Your request for erasure: we found no data of yours"
    assert "We have done so" not in said


@pytest.mark.parametrize("hold", [None, "01a1f8b0-40cf-765f-99aa-7eac363e7fc8"])
def test_what_waits_says_why_and_promises_nothing(hold: str | None) -> None:
    one = {"hold": hold, "policy": None if hold else "notes", "rows": 3, "until": None}
    _, said = letter(
        {}, event="deferred", facts={"waiting": {"shop.notes": [one]}}, state="deferred",
        ended_at=None,
    )  # fmt: skip
    wanted = "is under a legal hold" if hold else "must be kept for a minimum period: § 147 AO"
    assert wanted in said
    assert "legal claims" not in said
    assert "nothing else" not in said


def test_what_is_kept_is_not_said_to_be_used_for_nothing_else() -> None:
    kept = [{"table": "shop.invoices", "rows": 4, "basis": "§ 147 AO", "ends": []}]
    title, said = letter({"shop.notes": {"delete": 2}}, facts={"kept": kept})
    assert title == IN_PART
    assert "§ 147 AO; until the end of what they belong to" in said
    assert "nothing else" not in said
    assert "kept apart" not in said
    assert REMEDIES in said
