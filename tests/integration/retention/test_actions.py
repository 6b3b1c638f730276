"""What else than deletion becomes of rows: changed, or archived; and periods over a key."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import pytest

from api.lint_catalog import lint_catalog
from api.wiring import Installation, migrator_of
from lint.guard import make_prover
from retention.errors import PolicyError, RestoreError
from retention.executor import Options
from retention.explain import Question, explain
from retention.exports.making import Exporter
from retention.graph import held_edges
from retention.held_rows import held_by
from retention.holds import place
from retention.jobs import run_once
from retention.live_check import check_live
from retention.policies import Policy
from retention.policy_file import parse_policies
from retention.policy_records import set_period
from retention.restoring import ArchivedBatch, Wish, archived_batches, restore
from retention.seat import Seat
from retention.subject_file import parse_subjects
from tenants.archive import (
    archive_of,
    archive_statements,
    changeable_statements,
    create_archives,
    restorable_statements,
)
from tenants.catalog import TableName, catalog_of
from tenants.context import TenantId
from tenants.models import (
    DateField,
    DecimalField,
    ForeignKeyField,
    InstantField,
    IntegerField,
    TenantModel,
    TextField,
)
from tenants.schema import create_tables, execute
from tests.integration.retention.conftest import LATELY, LONG_AGO, NOW, Lab


class _Desk(TenantModel):
    class Meta:
        schema = "desk"


class Contract(_Desk):
    ended_at = InstantField(null=True)

    class Meta:
        table_name = "contracts"
        indexes = ((("ended_at",), False),)


class Person(_Desk):
    contract = ForeignKeyField(Contract, null=True)
    made_at = InstantField(null=True)
    name = TextField()
    email = TextField(null=True, unique=True)
    born = DateField(null=True)
    seen_at = InstantField(null=True)
    postcode = TextField(null=True)
    salary = IntegerField(null=True)
    height = DecimalField(max_digits=6, decimal_places=2, null=True)

    class Meta:
        table_name = "people"
        indexes = ((("made_at",), False),)


class Letter(_Desk):
    person = ForeignKeyField(Person)
    body = TextField()
    sent_at = InstantField(null=True)

    class Meta:
        table_name = "letters"
        indexes = ((("sent_at",), False),)


MODELS = (Contract, Person, Letter)
ARCHIVES = tuple(archive_of(model, schema="attic") for model in (Person, Letter))
CATALOG = catalog_of((*MODELS, *ARCHIVES))

HEAD = """
[[policy]]
name = "people"
table = "desk.people"
starts = "made_at"
period = "P1Y"
legal_basis = "test"
class = "people"
"""


def read(text: str) -> tuple[Policy, ...]:
    return parse_policies(text, CATALOG, prove=make_prover(lint_catalog(CATALOG)))


@pytest.fixture
def desk(installation: Installation) -> Iterator[Lab]:
    db = peewee.PostgresqlDatabase(installation.settings.role_url("tenure_owner"))
    with db.atomic():
        create_tables(db, MODELS)
        create_archives(db, ARCHIVES)
        columns = ("name", "email", "born", "seen_at", "postcode", "salary", "height")
        execute(db, *changeable_statements(Person, columns), *restorable_statements(MODELS[1:]))
    db.close()
    owner = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    try:
        yield Lab(installation, owner, catalog=CATALOG)
    finally:
        owner.close()


def person(desk: Lab, tenant: TenantId, made_at: Any = LONG_AGO, **values: Any) -> str:
    row = {"made_at": made_at, "name": "Ann", **values}
    names = ", ".join(["tenant_id", "id", *row])
    marks = ", ".join(["%s", "gen_random_uuid()", *["%s"] * len(row)])
    ((key,),) = desk.sql(
        f"INSERT INTO desk.people ({names}) VALUES ({marks}) RETURNING id::text",
        (str(tenant), *row.values()),
    )
    return str(key)


def letter(desk: Lab, tenant: TenantId, to: str, sent_at: Any = LATELY) -> str:
    ((key,),) = desk.sql(
        "INSERT INTO desk.letters (tenant_id, id, person_id, body, sent_at)"
        " VALUES (%s, gen_random_uuid(), %s, 'Dear', %s) RETURNING id::text",
        (str(tenant), to, sent_at),
    )
    return str(key)


def everybody(desk: Lab, columns: str, order: str = "id") -> list[tuple[Any, ...]]:
    return desk.sql(f"SELECT {columns} FROM desk.people ORDER BY {order}")


def batches(desk: Lab) -> list[tuple[Any, ...]]:
    return desk.sql("SELECT action, rows_deleted, counts FROM tenure.batches ORDER BY recorded_at")


@pytest.fixture
def acme(desk: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def globex(desk: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("globex")


def run(desk: Lab, policies: tuple[Policy, ...]) -> Any:
    """Find what is overdue before, run, and find nothing after: the verifier agrees."""
    shop = desk.shop(policies=policies)
    due = sum(unit.rows for unit in shop.plan().units)
    before = desk.verify(shop)
    assert (before.findings > 0) is (due > 0)
    report = desk.run(shop)
    if report.state == "succeeded":
        assert desk.verify(shop).findings == 0
    return report


def test_rows_are_anonymised_column_by_column(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + """
        action = "anonymise"
        columns = { name = { constant = "somebody" }, email = "null",
          born = { generalise = "year" }, seen_at = { generalise = "month" },
          postcode = { generalise = 2 },
          salary = { generalise = 1000 }, height = { generalise = 0.5 } }
        """.replace("\n          ", " "))  # fmt: skip
    old = person(
        desk, acme, email="a@x", born="1980-05-17", seen_at="2020-03-15T22:30:00-05:00",
        postcode="90210", salary=-1500, height="1.83",
    )  # fmt: skip
    bare = person(desk, acme)
    new = person(desk, acme, LATELY, email="c@x")
    report = run(desk, policies)
    assert (report.state, report.rows) == ("succeeded", 2)
    columns = "id::text, name, email, born::text, seen_at::text, postcode, salary, height::text"
    assert set(everybody(desk, columns)) == {
        (old, "somebody", None, "1980-01-01", "2020-03-01 00:00:00+00", "90", -2000, "1.50"),
        (bare, "somebody", None, None, None, None, None, None),
        (new, "Ann", "c@x", None, None, None, None, None),
    }
    ((action, rows, counts),) = batches(desk)
    assert (action, rows, counts["desk.people"]["rows"]) == ("anonymise", 2, 2)
    assert desk.sql("SELECT octet_length(hashes) FROM tenure.deleted_keys") == [(32,)]


def test_what_was_changed_is_not_due_again_until_it_is_written_to(
    desk: Lab, acme: TenantId
) -> None:
    policies = read(HEAD + 'action = "anonymise"\ncolumns = { email = "null" }')
    row = person(desk, acme, email="a@x")
    assert run(desk, policies).rows == 1
    assert run(desk, policies).rows == 0
    desk.sql("UPDATE desk.people SET email = 'b@x' WHERE id = %s", (row,))
    assert run(desk, policies).rows == 1
    assert everybody(desk, "email") == [(None,)]


def test_a_row_that_others_refer_to_can_be_changed(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + 'action = "anonymise"\ncolumns = { email = "null" }')
    letter(desk, acme, person(desk, acme, email="a@x"))
    report = run(desk, policies)
    assert (report.state, report.rows) == ("succeeded", 1)


def test_a_hash_is_the_tenants_own_and_keyed(desk: Lab, acme: TenantId, globex: TenantId) -> None:
    policies = read(HEAD + 'action = "pseudonymise"\ncolumns = { email = "hash", name = "hash" }')
    for tenant in (acme, globex):
        person(desk, tenant, email="a@x")
        person(desk, tenant, email=None)
    assert run(desk, policies).rows == 4
    hashed = dict(everybody(desk, "tenant_id::text, email", "email NULLS FIRST"))
    assert len(set(hashed.values())) == 2
    for tenant, value in hashed.items():
        ((inner,),) = desk.sql(
            "SELECT inner_key FROM tenure.pseudonym_keys WHERE tenant_id = %s", (tenant,)
        )
        key = bytes(byte ^ 0x36 for byte in bytes(inner)).rstrip(b"\0")
        assert value == "pn1_" + hmac.new(key, b"a@x", hashlib.sha256).hexdigest()[:32]
    assert run(desk, policies).rows == 0


def test_a_random_value_is_another_in_each_row_and_says_nothing(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + 'action = "anonymise"\ncolumns = { email = "random", name = "random" }')
    for email in ("a@x", "b@x", None):
        person(desk, acme, name="Ann", email=email)
    assert run(desk, policies).rows == 3
    values = [value for row in everybody(desk, "name, email") for value in row]
    assert values.count(None) == 1
    told = [value for value in values if value]
    assert len(set(told)) == 5
    assert all(re.fullmatch("an1_[0-9a-f]{32}", value) for value in told)
    assert run(desk, policies).rows == 0


def refused(url: str, query: str) -> None:
    """Require that whoever connects so may not ask this."""
    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(query)
    finally:
        connection.close()


@pytest.mark.parametrize("role", ["tenure_app", "tenure_verifier", "tenure_auditor"])
def test_nobody_else_can_ask_for_a_hash_or_read_a_key(desk: Lab, role: Any) -> None:
    url = desk.installation.settings.role_url(role)
    for query in ("SELECT tenure.pseudonym('x')", "SELECT * FROM tenure.pseudonym_keys",
                  "SELECT tenure.padded('x'::bytea, 54)"):  # fmt: skip
        refused(url, query)


def test_rows_are_archived_with_what_goes_along_and_then_deleted(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + 'action = "archive"\narchive = "attic"\nwith = ["desk.letters"]')
    old, new = person(desk, acme, email="a@x"), person(desk, acme, LATELY)
    letter(desk, acme, old)
    kept = letter(desk, acme, new)
    columns = "tenant_id, id, contract_id, made_at, name, email, born, seen_at, postcode, salary"
    before = everybody(desk, columns, "made_at")[:1]
    report = run(desk, policies)
    assert (report.state, report.rows) == ("succeeded", 2)
    assert everybody(desk, "id::text") == [(new,)]
    assert desk.sql("SELECT id::text FROM desk.letters") == [(kept,)]
    assert desk.sql(f"SELECT {columns} FROM attic.people") == before
    assert str(before[0][1]) == old
    ((batch, archived),) = desk.sql("SELECT id, (SELECT archived_batch FROM attic.letters)"
                                    " FROM tenure.batches")  # fmt: skip
    assert batch == archived
    assert batches(desk)[0][0] == "archive"


def test_a_row_whose_key_is_archived_already_keeps_no_other_from_going(
    desk: Lab, acme: TenantId
) -> None:
    again = person(desk, acme)
    assert run(desk, read(ARCHIVING)).rows == 1
    desk.sql(
        "INSERT INTO desk.people (tenant_id, id, made_at, name) VALUES (%s, %s, %s, 'Ann')",
        (str(acme), again, LONG_AGO),
    )
    for days in (-1, 1):
        person(desk, acme, LONG_AGO + timedelta(days=days))
    report = run(desk, read(ARCHIVING))
    assert (report.state, report.rows) == ("succeeded_with_skips", 2)
    assert [(s.reason, s.rows) for u in report.units for s in u.skips] == [
        ("there is such a row already, by a unique constraint", 1)
    ]
    assert everybody(desk, "id::text") == [(again,)]
    assert desk.recorded(report.trace_id) == {"desk.people": 2}


def test_an_archive_that_takes_less_rolls_all_back(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + 'action = "archive"\narchive = "attic"\nwith = ["desk.letters"]')
    letter(desk, acme, person(desk, acme))
    desk.sql("CREATE RULE lost AS ON INSERT TO attic.letters DO INSTEAD NOTHING")
    report = run(desk, policies)
    assert report.state == "failed"
    tables = ("desk.people", "desk.letters", "attic.people")
    assert [desk.sql(f"SELECT count(*) FROM {t}")[0][0] for t in tables] == [1, 1, 0]


def test_a_period_runs_from_the_end_of_what_the_row_refers_to(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD.replace('"made_at"', '"contract_id.ended_at"'))
    people = {}
    for number, ended in enumerate((LONG_AGO, LATELY, None)):
        ((contract,),) = desk.sql(
            "INSERT INTO desk.contracts (tenant_id, id, ended_at)"
            " VALUES (%s, gen_random_uuid(), %s) RETURNING id::text",
            (str(acme), ended),
        )
        people[number] = [person(desk, acme, contract_id=contract) for _ in range(4)]
    people[3] = [person(desk, acme)]
    plan = desk.shop(policies=policies).plan()
    assert [(u.due, u.undated) for u in plan.units] == [(4, 5)]
    report = run(desk, policies)
    assert (report.state, report.rows) == ("succeeded", 4)
    assert {row for (row,) in everybody(desk, "id::text")}.isdisjoint(people[0])


def starts_kept(desk: Lab, table: str) -> list[Any]:
    """Return the starting points that batches kept of a table, as instants."""
    return [
        instant
        for (starts,) in desk.sql(
            "SELECT starts FROM tenure.deleted_keys WHERE table_name = %s", (table,)
        )
        for (micros,) in struct.iter_unpack(">q", bytes(starts))
        for instant in [datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)]
    ]


def test_of_such_a_row_the_end_of_what_it_referred_to_is_kept(desk: Lab, acme: TenantId) -> None:
    for changes in ("", 'action = "anonymise"\ncolumns = { email = "null" }'):
        policies = read(HEAD.replace('"made_at"', '"contract_id.ended_at"') + changes)
        ((contract,),) = desk.sql(
            "INSERT INTO desk.contracts (tenant_id, id, ended_at)"
            " VALUES (%s, gen_random_uuid(), %s) RETURNING id::text",
            (str(acme), LONG_AGO),
        )
        person(desk, acme, contract_id=contract, email="a@x")
        run(desk, policies)
    assert starts_kept(desk, "desk.people") == [LONG_AGO, LONG_AGO]


def test_of_a_changed_row_the_start_that_made_it_due_is_kept(desk: Lab, acme: TenantId) -> None:
    """Although a trigger of the domain's moves it with every write."""
    desk.sql(
        "CREATE FUNCTION desk.touch() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.made_at = now(); RETURN NEW; END'"
    )
    desk.sql(
        "CREATE TRIGGER touch BEFORE UPDATE ON desk.people"
        " FOR EACH ROW EXECUTE FUNCTION desk.touch()"
    )
    person(desk, acme, email="a@x")
    policies = read(HEAD + 'action = "anonymise"\ncolumns = { email = "null" }')
    assert run(desk, policies).rows == 1
    assert starts_kept(desk, "desk.people") == [LONG_AGO]


def test_an_end_that_is_taken_back_in_mid_batch_keeps_the_row(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD.replace('"made_at"', '"contract_id.ended_at"'))
    ((contract,),) = desk.sql(
        "INSERT INTO desk.contracts (tenant_id, id, ended_at)"
        " VALUES (%s, gen_random_uuid(), %s) RETURNING id::text",
        (str(acme), LONG_AGO),
    )
    person(desk, acme, contract_id=contract)
    plan = desk.shop(policies=policies).plan()
    assert plan.rows == 1
    desk.sql("UPDATE desk.contracts SET ended_at = NULL")
    report = run_once(desk.shop(policies=policies), lambda: plan)
    assert report.rows == 0
    assert len(everybody(desk, "id")) == 1


def test_an_end_that_is_taken_back_while_a_batch_waits_keeps_the_row(
    desk: Lab, acme: TenantId
) -> None:
    policies = read(HEAD.replace('"made_at"', '"contract_id.ended_at"'))
    contracts = [
        contract
        for _ in range(2)
        for ((contract,),) in [
            desk.sql(
                "INSERT INTO desk.contracts (tenant_id, id, ended_at)"
                " VALUES (%s, gen_random_uuid(), %s) RETURNING id::text",
                (str(acme), LONG_AGO),
            )
        ]
    ]
    kept, _gone = (person(desk, acme, contract_id=contract) for contract in contracts)
    other = psycopg2.connect(desk.installation.settings.role_url("tenure_owner"))
    shop = desk.shop(policies=policies, options=Options(lock_timeout_ms=20_000))
    with closing(other), ThreadPoolExecutor(1) as threads:
        with other.cursor() as cursor:
            cursor.execute("UPDATE desk.contracts SET ended_at = NULL WHERE id = %s", contracts[:1])
        running = threads.submit(run_once, shop, shop.plan)
        desk.wait_for_a_waiter()
        other.commit()
        report = running.result()
    assert (report.state, report.rows) == ("succeeded", 1)
    assert everybody(desk, "id::text") == [(kept,)]


def test_a_condition_chooses_rows_and_silences_the_rule_without_one(
    desk: Lab, acme: TenantId
) -> None:
    some = HEAD.replace('"people"', '"vips"', 1).replace("P1Y", "P30Y")
    policies = read(HEAD + some + "condition = \"r.name LIKE 'V%'\"")
    person(desk, acme, name="Ann")
    person(desk, acme, name="Vip")
    assert run(desk, policies).rows == 1
    assert everybody(desk, "name") == [("Vip",)]


def test_a_minimum_on_what_goes_along_keeps_the_row_it_belongs_to(
    desk: Lab, acme: TenantId
) -> None:
    letters = HEAD.replace('"people"', '"letters"', 1).replace("desk.people", "desk.letters")
    letters = letters.replace("made_at", "sent_at").replace("P1Y", "P10Y")
    policies = read(HEAD + 'with = ["desk.letters"]\n' + letters + 'minimum = "P6Y"')
    free, kept = person(desk, acme), person(desk, acme)
    letter(desk, acme, free, NOW - timedelta(days=7 * 366))
    letter(desk, acme, kept, NOW - timedelta(days=5 * 366))
    shop = desk.shop(policies=policies)
    (unit,) = [u for u in shop.plan().units if u.policy == "people"]
    assert [(k.reason, k.rows, k.detail) for k in unit.kept] == [
        ("referenced", 1, "the minimum of desk.letters")
    ]
    assert desk.run(shop).rows == 2
    assert everybody(desk, "id::text") == [(kept,)]


def test_a_tenants_own_period_holds_for_it_alone(
    desk: Lab, acme: TenantId, globex: TenantId
) -> None:
    policies = read(HEAD + 'maximum = "P30Y"')
    for tenant in (acme, globex):
        person(desk, tenant)
    shop = desk.shop(policies=policies)
    shop.record()
    set_period(desk.installation.retention, acme, policies[0], "P20Y", actor="ann")
    assert [(u.tenant, u.due) for u in shop.plan().units] == [("globex", 1)]
    assert desk.run(shop).rows == 1
    set_period(desk.installation.retention, acme, policies[0], None, actor="bob")
    assert desk.run(shop).rows == 1
    changes = "SELECT what, before, after, changed_by FROM tenure.policy_changes ORDER BY id"
    assert desk.sql(changes) == [("period", None, "P20Y", "ann"), ("period", "P20Y", None, "bob")]


def test_a_tenants_period_lies_within_bounds(desk: Lab, acme: TenantId) -> None:
    (policy,) = read(HEAD + 'maximum = "P30Y"')
    for text in ("P11M", "P31Y", "soon"):
        with pytest.raises(PolicyError):
            set_period(desk.installation.retention, acme, policy, text, actor="ann")
    with pytest.raises(PolicyError, match="between P1Y and P1Y"):
        set_period(
            desk.installation.retention, acme, replace(policy, maximum=None), "P2Y", actor="ann"
        )


def test_each_change_of_a_tenants_period_is_recorded_and_what_is_none_is_not(
    desk: Lab, acme: TenantId
) -> None:
    (policy,) = read(HEAD + 'maximum = "P30Y"')
    desk.shop(policies=(policy,)).record()
    for period in ("P2Y", "P2Y", None, None):
        set_period(desk.installation.retention, acme, policy, period, actor="ann")
    assert desk.sql("SELECT before, after FROM tenure.policy_changes ORDER BY changed_at") == [
        (None, "P2Y"),
        ("P2Y", None),
    ]


def test_a_period_made_longer_since_the_plan_stops_the_unit(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD + 'maximum = "P30Y"')
    person(desk, acme)
    shop = desk.shop(policies=policies)
    shop.record()
    plan = shop.plan()
    set_period(desk.installation.retention, acme, policies[0], "P20Y", actor="ann")
    report = run_once(shop, lambda: plan)
    assert (report.state, report.rows) == ("succeeded_with_skips", 0)
    assert "policy changed" in report.detail


def problems(desk: Lab, policies: tuple[Policy, ...]) -> str:
    with desk.installation.verifier.transaction(None, read_only=True) as cursor:
        try:
            check_live(cursor, CATALOG, policies)
        except PolicyError as error:
            return str(error)
    return ""


ALL = (
    HEAD + 'action = "archive"\narchive = "attic"\nwith = ["desk.letters"]\n'
    "condition = \"r.name <> 'x'\"\n"
    + HEAD.replace('"people"', '"names"', 1)
    + 'action = "anonymise"\ncolumns = { email = "null" }\n'
)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("SELECT 1", ""),
        ("DROP TABLE desk.letters", "there is no table desk.letters in the database"),
        ("ALTER TABLE desk.people ALTER COLUMN salary TYPE bigint", "people.salary is bigint in"),
        ("DROP INDEX desk.people_made_at_idx", "no valid index led by (tenant_id, made_at)"),
        ("DROP INDEX desk.letters_person_id_idx", "letters_person_id_fkey of desk.letters is not"),
        ("ALTER TABLE desk.letters DROP CONSTRAINT letters_person_id_fkey, ADD CONSTRAINT"
         " letters_person_id_fkey FOREIGN KEY (tenant_id, person_id) REFERENCES desk.people"
         " ON DELETE CASCADE", "acts by itself when a row of desk.people goes"),
        ("CREATE TABLE desk.stowaways (tenant_id uuid, person_id uuid, CONSTRAINT hidden"
         " FOREIGN KEY (tenant_id, person_id) REFERENCES desk.people)", "no model says so"),
        ("REVOKE DELETE ON desk.letters FROM tenure_retention", "GRANT DELETE ON \"desk\".\"lett"),
        ("REVOKE UPDATE (email) ON desk.people FROM tenure_retention", "GRANT UPDATE (email) ON"),
        ("REVOKE INSERT ON attic.people FROM tenure_retention", "GRANT INSERT ON \"attic\".\"peo"),
    ],
)  # fmt: skip
def test_a_database_that_does_not_fit_is_said_with_the_mend(
    desk: Lab, broken: str, said: str
) -> None:
    desk.sql(broken)
    found = problems(desk, read(ALL))
    assert said in found if said else found == ""


def test_an_archive_is_a_table_with_two_more_columns() -> None:
    (text, *_) = list(archive_statements(ARCHIVES[:1]))
    assert text == 'REVOKE ALL ON "attic"."people" FROM tenure_app'
    attic = CATALOG.table("attic.people")
    assert not attic.foreign_keys
    assert not any(index.unique for index in attic.indexes)
    assert [c.name for c in attic.columns[-2:]] == ["archived_at", "archived_batch"]


def test_the_application_reads_an_archive_at_its_desk_alone_and_writes_nothing(
    desk: Lab, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        person(desk, tenant, name="Ann")
    run(desk, read(ARCHIVING))
    app = desk.installation.app_connections
    seat = Seat(app, acme, "login:x")
    asked = "SELECT tenant_id FROM attic.people"
    with app.transaction(acme) as cursor:
        cursor.execute(asked)
        assert cursor.fetchall() == []
        cursor.execute("SELECT set_config('tenure.desk', 'login:x|' || repeat('0', 64), true)")
        cursor.execute(asked)
        assert cursor.fetchall() == []
    with seat.transaction(None) as cursor:
        cursor.execute(asked)
        assert cursor.fetchall() == [(acme,)]
    for statement in (
        "DELETE FROM attic.people",
        "UPDATE attic.people SET name = 'x'",
        "INSERT INTO attic.people SELECT * FROM attic.people",
    ):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            seat.transaction(None) as cursor,
        ):
            cursor.execute(statement)


SUBJECT = """
[subjects.person]
table = "desk.people"
tables = [
    { table = "desk.people", action = "delete" },
    { table = "desk.letters", action = "delete" },
    { table = "attic.people", action = "delete" },
    { table = "attic.letters", action = "delete" },
]
"""


def test_a_copy_that_the_application_makes_has_what_was_archived(desk: Lab, acme: TenantId) -> None:
    key = person(desk, acme, name="Ann")
    letter(desk, acme, key)
    run(desk, read(ARCHIVING))
    (subject,) = parse_subjects(SUBJECT, CATALOG)
    out = io.BytesIO()
    seat = Seat(desk.installation.app_connections, acme, "login:x")
    made = Exporter(seat, CATALOG).of_subject(out, acme, subject, UUID(key), actor="login:x")
    assert made.counts == {
        "attic.letters": 1, "attic.people": 1, "desk.letters": 0, "desk.people": 0,
    }  # fmt: skip


def test_archives_that_are_there_already_are_opened_by_the_migration_and_closed_again(
    desk: Lab,
) -> None:
    policies = "SELECT tablename FROM pg_policies WHERE schemaname = 'attic' AND policyname = 'app'"
    granted = "SELECT has_table_privilege('tenure_app', 'attic.people', 'SELECT')"
    before = desk.sql(policies)
    assert len(before) == 2
    migrator = migrator_of(desk.installation.settings)
    while any(s.applied_at for s in migrator.status() if s.name == "0024_powers"):
        migrator.down("tenure")
    assert (desk.sql(policies), desk.sql(granted)) == ([], [(False,)])
    assert desk.sql("SELECT count(*) FROM pg_policies WHERE schemaname = 'desk'") != [(0,)]
    migrator.up()
    assert (desk.sql(policies), desk.sql(granted)) == (before, [(True,)])


# -- back from the archive ----------------------------------------------------------------

ARCHIVING = HEAD + 'action = "archive"\narchive = "attic"\nwith = ["desk.letters"]'


def archived(desk: Lab, trace_id: str) -> list[ArchivedBatch]:
    with desk.installation.verifier.transaction(None, read_only=True) as cursor:
        return archived_batches(cursor, trace_id)


def bring_back(desk: Lab, batch: ArchivedBatch, days: int = 30) -> dict[str, int]:
    until = datetime.now(UTC) + timedelta(days=days)
    return restore(desk.installation.retention, CATALOG, batch, Wish("ticket", "ann", until))


def test_what_was_archived_comes_back_whole_and_stays_as_long_as_was_said(
    desk: Lab, acme: TenantId
) -> None:
    policies = read(ARCHIVING)
    rows = [person(desk, acme, email=f"{n}@x") for n in range(4)]
    letters = [letter(desk, acme, row) for row in rows]
    before = desk.sql("SELECT * FROM desk.people ORDER BY id")
    report = run(desk, policies)
    assert report.rows == 8
    for batch in archived(desk, report.trace_id):
        assert sum(bring_back(desk, batch).values()) == batch.rows
    assert desk.sql("SELECT * FROM desk.people ORDER BY id") == before
    assert {row for (row,) in desk.sql("SELECT id::text FROM desk.letters")} == set(letters)
    assert desk.sql("SELECT count(*) FROM attic.people") == [(0,)]
    shop = desk.shop(policies=policies)
    assert desk.verify(shop).findings == 0
    assert run(desk, policies).rows == 0  # not archived again
    assert [u.due for u in shop.plan().units] == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        desk.sql("UPDATE tenure.restored_rows SET kept_until = 'epoch'")


def test_what_went_from_the_archive_by_record_keeps_no_other_row_of_its_batch_there(
    desk: Lab, acme: TenantId
) -> None:
    rows = [person(desk, acme) for _ in range(3)]
    (batch,) = archived(desk, run(desk, read(ARCHIVING)).trace_id)
    # The archive's own policy: each goes a year after the day that is told here.
    desk.sql("UPDATE attic.people SET archived_at = %s WHERE id = %s", (LONG_AGO, rows[1]))
    own = HEAD.replace('"people"', '"attic"', 1).replace("desk.people", "attic.people")
    policies = read(ARCHIVING + own.replace("made_at", "archived_at"))
    assert run(desk, policies).rows == 1
    assert bring_back(desk, batch) == {"desk.people": 2, "desk.letters": 0}
    assert {row for (row,) in everybody(desk, "id::text")} == {rows[0], rows[2]}
    assert desk.verify(desk.shop(policies=policies)).findings == 0


def test_what_is_missing_from_the_archive_without_a_record_keeps_its_batch_there(
    desk: Lab, acme: TenantId
) -> None:
    rows = [person(desk, acme) for _ in range(3)]
    (batch,) = archived(desk, run(desk, read(ARCHIVING)).trace_id)
    desk.sql("DELETE FROM attic.people WHERE id = %s", (rows[1],))
    with pytest.raises(RestoreError, match="archived 3 rows, and 2 of them are in the archive;"):
        bring_back(desk, batch)
    assert everybody(desk, "id") == []


def test_when_its_time_is_over_it_is_archived_again(desk: Lab, acme: TenantId) -> None:
    policies = read(ARCHIVING)
    person(desk, acme)
    (batch,) = archived(desk, run(desk, policies).trace_id)
    bring_back(desk, batch, days=-1)
    assert run(desk, policies).rows == 1


def test_a_batch_comes_back_once(desk: Lab, acme: TenantId) -> None:
    person(desk, acme)
    (batch,) = archived(desk, run(desk, read(ARCHIVING)).trace_id)
    bring_back(desk, batch)
    with pytest.raises(RestoreError, match="0 of them are in the archive"):
        bring_back(desk, batch)
    assert len(everybody(desk, "id")) == 1


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        ("INSERT INTO desk.people (tenant_id, id, name, email)"
         " SELECT tenant_id, gen_random_uuid(), 'Eve', 'a@x' FROM attic.people", "duplicate key"),
        ("DELETE FROM attic.letters", "archived 2 rows, and 1 of them are in the archive"),
        ("UPDATE attic.letters SET person_id = gen_random_uuid()", "violates foreign key"),
    ],
)  # fmt: skip
def test_what_does_not_fit_any_more_stays_in_the_archive_and_is_said(
    desk: Lab, acme: TenantId, meanwhile: str, said: str
) -> None:
    letter(desk, acme, person(desk, acme, email="a@x"))
    (batch,) = archived(desk, run(desk, read(ARCHIVING)).trace_id)
    desk.sql(meanwhile)
    with pytest.raises(RestoreError, match=said) as caught:
        bring_back(desk, batch)
    assert "a@x" not in str(caught.value)
    assert desk.sql("SELECT count(*) FROM attic.people") == [(1,)]
    assert desk.sql("SELECT count(*) FROM tenure.restorations") == [(0,)]


# -- one row explained --------------------------------------------------------------------


def told(desk: Lab, policies: tuple[Policy, ...], row: str) -> Any:
    with desk.installation.verifier.transaction(None, read_only=True) as cursor:
        (found,) = explain(
            cursor,
            Question(TableName("desk", "people"), UUID(row)),
            catalog=CATALOG,
            policies=policies,
            held_by=partial(held_by, cursor, held_edges(CATALOG)),
            now=NOW,
        )
    return found


def test_a_row_is_explained_and_so_is_a_key_that_is_gone(desk: Lab, acme: TenantId) -> None:
    policies = read(HEAD)
    kept, gone, new = person(desk, acme), person(desk, acme), person(desk, acme, LATELY)
    letter(desk, acme, kept)
    found = told(desk, policies, kept)
    assert (found.removal.outcome, found.removal.policy) == ("due", "people")
    assert [(str(r.table), r.rows) for r in found.kept_by] == [("desk.letters", 1)]
    assert told(desk, policies, new).removal.outcome == "waiting"
    report = run(desk, policies)
    ((deletion),) = told(desk, policies, gone).deletions
    assert (deletion.trace_id, deletion.policy, deletion.action) == (
        report.trace_id, "people", "delete",
    )  # fmt: skip
    assert told(desk, policies, gone).removal is None
    held = hold(desk, acme)
    assert told(desk, policies, kept).removal.because == "M-1"
    assert told(desk, policies, new).removal.outcome == "waiting"
    assert told(desk, policies, new).held_by == ("M-1",)
    assert held


def hold(desk: Lab, tenant: TenantId) -> Any:
    return place(desk.installation.retention, tenant, matter="M-1", reason="letter", actor="ann")
