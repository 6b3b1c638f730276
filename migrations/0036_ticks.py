"""What a tick finds: who stopped retention stops the deletion of leftovers, too; a clock that was
far ahead, once, hides no gap after it; what became of each policy's last unit is looked up by
index.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenants.schema import execute

_PAUSED = import_module("migrations.0003_paused_and_expired")
_LEFTOVERS = import_module("migrations.0021_leftovers")
_POWERS = import_module("migrations.0024_powers")


def _function(text: str, name: str) -> str:
    """Return the statement that makes a function again, from one that makes it and more."""
    begin = text.index(f"CREATE FUNCTION tenure.{name}(")
    end = text.index("END $$;", begin) + len("END $$;")
    return text[begin:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


def _with(text: str, former: str, latter: str) -> str:
    if text.count(former) != 1:
        raise RuntimeError(f"not once in the function that stood before: {former!r}")
    return text.replace(former, latter)


# Whoever stops retention waits for the turn (`retention.gate.take_turn`), and so for what is open.
_TURN = "PERFORM pg_advisory_xact_lock(7308339911)"

EXPIRED_BEFORE = _function(_PAUSED.EXPIRED, "delete_expired")
EXPIRED = _with(
    EXPIRED_BEFORE,
    "BEGIN\n",
    "BEGIN\n"
    "    sessions := 0;\n"
    "    tokens := 0;\n"
    f"    {_TURN};\n"
    "    IF tenure.is_stopped() THEN\n"
    "        RETURN NEXT;\n"
    "        RETURN;\n"
    "    END IF;\n",
)
LEFTOVERS_BEFORE = _function(_LEFTOVERS._DELETE, "delete_leftovers").format(
    branches="".join(
        (_LEFTOVERS._ENTERED_BRANCH if ground.table in _LEFTOVERS.ENTERED else _LEFTOVERS._BRANCH)
        .format(**ground._asdict())
        for ground in _LEFTOVERS.GROUNDS
    )
)  # fmt: skip
LEFTOVERS = _with(
    LEFTOVERS_BEFORE,
    "    CASE which",
    f"    {_TURN};\n"
    "    IF tenure.is_stopped() THEN\n        RETURN 0;\n    END IF;\n"
    "    CASE which",
)

# A watch that begins more than a day ahead was kept while the clock was wrong.
WATCH_BEFORE = _function(_POWERS.WATCHES, "keep_watch")
WATCH = _with(
    WATCH_BEFORE,
    "FROM tenure.watches w ORDER BY",
    "FROM tenure.watches w\n    WHERE w.last_at <= now + interval '1 day' ORDER BY",
)

INDEXES = """
CREATE INDEX units_trouble ON tenure.units (policy, tenant_id)
    WHERE state IN ('failed', 'stalled', 'cancelled');
CREATE INDEX units_last ON tenure.units (policy, tenant_id, finished_at)
    WHERE finished_at IS NOT NULL;
"""


def up(migrator: Any, db: Any) -> None:
    """Replace the functions, add the indexes; runs as tenure_owner, in one transaction."""
    execute(db, EXPIRED, LEFTOVERS, WATCH, INDEXES)


def down(migrator: Any, db: Any) -> None:
    """Put back what stood before."""
    execute(
        db,
        EXPIRED_BEFORE,
        LEFTOVERS_BEFORE,
        WATCH_BEFORE,
        "DROP INDEX tenure.units_trouble",
        "DROP INDEX tenure.units_last",
    )
