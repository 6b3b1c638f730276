"""Settling: of the due rows that a batch has locked, which go, and what goes along with them.

Requires a batch that has passed the gate. Everything that goes is locked here, or cannot come
or go because what it refers to is locked. A row that stays, because somebody refers to it, a
minimum keeps it, it was restored or is under hold, keeps what it refers to, and so on upwards to
the rows of the policy's own table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from retention.batch_task import Session
from retention.graph import Edge
from retention.held_rows import HeldRows
from retention.statements import Params
from tenants.catalog import TableName

# Rows of the policy's own table that are due and refer to a batch's rows are pulled into
# the batch, up to this multiple of its size; a tree that is larger goes over several passes.
_PULL_FACTOR = 4

Going = dict[TableName, set[str]]


def settle(session: Session, roots: Collection[str]) -> Going:
    """Return what goes: the roots and what goes along, minus what somebody keeps."""
    going = _closure(session, roots)
    for _ in range(_PULL_FACTOR * max(1, session.attempt.limit)):
        pulled = _pull(session, going)
        if not pulled:
            break
        going = _closure(session, going[session.root] | pulled)
    while True:
        held = _keeping(session, under_hold(session, going), going)
        session.attempt.held += len(held.intersection(roots))
        stays = held | _staying(session, going)
        rest = _closure(session, going[session.root] - stays) if stays else going
        # No lock keeps rows from coming that refer softly: what is new is looked at, too.
        if all(ids <= going[table] for table, ids in rest.items()):
            return rest
        going = rest


def under_hold(session: Session, rows: Mapping[TableName, set[str]]) -> Going:
    """Return those of the rows that are under a hold on less than the tenant."""
    held: Going = defaultdict(set)
    if session.holds:
        asked = HeldRows(session.cursor, session.task.tenant_id, session.task.edges, session.holds)
        for table, row_id in asked.among(rows):
            held[table].add(row_id)
        session.attempt.round_trips += asked.round_trips
    return held


def _closure(session: Session, roots: Iterable[str]) -> Going:
    going: Going = defaultdict(set)
    going[session.root] |= set(roots)
    fresh: Mapping[TableName, set[str]] = {session.root: going[session.root]}
    while edges := [edge for edge in session.family.along if fresh.get(edge.parent)]:
        found = session.by_member(session.sql.along(edges), session.members("m", fresh))
        fresh = {table: ids - going[table] for table, ids in found.items()}
        for table, ids in fresh.items():
            going[table] |= ids
    return going


def _pull(session: Session, going: Mapping[TableName, set[str]]) -> set[str]:
    pulled: set[str] = set()
    roots = list(going[session.root])
    room = _PULL_FACTOR * session.attempt.limit - len(roots)
    for edge in _own_edges(session):
        if room > 0 and going.get(edge.parent):
            statement = session.sql.pull(edge, skip_locked=not session.attempt.waiting)
            params: Params = {"ids": list(going[edge.parent]), "not": roots, "limit": room}
            pulled |= set(session.ids(statement, params))
    return pulled


def _own_edges(session: Session) -> list[Edge]:
    return [edge for edge in session.family.keeping if edge.child == session.root]


def _staying(session: Session, going: Mapping[TableName, set[str]]) -> set[str]:
    """Return the roots that stay: somebody refers to them or to what would go along, or a
    minimum or its restoration keeps that."""
    among = session.members("m", going)
    edges = [edge for edge in session.family.keeping if going.get(edge.parent)]
    fresh: Going = defaultdict(set)
    if edges:
        fresh |= session.by_member(session.sql.kept(edges), among)
    for name in session.family.members[1:]:
        kept = session.sql.kept_along(name)
        if kept is not None and going.get(name):
            fresh[name] |= set(session.ids(kept, among))
    return _keeping(session, fresh, going)


def _keeping(
    session: Session, staying: Mapping[TableName, set[str]], going: Mapping[TableName, set[str]]
) -> set[str]:
    """Return the roots that rows which stay keep."""
    family, fresh = session.family, {t: ids for t, ids in staying.items() if ids}
    stays: Going = defaultdict(set)
    while fresh:
        for table, ids in fresh.items():
            stays[table] |= ids
        edges = [e for e in family.inner if fresh.get(e.child) and going.get(e.parent)]
        if not edges:
            break
        params = {**session.members("m", going), **session.members("f", fresh)}
        found = session.by_member(session.sql.referred(edges), params)
        fresh = {t: new for t, ids in found.items() if (new := ids - stays[t])}
    return stays[session.root]
