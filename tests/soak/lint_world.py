"""A database in which a statement is run twice: under row-level security, and without.

Several data sets, a schema each: three tenants whose ids collide, nulls, values that look like
tenants. `scoped` claims that a statement's result and effect are the same in both runs.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import sqlglot
from psycopg2 import errorcodes
from sqlglot import exp

SCHEMA = Path(__file__).parents[1] / "unit" / "lint" / "cases" / "schema.sql"
ORACLE = Path(__file__).with_name("lint_oracle.sql")
TABLES = ("orgs", "t", "s", "g", "gt", "n", "items", "c", "k", "e", "p")
# What a materialized view of g holds: rows as they were, by now others.
_OLD = "CREATE TABLE g_old (id int PRIMARY KEY, org int NOT NULL, x int)"
# The tenants beside 1, which statements name. 10 looks like it to a cast that cuts; those below
# it come first where rows are cut off.
_OTHERS = (-2, 0, 2, 2, 3, 4, 9, 10, 10, 31)
_MANY = (0, 1, 1, 1, 2, 2, 3, 4, 10)


# In its place no tenant is set: a source is null, and security shows nothing.
NOBODY = -1


def tenant_in(dataset: int) -> int:
    """The tenant a statement of the current one is run for."""
    return (1, 2, 10)[dataset % 3]


def _view(said: str) -> str:
    """A view as the world has it. A materialized one, too, whose rows are by then cut down like
    those of the tables: they are what tenant 2 saw, in a database as it was."""
    if said.startswith("CREATE MATERIALIZED"):
        said = said.replace(" MATERIALIZED", "").partition("WITH NO DATA")[0]
        said = said.replace("tenure.current_tenant()", "2").replace("public.g", "g_old")
    return said.replace("public.", "").replace(" AS", " WITH (security_invoker) AS", 1)


_POLICIES = {
    "orgs": "id = current_setting('app.org')::int",
    "items": "EXISTS (SELECT 1 FROM g WHERE g.id = items.gid)",
}
_DUMP = " UNION ALL ".join(f"SELECT '{t}', {t}::text FROM {t}" for t in TABLES)
_PLANS = (
    "enable_hashjoin = off; SET LOCAL enable_hashagg = off",
    "enable_nestloop = off; SET LOCAL enable_sort = off",
    "enable_mergejoin = off; SET LOCAL enable_seqscan = off",
)


@dataclass(frozen=True)
class Outcome:
    """`error`: an SQLSTATE. `rows` and `tables` are multisets; `tables` is of a write."""

    error: str | None
    rows: Any = None
    tables: Any = None
    changed: bool = False


@dataclass(frozen=True)
class Difference:
    """Where the two runs part, and what each gave."""

    dataset: int
    tenant: int
    restricted: Outcome
    free: Outcome

    def __str__(self) -> str:
        lines = [f"data set {self.dataset}, tenant {self.tenant}"]
        for what, mine, theirs in (
            ("rows", self.restricted.rows, self.free.rows),
            ("tables", self.restricted.tables, self.free.tables),
        ):
            if mine != theirs and mine is not None and theirs is not None:
                lines.append(f"{what} only under security: {dict(mine - theirs)}")
                lines.append(f"{what} only without: {dict(theirs - mine)}")
        if self.restricted.error or self.free.error:
            lines.append(f"errors: {self.restricted.error} and {self.free.error}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Told:
    """What the data sets say of a statement. `errors` are SQLSTATEs under security; `unsettled`:
    it gave two answers, and has several without security, too."""

    difference: Difference | None = None
    answered: bool = False
    telling: bool = False
    errors: tuple[str, ...] = ()
    unsettled: bool = False


@contextmanager
def open_world(cluster: Any, *, seed: str, datasets: int = 6) -> Iterator[World]:
    """A world in a database of its own."""
    name = f"lint_fuzz_{uuid4().hex[:12]}"
    cluster.create_database(name)
    try:
        world = World(cluster.url(name), seed=seed, datasets=datasets)
        try:
            yield world
        finally:
            world.close()
    finally:
        cluster.drop_database(name)


class World:
    """One database's data sets."""

    def __init__(self, url: str, *, seed: str, datasets: int) -> None:
        self.datasets = datasets
        self.runs = 0
        self.unstable = 0
        self._kept: dict[str, Any] = {}
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._role = f"{self._connection.info.dbname}_app"
        self._make(seed)

    def close(self) -> None:
        """Forget the role; the database is the caller's to drop."""
        self._cursor.execute(f'DROP OWNED BY "{self._role}"; DROP ROLE "{self._role}"')
        self._connection.close()

    def _make(self, seed: str) -> None:
        run = self._cursor.execute
        run(f'CREATE ROLE "{self._role}"')
        run("CREATE SCHEMA tenure")
        run("CREATE FUNCTION tenure.current_tenant() RETURNS int LANGUAGE sql STABLE"
            f" AS $$ SELECT nullif(current_setting('app.org')::int, {NOBODY}) $$")  # fmt: skip
        run(f'GRANT USAGE ON SCHEMA tenure TO "{self._role}"')
        run(ORACLE.read_text())
        # Planning is what takes the time: as little of it as can be.
        for setting in ("jit = off", "join_collapse_limit = 1", "from_collapse_limit = 1",
                        "max_parallel_workers_per_gather = 0"):  # fmt: skip
            run(f"SET {setting}")
        tables = [
            part
            for part in SCHEMA.read_text().split(";\n")
            if part.partition("CREATE TABLE ")[2].partition(" ")[0] in TABLES
        ]
        assert len(tables) == len(TABLES), "the schema of the case table has changed"
        tables += [_OLD]
        types = [p for p in SCHEMA.read_text().split(";\n") if p.startswith("CREATE TYPE ")]
        views = [
            _view(part)
            for part in SCHEMA.read_text().split(";\n")
            if part.startswith(("CREATE VIEW", "CREATE MATERIALIZED VIEW"))
        ]
        for number in range(self.datasets):
            for name in (f"d{number}", f"r{number}"):
                made = "; ".join((*types, *tables))
                run(f"CREATE SCHEMA {name}; SET search_path = {name}; {made}")
                for table in (*TABLES, "g_old"):
                    condition = _POLICIES.get(table, "org = current_setting('app.org')::int")
                    run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
                        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
                        f"CREATE POLICY p ON {table} USING ({condition})")  # fmt: skip
                run("; ".join(views))
                run(f'GRANT USAGE ON SCHEMA {name} TO "{self._role}";'
                    f' GRANT ALL ON ALL TABLES IN SCHEMA {name} TO "{self._role}"')  # fmt: skip
        self.fill(seed)

    def fill(self, seed: str) -> None:
        """Put other rows into every data set; the r-schemas get them in another order."""
        self._kept.clear()
        for number in range(self.datasets):
            rows = _rows(random.Random(f"{seed}/{number}"), tenant_in(number), 1 + number % 2)
            for name, ordered in ((f"d{number}", rows), (f"r{number}", rows[::-1])):
                parts = [f"SET search_path = {name}", f"TRUNCATE {', '.join(TABLES)}, g_old"]
                for table in (*TABLES, "g_old"):  # the order keeps foreign keys
                    listed = ", ".join(f"({', '.join(v)})" for of, v in ordered if of == table)
                    parts += [f"INSERT INTO {table} VALUES {listed}"] if listed else []
                self._cursor.execute("; ".join(parts))

    # -- running -----------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._cursor.execute("ROLLBACK")

    def run(
        self, sql: str, schema: str, tenant: int, *, restricted: bool, plan: str = ""
    ) -> Outcome:
        """Run a statement and take it back."""
        self.runs += 1
        role = f'SET LOCAL ROLE "{self._role}"; ' if restricted else ""
        plan = f"SET LOCAL {plan}; " if plan else ""
        setting = (
            f"BEGIN; SET LOCAL search_path = {schema}; SET LOCAL app.org = '{tenant}';"
            f" SET LOCAL statement_timeout = '1s'; {plan}{role}"
        )
        with self._transaction():
            try:
                self._cursor.execute(setting + sql)
                # Texts, for a column may be of a type that has no hash.
                rows = (
                    Counter(map(repr, self._cursor.fetchall()))
                    if self._cursor.description
                    else Counter({"rows changed": self._cursor.rowcount})
                )
                tables = None
                if any(word in sql for word in _WRITES):
                    self._cursor.execute(f"RESET ROLE; {_DUMP}")
                    tables = Counter(self._cursor.fetchall())
            except psycopg2.Error as error:
                return Outcome(error.pgcode or "?")
        return Outcome(None, rows, tables, tables is not None and tables != self._before(schema))

    def _before(self, schema: str) -> Any:
        if schema not in self._kept:
            self._cursor.execute(f"SET search_path = {schema}; {_DUMP}")
            self._kept[schema] = Counter(self._cursor.fetchall())
        return self._kept[schema]

    def ask(self, asked: Sequence[tuple[str, int | None]]) -> list[Told]:
        """What the data sets say of each statement for its tenant (None: the data set's own)."""
        told = [Told() for _ in asked]
        waiting = [(index, 0) for index in range(len(asked))]
        while waiting:
            again: list[tuple[int, int]] = []
            answers = self._compare([(*asked[index], since) for index, since in waiting])
            for (index, _), (dataset, answered, telling, errors, runs) in zip(
                waiting, answers, strict=True
            ):
                known = told[index]
                self.runs += runs
                difference = None
                set_aside = self.unstable
                if dataset is not None:
                    tenant = asked[index][1]
                    difference = self.difference(
                        asked[index][0], dataset, tenant_in(dataset) if tenant is None else tenant
                    )
                    if difference is None and dataset + 1 < self.datasets:
                        again.append((index, dataset + 1))
                told[index] = Told(
                    difference,
                    known.answered or answered,
                    known.telling or telling,
                    (*known.errors, *errors),
                    known.unsettled or self.unstable > set_aside,
                )
            waiting = again
        return told

    def _compare(self, asked: Sequence[tuple[str, int | None, int]]) -> list[Any]:
        """One round trip for all of them; what takes too long is asked alone."""
        statements, tenants, since = (list(part) for part in zip(*asked, strict=True))
        limit = 5 if len(asked) > 1 else 1
        try:
            self._cursor.execute(
                f"BEGIN; SET LOCAL statement_timeout = '{limit}s';"
                " SELECT * FROM fuzz.compare(%s, %s, %s::int[], %s, %s, %s)",
                (statements, [shape(sql) for sql in statements], tenants, since,
                 self.datasets - 1, self._role),
            )  # fmt: skip
            return list(self._cursor.fetchall())
        except psycopg2.Error as error:
            if len(asked) == 1:
                return [(None, False, False, [error.pgcode or "?"], 0)]
        finally:
            self._cursor.execute("ROLLBACK")
        half = len(asked) // 2
        return self._compare(asked[:half]) + self._compare(asked[half:])

    def difference(self, sql: str, dataset: int, tenant: int) -> Difference | None:
        """How the two runs differ, if they do and each of them has one answer only."""
        schema = f"d{dataset}"
        free = self.run(sql, schema, tenant, restricted=False)
        restricted = self.run(sql, schema, tenant, restricted=True)
        if free == restricted:
            return None
        # A constraint speaks of rows that are written. Other errors depend on what is looked at
        # first: a condition that fails for a row of another tenant may or may not be asked.
        written = {None, errorcodes.INSUFFICIENT_PRIVILEGE, errorcodes.UNIQUE_VIOLATION,
                   errorcodes.FOREIGN_KEY_VIOLATION, errorcodes.NOT_NULL_VIOLATION}  # fmt: skip
        if not {free.error, restricted.error} <= written:
            return None
        # A key is free only once its row is gone: the order of the rows decides, not the tenant.
        late = errorcodes.UNIQUE_VIOLATION in (free.error, restricted.error) and (
            "MERGE " in sql or sum(word in sql for word in _WRITES[:3]) > 1
        )
        if late or any_order(sql) or not self._stable(sql, dataset, tenant, restricted, free):
            self.unstable += 1
            return None
        return Difference(dataset, tenant, restricted, free)

    def _stable(
        self, sql: str, dataset: int, tenant: int, restricted: Outcome, free: Outcome
    ) -> bool:
        """Whether rows in another order and other plans make no other answer."""
        for check in matches(sql):
            self._cursor.execute(f"SET search_path = d{dataset}; SET app.org = '{tenant}'")
            try:
                self._cursor.execute(check)
            except psycopg2.Error:
                return False
            if self._cursor.fetchone() != (0,):
                return False
        return all(
            self.run(sql, f"{kind}{dataset}", tenant, restricted=limited, plan=plan) == expected
            for kind in "dr"
            for plan in ("", *_PLANS)
            for limited, expected in ((True, restricted), (False, free))
        )


_WRITES = ("INSERT ", "UPDATE ", "DELETE ", "MERGE ")
_WORD = re.compile(r"'[^']*'|[()]|\b[A-Z]+\b")


def shape(sql: str) -> str:
    """How the oracle has to run a statement: `read`, `rows` (it writes, and returns rows) or
    `write`."""
    if not any(word in sql for word in _WRITES):
        return "read"
    depth, first = 0, ""
    for found in _WORD.findall(sql):
        depth += {"(": 1, ")": -1}.get(found, 0)
        if depth == 0 and not first and f"{found} " in (*_WRITES, "SELECT ", "VALUES "):
            first = found
        if depth == 0 and (first == "SELECT" or found == "RETURNING"):
            return "rows"
    return "write"


# What these say of a row depends on which rows come before it.
_BY_ORDER = (
    exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag, exp.Lead, exp.RowNumber, exp.Ntile,
)  # fmt: skip


def any_order(sql: str) -> bool:
    """Whether a window function that goes by the order of its rows is given none.

    Where the statement has another window, its sort may decide, in every plan alike: one sort
    under security, where the tenant is a constant, and another without.
    """
    try:
        tree = sqlglot.parse_one(sql, read="postgres")
    except sqlglot.errors.SqlglotError:
        return False
    ordered = {
        window.name.lower()
        for window in tree.find_all(exp.Window)
        if window.args.get("order") is not None and isinstance(window.this, exp.Identifier)
    }
    return any(
        isinstance(window.this, _BY_ORDER)
        and window.args.get("order") is None
        and window.alias.lower() not in ordered
        for window in tree.find_all(exp.Window)
    )


def matches(sql: str) -> list[str]:
    """A query per UPDATE .. FROM and DELETE .. USING of which the result is one match's among
    several, if there are: by how much matches exceed target rows."""
    try:
        tree = sqlglot.parse_one(sql, read="postgres")
    except sqlglot.errors.SqlglotError:
        return []
    found = []
    for node in tree.find_all(exp.Update, exp.Delete):
        if isinstance(node.parent, exp.When) or not isinstance(node.this, exp.Table):
            continue
        start = node.args.get("from_")
        sources = [start.this] if start is not None else list(node.args.get("using") or ())
        if not sources:
            continue
        name = node.this.alias_or_name
        written = [part.expression for part in node.expressions if isinstance(part, exp.EQ)]
        returned = (node.args.get("returning") or exp.Tuple()).expressions
        named = {t.alias_or_name for s in sources for t in s.find_all(exp.Table, exp.Subquery)}
        theirs = [
            column
            for part in (*written, *returned)
            for column in part.find_all(exp.Column)
            if not column.table or column.table in named
        ]
        if not theirs:
            continue
        target = node.this.sql("postgres")
        listed = ", ".join(source.sql("postgres") for source in sources)
        where = node.args.get("where")
        clause = tree.args.get("with_")
        around = ""
        if clause is not None:
            read = [c for c in clause.expressions if isinstance(c.this, exp.Query)]
            word = "WITH RECURSIVE " if clause.args.get("recursive") else "WITH "
            around = word + ", ".join(c.sql("postgres") for c in read) + " " if read else ""
        found.append(
            f"{around}SELECT count(*) - count(DISTINCT {name}.ctid) FROM {target}, {listed}"
            f" {where.sql('postgres') if where is not None else ''}"
        )
    return found


def _rows(rng: random.Random, current: int, size: int) -> list[tuple[str, list[str]]]:
    """The rows of a data set: (table, values), parents first. `size` multiplies them."""
    found: list[tuple[str, list[str]]] = []
    others = (-3, -2, 0) if rng.random() < 0.15 else _OTHERS
    tenants = list(dict.fromkeys((1, current, *rng.sample(others, 3))))[:3]
    rng.shuffle(tenants)
    # Few values meet often, many seldom; what a tenant has none of tells as well.
    values = rng.choice((
        _MANY, _MANY, (0, 1, 2), (1, 2, 3), (1, 2), (1, current), (-3, -1, 1, 2),
        tenants, (*tenants, 1, 2), range(2, 7), range(-2, 8),
    ))  # fmt: skip
    # A sum that only grows, and a row that has none before it, would hide what is among them.
    low = rng.choice((0, 0, 0, -3))
    nulls = rng.choice((0.25, 0.25, 0.05, 0.6, 0))
    pool = rng.choice((
        range(low, low + 7), range(low, low + 7), range(low, low + 3), range(4, 13),
        sorted({*tenants, 1, 2, 3}),
    ))  # fmt: skip
    # How many of the pool's ids a tenant has: some, at most one, or all, so that each meets each.
    filled = rng.choice(("some", "some", "some", "one", "all"))
    lacking = {t for t in TABLES if rng.random() < 0.3} if rng.random() < 0.5 else set()
    lacking |= {"c"} if rng.random() < 0.4 else set()
    # A parent's row may be deleted only where nothing points at it.
    childless = rng.random() < 0.15
    poor = rng.choice(((current,), (1, current)))

    def small() -> str:
        return "NULL" if rng.random() < nulls else str(rng.choice(values))

    def some(counts: tuple[int, ...]) -> list[int]:
        number = {"some": size * rng.choice(counts), "one": rng.choice((0, 1)), "all": 7}[filled]
        return rng.sample(pool, min(len(pool), number))

    def has(table: str, tenant: object) -> bool:
        return tenant not in poor or table not in lacking

    def add(table: str, *row: object) -> None:
        found.append((table, [str(value) for value in row]))

    parents: list[tuple[int, int]] = []
    for number, tenant in enumerate(tenants):
        add("orgs", tenant, f"'{'abc'[number]}'")
    for tenant in tenants:
        for row in some((0, 2, 3, 4)) if has("t", tenant) else ():
            add("t", tenant, row, small(), small(), small())
        for row in some((0, 1, 2, 3)) if has("s", tenant) else ():
            add("s", tenant, row, small(), rng.choice(("true", "false", "NULL")))
        for row in some((0, 1, 2)) if has("c", tenant) else ():
            add("c", tenant, row, small())
    keys = sorted({*range(8), *pool} if rng.random() < 0.5 else pool)
    for row in rng.sample(keys, min(len(keys), 4 + 2 * size)):
        owner = rng.choice([tenant for tenant in tenants if has("g", tenant)])
        parents.append((row, owner))
        add("g", row, owner, small())
    for tenant in tenants:
        own = [str(row) for row, of in parents if of == tenant]
        for row in some((0, 1, 2, 3)) if has("gt", tenant) else ():
            add("gt", tenant, row, "NULL" if childless else rng.choice([*own, *own, "NULL"]))
    for _ in range(size * rng.choice((5, 7))):
        owner = rng.choice((*tenants, 1, "NULL"))
        if has("n", owner):
            add("n", owner, small(), small())
    for row in () if childless else range(size * rng.choice((3, 5))):
        # A key with a null in it is not checked: the row may name any parent, or none.
        gid, of = rng.choice(parents)
        add("k", rng.choice((of, of, "NULL")), rng.choice((row, row, "NULL")), gid)
    for row in rng.sample(keys, min(len(keys), 3 + size)):
        add("g_old", row, rng.choice(tenants), small())
        owner = rng.choice(tenants)
        add("e", row, owner, rng.choice((str(owner), small())), "DEFAULT", "DEFAULT")
    pairs = ("NULL", "ROW(NULL, NULL)", "ROW(1, NULL)", "ROW(1, 2)", "ROW(2, 2)")
    for tenant in tenants:
        for row in some((0, 1, 2, 3)) if has("p", tenant) else ():
            add("p", tenant, row, rng.choice(pairs), rng.choice(("NULL", "'1'", "'2'")))
    for row in range(0, 7):
        gid, of = rng.choice(parents)
        under = not childless and has("items", of) and rng.random() < 0.8
        add("items", row, gid if under else "NULL")
    return found
