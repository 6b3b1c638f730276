"""Raw SQL runs when the linter's prover clears it, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from peewee import SQL, InterfaceError, fn
from shop.models import Customer, Invoice

from api.wiring import Installation
from tenants.errors import (
    NestedTenantError,
    NoTenantError,
    TenantMismatchError,
    UnprovenSqlError,
    UnscopableError,
)

from .conftest import Pair, scope_of

OWN = "tenant_id = (SELECT tenure.current_tenant())"

PROVEN: dict[str, Callable[[Any], Any]] = {
    "execute_sql": lambda db: db.execute_sql(f"SELECT name FROM shop.customers WHERE {OWN}"),
    "with values": lambda db: db.execute_sql(
        f"SELECT name FROM shop.customers WHERE {OWN} AND number < %s", ("9",)
    ),
    "a join": lambda db: db.execute_sql(
        "SELECT c.name FROM shop.customers c JOIN shop.invoices i"
        " ON i.tenant_id = c.tenant_id AND i.customer_id = c.id WHERE c." + OWN
    ),
    "Model.raw": lambda _db: Customer.raw(f"SELECT name FROM shop.customers WHERE {OWN}").tuples(),
    "a fragment in a query": lambda _db: (
        Customer.select(Customer.name).where(SQL("length(t1.number) > 0")).tuples()
    ),
    "a fragment in a column": lambda _db: Customer.select(
        Customer.name, SQL("upper(t1.country)")
    ).tuples(),
}


@pytest.mark.parametrize("how", PROVEN)
def test_what_is_proven_runs_and_sees_the_tenants_rows(
    installation: Installation, pair: Pair, how: str
) -> None:
    for tenant_id, count in ((pair.a, 2), (pair.b, 3)):
        with scope_of(tenant_id):
            rows = list(PROVEN[how](installation.app))
            assert len(rows) == count
            assert all(row[0].startswith(str(tenant_id)) for row in rows)


UNPROVEN: dict[str, Callable[[Any, Pair], Any]] = {
    "no predicate": lambda db, _p: db.execute_sql("SELECT name FROM shop.customers"),
    "a value that anybody may choose": lambda db, p: db.execute_sql(
        "SELECT name FROM shop.customers WHERE tenant_id = %s", (str(p.b),)
    ),
    "a hard-coded tenant": lambda db, p: db.execute_sql(
        f"SELECT name FROM shop.customers WHERE tenant_id = '{p.b}'"
    ),
    "two statements": lambda db, _p: db.execute_sql(
        f"SELECT 1 FROM shop.customers WHERE {OWN}; SELECT name FROM shop.customers"
    ),
    "a value's place in quotes": lambda db, _p: db.execute_sql(
        f"SELECT name FROM shop.customers WHERE {OWN} AND number = '%s'",
        (" UNION SELECT name FROM shop.customers -- ",),
    ),
    "a value's place in a name": lambda db, _p: db.execute_sql(
        f'SELECT name AS "%s" FROM shop.customers WHERE {OWN}', (' " FROM shop.customers -- ',)
    ),
    "a value's place in a comment": lambda db, _p: db.execute_sql(
        f"SELECT name FROM shop.customers WHERE {OWN} -- %s", ("\nOR true",)
    ),
    "a value's place in dollar quotes": lambda db, _p: db.execute_sql(
        f"SELECT name FROM shop.customers WHERE {OWN} AND number = $a$%s$a$", ("$a$ OR true --",)
    ),
    "a value's place in a fragment's quotes": lambda _db, _p: list(
        Customer.select().where(SQL("t1.number = '%s'", [" OR true -- "]))
    ),
    "a value for a fragment without a place": lambda _db, _p: list(
        Customer.select(SQL("*", ['x" FROM shop.customers --']), Customer.name.alias("%s"))
    ),
    "an OR": lambda db, _p: db.execute_sql(f"SELECT name FROM shop.customers WHERE {OWN} OR true"),
    "another's context": lambda db, p: db.execute_sql(f"SELECT tenure.set_tenant('{p.b}')"),
    "a setting": lambda db, p: db.execute_sql("SELECT set_config('tenure.context', 'x', true)"),
    "SET": lambda db, _p: db.execute_sql("SET LOCAL tenure.context = 'x'"),
    "SET ROLE": lambda db, _p: db.execute_sql("SET ROLE tenure_verifier"),
    "DO": lambda db, _p: db.execute_sql("DO $$ BEGIN PERFORM 1; END $$"),
    "COPY": lambda db, _p: db.execute_sql("COPY shop.customers TO STDOUT"),
    "EXPLAIN ANALYZE": lambda db, _p: db.execute_sql("EXPLAIN ANALYZE DELETE FROM shop.customers"),
    "nonsense": lambda db, _p: db.execute_sql("SELEC 1"),
    "a cursor's": lambda db, _p: db.cursor().execute("SELECT name FROM shop.customers"),
    "a cursor WITH HOLD": lambda db, _p: db.cursor().execute(
        f"DECLARE k CURSOR WITH HOLD FOR SELECT name FROM shop.customers WHERE {OWN}"
    ),
    "a cursor's place in quotes": lambda db, _p: db.cursor().execute(
        f"SELECT name FROM shop.customers WHERE {OWN} AND number = '%s'", ("x",)
    ),
    "a fragment that reads a table": lambda _db, _p: list(
        Customer.select(SQL("(SELECT max(name) FROM shop.customers)"))
    ),
    "a fragment that widens": lambda _db, _p: list(Customer.select().where(SQL("true) OR (true"))),
    "a fragment in FROM": lambda _db, _p: list(
        Customer.select(Customer.name, SQL("o.name")).from_(Customer, SQL("shop.customers o"))
    ),
    "a fragment that adds a set": lambda _db, _p: list(
        Customer.select(Customer.name).where(SQL("true UNION SELECT name FROM shop.customers"))
    ),
}


@pytest.mark.parametrize("how", UNPROVEN)
def test_what_is_not_proven_is_not_sent(installation: Installation, pair: Pair, how: str) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(pair.a):
        # One whose cursor is asked for needs a transaction, and the others do not mind.
        with installation.app.atomic(), pytest.raises(UnprovenSqlError):
            UNPROVEN[how](installation.app, pair)
        if "cursor" not in how:
            with pytest.raises(UnprovenSqlError):
                UNPROVEN[how](installation.app, pair)
    assert sent == []


def test_a_cursor_is_lent_in_a_transaction_and_passes_the_gate(
    installation: Installation, pair: Pair
) -> None:
    app = installation.app
    with scope_of(pair.a), app.atomic():
        cursor = app.cursor()
        assert cursor.description is None
        cursor.execute(f"SELECT name FROM shop.customers WHERE {OWN} AND number < %s", ("1",))
        assert (cursor.rowcount, cursor.description[0].name) == (1, "name")
        assert cursor.fetchone() == (f"{pair.a}:0",)
        assert cursor.fetchone() is None
        cursor.execute(f"SELECT number FROM shop.customers WHERE {OWN} ORDER BY number")
        assert [number for (number,) in cursor] == ["0", "1"]
        cursor.execute(f"SELECT number FROM shop.customers WHERE {OWN} ORDER BY number")
        cursor.fetchone()
        assert cursor.fetchall() == [("1",)]
        cursor.close()
        assert cursor.fetchall() == []
    with scope_of(pair.b), app.atomic(), pytest.raises(NestedTenantError), scope_of(pair.a):
        cursor.execute(f"SELECT name FROM shop.customers WHERE {OWN}")
    with scope_of(pair.b):
        cursor.execute(f"SELECT name FROM shop.customers WHERE {OWN}")
        assert len(cursor.fetchall()) == 3
    with pytest.raises(NoTenantError):
        cursor.execute(f"SELECT name FROM shop.customers WHERE {OWN}")


@pytest.mark.parametrize(
    "ask",
    [
        lambda app: app.cursor(),
        lambda app: app.cursor("named"),
        lambda app: app.cursor(vouched=True),
        lambda app: app.connection(),
    ],
)
def test_a_drivers_own_is_not_lent(
    installation: Installation, pair: Pair, ask: Callable[[Any], Any]
) -> None:
    pool = installation.app_connections.pool
    with scope_of(pair.a), pytest.raises(UnscopableError):
        ask(installation.app)
    with pytest.raises(UnscopableError):
        ask(installation.app)
    assert pool.in_use == 0
    with scope_of(pair.a), installation.app.atomic():
        with pytest.raises(UnscopableError):
            installation.app.connection()
        with pytest.raises(UnscopableError):
            installation.app.cursor("named")


def test_a_vouched_cursor_is_lent_in_its_tenants_transaction_alone(
    installation: Installation, pair: Pair
) -> None:
    """On a connection that is held, its statement would run under no tenant; and in a generator's
    transaction, under the generator's."""
    app = installation.app

    def theirs() -> Any:
        with scope_of(pair.b), app.atomic():
            yield

    with scope_of(pair.a), app.connection_context(), pytest.raises(UnscopableError):
        app.cursor(vouched=True)
    suspended = theirs()
    next(suspended)
    with pytest.raises(NoTenantError):
        app.cursor(vouched=True)
    suspended.close()

    def mine() -> Any:
        with scope_of(pair.a):
            yield from iter(lambda: app.cursor(vouched=True), None)

    asked = mine()
    with scope_of(pair.a), app.atomic():
        next(asked).execute("SELECT 1")
    with scope_of(pair.b), app.atomic(), pytest.raises(NestedTenantError):
        next(asked)


def test_rows_are_handed_out_without_what_could_send_more(
    installation: Installation, pair: Pair
) -> None:
    statement = f"SELECT name FROM shop.customers WHERE {OWN}"
    with scope_of(pair.a):
        lone = installation.app.execute_sql(statement)
        with installation.app.atomic():
            inside = installation.app.execute_sql(statement)
            read = Customer.select().execute()
            list(read)
            for rows in (lone, inside, read.cursor):
                for name in ("execute", "executemany", "copy_expert", "connection", "callproc"):
                    assert not hasattr(rows, name)
            assert len(inside.fetchall()) == len(lone.fetchall()) == 2


def test_a_query_without_fragments_needs_no_proof(installation: Installation, pair: Pair) -> None:
    with scope_of(pair.a):
        window = fn.rank().over(partition_by=[Customer.country], order_by=[Customer.number])
        assert len(list(Customer.select(Customer.name, window).tuples())) == 2
        assert (
            Invoice.select().where(Invoice.number.like("%1%") & (Invoice.total >= 0)).count() == 1
        )


def _left_in_a_transaction(app: Any, statement: str) -> Any:
    with app.atomic():
        return app.execute_sql(statement)


def _left_in_a_cursor(app: Any, statement: str) -> Any:
    with app.atomic():
        cursor = app.cursor()
        cursor.execute(statement)
        return cursor


LEFT: dict[str, Callable[[Any, str], Any]] = {
    "lone": lambda app, statement: app.execute_sql(statement),
    "in a transaction": _left_in_a_transaction,
    "in a cursor": _left_in_a_cursor,
}


@pytest.mark.parametrize("how", LEFT)
@pytest.mark.parametrize("read", [lambda r: r.fetchone(), lambda r: r.fetchall(), list])
def test_rows_that_were_left_are_not_handed_to_another(
    installation: Installation, pair: Pair, how: str, read: Callable[[Any], Any]
) -> None:
    with scope_of(pair.a):
        rows = LEFT[how](installation.app, f"SELECT name FROM shop.customers WHERE {OWN}")
    with scope_of(pair.b), pytest.raises(TenantMismatchError):
        read(rows)
    with pytest.raises(NoTenantError):
        read(rows)
    with scope_of(pair.a):
        assert read(rows)
    rows.close()


def _tree_left_in_a_transaction(app: Any, **options: Any) -> Any:
    with app.atomic():
        return app.execute(Customer.select(Customer.name), **options)


LEFT_BY_TREES: dict[str, Callable[[Any], Any]] = {
    "lone": lambda app: app.execute(Customer.select(Customer.name)),
    "written": lambda app: app.execute(Customer.update(country="FR").returning(Customer.name)),
    "in a transaction": _tree_left_in_a_transaction,
    "on the server": lambda app: _tree_left_in_a_transaction(app, named_cursor=True),
}


@pytest.mark.parametrize("how", LEFT_BY_TREES)
@pytest.mark.parametrize("read", [lambda r: r.fetchone(), lambda r: r.fetchall(), list])
def test_rows_of_a_tree_that_was_executed_directly_are_not_handed_to_another(
    installation: Installation, pair: Pair, how: str, read: Callable[[Any], Any]
) -> None:
    with scope_of(pair.a):
        rows = LEFT_BY_TREES[how](installation.app)
    # A transaction of b's on the same connection: nothing else stands in the way.
    with scope_of(pair.b), installation.app.atomic(), pytest.raises(TenantMismatchError):
        read(rows)
    with pytest.raises(NoTenantError):
        read(rows)
    with scope_of(pair.a):
        if how == "on the server":
            with pytest.raises(InterfaceError):
                read(rows)
        else:
            assert read(rows)
    rows.close()


def test_an_iteration_does_not_go_on_under_another(installation: Installation, pair: Pair) -> None:
    with scope_of(pair.a):
        rows = iter(installation.app.execute_sql(f"SELECT 1 FROM shop.customers WHERE {OWN}"))
        next(rows)
    with scope_of(pair.b), pytest.raises(TenantMismatchError):
        next(rows)
