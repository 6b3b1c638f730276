"""Keeping what the lint gate and the posture audit said: the text as it was, and its digest.

Either may have run elsewhere (in CI, on a laptop): what is kept is that somebody handed this
text in, and when. It is read far enough to say what it is and how it ended.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from retention.errors import InspectionError
from tenants.connections import RoleConnections
from tenants.models import new_id

Kind = Literal["lint", "posture"]
MAX_BYTES = 16 * 1024 * 1024

_KEEP = """
INSERT INTO tenure.inspections
    (id, kind, subject, tool, passed, findings, suppressed, result, digest, recorded_by)
VALUES (%(id)s, %(kind)s, %(subject)s, %(tool)s, %(passed)s, %(findings)s, %(suppressed)s,
        %(result)s, %(digest)s, %(actor)s)
"""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A result as JSON text, and what it says: `passed` where nothing failed it. `findings` are
    those that were not suppressed."""

    kind: Kind
    result: str
    passed: bool
    findings: int
    suppressed: int

    @property
    def digest(self) -> str:
        """SHA-256 of the text in UTF-8, as hex."""
        return hashlib.sha256(self.result.encode()).hexdigest()


def read_inspection(text: str) -> Inspection:
    """Read what `tenure lint --format json` or `tenure posture --format json` printed.

    Posture passes without errors; lint without findings. Raises InspectionError for any other
    text, and for one beyond MAX_BYTES.
    """
    if len(text.encode()) > MAX_BYTES:
        raise InspectionError(f"a result has at most {MAX_BYTES} bytes")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InspectionError(f"this is no JSON: {error}") from error
    findings = said.get("findings") if isinstance(said, dict) else None
    if not isinstance(findings, list) or "\\u0000" in text:
        raise InspectionError("this is no result of tenure lint or tenure posture, as JSON")
    suppressed = len(_list(said, "suppressed")) + len(_list(said, "baselined"))
    if "assumed" in said and "checked" in said:
        grave = [f for f in findings if isinstance(f, dict) and f.get("severity") == "error"]
        return Inspection("posture", text, not grave, len(findings), suppressed)
    if "statements" in said and "summary" in said:
        return Inspection("lint", text, not findings, len(findings), suppressed)
    raise InspectionError("this is no result of tenure lint or tenure posture, as JSON")


def _list(said: dict[str, Any], key: str) -> list[Any]:
    found = said.get(key)
    return found if isinstance(found, list) else []


def keep_inspection(
    retention: RoleConnections, inspection: Inspection, *, subject: str, tool: str, actor: str
) -> UUID:
    """Keep a result, as tenure_retention; return its id. `subject` says what was looked at (a
    revision, a database), `tool` which release looked. Raises InspectionError without a subject.
    """
    if not subject.strip() or "\0" in subject:
        raise InspectionError("say what was looked at: a revision, a database")
    inspection_id = new_id()
    with retention.transaction(None) as cursor:
        cursor.execute(
            _KEEP,
            {
                "id": str(inspection_id),
                "kind": inspection.kind,
                "subject": subject,
                "tool": tool,
                "passed": inspection.passed,
                "findings": inspection.findings,
                "suppressed": inspection.suppressed,
                "result": inspection.result,
                "digest": inspection.digest,
                "actor": actor,
            },
        )
    return inspection_id
