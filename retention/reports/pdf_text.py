"""Text on paper: the embedded fonts, and what is printed of characters that they lack.

DejaVu Sans Condensed and Mono (`fonts/`) cover Latin, Greek, Cyrillic, Armenian and Georgian. Any
other character is printed as its code point between brackets that no text can forge, `⟨U+6F22⟩`:
nothing is dropped and nothing stands as an empty box. So are characters that would change how
others are read (controls, direction marks, zero widths), and those written from right to left:
they are not laid out here, and letters in the wrong order would be another text.
"""

from __future__ import annotations

import threading
import unicodedata
from importlib.resources import as_file, files
from typing import Literal

Face = Literal["text", "bold", "mono"]

FONTS: dict[Face, str] = {
    "text": "DejaVuSansCondensed",
    "bold": "DejaVuSansCondensed-Bold",
    "mono": "DejaVuSansMono",
}
_NO_BREAK = "\N{NO-BREAK SPACE}"
_OPEN, _CLOSE = "⟨", "⟩"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI"})
_lock = threading.Lock()
_glyphs: dict[Face, _Glyphs] = {}


class _Glyphs(dict[int, str]):
    """For str.translate: what is printed for a code point, decided once for each."""

    def __init__(self, known: frozenset[int]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, code: int) -> str:
        char = chr(code)
        shown = (
            code in self._known
            and char not in (_OPEN, _CLOSE)
            and unicodedata.category(char)[0] not in "C"
            and unicodedata.category(char) not in ("Zl", "Zp")
            and unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT
        )
        self[code] = char if shown else f"{_OPEN}U+{code:04X}{_CLOSE}"
        return self[code]


def install_fonts() -> None:
    """Register the fonts with reportlab, once a process."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    with _lock:
        if len(_glyphs) == len(FONTS):
            return
        for face, name in FONTS.items():
            with as_file(files("retention.reports") / "fonts" / f"{name}.ttf") as path:
                font = TTFont(name, str(path), asciiReadable=True)
            pdfmetrics.registerFont(font)
            _glyphs[face] = _Glyphs(frozenset(font.face.charToGlyph))
        # A family of its own for each: no markup can ask for a face that is not there.
        for name in FONTS.values():
            pdfmetrics.registerFontFamily(name, name, name, name, name)


def printable(text: str, face: Face = "text") -> str:
    """Return the text in characters that the face has; line ends stay, tabs become spaces.

    It is composed first (NFC). Requires `install_fonts`.
    """
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").expandtabs(4).split("\n")
    return "\n".join(line.translate(_glyphs[face]) for line in lines)


def one_line(text: str, face: Face = "text") -> str:
    """Return the printable text with line ends as spaces, for a title or a label."""
    return printable(text, face).replace("\n", " ")


def markup(text: str, face: Face = "text") -> str:
    """Return the printable text as a reportlab paragraph shows it, letter for letter: markup is
    text, runs of spaces and line ends are kept."""
    shown = printable(text, face)
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    lines = []
    for line in shown.split("\n"):
        bare = line.lstrip(" ")
        kept = _NO_BREAK * (len(line) - len(bare)) + bare
        lines.append(kept.replace("  ", f"{_NO_BREAK} "))
    return "<br/>".join(lines)


def replaced(text: str) -> bool:
    """Whether a printed text holds a code point in place of a character."""
    return f"{_OPEN}U+" in text
