"""What users delete through the API, recorded as it goes, so that the books can tell.

Without it a row that was due and was deleted by its tenant's user would look like one that was
deleted behind our back. Soft deletion leaves the row, and is none. The record is made under a
seal over all that it says: SQL injected under the application's role records nothing, and nobody
else's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import peewee

from tenants.context import current_scope, require_transaction_of
from tenants.database import TenantDatabase
from tenants.errors import TransactionError
from tenants.models import new_id

# What peewee runs its own statements in: the driver's errors become peewee's.
_peewee: Any = peewee
_driver_errors = _peewee.__exception_wrapper__

_RECORD = """
SELECT tenure.record_removal(
    %(id)s::uuid, %(table)s, %(hashes)s, %(actor)s, %(trace)s, %(seal)s)
"""


def record_removals(app: TenantDatabase, table: str, ids: Sequence[UUID]) -> None:
    """Record that rows of `table` (`schema.name`) of the tenant in context are deleted.

    Call it in the transaction that deletes them. A domain that deletes rows by queries of its
    own does so, too. Raises TransactionError outside of a transaction.
    """
    if not ids:
        return
    if not app.in_transaction():
        raise TransactionError("rows are recorded as deleted in the transaction that does it")
    scope = current_scope()
    require_transaction_of(scope.tenant_id)
    removal = new_id()
    keys = b"".join(sorted(hashlib.sha256(key.bytes).digest()[:16] for key in ids))
    what = b"\0".join((table.encode(), scope.trace_id.encode(), keys))
    sealed = f"removal:{scope.tenant_id}:{removal}:{hashlib.sha256(what).hexdigest()}:{scope.actor}"
    database: Any = app
    with _driver_errors:
        # tenure: allow TS005 because the function adds a row of the tenant in context, sealed
        database.cursor(vouched=True).execute(
            _RECORD,
            {
                "id": str(removal),
                "table": table,
                "hashes": keys,
                "actor": scope.actor,
                "trace": scope.trace_id,
                "seal": app.connections.sealer.mac(sealed),
            },
        )
