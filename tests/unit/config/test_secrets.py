"""The installation's secrets: made once, whole, and private."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import SecretsError
from config.secrets import FILE_NAME, load_or_create_secrets
from config.settings import load_settings


def make(directory: Path) -> dict[str, str]:
    return load_or_create_secrets(directory).environment()


def test_second_load_gives_the_same_secrets(tmp_path: Path) -> None:
    assert make(tmp_path / "a") == make(tmp_path / "a")
    assert make(tmp_path / "a") != make(tmp_path / "b")


def test_file_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_secrets_do_not_show_in_a_repr(tmp_path: Path) -> None:
    made = load_or_create_secrets(tmp_path)
    assert made.app_password not in repr(made)
    assert made.context_key not in repr(made)


def test_settings_accept_them(tmp_path: Path) -> None:
    made = load_or_create_secrets(tmp_path)
    settings = load_settings(made.environment(), None)
    assert settings.sealing_key() == bytes.fromhex(made.context_key)
    assert settings.session_key() == made.secret_key


def test_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(SecretsError, match="others may read"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [("{", "not JSON"), ("[]", "JSON object"), ("{}", "owner_password")]
)
def test_broken_file_is_an_error_and_is_not_overwritten(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / FILE_NAME
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(SecretsError, match=said):
        make(tmp_path)
    assert path.read_text() == content


def test_processes_that_begin_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from config.secrets import load_or_create_secrets as make\n"
        "print(make(pathlib.Path(sys.argv[1])).environment())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "new")],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            text=True,
        )
        for _ in range(6)
    ]
    made = {process.communicate(timeout=60)[0] for process in processes}
    assert len(made) == 1
    assert "TENURE_CONTEXT_KEY" in made.pop()
