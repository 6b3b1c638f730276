"""The keys a policy may have: what is read, and what an error says."""

from __future__ import annotations

import pytest

from api.lint_catalog import lint_catalog
from lint.guard import make_prover
from retention.errors import PolicyError
from retention.policies import Policy
from retention.policy_file import parse_policies
from retention.treatments import Treatment
from tenants.catalog import Catalog, Index, Table, TableName
from tests.unit.retention.conftest import AT, name, table

POLICY = """
[[policy]]
name = "people"
table = "shop.people"
starts = "born"
period = "P10Y"
legal_basis = "law"
class = "people"
"""


@pytest.fixture
def people() -> Catalog:
    columns = (("born", "date"), ("email", "text"), ("nick", "text"), ("shoes", "integer"),
               ("member", "boolean"), ("seen_at", AT), ("blob", "jsonb"),
               ("tag", "character varying(35)"))  # fmt: skip
    kept = table("people", *columns, ("archived_at", AT), ("archived_batch", "uuid"))
    tables = (
        table("people", *columns, parents=("firms",), indexed=(("born",),)),
        table("firms", ("closed_at", AT), ("open_until", AT), indexed=(("closed_at",),)),
        table("orders", parents=("people",)),
        Table(
            TableName("attic", "people"), "tenant",
            (*kept.columns[:2], table("x", parents=("firms",)).columns[2], *kept.columns[2:]),
            kept.primary_key,
        ),
    )  # fmt: skip
    catalog = {t.name: t for t in tables}
    unique = Index("people_nick_key", ("tenant_id", "nick"), True)
    there = catalog[name("people")]
    catalog[name("people")] = Table(
        there.name, "tenant", there.columns, there.primary_key, there.foreign_keys,
        indexes=(*there.indexes, unique),
    )  # fmt: skip
    return Catalog(catalog)


def read(people: Catalog, more: str) -> Policy:
    (policy,) = parse_policies(
        POLICY + more, people, source="p.toml", prove=make_prover(lint_catalog(people))
    )
    return policy


def test_all_keys_are_read_and_survive_the_database(people: Catalog) -> None:
    policy = read(
        people,
        """action = "pseudonymise"
        condition = "r.shoes > 3 AND EXISTS (SELECT FROM shop.orders o
                     WHERE o.tenant_id = r.tenant_id AND o.people_id = r.id)"
        columns = { email = "hash", shoes = { generalise = 5 }, seen_at = { constant = "x" } }
        minimum = "P6Y"
        maximum = "P15Y"
        window = "22:00-06:00"
        rate = 500
        batch = [10, 500]
        schedule = "0 2 * * *"
        """.replace('seen_at = { constant = "x" }', 'seen_at = { generalise = "year" }').replace(
            "\n                     ", " "
        ),
    )
    assert policy.treatments == (
        Treatment("email", "hash"),
        Treatment("seen_at", "generalise", "year"),
        Treatment("shoes", "generalise", 5),
    )
    assert (policy.minimum, policy.maximum, policy.rate, policy.batch) == (
        "P6Y", "P15Y", 500, (10, 500),
    )  # fmt: skip
    assert not policy.removes
    assert Policy.from_definition(policy.definition()) == policy


def test_what_is_not_written_leaves_the_digest_as_it_was(people: Catalog) -> None:
    assert set(read(people, "").definition()) == {
        "name", "table", "starts", "period", "with", "legal_basis", "class", "state",
    }  # fmt: skip


def test_a_period_may_run_from_the_end_of_what_a_row_refers_to(people: Catalog) -> None:
    text = POLICY.replace('"born"', '"firms_id.closed_at"')
    (policy,) = parse_policies(text, people)
    assert policy.starts == "firms_id.closed_at"


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ("firm_id.closed_at", "shop.people has no foreign key 'firm_id'; it has firms_id"),
        ("firms_id.shut_at", "table shop.firms has no column 'shut_at'; it has"),
        ("firms_id.open_until", "shop.firms has no index led by (tenant_id, open_until)"),
    ],
)
def test_a_way_that_leads_nowhere_is_said(people: Catalog, starts: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policies(POLICY.replace('"born"', f'"{starts}"'), people)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('action = "shred"', "action: 'shred' must be one of delete, archive, anonymise"),
        ('columns = { email = "null" }', "columns: says nothing where the action is 'delete'"),
        ('action = "anonymise"', "columns: what to anonymise is missing"),
        ('action = "anonymise"\ncolumns = { mail = "null" }', "has no column 'mail'"),
        ('action = "anonymise"\ncolumns = { email = "gone" }', "'gone' is no treatment; write"),
        ('action = "anonymise"\ncolumns = { email = { zap = 1 } }', "is no treatment; write"),
        ('action = "anonymise"\ncolumns = { id = "null" }', "shop.people.id is part of the key"),
        ('action = "anonymise"\ncolumns = { born = "null" }', "is the starting point"),
        ('action = "anonymise"\ncolumns = { email = "hash" }', "pseudonymisation, not anonym"),
        ('action = "pseudonymise"\ncolumns = { email = "null" }', 'this is action = "anonymise"'),
        ('action = "pseudonymise"\ncolumns = { shoes = "hash" }', "integer; a hash is a text"),
        ('action = "anonymise"\ncolumns = { shoes = "random" }', "a random value is a text"),
        ('action = "anonymise"\ncolumns = { tag = "random" }', "a random value has 36 letters"),
        ('action = "anonymise"\ncolumns = { nick = { constant = "x" } }', "nick is unique, and"),
        ('action = "anonymise"\ncolumns = { shoes = { constant = "x" } }', "integer, and 'x' is"),
        ('action = "anonymise"\ncolumns = { shoes = { constant = true } }', "and True is not"),
        ('action = "anonymise"\ncolumns = { blob = { generalise = 1 } }', "jsonb, which cannot"),
        ('action = "anonymise"\ncolumns = { blob = { constant = 1 } }', "of which there is no"),
        ('action = "anonymise"\ncolumns = { email = { generalise = 0 } }', "first letters, not 0"),
        ('action = "anonymise"\ncolumns = { seen_at = { generalise = "week" } }', "year, month"),
        ('action = "anonymise"\ncolumns = { firms_id = "hash" }', "is a foreign key"),
        ('action = "anonymise"\ncolumns = { email = "null" }\nwith = ["orders"]', "for removing"),
        ('action = "archive"', "archive: missing: name the schema to archive to"),
        ('action = "archive"\narchive = "loft"', "there is no table loft.people to archive"),
        ('archive = "attic"', 'archive: is for action = "archive"'),
        ("condition = 3", "condition: 3 must be SQL over the row r"),
        ('condition = "true) OR (true"', "is not proven to look at its own tenant alone"),
        ('condition = "true /* "', "is not proven to look"),
        ('condition = "true; SELECT 1"', "is not proven to look"),
        ('condition = "EXISTS (SELECT FROM shop.orders)"', "is not proven to look"),
        ('minimum = "P11Y"', "minimum: P11Y is longer than the period, P10Y"),
        ('maximum = "P9Y"', "maximum: P9Y is shorter than the period, P10Y"),
        ('maximum = "P120M"\nminimum = "P3653D"', "P3653D is longer than the period"),
        ('minimum = "soon"', "minimum: 'soon' is no ISO 8601 duration"),
        ('window = "22-6"', "window: '22-6' is no window of the day in UTC"),
        ('window = "22:00-22:00"', "is empty"),
        ("rate = 0", "rate: 0 must be a number of rows a second"),
        ("rate = true", "rate: True must be"),
        ("batch = [10, 5]", "batch: [10, 5] must be [fewest, most]"),
        ("batch = 5", "batch: 5 must be"),
        ('schedule = "at night"', "schedule: 'at night' is no schedule"),
        ("schedule = 4", "schedule: 4 is no schedule"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(people: Catalog, more: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(people, more)
    assert said in str(caught.value)


def test_a_condition_needs_somebody_who_proves_it(people: Catalog) -> None:
    with pytest.raises(PolicyError, match="there is nobody here to prove it"):
        parse_policies(POLICY + 'condition = "r.shoes > 3"', people)


def test_an_archive_has_the_columns_of_what_it_keeps(people: Catalog) -> None:
    assert read(people, 'action = "archive"\narchive = "attic"').archive == "attic"
    attic = people.table("attic.people")
    less = Table(attic.name, "tenant", attic.columns[:-1], attic.primary_key)
    with pytest.raises(PolicyError, match=r"attic\.people differs from shop\.people in archived_b"):
        read(Catalog({**people.tables, less.name: less}), 'action = "archive"\narchive = "attic"')


def test_a_table_may_have_a_rule_for_some_of_its_rows(people: Catalog) -> None:
    prove = make_prover(lint_catalog(people))
    some = POLICY.replace('"people"', '"big-feet"', 1) + 'condition = "r.shoes > 45"'
    assert len(parse_policies(POLICY + some, people, prove=prove)) == 2
    changed = POLICY.replace('"people"', '"names"', 1)
    changed += 'action = "anonymise"\ncolumns = { email = "null" }'
    assert len(parse_policies(POLICY + changed, people, prove=prove)) == 2
