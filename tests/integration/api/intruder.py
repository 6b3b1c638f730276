"""An intruder inside one tenant, who asks for another's rows in every way the API has.

Each question is a template around an id. It is asked twice, once about a row of the other
tenant and once about one that nobody has: the two answers must be the same, and nothing of
the other tenant may be in either.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote

from api.query.tree import OPERATORS
from api.resources import ResourceView, views_of
from retention.ledger.certificate_evidence import Subject
from retention.ledger.orders import order
from retention.seat import Seat
from tenants.models import new_id

MARK = "zq7plant"
TARGET = "@TARGET@"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PASSING = ("traceparent", "X-Trace-Id", "Content-Length", "Date")
_CHANGING = ("POST", "PATCH", "DELETE")

OwnerSql = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Question:
    """A request with TARGET where the id goes. `alike`: its answers must be the same.

    `undo` is the resource in which a row under the id must be deleted if it was made; or the
    step that takes back what was asked for.
    """

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    alike: bool = True
    undo: str | None = None
    raw: bool = False

    def about(self, target: str) -> Question:
        """Return the question about one id."""
        swap = json.dumps([self.path, self.body, self.headers]).replace(TARGET, target)
        path, body, headers = json.loads(swap)
        return replace(self, path=path, body=body, headers=tuple(map(tuple, headers)))

    @property
    def text(self) -> str:
        """All that the caller says, lower case."""
        return f"{self.path} {json.dumps(self.body)} {self.headers}".lower()


@dataclass
class World:
    """Two tenants with mirrored rows; `theirs` are ids that only the other one has."""

    service: Any
    owner_sql: OwnerSql
    views: dict[str, ResourceView]
    mine: dict[str, list[str]]
    theirs: dict[str, list[str]]
    tags: dict[str, str]
    before: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    _serial: int = 1000

    def __post_init__(self) -> None:
        self.before = self.their_rows()
        self._secrets = {i for ids in self.theirs.values() for i in ids}
        self._secrets |= {str(self.service.globex.id)}

    def number(self) -> str:
        """Return a number that no row has."""
        self._serial += 1
        return str(self._serial)

    def their_rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the other tenant's rows of every table, as the owner sees them."""
        found = {}
        for name, view in self.views.items():
            table = view.resource.model._meta.table_name  # type: ignore[attr-defined]
            found[name] = self.owner_sql(
                f"SELECT t::text FROM shop.{table} t WHERE tenant_id = %s ORDER BY id",
                (str(self.service.globex.id),),
            )
        for tables in DESK.values():
            found |= {
                table: self.owner_sql(
                    f"SELECT t::text FROM tenure.{table} t WHERE tenant_id = %s ORDER BY t::text",
                    (str(self.service.globex.id),),
                )
                for table in tables
            }
        return found

    # -- asking ------------------------------------------------------------------------

    def send(self, question: Question, role: str = "owner") -> Any:
        """Send a question as the intruder; nothing of the other tenant may come back."""
        acme = self.service.acme
        headers = {**acme.headers(role), **dict(question.headers)}
        body = {} if question.body is None else {"json": question.body}
        response = acme.client.open(question.path, method=question.method, headers=headers, **body)
        self.asked[f"{response.status_code}"] += 1
        self.inspect(question, response)
        return response

    def inspect(self, question: Question, response: Any) -> None:
        """Fail where the answer holds anything of the other tenant that was not asked with."""
        said = f"{response.headers}{response.get_data(as_text=True)}".lower()
        assert response.status_code < 500, (question, said)
        for mark in (MARK, "globex"):
            assert mark not in said or mark in question.text, (question, said)
        known = set(_UUID.findall(question.text))
        leaked = (set(_UUID.findall(said)) & self._secrets) - known
        assert not leaked, (question, leaked, said)

    def _mend_notes(self) -> None:
        """Turn the intruder's own notes to rows of its own: a note may refer to any id, and
        one that was turned to the other's would be found by it later.
        """
        own = [row_id for ids in self.mine.values() for row_id in ids]
        self.owner_sql(
            "UPDATE shop.notes SET subject_id = %s::uuid"
            " WHERE tenant_id = %s AND NOT subject_id = ANY (%s::uuid[])",
            (self.mine["customers"][0], str(self.service.acme.id), own),
        )

    def ask_twice(self, question: Question, theirs: str, role: str = "owner") -> None:
        """Ask about their row and about none; raises AssertionError where one can tell."""
        nobodys = neighbour(theirs, -1)
        answers = []
        for target in (theirs, nobodys):
            about = question.about(target)
            response = self.send(about, role)
            answers.append(seen(response, target))
            if response.status_code == 201 and question.undo in DESK_STEPS:
                back = f"{response.headers['Location']}/{question.undo}"
                self.send(Question("POST", back, DESK_STEPS[question.undo]))
            elif response.status_code == 201 and question.undo:
                view = self.views[question.undo]
                table = view.resource.model._meta.table_name  # type: ignore[attr-defined]
                self.owner_sql(
                    f"DELETE FROM shop.{table} WHERE tenant_id = %s AND id = %s",
                    (str(self.service.acme.id), target),
                )
        if question.method in ("POST", "PATCH") and "notes" in question.path:
            self._mend_notes()
        if question.alike:
            assert answers[0] == answers[1], question

    def assert_untouched(self) -> None:
        """Fail where a row of the other tenant was changed, deleted or added."""
        assert self.their_rows() == self.before


def seen(response: Any, target: str) -> tuple[Any, ...]:
    """Return an answer as its reader sees it, without what differs with every request."""
    body = response.get_data(as_text=True).replace(target, TARGET)
    if (response.mimetype or "").endswith("json") and body:
        value = json.loads(body)
        if isinstance(value, dict):
            value.pop("trace_id", None)
        body = json.dumps(value)
    headers = sorted(
        (name, value.replace(target, TARGET))
        for name, value in response.headers.items()
        if name not in _PASSING
    )
    if response.status_code == 201:  # a row of the caller's own, with an id of its own
        body, headers = "", [(name, "") for name, _ in headers]
    return (
        response.status_code,
        body,
        headers,
        response.headers.get("Content-Length") if (response.status_code >= 400) else None,
    )


def neighbour(row_id: str, distance: int) -> str:
    """Return the id at a distance from another."""
    return str(uuid.UUID(int=uuid.UUID(row_id).int + distance))


# -- the rows ----------------------------------------------------------------------------


def build(service: Any, owner_sql: OwnerSql) -> World:
    """Fill both tenants with rows; every text of the other one is a mark."""
    views = dict(views_of(service.installation.domain.resources))
    theirs: dict[str, list[str]] = {name: [] for name in views}
    mine: dict[str, list[str]] = {name: [] for name in views}
    for n in range(3):
        for name, row in _furnish(service.globex, n, {}).items():
            theirs[name].append(row)
    # Rows of the intruder's: an id that both have, one next to theirs, and an ordinary one.
    shared = {name: ids[0] for name, ids in theirs.items()}
    beside = {name: neighbour(ids[1], 1) for name, ids in theirs.items()}
    for n, given in enumerate((shared, beside, {})):
        for name, row in _furnish(service.acme, n, given).items():
            mine[name].append(row)
    theirs = {name: ids[1:] for name, ids in theirs.items()}
    _mark(service, owner_sql)
    theirs |= {"erasures": _erasures(service.globex, theirs["customers"]), "offboardings": []}
    asked = service.globex.call("POST", "/v1/offboardings", json={"reason": MARK})
    theirs["offboardings"].append(asked.json["id"])
    who, whose = f"login:{MARK}", service.globex.id
    seat = Seat(service.installation.app_connections, whose, who)
    theirs["certificates"] = [str(order(seat, whose, Subject("run", new_id(), whose), who))]
    tags = {
        name: service.globex.get(f"/v1/{name}/{ids[0]}").headers.get("ETag", '"x"')
        for name, ids in theirs.items()
        if name in views
    }
    return World(service, owner_sql, views, mine, theirs, tags)


def _furnish(tenant: Any, n: int, ids: dict[str, str]) -> dict[str, str]:
    made: dict[str, str] = {}

    def make(resource: str, /, **row: Any) -> str:
        given = {"id": ids[resource]} if resource in ids else {}
        made[resource] = str(tenant.create(resource, **given, **row)["id"])
        return made[resource]

    customer = make("customers", number=f"{n}", name=f"C{n}", country="France", email="c@d.example")
    make("customer-profiles", customer_id=customer, notes="likes tea")
    category = make("categories", name=f"K{n}")
    product = make("products", sku=f"{n}", name="P", unit_price=n)
    make("product-categories", product_id=product, category_id=category)
    invoice = make(
        "invoices", number=f"{n}", issued_at="2026-01-31T12:00:00Z", customer_id=customer
    )
    make(
        "invoice-lines", invoice_id=invoice, product_id=product, line_no=n,
        quantity=1, unit_price=1, description="D",
    )  # fmt: skip
    make("notes", subject_type="customer", subject_id=customer, body="B")
    return made


def _erasures(tenant: Any, customers: list[str]) -> list[str]:
    made = []
    for key in customers:
        body = {"subject": "customer", "key": key, "requester": MARK}
        made.append(tenant.call("POST", "/v1/erasures", json=body).json["id"])
        step = f"/v1/erasures/{made[-1]}/confirm"
        assert tenant.call("POST", step, json={"how": MARK}).status_code == 200
    return made


def _mark(service: Any, owner_sql: OwnerSql) -> None:
    """Put the mark into every text column of the other tenant that takes any text."""
    columns = owner_sql(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " WHERE c.table_schema = 'shop' AND c.data_type = 'text' AND NOT EXISTS ("
        "   SELECT FROM pg_constraint k JOIN pg_attribute a"
        "     ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)"
        "   WHERE k.contype = 'c' AND a.attname = c.column_name"
        "     AND k.conrelid = ('shop.' || c.table_name)::regclass)"
    )
    assert len(columns) > 10
    for table, column in columns:
        owner_sql(
            f"UPDATE shop.{table} SET {column} = %s || id WHERE tenant_id = %s",
            (MARK, str(service.globex.id)),
        )
    owner_sql("UPDATE tenure.tenants SET name = %s WHERE slug = 'globex'", (f"{MARK} Ltd",))
    owner_sql(
        "UPDATE tenure.api_tokens SET name = %s WHERE tenant_id = %s",
        (MARK, str(service.globex.id)),
    )


# -- the questions -----------------------------------------------------------------------


def questions(world: World) -> dict[tuple[str, str], Callable[[Random, World, str], Question]]:
    """Return what asks for each operation in /openapi.json: (method, path) -> a maker."""
    document = world.service.acme.get("/openapi.json").json
    makers: dict[tuple[str, str], Callable[[Random, World, str], Question]] = {}
    for path, item in document["paths"].items():
        for method in sorted(item.keys() - {"parameters", "summary", "description"}):
            kind = "single" if path.endswith("/{id}") else "collection"
            if path.startswith("/subjects"):
                maker = _of_subjects(method.upper(), path)
            elif kind_of(path) in DESK:
                maker = _at_desk(method.upper(), path)
            else:
                maker = _MAKERS[method, kind]
            makers[method.upper(), path] = maker
    return makers


def kind_of(path: str) -> str:
    """Return whose ids go into a path."""
    return "customers" if path.startswith("/subjects") else path.split("/")[2]


#: What is handled at a tenant's desk, and the tables of it.
DESK = {
    "erasures": ("erasures", "erasure_subjects", "erasure_events"),
    "offboardings": ("offboardings", "receipt_revocations"),
    "certificates": ("certificate_orders",),
}
#: A body for each step there.
DESK_STEPS: dict[str, dict[str, Any]] = {
    "confirm": {"how": "x"},
    "plan": {},
    "approve": {"plan": 1},
    "extend": {"months": 1, "reason": "number"},
    "refuse": {"ground": "identity"},
    "withdraw": {},
    "take-back": {"reason": "x"},
    "revoke-receipt": {"reason": "x"},
}


def _of_subjects(method: str, path: str) -> Callable[[Random, World, str], Question]:
    def make(rng: Random, world: World, name: str) -> Question:
        headers = _headers(rng, world, "customers")
        if method == "GET":
            query = rng.choice(("", "?limit=1", f"?id=eq.{TARGET}"))
            return Question(method, f"{path}{query}", None, headers)
        body = rng.choice(
            ({"key": TARGET}, {"by": "number", "value": TARGET}, {"by": "email", "value": TARGET})
        )
        subject = rng.choice(("customer", "customer", TARGET))
        return Question(method, path.replace("{name}", subject), body, headers)

    return make


def _at_desk(method: str, path: str) -> Callable[[Random, World, str], Question]:
    def make(rng: Random, world: World, name: str) -> Question:
        headers = _headers(rng, world, "customers")
        if "{id}" in path:
            body = DESK_STEPS[path.rpartition("/")[2]] if method == "POST" else None
            return Question(method, path.replace("{id}", _spelled(rng)), body, headers)
        if method == "GET":
            query = rng.choice(("", "?limit=1", "?offset=1", f"?id=eq.{TARGET}", f"?key={TARGET}"))
            return Question(method, f"{path}{query}", None, headers)
        body, undo = {
            "erasures": ({"subject": "customer", "requester": "x", "key": TARGET}, "withdraw"),
            "offboardings": ({"reason": "x"}, "take-back"),
            "certificates": ({"of": TARGET}, None),
        }[name]
        forged = rng.choice(({}, {}, {"id": TARGET}, {"tenant_id": TARGET}))
        return Question(method, path, {**body, **forged}, headers, undo=undo)

    return make


def _single(method: str) -> Callable[[Random, World, str], Question]:
    def make(rng: Random, world: World, name: str) -> Question:
        select = rng.choice(("", "", "?select=id", f"?select={_columns(rng, world, name)}"))
        path = f"/v1/{name}/{_spelled(rng)}{'' if method == 'DELETE' else select}"
        body = _changes(rng, world, name) if method == "PATCH" else None
        return Question(method, path, body, _headers(rng, world, name))

    return make


def _read(rng: Random, world: World, name: str) -> Question:
    asked = [_filter(rng, world, name) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.3:
        asked.append(("order", f"{rng.choice(world.views[name].columns)}.desc.nullslast"))
    if rng.random() < 0.4:
        columns = _columns(rng, world, name)
        asked.append(("select", rng.choice((columns, columns, rng.choice(_EMBEDDED)))))
    if rng.random() < 0.3:
        asked.append(("limit", str(rng.randint(0, 5))))
    return Question("GET", f"/v1/{name}?{_query(asked)}", None, _headers(rng, world, name))


def _bulk(method: str) -> Callable[[Random, World, str], Question]:
    def make(rng: Random, world: World, name: str) -> Question:
        # Rows of the caller's own would be gone the second time: the filter names one id.
        asked = [rng.choice((("id", f"eq.{TARGET}"), ("id", f"in.({TARGET})")))]
        asked += [_filter(rng, world, name) for _ in range(rng.randint(0, 2))]
        body = _changes(rng, world, name) if method == "PATCH" else None
        return Question(method, f"/v1/{name}?{_query(asked)}", body, _headers(rng, world, name))

    return make


def _create(rng: Random, world: World, name: str) -> Question:
    row: dict[str, Any] = {"number": world.number(), "sku": world.number()}
    row |= {"name": "x", "country": "x", "issued_at": "2026-01-01", "unit_price": 1, "body": "x"}
    row |= {"line_no": int(world.number()), "quantity": 1, "subject_type": "customer"}
    view = world.views[name]
    row = {a.name: row[a.name] for a in view.attributes if a.name in row and a.on_create}
    references = [c for c in view.columns if c.endswith("_id")]
    for column in references:
        target = next((a.refers_to for a in view.attributes if a.name == column), None)
        row[column] = rng.choice(world.mine[target or "customers"])
    kind = rng.choice(("reference", "reference", "id", "tenant", "array"))
    undo = None
    if kind == "id" or not references:
        row["id"] = TARGET
        undo = name
    else:
        row[rng.choice(references)] = TARGET
    if kind == "tenant":
        row["tenant_id"] = rng.choice((str(world.service.globex.id), TARGET))
    body: Any = [row] if kind == "array" else row
    # What is made without the id in its key stays, and a number serves only once.
    alike = undo is not None or name not in ("notes", "customer-profiles", "product-categories")
    if undo is not None:
        alike = not set(row) & {"customer_id", "product_id", "invoice_id"}
    return Question("POST", f"/v1/{name}", body, _headers(rng, world, name), alike, undo)


_MAKERS: dict[tuple[str, str], Callable[[Random, World, str], Question]] = {
    ("get", "single"): _single("GET"),
    ("patch", "single"): _single("PATCH"),
    ("delete", "single"): _single("DELETE"),
    ("get", "collection"): _read,
    ("patch", "collection"): _bulk("PATCH"),
    ("delete", "collection"): _bulk("DELETE"),
    ("post", "collection"): _create,
}

_EMBEDDED = (
    "*,customers(*)", "id,customer:customer_id(name)", "*,invoices!inner(number)",
    "*,invoice_lines(*)", "tenant_id", "id,tenants(name)", "name::text", "count()",
)  # fmt: skip


def _columns(rng: Random, world: World, name: str) -> str:
    columns = world.views[name].columns
    return ",".join(rng.sample(columns, rng.randint(1, len(columns))))


def _filter(rng: Random, world: World, name: str) -> tuple[str, str]:
    view = world.views[name]
    if rng.random() < 0.6:
        # What the dialect takes; the rest is mostly refused before anything is sent.
        column = rng.choice([c for c in view.columns if c.endswith("id")])
        operator = rng.choice(("eq", "neq", "in", "gt", "lte"))
        value = rng.choice((TARGET, TARGET, rng.choice(world.mine[name])))
    else:
        column = rng.choice((*view.columns, "tenant_id"))
        operator = rng.choice(OPERATORS)
        value = rng.choice((TARGET, rng.choice(world.mine[name]), f"{MARK}*", "%", "null"))
    if operator == "in":
        value = f"({value},{rng.choice(world.mine[name])})"
    test = f"{rng.choice(('', '', 'not.'))}{operator}.{value}"
    if rng.random() < 0.3:
        return "or", f"({column}.{test},id.eq.{TARGET},id.is.null)"
    return column, test


def _query(asked: list[tuple[str, str]]) -> str:
    return "&".join(f"{key}={quote(value, safe=TARGET)}" for key, value in asked)


def _spelled(rng: Random) -> str:
    return rng.choice((TARGET, TARGET, TARGET, f"{TARGET}%00", f"{{{TARGET}}}", f"{TARGET}/"))


def _headers(rng: Random, world: World, name: str) -> tuple[tuple[str, str], ...]:
    offered = (
        ("If-Match", world.tags[name]),
        ("If-Match", "*"),
        ("If-None-Match", world.tags[name]),
        ("Prefer", "return=representation,count=exact"),
        ("Prefer", "return=headers-only"),
        ("Prefer", "handling=strict,max-affected=1"),
        ("Range", "0-1"),
        ("Accept", "application/vnd.pgrst.object+json"),
        ("Accept", "text/csv"),
        ("Accept-Profile", "tenure"),
        ("X-Tenant", "globex"),
        ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),
    )
    return tuple(dict(rng.sample(offered, rng.choice((0, 0, 1, 2)))).items())


def _changes(rng: Random, world: World, name: str) -> dict[str, Any]:
    columns = [a.name for a in world.views[name].attributes if a.on_change]
    column = rng.choice((*columns, "tenant_id", "id"))
    value = TARGET if column.endswith("id") else rng.choice(("x", 1, None))
    return {column: value}
