"""What the documents show works: their commands are run, their links lead somewhere.

A command is a line `$ ..` in a block marked `console`. All of a document's are run, in
order, in the folder of a demo that serves; one that exits with 1 on purpose says so in a
comment (`# exits with 1`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.postgres import EmbeddedPostgres
from config.settings import setting_docs

from .conftest import ROOT, TENURE, clean_environment, free_port, wait_until_ready

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Their commands are run where their files are made.
ELSEWHERE = {
    "docs/lint/README.md": "tests/unit/lint/test_documents.py",
    "docs/lint/ci.md": "tests/unit/lint/test_documents.py",
}
MAKE = re.compile(r"make (\w+)$")


def commands(document: Path) -> list[str]:
    """Return the commands a document shows; a line that ends in `\\` goes on in the next."""
    found: list[str] = []
    for block in BLOCK.findall(document.read_text()):
        for line in block.replace("\\\n>", "").replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append(line.removeprefix("$ "))
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a demo that serves."""
    folder = tmp_path_factory.mktemp("documents") / "demo"
    folder.mkdir()
    log = folder / "demo.out"
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [TENURE, "demo", "--data-dir", str(folder), "--port", str(port)],
            env=clean_environment(),
            stdout=out,
            stderr=out,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield folder
    finally:
        process.terminate()
        process.wait(30)
        EmbeddedPostgres(folder / "postgres").destroy()


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if commands(d) and str(d.relative_to(ROOT)) not in ELSEWHERE],
    ids=lambda d: str(d.relative_to(ROOT)),
)
def test_every_command_a_document_shows_works(document: Path, demo: Path) -> None:
    note = json.loads((demo / "demo.json").read_text())
    tenant = note["tenants"][0]
    environment = clean_environment(
        {
            "PATH": f"{Path(sys.executable).parent}:{clean_environment()['PATH']}",
            "BASE_URL": note["base_url"],
            "TOKEN": tenant["tokens"]["owner"],
            "TENANT": tenant["slug"],
            "TENURE_CHECKOUT": str(ROOT),
        }
    )
    environment["CHECKOUT"] = environment.pop("TENURE_CHECKOUT")
    for command in commands(document):
        made = MAKE.fullmatch(command)
        if made:
            # The tests run inside `make test`; the others are continuous integration's.
            assert re.search(rf"^{made[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            continue
        expected = 1 if "# exits with 1" in command else 0
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=demo,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"


def test_commands_run_elsewhere_are() -> None:
    for document, test in ELSEWHERE.items():
        assert commands(ROOT / document)
        assert "console" in (ROOT / test).read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [
        target
        for target in targets
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert missing == []


def test_the_operators_page_lists_every_setting() -> None:
    rows = [
        f"| `{doc.variable}` | {doc.default or '-'} | {doc.description}; {doc.expects} |"
        for doc in setting_docs()
    ]
    table = "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows])
    text = (ROOT / "docs" / "operator.md").read_text()
    shown = text.partition("<!-- settings: begin -->\n")[2].partition("\n<!-- settings: end -->")[0]
    assert shown == table, f"docs/operator.md should have:\n{table}"
