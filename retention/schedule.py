"""Schedules: when a policy, or the verification, is due; and when nobody was there.

A schedule is five fields of cron in UTC, where there is no daylight saving; 0 and 7 are Sunday. A
time that was due is taken up once, whoever ticks: its row has it as its key. It is marked when its
work has been done: who dies before leaves it to the next. Times that passed while nobody ticked
count as one, and the row says how many there were. What has no schedule is due at every tick.

A watch is a stretch of time in which ticks followed one another. What lies between two
watches is a gap: nobody was there, and it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from retention.errors import ScheduleError
from tenants.connections import Cursor

#: A watch ends when no tick came for so many intervals (`tenure.keep_watch` has it, too).
PATIENCE = 3

#: The schedule of the verification, by name; a policy's is `policy_schedule`.
VERIFICATION = "verification"

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAYS = re.compile(
    r"(?P<first>\*|[0-7]|{0})(-(?P<last>[0-7]|{0}))?(/(?P<step>\d))?".format("|".join(_DAYS))
)
_MICROSECOND = timedelta(microseconds=1)
# Past this, an outage is counted no further.
_MOST_MISSED = 1000
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)
#: Watches, without those kept while the clock was wrong, far ahead (`tenure.keep_watch` leaves them
#: out, too): they would hide all gaps until then.
WATCHES = """SELECT began_at, last_at FROM tenure.watches
WHERE began_at <= clock_timestamp() + interval '1 day' AND last_at >= %(since)s ORDER BY began_at"""


def checked_schedule(text: str) -> str:
    """Return a schedule; raises ScheduleError where it is none, or never comes."""
    try:
        first = next_time(text, _ANY_DAY)
    except (ValueError, AttributeError) as error:
        raise ScheduleError(
            f"{text!r} is no schedule of five fields (0 2 * * *): {error}"
        ) from error
    if first is None:
        raise ScheduleError(f"the schedule {text!r} never comes: no such day is in any year")
    return text


def _trigger(text: str) -> CronTrigger:
    """Return what APScheduler makes of a schedule; raises ValueError.

    It counts weekdays from Monday, and takes only times that both fields for days allow. cron
    counts from Sunday, and takes what one of the two allows: so one of them is to be `*`.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"there are {len(fields)} fields")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ValueError("give days of the month or of the week, not both")
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=UTC
    )


def _weekdays(text: str) -> str:
    """Return a field of weekdays as names, each by itself: no range of names ends on a Sunday."""
    if text == "*":
        return text
    found: set[int] = set()
    for part in text.lower().split(","):
        match = _WEEKDAYS.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no day of the week (0 and 7 are Sunday, 1 is Monday)")
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        if step == 0:
            raise ValueError(f"{part!r} goes on by nothing")
        if first == "*" and last is None:
            low, high = 0, 6
        elif first == "*":
            raise ValueError(f"{part!r} is no day of the week")
        else:
            low = _weekday(first)
            high = _weekday(last) if last else 6 if match["step"] else low
            high += 7 if last == "sun" and low > 0 else 0
        if low > high:
            raise ValueError(f"{part!r} ends before it begins")
        found |= {day % 7 for day in range(low, high + 1, step)}
    return ",".join(_DAYS[day] for day in sorted(found))


def _weekday(text: str) -> int:
    return int(text) if text.isdecimal() else _DAYS.index(text)


def next_time(schedule: str, after: datetime) -> datetime | None:
    """Return the schedule's first time after an instant, in UTC; None where it never comes, as on
    a 30th of February."""
    trigger = _trigger(schedule)
    found: datetime | None = trigger.get_next_fire_time(None, after.astimezone(UTC) + _MICROSECOND)
    return None if found is None else found.astimezone(UTC)


def times_between(schedule: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the schedule's times in (after, until], at most a thousand and one of the first."""
    found: list[datetime] = []
    moment = next_time(schedule, after)
    while moment is not None and moment <= until and len(found) <= _MOST_MISSED:
        found.append(moment)
        moment = next_time(schedule, moment)
    return found


def policy_schedule(policy: str) -> str:
    """Return the name of a policy's schedule."""
    return f"policy {policy}"


def last_taken(cursor: Cursor, until: datetime) -> dict[str, datetime]:
    """Return when each schedule was last taken up, by then, as a role that reads it."""
    cursor.execute(
        "SELECT name, max(taken_at) FROM tenure.scheduled WHERE taken_at <= %s GROUP BY name",
        (until,),
    )
    return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Taken:
    """A scheduled time that was taken up; `missed` came before it, and nobody was there."""

    name: str
    due_at: datetime
    missed: int


def peek(cursor: Cursor, name: str, schedule: str, now: datetime) -> Taken | None:
    """Return what a schedule is due for, as retention; None where that is nothing.

    The first time that a schedule is seen it is due at its next time, not at once. A clock
    that was put back makes nothing due twice; a time that has not come yet, whoever took it up
    (or first saw the schedule, while a clock was wrong), is in the way of none before it.
    """
    cursor.execute(
        "SELECT max(due_at) FILTER (WHERE due_at <= %s) FROM tenure.scheduled WHERE name = %s",
        (now, name),
    )
    ((last,),) = cursor.fetchall()
    if last is None:
        mark(cursor, Taken(name, now, 0), now)
        return None
    times = times_between(schedule, last, now)
    return Taken(name, times[-1], len(times) - 1) if times else None


def mark(cursor: Cursor, taken: Taken, as_of: datetime) -> bool:
    """Record that a scheduled time was taken up, by work as of that instant; False where somebody
    else did before."""
    cursor.execute(
        "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (name, due_at) DO NOTHING",
        (taken.name, taken.due_at, as_of, taken.missed),
    )
    return cursor.rowcount == 1


def keep_watch(cursor: Cursor, interval: timedelta) -> timedelta | None:
    """Record a tick, as retention; return how long nobody was there before it, None if not so.

    By the database's clock, and by the shortest interval that the watch was kept by: nobody can say
    that they had been there. A clock that was put back prolongs nothing and opens no gap.
    """
    # tenure: allow TS005 because watches are of no tenant
    cursor.execute("SELECT tenure.keep_watch(%s)", (interval,))
    ((gap,),) = cursor.fetchall()
    found: timedelta | None = gap
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """From the last tick before to the first one after; `until` is None while it lasts."""

    since: datetime
    until: datetime | None


def gaps(cursor: Cursor, *, now: datetime, interval: timedelta, since: datetime) -> list[Gap]:
    """Return when nobody was there, the latest first, as a role that reads the evidence."""
    cursor.execute(WATCHES, {"since": since})
    return list(gaps_of(cursor.fetchall(), now, interval))[::-1]


def is_unattended(cursor: Cursor, interval: timedelta) -> bool:
    """Tell whether nobody has been there for longer than a watch outlasts, by the database's clock,
    as a role that reads the evidence."""
    cursor.execute(
        "SELECT max(last_at) < clock_timestamp() - %s FROM tenure.watches"
        " WHERE last_at <= clock_timestamp() + interval '1 day'",
        (interval * PATIENCE,),
    )
    return cursor.fetchone() == (True,)


def gaps_of(
    watches: Iterable[tuple[datetime, datetime]], now: datetime, interval: timedelta
) -> Iterable[Gap]:
    """Yield what lies between watches, and after the last one if it has ended by now."""
    last: datetime | None = None
    for began, ended in watches:
        if last is not None and began > last:
            yield Gap(last, began)
        last = ended if last is None else max(last, ended)
    if last is not None and now - last > interval * PATIENCE:
        yield Gap(last, None)
