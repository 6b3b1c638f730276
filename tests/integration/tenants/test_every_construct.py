"""What a tenant is told, and what it changes, in a crowd without row-level security is what it
would be told and would change if it were alone: for every construct."""

from __future__ import annotations

import pytest

from .constructs import READS, WRITES
from .graph import TENANTS, World


@pytest.mark.parametrize("how", READS)
def test_a_read_tells_what_it_would_tell_the_tenant_alone(world: World, how: str) -> None:
    answers = []
    for tenant in TENANTS:
        told, wanted = world.ask(tenant, READS[how])
        assert told == wanted
        assert not isinstance(told[0], type), told  # no error
        answers.append(told)
    if how not in ("global", "noop"):
        assert answers[0] != answers[1] or answers[1] != answers[2], "the case shows nothing"


@pytest.mark.parametrize("how", WRITES)
def test_a_write_does_what_it_would_do_for_the_tenant_alone(world: World, how: str) -> None:
    for tenant in TENANTS:
        told, wanted = world.ask(tenant, WRITES[how])
        assert told == wanted
        assert not isinstance(told[0], type), told
