"""A lone statement's message carries its token as the setting; nothing else may pass for it.

Each attack runs as tenure_app on a backend that served tenant b before, and so with a token of
b's for this very backend, which injected SQL may have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from shop.models import Customer

from api.wiring import Installation, sealer_of
from tenants.context_keys import begin_rotation, end_rotation
from tenants.seal import MESSAGE_BEGINS, Sealer

from .conftest import Pair, scope_of

COUNT = "SELECT count(*) FROM shop.customers"
REFUSED = (psycopg2.errors.InsufficientPrivilege, psycopg2.DataError)


@pytest.fixture
def session(installation: Installation) -> Iterator[Any]:
    connection = psycopg2.connect(installation.settings.role_url("tenure_app"))
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def sealer(installation: Installation) -> Sealer:
    return sealer_of(installation.settings)


def begins(setting: str) -> str:
    return f"{MESSAGE_BEGINS}{setting}', true); "


def test_it_serves_its_message_and_nothing_after_it(
    session: Any, sealer: Sealer, pair: Pair
) -> None:
    cursor, pid = session.cursor(), session.info.backend_pid
    for tenant, rows in ((pair.a, 2), (pair.b, 3)):
        cursor.execute(sealer.before_statement(tenant, pid) + COUNT)
        assert cursor.fetchone() == (rows,)
    cursor.execute(COUNT)
    assert cursor.fetchone() == (0,)


# What stands in a message that begins with a's token, before it counts.
INJECTED = {
    "b's token as the setting": "SELECT set_config('tenure.context', '{seen}', true)",
    "b's token for the session": "SELECT set_config('tenure.context', '{seen}', false)",
    "b's token by SET": "SET tenure.context = '{seen}'",
    "b's token by SET LOCAL": "SET LOCAL tenure.context = '{seen}'",
    "in a block": "DO $x$ BEGIN PERFORM set_config('tenure.context', '{seen}', true); END $x$",
    "in a subtransaction": "DO $x$ BEGIN BEGIN PERFORM set_config('tenure.context', '{seen}',"
    " true); PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN"
    " PERFORM set_config('tenure.context', '{seen}', true); END; END $x$",
    "in a transaction of its own": "COMMIT; BEGIN; {begins_seen}SELECT 1",
    "after a rollback": "ROLLBACK; {begins_seen}SELECT 1",
    "with the function": "SELECT tenure.set_tenant('{seen}')",
    "in a comment before": "/* {begins_seen} */ SET LOCAL tenure.context = '{seen}'",
    "b's id with a's seal": "SET LOCAL tenure.context = '{swapped}'",
    "b's id": "SET LOCAL tenure.context = '{b}'",
    "no seal": "SET LOCAL tenure.context = '{b}:'",
    "a's token and the message's rest": "SET LOCAL tenure.context = '{mine}'', true); SELECT 1'",
    "a part of a's token": "SET LOCAL tenure.context = '{part}'",
    "a's token without its end": "SET LOCAL tenure.context = '{short}'",
    "a setting of b's, made before": "SET LOCAL tenure.context = '{old}'",
}


@pytest.mark.parametrize("injected", INJECTED)
def test_what_is_injected_behind_a_token_reaches_nobody_else(
    session: Any, sealer: Sealer, pair: Pair, injected: str
) -> None:
    cursor, pid = session.cursor(), session.info.backend_pid
    seen, mine = sealer.token(pair.b, pid), sealer.token(pair.a, pid)
    cursor.execute(sealer.before_statement(pair.b, pid) + COUNT)
    assert cursor.fetchone() == (3,)
    cursor.execute(
        f"{sealer.in_transaction(pair.b, pid)}; SELECT current_setting('tenure.context')"
    )
    old = cursor.fetchone()[0]
    attack = INJECTED[injected].format(
        seen=seen,
        begins_seen=begins(seen),
        swapped=mine.replace(str(pair.a), str(pair.b)),
        b=pair.b,
        mine=mine,
        part=mine[:36],
        short=mine[:-1],
        old=old,
    )
    with pytest.raises(REFUSED):
        cursor.execute(f"{sealer.before_statement(pair.a, pid)}{attack}; {COUNT}")
    cursor.execute("ROLLBACK; RESET ALL")
    cursor.execute(COUNT)
    assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    "later",
    [
        "SELECT set_config('tenure.context', '{seen}', true); {count}",
        "SELECT set_config('tenure.context', '{mine}', true); {count}",
        "SET LOCAL tenure.context = '{seen}'; {count}",
        "SELECT 1; {begins_seen}{count}",
        " {begins_seen}{count}",
        "/**/{begins_seen}{count}",
        "COMMIT; {begins_seen}{count}",
    ],
)
@pytest.mark.parametrize("how", ["before_statement", "in_transaction"])
def test_in_a_transaction_a_token_is_no_context(
    session: Any, sealer: Sealer, pair: Pair, later: str, how: str
) -> None:
    """A later message of the transaction does not begin as one of a lone statement does."""
    cursor, pid = session.cursor(), session.info.backend_pid
    if how == "in_transaction":
        cursor.execute(f"BEGIN; {sealer.in_transaction(pair.a, pid)}")
        cursor.execute(COUNT)
        assert cursor.fetchone() == (2,)
    else:
        cursor.execute(sealer.before_statement(pair.a, pid) + "COMMIT; BEGIN")
    seen = sealer.token(pair.b, pid)
    message = later.format(
        seen=seen, mine=sealer.token(pair.a, pid), begins_seen=begins(seen), count=COUNT
    )
    with pytest.raises(REFUSED):
        cursor.execute(message)


def test_a_setting_left_in_the_session_is_no_context(
    session: Any, sealer: Sealer, pair: Pair
) -> None:
    cursor, pid = session.cursor(), session.info.backend_pid
    left = f"SELECT set_config('tenure.context', '{sealer.token(pair.b, pid)}', false)"
    cursor.execute(sealer.before_statement(pair.a, pid) + left)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="forged"):
        cursor.execute(COUNT)
    cursor.execute(sealer.before_statement(pair.a, pid) + COUNT)
    assert cursor.fetchone() == (2,)


Forger = Callable[[Sealer, Any, int], str]
FORGED: dict[str, Forger] = {
    "of another backend": lambda sealer, tenant, pid: sealer.token(tenant, pid + 1),
    "bound to an instant": lambda sealer, tenant, pid: replace(sealer, binding="expiry").token(
        tenant, pid
    ),
    "of another key": lambda sealer, tenant, pid: replace(sealer, key=bytes(32)).token(tenant, pid),
    "of another kind": lambda sealer, tenant, pid: f"{tenant}:{sealer.mac(f'{tenant}{pid}')}",
    "without a seal": lambda _sealer, tenant, _pid: f"{tenant}:",
    "plain": lambda _sealer, tenant, _pid: str(tenant),
    "longer": lambda sealer, tenant, pid: sealer.token(tenant, pid) + "0",
    "in capitals": lambda sealer, tenant, pid: sealer.token(tenant, pid).upper(),
    "of nobody": lambda _sealer, _tenant, _pid: "",
    "of zeros": lambda _sealer, tenant, _pid: f"{tenant}:{'0' * 64}",
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_not_sealed_for_the_session_is_refused(
    session: Any, sealer: Sealer, pair: Pair, forged: str
) -> None:
    setting = FORGED[forged](sealer, pair.b, session.info.backend_pid)
    with pytest.raises(REFUSED):
        session.cursor().execute(begins(setting) + COUNT)


def test_a_token_serves_no_other_role(
    session: Any, installation: Installation, sealer: Sealer, pair: Pair
) -> None:
    """Each role has sessions of its own, and a token is one session's."""
    with installation.retention.pool.connection() as other, other.cursor() as cursor:
        cursor.execute(sealer.before_statement(pair.b, other.get_backend_pid()) + COUNT)
        assert cursor.fetchone() == (3,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="forged"):
            cursor.execute(sealer.before_statement(pair.b, session.info.backend_pid) + COUNT)


def test_while_keys_are_exchanged_both_serve_and_afterwards_one(
    session: Any, installation: Installation, sealer: Sealer, pair: Pair, owner_sql: Any
) -> None:
    cursor, pid = session.cursor(), session.info.backend_pid
    following = replace(sealer, key=bytes(range(32)))

    def serves(one: Sealer) -> bool:
        try:
            cursor.execute(one.before_statement(pair.a, pid) + COUNT)
        except psycopg2.errors.InsufficientPrivilege:
            return False
        return bool(cursor.fetchone() == (2,))

    def as_owner(step: Callable[[Any], None]) -> None:
        with psycopg2.connect(installation.settings.role_url("tenure_owner")) as owner:
            step(owner.cursor())

    assert (serves(sealer), serves(following)) == (True, False)
    as_owner(lambda owner: begin_rotation(owner, sealer.key, following.key, actor="test"))
    assert (serves(sealer), serves(following)) == (True, True)
    as_owner(lambda owner: end_rotation(owner, following.key, finish=True, actor="test"))
    # A token that was made, and kept, before.
    assert (serves(sealer), serves(following)) == (False, True)


PARALLEL = (
    "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;"
    " SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL enable_indexonlyscan = off;"
    " SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; "
)


@pytest.fixture
def many(pair: Pair, owner_sql: Any) -> int:
    """Rows of a, enough for workers; in all there are 20,005."""
    owner_sql(
        "INSERT INTO shop.customers (id, tenant_id, number, name, country, created_at)"
        " SELECT gen_random_uuid(), %s, 'n' || n, 'x', 'DE', now()"
        " FROM generate_series(1, 20000) n",
        (str(pair.a),),
    )
    owner_sql("ANALYZE shop.customers")
    return 20002


def test_workers_serve_the_messages_tenant(
    session: Any, sealer: Sealer, pair: Pair, many: int
) -> None:
    cursor, pid = session.cursor(), session.info.backend_pid
    enter = sealer.before_statement(pair.a, pid) + PARALLEL
    query = f"{COUNT} c WHERE country = 'DE' AND EXISTS (SELECT FROM shop.customers)"
    cursor.execute(f"{enter} EXPLAIN (ANALYZE, COSTS OFF) {query}")
    plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Parallel Seq Scan" in plan
    assert "Workers Launched: 0" not in plan
    cursor.execute(enter + query)
    assert cursor.fetchone() == (many,)


def test_what_a_worker_takes_for_its_message_is_no_context(
    session: Any, sealer: Sealer, pair: Pair, many: int, owner_sql: Any
) -> None:
    """In a worker current_query() is the text of the query it works on, and that may be chosen.

    The function that counts is called safe by a domain that does not know better.
    """
    owner_sql(
        "CREATE FUNCTION shop.counted(integer) RETURNS bigint LANGUAGE plpgsql STABLE"
        " PARALLEL SAFE AS 'BEGIN RETURN (SELECT count(*) FROM shop.customers); END'"
    )
    owner_sql("GRANT EXECUTE ON FUNCTION shop.counted(integer) TO tenure_app")
    owner_sql("CREATE TABLE shop.open AS SELECT n FROM generate_series(1, 20000) n")
    owner_sql("GRANT SELECT ON shop.open TO tenure_app")
    cursor, pid = session.cursor(), session.info.backend_pid
    seen = begins(sealer.token(pair.b, pid))
    inner = f"{seen}SELECT count(*) FROM shop.open WHERE shop.counted(n) = 3"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="forged"):
        cursor.execute(
            f"{sealer.before_statement(pair.a, pid)}{PARALLEL}"
            "SET LOCAL parallel_leader_participation = off;"
            f" DO $x$ BEGIN EXECUTE $y${inner}$y$; END $x$"
        )


def test_the_function_that_tells_the_tenant_stays_with_the_leader(
    installation: Installation, owner_sql: Any
) -> None:
    assert owner_sql(
        "SELECT proparallel, provolatile, prosecdef FROM pg_proc"
        " WHERE oid = 'tenure.current_tenant()'::regprocedure"
    ) == [("r", "s", True)]


def test_processes_from_before_an_upgrade_are_served(
    session: Any, sealer: Sealer, pair: Pair
) -> None:
    """They begin a lone statement's message with the function."""
    cursor, pid = session.cursor(), session.info.backend_pid
    cursor.execute(f"SELECT tenure.set_tenant('{sealer.token(pair.b, pid)}'); {COUNT}")
    assert cursor.fetchone() == (3,)


def test_what_the_query_layer_sends_is_such_a_message(
    installation: Installation, pair: Pair
) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(pair.a):
        assert Customer.select().count() == 2
    with scope_of(pair.b):
        assert Customer.select().count() == 3
    assert [message.startswith(MESSAGE_BEGINS) for message in sent] == [True, True]
    assert str(pair.a) not in sent[1]
