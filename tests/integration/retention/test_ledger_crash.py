"""Sixteen writers, and publishers that are killed at every step, one after another: no entry is
lost, none is there twice, no index is skipped, and all checkpoints are of one ledger."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import sql

from retention.errors import LedgerError
from retention.ledger import tree
from retention.ledger.audit import audit_ledger
from retention.ledger.checkpoint import SignedCheckpoint
from retention.ledger.proofs import consistency
from retention.ledger.publishing import STEPS, Ledger, Outside
from tenants.context import TenantId
from tenants.roles import close_database
from tests.conftest import Cluster

from .ledger_crash import ORIGIN, Place, at_the_ledger, check_the_entries, check_the_tree, place

KILLED = -signal.SIGKILL
REFUSED = 3


class Backup:
    """A copy of the lab's database, which can take its place whoever is at work on it."""

    def __init__(self, cluster: Cluster, lab: Any) -> None:
        self.cluster, self.lab = cluster, lab
        self.url = lab.installation.settings.database_url
        self.name = urlsplit(self.url).path[1:]

    def make(self) -> None:
        self._close(self.name)
        self.cluster.create_database(f"{self.name}_then", self.name)
        self._open(self.name)

    def put_back(self) -> None:
        self._close(self.name)
        self.cluster.drop_database(self.name)
        self._run("ALTER DATABASE {} RENAME TO {}", f"{self.name}_then", self.name)
        close_database(self.url)  # the grants on a database are not copied
        self._open(self.name)

    def _close(self, name: str) -> None:
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        self.cluster.execute(
            sql.SQL(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {}"
            ).format(sql.Literal(name))
        )

    def _open(self, name: str) -> None:
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
        self.lab.owner.close()
        self.lab.owner = psycopg2.connect(self.lab.installation.settings.role_url("tenure_owner"))

    def _run(self, statement: str, *names: str) -> None:
        self.cluster.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def outside(tmp_path: Path) -> Place:
    return place(tmp_path)


def ledger_of(lab: Any, outside: Place) -> Ledger:
    where = Outside(ORIGIN, outside.path / "ledger.key", outside.folder)
    return Ledger(lab.installation.retention, where, "test")


def test_publishers_killed_at_every_step_lose_nothing_and_never_contradict_each_other(
    lab: Any, acme: TenantId, outside: Place
) -> None:
    with at_the_ledger(lab, outside, acme) as order:
        assert order(publishers=1) == [0]
        for step in STEPS:
            codes = order(publishers=2, step=step, count=1)
            assert sorted(codes) == [KILLED, 0], step
            check_the_tree(lab, outside)
        order(writers=0)
    ledger_of(lab, outside).publish()
    size = check_the_tree(lab, outside)
    assert check_the_entries(lab, outside) > 100
    found = audit_ledger(lab.installation.verifier, ledger_of(lab, outside).outside)
    assert (found.findings, found.size, found.waiting) == ((), size, 0)
    assert list(outside.folder.path.rglob(".fresh-*")) == []
    given = [
        SignedCheckpoint.verify(note, [outside.key]).checkpoint
        for _, note in sorted(outside.seen.items())
    ]
    assert len(given) > len(STEPS) // 2
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        for at, old in enumerate(given):
            for new in given[at:]:
                path = consistency(cursor, old.size, new.size)
                tree.verify_consistency(old.size, old.root, new.size, new.root, path)


@pytest.mark.parametrize("step", ["linked", "replaced"])
def test_a_database_put_back_in_mid_air_signs_nothing_until_somebody_decides(
    lab: Any, acme: TenantId, outside: Place, cluster: Cluster, step: str
) -> None:
    backup = Backup(cluster, lab)
    with at_the_ledger(lab, outside, acme, writers=4) as order:
        order(writers=0)
        # Nothing waits: what is signed next has entries that the backup has not.
        assert order(publishers=1) == [0]
        backup.make()
        order(writers=4)
        # A checkpoint is in the folder, as the last one or not yet; its entries will be gone.
        assert KILLED in order(publishers=1, step=step, count=1)
        check_the_tree(lab, outside)
        backup.put_back()
        given = {path: path.read_bytes() for _, path in outside.folder.notes()}
        last = outside.folder.last()
        for _ in range(3):
            assert order(publishers=2) == [REFUSED, REFUSED]
        order(writers=0)
    assert outside.folder.last() == last
    assert {path: path.read_bytes() for _, path in outside.folder.notes()} == given
    with pytest.raises(LedgerError, match="Nothing is signed"):
        ledger_of(lab, outside).publish()
    assert lab.sql("SELECT count(*) FROM tenure.ledger_entries WHERE position IS NULL") == [(0,)]
    found = audit_ledger(lab.installation.verifier, ledger_of(lab, outside).outside)
    assert set(found.counts) == {"checkpoint"}
