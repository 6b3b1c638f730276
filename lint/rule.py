"""What a rule is, and what it is given to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from lint.schema.catalog import Catalog
from lint.schema.ddl_script import Place, Script
from lint.text.lexer import Token
from lint.value import value
from lint.verdicts import Verdict

Group = Literal["The proof", "Statements", "Schema", "Suppressions"]
GROUPS: tuple[Group, ...] = ("The proof", "Statements", "Schema", "Suppressions")


@value
class Seen:
    """One statement as a rule sees it.

    `settings` are the names of settings that hold the tenant, by the declared sources. `dump`:
    the text is pg_dump's. `ran`: it was taken from a server, so its literals may be bound values.
    """

    tokens: tuple[Token, ...]
    verdict: Verdict
    catalog: Catalog
    settings: frozenset[str] = frozenset()
    dump: bool = False
    ran: bool = False


@value
class Problem:
    """A fault between two offsets of a statement's text.

    `statement` is the index of the statement in its script, for rules that look at scripts.
    `instead`: a finding of the proof that overlaps these offsets says the same less exactly, and
    is left out.
    """

    start: int
    end: int
    message: str
    statement: int = 0
    instead: tuple[int, int] | None = None


def problem(place: Place, message: str) -> Problem:
    """A fault at a place of a script."""
    return Problem(place.start, place.end, message, place.statement)


@value
class Rule:
    """One rule, the whole of it: its page, its `--explain` and its tests come from here.

    `bad` and `good` are judged over `lint.example.SCHEMA`: the rule finds something in `bad`
    and no rule finds anything in `good`. `kinds` are the verdicts it reports, for a rule of the
    proof; `strict`, only where no other value than a declared source will do. `check` looks at a
    statement that holds one of `words` (or, with no words, at every one), `check_script` at all
    the DDL of a file. Where all are empty the gate itself reports.
    """

    code: str
    name: str
    group: Group
    what: str
    why: str
    bad: str
    good: str
    mend: str
    language: Literal["sql", "python"] = "sql"
    kinds: tuple[str, ...] = ()
    strict: bool = False
    words: frozenset[str] = frozenset()
    check: Callable[[Seen], Iterable[Problem]] | None = None
    check_script: Callable[[Script], Iterable[Problem]] | None = None
