"""The books come out even over whatever honest people do, and fail to over what is not honest."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from config.clock import FixedClock
from config.trace import new_trace_id
from retention import holds
from retention.errors import VerificationError
from retention.executor import Options
from retention.policies import Policy
from retention.policy_file import parse_policies
from retention.policy_records import record_policies, set_state
from retention.removals import record_removals
from retention.verification import last_finished
from tenants.context import TenantId, tenant_scope

from .conftest import CATALOG, POLICIES

FIGURES = (
    "opening", "newly_due", "deleted", "deleted_along", "removed", "no_longer_due", "held",
    "undeletable", "paused", "still_due", "vanished", "difference",
)  # fmt: skip


def entry(report: Any, policy: str, tenant: TenantId) -> dict[str, int]:
    """The figures of a book that are not zero; {} where nothing changed."""
    for found in report.to_json()["reconciliation"]:
        if (found["policy"], found["tenant_id"]) == (policy, str(tenant)):
            return {key: found[key] for key in FIGURES if found[key]}
    return {}


def findings(report: Any) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for r in report.results:
        if r.is_finding:
            found[r.kind, r.subject] = found.get((r.kind, r.subject), 0) + r.found
    return found


def reasons(report: Any, kind: str) -> dict[str, int]:
    return next(dict(r.reasons) for r in report.results if r.kind == kind and r.found)


def later(lab: Any, days: float = 1) -> None:
    lab.clock = FixedClock(lab.clock.now() + timedelta(days=days))


def hold(lab: Any, tenant: TenantId) -> UUID:
    return holds.place(lab.installation.retention, tenant, matter="m", reason="r", actor="test")


def release(lab: Any, hold_id: UUID) -> None:
    holds.release(
        lab.installation.retention, lab.installation.verifier, hold_id, actor="test", grace="P0D"
    )


def remove_by_user(lab: Any, tenant: TenantId, table: str, row_id: str) -> bool:
    """Delete a row as the application does, and record it; False where others refer to it."""
    app = lab.installation.app
    try:
        with tenant_scope(tenant, actor="login:x", trace_id=new_trace_id()), app.atomic():
            cursor = app.cursor(vouched=True)
            cursor.execute(f"DELETE FROM lab.{table} WHERE id = %s", (row_id,))
            record_removals(app, f"lab.{table}", [UUID(row_id)])
    except psycopg2.errors.ForeignKeyViolation:
        return False
    return True


# -- what is honest ------------------------------------------------------------------------


def test_the_first_account_opens_with_nothing_and_counts_what_went_before(
    lab: Any, acme: TenantId
) -> None:
    for _ in range(5):
        lab.case(acme)
    lab.run()
    lab.case(acme, opened=lab.lately)
    report = lab.verify()
    assert report.account.number == 1
    assert entry(report, "cases", acme) == {"newly_due": 5, "deleted": 5}
    assert findings(report) == {}
    assert lab.verify().account.number == 2
    assert lab.sql("SELECT count(*) FROM tenure.accounted_batches") == lab.sql(
        "SELECT count(*) FROM tenure.batches"
    )


def test_rows_go_through_the_books_from_due_to_deleted(lab: Any, acme: TenantId) -> None:
    held = hold(lab, acme)
    cases = [lab.case(acme) for _ in range(4)]
    lab.case(acme, opened=lab.now - timedelta(days=364))
    assert entry(lab.verify(), "cases", acme) == {"newly_due": 4, "held": 4}
    later(lab, 3)
    assert entry(lab.verify(), "cases", acme) == {"opening": 4, "newly_due": 1, "held": 5}
    assert entry(lab.verify(), "cases", acme) == {"opening": 5, "held": 5}
    accounts = lab.sql("SELECT account FROM tenure.reconciliations ORDER BY account")
    assert accounts == [(1,), (2,)], "where nothing happened, nothing is kept"
    release(lab, held)
    report = lab.verify()
    assert entry(report, "cases", acme) == {"opening": 5, "still_due": 5}
    assert findings(report) == {("overdue", "cases"): 5}
    lab.run()
    lab.case(acme)
    lab.run()
    report = lab.verify()
    assert entry(report, "cases", acme) == {"opening": 5, "newly_due": 1, "deleted": 6}
    assert findings(report) == {}
    assert not lab.ids("cases") & set(cases)


def test_what_keeps_a_row_is_told_apart_and_adds_up(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for _ in range(2):
        lab.case(acme, files=1)
    lab.add("citations", acme, page_id=min(lab.ids("pages")), cited_at=lab.lately)
    record_policies(lab.installation.retention, lab.policies, actor="test")
    set_state(lab.installation.retention, acme, "cases", "paused", actor="test")
    lab.case(globex)
    hold(lab, globex)
    report = lab.verify()
    assert entry(report, "cases", acme) == {"newly_due": 2, "undeletable": 1, "paused": 1}
    assert entry(report, "cases", globex) == {"newly_due": 1, "held": 1}
    assert findings(report) == {}


def test_what_users_do_to_due_rows_is_found_and_no_finding(lab: Any, acme: TenantId) -> None:
    held = hold(lab, acme)
    kept, moved, removed, undated, back = (lab.node(acme) for _ in range(5))
    assert entry(lab.verify(), "nodes", acme) == {"newly_due": 5, "held": 5}
    lab.sql(
        "UPDATE lab.nodes SET made_at = %s WHERE id = ANY(%s::uuid[])", (lab.lately, [moved, back])
    )
    lab.sql("UPDATE lab.nodes SET made_at = NULL WHERE id = %s", (undated,))
    assert remove_by_user(lab, acme, "nodes", removed)
    report = lab.verify()
    assert entry(report, "nodes", acme) == {
        "opening": 5, "removed": 1, "no_longer_due": 3, "held": 1,
    }  # fmt: skip
    # What left comes in again like any other.
    lab.sql("UPDATE lab.nodes SET made_at = %s WHERE id = %s", (lab.long_ago, back))
    report = lab.verify()
    assert entry(report, "nodes", acme) == {"opening": 1, "newly_due": 1, "held": 2}
    release(lab, held)
    lab.run()
    report = lab.verify()
    assert entry(report, "nodes", acme) == {"opening": 2, "deleted": 2}
    assert findings(report) == {}
    assert kept not in lab.ids("nodes")


def test_a_policy_made_longer_shorter_or_dropped_moves_rows_openly(
    lab: Any, acme: TenantId
) -> None:
    held = hold(lab, acme)
    for _ in range(3):
        lab.case(acme, opened=lab.now - timedelta(days=500))

    def with_cases(**changes: Any) -> tuple[Policy, ...]:
        return tuple(replace(p, **changes) if p.name == "cases" else p for p in lab.policies)

    assert entry(lab.verify(), "cases", acme) == {"newly_due": 3, "held": 3}
    report = lab.verify(lab.shop(policies=with_cases(period="P2Y")))
    assert entry(report, "cases", acme) == {"opening": 3, "no_longer_due": 3}
    assert entry(lab.verify(), "cases", acme) == {"newly_due": 3, "held": 3}
    report = lab.verify(lab.shop(policies=tuple(p for p in lab.policies if p.name != "cases")))
    assert entry(report, "cases", acme) == {"opening": 3, "no_longer_due": 3}
    assert findings(report) == {}
    release(lab, held)
    lab.run()
    report = lab.verify(lab.shop(policies=tuple(p for p in lab.policies if p.name != "cases")))
    assert entry(report, "cases", acme) == {"newly_due": 3, "deleted": 3}
    assert findings(report) == {}


def test_what_goes_along_under_another_policy_is_deleted_there(lab: Any, acme: TenantId) -> None:
    policies = parse_policies(
        POLICIES.replace('"lab.pages", ', '"lab.pages", "lab.citations", '), CATALOG
    )
    shop = lab.shop(policies=policies)
    record_policies(lab.installation.retention, policies, actor="test")
    set_state(lab.installation.retention, acme, "citations", "paused", actor="test")
    set_state(lab.installation.retention, acme, "cases", "paused", actor="test")
    lab.case(acme, files=1)
    lab.add("citations", acme, page_id=min(lab.ids("pages")), cited_at=lab.long_ago)
    assert entry(lab.verify(shop), "citations", acme) == {"newly_due": 1, "paused": 1}
    set_state(lab.installation.retention, acme, "cases", "active", actor="test")
    lab.run(shop)
    assert lab.ids("citations") == set()
    report = lab.verify(shop)
    assert entry(report, "citations", acme) == {"opening": 1, "deleted_along": 1}
    assert entry(report, "cases", acme) == {"opening": 1, "deleted": 1}
    assert findings(report) == {}


@contextlib.contextmanager
def not_to_be_asked(lab: Any, name: str) -> Any:
    """The policy has a condition that fails on some row."""
    sound = lab.policies
    lab.policies = tuple(
        replace(p, condition="r.doubt::integer > 0") if p.name == name else p for p in sound
    )
    yield
    lab.policies = sound


def test_what_others_did_while_a_policy_could_not_be_asked_is_told_of_afterwards(
    lab: Any, acme: TenantId
) -> None:
    """Gone along with another policy's rows, and by a user: both longer ago than the last account
    looks back."""
    lab.policies = parse_policies(
        POLICIES.replace('"lab.pages", ', '"lab.pages", "lab.citations", '), CATALOG
    )
    record_policies(lab.installation.retention, lab.policies, actor="test")
    for name in ("citations", "cases"):
        set_state(lab.installation.retention, acme, name, "paused", actor="test")
    lab.sql("ALTER TABLE lab.citations ADD COLUMN doubt text DEFAULT 'none'")
    lab.case(acme, files=1)
    page = min(lab.ids("pages"))
    lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    lab.case(acme, files=1, opened=lab.lately)
    page = max(lab.ids("pages"))
    of_users = lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    assert entry(lab.verify(), "citations", acme) == {"newly_due": 2, "paused": 2}
    lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    set_state(lab.installation.retention, acme, "cases", "active", actor="test")
    lab.run()
    assert remove_by_user(lab, acme, "citations", of_users)
    lab.sql("ALTER TABLE tenure.removals DISABLE TRIGGER USER")
    lab.sql("UPDATE tenure.removals SET removed_at = removed_at - interval '3 days'")
    lab.sql("ALTER TABLE tenure.verifications DISABLE TRIGGER USER")
    lab.sql("UPDATE tenure.verifications SET started_at = started_at - interval '4 days'")
    with not_to_be_asked(lab, "citations"):
        for _ in range(2):
            report = lab.verify()
            assert findings(report) == {("overdue", "citations"): 1}
            assert entry(report, "citations", acme) == {"opening": 2, "paused": 2}
    report = lab.verify()
    assert findings(report) == {}
    assert entry(report, "citations", acme) == {
        "opening": 2, "newly_due": 1, "deleted_along": 1, "removed": 1, "paused": 1,
    }  # fmt: skip
    assert entry(lab.verify(), "citations", acme) == {"opening": 1, "paused": 1}


def test_a_batch_that_is_open_while_a_verification_looks_counts_in_the_next(
    lab: Any, acme: TenantId
) -> None:
    for _ in range(3):
        lab.case(acme)
    recorded, looked = threading.Event(), threading.Event()

    def pause(step: str) -> None:
        if step == "recorded" and not looked.is_set():
            recorded.set()
            assert looked.wait(30)

    options = Options(batch_size=10, on_step=pause)
    runner = threading.Thread(target=lambda: lab.run(lab.shop(options=options)))
    runner.start()
    assert recorded.wait(30)
    # The batch's record bears a time from before this verification, which cannot see it.
    report = lab.verify()
    assert entry(report, "cases", acme) == {"newly_due": 3, "still_due": 3}
    looked.set()
    runner.join(30)
    report = lab.verify()
    assert entry(report, "cases", acme) == {"opening": 3, "deleted": 3}
    assert findings(report) == {}


def test_a_look_back_moves_no_book_and_the_next_account_misses_nothing(
    lab: Any, acme: TenantId
) -> None:
    hold(lab, acme)
    lab.case(acme, opened=lab.now - timedelta(days=370))
    assert lab.verify().account.number == 1
    past = lab.shop().verify(as_of=lab.now - timedelta(days=30), trace_id=new_trace_id())
    assert past.account is None
    assert findings(past) == {}
    assert lab.sql("SELECT account FROM tenure.verifications ORDER BY id") == [(1,), (None,)]
    lab.case(acme)
    report = lab.verify()
    assert (report.account.number, entry(report, "cases", acme)) == (
        2,
        {"opening": 1, "newly_due": 1, "held": 2},
    )


def test_an_account_from_before_the_clock_was_put_back_ends_no_book(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    right = lab.clock
    lab.clock = FixedClock(lab.now + timedelta(days=3650))
    first = lab.verify()
    lab.clock = right
    removed = lab.case(acme, opened=lab.now - timedelta(days=370))
    report = lab.verify()
    assert report.account is not None
    assert report.account.number == first.account.number + 1
    assert findings(report)["records", "accounts"] == 1, "somebody is to hear of the clock"
    lab.sql("UPDATE lab.cases SET opened = opened")
    assert remove_by_user(lab, acme, "cases", removed)
    last = lab.verify()
    assert ("records", "accounts") not in findings(last), "it was told"
    assert entry(last, "cases", acme)["removed"] == 1
    lab.clock = FixedClock(lab.now - timedelta(minutes=30))
    assert lab.verify().account is None, "a little is waited for"


def test_nights_in_which_nobody_looked_are_not_filled_in_afterwards(
    lab: Any, acme: TenantId
) -> None:
    hold(lab, acme)
    lab.case(acme)
    # Not even where there is no account yet: the books are opened when somebody looks.
    early = lab.shop().verify(as_of=lab.now - timedelta(days=2), trace_id=new_trace_id())
    assert early.account is None
    assert last_finished(lab.installation.retention) is None
    assert lab.verify().account.number == 1
    later(lab, 31)
    for day in range(1, 30):
        as_of = lab.now + timedelta(days=day)
        assert lab.shop().verify(as_of=as_of, trace_id=new_trace_id()).account is None, day
    # A run takes its time; as of its plan, what came due meanwhile is next.
    plan = lab.clock.now() - timedelta(hours=9)
    assert lab.shop().verify(as_of=plan, trace_id=new_trace_id()).account.number == 2


def test_verifications_at_once_become_accounts_one_after_the_other(
    lab: Any, acme: TenantId
) -> None:
    hold(lab, acme)
    lab.case(acme)
    barrier = threading.Barrier(3)
    failed: list[BaseException] = []

    def look() -> None:
        barrier.wait()
        try:
            assert findings(lab.verify()) == {}
        except (psycopg2.Error, VerificationError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert lab.sql("SELECT account FROM tenure.verifications ORDER BY account") == [
        (1,),
        (2,),
        (3,),
    ]
    assert lab.sql("SELECT account, newly_due FROM tenure.reconciliations") == [(1, 1)]


# -- a busy, honest database ---------------------------------------------------------------


class Busy:
    """Honest people at work between two verifications."""

    def __init__(self, lab: Any, tenants: list[TenantId], seed: int) -> None:
        self.lab = lab
        self.tenants = tenants
        self.rng = random.Random(seed)
        self.held: dict[TenantId, UUID] = {}
        self.undone = 0

    def when(self) -> Any:
        now = self.lab.clock.now()
        return now - timedelta(days=self.rng.choice((3, 300, 364, 366, 700, 3000)))

    def insert(self, tenant: TenantId) -> None:
        parents = [None, *self.ids("nodes", tenant)]
        self.lab.node(tenant, self.when(), parent_id=self.rng.choice(parents))
        self.lab.case(tenant, opened=self.when(), files=self.rng.randrange(2))

    def change(self, tenant: TenantId) -> None:
        for table, column in (("nodes", "made_at"), ("cases", "opened")):
            for row_id in self.ids(table, tenant)[:2]:
                value = None if self.rng.random() < 0.1 else self.when()
                self.lab.sql(f"UPDATE lab.{table} SET {column} = %s WHERE id = %s", (value, row_id))

    def cite(self, tenant: TenantId) -> None:
        for page in self.ids("pages", tenant)[:1]:
            self.lab.add("citations", tenant, page_id=page, cited_at=self.when())

    def remove(self, tenant: TenantId) -> None:
        if tenant not in self.held:  # a held row cannot be deleted through the API
            for table in ("citations", "nodes"):
                for row_id in self.ids(table, tenant)[:2]:
                    remove_by_user(self.lab, tenant, table, row_id)

    def hold_or_release(self, tenant: TenantId) -> None:
        if tenant in self.held:
            release(self.lab, self.held.pop(tenant))
        else:
            self.held[tenant] = hold(self.lab, tenant)

    def pause_or_resume(self, tenant: TenantId) -> None:
        state = self.rng.choice(("paused", "active"))
        set_state(self.lab.installation.retention, tenant, "cases", state, actor="test")

    def run(self, tenant: TenantId) -> None:
        self.lab.run()

    def run_interrupted(self, tenant: TenantId) -> None:
        """A run that is stopped after a batch or two, or dies at a step of one."""
        steps = self.rng.randrange(1, 12)

        def die(_step: str) -> None:
            nonlocal steps
            steps -= 1
            if steps == 0:
                self.undone += 1
                raise _DiedError

        # The next run finishes what this one leaves, once its lease has run out.
        options = Options(batch_size=2, on_step=die)
        with contextlib.suppress(_DiedError):
            self.lab.run(self.lab.shop(options=options, lease_ttl_s=0.05))

    def ids(self, table: str, tenant: TenantId) -> list[str]:
        rows = self.lab.sql(
            f"SELECT id::text FROM lab.{table} WHERE tenant_id = %s ORDER BY id", (str(tenant),)
        )
        found = [row[0] for row in rows]
        self.rng.shuffle(found)
        return found

    def work(self, times: int) -> None:
        deeds: list[Callable[[TenantId], None]] = [
            self.insert, self.insert, self.change, self.cite, self.remove, self.hold_or_release,
            self.pause_or_resume, self.run, self.run_interrupted,
        ]  # fmt: skip
        for _ in range(times):
            self.rng.choice(deeds)(self.rng.choice(self.tenants))


class _DiedError(Exception):
    pass


@pytest.mark.parametrize("seed", range(4))
def test_a_busy_honest_database_gives_no_false_alarm(
    lab: Any, acme: TenantId, globex: TenantId, seed: int
) -> None:
    busy = Busy(lab, [acme, globex], seed)
    record_policies(lab.installation.retention, lab.policies, actor="test")
    moved: dict[str, int] = dict.fromkeys(FIGURES, 0)
    # By chance alone, hardly any row is due for a while and then removed by a user.
    node = lab.node(acme)
    lab.verify()
    assert remove_by_user(lab, acme, "nodes", node)
    for _ in range(12):
        busy.work(8)
        later(lab, busy.rng.random() * 30)
        report = lab.verify()
        # Rows that became due since the last run are overdue, and rightly so.
        assert {kind for kind, _ in findings(report)} <= {"overdue"}, findings(report)
        for found in report.to_json()["reconciliation"]:
            for key in FIGURES:
                moved[key] += found[key]
    for tenant in list(busy.held):
        release(lab, busy.held.pop(tenant))
    lab.run()
    assert findings(lab.verify()) == {}
    assert busy.undone > 0
    assert moved["difference"] == moved["vanished"] == 0
    for key in ("newly_due", "deleted", "removed", "no_longer_due", "held"):
        assert moved[key] > 0, f"the test does not show what it says: no {key}"
    # From the first opening to the last close: what came is what went and what is there.
    ((came, went),) = lab.sql(
        "SELECT sum(newly_due), sum(deleted + deleted_along + removed + no_longer_due)"
        " FROM tenure.reconciliations"
    )
    ((there,),) = lab.sql(
        "SELECT sum(closing) FROM (SELECT DISTINCT ON (policy, tenant_id) closing"
        " FROM tenure.reconciliations ORDER BY policy, tenant_id, account DESC) last"
    )
    assert came == went + there


# -- what is not honest: a fault of each kind, planted and seen -------------------------------


def test_a_due_row_deleted_behind_our_back_does_not_come_out(lab: Any, acme: TenantId) -> None:
    hold(lab, acme)
    first, _ = lab.case(acme), lab.case(acme)
    lab.verify()
    lab.sql("DELETE FROM lab.cases WHERE id = %s", (first,))
    report = lab.verify()
    assert entry(report, "cases", acme) == {
        "opening": 2, "held": 1, "vanished": 1, "difference": 1,
    }  # fmt: skip
    assert findings(report) == {("reconciliation", "cases"): 1}
    assert reasons(report, "reconciliation") == {"due, and gone without a record": 1}
    stored = lab.sql(
        "SELECT vanished, difference, closing FROM tenure.reconciliations WHERE account = 2"
    )
    assert stored == [(1, 1, 1)]
    # It is said once, and the books go on from what is there.
    assert findings(lab.verify()) == {}


def test_the_service_itself_deleting_without_a_record_is_seen(lab: Any, acme: TenantId) -> None:
    record_policies(lab.installation.retention, lab.policies, actor="test")
    set_state(lab.installation.retention, acme, "nodes", "paused", actor="test")
    node = lab.node(acme)
    lab.verify()
    with lab.installation.retention.transaction(acme) as cursor:
        cursor.execute("DELETE FROM lab.nodes WHERE id = %s", (node,))
    assert findings(lab.verify()) == {("reconciliation", "nodes"): 1}


def test_a_user_of_another_tenant_or_table_covers_nothing(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    hold(lab, acme)
    node = lab.node(acme)
    lab.verify()
    lab.sql("DELETE FROM lab.nodes WHERE id = %s", (node,))
    app = lab.installation.app
    for tenant, table in ((globex, "lab.nodes"), (acme, "lab.cases")):
        with tenant_scope(tenant, actor="login:x", trace_id=new_trace_id()), app.atomic():
            record_removals(app, table, [UUID(node)])
    assert findings(lab.verify()) == {("reconciliation", "nodes"): 1}


def test_a_deleted_row_that_is_back_is_found(lab: Any, acme: TenantId, globex: TenantId) -> None:
    cases = [lab.case(acme) for _ in range(3)]
    lab.run()
    assert findings(lab.verify()) == {}
    lab.add("cases", acme, id=cases[0], opened=lab.lately.date())
    lab.add("cases", globex, id=cases[1], opened=lab.lately.date())  # another tenant's own row
    report = lab.verify()
    assert findings(report) == {("returned", "lab.cases"): 1}
    assert [r.tenant for r in report.results if r.is_finding] == ["acme"]
    # As a restored backup brings it, it is past its period, too.
    lab.sql("UPDATE lab.cases SET opened = '2001-01-01' WHERE id = %s", (cases[0],))
    assert findings(lab.verify()) == {("returned", "lab.cases"): 1, ("overdue", "cases"): 1}


def test_a_deletion_that_was_recorded_and_not_done_is_found(lab: Any, acme: TenantId) -> None:
    record_policies(lab.installation.retention, lab.policies, actor="test")
    hold(lab, acme)
    kept = lab.case(acme)
    lab.case(acme)
    lab.verify()
    forge_batch(lab, acme, [kept])
    report = lab.verify()
    assert findings(report) == {("returned", "lab.cases"): 1, ("reconciliation", "cases"): 1}
    assert entry(report, "cases", acme) == {
        "opening": 2, "deleted": 1, "held": 2, "difference": -1,
    }  # fmt: skip
    assert reasons(report, "reconciliation") == {"figures differ": 1}


@pytest.mark.parametrize("lie", ["count", "digest", "missing", "unnamed"])
def test_a_batch_whose_count_or_digest_is_not_its_keys_is_found(
    lab: Any, acme: TenantId, lie: str
) -> None:
    record_policies(lab.installation.retention, lab.policies, actor="test")
    forge_batch(lab, acme, ["0190d6a4-0000-7000-8000-000000000001"], lie=lie)
    report = lab.verify()
    assert findings(report)["records", "batches"] == 1
    # Counts and keys are different sources: where the count is wrong, the book tells, too.
    assert (("reconciliation", "cases") in findings(report)) == (lie != "digest")
    assert ("records", "batches") not in findings(lab.verify()), "each batch is counted once"


def forge_batch(lab: Any, tenant: TenantId, ids: list[str], lie: str = "") -> None:
    """Write a batch that says these cases were deleted, as nobody but the owner could."""
    run, batch = "0190d6a4-0000-7000-8000-00000000000a", "0190d6a4-0000-7000-8000-00000000000b"
    lab.sql(
        "INSERT INTO tenure.runs (id, trace_id, as_of, plan, state, started_by, started_at,"
        " finished_at) VALUES (%s, %s, now(), '{}', 'succeeded', 'x', now(), now())",
        (run, "ab" * 16),
    )
    lab.sql(
        "WITH k AS (SELECT string_agg(substr(sha256(uuid_send(i::uuid)), 1, 16), ''::bytea) AS h,"
        "           count(*) AS n FROM unnest(%(ids)s) i),"
        " b AS (INSERT INTO tenure.batches (run_id, id, trace_id, tenant_id, policy,"
        "        policy_version, cutoff, rows_deleted, counts, progress, started_at)"
        "  SELECT %(run)s, %(batch)s, %(trace)s, %(tenant)s, 'cases', 1, now(), n,"
        "   CASE WHEN %(lie)s = 'unnamed' THEN jsonb '{}' ELSE jsonb_build_object('lab.cases',"
        "    jsonb_build_object('rows', n + (%(lie)s = 'count')::int, 'sha256',"
        "    CASE WHEN %(lie)s = 'digest' THEN 'x' ELSE encode(sha256(h), 'hex') END)) END,"
        "   '{}', now() FROM k)"
        " INSERT INTO tenure.deleted_keys (tenant_id, run_id, batch_id, table_name, hashes)"
        " SELECT %(tenant)s, %(run)s, %(batch)s, 'lab.cases', h FROM k WHERE %(lie)s <> 'missing'",
        {"ids": ids, "run": run, "batch": batch, "trace": "ab" * 16, "tenant": str(tenant),
         "lie": lie},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE tenure.reconciliations SET held = held + 1", 1),
        ("UPDATE tenure.movements SET hashes = substr(hashes, 1, 16)", 1),
        ("DELETE FROM tenure.movements", 2),
        ("DELETE FROM tenure.reconciliations", 2),
    ],
)
def test_books_that_somebody_rewrote_do_not_come_out(
    lab: Any, acme: TenantId, change: str, expected: int
) -> None:
    hold(lab, acme)
    for _ in range(2):
        lab.case(acme)
    lab.verify()
    for table in ("reconciliations", "movements"):
        lab.sql(f"ALTER TABLE tenure.{table} DISABLE TRIGGER append_only")
    lab.sql(change)
    report = lab.verify()
    assert findings(report) == {("reconciliation", "cases"): expected}
    assert reasons(report, "reconciliation") == {"figures differ": expected}
