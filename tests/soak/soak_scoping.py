"""The random queries of `make test`, many more: a tenant in a crowd is told what it would be
told alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.integration.tenants.graph import TENANTS, World, open_world
from tests.integration.tenants.random_queries import Drawn, reads, writes
from tests.integration.tenants.test_random_queries import compare

LENGTHY: Any = {
    "database": None,
    "deadline": None,
    "phases": (Phase.generate, Phase.shrink),
    "suppress_health_check": list(HealthCheck),
}


def _ask(
    world: World, said: Counter[str], kind: str, drawn_from: Any, seed: str, queries: int
) -> None:
    @settings(max_examples=queries, **LENGTHY)
    @seeded(seed)
    @given(drawn=drawn_from)
    def ask(drawn: Drawn) -> None:
        said[kind if compare(world, drawn) else f"{kind} that are errors in both"] += 1

    ask()


def test_a_tenant_in_a_crowd_is_told_what_it_would_be_told_alone(
    cluster: Any,
    seed: str,
    part: int,
    queries: int,
    record_property: Callable[[str, object], None],
) -> None:
    said: Counter[str] = Counter()
    with open_world(cluster, f"atlas_soak_{part}") as world:
        for kind, drawn_from in (("reads", reads()), ("writes", writes())):
            _ask(world, said, kind, drawn_from, f"{seed} {part} {kind}", max(queries // 2, 1))
    for name, number in said.items():
        record_property(f"scoping: random {name}, each for {len(TENANTS)} tenants", number)
    assert said["reads"] > 0.7 * queries / 2, said
    assert said["writes"] > 0.7 * queries / 2, said
