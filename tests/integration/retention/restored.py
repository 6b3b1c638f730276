"""Dumps of the day before, databases made from them, and what replays there."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2

from api.wiring import open_installation
from config.postgres_install import installation_for
from retention.ledger.folder import Folder
from retention.ledger.gone import GoneFolder
from retention.ledger.gone_head import Writer
from retention.ledger.keys import create_key
from retention.ledger.publishing import Ledger, Outside, writer_of
from retention.ledger.recording import record_gone
from retention.replays.execution import Replayer
from retention.replays.wanted import Sources
from tenants.roles import close_database
from tests.conftest import Cluster

from .conftest import CATALOG, Lab

_numbers = itertools.count()


def make_ledger(lab: Lab, path: Path, origin: str) -> Ledger:
    path.mkdir()
    create_key(path / "key", origin)
    outside = Outside(origin, path / "key", Folder(path))
    return Ledger(lab.installation.retention, outside, "test")


def gone(ledger: Ledger) -> GoneFolder:
    assert ledger.outside
    return ledger.outside.gone


def writer(ledger: Ledger, folder: GoneFolder | None = None) -> Writer:
    """Who writes the ledger's record on; or a copy of it, in `folder`."""
    assert ledger.outside
    found = writer_of(ledger.outside)
    assert found
    return found if folder is None else replace(found, folder=folder)


def record(lab: Lab, by: Writer) -> int:
    """Write down what went, and sign it; how many batches that took."""
    return record_gone(lab.installation.retention, by.folder, by.signers).batches


@contextmanager
def restored(cluster: Cluster, dump: Path, lab: Lab) -> Iterator[Lab]:
    """A fresh database made from a dump; the lab on it."""
    ((former,),) = lab.sql("SELECT current_database()")
    name = f"{former}_{next(_numbers)}"
    cluster.create_database(name)
    run(lab, "psql", cluster.url(name), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump))
    close_database(cluster.url(name))
    opened = open_installation(cluster.settings(name))
    owner = psycopg2.connect(opened.settings.role_url("tenure_owner"))
    try:
        yield replace(lab, installation=opened, owner=owner)
    finally:
        owner.close()
        opened.close()
        cluster.drop_database(name)


def dumped(cluster: Cluster, lab: Lab, path: Path) -> Path:
    ((name,),) = lab.sql("SELECT current_database()")
    run(lab, "pg_dump", cluster.url(name), "-f", str(path))
    return path


def run(lab: Lab, tool: str, *arguments: str) -> None:
    ((version,),) = lab.sql("SELECT current_setting('server_version_num')::int / 10000")
    programs = installation_for(version).root / "bin"
    done = subprocess.run(
        [str(programs / tool), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def replayer(lab: Lab, *records: Writer, **changes: Any) -> Replayer:
    """What replays from records, and writes the first of them on."""
    keys = tuple(signer.verifier_key for each in records for signer in each.signers)
    given = {
        name: changes.pop(name) for name in ("given_out", "accept_unsigned") if name in changes
    }
    return Replayer(
        retention=lab.installation.retention,
        verifier=lab.installation.verifier,
        actor="test",
        sources=Sources(tuple(each.folder for each in records), keys, **given),
        **{
            "catalog": CATALOG,
            "goes_on": records[0],
            "limit": 2,
            **changes,
        },
    )
