"""Settings: a wrong one is an error that names it; secrets stay inside."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from config.errors import SettingsError
from config.settings import ROLES, Settings, load_settings, setting_docs

URL = "postgresql://admin:hunter2@db.example:5433/tenure?sslmode=require"


def load(**env: str) -> Settings:
    return load_settings(env, None)


def test_defaults_are_sealed_and_local() -> None:
    settings = load()
    assert settings.context == "sealed"
    assert settings.host == "127.0.0.1"
    assert settings.database_url is None


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tenure.toml"
    path.write_text('pool_size = 3\ndomain = "shop"\n[lint]\nwhatever = true\n')
    settings = load_settings({"TENURE_POOL_SIZE": "5"}, path)
    assert settings.pool_size == 5
    assert settings.domain == "shop"


def test_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    path = tmp_path / "tenure.toml"
    path.write_text("pool_size = 3\n")
    assert load_settings({"TENURE_POOL_SIZE": ""}, path).pool_size == 3


def test_default_file_may_be_missing_and_another_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).pool_size == 8
    with pytest.raises(SettingsError, match=r"cannot read .*other\.toml"):
        load_settings({}, tmp_path / "other.toml")


def test_domain_path_in_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "domains").mkdir()
    path = tmp_path / "tenure.toml"
    path.write_text('domain_path = "domains"\n')
    assert load_settings({}, path).domain_path == tmp_path / "domains"


WRONG = {
    "DATABASE_URL": ["mysql://h/d", "postgresql://h:port/d", "postgresql://u:p#w@h/d"],
    "TENURE_OWNER_PASSWORD": ["\0"],
    "TENURE_APP_PASSWORD": ["\0"],
    "TENURE_RETENTION_PASSWORD": ["\0"],
    "TENURE_VERIFIER_PASSWORD": ["\0"],
    "TENURE_AUDITOR_PASSWORD": ["\0"],
    "TENURE_CONTEXT": ["open"],
    "TENURE_CONTEXT_KEY": ["ab" * 31, "z" * 64],
    "TENURE_POOLER": ["session", "pgbouncer"],
    "TENURE_SECRET_KEY": ["short"],
    "TENURE_DOMAIN": ["not-a-module", "examples/shop"],
    "TENURE_DOMAIN_PATH": ["/does/not/exist"],
    "TENURE_POOL_SIZE": ["0", "many", "501", "2.5"],
    "TENURE_POOL_TIMEOUT_S": ["0", "nan", "soon"],
    "TENURE_POOL_MAX_IDLE_S": ["0", "nan"],
    "TENURE_POOL_MAX_LIFETIME_S": ["0", "604801"],
    "TENURE_PROCESSES": ["0", "many"],
    "TENURE_SQL_COMMENTS": ["maybe", "true"],
    "TENURE_STATEMENT_TIMEOUT_MS": ["-1", "1s"],
    "TENURE_LOCK_TIMEOUT_MS": ["-1"],
    "TENURE_IDLE_IN_TRANSACTION_TIMEOUT_MS": ["x"],
    "TENURE_LOG_FORMAT": ["xml"],
    "TENURE_LOG_LEVEL": ["loud"],
    "TENURE_PORT": ["0", "65536", "http"],
    "TENURE_RETENTION_TICK_S": ["0", "inf"],
    "TENURE_BATCH_SIZE": ["0", "100001"],
    "TENURE_BATCH_MS": ["4", "10001", "0.5"],
    "TENURE_BATCH_SHARE": ["0", "1.1", "nan"],
    "TENURE_JOB_STATEMENT_TIMEOUT_MS": ["-1"],
    "TENURE_VERIFY_SCHEDULE": ["at night", "0 2 * *"],
    "TENURE_MAX_REPLICATION_LAG_S": ["0", "soon"],
    "TENURE_MAX_SNAPSHOT_AGE_S": ["0"],
    "TENURE_MAX_BLOCKED_SESSIONS": ["-1", "few"],
    "TENURE_ALERT_WEBHOOK_URL": ["file:///etc/passwd", "example.org"],
    "TENURE_ALERT_WEBHOOK_SECRET": ["short"],
    "TENURE_ERASURE_APPROVAL": ["double", "none"],
    "TENURE_HOLD_GRACE": ["14", "-P1D", "P1Y", "P", "PT", "P14D "],
    "TENURE_CONNECTORS_FILE": ["/does/not/exist"],
    "TENURE_LEDGER_ORIGIN": ["two words", "a+b", "x" * 201],
    "TENURE_LEDGER_DIR": ["/does/not/exist"],
    "TENURE_LEDGER_SHIP_COMMAND": ["aws 's3", " "],
    "TENURE_BACKUPS_KEPT_DAYS": ["-1", "P35D"],
    "TENURE_TIMESTAMP_URL": ["ftp://tsa.example", "tsa.example"],
    "TENURE_TIMESTAMP_CERTIFICATE": ["/does/not/exist.pem", "/"],
    "TENURE_WITNESS_URL": ["witness.example"],
    "TENURE_WITNESS_KEY": ["witness.example", "witness.example+abc+AA=="],
    "TENURE_TRUSTED_PROXIES": ["-1", "11", "yes"],
    "TENURE_METRICS_TOKEN": ["\0"],
}
CANNOT_BE_WRONG = {"TENURE_HOST", "TENURE_LEDGER_KEY_FILE"}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_wrong_value_is_an_error_that_names_it_and_what_it_may_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: value})
    message = str(caught.value)
    assert message.startswith(name)
    assert "must be " in message
    assert not message.endswith("must be ")


def test_every_setting_has_a_wrong_value_above() -> None:
    assert {doc.variable for doc in setting_docs()} == set(WRONG) | CANNOT_BE_WRONG


def test_every_setting_is_described() -> None:
    assert all(doc.description and doc.expects for doc in setting_docs())


def test_wrong_value_in_the_file_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "tenure.toml"
    path.write_text("port = true\n")
    with pytest.raises(SettingsError, match=r"^port in .*tenure\.toml = 'True': must be a whole"):
        load_settings({}, path)


def test_unknown_names_are_errors_with_the_nearest_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "tenure.toml"
    path.write_text("pool_sise = 3\n[zzz]\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({"TENURE_DOMIAN": "shop"}, path)
    assert str(caught.value).splitlines() == [
        f"pool_sise in {path} is no setting; did you mean pool_size?",
        f"zzz in {path} is no setting",
        "TENURE_DOMIAN is no setting; did you mean TENURE_DOMAIN?",
    ]


def test_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "tenure.toml"
    path.write_text("pool_size =\n")
    with pytest.raises(SettingsError, match=r"tenure\.toml is not TOML"):
        load_settings({}, path)


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(TENURE_PORT="x", TENURE_POOL_SIZE="y")
    assert len(str(caught.value).splitlines()) == 2


def test_secrets_show_neither_in_repr_nor_in_errors() -> None:
    secret = "s3cr3t-" * 6
    settings = load(
        DATABASE_URL=f"postgresql://u:{secret}@h/d",
        TENURE_APP_PASSWORD=secret,
        TENURE_SECRET_KEY=secret,
        TENURE_METRICS_TOKEN=secret,
    )
    assert secret not in f"{settings!r} {settings}"
    for name in ("DATABASE_URL", "TENURE_CONTEXT_KEY"):
        with pytest.raises(SettingsError) as caught:
            load(**{name: secret})
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("role", ROLES)
def test_role_url_encodes_the_password_and_keeps_the_rest(role: str) -> None:
    password = "p@:/?#[]% é+"
    key = f"TENURE_{role.removeprefix('tenure_').upper()}_PASSWORD"
    url = load(**{"DATABASE_URL": URL, key: password}).role_url(role)  # type: ignore[arg-type]  # from ROLES
    parts = urlsplit(url)
    assert (parts.username, unquote(parts.password or "")) == (role, password)
    assert (parts.hostname, parts.port) == ("db.example", 5433)
    assert (parts.path, parts.query) == ("/tenure", "sslmode=require")
    assert "hunter2" not in url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql:///d?host=/run/pg", "postgresql://tenure_app:p@/d?host=/run/pg"),
        ("postgresql://a@h1:1,[::1]:2/d", "postgresql://tenure_app:p@h1:1,[::1]:2/d"),
        ("postgres://h?application_name=a@b", "postgres://tenure_app:p@h?application_name=a@b"),
    ],
)
def test_role_url_of_unusual_urls(given: str, expected: str) -> None:
    settings = load(DATABASE_URL=given, TENURE_APP_PASSWORD="p")
    assert settings.role_url("tenure_app") == expected


def test_a_process_keeps_what_its_roles_log_in_with_and_nothing_else() -> None:
    passwords = {f"TENURE_{role.removeprefix('tenure_').upper()}_PASSWORD": role for role in ROLES}
    settings = load(DATABASE_URL=URL, **passwords).for_roles("tenure_app", "tenure_auditor")
    assert settings.database_url == URL.replace("admin:hunter2@", "")
    assert "hunter2" not in settings.role_url("tenure_app")
    settings.role_url("tenure_auditor")
    for role in set(ROLES) - {"tenure_app", "tenure_auditor"}:
        with pytest.raises(SettingsError, match="PASSWORD is unset"):
            settings.role_url(role)


def test_user_in_the_query_string_is_refused() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        load(DATABASE_URL="postgresql://h/d?user=postgres")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is unset"):
        load(TENURE_APP_PASSWORD="p").role_url("tenure_app")
    with pytest.raises(SettingsError, match="TENURE_VERIFIER_PASSWORD is unset"):
        load(DATABASE_URL=URL).role_url("tenure_verifier")
    with pytest.raises(SettingsError, match="TENURE_CONTEXT_KEY is unset"):
        load().sealing_key()
    with pytest.raises(SettingsError, match="TENURE_SECRET_KEY is unset"):
        load().session_key()


def test_sealing_key_is_bytes_and_a_plain_context_needs_it_too() -> None:
    assert load(TENURE_CONTEXT_KEY="0a" * 32).sealing_key() == b"\x0a" * 32
    with pytest.raises(SettingsError, match="TENURE_CONTEXT_KEY is unset"):
        load(TENURE_CONTEXT="PLAIN").sealing_key()


def test_what_kubernetes_says_of_a_service_is_no_setting() -> None:
    links = {
        "TENURE_SERVICE_HOST": "10.3.240.1",
        "TENURE_SERVICE_PORT": "8000",
        "TENURE_SERVICE_PORT_HTTP": "8000",
        "TENURE_PORT": "tcp://10.3.240.1:8000",
        "TENURE_PORT_8000_TCP": "tcp://10.3.240.1:8000",
        "TENURE_PORT_8000_TCP_PROTO": "tcp",
        "TENURE_PORT_8000_TCP_PORT": "8000",
        "TENURE_PORT_8000_TCP_ADDR": "10.3.240.1",
        "TENURE_WEB_SERVICE_HOST": "10.3.240.1",
        "TENURE_WEB_PORT": "tcp://10.3.240.1:80",
    }
    assert load_settings(links, None).port == 8000
    for name, value in (
        ("TENURE_PORT", "8000/tcp"),
        ("TENURE_SERVICE", "x"),
        ("TENURE_WEB_PORT", "80"),
    ):
        with pytest.raises(SettingsError, match=name):
            load_settings({**links, name: value}, None)
