"""The modules of the linter import one another without circles."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

LINT = Path(__file__).resolve().parents[3] / "lint"


def _imports(file: Path) -> set[str]:
    """What a module of the package imports of it, for type checking included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name for name in names if name.startswith("lint.")}
    return found


def test_there_is_no_circle() -> None:
    modules = {
        ".".join(("lint", *file.relative_to(LINT).with_suffix("").parts)): file
        for file in LINT.rglob("*.py")
        if file.name != "__init__.py"
    }
    graph = {name: _imports(file) & modules.keys() for name, file in modules.items()}
    assert len(graph) > 40
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError for a circle
    assert order.index("lint.prover.facts") < order.index("lint.prover.prover")
