"""Growing queries: blocks, combined and grouped ones, windows."""

from __future__ import annotations

from collections.abc import Sequence

from lint_words import Choices, Query, Source


class Queries(Choices):
    """Queries of one statement."""

    # -- queries -----------------------------------------------------------------------------

    def query(
        self,
        depth: int,
        outer: Sequence[Source],
        *,
        width: int | None = None,
        defer: bool = False,
        tenant_first: bool = False,
    ) -> Query:
        """`defer`: whoever reads it restricts the tenant, so it puts the tenant out."""
        if depth < 2 and self.chance(0.17):
            return self.combined(depth, outer, width=width, defer=defer)
        if 0 < depth < 3 and self.chance(0.05):
            known = list(self.tables)
            prefix = self.with_clause(inner=True)
            body = self.block(depth, outer, width=width, defer=defer, tenant_first=tenant_first)
            self.tables = known
            return Query(prefix + body.sql, body.columns, body.tenant, body.bound)
        return self.block(depth, outer, width=width, defer=defer, tenant_first=tenant_first)

    def combined(
        self, depth: int, outer: Sequence[Source], *, width: int | None, defer: bool
    ) -> Query:
        width = width or self.rng.choice((1, 2, 2, 3))
        first = not self.slips()
        arms = [
            self.block(depth + 1, outer, width=width, defer=defer, tenant_first=first)
            for _ in range(self.rng.choice((2, 2, 3)))
        ]
        sql = f"({arms[0].sql})"
        for arm in arms[1:]:
            kind = self.rng.choice(
                ("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
            )
            sql += f" {kind} ({arm.sql})"
        if self.chance(0.1) and (not defer or self.slips()):
            sql += f" ORDER BY {self.positions(width)} LIMIT {self.literal()}"
        return Query(sql, arms[0].columns, arms[0].tenant, all(a.bound for a in arms))

    def positions(self, width: int) -> str:
        """ORDER BY everything; downwards as well, or the first tenant would always win."""
        return ", ".join(f"{index + 1}{self.rng.choice(('', ' DESC'))}" for index in range(width))

    def block(
        self,
        depth: int,
        outer: Sequence[Source],
        *,
        width: int | None = None,
        defer: bool = False,
        tenant_first: bool = False,
    ) -> Query:
        text, sources, roots = self.from_clause(depth, outer)
        where = [] if defer else [self.anchor([root], outer) for root in roots if not self.slips()]
        if self.chance(0.45):
            where.append(self.condition(sources, outer, depth))
        self.rng.shuffle(where)
        width = width or self.rng.choice((1, 2, 3))
        tenants = [source.org for source in sources if source.org]
        tenant = self.rng.choice(tenants) if tenants else None
        shows = tenant is not None and (defer or tenant_first or self.chance(0.6))
        filtered = f" WHERE {' AND '.join(where)}" if where else ""
        if self.chance(0.16):
            return self.grouped(
                f"{text}{filtered}", sources, outer, tenant if shows else None, width, depth,
                defer=defer,
            )  # fmt: skip
        items: list[str] = []
        if shows and tenant and not self.slips():
            items.append(tenant)
        while len(items) < width:
            if self.chance(0.08) and tenant:
                items.append(self.window(sources, None if self.slips() else tenant))
            else:
                items.append(self.expression(sources, outer, depth))
        if defer and len(items) > 1 and self.chance(0.12):
            items[-1] = self.window(sources, tenant if self.chance(0.5) else None)
        order = list(range(len(items)))
        if self.slips():
            self.rng.shuffle(order)
        items = [items[index] for index in order]
        over = ""
        if self.chance(0.06) and tenant:
            key = tenant if not self.slips() else self.column(sources)
            over = f" WINDOW w AS (PARTITION BY {key})"
            call = f"sum({self.column(sources)}) OVER "
            base = "w" if self.chance(0.6) else f"(w ORDER BY {self.column(sources)})"
            items[-1] = items[-1] if items[-1] == tenant else call + base
        names = ["org" if item == tenant and shows else f"c{i}" for i, item in enumerate(items)]
        if len(set(names)) < len(names):
            names = [f"c{i}" for i in range(len(items))]
        own = names[items.index(tenant)] if tenant in items else None
        if self.slips() and len(names) > 1:
            names[-1], names[0] = names[0], names[-1]
        shown = ", ".join(f"{item} AS {name}" for item, name in zip(items, names, strict=True))
        distinct, tail = "", ""
        if self.chance(0.08):
            distinct = "DISTINCT "
        elif self.chance(0.16 if defer else 0.07) and tenant:
            keys = [] if self.slips() or (defer and self.chance(0.4)) else [tenant]
            keys += [self.column(sources)] if not keys or self.chance(0.6) else []
            if self.chance(0.3):
                at = self.rng.randrange(len(names))
                keys[0] = self.rng.choice((names[at], str(at + 1)))
            distinct = f"DISTINCT ON ({', '.join(keys)}) "
            tail = f" ORDER BY {', '.join(keys)}, {self.positions(width)}"
        if (not defer or self.slips() or self.chance(0.4)) and self.chance(0.12):
            lead = ""
            if self.chance(0.12) and not tail and not distinct:
                # The window's tie is broken by every output column.
                lead = self.window(sources, None if self.slips() else tenant) + " DESC, "
            tail = tail or f" ORDER BY {lead}{self.positions(width)}"
            tail += self.rng.choice((
                f" LIMIT {self.literal()}", f" LIMIT {self.literal()}", " OFFSET 1",
                f" LIMIT {self.literal()} OFFSET 1", f" FETCH FIRST {self.literal()} ROWS ONLY",
            ))  # fmt: skip
        elif not (tail or distinct or over) and depth == 0 and self.chance(0.02):
            tail = " FOR UPDATE" if "a" not in text else ""
        sql = f"SELECT {distinct}{shown}{text}{filtered}{over}{tail}"
        return Query(sql, tuple(names), own, not defer)

    def grouped(
        self,
        body: str,
        sources: Sequence[Source],
        outer: Sequence[Source],
        tenant: str | None,
        width: int,
        depth: int,
        *,
        defer: bool,
    ) -> Query:
        keys = [tenant] if tenant and not self.slips() else []
        if self.chance(0.6):
            keys.append(self.column(sources))
        keys = list(dict.fromkeys(keys))
        if not keys and self.chance(0.4):
            # HAVING or an aggregate in ORDER BY makes one row of all.
            shown = ["1"] * (width - 1) + [self.aggregate(sources)]
            return Query(
                f"SELECT {', '.join(shown)}{body}"
                + self.rng.choice((
                    " HAVING true", f" HAVING {self.aggregate(sources)} > 0",
                    f" ORDER BY {self.aggregate(sources)}", " GROUP BY ()",
                )),
                tuple(f"c{i}" for i in range(width)), None, not defer,
            )  # fmt: skip
        items = list(keys[:width])
        own = 0 if tenant in items else None
        while len(items) < width:
            items.append(self.aggregate(sources))
        names = [f"c{i}" for i in range(len(items))]
        if own is not None:
            names[0] = "org"
        group = ""
        if keys:
            shape = self.rng.choice(
                ("plain", "plain", "plain", "named", "positions", "rollup", "cube", "sets", "mixed")
            )
            listed = ", ".join(keys)
            group = {
                "plain": f" GROUP BY {listed}",
                # An input column goes before the output's name.
                "named": f" GROUP BY {', '.join([*names[: min(len(keys), width)], *keys[width:]])}",
                "positions": " GROUP BY "
                + ", ".join([*map(str, range(1, min(len(keys), width) + 1)), *keys[width:]]),
                "mixed": f" GROUP BY GROUPING SETS (({listed}), ({keys[-1]}), ())",
                "rollup": f" GROUP BY ROLLUP ({listed})",
                "cube": f" GROUP BY CUBE ({listed})",
                "sets": f" GROUP BY GROUPING SETS ({', '.join(f'({key})' for key in keys)})",
            }[shape]
        having = []
        if keys and tenant in keys and self.chance(0.4):
            having.append(self.equals_value(tenant, [], ()))
        if self.chance(0.3):
            having.append(f"{self.aggregate(sources)} {self.operator()} {self.literal()}")
        tail = f" HAVING {' AND '.join(having)}" if having else ""
        shown = ", ".join(f"{item} AS {name}" for item, name in zip(items, names, strict=True))
        return Query(
            f"SELECT {shown}{body}{group}{tail}",
            tuple(names),
            names[own] if own is not None else None,
            not defer,
        )

    def aggregate(self, sources: Sequence[Source]) -> str:
        column = self.column(sources)
        call = self.rng.choice(
            ("count(*)", f"max({column})", f"min({column})", f"sum({column})", f"count({column})",
             f"count(DISTINCT {column})")
        )  # fmt: skip
        if self.chance(0.15):
            call += f" FILTER (WHERE {self.comparison(sources, ())})"
        return call

    def window(self, sources: Sequence[Source], tenant: str | None) -> str:
        column = self.column(sources)
        call = self.rng.choice(
            ("rank()", "dense_rank()", "count(*)", f"sum({column})", f"max({column})")
        )
        keys = [tenant] if tenant else []
        keys += [self.column(sources)] if self.chance(0.3) else []
        partition = f"PARTITION BY {', '.join(keys)} " if keys else ""
        return f"{call} OVER ({partition}ORDER BY {self.column(sources)})"
