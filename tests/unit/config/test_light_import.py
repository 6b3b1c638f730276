"""The linter is installed without pydantic, structlog and prometheus-client."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_config_and_its_errors_import_nothing_heavy() -> None:
    script = (
        "import sys, config.errors, config.trace, config.clock\n"
        "heavy = {'pydantic', 'structlog', 'prometheus_client', 'flask', 'peewee', 'psycopg2'}\n"
        "print(heavy & set(sys.modules) or 'nothing')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("nothing", "")
