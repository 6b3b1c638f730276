"""Reads across tenants: as the verifier, under a reason, and recorded before they are sent.

The record says who, why, where in the code, which statement (its text, never its values) and
under which trace. It is committed first: a read that fails, or is cut off, was still tried.
Plans and verifications read across tenants as well; their records are the runs and the
verification results.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenants.connections import Cursor, RoleConnections
from tenants.context import scope_or_none
from tenants.errors import NestedTenantError, TenantError
from tenants.models import new_id


class CrossTenantReader:
    """Reads every tenant's rows in one read-only transaction; see `cross_tenant`."""

    def __init__(
        self, cursor: Cursor, recorder: RoleConnections, record: tuple[str, str, str]
    ) -> None:
        self._cursor: Cursor | None = cursor
        self._recorder = recorder
        self._record = record

    def read(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Record the statement, run it, return its rows.

        Raises TenantError once the block is over, and NestedTenantError inside a tenant's scope.
        """
        if self._cursor is None:
            raise TenantError("this reader's block is over: its connection is somebody else's")
        _refuse_scope()
        caller = sys._getframe(1)
        place = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
        actor, reason, trace_id = self._record
        with self._recorder.transaction(None) as cursor:
            cursor.execute(
                "INSERT INTO tenure.cross_tenant_reads"
                " (id, actor, reason, place, statement, trace_id) VALUES (%s, %s, %s, %s, %s, %s)",
                (new_id(), actor, reason, place, statement, trace_id),
            )
        # tenure: allow TS004 because this is the way across the border, and it has been recorded
        self._cursor.execute(statement, tuple(params) or None)
        return self._cursor.fetchall()

    def close(self) -> None:
        """Read no more."""
        self._cursor = None


@contextmanager
def cross_tenant(
    verifier: RoleConnections,
    recorder: RoleConnections,
    *,
    reason: str,
    actor: str,
    trace_id: str,
) -> Iterator[CrossTenantReader]:
    """Read across tenants inside the block, for a `reason` that auditors will read.

    `recorder` is tenure_retention: who serves tenants cannot write this evidence.

    Raises TenantError without a reason, and NestedTenantError inside a tenant's scope:
    who serves a tenant does not look at others in the same breath.
    """
    if not reason.strip():
        raise TenantError("reading across tenants takes a reason")
    _refuse_scope()
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        reader = CrossTenantReader(cursor, recorder, (actor, reason, trace_id))
        try:
            yield reader
        finally:
            reader.close()


def _refuse_scope() -> None:
    if scope_or_none() is not None:
        raise NestedTenantError("cannot read across tenants inside a tenant's scope")
