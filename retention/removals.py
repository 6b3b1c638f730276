"""What users delete through the API, recorded as it goes, so that the books can tell.

Without it a row that was due and was deleted by its tenant's user would look like one that was
deleted behind our back. Soft deletion leaves the row, and is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from peewee import BlobField

from tenants.context import current_scope
from tenants.database import TenantDatabase
from tenants.models import TenantModel, TextField, new_id


class _Removal(TenantModel):
    """`tenure.removals`, as the application may write it; it cannot read it."""

    table_name = TextField()
    hashes = BlobField()
    actor = TextField()
    trace_id = TextField()

    class Meta:
        schema = "tenure"
        table_name = "removals"


def record_removals(app: TenantDatabase, table: str, ids: Sequence[UUID]) -> None:
    """Record that rows of `table` (`schema.name`) of the tenant in context are deleted.

    Call it in the transaction that deletes them. A domain that deletes rows by queries of its
    own does so, too.
    """
    if not ids:
        return
    scope = current_scope()
    keys = b"".join(sorted(hashlib.sha256(key.bytes).digest()[:16] for key in ids))
    removal = _Removal.insert(
        id=new_id(), table_name=table, hashes=keys, actor=scope.actor, trace_id=scope.trace_id
    )
    # Without its default RETURNING: the role may add here, and read nothing.
    removal.returning().bind(app).execute()
