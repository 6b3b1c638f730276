"""Windows of the day: when a policy may work. Times are UTC; a window may pass midnight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From `opens`, which is inside, to `closes`, which is not."""

    opens: time
    closes: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `HH:MM-HH:MM`; raises ValueError on anything else, and on an empty window."""
        if _WINDOW.fullmatch(text) is None:
            raise ValueError(f"{text!r} is no window of the day in UTC (22:00-06:00)")
        opens, closes = (time.fromisoformat(part) for part in text.split("-"))
        if opens == closes:
            raise ValueError(f"{text!r} is empty; leave the window out to work all day")
        return cls(opens, closes)

    def is_open(self, instant: datetime) -> bool:
        """Tell whether work may go on at an aware instant."""
        now = instant.astimezone(UTC).time()
        if self.opens < self.closes:
            return self.opens <= now < self.closes
        return now >= self.opens or now < self.closes

    def next_opening(self, instant: datetime) -> datetime:
        """Return `instant` itself while the window is open, else when it opens next, in UTC."""
        moment = instant.astimezone(UTC)
        if self.is_open(moment):
            return moment
        opening = datetime.combine(moment.date(), self.opens, UTC)
        return opening if opening > moment else opening + _DAY

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"
