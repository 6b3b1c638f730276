"""What a policy's expression admits: by meaning, not by text."""

from __future__ import annotations

import pytest

from tenants.policy_sql import SCALE, Knowledge, Routine, Row, judge

ROW = Row(frozenset({"tenant_id"}), frozenset({"tenant_id", "id"}))
NULLABLE = Row(frozenset({"tenant_id"}))
SETTING = "current_setting('app.tenant'::text, true)"

KNOWN = Knowledge(
    functions={
        ("shop.current_tenant", 0): Routine(
            "sql", (), "SELECT nullif(current_setting('app.tenant', true), '')::uuid"
        ),
        ("shop.opaque", 0): Routine("plpgsql", (), "BEGIN RETURN 1; END"),
        ("shop.opaque", 1): Routine("plpgsql", ("t",), "BEGIN RETURN true; END"),
        ("shop.constant", 0): Routine("sql", (), "SELECT 7"),
        ("shop.any_tenant", 0): Routine("sql", (), "SELECT id FROM shop.tenants LIMIT 1"),
        ("shop.is_member", 1): Routine(
            "sql",
            ("t",),
            "SELECT EXISTS (SELECT 1 FROM shop.memberships m"
            " WHERE m.tenant_id = t AND m.user_id = auth.uid())",
            definer=True,
        ),
        ("shop.is_member_by_number", 1): Routine(
            "sql",
            ("",),
            "SELECT count(*) > 0 FROM shop.memberships"
            " WHERE tenant_id = $1 AND user_id = auth.uid()",
        ),
        ("shop.is_member_atomic", 1): Routine(
            "sql",
            ("t",),
            "BEGIN ATOMIC\n SELECT (EXISTS ( SELECT 1 FROM shop.memberships m"
            " WHERE ((m.tenant_id = is_member_atomic.t) AND (m.user_id = auth.uid())))) AS e;\nEND",
        ),
        # As it is called without its second argument.
        ("shop.has_role", 1): Routine(
            "sql",
            ("tenant_id", "role"),
            "SELECT EXISTS (SELECT 1 FROM shop.memberships m WHERE m.user_id = auth.uid()"
            " AND m.tenant_id = has_role.tenant_id"
            " AND (m.role = has_role.role OR has_role.role IS NULL))",
            definer=True,
            name="has_role",
            defaults="NULL::text",
        ),
        ("shop.is_anyone", 1): Routine("sql", ("t",), "SELECT t IS NOT NULL"),
        ("shop.is_current", 1): Routine("sql", ("t",), "RETURN (t = shop.current_tenant())"),
        # The argument has the column's name, and the column goes first: x = x.
        ("shop.shadowed", 1): Routine(
            "sql",
            ("tenant_id",),
            "SELECT EXISTS (SELECT 1 FROM shop.memberships m"
            " WHERE m.tenant_id = tenant_id AND m.user_id = auth.uid())",
        ),
    },
    guarded=frozenset({"shop.customers"}),
    columns={"shop.memberships": frozenset({"tenant_id", "user_id"})},
    role="shop_app",
)

BOUND = [
    "shop.has_role(tenant_id)",
    "(shop.has_role(tenant_id) = true)",
    "(true = shop.is_member(tenant_id))",
    "(tenant_id = (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid)",
    "(tenant_id = ( SELECT tenure.current_tenant() AS current_tenant))",
    "((tenant_id)::text = current_setting('app.tenant'::text))",
    "((SELECT shop.current_tenant()) = tenant_id)",
    "(tenant_id = COALESCE(shop.current_tenant(), '0'::uuid))",
    "(tenant_id = (((current_setting('claims'::text, true))::json ->> 'org'::text))::uuid)",
    "(tenant_id = ((auth.jwt() ->> 'tenant'::text))::uuid)",
    "((tenant_id = shop.current_tenant()) AND (deleted_at IS NULL))",
    "((tenant_id = shop.current_tenant()) AND true)",
    "((tenant_id = 1) OR (tenant_id = shop.current_tenant())) AND tenant_id = shop.opaque()",
    "(tenant_id = ANY (string_to_array(current_setting('app.tenants'::text), ','::text)))",
    "(tenant_id = ANY (shop.my_tenants()))",
    "(tenant_id IN ( SELECT unnest(shop.my_tenants()) AS unnest))",
    "(tenant_id IN ( SELECT f.id FROM shop.my_tenants() f(id)))",
    "(tenant_id IN ( SELECT memberships.tenant_id FROM shop.memberships"
    " WHERE (memberships.user_id = auth.uid())))",
    "(EXISTS ( SELECT 1 FROM shop.memberships m"
    " WHERE ((m.tenant_id = invoices.tenant_id) AND (m.user_id = auth.uid()))))",
    "(auth.uid() IN ( SELECT m.user_id FROM shop.memberships m"
    " WHERE (m.tenant_id = invoices.tenant_id)))",
    "(EXISTS ( SELECT 1 FROM (shop.memberships m JOIN shop.users u ON ((u.id = m.user_id)))"
    " WHERE ((m.tenant_id = invoices.tenant_id) AND (u.login = CURRENT_USER))))",
    "(EXISTS ( SELECT 1 FROM shop.customers c"
    " WHERE ((c.id = invoices.customer_id) AND (c.tenant_id = shop.current_tenant()))))",
    "(customer_id IN ( SELECT customers.id FROM shop.customers))",
    "((tenant_id = shop.current_tenant()) IS TRUE)",
    "COALESCE((tenant_id = shop.current_tenant()), false)",
    "CASE WHEN (kind = 1) THEN (tenant_id = shop.current_tenant()) ELSE false END",
    "(tenant_id IS NOT DISTINCT FROM shop.current_tenant())",
    "((tenant_id IS NULL) OR (tenant_id = shop.current_tenant()))",
    "(ARRAY[tenant_id] <@ shop.my_tenants())",
    "(tenant_id, kind) = (shop.current_tenant(), 1)",
    "shop.is_member(tenant_id)",
    "shop.is_member_by_number(tenant_id)",
    "shop.is_current(tenant_id)",
]
OPEN = [
    "true",
    "(1 = 1)",
    "('a'::text = 'a'::text)",
    "(tenant_id = tenant_id)",
    "(id = id)",
    "(NOT false)",
    "((tenant_id = shop.current_tenant()) OR true)",
    "((tenant_id = shop.current_tenant()) OR (1 = 1))",
    "(tenant_id IS NOT NULL)",
    "(tenant_id <> shop.current_tenant())",
    "(NOT (tenant_id = shop.current_tenant()))",
    "(NOT (tenant_id IN ( SELECT shop.current_tenant())))",
    "(tenant_id IS DISTINCT FROM shop.current_tenant())",
    f"(({SETTING} IS NULL) OR (tenant_id = ({SETTING})::uuid))",
    f"(({SETTING} = ''::text) OR (tenant_id = ({SETTING})::uuid))",
    "((shop.current_tenant() IS NULL) OR (tenant_id = shop.current_tenant()))",
    f"({SETTING} IS NOT NULL)",
    f"({SETTING} <> ''::text)",
    "(tenant_id = COALESCE(shop.current_tenant(), tenant_id))",
    "COALESCE((tenant_id = shop.current_tenant()), true)",
    "((tenant_id = shop.current_tenant()) IS NOT FALSE)",
    "((tenant_id = shop.current_tenant()) IS NOT TRUE)",
    "CASE WHEN (kind = 1) THEN (tenant_id = shop.current_tenant()) ELSE true END",
    "(CURRENT_USER = 'shop_app'::name)",
    "(tenant_id IN ( SELECT tenants.id FROM shop.tenants))",
    "(EXISTS ( SELECT 1 FROM shop.memberships m WHERE (m.tenant_id = invoices.tenant_id)))",
    # What an outer join keeps did not meet its condition.
    "(EXISTS ( SELECT 1 FROM (shop.memberships m"
    " LEFT JOIN shop.users u ON ((u.id = m.user_id) AND (m.user_id = auth.uid())))"
    " WHERE (m.tenant_id = invoices.tenant_id)))",
    "(tenant_id = ANY (ARRAY[shop.current_tenant(), tenant_id]))",
    "(tenant_id IN ( SELECT COALESCE(shop.current_tenant(), tenant_id) AS c))",
    "(auth.uid() IS NOT NULL)",
    "(true)::boolean",
    "shop.is_anyone(tenant_id)",
]
OTHERS = [
    ("closed", "false"),
    ("closed", "(1 = 2)"),
    ("closed", "(tenant_id = NULL::uuid)"),
    ("closed", "(CURRENT_USER = 'another'::name)"),
    ("closed", "(tenant_id IS NULL)"),
    ("keyed", "(user_id = auth.uid())"),
    ("keyed", "((tenant_id = shop.current_tenant()) OR (user_id = auth.uid()))"),
    ("fixed", "(tenant_id = 7)"),
    ("fixed", "(tenant_id = shop.constant())"),
    ("shared", "((tenant_id = 0) OR (tenant_id = shop.current_tenant()))"),
    ("shared", "(tenant_id = ANY (ARRAY[0, shop.current_tenant()]))"),
    ("open", "(NOT (tenant_id = 7))"),
    ("keyed", "(tenant_id ~~ concat(current_setting('app.tenant'::text), '%'::text))"),
    ("partial", "is_public"),
    ("partial", "((tenant_id = shop.current_tenant()) OR is_public)"),
    ("partial", "(status = 'open'::text)"),
    ("partial", "(tenant_id = billing_tenant_id)"),
    ("partial", "(tenant_id = shop.any_tenant())"),
    ("partial", "(customer_id IN ( SELECT people.id FROM shop.people))"),
    ("partial", "(created_at > now())"),
    ("partial", "(NOT (user_id = auth.uid()))"),
    ("switch", "(current_setting('app.admin'::text, true) = 'on'::text)"),
    ("switch", "((tenant_id = shop.current_tenant()) OR (auth.role() = 'service'::text))"),
    (
        "switch",
        "(EXISTS ( SELECT 1 FROM shop.memberships m WHERE (m.tenant_id = shop.current_tenant())))",
    ),
    ("switch", "(EXISTS ( SELECT 1 FROM shop.admins a WHERE (a.user_id = auth.uid())))"),
    ("switch", "(NOT (current_setting('app.admin'::text, true) = 'on'::text))"),
    (
        "switch",
        "(EXISTS ( SELECT 1 FROM shop.memberships m"
        " WHERE ((m.tenant_id = m.tenant_id) AND (m.user_id = auth.uid()))))",
    ),
    ("closed", "NULL::boolean"),
    ("unknown", "(tenant_id = shop.opaque(id))"),
    ("unknown", "(tenant_id = COALESCE(shop.opaque(id), shop.current_tenant()))"),
    ("unknown", "((tenant_id = shop.current_tenant()) <> false)"),
    ("unknown", "(tenant_id = ANY (array_append(shop.my_tenants(), tenant_id)))"),
    ("unknown", "shop.opaque(tenant_id)"),
    ("unknown", "shop.not_there(tenant_id)"),
    ("switch", "((tenant_id = shop.current_tenant()) OR shop.opaque())"),
    ("switch", "shop.opaque()"),
    ("partial", "((shop.opaque() = true) AND (archived = false))"),
    ("unknown", "SELECT ) broken"),
]


@pytest.mark.parametrize("expression", BOUND)
def test_a_comparison_with_the_context_binds(expression: str) -> None:
    found = judge(expression, ROW, KNOWN)
    assert found.kind == "bound", found


@pytest.mark.parametrize("expression", OPEN)
def test_what_admits_every_row_is_open_however_it_is_written(expression: str) -> None:
    found = judge(expression, ROW, KNOWN)
    assert found.kind == "open", found


@pytest.mark.parametrize(("kind", "expression"), OTHERS)
def test_the_scale(kind: str, expression: str) -> None:
    found = judge(expression, ROW, KNOWN)
    assert found.kind == kind, found
    assert found.kind in SCALE


def test_a_null_tenant_is_an_escape_only_where_there_can_be_one() -> None:
    escape = "((tenant_id IS NULL) OR (tenant_id = shop.current_tenant()))"
    assert judge(escape, ROW, KNOWN).kind == "bound"
    assert judge(escape, NULLABLE, KNOWN).kind == "partial"
    same = "(tenant_id IS NOT DISTINCT FROM shop.current_tenant())"
    assert judge(same, NULLABLE, KNOWN).kind == "partial"
    assert judge("(tenant_id = tenant_id)", NULLABLE, KNOWN).kind == "partial"


def test_an_argument_that_is_named_as_a_column_is_that_column() -> None:
    assert judge("shop.shadowed(tenant_id)", ROW, KNOWN).kind != "bound"
    free = Knowledge(functions=KNOWN.functions)
    assert judge("shop.shadowed(tenant_id)", ROW, free).kind == "bound"


def test_a_function_that_runs_as_another_is_not_limited_by_the_callers_policies() -> None:
    def asking(*, definer: bool) -> Knowledge:
        body = "SELECT EXISTS (SELECT 1 FROM shop.customers c WHERE c.id = t)"
        routine = Routine("sql", ("t",), body, definer)
        return Knowledge({("shop.known", 1): routine}, KNOWN.guarded)

    assert judge("shop.known(customer_id)", ROW, asking(definer=False)).kind == "bound"
    assert judge("shop.known(customer_id)", ROW, asking(definer=True)).kind == "partial"


def test_a_policy_without_an_expression_admits_nothing() -> None:
    assert judge(None, ROW, KNOWN).kind == "closed"


def test_a_table_is_limited_only_where_its_policies_limit_it() -> None:
    through = "(EXISTS ( SELECT 1 FROM shop.customers c WHERE (c.id = invoices.customer_id)))"
    assert judge(through, ROW, KNOWN).kind == "bound"
    assert judge(through, ROW, Knowledge()).kind == "partial"


def test_nesting_and_recursion_end() -> None:
    loop = {("shop.loop", 0): Routine("sql", (), "SELECT shop.loop()")}
    assert judge("(tenant_id = shop.loop())", ROW, Knowledge(functions=loop)).kind == "bound"
    deep = "(" * 150 + "tenant_id = shop.f()" + ")" * 150
    assert judge(deep, ROW).kind in ("bound", "unknown")
