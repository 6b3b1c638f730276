"""What the commands around retention share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import IO, Any

import click

from api.cli.support import actor, name_of, text_of
from api.wiring import Installation
from config.clock import parse_instant
from config.errors import InstantError
from retention.errors import PlanError
from retention.plan import Plan, plan_from_json
from tenants.context import TenantId
from tenants.registry import find_tenant

__all__ = ["Instant", "actor", "read_plan", "stop_signals", "tenant_id_of"]


_FIRST_YEAR = 1900


class Instant(click.ParamType[datetime]):
    """An instant as RFC 3339 has it, or a date, which means its midnight in UTC."""

    name = "instant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant; a text that is none is a usage error."""
        if isinstance(value, datetime):
            return value
        try:
            instant = parse_instant(value)
        except InstantError as error:
            self.fail(str(error), param, ctx)
        if instant.year < _FIRST_YEAR:
            # Periods are counted back from it, and calendars end.
            self.fail(f"{value!r} is before the year {_FIRST_YEAR}", param, ctx)
        return instant


def read_plan(file: IO[bytes]) -> Plan:
    """Read a plan that `tenure retention plan --format json` wrote.

    Raises PlanError, or Failure, naming the file and what is wrong with it.
    """
    try:
        return plan_from_json(text_of(file))
    except PlanError as error:
        raise PlanError(f"{name_of(file)}: {error}") from error


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set, so that work ends between batches."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def tenant_id_of(installation: Installation, slug: str) -> TenantId:
    """Return a tenant's id; raises RegistryError when there is none of this name."""
    with installation.verifier.transaction(None, read_only=True) as cursor:
        return find_tenant(cursor, slug).id
