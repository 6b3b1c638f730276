"""The rules beside the proof, put to statements and to scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lint.declared import Sources
from lint.rule import Problem, Rule, Seen
from lint.rules import all_rules
from lint.schema.catalog import Catalog
from lint.schema.ddl_reader import DDL_WORDS, read_script
from lint.text.lexer import Token
from lint.text.lexer import statements as cut
from lint.value import value
from lint.verdicts import Verdict

_NAMES = ("word", "quoted")
# Rails leaves out pg_dump's heading, and keeps the line by which it empties the search path.
_DUMP = ("PostgreSQL database dump", "SELECT pg_catalog.set_config('search_path', '', false);")


@value
class Fault:
    """What a rule found."""

    code: str
    problem: Problem


class Checks:
    """Rules, over one catalog and one set of tenant sources. Thread-safe."""

    def __init__(
        self, catalog: Catalog, sources: Sources, rules: Sequence[Rule] | None = None
    ) -> None:
        known = all_rules() if rules is None else rules
        self._catalog = catalog
        self._settings = _settings_in(sources)
        self._tenant_columns = _tenant_columns(catalog)
        self._of_statements = [rule for rule in known if rule.check is not None]
        self._of_scripts = [rule for rule in known if rule.check_script is not None]

    def of_statement(
        self, tokens: tuple[Token, ...], verdict: Verdict, *, dump: bool = False, ran: bool = False
    ) -> Iterator[Fault]:
        """What the rules of single statements find in one."""
        if not tokens:
            return
        said = {token.word or token.value.upper() for token in tokens if token.kind in _NAMES}
        seen = Seen(tokens, verdict, self._catalog, self._settings, dump, ran)
        for rule in self._of_statements:
            if rule.check is not None and not (rule.words and rule.words.isdisjoint(said)):
                for problem in rule.check(seen):
                    yield Fault(rule.code, problem)

    def of_script(
        self, statements: Sequence[tuple[Token, ...]], parts: Sequence[str | None] = ()
    ) -> Iterator[Fault]:
        """What the rules of the schema find in the statements of one file, by their parts."""
        if not any(tokens and tokens[0].word in DDL_WORDS for tokens in statements):
            return
        script = read_script(statements, self._catalog, self._tenant_columns, parts)
        for rule in self._of_scripts:
            if rule.check_script is not None:
                for problem in rule.check_script(script):
                    yield Fault(rule.code, problem)


def is_dump(text: str) -> bool:
    """Whether a script is pg_dump's."""
    return any(said in text[:1000] for said in _DUMP)


def _settings_in(sources: Sources) -> frozenset[str]:
    """The settings that declared sources read, by `current_setting('name')`."""
    found = set()
    for expression in sources.expressions:
        for raw in cut(expression, psql=False):
            for before, token in zip(raw.tokens, raw.tokens[1:], strict=False):
                if before.text == "(" and token.kind == "string":
                    found.add(token.value.lower())
    return frozenset(found)


def _tenant_columns(catalog: Catalog) -> tuple[str, ...]:
    """The names of tenant columns, the commonest first; of the tenants table none."""
    counted: Counter[str] = Counter()
    for table in catalog.tables:
        column = table.tenant_column
        if column is not None and not any(key.columns == (column,) for key in table.keys):
            counted[column] += 1
    return tuple(name for name, _ in counted.most_common()) or ("tenant_id",)
