"""Reading DDL token by token."""

from __future__ import annotations

from collections.abc import Sequence

from lint.errors import CatalogError
from lint.schema.catalog import Name
from lint.text.lexer import Token
from lint.text.prepare import clip, fold
from lint.text.words import TRUE


class Cursor:
    """A reader over the tokens of a definition. Raises CatalogError where something is missing."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def word(self, ahead: int = 0) -> str:
        token = self.peek(ahead)
        return token.word if token else ""

    def skip(self, *words: str) -> bool:
        """Step over `words` if they come next."""
        if all(self.word(i) == word for i, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def opens(self) -> bool:
        token = self.peek()
        return token is not None and token.text == "("

    def symbol(self, text: str) -> bool:
        token = self.peek()
        if token is not None and token.kind in ("punct", "op") and token.text == text:
            self.at += 1
            return True
        return False

    def identifier(self) -> str:
        token = self.peek()
        if token is None or token.kind not in ("word", "quoted"):
            raise CatalogError("a name is missing")
        self.at += 1
        return clip(fold(token.text) if token.kind == "word" else token.value)

    def name(self) -> Name:
        parts = [self.identifier()]
        while self.symbol("."):
            parts.append(self.identifier())
        return Name(parts[-2] if len(parts) > 1 else "", parts[-1])

    def group(self) -> list[Token]:
        """The tokens inside the parentheses that begin here."""
        if not self.symbol("("):
            raise CatalogError("an opening parenthesis is missing")
        depth, start = 1, self.at
        while depth:
            token = self.peek()
            if token is None:
                raise CatalogError("a closing parenthesis is missing")
            if token.kind == "punct":
                depth += {"(": 1, ")": -1}.get(token.text, 0)
            self.at += 1
        return list(self.tokens[start : self.at - 1])

    def columns(self) -> tuple[str, ...]:
        return tuple(Cursor(part).identifier() for part in split_parts(self.group()))

    def rest(self) -> list[Token]:
        return list(self.tokens[self.at :])


def split_parts(tokens: Sequence[Token]) -> list[list[Token]]:
    """The parts that commas outside brackets separate."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "punct":
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def invoker(options: Sequence[Token]) -> bool | None:
    """What a view's options say of security_invoker; None where they do not name it."""
    for part in split_parts(options):
        if part[0].word == "SECURITY_INVOKER":
            return len(part) == 1 or part[-1].value.lower() in TRUE
    return None


def is_invoker(at: Cursor) -> bool:
    """Whether what stands before AS, which it goes behind, makes a view ask as its invoker."""
    found = False
    while at.peek() is not None and not at.skip("AS"):
        if at.skip("WITH"):
            found |= bool(invoker(at.group() if at.opens() else ()))
        else:
            at.at += 1
    return found


def type_text(tokens: Sequence[str]) -> str:
    """A type as one text, `numeric(10,2)`."""
    text = " ".join(tokens)
    for loose, tight in (
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (", ", ","),
        (" [", "["),
        (" .", "."),
    ):
        text = text.replace(loose, tight)
    return text.replace("[ ]", "[]").replace(". ", ".").strip()
