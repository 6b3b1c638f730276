"""What machines read, by the name of `--format`."""

from __future__ import annotations

from collections.abc import Callable

from lint.formats.github import as_github
from lint.formats.gitlab import as_gitlab
from lint.formats.json import as_json
from lint.formats.junit import as_junit
from lint.formats.sarif import as_sarif
from lint.report import Report

FORMATS: dict[str, Callable[[Report], str]] = {
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
    "gitlab": as_gitlab,
    "junit": as_junit,
}
