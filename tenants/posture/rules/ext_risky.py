"""An extension is installed that reaches past policies."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject

_OUTWARD = "it connects to other servers, and back to this one as another role"
_UNTRUSTED = "functions in it do what the server's account may, past every policy"
_PAGES = "it reads pages of tables, rows of all tenants in them"
_RISKS: dict[str, tuple[Severity, str]] = {
    "adminpack": ("warning", "it reads and writes the server's files"),
    "dblink": ("warning", _OUTWARD),
    "file_fdw": ("warning", "its foreign tables read the server's files, and have no policies"),
    "http": ("warning", "a query can send what it read anywhere"),
    "pg_net": ("warning", "a query can send what it read anywhere"),
    "mysql_fdw": ("info", "its foreign tables have no policies"),
    "pageinspect": ("info", _PAGES),
    "pg_stat_statements": ("info", "it keeps the statements of all tenants of a role"),
    "pg_walinspect": ("info", "it reads changes of all tenants"),
    "plperlu": ("info", _UNTRUSTED),
    "plpython3u": ("info", _UNTRUSTED),
    "plsh": ("info", _UNTRUSTED),
    "pltclu": ("info", _UNTRUSTED),
    "postgres_fdw": ("info", "its foreign tables have no policies; " + _OUTWARD),
}


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the extensions of the table above."""
    for extension in subject.facts.extensions:
        if extension.name in _RISKS:
            severity, what = _RISKS[extension.name]
            yield Problem(
                f"extension {extension.name}",
                what,
                f"DROP EXTENSION {quote(extension.name)};",
                severity,
            )


RULE = Rule(
    name="ext-risky",
    severity="warning",
    group="Code",
    title="An extension reaches past policies",
    why=(
        "Some extensions read files, pages or other servers, where row-level security does not "
        "hold, and most let everybody call their functions. A connection that the server opens "
        "to itself may be trusted where the app's is not. If it is needed, keep it in a schema "
        "that the app has no USAGE on, and suppress this with the reason."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/dblink.html",
        "https://www.postgresql.org/docs/current/file-fdw.html",
    ),
    bad="CREATE EXTENSION dblink;",
    good="DROP EXTENSION IF EXISTS dblink;",
    check=check,
)
