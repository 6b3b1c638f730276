"""What SQL injected under one tenant could take from the sessions that it shares a role with.

The attacker reads other sessions' statements (pg_stat_activity shows a role its own) and comes
back on a connection of its choice; the pool serves everybody with the same few.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation, sealer_of

from .conftest import Pair

STOLEN = "SELECT count(*) FROM shop.customers"


@pytest.fixture
def session(installation: Installation) -> Iterator[Any]:
    """A connection that serves a now, and served b before."""
    connection = psycopg2.connect(installation.settings.role_url("tenure_app"))
    connection.autocommit = True
    yield connection
    connection.close()


def token(session: Any, installation: Installation, tenant: Any) -> str:
    return sealer_of(installation.settings).token(tenant, session.info.backend_pid)


@pytest.mark.parametrize(
    "message",
    [
        "SELECT tenure.set_tenant('{mine}'); SELECT tenure.set_tenant('{seen}'); {stolen}",
        "SELECT tenure.set_tenant('{mine}'); COMMIT; BEGIN;"
        " SELECT tenure.set_tenant('{seen}'); {stolen}",
        "SELECT tenure.set_tenant('{mine}'); SELECT 1 UNION ALL SELECT count(*) FROM"
        " (SELECT tenure.set_tenant('{seen}')) x; {stolen}",
        "SELECT tenure.set_tenant('{mine}'); DO $$ BEGIN EXECUTE 'SELECT tenure.set_tenant("
        "''{seen}'')'; END $$; {stolen}",
        "SELECT token FROM tenure.resolve_token('') x(token, b, c, d);"
        " SELECT tenure.set_tenant('{seen}'); {stolen}",
        "/* SELECT tenure.set_tenant('{seen}') */ SELECT tenure.set_tenant('{seen}'); {stolen}",
    ],
)
def test_a_token_seen_in_another_message_is_not_accepted_again(
    session: Any, installation: Installation, pair: Pair, message: str
) -> None:
    seen = token(session, installation, pair.b)
    cursor = session.cursor()
    cursor.execute(f"SELECT tenure.set_tenant('{seen}'); {STOLEN}")
    assert cursor.fetchone() == (3,)
    mine = token(session, installation, pair.a)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(message.format(mine=mine, seen=seen, stolen=STOLEN))


def test_a_token_seen_in_another_message_is_not_accepted_inside_a_transaction(
    session: Any, installation: Installation, pair: Pair
) -> None:
    seen, mine = (token(session, installation, t) for t in (pair.b, pair.a))
    cursor = session.cursor()
    cursor.execute(f"BEGIN; SELECT tenure.set_tenant('{mine}')")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(
            "UPDATE shop.customers SET name = 'x' WHERE number = ''; COMMIT;"
            f" BEGIN; SELECT tenure.set_tenant('{seen}'); {STOLEN}"
        )


@pytest.mark.parametrize(
    "attack",
    [
        "SELECT query FROM pg_stat_activity",
        "SELECT * FROM pg_stat_get_activity(NULL)",
        "SELECT pg_stat_get_backend_activity(1)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_get(1)",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_cancel_backend(1)",
    ],
)
def test_what_other_sessions_say_and_what_knows_no_tenant_is_out_of_reach(
    session: Any, installation: Installation, pair: Pair, attack: str
) -> None:
    mine = token(session, installation, pair.a)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        session.cursor().execute(f"SELECT tenure.set_tenant('{mine}'); {attack}")


QUESTIONS = {
    "login": ("SELECT * FROM tenure.resolve_login({asked}, {until}, {seal})", "login:{asked}"),
    "memberships": (
        "SELECT * FROM tenure.memberships_of({asked}, {until}, {seal})",
        "memberships:{asked}",
    ),
    "session": (
        "SELECT tenure.open_session('\\x00', {asked}, NULL, 60, {until}, {seal})",
        "session:00:{asked}::60",
    ),
}
ASKED = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_about_people_take_a_fresh_seal_for_that_question(
    session: Any, installation: Installation, question: str
) -> None:
    statement, message = QUESTIONS[question]
    sealer = sealer_of(installation.settings)
    now = int(time.time())
    good = message.format(asked=ASKED)

    def ask(until: Any, seal: Any) -> None:
        cursor = session.cursor()
        quoted = {"asked": f"'{ASKED}'", "until": until, "seal": seal}
        cursor.execute(statement.format(**quoted))

    until, seal = sealer.fresh(good)
    ask(until, f"'{seal}'")
    for text in ("", "0" * 64, sealer.mac(good), sealer.fresh(good + "x")[1]):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"):
            ask(until, f"'{text}'")
    for other in (now - 1, now + 3600):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"):
            ask(other, f"'{sealer.mac(f'{good}:{other}')}'")
    for wanting in ((until + 1, f"'{seal}'"), ("NULL", f"'{seal}'"), (until, "NULL")):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not sealed"):
            ask(*wanting)
