"""Who else was asked to erase what a restore may have brought back: they are asked again.

The record has of whom a connector was asked the key's hash. Whose files are there again is found in
the folders, which are named by keys; a webhook is told the key, so its person's row must be there,
before it goes. A store whose person the database has asked about, and been told that it is done, is
asked again where there are files and no such row: then the store alone came back. What was asked
again is a request like any other (`retention.connectors`), with its clock, holds and alert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg2 import sql

from retention.connectors import file_store
from retention.connectors.declarations import Connectors, FileStore
from retention.connectors.requests import Person, request_again
from retention.deletions import HASH, key_hash
from retention.errors import ConnectorError
from retention.replays.wanted import Asked, Wanted
from retention.statements import table
from retention.subject_rows import identifiers_of
from retention.subjects import Subject
from tenants.catalog import Catalog
from tenants.connections import Cursor

NOT_DECLARED = "asked of a connector that is not declared"
NOT_SEEN = "in a store that cannot be looked at"
NOT_KNOWN = "cannot be asked again: the key is not known"

_REQUESTS = """
SELECT r.id::text, r.cause_id::text, r.cause, r.state FROM tenure.connector_requests r
WHERE r.tenant_id = %(tenant)s::uuid AND (r.id = ANY(%(ids)s::uuid[])
      OR r.cause = 'replay' AND r.cause_id = ANY(%(ids)s::uuid[]))
"""


@dataclass(frozen=True, slots=True)
class Again:
    """A request to be made again; without `key` about all of the tenant."""

    asked: Asked
    key: UUID | None


@dataclass
class Elsewhere:
    """What is to be asked again; what cannot be looked at now (`waits`), and what never can be
    asked any more (`lost`): how many requests, by why and connector."""

    again: list[Again] = field(default_factory=list)
    waits: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    lost: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def __bool__(self) -> bool:
        return bool(self.again or self.waits or self.lost)

    def counts(self) -> dict[str, int]:
        """Return how many requests are to be made again, by connector."""
        found: dict[str, int] = {}
        for one in self.again:
            found[one.asked.connector] = found.get(one.asked.connector, 0) + 1
        return found


@dataclass(frozen=True)
class Outside:
    """Who else holds data: connectors, as they are declared, and the subjects they know."""

    connectors: Connectors = field(default_factory=dict)
    subjects: Sequence[Subject] = ()

    def look(self, cursor: Cursor, catalog: Catalog, wanted: Wanted) -> Elsewhere:
        """Return who is to be asked again about what; changes nothing. As a role that sees the
        tenant's rows, before they go."""
        return _Look(self, cursor, catalog, wanted).found() if wanted.asked else Elsewhere()

    def ask(self, cursor: Cursor, wanted: Wanted, elsewhere: Elsewhere, *, actor: str) -> None:
        """Write the requests down, each once; as retention in the tenant's context."""
        subjects = {subject.name: subject for subject in self.subjects}
        for one in elsewhere.again:
            person, kind = None, one.asked.subject
            if one.key is not None and kind is not None:
                known = (
                    identifiers_of(cursor, subjects[kind], wanted.tenant_id, one.key)
                    if kind in subjects
                    else {}
                )
                person = Person(kind, one.key, known)
            request_again(
                cursor,
                one.asked.request,
                tenant_id=wanted.tenant_id,
                person=person,
                connector=self.connectors[one.asked.connector],
                actor=actor,
            )


class _Look:
    def __init__(self, outside: Outside, cursor: Cursor, catalog: Catalog, wanted: Wanted) -> None:
        self.outside = outside
        self.cursor = cursor
        self.catalog = catalog
        self.wanted = wanted
        self.stores: dict[str, Mapping[bytes, UUID] | None] = {}
        self.rows: dict[str, Mapping[bytes, UUID]] = {}
        self.elsewhere = Elsewhere()

    def found(self) -> Elsewhere:
        ids = [str(asked.request) for asked in self.wanted.asked.values()]
        self.cursor.execute(_REQUESTS, {"tenant": str(self.wanted.tenant_id), "ids": ids})
        states, again = {}, set()
        for request, cause_id, cause, state in self.cursor.fetchall():
            states[request] = state
            if cause == "replay":
                again.add(cause_id)
        for asked in self.wanted.asked.values():
            state = states.get(str(asked.request))
            if str(asked.request) in again or state not in (None, "acknowledged"):
                continue
            self._one(asked, is_known=state is not None)
        return self.elsewhere

    def _one(self, asked: Asked, *, is_known: bool) -> None:
        connector = self.outside.connectors.get(asked.connector)
        if connector is None:
            if not is_known:
                self._count(self.elsewhere.waits[NOT_DECLARED], asked)
        elif isinstance(connector.target, FileStore):
            self._store(asked, connector.target, is_known=is_known)
        elif is_known:
            pass  # the receiver has answered, and was not restored with us
        elif asked.key is None:
            self.elsewhere.again.append(Again(asked, None))
        else:
            key = self._rows(asked.subject or "").get(asked.key)
            if key is None:
                self._count(self.elsewhere.lost[NOT_KNOWN], asked)
            else:
                self.elsewhere.again.append(Again(asked, key))

    def _store(self, asked: Asked, store: FileStore, *, is_known: bool) -> None:
        try:
            keys = self._keys(asked.connector, store)
        except (ConnectorError, OSError):
            self._count(self.elsewhere.waits[NOT_SEEN], asked)
            return
        if asked.key is None:
            if keys or file_store.count(store, self._of_tenant(store)).files:
                self.elsewhere.again.append(Again(asked, None))
        elif asked.key in keys and not (is_known and asked.key in self._rows(asked.subject or "")):
            self.elsewhere.again.append(Again(asked, keys[asked.key]))

    def _of_tenant(self, store: FileStore) -> tuple[str, ...]:
        return file_store.parts_of(store, self.wanted.tenant_id, None)

    def _keys(self, connector: str, store: FileStore) -> Mapping[bytes, UUID]:
        known = self.stores.get(connector)
        if known is None:
            file_store.require_store(store)
            there = file_store.keys_in(store, self.wanted.tenant_id)
            known = self.stores[connector] = {key_hash(key): key for key in there}
        return known

    def _rows(self, name: str) -> Mapping[bytes, UUID]:
        """Return the keys that are there of those asked about, by hash."""
        if name in self.rows:
            return self.rows[name]
        hashes = [a.key for a in self.wanted.asked.values() if a.subject == name and a.key]
        found: dict[bytes, UUID] = {}
        for subject in self.outside.subjects:
            if subject.name == name and any(t.name == subject.table for t in self.catalog):
                query = sql.SQL(
                    "SELECT x.id::text FROM {} x WHERE x.tenant_id = %(tenant)s::uuid"
                    " AND {} = ANY(%(hashes)s::bytea[])"
                ).format(table(subject.table), sql.SQL(HASH.format("x.id")))
                array = "{" + ",".join(f'"\\\\x{one.hex()}"' for one in hashes) + "}"
                values = {"tenant": str(self.wanted.tenant_id), "hashes": array}
                self.cursor.execute(query, values)
                keys = [UUID(row[0]) for row in self.cursor.fetchall()]
                found = {key_hash(key): key for key in keys}
        self.rows[name] = found
        return found

    def _count(self, into: dict[str, int], asked: Asked) -> None:
        into[asked.connector] = into.get(asked.connector, 0) + 1
