"""What the documents show works: their commands are run, their links lead somewhere.

A command is a line `$ ..` in a block marked `console`. All of a document's are run, in
order, in the folder of a demo that serves; one that exits with 1 on purpose says so in a
comment (`# exits with 1`).
"""

from __future__ import annotations

import base64
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
SCRIPT = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
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


@pytest.fixture(scope="module")
def given_out(demo: Path) -> dict[str, str]:
    """The certificate of the demo's run, for all tenants and for the last one, and the key."""

    def tenure(*arguments: str) -> str:
        return subprocess.run(
            [TENURE, *arguments],
            cwd=demo, env=clean_environment(), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    run = json.loads(tenure("retention", "status", "--format", "json"))["runs"][-1]["trace_id"]
    tenant = json.loads((demo / "demo.json").read_text())["tenants"][-1]["slug"]
    return {
        "whole": tenure("certificate", run, "--format", "json"),
        "own": tenure("certificate", run, "--tenant", tenant, "--format", "json"),
        "key": json.loads(tenure("ledger", "keys", "show", "--format", "json"))[-1]["key"],
    }


def checked_by_hand(folder: Path, certificate: str, key: str) -> int:
    """Run the steps of docs/ledger.md, which are no program of ours; return the exit code."""
    steps = SCRIPT.findall((ROOT / "docs" / "ledger.md").read_text())
    assert len(steps) == 6
    (folder / "certificate.json").write_text(certificate)
    (folder / "key").write_text(key)
    (folder / "check.sh").write_text("".join(steps))
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        ["sh", "check.sh"], cwd=folder, env=environment, capture_output=True, check=False
    )
    return done.returncode


def test_the_demos_certificate_is_checked_by_hand(
    given_out: dict[str, str], tmp_path: Path
) -> None:
    stated = json.loads(given_out["whole"])["statement"]
    assert sum(table["rows"] for table in stated["tables"]) > 1000
    assert checked_by_hand(tmp_path, given_out["whole"], given_out["key"]) == 0


@pytest.mark.parametrize(
    "part", ["nothing", "rows", "legal basis", "name", "entry", "batch", "note", "key"]
)
def test_what_was_changed_is_found_by_hand(
    given_out: dict[str, str], tmp_path: Path, part: str
) -> None:
    content, key = json.loads(given_out["own"]), given_out["key"]
    stated, evidence = content["statement"], content["evidence"]
    if part == "rows":
        stated["tables"][0]["rows"] += 1
    elif part == "legal basis":
        stated["policies"][0]["legal_basis"] += "!"
    elif part == "name":
        named = next(each for each in evidence if "started_by" in each["texts"])
        named["texts"]["started_by"]["text"] = "somebody else"
    elif part == "entry":
        head, extra, rest = evidence[-1]["proof"].split("\n", 2)
        leaf = base64.b64decode(extra.removeprefix("extra "))
        assert leaf.count(b"command:") == 0
        forged = base64.b64encode(leaf.replace(b'"release":"', b'"release":"9')).decode()
        evidence[-1]["proof"] = "\n".join([head, f"extra {forged}", rest])
    elif part == "batch":
        batch = next(each for unit in stated["units"] for each in unit["batch_entries"])
        proofs = [each["proof"].split("\n") for each in evidence]
        del evidence[next(n for n, lines in enumerate(proofs) if f"index {batch}" in lines)]
    elif part == "note":
        lines = content["checkpoint"]["note"].split("\n")
        lines[1] = str(int(lines[1]) + 1)
        content["checkpoint"]["note"] = "\n".join(lines)
    elif part == "key":
        name, key_id, _ = key.split("+", 2)
        key = f"{name}+{key_id}+{base64.b64encode(bytes([1]) + bytes(32)).decode()}"
    code = checked_by_hand(tmp_path, json.dumps(content), key)
    assert (code == 0) == (part == "nothing")


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
