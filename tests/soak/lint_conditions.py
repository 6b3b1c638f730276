"""Growing conditions and expressions."""

from __future__ import annotations

from collections.abc import Sequence

from lint_words import SOURCE, Choices, Source


class Conditions(Choices):
    """Conditions of one statement."""

    # -- conditions --------------------------------------------------------------------------

    def anchor(self, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        """Restrict the tenant of a source, in one of the many ways there are."""
        source = self.rng.choice([s for s in sources if s.tenant] or sources)
        if source.tenant is None:
            return self.comparison(sources, outer)
        column = f"{source.alias}.{source.tenant}" if source.alias else source.tenant
        around = [s.org for s in outer if s.org]
        if around and self.chance(0.6):
            return f"{column} = {self.rng.choice(around)}"
        if self.slips():
            return self.near_miss(column, sources, outer)
        return self.equals_value(column, sources, outer)

    def equals_value(self, c: str, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        v = self.value
        if self.chance(0.55):
            return self.rng.choice((f"{c} = {v}", f"{c} = {v}", f"{v} = {c}"))
        if self.chance(0.15):  # as good as equality where the column cannot be null
            return self.rng.choice(
                (f"({c} = {v}) IS NOT FALSE", f"NOT ({c} <> {v}) IS TRUE",
                 f"({c} <> {v}) IS NOT TRUE", f"NOT (({c} = {v}) IS FALSE)")
            )  # fmt: skip
        p = self.comparison(sources, outer) if sources and sources[0].alias else "true"
        q = self.comparison(sources, outer) if sources and sources[0].alias else "1 = 1"
        alias = self.name()
        table = self.rng.choice(("t", "s", "g", "gt"))
        forms = [
            f"{c} IN ({v})", f"{c} = ANY (ARRAY[{v}])", f"NOT ({c} <> {v})", f"({c} = {v}) IS TRUE",
            f"({c} = {v}) = true", f"{c} BETWEEN {v} AND {v}", f"COALESCE({c} = {v}, false)",
            f"({c} = {v} AND {p} OR {q} AND {c} = {v})", f"{c} IS NOT DISTINCT FROM {v}",
            f"NOT ({c} <> {v} OR {p})", f"CASE WHEN {c} = {v} THEN {p} ELSE false END",
            f"CASE WHEN {p} THEN {c} = {v} ELSE false END", f"({c}, 1) = ({v}, 1)",
            f"{c} = (SELECT {v})", f"NOT ({c} = {v}) IS FALSE AND {c} = {v}",
            f"(({c} = {v}) IS NOT FALSE AND {c} IS NOT NULL AND {c} = {v})",
            f"{c} IN (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"EXISTS (SELECT 1 FROM {table} {alias} WHERE {alias}.org = {c} AND {alias}.org = {v})",
            f"{c} = (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v} "
            f"ORDER BY 1 LIMIT 1)",
            f"(CASE WHEN {p} THEN {c} = {v} END)", f"({c} = {v} OR ({c} = {v} AND {p}))",
            f"CASE {c} WHEN {v} THEN {p} ELSE false END",
        ]  # fmt: skip
        if v == "1":
            forms += [f"{c}::text = '1'", f"{c} = '1'", f"{c}::bigint = 1"]
        forms += [
            f"{c} = SOME (ARRAY[{v}])",
            f"{c} IN (VALUES ({v}))",
            f"ROW({c}, 1) = ROW({v}, 1)",
            f"{c} <= {v} AND {c} = {v}",
            f"({c} = {v}) IS DISTINCT FROM false AND {c} = {v}",
            f"{c} = ANY (SELECT {v})",
            f"NOT ({c} NOT IN ({v}))",
            f"{c} = (VALUES ({v}))",
        ]
        return self.rng.choice(forms)

    def near_miss(self, c: str, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        v = self.value
        p = self.comparison(sources, outer) if sources and sources[0].alias else "1 = 1"
        d = self.column(sources) if sources and sources[0].alias else c
        alias = self.name()
        table = self.rng.choice(("t", "s", "g", "gt", "n"))
        return self.rng.choice((
            f"{c} <> {v}", f"{c} IN ({v}, 2)", f"({c} = {v} OR {p})", f"({c} = {v}) IS NOT FALSE",
            f"{c} = COALESCE({d}, {v})", f"NOT ({c} <> {v} AND {p})", f"{c} >= {v}",
            f"CASE WHEN {p} THEN {c} = {v} ELSE true END", f"({c} = {v} OR {c} IS NULL)",
            f"CASE WHEN {c} = {v} THEN true ELSE {p} END", f"({c}, {d}) >= ({v}, 1)",
            f"NOT ({c} = {v}) IS TRUE", f"({c} = {v}) IS NOT NULL", f"COALESCE({c} = {v}, true)",
            f"{c} = ALL (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} = ALL (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"NOT EXISTS (SELECT 1 FROM {table} {alias} WHERE {alias}.org = {c}"
            f" AND {alias}.org = {v})",
            f"{c} NOT IN (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} = {d}", f"({c}, {d}) <> ({v}, 1)", f"{c} BETWEEN {v} AND 2",
            f"{c} = ANY (SELECT {alias}.id FROM {table} {alias} WHERE {alias}.org = {v})",
            f"EXISTS (SELECT max({alias}.id) FROM {table} {alias} WHERE {alias}.org = {c}"
            f" AND {alias}.org = {v})",
            f"{c} IS NOT DISTINCT FROM {d}", f"NULLIF({c}, {d}) = {v}",
            f"{c} = (SELECT max({alias}.org) FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c}::varchar(1) = '1'", f"{c}::boolean = 1::boolean", f"{c} <= {v}",
            f"{c} = CASE WHEN {p} THEN {v} ELSE {d} END",
            f"NOT ({c} < {v})", f"NOT ({c} BETWEEN {v} AND {v})", f"{c} IS DISTINCT FROM {v}",
            f"{c} > ANY (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} <> ANY (SELECT {alias}.org FROM {table} {alias} WHERE {alias}.org = {v})",
            f"{c} = ANY (ARRAY[{v}, {d}])", f"{c} = ANY (ARRAY[{v}, 2])",
            f"COALESCE({c} = {v}, {p})", f"COALESCE(NULLIF({c} = {v}, false), {p})",
            f"CASE WHEN {c} = {v} THEN true WHEN {p} THEN true ELSE false END",
            f"CASE WHEN {p} THEN true WHEN {c} = {v} THEN true END",
            f"NOT CASE WHEN {p} THEN {c} = {v} ELSE false END",
            f"(CASE WHEN {c} = {v} THEN {p} ELSE true END) IS FALSE",
            f"NOT ({c} = {v} AND false)", f"({c} = {v} OR true)", f"({c} = {v} AND false) = false",
            f"NOT EXISTS (SELECT 1 FROM {table} {alias} WHERE {alias}.org <> {c})",
            f"{c} IN (VALUES ({v}), ({d}))", f"{c} IN (VALUES (2), ({v}))",
            f"(NULLIF({c}, 2) = {v}) IS NOT FALSE", f"{c} = GREATEST({d}, {v})",
            f"({c} = {v}) IS FALSE",
            f"({c} = {v}) IS UNKNOWN", f"({c} = {v}) = false", f"({c} = {v}) <> true",
            f"CASE WHEN {p} THEN {c} = {v} WHEN {c} = {v} THEN false ELSE {p} END",
            f"({c} = {v}) IS DISTINCT FROM {p}", f"({c} = {v}) = ({p})", f"{c} * 0 + 1 = {v}",
            f"(SELECT {c} = {v} OR count(*) > 0 FROM {table} {alias} WHERE {alias}.org = {v})",
        ))  # fmt: skip

    def operator(self) -> str:
        return self.rng.choice(("=", "=", "<>", "<", ">", "<=", ">="))

    def comparison(self, sources: Sequence[Source], outer: Sequence[Source]) -> str:
        """A condition without subqueries; now and then about the tenant."""
        every = [*sources, *(outer if self.chance(0.2) else ())]
        c = self.column(every)
        tenants = [s.org for s in sources if s.org and s.alias]
        if tenants and self.chance(0.2):
            value = self.rng.choice((self.value, "2", c, self.other()))
            return f"{self.rng.choice(tenants)} = {value}"
        return self.rng.choice((
            f"{c} {self.operator()} {self.literal()}",
            f"{c} {self.operator()} {self.column(every)}",
            f"{c} IS NULL", f"{c} IS NOT NULL", f"{c} IN (1, 3)", f"{c} IS DISTINCT FROM 1",
            f"{c} BETWEEN 1 AND 3", f"({c}, {self.column(every)}) = (1, {self.literal()})",
            f"COALESCE({c}, 1) = 1", f"({c} IS NULL) > false",
            f"{c} = {self.literal()}", f"{c} = {self.literal()}",
            self.rng.choice(("true", "true", "false", "NULL::boolean", f"{c} NOT BETWEEN 1 AND 2")),
        ))  # fmt: skip

    def other(self) -> str:
        """Now and then a statement names the tenant in two ways."""
        return self.rng.choice((SOURCE, "1")) if self.chance(0.2) else self.value

    def condition(self, sources: Sequence[Source], outer: Sequence[Source], depth: int) -> str:
        """Any condition. With three levels of subqueries it is over."""
        usable = [s for s in sources if s.alias]
        if not usable:
            return "1 = 1"
        roll = self.rng.random()
        if roll < 0.35:
            return self.comparison(usable, outer)
        inner = lambda: self.condition(usable, outer, depth + 1)  # noqa: E731 - said often
        if roll < 0.66 and depth < 4:
            form = self.rng.choice(
                ("({} AND {})", "({} OR {})", "({} OR {})", "NOT ({})", "({}) IS TRUE",
                 "({}) IS NOT TRUE", "({}) IS FALSE", "({}) IS NOT FALSE", "({}) IS UNKNOWN",
                 "CASE WHEN {} THEN {} ELSE {} END", "CASE WHEN {} THEN {} END",
                 "COALESCE({}, {})", "({}) = ({})", "({}) <> ({})", "NOT ({} OR {})",
                 "NOT ({} AND {})", "({}) = true", "({}) <> true", "({}) IS DISTINCT FROM true")
            )  # fmt: skip
            return form.format(*(inner() for _ in range(form.count("{}"))))
        if depth >= 3:
            return self.comparison(usable, outer)
        seen = (*outer, *usable)
        column = self.column(usable)
        if roll < 0.8:
            word = self.rng.choice(("EXISTS", "EXISTS", "NOT EXISTS"))
            return f"{word} ({self.query(depth + 1, seen, width=1).sql})"
        if roll < 0.9:
            form = self.rng.choice(
                ("{} IN ({})", "{} IN ({})", "{} NOT IN ({})", "{} = ANY ({})", "{} < ALL ({})",
                 "{} = ALL ({})", "{} <> ANY ({})", "{} > ANY ({})")
            )  # fmt: skip
            return form.format(column, self.query(depth + 1, seen, width=1).sql)
        if roll < 0.95:
            tenants = [s.org for s in usable if s.org]
            pair = f"({tenants[0] if tenants else column}, {column})"
            query = self.query(depth + 1, seen, width=2, tenant_first=True, defer=self.chance(0.5))
            return f"{pair} {self.rng.choice(('IN', 'IN', 'NOT IN'))} ({query.sql})"
        return f"{column} {self.operator()} {self.scalar(seen, depth)}"

    # -- expressions -------------------------------------------------------------------------

    def expression(self, sources: Sequence[Source], outer: Sequence[Source], depth: int) -> str:
        every = [*[s for s in sources if s.alias], *(outer if self.chance(0.2) else ())]
        column = self.column(every)
        roll = self.rng.random()
        if roll < 0.72:
            return column
        if roll < 0.75 and outer:
            # An aggregate of outer columns alone is the outer query's.
            return f"(SELECT {self.rng.choice(('max', 'count'))}({self.column(outer)}) FROM s)"
        if roll < 0.78:
            return f"COALESCE({column}, {self.column(every)})"
        if roll < 0.84:
            c = self.comparison(sources, outer)
            return f"CASE WHEN {c} THEN {column} ELSE {self.literal()} END"
        if roll < 0.9 or depth > 1:
            return self.rng.choice((self.literal(), f"{column} + 1", f"NULLIF({column}, 1)"))
        return self.scalar((*outer, *sources), depth)

    def scalar(self, seen: Sequence[Source], depth: int) -> str:
        text, sources, roots = self.from_clause(max(depth + 1, 1), seen)
        where = [self.anchor([root], seen) for root in roots if not self.slips()]
        if self.chance(0.6):
            where.append(f"{self.column(sources)} = {self.column(seen)}")
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        if self.chance(0.7):
            return f"(SELECT {self.aggregate(sources)}{text}{filtered})"
        order = self.positions(1)
        return f"(SELECT {self.column(sources)}{text}{filtered} ORDER BY {order} LIMIT 1)"
