"""The code map of ARCHITECTURE.md names every module that it speaks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Packages whose modules are of one kind each, which the map says once.
ALIKE = {"api/cli", "api/demo", "api/console", "api/query", "lint/rules", "lint/formats",
         "tenants/posture"}  # fmt: skip
#: Of these the map names what holds them up, and their own docstrings the rest.
DEEP = {"lint", "api/auth"}


def floors() -> dict[str, set[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    of_map = text[text.index("## Code map") : text.index("## Walks")]
    parts = re.split(r"^\*\*(\w+)\*\* - ", of_map, flags=re.M)
    return {
        floor: {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", said)}
        for floor, said in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("floor", ["config", "tenants", "retention", "api"])
def test_the_code_map_names_every_module(floor: str) -> None:
    named = floors()[floor]
    endings = {name for name in named if name.startswith("_")}
    missing = []
    for path in sorted((ROOT / floor).rglob("*.py")):
        package = path.parent.relative_to(ROOT).as_posix()
        if any(f"{package}/".startswith(f"{each}/") for each in ALIKE | DEEP):
            continue
        if path.name.startswith("__") or path.stem in named or path.stem == "errors":
            continue
        if not path.stem.endswith((*endings, "_sheets", "_bodies", "_operations")):
            missing.append(path.relative_to(ROOT).as_posix())
    assert missing == []
