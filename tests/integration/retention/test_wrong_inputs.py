"""Files and folders that are wrong: one line that names them, exit code 2, and nothing done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from retention.errors import ExportError
from retention.exports.new_file import new_file
from tenants.context import TenantId

from .conftest import Tenure

NESTED = "[" * 200_000
HOLD = ("hold", "place", "--tenant", "acme", "--matter", "m", "--reason", "r")
ROWS = (*HOLD, "--table", "shop.notes", "--rows")
AWAY = "nowhere/x"

# What is asked, what the message says of it (as words of it), and the variables that are unset.
CASES: list[tuple[tuple[str, ...], str]] = [
    (("migrate", "catalog", "--output", AWAY), f"{AWAY}: No such file or directory"),
    (("migrate", "manifest", "--output", AWAY), f"{AWAY}: No such file or directory"),
    (("migrate", "catalog", "--output", "/dev/full"), "/dev/full: No space left on device"),
    (("report", "holds", "--output", "/dev/full"), "/dev/full: No space left on device"),
    ((*ROWS, "binary"), "binary: not a text in UTF-8"),
    ((*ROWS, "empty"), "empty: no ids in it"),
    ((*ROWS, "words"), "words: line 2: 'no id' is no id"),
    (("retention", "run", "--plan", "nested"), "nested: this is no plan"),
    (("retention", "run", "--plan", "binary"), "binary: not a text in UTF-8"),
    (("record", "nested", "--of", "x"), "nested: this is no JSON"),
    (("record", "words", "--of", "x"), "words: this is no JSON"),
    (("record", "binary", "--of", "x"), "binary: not a text in UTF-8"),
    (("retention", "replay", "--since", "words", "--records", "folder"), "words: "),
    (("posture", "--config", "tool.toml"), "tool.toml: [posture] holds"),
    (("posture", "--config", "tool/pyproject.toml"), "tool/pyproject.toml: tool is no table"),
    (("demo", "--data-dir", "empty/x"), "empty/x: Not a directory"),
    (("demo", "--data-dir", "/proc/x"), "/proc/x: No such file or directory"),
    (("tenants", "offboard", "request", "acme", "--reason", "r", "--output", AWAY), AWAY),
    (("tenants", "offboard", "request", "acme", "--reason", "r", "--output", "empty"), "empty is"),
]


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=lambda each: " ".join(each)[:60])
def test_a_wrong_file_is_named_in_a_line_and_nothing_is_done(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    make_tenant("acme")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").touch()
    (tmp_path / "words").write_text("01a1f8b0-40cf-765f-99aa-7eac363e7fc8\nno id\n")
    (tmp_path / "nested").write_text(NESTED)
    (tmp_path / "tool.toml").write_text('posture = "x"\n')
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "pyproject.toml").write_text('tool = "x"\n')
    (tmp_path / "folder").mkdir()
    done = tenure(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") <= 4
    for table in ("holds", "offboardings", "inspections", "runs", "exports"):
        assert owner_sql(f"SELECT count(*) FROM tenure.{table}") == [(0,)]


def test_a_key_that_is_not_set_is_said(tenure: Tenure) -> None:
    done = tenure("context", "rotate", env={"TENURE_CONTEXT_KEY": ""})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "TENURE_CONTEXT_KEY" in done.stderr


def test_a_copy_that_fails_says_what_is_asked_for_and_what_to_do(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    """Recorded, and then the database would not give the rows out."""
    make_tenant("acme")
    owner_sql("REVOKE SELECT ON shop.notes FROM tenure_retention")
    asked = ("tenants", "offboard", "request", "acme", "--reason", "r", "--output", "acme.zip")
    done = tenure(*asked)
    assert done.exit_code == 2, done.output
    ((asked_for, export),) = owner_sql("SELECT id::text, export_id FROM tenure.offboardings")
    assert export is None
    assert f"offboarding {asked_for} is requested" in done.stderr
    assert "tenure tenants offboard export acme --output FILE" in done.stderr
    assert "take-back" in done.stderr
    owner_sql("GRANT SELECT ON shop.notes TO tenure_retention")
    exported: Result = tenure("tenants", "offboard", "export", "acme", "--output", "acme.zip")
    assert exported.exit_code == 0, exported.output


def test_a_full_disk_leaves_no_file_and_is_said(tmp_path: Path) -> None:
    """A child, for the limit is the process's: files of it have a thousand bytes at most."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from retention.errors import ExportError\n"
        "from retention.exports.new_file import new_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with new_file(Path('ada.zip')) as out: out.write(b'x' * 5000)\n"
        "except ExportError as error: sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "ada.zip cannot be written: File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_takes_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # what FAT says

    monkeypatch.setattr(os, "link", refused)
    target = tmp_path / "ada.zip"
    with new_file(target) as out:
        out.write(b"all of it")
    assert target.read_bytes() == b"all of it"
    assert list(tmp_path.iterdir()) == [target]
    other = tmp_path / "other.zip"
    with pytest.raises(ExportError, match="is there already"), new_file(other) as out:
        other.write_bytes(b"somebody's")
    assert other.read_bytes() == b"somebody's"


def test_a_crash_is_never_taken_for_findings() -> None:
    """1 means findings: a gate that reads it must not meet it where the program broke."""
    code = (
        "import sys; from api import cli\n"
        "cli.COMMANDS['broken'] = ('nowhere', '')\n"
        "sys.argv = ['tenure', 'broken']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "No module named 'api.cli.nowhere'" in done.stderr


def test_a_result_that_is_kept_is_read_from_standard_input_too(tenure: Tenure) -> None:
    done = tenure("record", "-", "--of", "x", input=json.dumps({"findings": 1}))
    assert done.exit_code == 2
    assert "<stdin>: this is no result" in done.stderr


def test_down_names_what_it_takes_away_and_takes_nothing_unasked(
    tenure: Tenure, owner_sql: Callable[..., Any]
) -> None:
    down = ("migrate", "down", "--package", "tenure")
    ((last,),) = owner_sql("SELECT name FROM tenure.migration_tenure ORDER BY id DESC LIMIT 1")
    said = tenure(*down, "--dry-run")
    assert said.exit_code == 0
    assert said.stdout.startswith(f"would take down tenure/{last}: ")
    assert len(said.stdout) > len(f"would take down tenure/{last}: \n")
    as_json = tenure(*down, "--dry-run", "--format", "json").stdout
    assert json.loads(as_json) == {"would_revert": [f"tenure/{last}"]}
    refused = tenure(*down, input="n\n")
    assert refused.exit_code == 1
    assert f"Take tenure/{last} down?" in refused.stderr
    ((still,),) = owner_sql("SELECT name FROM tenure.migration_tenure ORDER BY id DESC LIMIT 1")
    assert still == last
    unknown = tenure("migrate", "down", "--package", "nope", "--yes")
    assert (unknown.exit_code, "known are: tenure, shop" in unknown.stderr) == (2, True)
    taken = tenure("migrate", "down", "--yes")
    assert taken.stdout.startswith("took down shop/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x" * 201, "--slug", "x"), "from 1 to 200 characters"),
        ((" ", "--slug", "x"), "from 1 to 200 characters"),
        (("Acme", "--slug", "a" * 64), "63 characters at most"),
        (("a" * 64,), "63 characters at most"),
    ],
)
def test_names_of_tenants_have_an_end(
    tenure: Tenure, arguments: tuple[str, ...], said: str
) -> None:
    done = tenure("tenants", "create", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr) < 300
    assert tenure("tenants", "create", "x" * 200, "--slug", "a" * 63).exit_code == 0


PERSON = ("--tenant", "acme", "--subject", "customer", "--by", "number", "--value", "-")


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("erasure", "request", *PERSON, "--requester", "x"), b"\xff\n", "<stdin>: not a text"),
        (
            ("subject", "export", *PERSON, "--reason", "r", "--output", "p.zip"),
            b"\xff\n",
            "<stdin>: not a text",
        ),
        (("users", "create", "a@x.example", "--auditor", "--password-stdin"), b"\xff\n", "<stdin>"),
        (("users", "create", "a@x.example", "--auditor", "--password-stdin"), b"", "is empty"),
        (("users", "create", "a@x.example", "--auditor", "--password-stdin"), b"\n", "is empty"),
        (("verify", "--as-of", "0001-01-01"), b"", "is before the year 1900"),
        (("context", "acme", "--pid", "9" * 40), b"", "not in the range"),
        (("subject", "export", *PERSON, "--reason", "r", "--output", "/"), b"C1\n", "/ is "),
    ],
)
def test_wrong_words_are_told_of_and_nothing_is_done(
    tenure: Tenure,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    arguments: tuple[str, ...],
    given: bytes,
    said: str,
) -> None:
    acme = make_tenant("acme")
    owner_sql(
        "INSERT INTO shop.customers (tenant_id, id, number, name, country, created_at)"
        " VALUES (%s, gen_random_uuid(), 'C1', 'Ada', 'France', now())",
        (str(acme),),
    )
    done = tenure(*arguments, input=given)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    for table in ("erasures", "exports", "logins", "verifications"):
        assert owner_sql(f"SELECT count(*) FROM tenure.{table}") == [(0,)]
