"""Connectors as they are declared, in TOML beside the policies, or where a setting says.

    [connectors.documents]
    kind = "files"                            # a folder, or a volume that is mounted there
    root = "/srv/documents"
    prefix = "{tenant}/customers/{key}"       # under it lies what there is of one subject
    subjects = ["customer"]                   # left out: every kind of subject
    deadline = "P7D"                          # from the request to the acknowledgement

    [connectors.crm]
    kind = "webhook"                          # `retention.connectors.protocol`
    url = "https://crm.example/erasures"
    secret_file = "/run/secrets/crm"          # mode 0600; a secret a line, the first one signs
    deadline = "P14D"

Relative paths count from the file's folder. Every problem is one line of one error.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from retention.errors import ConnectorError
from retention.policies import Period

Kind = Literal["files", "webhook"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]*(\{tenant\}|\{key\})?[A-Za-z0-9._-]*")
_COMMON = {"kind", "subjects", "deadline"}
_KEYS: Mapping[Kind, frozenset[str]] = {
    "files": frozenset({"root", "prefix"} | _COMMON),
    "webhook": frozenset({"url", "secret_file"} | _COMMON),
}
_SHORTEST_SECRET = 32
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class FileStore:
    """A folder. `prefix` are the path's parts below `root`, with {tenant} before {key}."""

    root: Path
    prefix: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is sent requests. The address may hold a secret, so nothing shows it."""

    url: str = field(repr=False)
    secret_file: Path

    def secrets(self) -> tuple[bytes, ...]:
        """Return the secrets: the first one signs, each may have signed what comes back.

        Read whenever they are needed, so that they can be exchanged while we run. Raises
        ConnectorError, without any of them, where the file is not ours alone.
        """
        try:
            with self.secret_file.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(65_536)
        except OSError as error:
            raise ConnectorError(f"cannot read {self.secret_file}: {error.strerror}") from error
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise ConnectorError(f"{self.secret_file} must be a file of mode 0600")
        found = tuple(line.strip() for line in content.splitlines() if line.strip())
        if not found or min(map(len, found)) < _SHORTEST_SECRET:
            raise ConnectorError(
                f"{self.secret_file} must hold a secret of at least {_SHORTEST_SECRET} characters"
            )
        return found


@dataclass(frozen=True, slots=True)
class Connector:
    """A declared connector. `subjects` are those it knows, none for all; `deadline` is ISO 8601."""

    name: str
    target: FileStore | Receiver
    subjects: tuple[str, ...] = ()
    deadline: str = "P30D"

    @property
    def kind(self) -> Kind:
        """What it is."""
        return "files" if isinstance(self.target, FileStore) else "webhook"

    def serves(self, subject: str | None) -> bool:
        """Tell whether it is asked about a kind of subject; None is a whole tenant."""
        return subject is None or not self.subjects or subject in self.subjects


Connectors = Mapping[str, Connector]


def load_connectors(path: Path | None) -> Connectors:
    """Read and check a file of connectors, by name; None or no such file declares none.

    Raises ConnectorError with a line per problem.
    """
    if path is None or not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConnectorError(f"cannot read {path}: {error}") from error
    return parse_connectors(text, folder=path.parent, source=str(path))


def parse_connectors(
    text: str, *, folder: Path = Path(), source: str = "connectors.toml"
) -> Connectors:
    """Check connectors written as TOML; raises ConnectorError with a line per problem."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConnectorError(f"{source} is not TOML: {error}") from error
    entries = content.pop("connectors", {})
    problems = [f"{source}: unknown key {key!r}; write [connectors.NAME]" for key in content]
    found = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        reader = _Reader(name, entry if isinstance(entry, dict) else {}, folder)
        connector = reader.read()
        problems += [f"{source}: connector {name!r}, {problem}" for problem in reader.problems]
        if connector is not None:
            found[name] = connector
    if not isinstance(entries, dict):
        problems.append(f"{source}: connectors are written as [connectors.NAME]")
    if problems:
        raise ConnectorError("\n".join(problems))
    return found


class _Reader:
    """Reads one entry; `problems` collects "key: what is wrong, and the mend"."""

    def __init__(self, name: str, entry: Mapping[str, Any], folder: Path) -> None:
        self.name = name
        self.entry = entry
        self.folder = folder
        self.problems: list[str] = []

    def read(self) -> Connector | None:
        """Return the connector, or None when it is not one."""
        if not _NAME.fullmatch(self.name):
            self._problem("name", "must be lower-case letters, digits, - and _")
        kind = next((kind for kind in KINDS if self.entry.get("kind") == kind), None)
        if kind is None:
            self._problem("kind", f"must be one of {', '.join(KINDS)}")
            return None
        for key in sorted(self.entry.keys() - _KEYS[kind]):
            self._problem(key, f"unknown key; keys are {', '.join(sorted(_KEYS[kind]))}")
        target = self._files() if kind == "files" else self._webhook()
        subjects, deadline = self._subjects(), self._deadline()
        if self.problems or target is None or subjects is None or deadline is None:
            return None
        return Connector(self.name, target, subjects, deadline)

    def _files(self) -> FileStore | None:
        root, prefix = self._path("root"), self._text("prefix", _is_prefix, _PREFIX)
        if root is not None and root == Path(root.anchor):
            self._problem("root", "is the whole machine; name a folder of the store's own")
        if root is None or prefix is None:
            return None
        return FileStore(root, tuple(prefix.split("/")))

    def _webhook(self) -> Receiver | None:
        url = self._text(
            "url", _is_address, "must begin with https:// (or http:// on this machine), without "
            "user and password"
        )  # fmt: skip
        secret_file = self._path("secret_file")
        return None if url is None or secret_file is None else Receiver(url, secret_file)

    def _path(self, key: str) -> Path | None:
        text = self._text(key, lambda value: "\0" not in value, "must be a path")
        return None if text is None else Path(os.path.abspath(self.folder / text))

    def _subjects(self) -> tuple[str, ...] | None:
        written = self.entry.get("subjects", [])
        if not isinstance(written, list) or not all(isinstance(s, str) and s for s in written):
            self._problem("subjects", "must be a list of names of subjects")
            return None
        return tuple(written)

    def _deadline(self) -> str | None:
        text = self.entry.get("deadline")
        try:
            Period.parse(text if isinstance(text, str) else "")
        except ValueError:
            self._problem("deadline", 'must be an ISO 8601 duration, such as "P14D"')
            return None
        return str(text)

    def _text(self, key: str, fits: Callable[[str], bool], expects: str) -> str | None:
        # The value stays out of the message: an address may hold a secret.
        value = self.entry.get(key)
        if not isinstance(value, str) or not value or not fits(value):
            self._problem(key, expects)
            return None
        return value

    def _problem(self, key: str, text: str) -> None:
        self.problems.append(f"{key}: {text}")


_PREFIX = (
    "must be folders of letters, digits, . _ and -, with {tenant} in one of them and {key} in a "
    'later one, such as "{tenant}/customers/{key}"'
)


def _is_prefix(text: str) -> bool:
    parts = text.split("/")
    if not all(_SEGMENT.fullmatch(part) and part not in ("", ".", "..") for part in parts):
        return False
    tenant = [i for i, part in enumerate(parts) if "{tenant}" in part]
    key = [i for i, part in enumerate(parts) if "{key}" in part]
    return len(tenant) == len(key) == 1 and tenant < key


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
