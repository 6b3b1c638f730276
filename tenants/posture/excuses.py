"""What makes a function that runs as its owner one that was meant so, found in its text."""

from __future__ import annotations

import re
from typing import Literal

from tenants.posture.bodies import SECRET, without_comments
from tenants.posture.dynamic import handed_in
from tenants.posture.records import Function

Excuse = Literal["", "secret", "lookup", "quiet"]

_ARGUMENT = re.compile(r"[=(]\s*\$\d|\$\d\s*=")

# A secret's column after WHERE, ON or AND, and what it is compared with on either side.
_ASKED = r"\b(?:where|on|and)\b[\s(]*"
_COLUMN = rf"(?:\w+\s*\.\s*)*\w*{SECRET.pattern}\w*"
_VALUE = r"(?:[\w.]+\s*\(\s*)*(?:\w+\s*\.\s*)?(?:{})(?![\w.])"
# By which what was read gets out of a body in PL/pgSQL.
_GIVES = re.compile(
    r"\breturn\s+(?:query|\(?\s*select)|\binto\b|\breturning\b|\bfor\b.*?\bin\b.*?\bloop\b|:=",
    re.IGNORECASE | re.DOTALL,
)


def excuse(function: Function, *, only_way: bool) -> Excuse:
    """Why what a function reaches is no leak: an argument is compared with a secret.

    Where the app has no other way to the tables, also: an argument chooses the row ("lookup"),
    or nothing that is read leaves the body ("quiet").
    """
    text = without_comments(function.body)
    handed = "|".join(re.escape(name) for name in handed_in(function))
    value = _VALUE.format(handed)
    if handed and re.search(
        rf"{_ASKED}(?:{_COLUMN}\s*=\s*{value}|{value}[^=;]{{0,40}}?=\s*{_COLUMN})",
        text,
        re.IGNORECASE,
    ):
        return "secret"
    if not only_way:
        return ""
    names = "|".join(re.escape(argument) for argument in function.arguments if argument)
    if _ARGUMENT.search(text) or (
        names and re.search(rf"=\s*(?:\w+\.)?(?:{names})\b|\b(?:{names})\s*=", text)
    ):
        return "lookup"
    return "quiet" if function.language == "plpgsql" and not _GIVES.search(text) else ""
