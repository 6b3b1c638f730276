"""The seeded faults: name -> (function, text, what it becomes), or several of these."""

from __future__ import annotations

_Edit = tuple[str, str, str]

FAULTS: dict[str, _Edit | tuple[_Edit, ...]] = {
    # -- conditions --------------------------------------------------------------------------
    "OR as AND": (
        "operands.either",
        "ledger.close(known.both(left)).either(ledger.close(known.both(right)))",
        "ledger.close(known.both(left)).both(ledger.close(known.both(right)))",
    ),
    "OR believes its left side": (
        "operands.either",
        "ledger.close(known.both(left)).either(ledger.close(known.both(right)))",
        "ledger.close(known.both(left))",
    ),
    "a FALSE conjunction has two FALSE sides": (
        "predicates.when_false",
        "return either(block, when_false(block, node.this), when_false(block, node.expression))",
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
    "at least FALSE as greater": (
        "predicates._ordered",
        "if isinstance(node, exp.GT | exp.LT) == holds:",
        "if True:",
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
        "case exp.LT() | exp.LTE() | exp.GT() | exp.GTE():\n            return strict(block, node)",
        "case exp.LT() | exp.LTE() | exp.GT() | exp.GTE():\n"
        "            return _compare(block, node.this, node.expression)",
    ),
    "distinct as not distinct": (
        "predicates.when_true",
        "return _not_distinct(block, node, holds=False)",
        "return _not_distinct(block, node, holds=True)",
    ),
    "two that may be null both are equal": (
        "predicates._not_distinct",
        "if block.ledger.close(block.relation.facts.both(unknown)).impossible:",
        "if True:",
    ),
    "what is not distinct is equal, and not null": (
        "predicates._as_far_as",
        "facts = facts.both(guarded([frozenset((term,))], equal))",
        "facts = facts.both(equal)",
    ),
    "IN of two as equality": (
        "members.within",
        "_one_of(block, node.this, node.expressions, equal)",
        "_one_of(block, node.this, node.expressions[:1], equal)",
    ),
    "ANY of two as equality": (
        "members.equal_any",
        "_one_of(block, left, inner.expressions, equal)",
        "_one_of(block, left, inner.expressions[:1], equal)",
    ),
    "one of several as the last": (
        "members._one_of",
        "facts = either(block, facts, equal(block, left, member))",
        "facts = equal(block, left, member)",
    ),
    "ALL as ANY": (
        "predicates._equal",
        "return NOTHING",
        "return equal_any(block, left, right, _compare)",
    ),
    "equal to all of a subquery as to one": (
        "block.Block._sought",
        "exp.Any if isinstance(node, exp.EQ) else exp.All",
        "(exp.Any, exp.All)",
    ),
    "a subquery is looked through by another field": (
        "block.Block._sought",
        "zip(fields, output.columns, strict=True)",
        "zip(fields, output.columns[::-1], strict=True)",
    ),
    "a subquery is looked through for what is not null": (
        "block.Block._sought",
        "if not (self.never_null(one[0]) and output.facts.never_null(col.term)):",
        "if False:",
    ),
    "NOT IN as IN": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.In():\n            return within(block, node, _compare)\n        case exp.Not():",
    ),
    "what is in no subquery is not null": (
        "members.is_list",
        "return bool(node.expressions) and not any(others) and not is_query(node.expressions[0])",
        "return True",
    ),
    "NOT EXISTS as EXISTS": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.Exists():\n            return when_true(block, node)\n        case exp.Not():",
    ),
    "EXISTS of an aggregate is TRUE, whatever HAVING says": (
        "block.Block._always",
        "if having is not None and not",
        "if False and not",
    ),
    "EXISTS is TRUE": (
        "block.Block._always",
        "if clauses <= _OF_ONE_ROW and for_all and",
        "if clauses <= _OF_ONE_ROW and",
    ),
    "NOT BETWEEN as BETWEEN": (
        "predicates.when_false",
        "case exp.Not():",
        "case exp.Between():\n            return when_true(block, node)\n        case exp.Not():",
    ),
    "BETWEEN whatever as equality": (
        "members.between",
        " or low[0] != high[0]",
        "",
    ),
    "COALESCE of conditions is its first": (
        "predicates._choices",
        "            if passed.impossible:",
        "            if True:",
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
        "passed = passed.both(_other_than(block, condition, True))",
        "passed = passed.both(when_true(block, condition))",
    ),
    "a guard that is passed was FALSE": (
        "predicates._choices",
        "passed = passed.both(_other_than(block, condition, True))",
        "passed = passed.both(when_false(block, condition))",
    ),
    "after a guard no other is passed": (
        "predicates.chosen",
        "again = condition is not None and opened(condition) in passed",
        "again = condition is not None and bool(passed)",
    ),
    "after a guard nothing is TRUE": (
        "predicates.chosen",
        "truth and opened(value) in passed",
        "truth and passed",
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
        "return _other_than(block, operand, bool(tested.this))",
        "return when_true(block, operand)",
    ),
    "IS NULL as IS NOT NULL": (
        "predicates._tested",
        "if not holds:\n            return strict",
        "if True:\n            return strict",
    ),
    "IS NULL leaves no row": (
        "predicates._tested",
        "return _unknown(block, operand) if",
        "return IMPOSSIBLE if",
    ),
    "a disjunction that is not FALSE as a conjunction": (
        "predicates._other_than",
        "isinstance(node, exp.And) == value",
        "isinstance(node, exp.Or) == value",
    ),
    "a comparison is null by both its sides": (
        "predicates._unknown",
        "return either(block, _unknown(block, node.this), _unknown(block, node.expression))",
        "return _unknown(block, node.this).both(_unknown(block, node.expression))",
    ),
    "IS UNKNOWN as IS TRUE": (
        "predicates._tested",
        "return _unknown(block, operand) if",
        "return when_true(block, operand) if",
    ),
    "= false as = true": (
        "predicates._same_value",
        "when_false(block, left).both(when_false(block, right))",
        "IMPOSSIBLE",
    ),
    "<> true as = true": (
        "predicates._other_value",
        "        return either(",
        "        return _same_value(block, left, right) or either(",
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
        "operands.strict",
        "elif isinstance(node, _OF_ITS_FIRST):",
        "elif isinstance(node, (*_OF_ITS_FIRST, exp.Coalesce)):",
    ),
    "ALL of none null-rejects": (
        "operands.strict",
        " and not quantified(node)",
        "",
    ),
    "IS DISTINCT FROM null-rejects": (
        "operands.strict",
        "elif isinstance(node, _STRICT)",
        "elif isinstance(node, (*_STRICT, exp.NullSafeNEQ))",
    ),
    "IS NULL null-rejects": (
        "operands.strict",
        "elif isinstance(node, _OF_ITS_FIRST):",
        "elif isinstance(node, (*_OF_ITS_FIRST, exp.Is)):",
    ),
    "NULLIF is its first": (
        "block.Block.typed",
        "if isinstance(node, exp.Cast)",
        "if isinstance(node, exp.Nullif):\n        return self.typed(node.this)\n"
        "    if isinstance(node, exp.Cast)",
    ),
    "COALESCE is its first": (
        "block.Block.typed",
        "return first if self.never_null(first[0]) else None",
        "return first",
    ),
    "an aggregate with its schema belongs here": (
        "block.Block.qualified",
        "if is_aggregate(called):",
        "if False:",
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
    "what may be null is not": (
        "choices.column_of",
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
        "members._member",
        "zip(fields, output.columns, strict=True)",
        "zip(fields, output.columns[::-1], strict=True)",
    ),
    "ANY of a subquery, whatever the operator": (
        "predicates.when_true",
        "case exp.NullSafeEQ():",
        "case exp.GT() | exp.LT() if isinstance(node.expression, exp.Any):\n"
        "            return equal_any(block, node.this, node.expression, _compare)\n"
        "        case exp.NullSafeEQ():",
    ),
    "a negated ANY of a subquery as ANY": (
        "predicates._unequal",
        "return strict(block, node.this)",
        "return equal_any(block, node.this, node.expression, _compare)",
    ),
    "a contradiction of any two values": (
        "facts._contradicts",
        "if len(numbers) < 2 or all(term.alone is None for term in numbers):\n        return False",
        "if sum(isinstance(term, Const) for term in group) > 1:\n        return True",
    ),
    "letters that differ as numbers do": (
        "facts._contradicts",
        " or all(term.alone is None for term in numbers)",
        "",
    ),
    "a row of nulls is null": (
        "predicates._tested",
        "_unknown(block, operand) if _is_scalar(block, operand) else NOTHING",
        "_unknown(block, operand)",
    ),
    "two that are null carry for one another": (
        "relation.settle",
        "near if NULL not in near else frozenset()",
        "near",
    ),
    "a value that is cut is what it was": (
        "values._cast",
        "not to.expressions and ",
        "",
    ),
    "LIMIT of any number leaves no row": (
        "query._no_rows",
        ' and count.this == "0"',
        "",
    ),
    "IN of two VALUES as equality": (
        "members._listed",
        "[row.expressions[0] for row in rows]",
        "[row.expressions[0] for row in rows[:1]]",
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
    "each side of a full join has a row": (
        "facts.Facts.closed",
        "and (not guard.absent or guard.absent & facts.columns(NULL))",
        "",
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
    "brothers by a key with nulls": (
        "ledger._brothers",
        "frozenset(filled)",
        "frozenset()",
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
    "two keys that are null are one": (
        "facts.Facts._followed",
        "or not _has_value(self.classes[index], self.not_null)",
        "",
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
    "what is null is not": (
        "facts.Facts.never_null",
        "return _has_value(self.group(term), self.not_null)",
        "return len(self.group(term)) > 1 or term in self.not_null",
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
        "relation._full",
        "lambda new: new >= right.low and new not in ours",
        "lambda new: True",
    ),
    "a FULL JOIN's other side is told by its own columns": (
        "relation._full",
        "lambda new: new not in theirs and (left.low <= new < right.low or new in ours)",
        "lambda new: True",
    ),
    "ON restricts both sides of a FULL JOIN": (
        "relation.widen",
        "Standing(old.values, old.carriers | {new for new in settled.carriers if fits(new)})",
        "settled",
    ),
    "what ON says of a FULL JOIN's side bounds it": (
        "relation._full",
        "facts = facts.both(guarded([there], tie))",
        "facts = facts.both(tie)",
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
    "a subquery goes by all columns around it": (
        "block.Block.subquery",
        "[c for c in standing.carriers if NULL < c < output.low]",
        "range(1, output.low)",
    ),
    "any column carries as far as it is not null": (
        "relation.carry",
        "if facts.impossible or not near.isdisjoint(s.carriers)",
        "if True",
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
    "USING of a full join is null only where both are": (
        "relation._coalesced",
        "if left.facts.never_null(merge.left.term) and right.facts.never_null(merge.right.term):",
        "if left.facts.never_null(merge.left.term) or right.facts.never_null(merge.right.term):",
    ),
    "USING of a full join is both its columns": (
        "relation._coalesced",
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
        "levels.check_level",
        "if columns or queries:",
        "if False:",
    ),
    "an outer aggregate belongs here, by its subqueries": (
        "levels.check_level",
        "if columns or queries:",
        "if columns:",
    ),
    "an aggregate belongs to whoever may have the column": (
        "levels._is_of",
        "(found and known is not None)",
        "found",
    ),
    # -- grouping ----------------------------------------------------------------------------
    "an aggregate of nothing has no row": (
        "grouping.group",
        "block.relation = replace(relation, facts=facts, standings=standings)",
        "block.relation = replace(relation, standings=standings)",
    ),
    "HAVING a count asks for a row": (
        "grouping._asks_for_a_row",
        "return counts and int(right.this) >= (least or 0)",
        "return counts",
    ),
    "the greatest is any of its group": (
        "grouping._extremes",
        "if isinstance(term, Const) or term in keys:",
        "if True:",
    ),
    "the greatest of none is not null": (
        "grouping._extremes",
        "facts = facts.both(guarded([frozenset((column,))], equal))",
        "facts = facts.both(equal)",
    ),
    "grouping sets as one grouping": (
        "grouping.group",
        "if not sets:",
        "if True:",
    ),
    "grouping sets keep their facts": (
        "grouping.group",
        "facts = translate(relation.facts, {}, everywhere) if everywhere else NOTHING",
        "facts = relation.facts",
    ),
    "the empty grouping set has no row of nothing": (
        "grouping.group",
        "translate(relation.facts, {}, everywhere) if everywhere else NOTHING",
        "translate(relation.facts, {}, everywhere)",
    ),
    "a key of one grouping set is in all": (
        "grouping._in_every_set",
        "frozenset.intersection(*each) if each else frozenset()",
        "frozenset().union(*each)",
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
        "if alias_first or not block.local(name, key)[0]:",
        "if not block.local(name, key)[0]:",
    ),
    "an output column has a name only if it is given one": (
        "labels.may_be",
        "names = _figured(item)[0]",
        "names = _figured(item)[0] if isinstance(item, exp.Alias | exp.Column) else frozenset()",
    ),
    "DISTINCT ON calls no aggregate": (
        "grouping._parts",
        "*keys_of_distinct_on(node), ",
        "",
    ),
    "a window that nobody uses calls no aggregate": (
        "grouping._parts",
        ", *windows]",
        "]",
    ),
    "a window in DISTINCT ON is not looked at": (
        "grouping.windows",
        ", *keys_on)",
        ")",
    ),
    "the row of an aggregate is one, whatever is made of it": (
        "block.Block._always",
        " and not any(map(may_give_rows, shown))",
        "",
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
    "the least so far of what ascends": (
        "grouping._comes_last",
        "down == isinstance(window.this, exp.Min)",
        "True",
    ),
    "the greatest so far of nulls": (
        "grouping._comes_last",
        " or not block.never_null(term)",
        "",
    ),
    "a frame is never empty": (
        "grouping._is_extreme",
        ' or window.args.get("spec")',
        "",
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
        "            block.relation = replace(block.relation, standings=standings)",
        "            block.relation = replace(block.relation, standings=standings)\n"
        "            return",
    ),
    "a window in ORDER BY is not looked at": (
        "grouping.windows",
        "(*node.expressions, *((order,) if order else ()), *keys_on)",
        "(*node.expressions, *keys_on)",
    ),
    "a window in DISTINCT ON's order chooses not": (
        "grouping._chooses_not",
        "return all(isinstance(term, Const) or term in terms for term in used)",
        "return True",
    ),
    "DISTINCT ON is not looked at": (
        "grouping.distinct_on",
        "if not keys:",
        "if True:",
    ),
    "DISTINCT ON keeps all carriers": (
        "grouping.distinct_on",
        'standings = narrow(block, terms, "its tenant column is not among the DISTINCT ON keys")',
        "standings = block.relation.standings",
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
        "column = Col(name, self.ledger.column(), position_family(column, field_))",
        "pass",
    ),
    "VALUES is a value, by its first row": (
        "values._bare",
        "[len(r.expressions) for r in node.expressions] == [1]",
        "True",
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
    "a write that nothing reads is not run": (
        "ctes._common_table",
        "reader.ledger.settle_for_good(written.standings)",
        "reader.ledger.settle_for_good(settle(written.standings, Facts(impossible=True)))",
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
    "a row of a set-returning function is there": (
        "targets._one_row",
        "return fields if all(_is_plain(block, field) for field in fields) else None",
        "return fields",
    ),
    "a row of constants is there, whatever WHERE says": (
        "targets._one_row",
        'clauses != {"expressions"}',
        "False",
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
    "RETURNING knows one row for all": (
        "inserts._written",
        "frozenset.intersection(",
        "frozenset().union(",
    ),
    "what an upsert returns was inserted": (
        "inserts.insert",
        "        rows = []\n",
        "",
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
    "a WHEN that no row of the source decides about does nothing": (
        "merges._clause",
        'reaches_none = pairs.impossible if clause.args.get("matched") else facts.impossible',
        "reaches_none = of_source.impossible",
    ),
    "what a generated tenant is made of may be written": (
        "targets.kept_tenant",
        "if table.tenant_column in made:",
        "if False:",
    ),
    "RETURNING shows what was generated before": (
        "writes._rewritten",
        "if col.name in made:",
        "if False:",
    ),
    "a materialized view is this tenant's": (
        "block.Block.fixed",
        "self.env.snapshot and ",
        "False and ",
    ),
    "a materialized view is of today": (
        "ledger.Ledger.open_instance",
        " if i.snapshot == snapshot",
        "",
    ),
    "a parent in a materialized view is of today": (
        "targets.parent_tenant",
        " or other.snapshot",
        "",
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
        'by_source = not clause.args.get("matched") and bool(clause.args.get("source"))',
        "by_source = False",
    ),
    "NOT MATCHED BY SOURCE deletes nothing": (
        "merges.merge",
        "if keeps.acts:",
        'if keeps.acts and isinstance(clause.args["then"], exp.Update | exp.Insert):',
    ),
    "MERGE inserts what it likes": (
        "merges._clause",
        "kept = inserted if pairs.impossible else kept & inserted",
        "pass",
    ),
    "MERGE's insert looks at no other's rows": (
        "merges._clause",
        "kept = inserted if pairs.impossible else kept & inserted",
        "kept = inserted",
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
        "if keeps.acts:",
        "if keeps.acts and not kept:",
    ),
    "one WHEN of several bounds the source": (
        "merges._by_clause",
        "frozenset.intersection(",
        "frozenset().union(",
    ),
    "MERGE's insert knows ON": (
        "merges.merge",
        "block, facts = reader.block(env, low), source.facts",
        "block, facts = reader.block(env, low), matched",
    ),
    # -- what the parser does not say --------------------------------------------------------
    "a keyword is the column of its name": (
        "block.Block.is_keyword",
        "return alone and name_of(column.this) in _KEYWORD_VALUES",
        "return False",
    ),
    "a field of a row is its first": (
        "block.Block.field",
        "[col for col in entry.columns if col.name == name]",
        "list(entry.columns[:1])",
    ),
    "ORDER BY around a query makes no row of all": (
        "query.StatementReader._check_ends",
        "not all(map(_is_plain, order.expressions))",
        "not order.expressions",
    ),
    "the name of merged columns is not looked for": (
        "rewrite._refuse_used",
        "for token in tokens) > 1",
        "for token in tokens) > 9",
    ),
    "the parser keeps every argument": (
        "arguments.drops",
        "return _may_drop(name) and",
        "return not name and",
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
