"""Whatever query is asked, a tenant in a crowd without row-level security is told what it would
be told alone. (`make soak` asks many more.)"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from .graph import TENANTS, World
from .random_queries import Drawn, reads, writes

BOUNDED = settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def compare(world: World, drawn: Drawn) -> bool:
    """Ask for each tenant; returns whether all were told something, and no error."""
    said = True
    for tenant in TENANTS:
        told, wanted = world.ask(tenant, drawn.ask)
        # What an error says may name what only one of the databases has.
        same = told == wanted if not isinstance(wanted[0], type) else told[0] == wanted[0]
        assert same, f"{drawn}\ntold   {told}\nwanted {wanted}"
        said = said and not isinstance(told[0], type)
    return said


@BOUNDED
@given(drawn=reads())
def test_a_read_tells_the_same(world: World, drawn: Drawn) -> None:
    compare(world, drawn)


@BOUNDED
@given(drawn=writes())
def test_a_write_does_the_same(world: World, drawn: Drawn) -> None:
    compare(world, drawn)
