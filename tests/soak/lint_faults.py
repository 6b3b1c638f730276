"""The seeded faults: name -> (function, text, what it becomes), or several of these."""

from __future__ import annotations

_Edit = tuple[str, str, str]

FAULTS: dict[str, _Edit | tuple[_Edit, ...]] = {
    # -- conditions --------------------------------------------------------------------------
    "OR as AND": (
        "predicates._either",
        "ledger.close(known.both(left)).either(ledger.close(known.both(right)))",
        "ledger.close(known.both(left)).both(ledger.close(known.both(right)))",
    ),
    "OR believes its left side": (
        "predicates._either",
        "ledger.close(known.both(left)).either(ledger.close(known.both(right)))",
        "ledger.close(known.both(left))",
    ),
    "a FALSE conjunction has two FALSE sides": (
        "predicates.when_false",
        "return _either(block, when_false(block, node.this), when_false(block, node.expression))",
        "return when_false(block, node.this).both(when_false(block, node.expression))",
    ),
    "NOT is not looked at": (
        "predicates.when_true",
        "return when_false(block, node.this)",
        "return when_true(block, node.this)",
    ),
    "NOT below NOT is not looked at": (
        "predicates.when_false",
        "case exp.Not():\n            return when_true(block, node.this)",
        "case exp.Not():\n            return when_false(block, node.this)",
    ),
    "TRUE holds of no row": (
        "predicates.when_true",
        "return NOTHING if node.this else IMPOSSIBLE",
        "return IMPOSSIBLE",
    ),
    "FALSE is never FALSE": (
        "predicates.when_false",
        "return IMPOSSIBLE if node.this else NOTHING",
        "return IMPOSSIBLE",
    ),
    "unequal as equal": (
        "predicates.when_true",
        "return _unequal(block, node)",
        "return _compare(block, node.this, node.expression)",
    ),
    "at least as equal": (
        "predicates.when_true",
        "case exp.NullSafeEQ():",
        "case exp.GTE():\n            return _compare(block, node.this, node.expression)\n"
        "        case exp.NullSafeEQ():",
    ),
    "at most as equal": (
        "predicates.when_true",
        "case exp.NullSafeEQ():",
        "case exp.LTE():\n            return _compare(block, node.this, node.expression)\n"
        "        case exp.NullSafeEQ():",
    ),
    "not less as equal": (
        "predicates.when_false",
        "case exp.NullSafeNEQ():",
        "case exp.LT():\n            return _compare(block, node.this, node.expression)\n"
        "        case exp.NullSafeNEQ():",
    ),
    "a comparison that is FALSE as equality": (
        "predicates.when_false",
        "return _other_value(block, node)",
        "return _same_value(block, node.this, node.expression)",
    ),
    "an order that is FALSE as equality": (
        "predicates.when_false",
        "return not_null(strict_columns(block, node))",
        "return _compare(block, node.this, node.expression)",
    ),
    "distinct as not distinct": (
        "predicates.when_true",
        "return _not_distinct(block, node, holds=False)",
        "return _not_distinct(block, node, holds=True)",
    ),
    "conditions that may be null are told apart": (
        "predicates._not_distinct",
        "if not (decided(block, left) and decided(block, right)):",
        "if False:",
    ),
    "IN of two as equality": (
        "predicates._in",
        "_one_of(block, node.this, node.expressions)",
        "_one_of(block, node.this, node.expressions[:1])",
    ),
    "ANY of two as equality": (
        "predicates._equal_any",
        "_one_of(block, left, inner.expressions)",
        "_one_of(block, left, inner.expressions[:1])",
    ),
    "one of several as the last": (
        "predicates._one_of",
        "facts = _either(block, facts, _compare(block, left, member))",
        "facts = _compare(block, left, member)",
    ),
    "ALL as ANY": (
        "predicates._equal",
        "return NOTHING",
        "return _equal_any(block, left, right)",
    ),
    "NOT IN as IN": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.In():\n            return _in(block, node)\n        case exp.Not():",
    ),
    "NOT EXISTS as EXISTS": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.Exists():\n            return when_true(block, node)\n        case exp.Not():",
    ),
    "NOT BETWEEN as BETWEEN": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.Between():\n            return when_true(block, node)\n        case exp.Not():",
    ),
    "BETWEEN whatever as equality": (
        "predicates._between",
        " or low[0] != high[0]",
        "",
    ),
    "COALESCE of conditions is its first": (
        "predicates._choices",
        "            if decided(block, part):\n                return",
        "            return",
    ),
    "CASE without its ELSE": (
        "predicates._choices",
        'if node.args.get("default") is not None:',
        "if False:",
    ),
    "CASE is its first branch": (
        "predicates._choices",
        'for branch in node.args["ifs"]:',
        'for branch in node.args["ifs"][:1]:',
    ),
    "CASE believes all its guards": (
        "predicates._choices",
        "passed = passed.both(when_false(block, condition))",
        "passed = passed.both(when_true(block, condition))",
    ),
    "a guard that is passed was FALSE": (
        "predicates._choices",
        "if node.this is None and decided(block, condition):",
        "if node.this is None:",
    ),
    "a CASE that is FALSE as one that is TRUE": (
        "predicates.when_false",
        "lambda value: when_false(block, value)",
        "lambda value: when_true(block, value)",
    ),
    "IS NOT FALSE as IS TRUE": (
        "operands.decided",
        "return side is not None and block.never_null(side[0])",
        "return True",
    ),
    "the operand of IS is never null": (
        "block.Block.never_null",
        "    self.doubted = True\n    return False",
        "    return True",
    ),
    "IS FALSE as IS TRUE": (
        "predicates._tested",
        "return when_true(block, operand) if tested.this else when_false(block, operand)",
        "return when_true(block, operand)",
    ),
    "IS NOT TRUE as IS TRUE": (
        "predicates._tested",
        "return when_false(block, operand) if tested.this else when_true(block, operand)",
        "return when_true(block, operand)",
    ),
    "IS NULL as IS NOT NULL": (
        "predicates._tested",
        "if not holds:\n        if isinstance(tested, exp.Null):",
        "if not holds or isinstance(tested, exp.Null):\n        if isinstance(tested, exp.Null):",
    ),
    "IS NULL leaves no row": (
        "predicates._tested",
        "isinstance(tested, exp.Null) and decided(block, operand)",
        "isinstance(tested, exp.Null)",
    ),
    "IS UNKNOWN as IS TRUE": (
        "predicates._tested",
        "return IMPOSSIBLE if isinstance(tested, exp.Null) and",
        "return when_true(block, operand) if True or",
    ),
    "= false as = true": (
        "predicates._same_value",
        "when_false(block, left).both(when_false(block, right))",
        "IMPOSSIBLE",
    ),
    "<> true as = true": (
        "predicates._other_value",
        "        return _either(",
        "        return _same_value(block, left, right) or _either(",
    ),
    "two columns are one value": (
        "operands.one_value",
        "left[0] == right[0]",
        "True",
    ),
    "of two other conditions the first is TRUE": (
        "predicates._other_value",
        "when_false(block, left).both(when_true(block, right))",
        "IMPOSSIBLE",
    ),
    "COALESCE null-rejects": (
        "operands.strict_columns",
        "if isinstance(node, _STRICT)",
        "if isinstance(node, exp.Coalesce):\n        return strict_columns(block, node.this)\n"
        "    if isinstance(node, _STRICT)",
    ),
    "IS DISTINCT FROM null-rejects": (
        "operands.strict_columns",
        "if isinstance(node, _STRICT)",
        "if isinstance(node, (*_STRICT, exp.NullSafeNEQ))",
    ),
    "IS NULL null-rejects": (
        "operands.strict_columns",
        "exp.Paren | exp.Cast | exp.Neg",
        "exp.Paren | exp.Cast | exp.Neg | exp.Is",
    ),
    "NULLIF is its first": (
        "block.Block.typed",
        "if isinstance(node, exp.Cast)",
        "if isinstance(node, exp.Nullif):\n        return self.typed(node.this)\n"
        "    if isinstance(node, exp.Cast)",
    ),
    "COALESCE is its first": (
        "block.Block.typed",
        "return first if first is not None and self.never_null(first[0]) else None",
        "return first",
    ),
    "arithmetic is its left side": (
        "block.Block.typed",
        "if isinstance(node, exp.Cast)",
        "if isinstance(node, exp.Add | exp.Mul):\n        return self.typed(node.this)\n"
        "    if isinstance(node, exp.Cast)",
    ),
    "CASE is its first value": (
        "block.Block.typed",
        "if isinstance(node, exp.Cast)",
        "if isinstance(node, exp.Case):\n"
        '        return self.typed(node.args["ifs"][0].args["true"])\n'
        "    if isinstance(node, exp.Cast)",
    ),
    "a scalar subquery always has a row": (
        "block.Block._scalar",
        "output.columns[0].under(self.ledger.column())",
        "output.columns[0]",
    ),
    "what a scalar subquery finds holds without a row": (
        "projection._output_column",
        "guarded([frozenset((typed[0],))], found)",
        "found",
    ),
    "a cast that cuts keeps values apart": (
        "values.cast_family",
        "        return None\n    goal",
        '        return "text"\n    goal',
    ),
    "a cast to boolean keeps values apart": (
        "values.cast_family",
        "if target.expressions:",
        'if target.this == exp.DataType.Type.BOOLEAN:\n        return "integer"\n'
        "    if target.expressions:",
    ),
    "row equality by any field": (
        "predicates._compare",
        "zip(left_parts, right_parts, strict=True)",
        "zip(left_parts, right_parts[::-1], strict=True)",
    ),
    "the row of a subquery by any field": (
        "predicates._member",
        "zip(fields, output.columns, strict=True)",
        "zip(fields, output.columns[::-1], strict=True)",
    ),
    "ANY of a subquery, whatever the operator": (
        "predicates.when_true",
        "case exp.NullSafeEQ():",
        "case exp.GT() | exp.LT() if isinstance(node.expression, exp.Any):\n"
        "            return _equal_any(block, node.this, node.expression)\n"
        "        case exp.NullSafeEQ():",
    ),
    "a negated ANY of a subquery as ANY": (
        "predicates._unequal",
        "return NOTHING if quantified(node) else",
        "return _equal_any(block, node.this, node.expression) if quantified(node) else",
    ),
    "a contradiction of any two values": (
        "facts._contradicts",
        "return len(numbers) > 1 and len({int(n) for n in numbers if n.isdecimal()}) > 1",
        "return sum(isinstance(term, Const) for term in group) > 1",
    ),
    "LIMIT of any number leaves no row": (
        "query._no_rows",
        ' and count.this == "0"',
        "",
    ),
    "IN of two VALUES as equality": (
        "query.StatementReader.values",
        "terms.add(typed[0] if typed else None)",
        "terms = {typed[0]} if typed else {None}",
    ),
    # -- facts -------------------------------------------------------------------------------
    "either of two facts": (
        "facts.Facts.either",
        "tuple(frozenset(group) for group in common.values() if len(group) > 1)",
        "_merge([*self.classes, *other.classes])",
    ),
    "not null if one of them is": (
        "facts.Facts.either",
        "self.not_null & other.not_null",
        "self.not_null | other.not_null",
    ),
    "guards open by themselves": (
        "facts.Facts.closed",
        "if all(witness & facts.not_null for witness in guard.witnesses)",
        "if True",
    ),
    "a guard opens by one witness": (
        "facts.Facts.closed",
        "if all(witness",
        "if any(witness",
    ),
    "a dependency by its last column": (
        "facts.Facts._followed",
        "for left, right in rule.premises:",
        "for left, right in rule.premises[-1:]:",
    ),
    "a foreign key with nulls": (
        "ledger._followed",
        "filled = frozenset(child.columns[name] for name in others)",
        "filled: frozenset[int] = frozenset()",
    ),
    "a unique key of one column out of two": (
        "ledger._rules",
        "for c in key.columns)",
        "for c in key.columns[1:])",
    ),
    "a unique key with nulls determines a row": (
        "ledger._ways",
        "if set(key.columns) <= filled:",
        "if True:",
    ),
    "a part of a unique key determines a row": (
        "ledger.Ledger.determined",
        "if given <= found",
        "if given & found",
    ),
    "a child's tenant is any parent's": (
        "ledger._rules",
        "for premises in _premises(child, parent, through):",
        "for premises in [(), *_premises(child, parent, through)]:",
    ),
    "two readings of a table are one row": (
        "ledger._rules",
        "    for foreign_key",
        "    if same and child.tenant is not None and parent.tenant is not None:\n"
        "        rules.append(Rule((), ((child.tenant, parent.tenant),)))\n    for foreign_key",
    ),
    "nullable as not null": (
        "from_items._columns",
        "for c in table.columns if not c.nullable",
        "for c in table.columns",
    ),
    # -- joins -------------------------------------------------------------------------------
    "LEFT JOIN as JOIN": (
        "relation.join",
        "condition = on",
        'side = {"LEFT": ""}.get(side, side)\n    condition = on',
    ),
    "RIGHT JOIN as JOIN": (
        "relation.join",
        "condition = on",
        'side = {"RIGHT": ""}.get(side, side)\n    condition = on',
    ),
    "FULL JOIN as JOIN": (
        "relation.join",
        "condition = on",
        'side = {"FULL": ""}.get(side, side)\n    condition = on',
    ),
    "FULL JOIN as LEFT JOIN": (
        "relation.join",
        "condition = on",
        'side = {"FULL": "LEFT"}.get(side, side)\n    condition = on',
    ),
    "FULL JOIN as RIGHT JOIN": (
        "relation.join",
        "condition = on",
        'side = {"FULL": "RIGHT"}.get(side, side)\n    condition = on',
    ),
    "RIGHT JOIN as LEFT JOIN": (
        "relation.join",
        "condition = on",
        'side = {"RIGHT": "LEFT"}.get(side, side)\n    condition = on',
    ),
    "ON restricts the preserved side": (
        "relation.join",
        "**kept.standings,",
        "**settle(kept.standings, matched),",
    ),
    "a FULL JOIN's side is told by its own columns": (
        "relation.join",
        "lambda new: new >= right.low",
        "lambda new: True",
    ),
    "a FULL JOIN's other side is told by its own columns": (
        "relation.join",
        "lambda new: left.low <= new < right.low",
        "lambda new: True",
    ),
    "ON restricts both sides of a FULL JOIN": (
        "relation.widen",
        "Standing(old.values, old.carriers | {new for new in settled.carriers if fits(new)})",
        "settled",
    ),
    "ON holds of rows without a partner": (
        "relation.join",
        "facts = facts.both(guarded(witnesses, condition))",
        "facts = facts.both(condition)",
    ),
    "a filled side keeps its facts": (
        "relation.join",
        "facts = facts.both(guarded([witness], ties))",
        "facts = facts.both(ties)",
    ),
    "a constant of a filled side is never null": (
        "relation.nullable",
        "if isinstance(col.term, int) and col.term >= relation.low:",
        "if True:",
    ),
    "USING of a full join carries all": (
        "relation.join",
        "if own[occurrence] in s.carriers",
        "if True",
    ),
    "USING of a full join is both its columns": (
        "relation.join",
        "facts = facts.both(guarded([frozenset((one.term,))], tie))",
        "facts = facts.both(tie)",
    ),
    "a comma joins as NATURAL does": (
        "from_items.item",
        "done, current = left, item(reader, part.this, env, lateral)",
        "right = item(reader, part.this, env, lateral)\n"
        "            both = [c.name for c in left.visible if c.name == 'org']\n"
        "            both = both if [c.name for c in right.visible].count('org') == 1"
        " and len(both) == 1 else []\n"
        "            done, current = left, replace(right, facts=right.facts.both(\n"
        "                *(Facts((frozenset((m.left.term, m.right.term)),))"
        " for m in merges(left, right, both))))",
    ),
    "a column list is not looked at": (
        "from_items._renamed",
        "replace(col, name=names[index]) if index < len(names) else col",
        "col",
    ),
    "a CTE's column list is not looked at": (
        "ctes.renamed",
        "replace(col, name=names[index]) if index < len(names) else col",
        "col",
    ),
    "a table goes before a CTE of its name": (
        "from_items._named",
        "if schema is None and name in env.tables:",
        "if schema is None and name in env.tables"
        " and reader.views.catalog.find(schema, name) is None:",
    ),
    # -- names -------------------------------------------------------------------------------
    "names mean the outermost level": (
        "block.Block.resolve",
        "for level in (self, *reversed(self.env.outers)):\n        found, hit",
        "for level in (*self.env.outers, self):\n        found, hit",
    ),
    "names mean the next level but one": (
        "block.Block.resolve",
        "for level in (self, *reversed(self.env.outers)):\n        found, hit",
        "for level in (self, *self.env.outers):\n        found, hit",
    ),
    "an outer aggregate belongs here": (
        "block.Block._belongs_here",
        "if columns and not",
        "if False and columns and not",
    ),
    # -- grouping ----------------------------------------------------------------------------
    "an aggregate of nothing has no row": (
        "grouping.group",
        "block.relation = replace(relation, facts=NOTHING, standings=standings)",
        "block.relation = replace(relation, standings=standings)",
    ),
    "grouping sets as one grouping": (
        "grouping.group",
        "if not sets:",
        "if True:",
    ),
    "grouping sets keep their facts": (
        "grouping.group",
        "visible, NOTHING, standings, relation.low)",
        "visible, relation.facts, standings, relation.low)",
    ),
    "ROLLUP as GROUP BY": (
        "grouping._group_keys",
        "sets = True",
        "sets = isinstance(item, exp.Cube | exp.GroupingSets)",
    ),
    "GROUPING SETS as GROUP BY": (
        "grouping._group_keys",
        "sets = True",
        "sets = isinstance(item, exp.Cube | exp.Rollup)",
    ),
    "DISTINCT ON a name means the input": (
        "grouping._key",
        "if aliased and (alias_first or not here):",
        "if aliased and not here:",
    ),
    "a position is counted from zero": (
        "grouping._key",
        "index = int(key.this) - 1 if",
        "index = int(key.this) % len(node.expressions) if",
    ),
    "HAVING alone does not group": (
        "grouping.is_grouped",
        'node.args.get("group") or node.args.get("having")',
        'node.args.get("group")',
    ),
    "an aggregate alone does not group": (
        "grouping.is_grouped",
        "return any(has_aggregate",
        "return False and any(has_aggregate",
    ),
    "windows are not looked at": (
        "grouping.windows",
        "if not isinstance(window, exp.Window):",
        "if True:",
    ),
    "a window's order divides it": (
        "grouping._partition",
        'yield from window.args.get("partition_by") or ()',
        'yield from window.args.get("partition_by") or ()\n'
        '    for key in (window.args["order"].expressions if window.args.get("order") else ()):\n'
        "        yield key.this",
    ),
    "only the first window is looked at": (
        "grouping.windows",
        "            block.relation = replace(relation, standings=standings)",
        "            block.relation = replace(relation, standings=standings)\n            return",
    ),
    "a window in ORDER BY is not looked at": (
        "grouping.windows",
        "(*node.expressions, *((order,) if order else ()))",
        "node.expressions",
    ),
    "DISTINCT ON is not looked at": (
        "grouping.distinct_on",
        "if on is None:",
        "if True:",
    ),
    "DISTINCT ON keeps all carriers": (
        "grouping.distinct_on",
        "carrier < block.low or carrier in terms",
        "True",
    ),
    # -- queries -----------------------------------------------------------------------------
    "LIMIT keeps its carriers": (
        "query.StatementReader._cut",
        'if not node.args.get("limit") and not node.args.get("offset"):',
        "if True:",
    ),
    "OFFSET keeps its carriers": (
        "query.StatementReader._cut",
        'if not node.args.get("limit") and not node.args.get("offset"):',
        'if not node.args.get("limit"):',
    ),
    "LIMIT of a combined query keeps its carriers": (
        "query.StatementReader._cut",
        'if not node.args.get("limit") and not node.args.get("offset"):',
        "if not isinstance(node, exp.Select) or not"
        ' (node.args.get("limit") or node.args.get("offset")):',
    ),
    "VALUES is its first row": (
        "query.StatementReader.values",
        "next(iter(terms)) if len(terms) == 1 else None",
        "next(iter(terms))",
    ),
    "UNION as INTERSECT": (
        "setops.combine",
        "of_left.either(of_right)",
        "of_left.both(of_right)",
    ),
    "UNION is its first arm": (
        "setops.combine",
        "of_left.either(of_right)",
        "of_left",
    ),
    "EXCEPT knows what its right arm does": (
        "setops.combine",
        "        facts = of_left\n",
        "        facts = of_left.both(of_right)\n",
    ),
    "a combined query is the left arm's constant": (
        "setops.combine",
        "both_fixed = isinstance(one.term, Const) and one.term == other.term",
        "both_fixed = isinstance(one.term, Const)",
    ),
    "a combined query meets in any order": (
        "setops.combine",
        "carried(right, targets, low)",
        "carried(right, targets[::-1], low)",
    ),
    "facts of a combined query in any order": (
        "setops.combine",
        "by_position(right, targets, low)",
        "by_position(right, targets[::-1], low)",
    ),
    # -- CTEs --------------------------------------------------------------------------------
    "a CTE is read once": (
        "ctes._common_table",
        "table = CommonTable(name, lambda: renamed(reader.query(body, nested), columns))",
        "once = renamed(reader.query(body, nested), columns)\n"
        "        table = CommonTable(name, lambda: once)",
    ),
    "recursion keeps all carriers": (
        "ctes._result",
        "family is not None and other.term in standing.carriers",
        "True",
    ),
    "recursion is its base": (
        "ctes.recursion",
        "held = assumed.either(ledger.close(by_position(step, positions, low)))",
        "held = assumed",
    ),
    "a step's tables are those of the base": (
        "ctes._result",
        "**carried(step, carrying, low)}",
        "**carried(step, positions, low)}",
    ),
    "a write is bounded by what encloses it": (
        (
            "ctes._common_table",
            "renamed(_copy(reader, written), columns)",
            "renamed(written, columns)",
        ),
        ("targets.returning", "Standing(standing.values) for", "standing for"),
    ),
    "two references to a write are one row": (
        "ctes._copy",
        "targets = [reader.ledger.column() for _ in output.columns]",
        "targets = [c.term if isinstance(c.term, int) else 0 for c in output.columns]",
    ),
    # -- writes ------------------------------------------------------------------------------
    "UPDATE may assign the tenant": (
        "writes._update",
        "kept, why = kept_tenant(block, table, written)",
        "kept, why = None, ''",
    ),
    "DO UPDATE may assign the tenant": (
        "inserts._upsert",
        "kept, why = kept_tenant(block, table, written)",
        "kept, why = None, ''",
    ),
    "MERGE may assign the tenant": (
        "merges._clause",
        "left, why = kept_tenant(block, table, written)",
        "left, why = None, ''",
    ),
    "RETURNING sees the old row": (
        "writes._rewritten",
        "if col.name in written:",
        "if False:",
    ),
    "RETURNING knows any new value": (
        "writes._rewritten",
        "if typed is not None and same_family(col, Col(None, *typed)):",
        "typed = typed or (col.term, None)\n            if True:",
    ),
    "RETURNING's subqueries are not looked at": (
        "targets.returning",
        "**settle(block.take(), facts)}",
        "**{n: Standing(facts.values(t) or frozenset(v for s in settled.values()"
        " for v in s.values)) for n, t in ((n, 0) for n in block.take())}}",
    ),
    "one written row tells for all": (
        "inserts.written_tenant",
        "values if found is None else found & values",
        "values if found is None else found | values",
    ),
    "a tenant that is left out is the current one": (
        "targets.default_of",
        "        return frozenset()\n    try",
        "        return frozenset((SOURCE,))\n    try",
    ),
    "any parent will do": (
        "targets.parent_tenant",
        "(term := terms.get(own)) is not None and facts.equal(term, other.columns[theirs])",
        "True",
    ),
    "a child may be put under whatever it names": (
        "targets.kept_tenant",
        'return values, "the column that names its parent is changed"',
        "return None, ''",
    ),
    "any arbiter will do": (
        "inserts._arbiter",
        "    return names",
        "    return [*names, *([table.tenant_column] if table.tenant_column else [])]",
    ),
    "the row in conflict is nobody's": (
        "inserts._upsert",
        "    return values & reached",
        "    return values & kept if kept is not None else values",
    ),
    "DO UPDATE's subqueries are bounded by nothing": (
        "inserts._upsert",
        "block.pending = settle(block.take(), facts)",
        "block.pending = {n: Standing(values) for n in block.take()}",
    ),
    "an inserted constant for any tenant": (
        "inserts._tenant_of_row",
        "return frozenset() if term is None else values_of(term, row.facts)",
        "return frozenset((SOURCE,)) if term is None else values_of(term, row.facts)",
    ),
    "MERGE's ON restricts the source": (
        "merges.merge",
        "source.standings if keeps_source else settle(source.standings, matched)",
        "settle(source.standings, matched)",
    ),
    "NOT MATCHED BY SOURCE keeps to ON": (
        "merges._clause",
        'if not clause.args.get("matched") and clause.args.get("source"):',
        "if False:",
    ),
    "NOT MATCHED BY SOURCE deletes nothing": (
        "merges._clause",
        "if _does_nothing(clause):",
        'if not isinstance(clause.args["then"], exp.Update):',
    ),
    "MERGE inserts what it likes": (
        "merges._clause",
        "        kept &= inserted",
        "        pass",
    ),
    "MERGE's WHEN restricts the target": (
        "merges.merge",
        'on = when_true(both, node.args["on"])',
        'on = when_true(both, node.args["on"]).both(*(\n'
        '        when_true(both, c.args["condition"]) for c in clauses\n'
        '        if c.args.get("condition") is not None and c.args.get("matched")\n'
        "    ))",
    ),
    "one WHEN of several will do": (
        "merges.merge",
        "if not _does_nothing(clause):",
        "if not _does_nothing(clause) and not kept:",
    ),
    "MERGE's insert knows ON": (
        "merges.merge",
        "block, facts = reader.block(env, low), source.facts",
        "block, facts = reader.block(env, low), matched",
    ),
    # -- verdicts ----------------------------------------------------------------------------
    "any tenant will do": (
        "prover._judge",
        "if tenant is not None and tenant in standing.values:",
        "if tenant is not None and standing.values:",
    ),
    "all numbers are one value": (
        "values._literal",
        'return Const("parameter", f"{kind}:{text}", shown, None, True, alone)',
        'return Const("parameter", kind, shown, None, True, alone)',
    ),
    "a literal is the source": (
        "values._literal",
        'return Const("parameter", f"{kind}:{text}", shown, None, True, alone)',
        'return Const("source", "source", shown, None, True, alone)',
    ),
}
