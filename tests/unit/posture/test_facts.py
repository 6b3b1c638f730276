"""What follows from the catalogs: memberships, grants, ownership, quoting."""

from __future__ import annotations

import pytest

from tenants.posture.facts import Facts
from tenants.posture.records import PUBLIC, Grant, Membership, Relation, Role, Schema, Server, quote

SERVER = Server(180007, "shop", 1, "auditor", {})
OWNER, GROUP, APP, OTHER, ROOT = 1, 2, 3, 4, 5


def role(oid: int, name: str, *, superuser: bool = False, bypass: bool = False) -> Role:
    return Role(oid, name, superuser, bypass, True, True, False, False, {})


def table(*, on: bool = True, forced: bool = False) -> Relation:
    return Relation(9, "s", "t", "table", OWNER, on, forced, False, {}, (), "", 0, ())


def facts(*memberships: Membership, grants: tuple[Grant, ...] = ()) -> Facts:
    people = (
        role(OWNER, "owner"),
        role(GROUP, "grp"),
        role(APP, "app"),
        role(OTHER, "other", bypass=True),
        role(ROOT, "root", superuser=True),
    )
    return Facts(
        SERVER,
        {r.oid: r for r in people},
        memberships,
        {7: Schema(7, "s", OWNER)},
        {9: table()},
        grants=grants,
    )


USAGE = Grant("schema", 7, 0, PUBLIC, frozenset({"USAGE"}))


def test_memberships_are_followed_and_inherit_and_set_are_two_things() -> None:
    known = facts(
        Membership(GROUP, APP, inherit=True, set_role=False),
        Membership(OTHER, GROUP, inherit=False, set_role=True),
        Membership(APP, OTHER, inherit=True, set_role=True),  # a circle ends
    )
    assert known.acts_as(APP) == {APP, GROUP}
    assert known.may_become(APP) == {APP}
    assert known.may_become(GROUP) == {GROUP, OTHER, APP}


def test_privileges_come_by_grant_by_group_by_column_and_by_ownership() -> None:
    select = Grant("relation", 9, 0, GROUP, frozenset({"SELECT"}))
    update = Grant("column", 9, 2, APP, frozenset({"UPDATE"}))
    member = Membership(GROUP, APP, inherit=True, set_role=True)
    known = facts(member, grants=(USAGE, select, update))
    assert known.privileges(APP, table()) == {"SELECT", "UPDATE"}
    assert known.privileges(GROUP, table()) == {"SELECT"}
    assert "TRUNCATE" in known.privileges(OWNER, table())
    assert "TRUNCATE" in known.privileges(ROOT, table())
    # Without USAGE on the schema a grant on the table is none.
    assert facts(member, grants=(select, update)).privileges(APP, table()) == frozenset()


@pytest.mark.parametrize(
    ("who", "forced", "on", "bound"),
    [
        (APP, False, True, True),
        (APP, True, False, False),
        (OWNER, False, True, False),
        (OWNER, True, True, True),
        (OTHER, True, True, False),
        (ROOT, True, True, False),
    ],
)
def test_who_is_bound(who: int, forced: bool, on: bool, bound: bool) -> None:
    assert facts().bound_by(who, table(on=on, forced=forced)) is bound


def test_a_member_of_the_owner_is_as_free_as_the_owner() -> None:
    member = facts(Membership(OWNER, APP, inherit=True, set_role=True))
    assert not member.bound_by(APP, table())
    distant = facts(Membership(OWNER, APP, inherit=False, set_role=True))
    assert distant.bound_by(APP, table())


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("invoices", "invoices"),
        ("order", '"order"'),
        ("Order", '"Order"'),
        ('a"b', '"a""b"'),
        ("ümlaut", '"ümlaut"'),
        ("1st", '"1st"'),
        ("", '""'),
    ],
)
def test_names_are_quoted_where_they_must_be(name: str, quoted: str) -> None:
    assert quote(name) == quoted
