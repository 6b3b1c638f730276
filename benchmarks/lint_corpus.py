"""A project of so many files, as a team might have it: migrations, queries, Python with SQL in it.

Deterministic: the same number gives the same files. No two statements read the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

TABLES = 60
_NOUNS = [
    "account",
    "invoice",
    "line",
    "payment",
    "order",
    "item",
    "ticket",
    "note",
    "event",
    "product",
    "price",
    "task",
]


def schema() -> str:
    """The DDL of the project's tables, each with row-level security and its keys."""
    return "\n".join(_table(n) for n in range(TABLES))


def _name(number: int) -> str:
    return f"{_NOUNS[number % len(_NOUNS)]}_{number}"


def _table(number: int, name: str = "") -> str:
    name = name or _name(number)
    parent = _name(number - 1) if number else name
    return f"""\
CREATE TABLE {name} (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    parent_id uuid,
    title text NOT NULL CHECK (title <> ''),
    status text NOT NULL DEFAULT 'open',
    amount numeric(12, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, title),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES {parent} (tenant_id, id)
);
CREATE INDEX {name}_created ON {name} (tenant_id, created_at DESC) WHERE deleted_at IS NULL;
ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {name} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {name} USING (tenant_id = (SELECT tenure.current_tenant()))
    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));
"""


def query(dice: random.Random) -> str:
    """A statement of about the length and shape that applications have."""
    a, b, c = dice.sample(range(TABLES), 3)
    one, other, third = _name(a), _name(b), _name(c)
    number = dice.randrange(10**9)
    shapes = (
        f"SELECT id, title, status, amount, created_at FROM {one}\n"
        f" WHERE tenant_id = $1 AND status = 's{number}' AND deleted_at IS NULL\n"
        " ORDER BY created_at DESC, id LIMIT 50",
        f"SELECT a.id, a.title, b.title AS parent_title, b.amount - a.amount AS difference\n"
        f"  FROM {one} a\n  JOIN {other} b ON b.tenant_id = a.tenant_id AND b.id = a.parent_id\n"
        f" WHERE a.tenant_id = $1 AND a.amount > {number} AND b.status IN ('open', 'paid')\n"
        " ORDER BY a.created_at",
        f"WITH totals AS (\n    SELECT tenant_id, parent_id, sum(amount) AS total, count(*) AS n\n"
        f"      FROM {one} WHERE deleted_at IS NULL GROUP BY tenant_id, parent_id\n)\n"
        f"SELECT p.id, p.title, t.total, t.n FROM {other} p\n"
        "  LEFT JOIN totals t ON t.tenant_id = p.tenant_id AND t.parent_id = p.id\n"
        f" WHERE p.tenant_id = $1 AND coalesce(t.total, 0) > {number}",
        f"INSERT INTO {one} (tenant_id, id, parent_id, title, status, amount)\n"
        f"VALUES ($1, $2, $3, 't{number}', 'open', $4)\n"
        "ON CONFLICT (tenant_id, id) DO UPDATE SET title = excluded.title RETURNING id",
        f"UPDATE {one} SET status = 'closed', amount = amount + {number}\n"
        " WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL",
        f"SELECT a.* FROM {one} a WHERE a.tenant_id = $1 AND a.amount = {number} AND EXISTS (\n"
        f"    SELECT 1 FROM {other} b JOIN {third} c\n"
        "        ON c.tenant_id = b.tenant_id AND c.id = b.parent_id\n"
        "     WHERE b.tenant_id = a.tenant_id AND b.parent_id = a.id AND c.status = 'open')",
        f"DELETE FROM {one} WHERE tenant_id = $1 AND created_at < now() - interval '{number} s'",
        f"SELECT status, count(*), sum(amount) FROM {one} WHERE amount > {number} GROUP BY status",
    )
    # One in twelve forgets the tenant.
    return dice.choice(shapes[:-1]) if dice.random() > 1 / 12 else shapes[-1]


def queries(number: int) -> list[str]:
    """As many statements."""
    dice = random.Random(1)
    return [query(dice) for _ in range(number)]


def write(folder: Path, files: int) -> None:
    """Write the project: `schema.sql`, `tenure.toml`, and so many files under `src`."""
    folder.joinpath("schema.sql").write_text(schema())
    folder.joinpath("tenure.toml").write_text('[lint]\nschema = "schema.sql"\n')
    for number, (name, text) in enumerate(_files(files)):
        file = folder / "src" / f"part{number // 50}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def write_log(file: Path, size: int) -> int:
    """Write a csvlog of about so many bytes and return how many records it has.

    Some hundred forms, as an application has; half of them prepared, with values bound.
    """
    dice = random.Random(3)
    forms = [query(dice) for _ in range(300)]
    records = written = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        while written < size:
            form = dice.choice(forms).replace('"', '""')
            number = dice.randrange(10**6)
            if records % 2:
                said = f"execute <unnamed>: {form}"
                bound = f"\"parameters: $1 = '{number:032x}', $2 = '{number}', $3 = NULL\""
            else:
                said = f"statement: {form}".replace("$", str(number))
                bound = ""
            record = (
                f"2026-11-30 10:00:{number % 60:02}.{number % 1000:03} UTC,"
                f'"app","shop",{1000 + number % 40},"10.0.0.7:5{number % 1000:03}",'
                f'656a.{records:x},{records},"SELECT",2026-11-30 09:00:00 UTC,4/{number},'
                "0,LOG,00000,"
                f'"duration: 0.{number % 1000:03} ms  {said}",{bound},,,,,,,,"app",'
                '"client backend",,0\n'
            )
            written += out.write(record)
            records += 1
    return records


def _files(number: int) -> Iterator[tuple[str, str]]:
    dice = random.Random(2)
    for n in range(number):
        kind = dice.random()
        if kind < 0.35:
            statements = [query(dice) for _ in range(dice.randint(2, 8))]
            yield (
                f"queries_{n}.sql",
                "".join(f"-- name: q{i}\n{s};\n\n" for i, s in enumerate(statements)),
            )
        elif kind < 0.5:
            yield f"{n:04}_migration.sql", _table(dice.randrange(TABLES), f"added_{n}")
        elif kind < 0.75:
            yield f"store_{n}.py", _module(dice, dice.randint(1, 5))
        else:
            yield f"logic_{n}.py", _module(dice, 0)


def _module(dice: random.Random, sinks: int) -> str:
    parts = ['"""A module."""\n\nfrom __future__ import annotations\n']
    for n in range(12):
        parts.append(
            f"\n\ndef rule_{n}(values: list[int], limit: int = {dice.randrange(1000)}) -> int:\n"
            '    """Add what is below a limit."""\n    total = 0\n    for value in values:\n'
            "        if value < limit:\n            total += value\n        else:\n"
            f"            total -= value // {dice.randrange(1, 9)}\n    return total\n"
        )
    for n in range(sinks):
        text = query(dice).replace("$1", "%s").replace("$2", "%s").replace("$3", "%s")
        parts.append(
            f"\n\ndef load_{n}(cursor, tenant, *values):\n    cursor.execute(\n"
            f'        """\n{text.replace("$4", "%s")}\n        """,\n'
            "        (tenant, *values),\n    )\n    return cursor.fetchall()\n"
        )
    return "".join(parts)
