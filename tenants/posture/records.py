"""What the catalogs say of each object, as frozen values. No judgement here, and no connection.

Objects are known by oid; oid 0 as a grantee is PUBLIC. Names are as stored, unquoted;
`Relation.label` and the like are what a person reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

PUBLIC = 0

RelationKind = Literal["table", "partitioned", "view", "matview", "foreign", "sequence"]
ConstraintKind = Literal["primary", "unique", "foreign", "exclusion", "check"]
ObjectClass = Literal[
    "relation", "column", "schema", "function", "database", "default", "largeobject", "parameter",
    "server", "wrapper",
]  # fmt: skip

# As pg_get_constraintdef prints them: names in lower case, or in quotes.
_TEMPORAL = re.compile(r"[(,] ?PERIOD | WITHOUT OVERLAPS\)")
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
# Quoted needlessly does no harm; these would not parse unquoted.
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create current_catalog current_date current_role current_time current_timestamp
    current_user default deferrable desc distinct do else end except false fetch for foreign from
    grant group having in initially intersect into lateral leading limit localtime localtimestamp
    not null offset on only or order placing primary references returning select session_user some
    symmetric system_user table then to trailing true union unique user using variadic when where
    window with authorization binary collation concurrently cross current_schema freeze full ilike
    inner is isnull join left like natural notnull outer overlaps right similar tablesample
    verbose between bigint bit boolean char character coalesce dec decimal exists extract float
    greatest grouping inout int integer interval least national nchar none normalize nullif
    numeric out overlay position precision real row setof smallint substring time timestamp treat
    trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
    xmlparse xmlpi xmlroot xmlserialize xmltable""",
    )
)


def quote(identifier: str) -> str:
    """Return an identifier as SQL, in double quotes only where it needs them."""
    if _PLAIN.fullmatch(identifier) and identifier not in _RESERVED:
        return identifier
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Server:
    """The server and session that were read. `settings` are the session's, by name."""

    version_num: int
    database: str
    database_owner: int
    user: str
    settings: Mapping[str, str]

    @property
    def version(self) -> str:
        """`18.7` for 180007."""
        return f"{self.version_num // 10000}.{self.version_num % 10000}"


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the cluster. `settings` are ALTER ROLE .. SET, for all databases or this one."""

    oid: int
    name: str
    superuser: bool
    bypass: bool
    login: bool
    inherit: bool
    create_role: bool
    replication: bool
    settings: Mapping[str, str]

    @property
    def exempt(self) -> bool:
        """Whether no policy ever binds it."""
        return self.superuser or self.bypass

    @property
    def predefined(self) -> bool:
        """Whether it is one of PostgreSQL's own `pg_..`."""
        return self.name.startswith("pg_")

    @property
    def label(self) -> str:
        """`role shop_app`."""
        return f"role {self.name}"


@dataclass(frozen=True, slots=True)
class Membership:
    """`member` may act as `role`: at once (`inherit`), or by SET ROLE (`set_role`).

    Who administers the role counts as one who may SET ROLE: it can grant that to itself.
    """

    role: int
    member: int
    inherit: bool
    set_role: bool


@dataclass(frozen=True, slots=True)
class Schema:
    oid: int
    name: str
    owner: int

    @property
    def label(self) -> str:
        """`schema shop`."""
        return f"schema {self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is as format_type says (`uuid`, `character varying(20)`)."""

    number: int
    name: str
    type: str
    not_null: bool
    generated: bool
    identity: bool
    default: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, sequence .. outside of the system's schemas and of extensions.

    `definition` is a view's query as printed, else ""; `owned_by` the table whose column a
    sequence serves, else 0. Of a foreign table `options` are those for its server.
    """

    oid: int
    schema: str
    name: str
    kind: RelationKind
    owner: int
    row_security: bool
    forced: bool
    is_partition: bool
    options: Mapping[str, str]
    parents: tuple[int, ...]
    definition: str
    owned_by: int
    columns: tuple[Column, ...]

    @property
    def label(self) -> str:
        """`shop.invoices`: how findings name it."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The qualified name, quoted for SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def is_table(self) -> bool:
        """Whether it holds rows that policies could guard, partitions included."""
        return self.kind in ("table", "partitioned")

    def column(self, name: str) -> Column | None:
        """Return a column by name."""
        return next((c for c in self.columns if c.name == name), None)

    def names(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the names of columns by number; `(expression)` for 0."""
        known = {c.number: c.name for c in self.columns}
        return tuple(known.get(n, "(expression)") for n in numbers)


@dataclass(frozen=True, slots=True)
class Policy:
    """`command` is ALL, SELECT, INSERT, UPDATE or DELETE; `roles` oids, PUBLIC among them.

    `using` and `check` are as pg_get_expr prints them under `search_path = pg_catalog`:
    whatever is not built in is qualified.
    """

    oid: int
    relation: int
    name: str
    permissive: bool
    command: str
    roles: tuple[int, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True, slots=True)
class Constraint:
    """`columns` and `target_columns` are column numbers; `target` is 0 but for foreign keys.

    `on_delete` and `on_update` are PostgreSQL's letters: a no action, r restrict, c cascade,
    n set null, d set default. `definition` is pg_get_constraintdef. `inherited` is one that a
    partition has from its parent.
    """

    oid: int
    relation: int
    name: str
    kind: ConstraintKind
    columns: tuple[int, ...]
    target: int
    target_columns: tuple[int, ...]
    on_delete: str
    on_update: str
    definition: str
    inherited: bool

    @property
    def enforced(self) -> bool:
        """Whether rows are checked against it; NOT ENFORCED came with PostgreSQL 18."""
        return not self.definition.endswith(" NOT ENFORCED")

    @property
    def temporal(self) -> bool:
        """Whether it compares periods (WITHOUT OVERLAPS, PERIOD; PostgreSQL 18)."""
        return _TEMPORAL.search(self.definition) is not None


@dataclass(frozen=True, slots=True)
class Index:
    """`columns` are the key's column numbers in order, 0 for an expression.

    `definition` is CREATE UNIQUE INDEX as printed, "" for others and for a constraint's index.
    `inherited` is one that a partition has from its parent.
    """

    oid: int
    relation: int
    name: str
    unique: bool
    valid: bool
    partial: bool
    columns: tuple[int, ...]
    definition: str
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function, procedure or aggregate outside of the system's schemas and of extensions.

    `body` is prosrc, or the SQL-standard body as printed; `arguments` are the names of the
    input parameters in order ("" without one), `settings` what SET clauses fix, `defaults` the
    values of the last ones, of which a call may leave out `optional`, as printed.
    `volatility` is `i`, `s` or `v`.
    """

    oid: int
    schema: str
    name: str
    identity: str
    owner: int
    language: str
    definer: bool
    leakproof: bool
    volatility: str
    returns: str
    arguments: tuple[str, ...]
    settings: Mapping[str, str]
    body: str
    optional: int = 0
    defaults: str = ""

    @property
    def label(self) -> str:
        """`shop.total(uuid)`: how findings name it."""
        return f"{self.schema}.{self.name}({self.identity})"

    @property
    def sql(self) -> str:
        """The qualified signature, quoted for SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}({self.identity})"


@dataclass(frozen=True, slots=True)
class Use:
    """A view, materialized view or rewrite rule of `relation` reads or writes `target`.

    `event` is the rule's: SELECT for views; `rule` its name. `target` is a relation
    (`target_class` "relation") or a function ("function").
    """

    relation: int
    rule: str
    event: str
    target: int
    target_class: Literal["relation", "function"]


@dataclass(frozen=True, slots=True)
class Trigger:
    relation: int
    name: str
    function: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges on one object, by name (SELECT, EXECUTE, ..), to one role or PUBLIC.

    `object` is an oid; `column` its number for grants on columns, else 0. For `default`
    (ALTER DEFAULT PRIVILEGES) `object` is the schema or 0, `detail` what kind of object
    (`r` tables, `S` sequences, `f` functions, `n` schemas, `T` types), `grantor` whose
    objects to be. Of a `parameter`, a foreign `server` and a foreign data
    `wrapper` `detail` is the name. `largeobject` (`object` is 0) joins
    the grants on all large objects there are.
    """

    object_class: ObjectClass
    object: int
    column: int
    grantee: int
    privileges: frozenset[str]
    detail: str = ""
    grantor: int = 0


@dataclass(frozen=True, slots=True)
class Publication:
    name: str
    owner: int
    all_tables: bool
    schemas: tuple[str, ...]
    relations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    version: str
    schema: str
