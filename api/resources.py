"""Resources as clients see them: attributes by column name, and models of their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import peewee
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from api.errors import FieldError, Problem, ResourceError, bad_value, unknown_column
from api.values import Form, filter_value, form_of
from tenants.catalog import table_of
from tenants.repository import DELETED_AT
from tenants.resource import Resource

# What a body of 1 MiB could otherwise make: hundreds of thousands of rows, or of errors.
MAX_ROWS = 10_000
MAX_ERRORS = 100
RESERVED = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict", "and", "or"})


@dataclass(frozen=True)
class Attribute:
    """A column that clients see. `refers_to` is the name of the resource a foreign key is to."""

    name: str
    type: str
    form: Form
    nullable: bool
    on_create: bool
    on_change: bool
    required: bool
    refers_to: str | None = None


@dataclass(frozen=True)
class ResourceView:
    """A resource, its visible attributes, and what its bodies must be."""

    resource: Resource
    attributes: tuple[Attribute, ...]
    create: TypeAdapter[list[BaseModel]]
    change: TypeAdapter[BaseModel]

    @property
    def name(self) -> str:
        """The path segment."""
        return self.resource.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the visible columns, in the table's order."""
        return tuple(attribute.name for attribute in self.attributes)

    def attribute(self, column: str) -> Attribute:
        """Return a visible attribute; raises Problem PGRST204, for hidden ones as for none."""
        for attribute in self.attributes:
            if attribute.name == column:
                return attribute
        raise unknown_column(column, self.name)

    def value(self, column: str, text: str) -> object:
        """Return the value of a filter on a column; raises Problem (PGRST204, 22P02)."""
        attribute = self.attribute(column)
        try:
            return filter_value(attribute.form, text)
        except ValueError as error:
            hint = "To find rows without a value, use is.null." if text == "null" else None
            raise bad_value(column, attribute.type, str(error), hint) from None

    def new_rows(self, body: object) -> list[dict[str, object]]:
        """Return the rows of a POST body, an object or an array of such, by column name.

        Raises Problem 422 with an entry per error, up to MAX_ERRORS; 413 beyond MAX_ROWS.
        """
        several = isinstance(body, list)
        if isinstance(body, list) and len(body) > MAX_ROWS:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too_many_rows",
                f"The body has {len(body)} rows; at most {MAX_ROWS} are taken at once",
            )
        try:
            rows = self.create.validate_python(body if several else [body])
        except ValidationError as error:
            raise self._invalid(error, rows=True, several=several) from None
        return [_given(row) for row in rows]

    def changes(self, body: object) -> dict[str, object]:
        """Return the changes of a PATCH body by column name; raises Problem 422."""
        try:
            changes = _given(self.change.validate_python(body))
        except ValidationError as error:
            raise self._invalid(error, rows=False, several=False) from None
        if not changes:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_body", "The body changes nothing"
            )
        return changes

    def _invalid(self, error: ValidationError, *, rows: bool, several: bool) -> Problem:
        visible = set(self.columns)
        errors = []
        found = error.errors(include_url=False, include_context=False, include_input=False)
        for item in found[:MAX_ERRORS]:
            row, *path = item["loc"] if rows else (None, *item["loc"])
            name = str(path[0]) if path else ""
            message, code = item["msg"], item["type"]
            if code == "extra_forbidden":
                read_only = name in visible
                message = "is read-only" if read_only else "is no attribute of this resource"
                code = "read_only" if read_only else "unknown"
            elif code in ("model_type", "model_attributes_type"):
                message, code = "must be an object", "object_type"
            number = row if several and isinstance(row, int) else None
            errors.append(FieldError(name[:60], message, code, number))
        fields = dict.fromkeys(e.field for e in errors if e.field)
        details = f"Look at: {', '.join(fields)}." if fields else errors[0].message
        if len(found) > MAX_ERRORS:
            details += f" There are {len(found)} errors; the first {MAX_ERRORS} are listed."
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_body",
            "The body is not valid",
            details,
            errors=tuple(errors),
        )


def _given(row: BaseModel) -> dict[str, object]:
    return row.model_dump(by_alias=True, exclude_unset=True)


#: What stands beside resources under /v1.
TAKEN = frozenset({"certificates", "erasures", "offboardings"})


def views_of(resources: Iterable[Resource]) -> Mapping[str, ResourceView]:
    """Return every resource's view by name; raises ResourceError for what cannot be shown."""
    resources = tuple(resources)
    names: dict[type[peewee.Model], str] = {}
    for resource in resources:
        names.setdefault(resource.model, resource.name)
    views: dict[str, ResourceView] = {}
    for resource in resources:
        if resource.name in TAKEN:
            raise ResourceError(f"/v1/{resource.name} is the product's own: name it otherwise")
        if resource.name in views:
            raise ResourceError(f"two resources are named {resource.name!r}")
        views[resource.name] = _view(resource, names)
    return views


def _view(resource: Resource, names: Mapping[type[peewee.Model], str]) -> ResourceView:
    meta: Any = resource.model._meta
    fields: dict[str, Any] = {f.column_name: f for f in meta.sorted_fields}
    attributes = []
    for column in table_of(resource.model).columns:
        if column.name == "tenant_id" or column.attribute in resource.hidden:
            if not (column.nullable or fields[column.name].default is not None):
                raise ResourceError(
                    f"resource {resource.name!r}: {column.name} is hidden, and without a "
                    "default no row could be created"
                )
            continue
        if column.name in RESERVED:
            raise ResourceError(
                f"resource {resource.name!r}: a column named {column.name} cannot be filtered by"
            )
        writable = column.attribute not in resource.read_only and not (
            resource.soft_delete and column.attribute == DELETED_AT
        )
        field = fields[column.name]
        default = field.default is not None
        if not (writable or default or column.nullable):
            raise ResourceError(
                f"resource {resource.name!r}: {column.name} is read-only, and without a "
                "default no row could be created"
            )
        foreign = isinstance(field, peewee.ForeignKeyField)
        attributes.append(
            Attribute(
                name=column.name,
                type=column.type,
                form=form_of(column.type),
                nullable=column.nullable,
                on_create=writable,
                on_change=writable and column.name != "id",
                required=writable and not default and not column.nullable,
                refers_to=names.get(field.rel_model) if foreign else None,
            )
        )
    shown = tuple(attributes)
    create = _body(f"{resource.name} create", [a for a in shown if a.on_create], partial=False)
    change = _body(f"{resource.name} change", [a for a in shown if a.on_change], partial=True)
    rows: Any = list[create]  # type: ignore[valid-type]  # a model made at run time
    return ResourceView(resource, shown, TypeAdapter(rows), TypeAdapter(change))


def _body(name: str, attributes: Iterable[Attribute], *, partial: bool) -> type[BaseModel]:
    """Return the model of a body. Its fields are numbered: a column may be called `copy`."""
    fields: dict[str, Any] = {}
    for number, attribute in enumerate(attributes):
        annotation = attribute.form.annotation
        if attribute.nullable:
            annotation = annotation | None
        needed = attribute.required and not partial
        # A default that is never read: what is not given is left out (exclude_unset).
        default = ... if needed else None
        fields[f"f{number}"] = (annotation, Field(default, alias=attribute.name))
    model: type[BaseModel] = create_model(
        name, __config__=ConfigDict(extra="forbid", hide_input_in_errors=True), **fields
    )
    return model
