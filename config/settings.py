"""Settings: read once from the environment and `tenure.toml`, then passed around as a value.

This is the only reader of the environment. A variable wins over the file; an
empty variable counts as unset, and so does what Kubernetes makes up for a Service that is
called `tenure` (`TENURE_SERVICE_HOST`, `TENURE_PORT=tcp://..`). A key `pool_size` of the file is
the variable `TENURE_POOL_SIZE`; only `database_url` goes by the name everybody knows,
`DATABASE_URL`. The table `[lint]` of the file is the linter's and ignored here.
"""

import difflib
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import parse_qsl, quote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from config.errors import SettingsError

Role = Literal[
    "tenure_owner", "tenure_app", "tenure_retention", "tenure_verifier", "tenure_auditor"
]
ROLES: tuple[Role, ...] = get_args(Role)

DEFAULT_FILE = Path("tenure.toml")
_PREFIX = "TENURE_"
_TEST_PREFIX = "TENURE_TEST_"  # the test suite's own switches
_PATHS = (
    "domain_path",
    "connectors_file",
    "ledger_dir",
    "ledger_key_file",
    "timestamp_certificate",
)
_IGNORED_TABLES = {"lint", "posture"}
_CONTEXT_KEY_BYTES = 32
_CRON = re.compile(r"[0-9a-z*,/-]+( [0-9a-z*,/-]+){4}", re.IGNORECASE)
_SCHEMES = ("postgresql://", "postgres://")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:/@]*)(:\d{1,5})?")
_GRACE = re.compile(r"P(?:\d{1,5}D|T\d{1,5}H)")
_ORIGIN = re.compile(r"[!-*,-~]{1,200}")
_VKEY = re.compile(r"[!-*,-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{43,60}={0,2}")
# What Kubernetes tells a pod of each Service, by its name in capitals.
_SERVICE = re.compile(
    r"TENURE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"TENURE_(\w+_)?PORT=(tcp|udp|sctp)://.*")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        # Pydantic turns a ValueError, and no TypeError, into an error of validation.
        raise ValueError("true and false are no numbers")  # noqa: TRY004 - see above
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _context_key(value: SecretStr) -> SecretStr:
    if len(bytes.fromhex(value.get_secret_value())) < _CONTEXT_KEY_BYTES:
        raise ValueError("too short")
    return value


def _not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value() or "\0" in value.get_secret_value():
        raise ValueError("empty")
    return value


def _session_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 32:
        raise ValueError("too short")
    return value


def _database_url(value: str) -> str:
    # By hand: urllib refuses libpq's lists of hosts, and which of them depends on its version.
    if not value.startswith(_SCHEMES) or "#" in value:
        raise ValueError("not a PostgreSQL URL")
    _, _, hosts, rest = _split_url(value)
    if hosts and not all(_HOST_PORT.fullmatch(host) for host in hosts.split(",")):
        raise ValueError("not hosts and ports")
    if {"user", "password"} & {name for name, _ in parse_qsl(rest.partition("?")[2])}:
        raise ValueError("user and password stand before the @")
    return value


def _password_key(role: Role) -> str:
    return f"{role.removeprefix('tenure_')}_password"


def _split_url(url: str) -> tuple[str, str, str, str]:
    """Scheme, user and password, hosts, and the rest from the path or query string on."""
    scheme, _, after = url.partition("://")
    # Only as far as the path: an @ further on belongs to the query string.
    end = min((i for i in map(after.find, "/?") if i >= 0), default=len(after))
    user, _, hosts = after[:end].rpartition("@")
    return scheme, user, hosts, after[end:]


def _cron(value: str) -> str:
    # What the fields may say, who reads the schedule says.
    if not _CRON.fullmatch(value):
        raise ValueError("not five fields")
    return value


def _webhook(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("https://", "http://")):
        raise ValueError("not http")
    return value


def _module(value: str) -> str:
    if not _MODULE.fullmatch(value):
        raise ValueError("not a module name")
    return value


def _file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("no such file")
    return value


def _grace(value: str) -> str:
    if not _GRACE.fullmatch(value):
        raise ValueError("not a duration")
    return value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("not a name")
    return value


def _command(value: str) -> str:
    # What it names is looked for when it is run.
    if not shlex.split(value):
        raise ValueError("empty")
    return value


def _vkey(value: str) -> str:
    # That its parts agree is checked where it is used.
    if not _VKEY.fullmatch(value):
        raise ValueError("not a verifier key")
    return value


def _directory(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError("no such directory")
    return value


def _field(default: Any, expects: str, description: str, **limits: Any) -> Any:
    """A field whose error message can say what it `expects`."""
    return Field(default, description=description, json_schema_extra={"expects": expects}, **limits)


_Int = Annotated[int, BeforeValidator(_not_bool)]
_Seconds = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
_Password = Annotated[SecretStr, AfterValidator(_not_empty)]
_MILLISECONDS = "a whole number of milliseconds from 0 (no limit) to 86400000"
_TEXT = "a text that is not empty"


class Settings(BaseModel):
    """All settings, checked. Frozen; secrets do not show in its repr."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: Annotated[str, AfterValidator(_database_url)] | None = _field(
        None,
        "a URL like postgresql://user:password@host:5432/dbname, special characters "
        "percent-encoded",
        "PostgreSQL to work on, as a role that may create roles; without it, `demo` runs its own",
        repr=False,
    )
    owner_password: _Password | None = _field(None, _TEXT, "password of the role tenure_owner")
    app_password: _Password | None = _field(None, _TEXT, "password of the role tenure_app")
    retention_password: _Password | None = _field(
        None, _TEXT, "password of the role tenure_retention"
    )
    verifier_password: _Password | None = _field(
        None, _TEXT, "password of the role tenure_verifier"
    )
    auditor_password: _Password | None = _field(None, _TEXT, "password of the role tenure_auditor")

    context: Annotated[Literal["sealed", "plain"], BeforeValidator(_lower)] = _field(
        "sealed", "sealed or plain", "how the tenant context is protected in the database"
    )
    context_key: Annotated[SecretStr, AfterValidator(_context_key)] | None = _field(
        None,
        f"at least {_CONTEXT_KEY_BYTES} bytes as hexadecimal digits",
        "key that seals the tenant context and sessions",
    )
    pooler: Annotated[Literal["none", "transaction"], BeforeValidator(_lower)] = _field(
        "none",
        "none or transaction",
        "what stands between us and PostgreSQL: a pooler such as PgBouncer, in transaction mode",
    )
    secret_key: Annotated[SecretStr, AfterValidator(_session_key)] | None = _field(
        None, "a text of at least 32 characters", "key that signs browser sessions"
    )

    domain: Annotated[str, AfterValidator(_module)] | None = _field(
        None, "the name of a Python package, like shop", "package of the domain to load"
    )
    domain_path: Annotated[Path, AfterValidator(_directory)] | None = _field(
        None, "a directory that exists", "directory the domain's package is in"
    )

    pool_size: _Int = _field(
        8, "a whole number from 1 to 500", "database connections per process", ge=1, le=500
    )
    pool_timeout_s: _Seconds = _field(
        10.0,
        "a number of seconds above 0, at most 3600",
        "how long a request waits for a connection",
        gt=0,
        le=3600,
    )
    pool_max_idle_s: _Seconds = _field(
        600.0,
        "a number of seconds from 1 to 86400",
        "how long an unused connection is kept",
        ge=1,
        le=86_400,
    )
    pool_max_lifetime_s: _Seconds = _field(
        3600.0,
        "a number of seconds from 1 to 604800",
        "how long a connection is used at all",
        ge=1,
        le=604_800,
    )
    processes: _Int = _field(
        1,
        "a whole number from 1 to 10000",
        "processes like this one on the same database; checked against max_connections",
        ge=1,
        le=10_000,
    )
    sql_comments: Annotated[Literal["on", "off"], BeforeValidator(_lower)] = _field(
        "on", "on or off", "whether statements carry the trace id to PostgreSQL, in a comment"
    )
    statement_timeout_ms: _Int = _field(
        30_000, _MILLISECONDS, "longest statement when serving", ge=0, le=86_400_000
    )
    job_statement_timeout_ms: _Int = _field(
        1_800_000,
        _MILLISECONDS,
        "longest statement of retention and of its verification, which may count every row",
        ge=0,
        le=86_400_000,
    )
    lock_timeout_ms: _Int = _field(
        5_000, _MILLISECONDS, "longest wait for a lock", ge=0, le=86_400_000
    )
    idle_in_transaction_timeout_ms: _Int = _field(
        60_000, _MILLISECONDS, "longest pause inside a transaction", ge=0, le=86_400_000
    )

    log_format: Annotated[Literal["json", "console"], BeforeValidator(_lower)] = _field(
        "json", "json or console", "one JSON object a line, or lines for people"
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = _field(
        "info", "debug, info, warning, error or critical", "least severe level that is logged"
    )
    host: str = _field("127.0.0.1", "an address or host name", "where to listen", min_length=1)
    port: _Int = _field(8000, "a whole number from 1 to 65535", "port to listen on", ge=1, le=65535)
    retention_tick_s: _Seconds = _field(
        60.0,
        "a number of seconds from 0.1 to 86400",
        "how often the scheduler looks for work",
        ge=0.1,
        le=86_400,
    )
    batch_size: _Int = _field(
        10_000,
        "a whole number from 1 to 100000",
        "rows a retention batch deletes at most",
        ge=1,
        le=100_000,
    )
    batch_ms: _Int = _field(
        250,
        "a whole number of milliseconds from 5 to 10000",
        "how long a batch should take; its size follows",
        ge=5,
        le=10_000,
    )
    batch_share: _Seconds = _field(
        1.0,
        "a number above 0, at most 1",
        "the share of its time that a worker spends in batches; it rests in between",
        gt=0,
        le=1,
    )
    verify_schedule: Annotated[str, AfterValidator(_cron)] | None = _field(
        None,
        "five fields of cron, in UTC, such as 0 6 * * *",
        "when the scheduler verifies; without it every hour, and after each run",
    )
    max_replication_lag_s: _Seconds = _field(
        10.0,
        "a number of seconds from 0.1 to 86400",
        "how far a replica may be behind before deleting waits",
        ge=0.1,
        le=86_400,
    )
    max_snapshot_age_s: _Seconds = _field(
        3600.0,
        "a number of seconds from 1 to 604800",
        "how old the oldest snapshot may be before deleting waits",
        ge=1,
        le=604_800,
    )
    max_blocked_sessions: _Int = _field(
        10,
        "a whole number from 0 to 10000",
        "how many sessions may wait for locks before deleting waits",
        ge=0,
        le=10_000,
    )
    alert_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = _field(
        None,
        "an address that begins with https:// or http://",
        "where alerts are posted; needs alert_webhook_secret",
    )
    alert_webhook_secret: Annotated[SecretStr, AfterValidator(_session_key)] | None = _field(
        None,
        "a secret of at least 32 characters",
        "what alerts are signed with (HMAC-SHA-256)",
    )
    hold_grace: Annotated[str, AfterValidator(_grace)] = _field(
        "P14D",
        "an ISO 8601 duration in days or hours, such as P14D, PT12H, or P0D for none",
        "how long a released legal hold stays in force, and can be taken back",
    )
    erasure_approval: Annotated[Literal["four-eyes", "single"], BeforeValidator(_lower)] = _field(
        "four-eyes",
        "four-eyes or single",
        "whether another login, or account on the command line, than who entered a request for "
        "erasure must approve it",
    )
    connectors_file: Annotated[Path, AfterValidator(_file)] | None = _field(
        None,
        "a file that exists",
        "who else holds data to be erased; without it, connectors.toml beside the policies",
    )
    ledger_origin: Annotated[str, AfterValidator(_origin)] | None = _field(
        None,
        "a text without spaces and +, such as example.com/ledger",
        "name of the ledger in its checkpoints, and of the key that signs them",
    )
    ledger_key_file: Path | None = _field(
        None,
        "the path of a file",
        "the ledger's private key; `tenure ledger keys new` makes it",
    )
    ledger_dir: Annotated[Path, AfterValidator(_directory)] | None = _field(
        None,
        "a directory that exists",
        "where checkpoints are exported to, beside the database",
    )
    ledger_ship_command: Annotated[str, AfterValidator(_command)] | None = _field(
        None,
        "a command and its arguments",
        "run with the path of each new checkpoint, to take it elsewhere",
    )
    backups_kept_days: _Int | None = _field(
        None,
        "a whole number of days from 0 to 36500",
        "after how many days a backup is gone, as certificates of deletion declare",
        ge=0,
        le=36_500,
    )
    timestamp_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = _field(
        None,
        "an address that begins with https:// or http://",
        "the authority that says when a checkpoint was there (RFC 3161); needs "
        "timestamp_certificate",
    )
    timestamp_certificate: Annotated[Path, AfterValidator(_file)] | None = _field(
        None,
        "a file that exists",
        "certificate of that authority, or of one above it (PEM); timestamps must verify under it",
    )
    witness_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = _field(
        None,
        "an address that begins with https:// or http://",
        "the witness that cosigns checkpoints (C2SP tlog-witness); needs witness_key",
    )
    witness_key: Annotated[str, AfterValidator(_vkey)] | None = _field(
        None, "a public key, name+id+base64", "public key of that witness"
    )
    trusted_proxies: _Int = _field(
        0,
        "a whole number from 0 to 10",
        "proxies in front whose X-Forwarded-For and -Proto are believed, counted from here",
        ge=0,
        le=10,
    )
    metrics_token: _Password | None = _field(
        None, _TEXT, "token that /metrics asks for; without it, nobody reads them"
    )

    def role_url(self, role: Role) -> str:
        """The database URL with `role` and its password for the user; query string kept.

        Raises SettingsError naming what is unset.
        """
        if self.database_url is None:
            raise SettingsError(f"DATABASE_URL is unset, and {role} needs it to connect")
        key = _password_key(role)
        password: SecretStr | None = getattr(self, key)
        if password is None:
            raise SettingsError(f"{variable(key)} is unset, and {role} needs it to connect")
        scheme, _, hosts, rest = _split_url(self.database_url)
        return f"{scheme}://{role}:{quote(password.get_secret_value(), safe='')}@{hosts}{rest}"

    def for_roles(self, *roles: Role) -> Self:
        """These settings for a process that connects as `roles` alone: without what other roles,
        and who may create them, log in with."""
        taken: dict[str, object] = {_password_key(role): None for role in set(ROLES) - set(roles)}
        if self.database_url is not None:
            scheme, _, hosts, rest = _split_url(self.database_url)
            taken["database_url"] = f"{scheme}://{hosts}{rest}"
        return self.model_copy(update=taken)

    def sealing_key(self) -> bytes:
        """The key that seals the context and sessions; raises SettingsError if it is unset."""
        if self.context_key is None:
            raise SettingsError("TENURE_CONTEXT_KEY is unset, and it seals the tenant context")
        return bytes.fromhex(self.context_key.get_secret_value())

    def session_key(self) -> str:
        """The key that signs browser sessions; raises SettingsError if it is unset."""
        if self.secret_key is None:
            raise SettingsError("TENURE_SECRET_KEY is unset, and browser sessions need it")
        return self.secret_key.get_secret_value()


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting as the documents list it."""

    key: str
    variable: str
    default: str
    expects: str
    description: str


@dataclass(frozen=True, slots=True)
class _Given:
    """A value and the name the user gave it by."""

    label: str
    value: object


def load_settings(
    env: Mapping[str, str] = os.environ, path: Path | None = DEFAULT_FILE
) -> Settings:
    """Read and check all settings.

    `path` is the file; None reads none, and `tenure.toml` in the working directory
    may be missing. Raises SettingsError with a line for every wrong setting: its
    name as the user wrote it, its value unless it is secret, what it may be.
    """
    problems: list[str] = []
    given = _from_file(path, problems) | _from_environment(env, problems)
    try:
        settings = Settings.model_validate({key: item.value for key, item in given.items()})
    except ValidationError as error:
        wrong = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
        problems += [_complaint(key, given[key]) for key in wrong]
        raise SettingsError("\n".join(problems)) from None  # the cause would show secrets
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return "DATABASE_URL" if key == "database_url" else _PREFIX + key.upper()


def setting_docs() -> Iterator[SettingDoc]:
    """Every setting, in order, for the documents."""
    for key, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        yield SettingDoc(key, variable(key), default, _expects(key), field.description or "")


def _from_environment(env: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    keys = {variable(key): key for key in Settings.model_fields}
    given = {}
    for name, value in env.items():
        if _SERVICE.fullmatch(name) or _SERVICE_PORT.fullmatch(f"{name}={value}"):
            continue
        if name in keys:
            if value:
                given[keys[name]] = _Given(name, value)
        elif name.startswith(_PREFIX) and not name.startswith(_TEST_PREFIX):
            problems.append(f"{name} is no setting{_nearest(name, keys)}")
    return given


def _from_file(path: Path | None, problems: list[str]) -> dict[str, _Given]:
    if path is None or (path == DEFAULT_FILE and not path.exists()):
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    given = {}
    for key, value in content.items():
        if key in Settings.model_fields:
            is_path = key in _PATHS and isinstance(value, str) and value
            meant = path.parent / value if is_path else value
            given[key] = _Given(f"{key} in {path}", meant)
        elif key not in _IGNORED_TABLES:
            problems.append(f"{key} in {path} is no setting{_nearest(key, Settings.model_fields)}")
    return given


def _nearest(name: str, valid: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _complaint(key: str, given: _Given) -> str:
    shown = "" if _is_secret(key) else f" = {str(given.value)!r}"
    return f"{given.label}{shown}: must be {_expects(key)}"


def _is_secret(key: str) -> bool:
    # A database URL carries a password, and one that does not parse cannot be masked.
    return key == "database_url" or "SecretStr" in str(Settings.model_fields[key].annotation)


def _expects(key: str) -> str:
    extra = Settings.model_fields[key].json_schema_extra
    return str(extra["expects"]) if isinstance(extra, dict) else ""
