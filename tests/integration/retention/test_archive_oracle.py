"""Random rows, there and in archives, some of them back from there, and random holds on any: what
goes, what is archived and what stays is what a naive reading of the rules says.

The oracle is plain Python over all rows, written from the rules and not from the code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Installation
from retention.executor import Options
from retention.hold_records import find_hold
from retention.hold_scopes import TENANT, Scope
from retention.restoring import Wish, archived_batches, restore
from tenants.context import TenantId
from tenants.models import new_id

from . import vault
from .conftest import LATELY, LONG_AGO, Lab
from .vault import ARCHIVING, DELETING, OF_ARCHIVES, add, hold, ids, policies

LIVE = ("lines", "notes", "invoices", "customers")
STARTS = {"lines": "made_at", "notes": "written_at", "invoices": "issued_at",
          "customers": "left_at"}  # fmt: skip
TABLES = tuple(f"{schema}.{name}" for schema in ("firm", "vault") for name in LIVE)

Node = tuple[str, str]
Row = dict[str, Any]


@pytest.fixture
def firm(installation: Installation) -> Iterator[Lab]:
    yield from vault.create_firm(installation)


@dataclass
class World:
    """A tenant's rows, which of them came back from an archive, and which are under which hold."""

    tenant: TenantId
    rows: dict[Node, Row] = field(default_factory=dict)
    back: set[Node] = field(default_factory=set)
    holds: dict[UUID, set[Node]] = field(default_factory=dict)

    @property
    def held(self) -> set[Node]:
        return set().union(*self.holds.values())

    def of(self, *names: str) -> list[Node]:
        return [node for node in self.rows if node[0] in names]

    def belongs_to(self, node: Node) -> tuple[str, str] | None:
        """Return what a row refers to, or referred to: the table's bare name, and the id."""
        name, row = node[0].partition(".")[2], self.rows[node]
        if name == "notes":
            return f"{row['about']}s", row["subject_id"]
        column = {"lines": "invoice_id", "invoices": "customer_id"}.get(name)
        return None if column is None else (f"{column[:-3]}s", row[column])

    def downwards(self, top: Node) -> set[Node]:
        """Return a row and all that refers to it or did so when it was archived, over others."""
        found = {top}
        while True:
            known = {(name.partition(".")[2], row_id) for name, row_id in found}
            more = {node for node in self.rows if self.belongs_to(node) in known} - found
            if not more:
                return found
            found |= more


def plant(firm: Lab, world: World, rng: random.Random) -> None:
    def put(name: str, **values: Any) -> None:
        at = {STARTS[name.partition(".")[2]]: rng.choice((LONG_AGO, LONG_AGO, LATELY, None))}
        if name.startswith("vault."):
            at |= {"archived_at": rng.choice((LONG_AGO, LONG_AGO, LATELY))}
        row_id = add(firm, world.tenant, name, **values, **at)
        world.rows[name, row_id] = values | at

    def some(*names: str) -> str:
        known = [row_id for _, row_id in world.of(*names)]
        return rng.choice([*known, str(new_id())])

    for _ in range(rng.randrange(2, 5)):
        put(rng.choice(("firm.customers", "firm.customers", "vault.customers")))
    for _ in range(rng.randrange(3, 9)):
        there = [row_id for _, row_id in world.of("firm.customers")]
        if there and rng.random() < 0.5:
            put("firm.invoices", customer_id=rng.choice(there))
        else:
            put("vault.invoices", customer_id=some("firm.customers", "vault.customers"))
    for _ in range(rng.randrange(3, 12)):
        there = [row_id for _, row_id in world.of("firm.invoices")]
        if there and rng.random() < 0.5:
            put("firm.lines", invoice_id=rng.choice(there))
        else:
            put("vault.lines", invoice_id=some("firm.invoices", "vault.invoices"))
    for _ in range(rng.randrange(3, 12)):
        about = rng.choice(("customer", "invoice"))
        subject_id = some(f"firm.{about}s", f"vault.{about}s")
        put(rng.choice(("firm.notes", "vault.notes")), about=about, subject_id=subject_id)


def archive_and_restore(firm: Lab, worlds: list[World], rng: random.Random) -> None:
    """Have all invoices that are due archived, and bring some of the batches back."""
    options = Options(batch_size=1, lock_timeout_ms=500)
    report = firm.run(firm.shop(policies=policies(ARCHIVING), options=options))
    for world in worlds:
        expire(world, {"invoices": {"lines", "notes"}}, set(), archives=False)
        with firm.installation.verifier.transaction(None, read_only=True) as cursor:
            batches = archived_batches(cursor, report.trace_id, world.tenant)
        for batch in batches:
            if rng.random() < 0.5:
                continue
            came = [
                (f"firm.{name}", row_id)
                for name in LIVE
                for (row_id,) in firm.sql(
                    f"SELECT id::text FROM vault.{name} WHERE archived_batch = %s", (str(batch.id),)
                )
            ]
            until = datetime.now(UTC) + timedelta(days=30)
            restore(firm.installation.retention, vault.CATALOG, batch, Wish("r", "ann", until))
            for node in came:
                world.rows[node] = world.rows.pop((f"vault.{node[0].partition('.')[2]}", node[1]))
                world.back.add(node)


def hold_some(firm: Lab, world: World, rng: random.Random) -> None:
    for _ in range(rng.randrange(4)):
        kind = rng.choice(("subject", "subject", "rows", "table", "tenant"))
        name, row_id = rng.choice(sorted(world.rows))
        if kind == "tenant":
            if rng.random() < 0.8:
                continue
            scope, under = TENANT, set(world.rows)
        elif kind == "subject":
            scope, under = vault.subject(name, row_id), world.downwards((name, row_id))
        elif kind == "rows":
            scope = Scope("rows", vault.table(name), rows=(UUID(row_id),))
            under = {(name, row_id)}
        else:
            notes = rng.choice(("firm.notes", "vault.notes"))
            scope = Scope("table", vault.table(notes), condition="r.about = 'invoice'")
            # On a table, it is on its archive, too.
            on = sorted({notes, "vault.notes"})
            under = {n for n in world.of(*on) if world.rows[n]["about"] == "invoice"}
        placed = hold(firm, world.tenant, scope)
        world.holds[placed] = under
        noted = firm.sql(
            "SELECT table_name, row_id::text FROM tenure.hold_rows WHERE hold_id = %s",
            (str(placed),),
        )
        assert set(noted) == under
        assert find_hold(firm.installation.verifier, placed).rows_then == len(under)


def expire(
    world: World, chosen: dict[str, set[str]], held: set[Node], *, archives: bool = True
) -> dict[str, int]:
    """Have policies take what is due, with the tables that go along by each; return per policy how
    many rows that are due stay because of a hold."""
    kept = dict.fromkeys((*LIVE, *(f"vault-{name}" for name in LIVE)), 0)

    def due(name: str) -> list[Node]:
        at = "archived_at" if name.startswith("vault.") else STARTS[name.partition(".")[2]]
        there = [n for n in world.of(name) if n not in world.back]
        return [n for n in there if world.rows[n][at] == LONG_AGO]

    def take(policy: str, root: Node, along: set[Node], others: set[Node]) -> None:
        if along & held:
            kept[policy] += 1
        elif not (others or along & world.back):
            for node in along:
                row = world.rows.pop(node)
                if policy == "invoices":
                    name = f"vault.{node[0].partition('.')[2]}"
                    world.rows[name, node[1]] = row | {"archived_at": LATELY}

    # What was archived before is due before what is archived by this run.
    for name in LIVE if archives else ():
        for root in due(f"vault.{name}"):
            take(f"vault-{name}", root, {root}, set())
    for name in LIVE:
        for root in due(f"firm.{name}") if name in chosen else ():
            below = {n for n in world.of(*(f"firm.{t}" for t in LIVE))
                     if world.belongs_to(n) == (name, root[1])}  # fmt: skip
            along = {n for n in below if n[0].partition(".")[2] in chosen[name]}
            take(name, root, {root} | along, below - along)
    return kept


def compare(firm: Lab, worlds: list[World], rng: random.Random) -> tuple[int, int]:
    """Plant, hold, run and compare; return how many rows had come back from an archive, and how
    many were under a hold."""
    # With the tables that go along.
    chosen: dict[str, set[str]] = {
        name: set() for name in ("notes", "lines", "customers") if rng.random() < 0.7
    }
    texts = [DELETING[name] for name in chosen]
    if "customers" in chosen and rng.random() < 0.5:
        chosen["customers"] = {"notes"}
        texts[-1] += 'with = ["firm.notes"]\n'
    if rng.random() < 0.7:
        chosen["invoices"] = {"lines", "notes"}
        texts.append(ARCHIVING)
    declared = policies(OF_ARCHIVES, *texts)
    for world in worlds:
        plant(firm, world, rng)
    if rng.random() < 0.6:
        archive_and_restore(firm, worlds, rng)
    for world in worlds:
        hold_some(firm, world, rng)
    options = Options(batch_size=rng.choice((1, 2, 50)), lock_timeout_ms=500)
    shop = firm.shop(policies=declared, options=options)
    planned, verified = shop.plan(), firm.verify(shop)
    figures = sum(len(w.back) for w in worlds), sum(len(w.held) for w in worlds)
    kept = [expire(world, chosen, world.held) for world in worlds]
    # Written apart, planner, verifier and oracle agree on what goes and on what a hold keeps.
    for policy in declared:
        found = [r for r in verified.results if (r.kind, r.subject) == ("overdue", policy.name)]
        going = sum(
            dict(u.goes).get(str(policy.table), 0) for u in planned.units if u.policy == policy.name
        )
        assert going == sum(r.found for r in found), policy.name
        assert sum(r.held for r in found) == sum(k[policy.name] for k in kept), policy.name
    run_and_compare(firm, shop, worlds)
    after = firm.verify(shop)
    assert {r.kind for r in after.results if r.is_finding and r.found} <= {"orphans"}
    # What was deferred is resumed: with no hold in force, as if there never had been one.
    for world in worlds:
        for placed in world.holds:
            firm.release(placed)
        expire(world, chosen, set())
    run_and_compare(firm, shop, worlds)
    return figures


def run_and_compare(firm: Lab, shop: Any, worlds: list[World]) -> None:
    report = firm.run(shop)
    assert report.state in ("succeeded", "succeeded_with_skips"), report.detail
    for name in TABLES:
        expected = {row_id for world in worlds for _, row_id in world.of(name)}
        assert ids(firm, name) == expected, name


@pytest.mark.parametrize("seed", range(30))
def test_what_is_archived_or_came_back_goes_and_stays_as_the_rules_say(
    firm: Lab, make_tenant: Callable[..., TenantId], seed: int
) -> None:
    worlds = [World(make_tenant(name)) for name in ("acme", "globex")]
    compare(firm, worlds, random.Random(seed))
