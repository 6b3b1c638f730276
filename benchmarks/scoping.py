"""What tenancy costs: five operations on a million customers, against those who have none.

- *statement*: SQL through psycopg2 with the context in front of it, against hand-written SQL
  on a table without tenancy;
- *model*: our models, against peewee as it comes on that table;
- SQLAlchemy 2 with `with_loader_criteria` and row-level security, against our models.
Then compiling alone, round trips, and the same with a millisecond of network between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from benchmarks.contenders import Contender, PlainCustomer, Statements, contenders
from benchmarks.customers import Customers, fill, page_start
from benchmarks.latency import delayed
from benchmarks.measure import Figure, interleaved
from benchmarks.round_trips import CountingProxy
from benchmarks.world import World
from config.settings import Settings
from tenants.context import tenant_scope
from tenants.roles import ROLES
from tests.pgbouncer import PROGRAM, pgbouncer

OPERATIONS = {
    "page of 50": ("page", 1500),
    "row by id": ("single", 2000),
    "insert": ("insert", 1500),
    "update in a transaction": ("update", 1500),
    "bulk insert": ("bulk", 25),
}

# (aim, ceiling). The ceilings are what holds today on a slow machine of two cores, with room for
# its noise: they fail the run when something gets worse.
BOUNDS: dict[tuple[str, str, str], tuple[float, float]] = {
    ("page of 50", "statement/psycopg2", "plain"): (1.15, 1.3),
    ("page of 50", "statement/psycopg2", "sealed"): (1.35, 1.55),
    ("row by id", "statement/psycopg2", "plain"): (1.25, 1.55),
    ("row by id", "statement/psycopg2", "sealed"): (1.6, 2.2),
    ("bulk insert", "statement/psycopg2", "plain"): (1.1, 1.25),
    ("bulk insert", "statement/psycopg2", "sealed"): (1.1, 1.25),
    ("bulk insert", "model/peewee", "plain"): (1.1, 1.1),
    ("bulk insert", "model/peewee", "sealed"): (1.1, 1.1),
    ("compile", "model/peewee", "plain"): (1.1, 1.25),
    ("1 ms away: page of 50", "statement/psycopg2", "plain"): (1.05, 1.15),
    ("1 ms away: page of 50", "statement/psycopg2", "sealed"): (1.05, 1.25),
    ("1 ms away: row by id", "statement/psycopg2", "plain"): (1.05, 1.15),
    ("1 ms away: row by id", "statement/psycopg2", "sealed"): (1.05, 1.35),
    **{
        (what, "model/SQLAlchemy", "plain"): (1.0, 1.0)
        for what in ("page of 50", "row by id", "insert", "update in a transaction", "bulk insert")
    },
}


def run(world: World) -> Iterator[Figure]:
    """Yield the figures."""
    customers = fill(world)
    for mode in customers.modes:
        with contenders(customers, mode) as everyone:
            for what, (method, rounds) in OPERATIONS.items():
                medians = _time(everyone, method, rounds)
                yield from _ratios(what, mode, medians)
            yield from _compiling(customers, mode, everyone)
    yield _round_trips(customers)
    yield from _at_latency(customers)
    yield from _pooled(customers)


def _time(everyone: dict[str, Contender], method: str, rounds: int) -> dict[str, float]:
    calls = {name: getattr(contender, method) for name, contender in everyone.items()}
    return interleaved(calls, rounds=rounds, warmup=min(50, rounds))


_PAIRS = (
    ("statement", "psycopg2", "SQL with {mode} context / hand-written SQL without tenancy"),
    ("model", "peewee", "model with {mode} context / peewee without tenancy"),
    ("model", "SQLAlchemy", "model with {mode} context / SQLAlchemy with its recipe for tenants"),
)


def _ratios(what: str, mode: str, medians: dict[str, float]) -> Iterator[Figure]:
    for ours, theirs, name in _PAIRS:
        if theirs not in medians:
            continue
        added = (medians[ours] - medians[theirs]) * 1e6
        aim, ceiling = BOUNDS.get((what, f"{ours}/{theirs}", mode), (None, None))
        yield Figure(
            f"{what}, {name.format(mode=mode)}",
            medians[ours] / medians[theirs],
            "ratio",
            ceiling=ceiling,
            aim=aim,
            note=f"{added:+,.0f} µs on {medians[theirs] * 1e6:,.0f} µs",
        )


def _compiling(customers: Customers, mode: str, everyone: dict[str, Contender]) -> Iterator[Figure]:
    """Compile time does not depend on the context's mode; it is measured once."""
    if mode != "plain":
        return
    ours: Any = everyone["model"]

    def compile_page(model: Any, number: int) -> object:
        query = model.select().where(model.number > page_start(number))
        return query.order_by(model.number).limit(50).sql()

    with tenant_scope(customers.targets[0].tenant, actor="benchmark", trace_id="0" * 32):
        medians = interleaved(
            {
                "peewee": lambda number: compile_page(PlainCustomer, number),
                "model": lambda number: compile_page(ours.model, number),
            },
            rounds=5000,
        )
    aim, ceiling = BOUNDS["compile", "model/peewee", mode]
    yield Figure(
        "compiling the page's query / peewee without tenancy",
        medians["model"] / medians["peewee"],
        "ratio",
        ceiling=ceiling,
        aim=aim,
        note=f"{(medians['model'] - medians['peewee']) * 1e6:+.1f} µs"
        f" on {medians['peewee'] * 1e6:.0f} µs",
    )


def _round_trips(customers: Customers) -> Figure:
    settings = customers.modes["sealed"]
    parts = urlsplit(settings.role_url("tenure_app"))
    proxy = CountingProxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    statements = Statements(customers, _settings_through(settings, proxy.port))
    statements.single(0)
    before = proxy.queries
    for number in range(100):
        statements.single(number)
    proxy.close()
    return Figure(
        "round trips of a lone scoped statement",
        (proxy.queries - before) / 100,
        "messages",
        ceiling=1.0,
    )


def _through(url: str, port: int) -> str:
    """Return the URL with another port, without the encryption that a proxy could not read."""
    parts = urlsplit(url)
    return url.replace(f":{parts.port}/", f":{port}/") + "?sslmode=disable&gssencmode=disable"


def _settings_through(settings: Settings, port: int) -> Settings:
    url = _through(settings.database_url or "", port)
    return settings.model_copy(update={"database_url": url})


def _pooled(customers: Customers) -> Iterator[Figure]:
    """Both through the same PgBouncer, in transaction mode."""
    if PROGRAM is None:
        print("  left out: pgbouncer is not installed")
        return
    admin = urlsplit(customers.bare_url).username or ""
    with pgbouncer(customers.bare_url, roles=(*ROLES, admin), size=4) as port:
        near = replace(
            customers,
            modes={"sealed": _settings_through(customers.pooled, port)},
            bare_url=_through(customers.bare_url, port),
        )
        with contenders(near, "sealed") as everyone:
            for what in ("page of 50", "row by id"):
                medians = _time(everyone, OPERATIONS[what][0], 1000)
                yield from _ratios(f"through PgBouncer: {what}", "sealed", medians)


def _at_latency(customers: Customers) -> Iterator[Figure]:
    parts = urlsplit(customers.bare_url)
    with delayed(parts.hostname or "127.0.0.1", parts.port or 5432, ms=1.0) as port:
        far = replace(
            customers,
            modes={mode: _settings_through(s, port) for mode, s in customers.modes.items()},
            bare_url=_through(customers.bare_url, port),
        )
        for mode in far.modes:
            with contenders(far, mode) as everyone:
                for what in ("page of 50", "row by id"):
                    medians = _time(everyone, OPERATIONS[what][0], 200)
                    yield from _ratios(f"1 ms away: {what}", mode, medians)
