"""The embedded server's log: no policy deletes from it, so no row's values go into it."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from config.postgres import EmbeddedPostgres

FAILING = (
    "CREATE TABLE people (email text UNIQUE, age int CHECK (age > 0));"
    "INSERT INTO people VALUES ('ann@private.example', 1)",
    "INSERT INTO people VALUES ('ann@private.example', 2)",
    "INSERT INTO people VALUES ('bob@private.example', -1)",
    "SELECT 'eve@private.example' FROM nowhere",
)


def test_a_statement_that_fails_leaves_no_values_in_the_log(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, durable=False)
    server.start()
    try:
        connection = psycopg2.connect(server.url())
        connection.autocommit = True
        connection.cursor().execute(FAILING[0])
        for statement in FAILING[1:]:
            with pytest.raises(psycopg2.Error):
                connection.cursor().execute(statement)
        connection.close()
        log = server.log_path.read_text()
    finally:
        server.destroy()
    assert "people_email_key" in log
    assert "private.example" not in log
