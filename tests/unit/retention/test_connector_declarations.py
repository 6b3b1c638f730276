"""Connectors in TOML: what is wrong is one line, and no secret is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.connectors.declarations import (
    Connector,
    FileStore,
    Receiver,
    load_connectors,
    parse_connectors,
)
from retention.errors import ConnectorError

FILES = """
[connectors.documents]
kind = "files"
root = "/srv/documents"
prefix = "{tenant}/customers/{key}"
subjects = ["customer"]
deadline = "P7D"
"""
WEBHOOK = """
[connectors.crm]
kind = "webhook"
url = "https://crm.example/erasures?token=hunter2"
secret_file = "secret"
deadline = "P14D"
"""


def test_both_kinds_are_read() -> None:
    found = parse_connectors(FILES + WEBHOOK, folder=Path("/etc/tenure"))
    assert found["documents"] == Connector(
        "documents",
        FileStore(Path("/srv/documents"), ("{tenant}", "customers", "{key}")),
        ("customer",),
        "P7D",
    )
    crm = found["crm"]
    assert isinstance(crm.target, Receiver)
    assert crm.target.secret_file == Path("/etc/tenure/secret")
    assert crm.serves("customer")
    assert crm.serves(None)
    assert not found["documents"].serves("supplier")
    assert found["documents"].serves(None), "a tenant that goes, goes everywhere"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('"files"', '"ftp"', "kind: must be one of files, webhook"),
        ("deadline", "dealine", "dealine: unknown key"),
        ('"P7D"', '"soon"', "deadline: must be an ISO 8601 duration"),
        ('["customer"]', '"customer"', "subjects: must be a list"),
        ('"/srv/documents"', '"/"', "root: is the whole machine"),
        ('root = "/srv/documents"\n', "", "root: must be a path"),
        ("{tenant}/customers/{key}", "../{tenant}/{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "/{tenant}/{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{tenant}//{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{tenant}/./{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{tenant}-{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{key}/{tenant}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{tenant}/customers", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "{tenant}/{tenant}/{key}", "prefix: must be folders"),
        ("{tenant}/customers/{key}", "customers/{key}", "prefix: must be folders"),
        ("connectors.documents", 'connectors."a b"', "name: must be lower-case"),
    ],
)
def test_a_wrong_store_is_a_line_that_names_it(was: str, becomes: str, said: str) -> None:
    with pytest.raises(ConnectorError, match=r"connectors\.toml: connector ") as caught:
        parse_connectors(FILES.replace(was, becomes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/hunter2",
        "file:///etc/passwd",
        "https://user:hunter2@crm.example/",
        "https:///hunter2",
        "https://[hunter2",
        "gopher://crm.example/hunter2",
    ],
)
def test_a_wrong_address_is_named_and_not_shown(url: str) -> None:
    text = WEBHOOK.replace("https://crm.example/erasures?token=hunter2", url)
    with pytest.raises(ConnectorError, match=r"'crm', url: must begin with https://") as caught:
        parse_connectors(text)
    assert "hunter2" not in str(caught.value)


def test_an_address_on_this_machine_may_be_plain() -> None:
    for host in ("localhost", "127.0.0.1:80", "[::1]:80"):
        assert parse_connectors(
            WEBHOOK.replace("https://crm.example/erasures?token=hunter2", f"http://{host}/")
        )


def test_no_file_declares_none_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "connectors.toml"
    assert load_connectors(None) == load_connectors(path) == {}
    path.write_text("[connectors")
    with pytest.raises(ConnectorError, match="is not TOML"):
        load_connectors(path)
    path.write_text("[policy]\n")
    with pytest.raises(ConnectorError, match="unknown key 'policy'"):
        load_connectors(path)


def test_a_secret_is_for_nobody_elses_eyes_and_long(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    receiver = Receiver("https://crm.example/", file)
    with pytest.raises(ConnectorError, match="cannot read"):
        receiver.secrets()
    file.write_text("a" * 32 + "\n\n" + "b" * 40 + "\n")
    file.chmod(0o640)
    with pytest.raises(ConnectorError, match="must be a file of mode 0600"):
        receiver.secrets()
    file.chmod(0o600)
    assert receiver.secrets() == (b"a" * 32, b"b" * 40)
    for short in ("", "a" * 31, "a" * 32 + "\nshort"):
        file.write_text(short)
        with pytest.raises(ConnectorError, match="at least 32 characters") as caught:
            receiver.secrets()
        assert "aaa" not in str(caught.value)
