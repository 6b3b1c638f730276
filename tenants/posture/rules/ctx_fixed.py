"""A tenant's context is fixed for a role or a database."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenants.posture.facts import Facts
from tenants.posture.mending import reset
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_READ = re.compile(r"current_setting\(\s*'([\w.]+)'", re.IGNORECASE)


def check(subject: Subject) -> Iterator[Problem]:
    """Yield settings that policies read, and that an app's role has from the start."""
    read = _settings_read(subject.facts)
    for role in subject.app_roles:
        for name, value in role.settings.items():
            if value and name.lower() in read:
                yield Problem(
                    role.label,
                    f"{name}, which policies ask for, is {value!r} before anybody sets it",
                    reset(subject, role, name),
                )


def _settings_read(facts: Facts) -> frozenset[str]:
    """What the policies, and the functions there are, read by current_setting."""
    texts = [text for p in facts.policies for text in (p.using, p.check) if text]
    texts += [function.body for function in facts.functions.values()]
    return frozenset(name.lower() for text in texts for name in _READ.findall(text))


RULE = Rule(
    name="ctx-fixed",
    severity="error",
    group="Session",
    title="Sessions begin in a tenant's context",
    why=(
        "A session that has not said whose it is must see nothing. Where ALTER ROLE .. SET or "
        "ALTER DATABASE .. SET gives the setting that policies read a value, a session without a "
        "context acts for that tenant, and so does every request whose context was forgotten "
        "or reset."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-alterrole.html",),
    bad="ALTER ROLE shop_app SET app.tenant_id = '00000000-0000-0000-0000-00000000000a';",
    good="ALTER ROLE shop_app SET app.tenant_id = '';",
    check=check,
)
