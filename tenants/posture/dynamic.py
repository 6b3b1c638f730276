"""SQL that the body of a function puts together: what runs it, and whether an argument gets in.

For bodies in PL/pgSQL, and for functions of the server that take a query as text. Found by the
tokens of a body, without running or fully parsing it: what is not followed counts as put
together, not as harmless.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from tenants.posture.records import Function

# "argument": what a caller hands in is part of the SQL. "other": it is put together otherwise.
Dynamic = Literal["", "other", "argument"]

_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    |"(?:[^"]|"")+"|\$\d+|\w+|:=|\|\||[^\w\s]""",
    re.DOTALL | re.VERBOSE,
)
_FIRST = re.compile(r"--|/\*")
# Functions of the server that run a text, or read a table that they are handed.
_RUNNERS = frozenset(
    f"{what}_to_{how}"
    for what in ("query", "table", "schema", "database", "cursor")
    for how in ("xml", "xmlschema", "xml_and_xmlschema")
) | {"ts_stat"}
# Of other languages, as they call the server.
_FOREIGN = re.compile(
    r"\b(?:plpy|plv8)\s*\.\s*(?:execute|prepare|cursor)\s*\(|\bspi_(?:exec\w*|query|prepare)\b"
)
_HARMLESS = re.compile(
    r"(?:smallint|integer|bigint|numeric|real|double precision|boolean|uuid|date|interval|oid"
    r"|time(?:stamp)?(?: with(?:out)? time zone)?)(?:\(.*\))?(?:\[\])?$"
)
_STOP = frozenset({";", "into", "using", "loop"})
_BEGINS = frozenset({";", "begin", "declare", "then", "else", "loop"})
# Where an identifier names a table: what follows an ORDER BY chooses none.
_TABLE_NEXT = re.compile(
    r"\b(?:from|join|into|update|table|truncate|only|using|view|copy)\s+(?:[\w\"]+\.|%\S*?[Is]\.)?"
    r"['\"]?$|^'\.$",
    re.IGNORECASE,
)
# What reads no rows and writes none, whichever table it names.
_ROWLESS = re.compile(
    r"[eE]?'\s*(?:create|analyze|vacuum|reindex|refresh|comment|cluster)\b(?!.*\bas\b)",
    re.IGNORECASE | re.DOTALL,
)
# Types whose values are printed as names, quoted where they need it.
_NAME = re.compile(r"reg(?:class|proc|procedure|role|type|namespace)$")
_SPECIFIER = re.compile(r"%(?:(\d+)\$)?-?\d*([sIL])")


def dynamic(function: Function, *, tainted: Sequence[str] | None = None) -> Dynamic:
    """Whether a body runs SQL that is no constant, and whether a caller has a hand in it.

    `tainted` are names that the caller controls, instead of the function's arguments.
    """
    if function.language in ("c", "internal"):
        return ""
    if function.language not in ("sql", "plpgsql"):
        return _foreign(function)
    body = _tokens(function.body)
    hand = _grown(body, _handed(function) if tainted is None else tainted)
    names = frozenset(_handed(function, _NAME))
    found: Dynamic = ""
    for run in _runs(body, function.language):
        rowless = _ROWLESS.match(next(filter(_is_text, run), "")) is not None
        if _reaches(run, hand - names if rowless else hand, names=not rowless):
            return "argument"
        if not all(_is_text(word) or word in ("(", ")", "||") for word in run):
            found = "other"
    return found


def handed_in(function: Function) -> frozenset[str]:
    """The arguments of a function by name and number, and the variables made of them."""
    hand = {f"${number}" for number in range(1, len(function.arguments) + 1)}
    hand |= {name.lower() for name in function.arguments if name}
    return _grown(_tokens(function.body), hand)


def passes_on(function: Function, called: str) -> bool:
    """Whether a body calls another function with something that its own caller controls."""
    body = _tokens(function.body)
    hand = _grown(body, _handed(function))
    last = called.rpartition(".")[2].lower()
    return any(
        set(_within(body, place + 1)) & hand
        for place, word in enumerate(body[:-1])
        if word == last and body[place + 1] == "("
    )


def _grown(body: list[str], names: Iterable[str]) -> frozenset[str]:
    """These names, and the variables that get something of theirs."""
    hand = set(names)
    while new := {name for name in _assigned(body, hand) if name not in hand}:
        hand |= new
    return frozenset(hand)


def _foreign(function: Function) -> Dynamic:
    found: Dynamic = ""
    for match in _FOREIGN.finditer(function.body):
        rest = function.body[match.end() :].lstrip(" \t(")
        if re.match(r"(?:r|b|f)?(['\"])(?:(?!\1)[^\\]|\\.)*\1\s*[,);]", rest) and rest[0] != "f":
            continue
        if _handed(function):
            return "argument"
        found = "other"
    return found


def _handed(function: Function, only: re.Pattern[str] | None = None) -> Iterator[str]:
    """The arguments whose value may be SQL or a table's name, by name and by number."""
    types = _split(function.identity)
    for number, name in enumerate(function.arguments, 1):
        kind = types[number - 1] if number <= len(types) else ""
        kind = kind.removeprefix("VARIADIC ").removeprefix("INOUT ").strip()
        kinds = (kind, kind.partition(" ")[2])  # with its name before it, or without one
        if any(map(_HARMLESS.match, kinds)) or (only and not any(map(only.match, kinds))):
            continue
        yield f"${number}"
        if name:
            yield name.lower()


def _split(identity: str) -> list[str]:
    return [part.strip() for part in re.split(r",\s*(?![^(]*\))", identity)] if identity else []


def _tokens(body: str) -> list[str]:
    """Tokens in lower case but for texts, without comments."""
    found = []
    for match in _TOKEN.finditer(body):
        word = match[0]
        if _FIRST.match(word):
            continue
        if word.startswith('"'):
            word = word[1:-1].replace('""', '"')
        found.append(word if _is_text(word) else word.lower())
    return found


def _is_text(word: str) -> bool:
    return len(word) > 1 and (
        word[0] == "'" or word[:2].lower() == "e'" or (word[0] == "$" and word[-1] == "$")
    )


def _runs(body: list[str], language: str) -> Iterator[list[str]]:
    """The expressions that are run as SQL."""
    for place, word in enumerate(body):
        after = body[place + 1 : place + 2]
        if word == "execute" and language == "plpgsql" and after not in (["on"], ["function"]):
            yield _until(body, place + 1, _STOP)
        elif word in _RUNNERS and after == ["("]:
            # A name that is handed over as a constant reads the table of that name all the same.
            whole = [] if word.startswith("query") or word == "ts_stat" else [word]
            yield whole + _until(body, place + 2, frozenset({","}))


def _until(body: list[str], start: int, stops: frozenset[str]) -> list[str]:
    depth, end = 0, start
    while end < len(body):
        word = body[end]
        depth += (word == "(") - (word == ")")
        if depth < 0 or (depth == 0 and word in stops):
            break
        end += 1
    return body[start:end]


def _within(body: list[str], opening: int) -> list[str]:
    """What stands between the parenthesis at a place and its end."""
    return _until(body, opening + 1, frozenset())


def _assigned(body: list[str], hand: Collection[str]) -> Iterator[str]:
    """Variables that get something of what the caller controls."""
    for place, word in enumerate(body):
        if word in (":=", "default") or (word == "=" and _begins(body, place - 1)):
            if _reaches(_until(body, place + 1, frozenset({";"})), hand):
                yield _first(body, place)
        elif word == "alias" and body[place + 1 : place + 2] == ["for"]:
            if set(body[place + 2 : place + 3]) & set(hand):
                yield body[place - 1]
        elif word == "into" and place:
            start = next((p for p in range(place, -1, -1) if body[p] in ("select", ";")), 0)
            if body[start] == "select" and _reaches(body[start + 1 : place], hand):
                yield from _until(body, place + 1, frozenset({"from", "where", ";"}))
        elif word in ("for", "foreach"):
            loop = _until(body, place + 1, frozenset({"loop", ";"}))
            if "in" in loop:
                source = loop[loop.index("in") + 1 :]
                if _reaches(_until(source, 0, frozenset({"where"})), hand):
                    yield from loop[: loop.index("in")]


def _begins(body: list[str], place: int) -> bool:
    return place < 1 or body[place - 1] in _BEGINS


def _first(body: list[str], place: int) -> str:
    """The variable of an assignment or declaration, by where its `:=` stands."""
    while place > 0 and body[place - 1] not in _BEGINS:
        place -= 1
    return body[place]


def _reaches(expression: list[str], hand: Collection[str], *, names: bool = True) -> bool:
    """Whether what the caller controls gets into a text otherwise than as a quoted value, or
    as the name of a table where `names` says that this counts.
    """
    place = 0
    while place < len(expression):
        word, called = expression[place], expression[place + 1 : place + 2] == ["("]
        if called and word in ("quote_literal", "quote_nullable"):
            place += 2 + len(_within(expression, place + 1))
        elif called and word == "quote_ident":
            inner = _within(expression, place + 1)
            before = expression[place - 2] if place > 1 else ""
            if names and set(inner) & set(hand) and _TABLE_NEXT.search(before.removesuffix("'")):
                return True
            place += 2 + len(inner)
        elif called and word == "format":
            inner = _within(expression, place + 1)
            if _of_format(inner, hand, names=names):
                return True
            place += 2 + len(inner)
        elif word in hand:
            return True
        place += 1
    return False


def _of_format(inner: list[str], hand: Collection[str], *, names: bool) -> bool:
    arguments: list[list[str]] = [[]]
    depth = 0
    for word in inner:
        depth += (word in "([") - (word in ")]")
        if word == "," and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(word)
    template, *values = arguments
    if len(template) != 1 or not _is_text(template[0]):
        return any(_reaches(argument, hand) for argument in arguments)
    used = 0
    for match in _SPECIFIER.finditer(template[0].replace("%%", "  ")):
        used = int(match[1]) if match[1] else used + 1
        if used > len(values) or match[2] == "L":
            continue
        chosen = names and _TABLE_NEXT.search(template[0][: match.start()])
        if (match[2] == "s" or chosen) and _reaches(values[used - 1], hand):
            return True
    return False
