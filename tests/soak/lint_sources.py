"""Growing FROM: tables, views, subqueries, and how they are joined."""

from __future__ import annotations

from collections.abc import Sequence

from lint_words import TABLES, VIEWS, WEIGHTS, Choices, Source


class Sources(Choices):
    """Sources of one statement."""

    # -- FROM --------------------------------------------------------------------------------

    def source(
        self, depth: int, outer: Sequence[Source], left: Sequence[Source]
    ) -> tuple[str, Source]:
        alias = self.name()
        if outer and not left and self.chance(0.06):
            alias = self.rng.choice(outer).alias or alias  # hides the outer one
        roll = self.rng.random()
        if self.tables and roll < 0.3:
            table = self.rng.choice(self.tables)
            found = Source(alias, table.columns, table.tenant, None, table.bound)
            return f"{table.alias} {alias}", found
        if depth < 2 and roll > 0.8:
            lateral = bool(left) and self.chance(0.4)
            seen = (*outer, *left) if lateral else outer
            defer = self.chance(0.5)
            query = self.query(depth + 1, seen, defer=defer)
            columns, tenant = query.columns, query.tenant
            listed = ""
            if self.chance(0.15):
                fresh = tuple(f"k{i}" for i in range(len(columns)))
                tenant = fresh[columns.index(tenant)] if tenant in columns else None
                columns, listed = fresh, f"({', '.join(fresh)})"
            word = "LATERAL " if lateral else ""
            return (
                f"{word}({query.sql}) {alias}{listed}",
                Source(alias, columns, tenant, None, query.bound),
            )
        if 0.78 < roll <= 0.8 and left:
            if self.chance(0.5):
                rows = f"({self.value}, {self.literal()})"
                if self.chance(0.3):
                    rows += f", ({self.value}, {self.literal()})"
                if self.slips():
                    rows += f", (2, {self.literal()})"
                found = Source(alias, ("org", "id"), "org", None, True)
                return f"(VALUES {rows}) {alias}(org, id)", found
            column = self.column(left)
            return (
                f"generate_series(1, {self.rng.choice(('2', column))}) {alias}(i)",
                Source(alias, ("i",), None, None, True),
            )
        if self.chance(0.05):
            view = self.rng.choice(list(VIEWS))
            columns, tenant = VIEWS[view]
            return f"{view} {alias}", Source(alias, columns, tenant)
        if left and self.chance(0.03):
            a = self.column(left)
            return self.rng.choice((
                (f"unnest(ARRAY[1, {a}]) {alias}(i)", Source(alias, ("i",), None, None, True)),
                (f"unnest(ARRAY[{a}]) WITH ORDINALITY {alias}(i, o)",
                 Source(alias, ("i", "o"), None, None, True)),
                (f"json_to_recordset(json_build_array(json_build_object('org', {a})))"
                 f" AS {alias}(org int)", Source(alias, ("org",), "org", None, True)),
            ))  # fmt: skip
        table = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if self.chance(0.04) and table not in ("items", "orgs"):
            inner, other = self.name(), self.name()
            tie = f"{inner}.org = {other}.org" if not self.slips() else "true"
            side = self.rng.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN"))
            own = inner if side != "RIGHT JOIN" else other
            if self.chance(0.5):  # what is in parentheses keeps its names
                found = Source(own, TABLES[table], "org")
                return f"({table} {inner} {side} {table} {other} ON {tie})", found
            columns = TABLES[table]
            fresh = tuple(f"p{i}" for i in range(2 * len(columns)))
            at = 0 if own == inner else len(columns)
            tenant = fresh[at + columns.index("org")]
            return (
                f"({table} {inner} {side} {table} {other} ON {tie}) {alias}({', '.join(fresh)})",
                Source(alias, fresh, tenant),
            )
        if self.chance(0.04) and table not in ("items", "orgs"):
            # A column list that puts the tenant's name on another column.
            columns = TABLES[table]
            turned = (*columns[1:], columns[0])
            tenant = turned[columns.index("org")] if not self.slips() else "org"
            return (
                f"{table} AS {alias}({', '.join(turned)})",
                Source(alias, turned, tenant),
            )
        tenant = {"orgs": "id", "items": None}.get(table, "org")
        only = "ONLY " if self.chance(0.04) else ""
        return f"{only}{table} {alias}", Source(alias, TABLES[table], tenant, table)

    def from_clause(
        self, depth: int, outer: Sequence[Source]
    ) -> tuple[str, list[Source], list[Source]]:
        """The text, the sources, and those whose tenant WHERE has to restrict."""
        text, first = self.source(depth, outer, ())
        sources, roots = [first], [first]
        if first.tenant is None and first.table == "items" and not self.slips():
            parent = Source(self.name(), TABLES["g"], "org", "g")
            text += f" JOIN g {parent.alias} ON {parent.alias}.id = {first.alias}.gid"
            sources.append(parent)
            roots = [parent]
        count = self.rng.choice((0, 0, 1, 1, 1, 2, 2) if depth == 0 else (0, 0, 0, 1, 1))
        for number in range(count):
            last = number + 1 == count
            text, roots = self.joined(text, sources, roots, depth, outer, last=last)
        roots = [root for root in roots if root.tenant and not (root.bound and self.chance(0.7))]
        return f" FROM {text}", sources, roots

    def joined(
        self,
        text: str,
        sources: list[Source],
        roots: list[Source],
        depth: int,
        outer: Sequence[Source],
        *,
        last: bool,
    ) -> tuple[str, list[Source]]:
        right_text, right = self.source(depth, outer, sources)
        left = self.rng.choice([s for s in sources if s.tenant] or sources)
        kind = self.rng.choice(
            ("JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN",
             "FULL JOIN", ",", "CROSS JOIN", "USING", "FULL USING", "NATURAL")
        )  # fmt: skip
        if not last and kind in (",", "FULL USING"):  # what follows would not see it, or twice
            kind = "JOIN"
        if right_text.startswith(("LATERAL", "generate")) and kind.startswith(("RIGHT", "FULL")):
            kind = "LEFT JOIN"
        plain = len(sources) == 1 and left.table and right.table
        if kind in ("USING", "FULL USING", "NATURAL"):
            shared = [c for c in left.columns if c in right.columns]
            if not plain or "org" not in shared or left.tenant != "org":
                kind = "JOIN"
            else:
                sources.append(right)
                if kind == "NATURAL":
                    word = self.rng.choice(("NATURAL JOIN", "NATURAL LEFT JOIN"))
                    return f"{text} {word} {right_text}", roots
                using = ["org"] if not self.slips() else []
                using += ["id"] if "id" in shared and (not using or self.chance(0.5)) else []
                word = "FULL JOIN" if kind == "FULL USING" else self.rng.choice(
                    ("JOIN", "LEFT JOIN", "RIGHT JOIN"))  # fmt: skip
                if word == "FULL JOIN":
                    roots = [Source("", ("org",), "org")] if using else [*roots, right]
                elif word == "RIGHT JOIN":
                    roots = [right]
                return f"{text} {word} {right_text} USING ({', '.join(using or ['id'])})", roots
        parts = []
        linked = bool(left.org and right.org) and not self.slips()
        if left.table in ("gt", "k") and right.table == "g" and self.chance(0.5):
            # By a foreign key that holds the tenant, unless there is a null in it.
            linked = True
            parts.append(f"{left.alias}.gid = {right.alias}.id")
            if kind == "JOIN" and self.chance(0.6):  # the parent is restricted in its stead
                roots = [right if root == left else root for root in roots]
        elif linked:
            parts.append(self.link(left, right))
        elif left.org and right.org and self.chance(0.4):
            parts.append(self.rng.choice((
                f"{left.org}::boolean = {right.org}::boolean", f"{left.org} >= {right.org}",
                f"{left.org}::varchar(1) = {right.org}::varchar(1)",
                f"({left.org} = {right.org} OR {self.column([left, right])} = 1)",
            )))  # fmt: skip
        if right.table == "items" and not self.slips():
            parent = next((s for s in sources if s.table == "g"), None)
            if parent is None:
                parent = Source(self.name(), TABLES["g"], "org", "g")
                text += f" JOIN g {parent.alias} ON " + (
                    self.link(left, parent) if left.org else "true"
                )
                sources.append(parent)
                if not left.org:
                    roots = [*roots, parent]
            parts.append(f"{right.alias}.gid = {parent.alias}.id")
        if self.chance(0.6):
            parts.append(f"{left.alias}.{self.rng.choice(left.columns)} = "
                         f"{right.alias}.{self.rng.choice(right.columns)}")  # fmt: skip
        if self.chance(0.2):
            parts.append(self.condition([left, right], outer, depth + 1))
        if self.chance(0.2):
            side = self.rng.choice((left, right))
            parts.append(self.anchor([side], outer))
            # Enough in an inner join; ON does not restrict a side that is preserved.
            if self.chance(0.6):
                roots = [root for root in roots if root != side]
        self.rng.shuffle(parts)
        sources.append(right)
        if kind in (",", "CROSS JOIN"):
            extra = [] if right.tenant is None else [right]
            return f"{text}{kind if kind == ',' else ' CROSS JOIN'} {right_text}", roots + extra
        on = " AND ".join(parts) or "true"
        if kind in ("RIGHT JOIN",):
            roots = [right] if linked else [*roots, right]
        elif kind == "FULL JOIN" or not linked:
            roots = [*roots, right]
        return f"{text} {kind} {right_text} ON {on}", roots

    def link(self, left: Source, right: Source) -> str:
        a, b = self.rng.sample((left.org, right.org), 2)
        plain = [f"{a} = {b}"] * 6
        return self.rng.choice(
            [*plain, f"NOT ({a} <> {b})", f"({a} = {b}) IS TRUE", f"{a} IN ({b})",
             f"{a} = ANY (ARRAY[{b}])", f"({a}, {self.literal()}) = ({b}, {self.column([left])})",
             f"{a} IS NOT DISTINCT FROM {b}", f"{a} IN (SELECT {b})"]
        )  # fmt: skip
