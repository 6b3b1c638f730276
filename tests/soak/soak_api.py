"""The intruder of `make test`, for much longer: see tests/integration/api/intruder.py."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from api.wiring import Installation
from tests.conftest import run_as_owner
from tests.integration.api import intruder
from tests.integration.api.conftest import _service
from tests.integration.api.test_intruder import walk


def test_an_intruder_learns_nothing(
    installation: Installation,
    seed: str,
    intruder_part: int,
    record_property: Callable[[str, object], None],
) -> None:
    def owner_sql(query: str, params: Any = ()) -> list[tuple[Any, ...]]:
        return run_as_owner(installation.settings, query, params)

    world = intruder.build(_service(installation), owner_sql)
    walk(world, Random(f"intruder {seed} {intruder_part}"), rounds=40)
    world.assert_untouched()
    record_property("api: requests of an intruder", world.asked.total())
    for status, count in sorted(world.asked.items()):
        record_property(f"api: answered {status}", count)
