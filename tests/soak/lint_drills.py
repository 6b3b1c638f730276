"""Statements about one construct each: as it should be, or a step or two beside it.

The grammar at large nests everything in everything, and what it nests hides what a slip does.
Here a statement holds little but the construct it is about, so that a rule of the prover that is
weakened meets, within a few hundred statements, one that tells. They are written in
`lint_drills.txt`.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

_HOLE = re.compile(r"<([a-z' ]+)>")


def _read(text: str) -> dict[str, list[str]]:
    """Section -> its lines."""
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            section.append(line)
    return found


# What it is about -> statements.
DRILLS = _read(Path(__file__).with_suffix(".txt").read_text())
_WORDS = {
    name: ["" if one == "-" else one for one in choices.split(" | ")]
    for name, _, choices in (line.partition(": ") for line in DRILLS.pop("words"))
}


_LINES = [line for lines in DRILLS.values() for line in lines]


def drilled(value: str, rng: random.Random, name: str | None = None) -> str:
    """A statement of the drill `name`, or of any, about the tenant `value`."""
    chosen = {"v": value}

    def fill(found: re.Match[str]) -> str:
        hole = found.group(1).removeprefix("same ")
        if hole != found.group(1) or hole == "v":
            return chosen[hole]
        chosen[hole] = _HOLE.sub(fill, rng.choice(_WORDS[hole]))
        return chosen[hole]

    if name is None:
        # By half their number, by half their lines: neither short drills nor long ones are rare.
        lines = _LINES if rng.random() < 0.5 else DRILLS[rng.choice(tuple(DRILLS))]
    else:
        lines = DRILLS[name]
    text = _HOLE.sub(fill, rng.choice(lines))
    return re.sub(r"\s+", " ", text).strip()
