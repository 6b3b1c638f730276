"""Resources as clients see them, and plans made against them."""

from __future__ import annotations

import pytest

from api.errors import Problem, ResourceError
from api.query.parse import parse_query
from api.query.plan import MAX_LIMIT, plan_page
from api.requests import ApiRequest, Preferences, preferences
from api.resources import views_of
from tenants.filters import AllOf, Compare, Is, Like, OneOf, Order
from tenants.models import (
    BooleanField,
    CharField,
    ForeignKeyField,
    InstantField,
    IntegerField,
    JSONField,
    TenantModel,
    TextField,
)
from tenants.resource import Resource


class _Base(TenantModel):
    class Meta:
        schema = "unit"


class Box(_Base):
    label = CharField(max_length=5)
    secret = TextField(default="x")
    inside = ForeignKeyField("self", null=True)
    copy = IntegerField(null=True)
    open = BooleanField(default=False)
    extra = JSONField(null=True)
    deleted_at = InstantField(null=True)


class Demanding(_Base):
    secret = TextField()


BOX = Resource(Box, "boxes", hidden=("secret",), read_only=("open",), soft_delete=True)


def view(resource: Resource = BOX):
    return views_of([resource])[resource.name]


def plan(*parameters: tuple[str, str], rows=None):
    return plan_page(ApiRequest(parse_query(parameters), Preferences(), "array", rows), view())


def codes(refused: Problem) -> dict[str, str]:
    return {error.field: error.code for error in refused.errors}


def test_hidden_columns_are_not_there_and_foreign_keys_go_by_their_column() -> None:
    assert view().columns == (*("id", "label", "inside_id", "copy", "open", "extra", "deleted_at"),)
    assert view().attribute("inside_id").refers_to == "boxes"
    for column in ("secret", "tenant_id", "inside"):
        with pytest.raises(Problem) as caught:
            view().attribute(column)
        assert caught.value.code == "PGRST204"


def test_bodies_take_what_is_writable_and_name_everything_else() -> None:
    rows = view().new_rows([{"label": "abcde", "copy": 1}, {"label": "", "extra": {"a": [1]}}])
    assert rows == [{"label": "abcde", "copy": 1}, {"label": "", "extra": {"a": [1]}}]
    with pytest.raises(Problem) as caught:
        view().new_rows({"secret": "s", "open": True, "deleted_at": None, "tenant_id": "t"})
    assert codes(caught.value) == {
        "label": "missing",
        "secret": "unknown",
        "open": "read_only",
        "deleted_at": "read_only",
        "tenant_id": "unknown",
    }
    with pytest.raises(Problem) as caught:
        view().changes({"id": "018f3c1e-7b5a-7c3d-9e2f-0123456789ab", "label": "abcdef"})
    assert codes(caught.value) == {"id": "read_only", "label": "too_long"}
    assert view().changes({"copy": None}) == {"copy": None}


def test_a_resource_that_nobody_could_fill_is_refused_at_start() -> None:
    for resource in (
        Resource(Demanding, "d", hidden=("secret",)),
        Resource(Demanding, "d", read_only=("secret",)),
    ):
        with pytest.raises(ResourceError, match="secret"):
            views_of([resource])
    with pytest.raises(ResourceError, match="named 'boxes'"):
        views_of([BOX, BOX])
    for name in ("certificates", "erasures", "offboardings"):
        with pytest.raises(ResourceError, match=f"/v1/{name} is the product's own"):
            views_of([Resource(BOX.model, name)])


def test_a_plan_holds_values_and_ends_its_order_in_the_key() -> None:
    found = plan(
        ("label", "like.a*"),
        ("copy", "in.(1,2)"),
        ("extra", "is.null"),
        ("or", "(copy.gt.1)"),
        ("order", "copy.desc,copy.asc,label"),
        ("select", "n:copy"),
    )
    assert found.columns == (("n", "copy"),)
    assert found.order == (Order("copy", True), Order("label"), Order("id"))
    assert isinstance(found.where, AllOf)
    assert found.where.parts[:3] == (
        Like("label", "a%"),
        OneOf("copy", (1, 2)),
        Is("extra", "null"),
    )
    assert plan(("copy", "eq.5")).where == Compare("copy", "eq", 5)
    assert plan(("order", "id.desc")).order == (Order("id", True),)


@pytest.mark.parametrize(
    ("parameters", "rows", "limit", "offset"),
    [
        ([], None, 100, 0),
        ([("limit", "5000")], None, MAX_LIMIT, 0),
        ([("limit", "5"), ("offset", "7")], None, 5, 7),
        ([], (10, 19), 10, 10),
        ([], (10, None), MAX_LIMIT, 10),
        ([], (0, 5000), MAX_LIMIT, 0),
        ([("limit", "5")], (10, 19), 5, 10),
        ([("limit", "50")], (10, 19), 10, 10),
        ([("offset", "15")], (10, 19), 5, 15),
        ([("offset", "25")], (10, 19), 0, 25),
    ],
)
def test_limit_offset_and_range_meet(parameters, rows, limit, offset) -> None:
    found = plan(*parameters, rows=rows)
    assert (found.limit, found.offset) == (limit, offset)


@pytest.mark.parametrize(
    "parameter",
    [
        ("extra", "eq.{}"),
        ("order", "extra"),
        ("copy", "like.1*"),
        ("copy", "is.true"),
        ("label", "like.a\\"),
        ("secret", "eq.x"),
        ("order", "secret"),
        ("select", "secret"),
        ("or", "(label.eq.a,secret.like.x*)"),
    ],
)
def test_what_a_column_cannot_do_is_refused(parameter) -> None:
    with pytest.raises(Problem) as caught:
        plan(parameter)
    assert caught.value.status == 400


def test_preferences_are_read_from_any_number_of_headers() -> None:
    found = preferences(["return=representation, count=exact", 'missing="default"', "x=y"])
    assert found == Preferences(
        "representation", True, None, ("return=representation", "count=exact", "missing=default")
    )
    assert preferences(["max-affected=5"]).max_affected is None
    assert preferences(["handling=strict", "max-affected=5"]).max_affected == 5
    assert preferences(["return=representation", "return=minimal"]).returns == "representation"
    for wrong in ("handling=strict,x=y", "handling=strict,max-affected=many", "resolution=x"):
        with pytest.raises(Problem) as caught:
            preferences([wrong])
        assert caught.value.code == "PGRST122"
