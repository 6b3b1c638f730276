"""Logs: a line per event, JSON or for people, from structlog and the standard library alike.

A line carries `trace_id`, and whatever else is bound with
`structlog.contextvars.bound_contextvars(trace_id=..)`. Values under the names of
secrets are replaced, and so are passwords inside URLs, and what PostgreSQL quotes in an error.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"password|passwd|secret|credential|authorization|cookie"
    r"|(token|dsn|(api|context|private|session|sealing|signing)_?key)s?$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^\s:/?#@]*):[^\s/?#@]+@")
# What PostgreSQL adds to an error may quote a row, on several lines if the row has them.
_QUOTING = re.compile(
    r"\n(DETAIL|CONTEXT):.*?(?=\n\n(?:The above exception|During handling of)|\Z)", re.DOTALL
)
_MAX_DEPTH = 6


class _Handler(logging.StreamHandler[TextIO]):
    """A type of our own, so that configuring again replaces this handler and no other."""


def configure_logging(format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's logs from `level` up to `stream` or stderr.

    Colours are used on a terminal only. Calling it again replaces the earlier set-up.
    """
    target = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks as text: the structured kind prints local variables, secrets too.
                structlog.processors.format_exc_info,
                redact,
                *_renderer(format, colors=target.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for former in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(number)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger for the module `name`, to be called as `log.info("what_happened", key=value)`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that takes secrets out of an event, nested ones included."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def _clean(key: str, value: object, depth: int) -> object:
    if value is not None and _SECRET_KEY.search(key.replace("-", "_")):
        return REDACTED
    if isinstance(value, str):
        value = _QUOTING.sub(r"\n\1: [left out]", value) if "\n" in value else value
        return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", value) if "://" in value else value
    if depth >= _MAX_DEPTH:
        return value if isinstance(value, int | float | None) else REDACTED
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in value]
    return value


def _renderer(format: LogFormat, *, colors: bool) -> list[Processor]:
    if format == "json":
        return [structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
    return [structlog.dev.ConsoleRenderer(colors=colors)]
