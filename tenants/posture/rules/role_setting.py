"""A setting of the app's role takes away what binds it."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.mending import reset
from tenants.posture.records import PUBLIC, Role, quote
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject

_ON = ("on", "true", "yes", "1", "t")
_WITHOUT_CHECKS = "triggers, rules and the checks of foreign keys do not run"


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such settings, by ALTER ROLE or ALTER DATABASE, and who may make one by a grant."""
    for role in subject.app_roles:
        for name, value in role.settings.items():
            found = _weighed(subject, role, name.lower(), value)
            if found is not None:
                severity, why = found
                said = f"its sessions begin with {name} = {value}: {why}"
                yield Problem(role.label, said, reset(subject, role, name), severity)
    facts = subject.facts
    for grant in facts.grants:
        if grant.object_class != "parameter" or grant.detail != "session_replication_role":
            continue
        for role in subject.app_roles:
            if grant.grantee == PUBLIC or grant.grantee in facts.acts_as(role.oid):
                yield Problem(
                    role.label,
                    f"{role.name} may set {grant.detail}: {_WITHOUT_CHECKS}",
                    f"REVOKE SET, ALTER SYSTEM ON PARAMETER {grant.detail}"
                    f" FROM {facts.role_sql(grant.grantee)};",
                )


def _weighed(subject: Subject, role: Role, name: str, value: str) -> tuple[Severity, str] | None:
    if name == "session_replication_role" and value.lower() == "replica":
        return "error", _WITHOUT_CHECKS
    if name == "role":
        return _other_role(subject, role, value)
    if name == "lo_compat_privileges" and value.lower() in _ON:
        return "error", "large objects are open to it without any grant"
    if name == "search_path":
        path = [part.strip().strip('"') for part in value.split(",")]
        if "pg_temp" in path[:-1]:
            return "warning", "a temporary table comes before the real one of its name"
    if name == "standard_conforming_strings" and value.lower() not in _ON:
        return "warning", "a backslash ends a text otherwise than its driver may think"
    return None


def _other_role(subject: Subject, role: Role, value: str) -> tuple[Severity, str] | None:
    other = next((r for r in subject.facts.roles.values() if r.name == value.strip('"')), None)
    if other is None or other.oid in subject.apps or other.oid == role.oid:
        return None
    owned = any(t.owner in subject.facts.acts_as(other.oid) for t in subject.tenant_tables)
    if other.exempt or owned:
        whom = "whom no policy binds" if other.exempt else "who owns tenant tables"
        return "error", f"they act as {quote(other.name)}, {whom}"
    open_to = [t for t in subject.tenant_tables if subject.facts.privileges(other.oid, t)]
    if any(subject.admits(other, t, "SELECT").kind == "open" for t in open_to):
        return "error", f"they act as {quote(other.name)}, who sees every tenant's rows"
    return None


RULE = Rule(
    name="role-setting",
    severity="error",
    group="Session",
    title="A setting of the app's role takes away what binds it",
    why=(
        "ALTER ROLE .. SET and ALTER DATABASE .. SET give every session of the app a value from "
        "the start. `role` lets it act as another role, `session_replication_role = replica` "
        "leaves out triggers and the checks of foreign keys, composite ones too, "
        "`lo_compat_privileges` opens all large objects; `pg_temp` before other schemas in "
        "`search_path` and backslashes in texts help who injects SQL. GRANT SET ON PARAMETER "
        "(PostgreSQL 15 and later) lets the app do it itself. What policies read is `ctx-fixed`, "
        "`row_security` is `rowsec-off`."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-alterrole.html",
        "https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE",
    ),
    bad="ALTER ROLE shop_app SET session_replication_role = replica;",
    good="ALTER ROLE shop_app SET statement_timeout = '5s';",
    check=check,
)
