"""The secrets of one installation: made once, kept in its data directory, mode 0600."""

import json
import os
import secrets
import stat
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from config.errors import SecretsError

FILE_NAME = "secrets.json"


@dataclass(frozen=True, slots=True)
class InstallationSecrets:
    """Passwords of the database roles, the key that seals the context, the session key.

    `context_key` is 32 bytes as hexadecimal digits. Nothing of it shows in a repr.
    """

    owner_password: str = field(repr=False)
    app_password: str = field(repr=False)
    retention_password: str = field(repr=False)
    verifier_password: str = field(repr=False)
    auditor_password: str = field(repr=False)
    context_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """The variables by which `config.settings.load_settings` takes these secrets."""
        return {f"TENURE_{name.upper()}": value for name, value in asdict(self).items()}


def load_or_create_secrets(directory: Path) -> InstallationSecrets:
    """Read `directory/secrets.json`, or make it with fresh secrets.

    Two processes that begin at once end up with the same secrets: the file comes
    into being whole, and the second finds the first one's. Raises SecretsError if the
    file cannot be read or written, is incomplete, or others may read it.
    """
    path = directory / FILE_NAME
    try:
        if not path.exists():
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SecretsError(f"cannot use {path}: {error.strerror}") from error
    except ValueError as error:
        raise SecretsError(f"{path} is not JSON: {error}") from None
    if mode & 0o077:
        raise SecretsError(f"others may read {path} (mode {mode:04o}): `chmod 600` it")
    return _checked(path, content)


def _create(path: Path) -> None:
    made = {
        item.name: secrets.token_hex(32)
        if item.name.endswith("_key")
        else secrets.token_urlsafe(24)
        for item in fields(InstallationSecrets)
    }
    # mkstemp opens with O_EXCL and mode 0600; the link makes it visible whole, or not at all.
    descriptor, fresh = tempfile.mkstemp(prefix=".secrets-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(made, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        _link(fresh, path)
    finally:
        Path(fresh).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _link(fresh: str, path: Path) -> None:
    try:
        os.link(fresh, path)
    except FileExistsError:
        return  # another process was first, and its secrets are the ones that hold


def _checked(path: Path, content: object) -> InstallationSecrets:
    names = [item.name for item in fields(InstallationSecrets)]
    if not isinstance(content, dict):
        raise SecretsError(f"{path} does not hold a JSON object")
    for name in names:
        if not isinstance(content.get(name), str) or not content[name]:
            raise SecretsError(f"{path}: {name} is missing or no text")
    return InstallationSecrets(**{name: content[name] for name in names})
