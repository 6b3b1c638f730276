"""From offsets in a text to lines and columns of the file it came from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from lint.value import value


@value
class Span:
    """Lines and columns count from 1; the end column is the one after the last character."""

    line: int
    column: int
    end_line: int
    end_column: int


class Lines:
    """Where the lines of a file begin."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int, column: int = 1) -> int:
        """The offset of a line and column, both from 1."""
        return self._starts[line - 1] + column - 1

    def span(self, start: int, end: int) -> Span:
        return Span(*self.at(start), *self.at(max(end, start)))


@value
class Piece:
    """A part of a text put together from several places of a file.

    `start` is its offset in the text, `origin` in the file; `exact` if it stands there letter by
    letter, else `origin` is only where it begins.
    """

    start: int
    origin: int
    exact: bool


class Pieces:
    """Offsets of a composed text, back to the file."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = list(pieces)
        self._starts = [piece.start for piece in pieces]

    def origin(self, offset: int) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces[max(bisect_right(self._starts, offset) - 1, 0)]
        return piece.origin + (offset - piece.start if piece.exact else 0)

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where in the file the text between two offsets stands letter by letter."""
        for number, piece in enumerate(self._pieces):
            low = max(piece.start, start)
            after = self._pieces[number + 1].start if number + 1 < len(self._pieces) else end
            high = min(after, end)
            if piece.exact and low < high:
                yield piece.origin + low - piece.start, piece.origin + high - piece.start

    def spliced(self, start: int, end: int, length: int) -> Pieces:
        """The same for a text in which `length` other characters stand for those from start to
        end."""
        moved = length - (end - start)
        before = [piece for piece in self._pieces if piece.start < start]
        after = [
            Piece(piece.start + moved, piece.origin, piece.exact)
            for piece in self._pieces
            if piece.start >= end
        ]
        rest = Piece(start + length, self.origin(end), exact=True)
        return Pieces([*before, Piece(start, self.origin(start), exact=False), rest, *after])
