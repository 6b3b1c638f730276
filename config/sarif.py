"""SARIF 2.1.0, as far as the linter and the audit need it: what CI systems show as alerts.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from config.release import release

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`id` is what results name; `help` is Markdown."""

    id: str
    name: str
    what: str
    why: str
    help: str
    level: Level = "error"


@dataclass(frozen=True, slots=True)
class Region:
    """Lines and columns, from 1, in code points; the end is behind the last."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Why a result is accepted, and whether that stands in the source itself."""

    reason: str
    in_source: bool


@dataclass(frozen=True, slots=True)
class Result:
    """A finding: in a file (`path`, `region`), of an object of a database (`object`), or both.

    `fingerprint` is what stays the same while the finding does. `level` where it differs from
    the rule's.
    """

    rule: str
    message: str
    path: str | None = None
    region: Region | None = None
    object: str | None = None
    fingerprint: str = ""
    suppressed: tuple[Suppressed, ...] = ()
    level: Level | None = None


def log(tool: str, rules: Sequence[Rule], results: Sequence[Result]) -> dict[str, Any]:
    """Return a log of one run, to be written as JSON.

    Raises KeyError for a result whose rule is not among `rules`.
    """
    places = {rule.id: place for place, rule in enumerate(rules)}
    driver = {"name": tool, "rules": [_rule(rule) for rule in rules], "version": release()}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(result, places[result.rule], result.level or rules[places[result.rule]].level)
            for result in results
        ],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.help, "markdown": rule.help},
        "defaultConfiguration": {"level": rule.level},
    }


def _result(result: Result, place: int, level: Level) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": place,
        "level": level,
        "message": {"text": result.message},
        "locations": [_location(result)],
    }
    if result.fingerprint:
        entry["partialFingerprints"] = {"tenure/v1": result.fingerprint}
    if result.suppressed:
        entry["suppressions"] = [
            {
                "kind": "inSource" if suppressed.in_source else "external",
                "status": "accepted",
                "justification": suppressed.reason,
            }
            for suppressed in result.suppressed
        ]
    return entry


def _location(result: Result) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if result.path is not None:
        place: dict[str, Any] = {"artifactLocation": {"uri": _uri(result.path)}}
        if result.region is not None:
            place["region"] = {
                "startLine": result.region.line,
                "startColumn": result.region.column,
                "endLine": result.region.end_line,
                "endColumn": result.region.end_column,
            }
        location["physicalLocation"] = place
    if result.object:
        location["logicalLocations"] = [{"fullyQualifiedName": result.object}]
    return location


def _uri(path: str) -> str:
    """A path as a URI: relative to where the tool ran, or file:// for an absolute one."""
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix())
