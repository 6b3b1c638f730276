"""The defences of policies, ticks, batches and leftovers, taken away one at a time; a plugin of
pytest.

`python -m pytest -p retention_weakened ..` with RETENTION_WEAKENED=NAME runs tests without one of
them: some test must fail. `WEAKENED` says which tests those are looked for in, and which words of
which module become which others.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

R = "integration/retention"


class Weakening(NamedTuple):
    """In `module`, `words`, which stand there once, become `others`."""

    tests: str
    module: str
    words: str
    others: str


WEAKENED = {
    # -- policies
    "an explicit policy silences a general one": Weakening(
        f"{R}/test_rules.py",
        "retention.rules",
        'sql.SQL("NOT {}").format(_true_of(condition, alias)) for condition',
        'sql.SQL("true") for condition',
    ),
    "an empty start keeps a minimum's row": Weakening(
        f"{R}/test_rules.py",
        "retention.rules",
        '"coalesce({} >= {}, true)"',
        '"coalesce({} >= {}, false)"',
    ),
    "what was restored is not archived again": Weakening(
        f"{R}/test_actions.py",
        "retention.rules",
        "if self.policy.removes and self.restored:",
        "if False:",
    ),
    "what was restored is not deleted either": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.rules",
        "if self.policy.removes and self.restored:",
        'if self.policy.action == "archive":',
    ),
    "what was restored does not go along": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.rules",
        'found[f"the restoration of {table}"] = _restored(table, alias)',
        "pass",
    ),
    "who restores waits for open batches": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.restoring",
        "        turn_gate(self.cursor, self.batch.tenant_id)",
        "        pass",
    ),
    "of what was restored all rows are noted": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.restoring",
        "self.back[group[number]] = ids or []",
        "self.back[self.batch.policy.table] = ids or []",
    ),
    "the verifier lets be what came back": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.verification_rules",
        "    if policy.removes:",
        '    if policy.action == "archive":',
    ),
    "the verifier knows that what came back does not go along": Weakening(
        f"{R}/test_restored_rows.py",
        "retention.verification_queries",
        'came_back(child, "c"), stays',
        'sql.SQL("false"), stays',
    ),
    "what was changed is not changed again": Weakening(
        f"{R}/test_actions.py",
        "retention.rules",
        'return sql.SQL("({})").format(_all_of(done)) if done else None',
        "return None",
    ),
    "a tenant's period lies within bounds": Weakening(
        f"{R}/test_actions.py",
        "retention.policy_records",
        "        check_period(policy, period)\n    with",
        "        pass\n    with",
    ),
    "a cutoff is counted in UTC": Weakening(
        "unit/retention/test_policies.py",
        "retention.policies",
        "moved = as_of.astimezone(UTC) - period.rest",
        "moved = as_of - period.rest",
    ),
    "a period is not shorter on any day": Weakening(
        "unit/retention/test_policies.py",
        "retention.policies",
        "for n in range(4 * 365 + 1))",
        "for n in range(1))",
    ),
    "a change of policies is recorded once": Weakening(
        f"{R}/test_actions.py",
        "retention.policy_records",
        "if before == after:",
        "if False:",
    ),
    # -- holds and archives
    "what was archived is held with its subject": Weakening(
        f"{R}/test_archived_holds.py",
        "retention.graph",
        "return (*edges, *archived_edges(edges, archives, archives))",
        "return edges",
    ),
    "the verifier climbs to a subject over archives": Weakening(
        f"{R}/test_archived_holds.py",
        "retention.verification_holds",
        "for parent in (one.parent, *copies[one.parent]):",
        "for parent in (one.parent,) if child == one.child else ():",
    ),
    "what was archived needs nothing to be whole": Weakening(
        f"{R}/test_archived_holds.py",
        "retention.held_rows",
        "fresh.get(edge.parent) and not edge.archived",
        "fresh.get(edge.parent)",
    ),
    "what is held does not leave the archive": Weakening(
        f"{R}/test_archived_holds.py",
        "retention.restoring",
        "        if matters:\n            said",
        "        if False:\n            said",
    ),
    "a held row keeps its references when a replay empties others'": Weakening(
        f"{R}/test_replay_cuts.py",
        "retention.replays.batch",
        "return asked.needed(losing)",
        "return ()",
    ),
    "a reference is emptied for what went with it alone": Weakening(
        f"{R}/test_replay_cuts.py",
        "retention.replays.batch",
        "key_hash(UUID(parent)) in hashes)",
        "bool(hashes))",
    ),
    "others' rows that a held row needs keep their references to a person": Weakening(
        f"{R}/test_erasures.py",
        "retention.erasures.judging",
        "self.held_rows.needed(others)",
        "self.held_rows.among(others)",
    ),
    # -- files of connectors
    "a file goes while its session, and the gate, is there": Weakening(
        f"{R}/test_connectors.py",
        "retention.connectors.delivery",
        "            cursor.execute(_STILL_THERE)",
        "            pass",
    ),
    "a portion of files takes so long and no longer": Weakening(
        f"{R}/test_connectors.py",
        "retention.connectors.delivery",
        "courier.stop() or time.monotonic() >= until",
        "courier.stop()",
    ),
    "no file goes and nobody is told while all is stopped": Weakening(
        f"{R}/test_connectors.py",
        "retention.connectors.delivery",
        "if is_stopped(cursor) and not (again and is_restored(cursor)):",
        "if False:",
    ),
    "who stops all waits for a portion of files": Weakening(
        f"{R}/test_connectors.py",
        "retention.connectors.delivery",
        "            take_turn(cursor)",
        "            pass",
    ),
    # -- runs and batches
    "a plan for another catalog is refused": Weakening(
        f"{R}/test_planner.py",
        "retention.runs",
        "if plan.catalog_digest != catalog_digest(catalog):",
        "if False:",
    ),
    "a plan under an old policy is refused": Weakening(
        f"{R}/test_run.py",
        "retention.runs",
        "if recorded.digest != policy.digest or other:",
        "if False:",
    ),
    "no run is opened while all stands still": Weakening(
        f"{R}/test_interventions.py",
        "retention.runs",
        "if is_stopped(cursor):",
        "if False:",
    ),
    "only who leads opens a run": Weakening(
        f"{R}/test_lease.py",
        "retention.runs",
        "            check_fence(cursor, lease)",
        "            pass",
    ),
    "a lease from before the clock was set back is taken over": Weakening(
        f"{R}/test_lease.py",
        "retention.lease",
        "OR l.lease_until > clock_timestamp() + make_interval(secs => %(longest)s)",
        "OR l.lease_until > 'infinity'::timestamptz + make_interval(secs => %(longest)s)",
    ),
    "a batch looks whether the policy changed": Weakening(
        f"{R}/test_run.py",
        "retention.batch",
        "standing.period != task.period or standing.versions != pinned",
        "standing.period != task.period",
    ),
    "a batch looks whether the period changed": Weakening(
        f"{R}/test_actions.py",
        "retention.batch",
        "standing.period != task.period or standing.versions != pinned",
        "standing.versions != pinned",
    ),
    "a batch looks whether it is paused": Weakening(
        f"{R}/test_run.py",
        "retention.batch",
        'if (standing.own_state or task.policy.state) == "paused":',
        "if False:",
    ),
    "a batch without its unit is rolled back": Weakening(
        f"{R}/test_units.py",
        "retention.batch",
        "if standing.in_window is None:",
        "if False:",
    ),
    "a batch that is not counted is rolled back": Weakening(
        f"{R}/test_units.py",
        "retention.batch",
        "if self.session.cursor.rowcount != 1:",
        "if False:",
    ),
    "a sweep that lost a row is rolled back": Weakening(
        f"{R}/test_sweep.py", "retention.batch", "if rows != chosen:", "if False:"
    ),
    "what sees no rows is no success": Weakening(
        f"{R}/test_run.py", "retention.executor", "if seen > (self.left or 0):", "if False:"
    ),
    "a lease from before the clock was set back is taken": Weakening(
        f"{R}/test_units.py",
        "retention.units",
        "AND clock_timestamp() + make_interval(secs => %(longest)s)",
        "AND 'infinity'::timestamptz + make_interval(secs => %(longest)s)",
    ),
    # -- ticks
    "what an open run has is not planned again": Weakening(
        f"{R}/test_ticks.py",
        "retention.tick",
        ".without(open_units(shop.retention))",
        ".without(frozenset())",
    ),
    "missed times are counted": Weakening(
        f"{R}/test_ticks.py", "retention.schedule", "len(times) - 1)", "0)"
    ),
    "a clock that was put back ends no watch": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "SET last_at = greatest(w.last_at, now)",
        "SET last_at = now",
    ),
    "a new schedule is not due at once": Weakening(
        f"{R}/test_ticks.py",
        "retention.schedule",
        "        mark(cursor, Taken(name, now, 0), now)\n        return None",
        "        return Taken(name, now, 0)",
    ),
    "what nobody thought of ends no tick": Weakening(
        f"{R}/test_far_dates.py",
        "retention.tick",
        "            if ends_the_tick(error):\n                raise",
        "            raise",
    ),
    "a policy has its turn as of its plan": Weakening(
        f"{R}/test_ticks.py",
        "retention.tick",
        "self.agenda.done(shop, plan.as_of)",
        "self.agenda.done(shop, shop.clock.now())",
    ),
    "of a run that stalled somebody hears, whoever ended it": Weakening(
        f"{R}/test_ticks.py",
        "retention.outcomes",
        "WHERE u.state IN ('failed', 'stalled') OR u.state",
        "WHERE u.state",
    ),
    "what had no turn keeps its alert": Weakening(
        f"{R}/test_alerts.py",
        "retention.alerts",
        "AND subject <> ALL (%(but)s::text[])",
        "AND %(but)s::text[] IS NOT NULL",
    ),
    "who works long is there": Weakening(
        f"{R}/test_ticks.py",
        "retention.agenda",
        'with beating("watch", 3 * shop.tick_s, watch):',
        'with beating("watch", 3000 * shop.tick_s, watch):',
    ),
    "a question that fails ends no other": Weakening(
        f"{R}/test_verification.py",
        "retention.verification",
        "        if is_away(error):\n            raise",
        "        raise",
    ),
    "an account that is ahead ends no book": Weakening(
        f"{R}/test_reconciliation.py",
        "retention.reconciliation",
        "(last is None or ahead or ",
        "(last is None or ",
    ),
    "own terms follow on one another": Weakening(
        f"{R}/test_own_terms.py",
        "retention.verification_terms",
        "HAVING sum(times) > 0",
        "HAVING true",
    ),
    "a gap is told": Weakening(
        f"{R}/test_ticks.py",
        "retention.schedule",
        "found: timedelta | None = gap",
        "found: timedelta | None = None",
    ),
    "an alert that is over is resolved": Weakening(
        f"{R}/test_alerts.py",
        "retention.alerts",
        "UPDATE tenure.alerts SET resolved_at = clock_timestamp()",
        "UPDATE tenure.alerts SET resolved_at = resolved_at",
    ),
    "an alert is resolved now": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "        NEW.resolved_at := clock_timestamp();",
        "        NULL;",
    ),
    "an alert that was resolved stays so": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "    IF OLD.resolved_at IS NOT NULL THEN",
        "    IF false THEN",
    ),
    "a watch goes on by the interval that it was kept by": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "3 * least(ticking, kept.every)",
        "3 * ticking",
    ),
    "a watch is kept by nobody but the function": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "DROP POLICY tenure_retention_insert ON tenure.watches;\n"
        "DROP POLICY tenure_retention_update ON tenure.watches;\n"
        "REVOKE ALL ON tenure.watches FROM tenure_retention;\n",
        "",
    ),
    "an alert is raised before it is resolved": Weakening(
        f"{R}/test_alerts.py",
        "migrations.0024_powers",
        "IF coalesce(NEW.resolved_at, NEW.delivered_at) IS NOT NULL OR NEW.attempts <> 0 THEN",
        "IF false THEN",
    ),
    "a time to come is in the way of none before it": Weakening(
        f"{R}/test_alerts.py",
        "retention.schedule",
        "FILTER (WHERE due_at <= %s)",
        "FILTER (WHERE %s IS NOT NULL)",
    ),
    "an alert is delivered once": Weakening(
        f"{R}/test_alerts.py",
        "retention.alerts",
        "OR delivered_at NOT BETWEEN clock_timestamp() - %(remind)s AND clock_timestamp())",
        "OR %(remind)s IS NOT NULL)",
    ),
    "what is signed is of now": Weakening(
        f"{R}/test_alerts.py",
        "retention.webhook",
        'str(at).encode() + b"." + body',
        "body",
    ),
    # -- who may what, and who it was
    "exports are read at the desk alone": Weakening(
        "integration/api/test_subjects.py",
        "migrations.0024_powers",
        "({_OWN_COPIES} OR {_ACTOR} IS NOT NULL)",
        "(true)",
    ),
    "an export is entered in nobody else's name": Weakening(
        "integration/api/test_subjects.py",
        "migrations.0024_powers",
        " AND requested_by = {_ACTOR}",
        "",
    ),
    "archives are read at the desk alone": Weakening(
        f"{R}/test_actions.py",
        "tenants.archive",
        "FOR SELECT TO tenure_app USING ({AT_DESK})",
        "FOR SELECT TO tenure_app USING (true)",
    ),
    "a login and an account do not count as two": Weakening(
        f"{R}/test_erasures.py",
        "retention.actors",
        " and _kind(actor) == _kind(than)",
        "",
    ),
    "an approval says truly who gave it": Weakening(
        f"{R}/test_erasures.py",
        "migrations.0024_powers",
        "WHEN (NEW.event = 'approved') EXECUTE",
        "WHEN (false) EXECUTE",
    ),
    "nothing is approved by nobody": Weakening(
        "integration/api/test_erasures.py",
        "migrations.0024_powers",
        "WHEN (NEW.state = 'approved' AND OLD.state <> 'approved')",
        "WHEN (false)",
    ),
    "at the desk steps are people's": Weakening(
        "integration/api/test_erasures.py",
        "migrations.0024_powers",
        "WHEN (session_user = 'tenure_app') EXECUTE",
        "WHEN (false) EXECUTE",
    ),
    "nobody is forgotten at the desk who is being erased": Weakening(
        "integration/api/test_erasures.py",
        "migrations.0024_powers",
        'using = f"{AT_DESK} AND {while_}" if narrow else AT_DESK',
        "using = AT_DESK",
    ),
    "a plan is wanted by who is at the desk": Weakening(
        "integration/api/test_erasures.py",
        "migrations.0024_powers",
        "AND NEW.plan_wanted_by <> tenure.desk_actor()",
        "AND false",
    ),
    "names are believed of the owner": Weakening(
        "integration/tenants/test_access_changes.py",
        "migrations.0024_powers",
        "CASE WHEN session_user = 'tenure_owner' OR EXISTS",
        "CASE WHEN true OR EXISTS",
    ),
    "removals are sealed": Weakening(
        f"{R}/test_removals.py",
        "migrations.0024_powers",
        "    IF NOT tenure.is_sealed(\n        'removal:'",
        "    IF false AND NOT tenure.is_sealed(\n        'removal:'",
    ),
    "removals are recorded by the function alone": Weakening(
        f"{R}/test_removals.py",
        "migrations.0024_powers",
        "REVOKE INSERT ON tenure.removals FROM tenure_app;\n",
        "",
    ),
    # -- connectors
    "that one is told is on record first": Weakening(
        f"{R}/test_connectors.py",
        "retention.connectors.delivery",
        "                cursor.execute(_TOLD, self.values)\n",
        "",
    ),
    "who was told may have begun": Weakening(
        f"{R}/test_erasures.py",
        "migrations.0024_powers",
        "AND (r.told_at IS NOT NULL OR r.counted IS NOT NULL\n",
        "AND (r.counted IS NOT NULL\n",
    ),
    "what was answered stays": Weakening(
        f"{R}/test_connectors.py",
        "migrations.0024_powers",
        "    IF OLD.ended_at IS NOT NULL\n       AND NOT (OLD.state",
        "    IF false\n       AND NOT (OLD.state",
    ),
    "an answer that comes after all is taken": Weakening(
        f"{R}/test_connectors.py",
        "migrations.0024_powers",
        "execute(db, CONNECTORS, ACKNOWLEDGE_LATE)",
        "execute(db, CONNECTORS)",
    ),
    "giving up is no answer": Weakening(
        f"{R}/test_erasures.py",
        "retention.erasures.letters",
        'state not in ("refused", _SILENT))',
        'state != "refused")',
    ),
    "a connector that refused has not erased": Weakening(
        "unit/retention/test_letters.py",
        "retention.erasures.letters",
        "self.pseudonymous or self.refused or self.silent)",
        "self.pseudonymous or self.silent)",
    ),
    # -- after a restore
    "a restored database deletes nothing before the holds are in": Weakening(
        f"{R}/test_replay_elsewhere.py",
        "retention.replays.restores",
        "return restored(retention, actor=actor)",
        "return False",
    ),
    "a replay of what left ends its access": Weakening(
        f"{R}/test_replay_elsewhere.py",
        "retention.replays.execution",
        'cause["offboarding"] = str(self.wanted.offboarding)',
        "pass",
    ),
    "files of a person who is there are not taken for what came back": Weakening(
        f"{R}/test_replay_elsewhere.py",
        "retention.replays.elsewhere",
        'and not (is_known and asked.key in self._rows(asked.subject or ""))',
        "",
    ),
    # -- starting points
    "a changed row's start is the one that made it due": Weakening(
        f"{R}/test_actions.py",
        "retention.statements",
        'starts=self.rule.started("o"),',
        'starts=self.rule.started("x"),',
    ),
    "what is passed over leaves no start": Weakening(
        f"{R}/test_starting_points.py",
        "retention.statements",
        "string_agg({sent}, '') FILTER (WHERE free)",
        "string_agg({sent}, '')",
    ),
    "there are as many starts as hashes": Weakening(
        f"{R}/test_starting_points.py",
        "migrations.0025_starting_points",
        "CHECK (octet_length(starts) IN (octet_length(hashes) / 2, octet_length(hashes) / 4))",
        "CHECK (true)",
    ),
    "the ledger's audit compares starts": Weakening(
        f"{R}/test_starting_points.py",
        "retention.ledger.audited_keys",
        "WHEN s.entry ->> 'starts_sha256' IS DISTINCT FROM k.starts THEN",
        "WHEN false THEN",
    ),
    "an entry that nothing makes explains nothing": Weakening(
        f"{R}/test_ledger_forged.py",
        "retention.ledger.fed_tables",
        "for event in self.events)",
        "for event in _SUFFIXES)",
    ),
    "no more goes by its age than is on record": Weakening(
        f"{R}/test_ledger_forged.py",
        "retention.ledger.audited_leftovers",
        "WHERE e.entered > coalesce(l.recorded, 0)",
        "WHERE false",
    ),
    "what is said to have gone by its age was old enough": Weakening(
        f"{R}/test_ledger_forged.py",
        "retention.ledger.audited_leftovers",
        "WHERE (left(g.said, 19)",
        "WHERE false AND (left(g.said, 19)",
    ),
    "an entry stands behind none that is much younger": Weakening(
        f"{R}/test_ledger_forged.py",
        "retention.ledger.audited_tree",
        "said < self._latest - LATENESS",
        "False",
    ),
    "the books count what was there": Weakening(
        f"{R}/test_ledger_forged.py",
        "retention.ledger.audited_books",
        "((count,),) = cursor.fetchall()",
        "count = 0",
    ),
    "verification compares starts": Weakening(
        f"{R}/test_starting_points.py",
        "retention.reconciliation_queries",
        "           OR c.value->>'starts_sha256' IS DISTINCT FROM encode(sha256(k.starts), 'hex'))",
        "           )",
    ),
    "of what went along the bounds are proven, too": Weakening(
        f"{R}/test_starting_points.py",
        "retention.reports.samples",
        "else (self.place, replace(self.place, table=along))",
        "else (self.place,)",
    ),
    # -- leftovers
    "our own rows have floors": Weakening(
        f"{R}/test_leftovers.py",
        "migrations.0021_leftovers",
        "       > clock_timestamp() - TG_ARGV[1]::interval THEN",
        "       IS NULL THEN",
    ),
    "a clock ahead takes none of our rows": Weakening(
        f"{R}/test_leftovers.py",
        "migrations.0021_leftovers",
        "\n            WHERE t.{ended} < least(ended_before, clock_timestamp() -",
        "\n            WHERE t.{ended} < least(ended_before, clock_timestamp() +",
    ),
    "the last of our rows stay": Weakening(
        f"{R}/test_leftovers.py",
        "migrations.0021_leftovers",
        '"EXISTS (SELECT FROM tenure.watches n WHERE n.last_at > t.last_at)"',
        '"true"',
    ),
    "who stopped retention stopped the deletion of our rows": Weakening(
        f"{R}/test_leftovers.py",
        "migrations.0036_ticks",
        "    IF tenure.is_stopped() THEN\\n        RETURN 0;",
        "    IF false THEN\\n        RETURN 0;",
    ),
    "what went of our rows is recorded": Weakening(
        f"{R}/test_leftovers.py",
        "migrations.0021_leftovers",
        "    HAVING count(*) > 0;\n    RETURN NULL;",
        "    HAVING false;\n    RETURN NULL;",
    ),
    "every table of ours is declared": Weakening(
        f"{R}/test_leftovers.py",
        "retention.leftovers",
        "for t in sorted(there - declared)",
        "for t in sorted(there & set())",
    ),
}


def _weaken(one: Weakening) -> None:
    """Import the module without the defence, before anybody else does."""
    found = importlib.util.find_spec(one.module)
    if found is None or found.origin is None:
        raise LookupError(one.module)
    text = Path(found.origin).read_text()
    if text.count(one.words) != 1:
        raise LookupError(f"{one.module} has {one.words!r} {text.count(one.words)} times")
    if one.module.startswith("migrations."):
        # The runner loads files.
        _weaken_file(Path(found.origin), text.replace(one.words, one.others))
        return
    module = importlib.util.module_from_spec(found)
    sys.modules[one.module] = module
    exec(compile(text.replace(one.words, one.others), found.origin, "exec"), module.__dict__)
    parent, _, name = one.module.rpartition(".")
    setattr(importlib.import_module(parent), name, module)


def _weaken_file(path: Path, text: str) -> None:
    load = SourceFileLoader.exec_module

    def exec_module(self: SourceFileLoader, module: ModuleType) -> None:
        if Path(self.path).resolve() == path.resolve():
            exec(compile(text, str(path), "exec"), module.__dict__)
        else:
            load(self, module)

    SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign]


if name := os.environ.get("RETENTION_WEAKENED"):
    _weaken(WEAKENED[name])
