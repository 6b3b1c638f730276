"""Subjects in a database: who is found, which rows are reached, and what it must bear."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from retention.errors import SubjectError
from retention.live_check import check_subjects
from retention.subject_file import parse_subjects
from retention.subject_rows import find_person, rows_of
from retention.subjects import Subject
from tenants.catalog import Catalog, Column, Table, TableName
from tenants.context import TenantId
from tenants.models import new_id
from tests.integration.retention.conftest import CATALOG, Lab

WRITTEN = """
[subjects.case]
table = "lab.cases"
lookup = ["opened"]
follow = ["lab.cases.main_file_id"]
tables = [
    { table = "lab.cases", action = "delete" }, { table = "lab.files", action = "delete" },
    { table = "lab.pages", action = "delete" }, { table = "lab.remarks", action = "delete" },
    { table = "lab.citations", action = "delete" },
]
"""


@pytest.fixture
def subject() -> Subject:
    (subject,) = parse_subjects(WRITTEN.replace("\n    ", " ").replace(",\n]", "]"), CATALOG)
    return subject


def reached(lab: Lab, subject: Subject, tenant: TenantId, key: str) -> dict[str, set[str]]:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        found = rows_of(cursor, subject.reach(CATALOG), tenant, UUID(key))
    return {str(name): ids for name, ids in found.items()}


def test_rows_are_reached_softly_and_by_foreign_key_and_nobody_elses(
    lab: Lab, subject: Subject, acme: TenantId, globex: TenantId
) -> None:
    ours = lab.case(acme, files=2)
    mine = {name: lab.ids(name) for name in ("cases", "files", "pages")}
    remark = lab.add("remarks", acme, about="case", subject_id=ours)
    of_file = lab.add("remarks", acme, about="file", subject_id=min(mine["files"]))
    page = min(mine["pages"])
    cited = lab.add("citations", acme, page_id=page)
    # Others': another case, another tenant, and what only looks like a reference.
    lab.case(acme, files=1)
    lab.case(globex, files=1)
    lab.add("remarks", acme, about="file", subject_id=ours)
    lab.add("remarks", globex, about="case", subject_id=ours)
    assert reached(lab, subject, acme, ours) == {
        **{f"lab.{name}": ids for name, ids in mine.items()},
        "lab.remarks": {remark, of_file},
        "lab.citations": {cited},
    }


def test_what_is_left_of_a_person_who_is_gone_is_still_reached(
    lab: Lab, subject: Subject, acme: TenantId
) -> None:
    gone = str(uuid4())
    remark = lab.add("remarks", acme, about="case", subject_id=gone)
    assert reached(lab, subject, acme, gone) == {"lab.remarks": {remark}}


def test_a_person_is_found_by_key_or_lookup_in_this_tenant_alone(
    lab: Lab, subject: Subject, acme: TenantId, globex: TenantId
) -> None:
    one = lab.case(acme)
    lab.case(globex)

    def find(value: str, column: str | None = None, tenant: TenantId = acme) -> str:
        with lab.installation.verifier.transaction(None, read_only=True) as cursor:
            return str(find_person(cursor, subject, CATALOG, tenant, value, column=column))

    assert find(one) == one
    assert find(lab.long_ago.date().isoformat(), "opened") == one
    for value, column, tenant, said in (
        (one, None, globex, "this tenant has no case whose id is"),
        ("2001-01-01", "opened", acme, "this tenant has no case whose opened is '2001-01-01'"),
        ("soon", "opened", acme, "lab.cases.opened is date, and 'soon' is none"),
        ("x", "id", acme, "lab.cases.id is uuid, and 'x' is none"),
        ("x", "title", acme, "a case is found by id, opened, not by title"),
    ):
        with pytest.raises(SubjectError, match=said):
            find(value, column, tenant)
    other = lab.case(acme)
    with pytest.raises(SubjectError, match="is of several cases; choose one by id: ") as caught:
        find(lab.long_ago.date().isoformat(), "opened")
    assert one in str(caught.value)
    assert other in str(caught.value)


def live_problems(lab: Lab, subject: Subject) -> str:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        try:
            check_subjects(cursor, CATALOG, [subject])
        except SubjectError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("SELECT 1", ""),
        ("DROP TABLE lab.citations", "there is no table lab.citations in the database"),
        ("ALTER TABLE lab.remarks DROP COLUMN about CASCADE",
         "lab.remarks.about is missing in the database"),
        ("CREATE TABLE lab.stray (tenant_id uuid, id uuid, page uuid,"
         " FOREIGN KEY (tenant_id, page) REFERENCES lab.pages (tenant_id, id))",
         "lab.stray refers to lab.pages by the foreign key stray_tenant_id_page_fkey, and no"),
        ("REVOKE DELETE ON lab.pages FROM tenure_retention",
         'tenure_retention may not DELETE "lab"."pages"; in a migration: GRANT DELETE ON "lab"'),
        ("ALTER TABLE lab.pages DROP CONSTRAINT pages_file_id_fkey; ALTER TABLE lab.pages ADD"
         " CONSTRAINT pages_file_id_fkey FOREIGN KEY (tenant_id, file_id) REFERENCES lab.files"
         " (tenant_id, id) ON DELETE CASCADE", "acts by itself when a row of lab.files goes"),
    ],
)  # fmt: skip
def test_the_database_must_bear_what_is_declared(
    lab: Lab, subject: Subject, change: str, said: str
) -> None:
    lab.sql(change)
    found = live_problems(lab, subject)
    assert found.startswith("subject 'case': ") if said else found == ""
    assert said in found


def test_columns_that_may_not_be_changed_are_named_with_the_grant(lab: Lab) -> None:
    (subject,) = parse_subjects(
        '[subjects.note]\ntable = "lab.remarks"\ntables = [{ table = "lab.remarks", '
        'action = "anonymise", columns = { about = { constant = "-" } } }]',
        CATALOG,
    )
    assert subject.table == TableName("lab", "remarks")
    assert "GRANT UPDATE (about) ON" in live_problems(lab, subject)


@pytest.mark.parametrize(
    ("kind", "stored", "asked"),
    [
        ("character varying(10)", "C-12345678", "C-1234567899"),
        ("character(10)", "C-12345678", "C-1234567899"),
        ("numeric(6,2)", "12.35", "12.349"),
    ],
)
def test_a_value_that_does_not_fit_the_column_finds_nobody_else(
    lab: Lab, acme: TenantId, kind: str, stored: str, asked: str
) -> None:
    lab.sql(f"CREATE TABLE lab.members (tenant_id uuid, id uuid, number {kind})")
    lab.sql("GRANT SELECT ON lab.members TO tenure_verifier")
    key = str(new_id())
    lab.sql("INSERT INTO lab.members VALUES (%s, %s, %s)", (str(acme), key, stored))
    name = TableName("lab", "members")
    columns = tuple(Column(c, t, False, c) for c, t in (("id", "uuid"), ("number", kind)))
    catalog = Catalog({name: Table(name, "tenant", columns, ("tenant_id", "id"))})
    member = Subject("member", name, ("number",), ())
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        assert str(find_person(cursor, member, catalog, acme, stored, column="number")) == key
        with pytest.raises(SubjectError, match="has no member whose number"):
            find_person(cursor, member, catalog, acme, asked, column="number")
