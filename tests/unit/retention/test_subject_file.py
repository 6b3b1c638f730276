"""The file of subjects: what is read, what is reached, and what an error says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from shop.models import MODELS

from retention.errors import SubjectError
from retention.subject_file import load_subjects, parse_subjects
from retention.subjects import Subject
from retention.treatments import Treatment
from tenants.catalog import Catalog, Column, ForeignKey, Index, Table, TableName
from tenants.catalog import catalog_of as of_models

AT = "timestamp with time zone"
KEY = (Column("tenant_id", "uuid", False, "tenant_id"), Column("id", "uuid", False, "id"))


def name(text: str) -> TableName:
    return TableName(*text.split(".")) if "." in text else TableName("shop", text)


def table(
    text: str, *columns: Column, refers: tuple[tuple[str, str], ...] = (), indexed: bool = True
) -> Table:
    """Return a tenant table; `refers` are (column, table), nullable."""
    return Table(
        name=name(text),
        kind="tenant",
        columns=(*KEY, *(Column(c, "uuid", True, c) for c, _ in refers), *columns),
        primary_key=("tenant_id", "id"),
        foreign_keys=tuple(
            ForeignKey(f"{text}_{c}", ("tenant_id", c), name(p), ("tenant_id", "id"))
            for c, p in refers
        ),
        indexes=tuple(Index(f"{text}_{c}", ("tenant_id", c), False) for c, _ in refers if indexed),
    )


def catalog_of(*tables: Table) -> Catalog:
    return Catalog({t.name: t for t in tables})


def text(column: str, *, null: bool = True) -> Column:
    return Column(column, "text", null, column)


PEOPLE = table("people", text("email"), text("number", null=False), Column("x", "jsonb", True, "x"))
ORDERS = table("orders", text("address"), refers=(("person_id", "people"),))
LINES = table("lines", refers=(("order_id", "orders"),))
GOODS = table("goods")
BASE = catalog_of(PEOPLE, ORDERS, LINES, GOODS)

GOOD = """
[subjects.person]
table = "shop.people"
key = "id"
lookup = ["email"]

[[subjects.person.tables]]
table = "shop.people"
action = "anonymise"
columns = { email = "null", number = "random" }

[[subjects.person.tables]]
table = "orders"
action = "keep"
basis = "the law"

[[subjects.person.tables]]
table = "lines"
action = "delete"
"""


def read(written: str, catalog: Catalog = BASE) -> Subject:
    (subject,) = parse_subjects(written, catalog)
    return subject


def problems(written: str, catalog: Catalog = BASE) -> str:
    with pytest.raises(SubjectError) as caught:
        parse_subjects(written, catalog, source="s.toml")
    message = str(caught.value)
    assert all(line.startswith("s.toml: ") for line in message.splitlines())
    return message


def test_a_subject_is_read_with_all_that_becomes_of_its_tables() -> None:
    subject = read(GOOD)
    assert (subject.name, subject.table, subject.lookup) == ("person", name("people"), ("email",))
    assert {str(t.table): t.action for t in subject.tables} == {
        "shop.people": "anonymise", "shop.orders": "keep", "shop.lines": "delete",
    }  # fmt: skip
    assert subject.of(name("people")).treatments == (
        Treatment("email", "null"), Treatment("number", "random"),
    )  # fmt: skip
    assert subject.of(name("orders")).basis == "the law"


def test_tables_are_reached_over_any_number_of_references_children_first() -> None:
    reach = read(GOOD).reach(BASE)
    assert list(map(str, reach.tables)) == ["shop.lines", "shop.orders", "shop.people"]
    assert {str(e) for e in reach.edges} == {
        "shop.orders.person_id -> shop.people", "shop.lines.order_id -> shop.orders",
    }  # fmt: skip


def test_the_digest_tells_what_is_done_and_not_how_it_is_written() -> None:
    assert read(GOOD).digest == read(GOOD.replace('"orders"', '"shop.orders"')).digest
    assert read(GOOD).digest != read(GOOD.replace('"the law"', '"another"')).digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('table = "shop.people"\nkey', "key", "table: missing: name a table"),
        ('"shop.people"\nkey', '"shop.persons"\nkey', "there is no table shop.persons; known are"),
        ('key = "id"', 'key = "email"', 'write key = "id", and by what else a person is known'),
        ('["email"]', '["mail"]', "lookup: table shop.people has no column 'mail'; it has"),
        ('["email"]', '["x"]', "lookup: shop.people.x is jsonb, by which nobody is looked up"),
        ('["email"]', '"email"', "lookup: 'email' must be a list of names"),
        ("lookup", "look_up", "look_up: unknown key; did you mean 'lookup'?"),
        ("basis", "bases", "shop.orders, bases: unknown key; did you mean 'basis'?"),
        ('basis = "the law"', "", "shop.orders, basis: missing: what is kept of a person"),
        ('basis = "the law"', 'basis = " "', "basis: ' ' must be a text that is not empty"),
        ('action = "delete"', "", "shop.lines, action: missing: it must be one of delete, anon"),
        ('"delete"', '"shred"', "shop.lines, action: 'shred': it must be one of delete"),
        ('email = "null"', 'mail = "null"', "columns: table shop.people has no column 'mail'"),
        ('number = "random"', 'number = "null"', "shop.people.number is NOT NULL"),
        ('number = "random"', 'number = "hash"', "is pseudonymisation, not anonymisation"),
        ('"anonymise"\ncolumns = { email = "null", number = "random" }',
         '"pseudonymise"\ncolumns = { email = "hash" }',
         "basis: missing: what is kept in pseudonymised form"),
        ('"delete"', '"keep"\nbasis = "x"\ncolumns = { id = "null" }', "columns: says nothing of"),
        ('"anonymise"\ncolumns = { email = "null", number = "random" }', '"anonymise"',
         "columns: what to anonymise is missing"),
        ('"lines"', '"goods"', "shop.goods is not reached from shop.people; take it out, or"),
        ('"lines"', '"orders"', "shop.orders, table: declared twice; take one out"),
        ('table = "lines"', "", "tables, 3, table: missing: name a table"),
        ("subjects.person", "subjects.Per-son", "name: 'Per-son' must be lower-case letters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_mend(old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert said in problems(GOOD.replace(old, new))


def test_a_table_that_is_reached_and_not_declared_is_named_with_the_way_to_it() -> None:
    said = problems(GOOD[: GOOD.rindex("[[")])
    assert said == (
        "s.toml: subject 'person', tables: shop.lines is reached (shop.lines.order_id -> "
        "shop.orders) and not declared; add [[subjects.person.tables]] with table = "
        '"shop.lines" and its action'
    )


def test_what_stays_may_not_refer_to_what_goes() -> None:
    gone = GOOD.replace(
        'action = "anonymise"\ncolumns = { email = "null", number = "random" }', 'action = "delete"'
    )
    said = problems(gone)
    assert "shop.orders, action: its rows stay and refer by person_id to shop.people" in said
    assert 'write columns = { person_id = "null" }, or anonymise shop.people' in said
    severed = gone.replace(
        'action = "keep"\nbasis = "the law"',
        'action = "anonymise"\ncolumns = { person_id = "null" }',
    )
    assert read(severed).of(name("orders")).treatments == (Treatment("person_id", "null"),)


def test_a_reference_without_an_index_is_refused_with_the_index_to_make() -> None:
    bare = table("lines", refers=(("order_id", "orders"),), indexed=False)
    said = problems(GOOD, catalog_of(PEOPLE, ORDERS, bare))
    assert "CREATE INDEX ON shop.lines (tenant_id, order_id)" in said


# -- people who refer to people ------------------------------------------------------------


REFERRED = table(
    "people", text("email"), text("number", null=False), refers=(("friend_id", "people"),)
)
FRIENDS = catalog_of(REFERRED, ORDERS, LINES)


def test_a_reference_to_others_of_the_kind_must_be_decided_upon() -> None:
    said = problems(GOOD, FRIENDS)
    assert "shop.people.friend_id leads from people to others of their kind" in said
    assert "put it into cut, or into follow if they are" in said


def test_a_reference_that_is_cut_is_not_followed_and_one_that_is_followed_is() -> None:
    head = 'lookup = ["email"]\n'
    cut = read(GOOD.replace(head, head + 'cut = ["people.friend_id"]\n'), FRIENDS)
    reach = cut.reach(FRIENDS)
    assert [e.column for e in reach.cut] == ["friend_id"]
    assert "friend_id" not in {e.column for e in reach.edges}
    followed = read(GOOD.replace(head, head + 'follow = ["people.friend_id"]\n'), FRIENDS)
    assert "friend_id" in {e.column for e in followed.reach(FRIENDS).edges}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('cut = ["people.fiend_id"]', "cut: 'people.fiend_id' is no reference; there are"),
        ('cut = ["persons.friend_id"]', "cut: there is no table 'persons'"),
        ('follow = ["orders.person_id"]', "follow: shop.orders.person_id is followed anyway"),
    ],
)
def test_a_decision_on_nothing_is_refused(more: str, said: str) -> None:
    assert said in problems(GOOD.replace("lookup", f"{more}\nlookup"), FRIENDS)


def test_a_reference_that_cannot_be_emptied_cannot_be_cut_from_what_goes() -> None:
    columns = tuple(replace(c, nullable=False) for c in LINES.columns)
    strict = catalog_of(PEOPLE, ORDERS, replace(LINES, columns=columns))
    written = """
    [subjects.person]
    table = "people"
    cut = ["lines.order_id"]
    tables = [{ table = "people", action = "delete" }, { table = "orders", action = "delete" }]
    """
    assert "cut: shop.lines.order_id is NOT NULL, and would refer to a row" in problems(
        written, strict
    )
    assert read(written).cut == ("shop.lines.order_id",)


# -- archives ------------------------------------------------------------------------------


def archive(of: Table) -> Table:
    return Table(
        name=TableName("attic", of.name.name),
        kind="tenant",
        columns=(
            *of.columns, Column("archived_at", AT, False, "archived_at"),
            Column("archived_batch", "uuid", False, "archived_batch"),
        ),
        primary_key=of.primary_key,
    )  # fmt: skip


def test_what_was_archived_of_a_table_is_reached_and_must_be_declared() -> None:
    catalog = catalog_of(*BASE.tables.values(), archive(PEOPLE), archive(LINES))
    written = GOOD.replace('"lines"', '"shop.lines"')
    said = problems(written, catalog)
    assert "attic.people is reached (attic.people.id -> shop.people) and not declared" in said
    assert "attic.lines is reached (attic.lines.order_id -> shop.orders)" in said
    assert "attic.orders" not in said
    for name in ("people", "lines"):
        written += f'\n[[subjects.person.tables]]\ntable = "attic.{name}"\naction = "delete"\n'
    reach = read(written, catalog).reach(catalog)
    assert {"attic.people", "attic.lines"} < set(map(str, reach.tables))


# -- the file ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[subjects", "is not TOML"),
        ("subjects = 3", r"written as \[subjects\.NAME\]"),
        ("[subject.x]", r"unknown key 'subject'; write \[subjects\.NAME\]"),
    ],
)
def test_what_is_no_file_of_subjects_is_refused(written: str, said: str) -> None:
    with pytest.raises(SubjectError, match=said):
        parse_subjects(written, BASE)


def test_a_domain_without_a_file_has_no_subjects(tmp_path: Path) -> None:
    assert load_subjects(tmp_path / "subjects.toml", BASE) == ()


def test_the_shop_declares_its_customers() -> None:
    catalog = of_models(MODELS)
    path = Path(__file__).parents[3] / "examples" / "shop" / "subjects.toml"
    (customer,) = load_subjects(path, catalog)
    assert {str(t.table): t.action for t in customer.tables} == {
        "shop.customers": "anonymise", "shop.customer_profiles": "delete", "shop.notes": "delete",
        "shop.invoices": "keep", "shop.invoice_lines": "keep",
    }  # fmt: skip
