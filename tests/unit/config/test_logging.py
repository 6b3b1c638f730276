"""Logs: a line per event, with its trace id and without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from config.logging import REDACTED, LogFormat, LogLevel, configure_logging, get_logger


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(format: LogFormat = "json", level: LogLevel = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(format, level, stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert isinstance(event, dict)
    return event


def test_json_line_carries_the_bound_trace_id() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(trace_id="ab" * 16):
        get_logger("some.module").info("batch_deleted", rows=3)
    event = only_line(stream)
    assert event["trace_id"] == "ab" * 16
    assert (event["event"], event["rows"], event["level"]) == ("batch_deleted", 3, "info")
    assert event["logger"] == "some.module"
    assert str(event["timestamp"]).endswith("Z")


def test_standard_library_logs_take_the_same_way() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(trace_id="cd" * 16):
        logging.getLogger("a.library").warning("slow: %s", "query", extra={"api_token": "hunter2"})
    event = only_line(stream)
    assert event["event"] == "slow: query"
    assert event["trace_id"] == "cd" * 16
    assert event["api_token"] == REDACTED


@pytest.mark.parametrize(
    "key",
    ["password", "password_hash", "DB_PASSWORD", "api_token", "Authorization", "Set-Cookie",
     "context_key", "apikey", "client_secret", "dsn"],
)  # fmt: skip
def test_values_under_secret_names_are_redacted_wherever_they_stand(key: str) -> None:
    stream = configured()
    get_logger("x").info("e", **{key: "hunter2"}, deep={"list": [{key: "hunter2"}]})
    assert "hunter2" not in stream.getvalue()
    assert only_line(stream)[key] == REDACTED


@pytest.mark.parametrize("key", ["token_id", "key", "author", "tokens_used", "primary_key"])
def test_names_that_only_resemble_secrets_are_kept(key: str) -> None:
    stream = configured()
    get_logger("x").info("e", **{key: "visible"})
    assert only_line(stream)[key] == "visible"


def test_password_in_a_url_is_redacted_even_in_a_traceback() -> None:
    stream = configured()
    try:
        int("postgresql://app:hunter2@host/db")
    except ValueError:
        get_logger("x").exception("failed", url="postgresql://app:hunter2@host/db")
    event = only_line(stream)
    assert "hunter2" not in stream.getvalue()
    assert f"postgresql://app:{REDACTED}@host/db" in str(event["exception"])


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_postgresql_quotes_of_a_row_stays_out_of_tracebacks(format: LogFormat) -> None:
    stream = configured(format)
    text = "no\nDETAIL:  Failing row contains (Jane\nDoe).\nCONTEXT:  PL/pgSQL of (Jane\nDoe)"

    def fail() -> None:
        raise ValueError("what was it") from RuntimeError(text)

    try:
        fail()
    except ValueError:
        get_logger("x").exception("failed", error=text)
    written = stream.getvalue()
    assert "Jane" not in written
    assert "Doe" not in written
    assert "what was it" in written, "what follows is kept"


def test_local_variables_stay_out_of_tracebacks() -> None:
    stream = configured()
    hidden = "".join(["hun", "ter2"])
    try:
        _ = 1 / (len(hidden) - len(hidden))
    except ZeroDivisionError:
        get_logger("x").exception("failed")
    assert "hunter2" not in stream.getvalue()


def test_lines_below_the_level_are_dropped() -> None:
    stream = configured(level="warning")
    get_logger("x").info("quiet")
    logging.getLogger("lib").info("quiet")
    assert stream.getvalue() == ""


def test_console_has_no_colours_without_a_terminal() -> None:
    stream = configured("console")
    get_logger("x").info("hello", rows=3)
    assert "hello" in stream.getvalue()
    assert "rows=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_console_has_colours_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging("console", "info", stream)
    get_logger("x").info("hello")
    assert "\x1b[" in stream.getvalue()


def test_configuring_again_replaces_the_earlier_stream() -> None:
    first, second = configured(), configured()
    get_logger("x").info("once")
    assert first.getvalue() == ""
    assert only_line(second)["event"] == "once"
