"""Growing INSERT, UPDATE, DELETE and MERGE."""

from __future__ import annotations

from collections.abc import Sequence

from lint_words import KEYS, TABLES, Choices, Source


class Writes(Choices):
    """Writes of one statement."""

    # -- writes ------------------------------------------------------------------------------

    def target(self) -> tuple[str, Source]:
        table = self.rng.choice(("t", "t", "s", "g", "gt", "n", "c"))
        return table, Source(self.name(), TABLES[table], "org", table)

    def returned(self, target: Source, *, wanted: bool) -> tuple[str, tuple[str, ...], str | None]:
        if not wanted:
            return "", (), None
        alias = f"{target.alias}." if target.alias else ""
        extra = ""
        if self.chance(0.1):
            a = self.name()
            tie = "" if self.slips() else f" WHERE {a}.org = {alias or target.table + '.'}org"
            extra = f", (SELECT count(*) FROM s {a}{tie}) AS c2"
        names = ("org", "id", "c2") if extra else ("org", "id")
        sql = f" RETURNING {alias}org AS org, {alias}id AS id{extra}"
        return sql, names, "org"

    def insert(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        if self.chance(0.12):
            return self.insert_child(returning=returning)
        table = self.target()[0]
        extra = {"gt": "gid"}.get(table, "x")
        names = ["org", "id", extra][: self.rng.choice((2, 3))]
        filled = "NULL::int" if extra == "gid" else self.literal()
        if self.chance(0.4):
            rows = []
            for _ in range(self.rng.choice((1, 1, 2))):
                tenant = self.rng.choice(("2", "id")) if self.slips() else self.value
                tenant = self.literal() if tenant == "id" else tenant
                rows.append([tenant, str(self.rng.randrange(0, 14)), filled])
            body = "VALUES " + ", ".join(f"({', '.join(row[: len(names)])})" for row in rows)
        else:
            text, sources, roots = self.from_clause(1, ())
            where = [self.anchor([root], ()) for root in roots if not self.slips()]
            if self.chance(0.3):
                where.append(self.condition(sources, (), 1))
            tenants = [s.org for s in sources if s.org]
            tenant = self.rng.choice([*tenants, self.value])
            if self.slips():
                tenant = self.column(sources)
            key = self.column(sources)
            key = f"{key} + 10" if self.chance(0.6) else key
            filtered = f" WHERE {' AND '.join(where)}" if where else ""
            shown = ", ".join([tenant, key, filled][: len(names)])
            body = f"SELECT DISTINCT {shown}{text}{filtered}"
        if self.slips():
            names[0], names[1] = names[1], names[0]
        if table == "n" and self.chance(0.4):
            names, body = self.rng.choice(
                ((["id"], "VALUES (1)"), (["org", "id"], "VALUES (DEFAULT, 1)"),
                 (["id", "x"], f"SELECT 1, {self.literal()}"))
            )  # fmt: skip
        if table == "c" and self.chance(0.4):
            names, body = ["org", "id"], f"VALUES (DEFAULT, {self.rng.randrange(1, 30)})"
        if table == "c" and self.chance(0.3) and body.startswith("VALUES"):
            names, body = ["id"], f"VALUES ({self.rng.randrange(1, 30)})"
        conflict = ""
        if self.chance(0.5):
            conflict = " ON CONFLICT DO NOTHING"
            if table in KEYS and self.chance(0.7):
                key = f"({self.rng.choice(KEYS[table])})"
                if self.chance(0.15):
                    key = f"ON CONSTRAINT {table}_pkey"
                conflict = f" ON CONFLICT {key} DO "
                if self.chance(0.2):
                    conflict += "NOTHING"
                else:
                    column = "gid" if extra == "gid" else "x"
                    value = f"EXCLUDED.{column}" if column in names else "NULL"
                    if self.chance(0.2) and extra == "x":
                        a = self.name()
                        org = "" if self.slips() else f" WHERE {a}.org = {table}.org"
                        value = f"(SELECT max({a}.x) FROM s {a}{org})"
                    conflict += f"UPDATE SET {column} = {value}"
                    if self.slips():
                        conflict += ", org = EXCLUDED.org"
                    if self.chance(0.3):
                        conflict += " WHERE " + self.rng.choice(
                            (f"{table}.org = EXCLUDED.org", f"{table}.id > 1",
                             f"EXCLUDED.org = {self.value}", f"{table}.org = {self.value}")
                        )  # fmt: skip
        tail, columns, tenant_name = self.returned(Source("", (), "org", table), wanted=returning)
        sql = f"INSERT INTO {table} ({', '.join(names)}) {body}{conflict}{tail}"
        return sql, columns, tenant_name

    def insert_child(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        """A row under a parent, whose tenant it shares."""
        key = str(self.rng.randrange(10, 40))
        parent = self.name()
        keep = (
            "" if self.slips() else f" WHERE {self.anchor([Source(parent, ('org',), 'org')], ())}"
        )
        body = self.rng.choice((
            f"SELECT {key}, {parent}.id FROM g {parent}{keep} ORDER BY 2 LIMIT 1",
            f"SELECT {key}, min({parent}.id) FROM g {parent}{keep}",
            f"SELECT {key} + {parent}.id, {parent}.id FROM g {parent}{keep}",
            f"SELECT {key} + {parent}.id, {parent}.id + 1 FROM g {parent}{keep}",
            f"SELECT {key} + {parent}.id, {parent}.x FROM g {parent}{keep}",
            f"VALUES ({key}, {self.literal()})",
        ))  # fmt: skip
        tail = " RETURNING id, gid" if returning else ""
        return f"INSERT INTO items (id, gid) {body}{tail}", ("id", "gid"), None

    def tied(self, target: Source, sources: Sequence[Source], roots: Sequence[Source]) -> list[str]:
        where = []
        for root in roots:
            if not self.slips():
                where.append(self.link(target, root))
        if (not where or not sources or self.chance(0.7)) and not self.slips():
            where.append(self.anchor([target], ()))
        if self.chance(0.7) and sources:
            where.append(f"{self.column([target])} = {self.column(sources)}")
        if self.chance(0.4):
            where.append(self.condition([target, *sources], (), 1))
        self.rng.shuffle(where)
        return where

    def update(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        column = {"gt": "gid"}.get(table, "x")
        text, sources, roots = "", [], []
        if self.chance(0.45):
            text, sources, roots = self.from_clause(1, ())
        where = self.tied(target, sources, roots)
        value = "NULL" if column == "gid" else self.expression([target, *sources], (), 1)
        sets = [f"{column} = {value}"]
        if self.chance(0.12):
            own = self.rng.choice((self.value, f"{target.alias}.org"))
            if self.slips() or self.chance(0.4):
                own = self.rng.choice(("2", self.column([target, *sources])))
            sets.append(f"org = {own}")
        if self.chance(0.1):
            own = self.rng.choice((self.value, f"{target.alias}.org", "2"))
            sets = [self.rng.choice((f"({column}, org) = (NULL, {own})",
                                     f"({column}, id) = (SELECT NULL::int, {target.alias}.id)",
                                     f"({column}) = ROW(NULL)"))]  # fmt: skip
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        tail, columns, tenant = self.returned(target, wanted=returning)
        if table == "g" and self.chance(0.25):
            return self.update_child(where=filtered, text=text, returning=returning)
        sql = f"UPDATE {table} {target.alias} SET {', '.join(sets)}{text}{filtered}{tail}"
        return sql, columns, tenant

    def update_child(
        self, *, where: str, text: str, returning: bool
    ) -> tuple[str, tuple[str, ...], str | None]:
        """A child's rows, reached through its parent."""
        child, parent = self.name(), self.name()
        keep = "" if self.slips() else f" AND {self.anchor([Source(parent, ('org',), 'org')], ())}"
        change = "gid = NULL" if self.slips() else "id = " + child + ".id + 50"
        tail = f" RETURNING {child}.id, {child}.gid" if returning else ""
        return (
            f"UPDATE items {child} SET {change} FROM g {parent}"
            f" WHERE {parent}.id = {child}.gid{keep}{tail}",
            ("id", "gid"),
            None,
        )

    def delete(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        text, sources, roots = "", [], []
        if self.chance(0.45):
            text, sources, roots = self.from_clause(1, ())
            text = " USING" + text.removeprefix(" FROM")
        where = self.tied(target, sources, roots)
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        tail, columns, tenant = self.returned(target, wanted=returning)
        return f"DELETE FROM {table} {target.alias}{text}{filtered}{tail}", columns, tenant

    def merge(self, *, returning: bool) -> tuple[str, tuple[str, ...], str | None]:
        table, target = self.target()
        column = {"gt": "gid"}.get(table, "x")
        given = self.name()
        bound = not self.slips()
        inner = Source(self.name(), TABLES["s"], "org", "s")
        keep = f" WHERE {self.anchor([inner], ())}" if bound else ""
        i = inner.alias
        using = f"(SELECT {i}.org, {i}.id, {i}.x FROM s {i}{keep}) {given}"
        if self.chance(0.15):
            using = f"s {given}"
        elif self.chance(0.1):
            using = f"(VALUES ({self.value}, {self.literal()}, 1)) {given}(org, id, x)"
        source = Source(given, ("org", "id", "x"), "org", None, bound)
        on = [f"{target.alias}.id = {given}.id"]
        if not self.slips():
            on.append(self.link(target, source))
        if self.chance(0.3):
            on.append(self.anchor([target], ()))
        clauses = []
        fresh = "NULL" if column == "gid" else f"{given}.x"
        if self.chance(0.8):
            extra = f" AND {self.condition([target, source], (), 2)}" if self.chance(0.3) else ""
            action = self.rng.choice(
                (f"UPDATE SET {column} = {fresh}", f"UPDATE SET {column} = {fresh}", "DELETE",
                 "DO NOTHING", f"UPDATE SET {column} = NULL, org = {given}.org")
            )  # fmt: skip
            clauses.append(f"WHEN MATCHED{extra} THEN {action}")
        if self.chance(0.6) or not clauses:
            extra = f" AND {self.condition([source], (), 2)}" if self.chance(0.3) else ""
            tenant = (
                self.literal() if self.slips() else self.rng.choice((f"{given}.org", self.value))
            )
            key = f"{given}.id" + (" + 10" if self.chance(0.5) else "")
            clauses.append(
                f"WHEN NOT MATCHED{extra} THEN INSERT (org, id, {column})"
                f" VALUES ({tenant}, {key}, {fresh})"
            )
        if self.chance(0.25):
            extra = "" if self.slips() else f" AND {self.anchor([target], ())}"
            action = self.rng.choice(("DELETE", f"UPDATE SET {column} = NULL", "DO NOTHING"))
            clauses.append(f"WHEN NOT MATCHED BY SOURCE{extra} THEN {action}")
        if all("DO NOTHING" in clause for clause in clauses):
            clauses[-1] = clauses[-1].replace("DO NOTHING", "DELETE")
        tail = f" RETURNING {target.alias}.org, {target.alias}.id" if returning else ""
        sql = (
            f"MERGE INTO {table} {target.alias} USING {using} ON {' AND '.join(on)} "
            f"{' '.join(clauses)}{tail}"
        )
        return sql, (), None
