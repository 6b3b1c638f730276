"""What others said of checkpoints, and the database keeps, shows what was rewritten since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from retention.ledger.attesting import Attesters
from retention.ledger.audit import audit_ledger
from retention.ledger.publishing import Ledger
from tenants.context import TenantId

from .test_ledger_attesting import authority, key, ledger, witness
from .test_ledger_audit import Intruder, back_date_entry, change_entry, drop_entry
from .test_ledger_publishing import enter

__all__ = ["authority", "key", "ledger", "witness"]

ASKED = {
    "authority": lambda who: Attesters(authority=who.authority),
    "witness": lambda who: Attesters(witness=who.witness),
}


@dataclass
class Attested:
    """A ledger under three checkpoints, each attested by an authority and a witness."""

    lab: Any
    ledger: Ledger
    intruder: Intruder

    def found(self, asked: str | None = None) -> set[str]:
        attesters = self.ledger.attesters
        if asked:
            attesters = ASKED[asked](attesters)
        lab = self.lab
        return set(audit_ledger(lab.installation.verifier, self.ledger.outside, attesters).counts)

    def unasked(self) -> set[str]:
        found = audit_ledger(self.lab.installation.verifier, self.ledger.outside)
        return set(found.counts)


@pytest.fixture
def scene(lab: Any, acme: TenantId, ledger: Ledger) -> Iterator[Attested]:
    lab.case(acme, files=1)
    lab.run()
    for count in (3, 12, 5):
        enter(lab, count)
        assert ledger.publish().problems == ()
    with closing(psycopg2.connect(lab.installation.settings.database_url)) as connection:
        yield Attested(lab, ledger, Intruder(connection, lab, ledger))


@pytest.mark.parametrize("asked", ASKED)
def test_what_others_saw_is_as_it_was(scene: Attested, asked: str) -> None:
    assert scene.found(asked) == set()
    enter(scene.lab, 1)
    scene.ledger.publish()
    scene.ledger.rotate()
    assert scene.found(asked) == set()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "rewrite", [change_entry, drop_entry, back_date_entry], ids=lambda value: value.__name__
)
def test_a_ledger_written_anew_and_signed_again_was_seen_by_nobody(
    scene: Attested, rewrite: Callable[[Intruder], None], asked: str
) -> None:
    rewrite(scene.intruder)
    scene.intruder.hash_again()
    scene.intruder.sign_again()
    assert "attestation" not in scene.unasked()
    assert "attestation" in scene.found(asked)


@pytest.mark.parametrize("asked", ASKED)
def test_an_entry_dated_back_contradicts_who_saw_the_ledger_without_it(
    scene: Attested, asked: str
) -> None:
    enter(scene.lab, 1)
    scene.intruder.sql(
        "UPDATE tenure.ledger_entries SET recorded_at = recorded_at - interval '3 hours'"
        " WHERE position IS NULL"
    )
    scene.ledger.publish()
    assert scene.unasked() == {"order"}, "the entries ahead of it tell as well"
    assert scene.found(asked) == {"order", "attestation"}


@pytest.mark.parametrize("kind", ["timestamp", "cosignature"])
def test_the_word_for_another_checkpoint_is_none_for_this_one(scene: Attested, kind: str) -> None:
    scene.intruder.sql(
        "UPDATE tenure.ledger_attestations a SET content = b.content"
        " FROM tenure.ledger_attestations b WHERE a.kind = %s AND b.kind = a.kind"
        " AND b.size = (SELECT min(size) FROM tenure.ledger_attestations)",
        (kind,),
    )
    assert scene.unasked() == set()
    assert scene.found() == {"attestation"}


def test_what_was_said_in_another_name_cannot_be_verified_and_is_no_finding_but_is_told(
    scene: Attested,
) -> None:
    reader, outside = scene.lab.installation.verifier, scene.ledger.outside
    ((count, kinds),) = scene.lab.sql(
        "SELECT count(*), count(DISTINCT kind) FROM tenure.ledger_attestations"
    )
    found = audit_ledger(reader, outside, scene.ledger.attesters).attestations
    assert (found.verified, found.unchecked) == (count, ())
    found = audit_ledger(reader, outside, ASKED["witness"](scene.ledger.attesters)).attestations
    assert found.verified == count / kinds
    assert [(each.kind, each.count) for each in found.unchecked] == [("timestamp", count / kinds)]
    scene.intruder.sql("UPDATE tenure.ledger_attestations SET name = name || '-before'")
    assert scene.found() == set()
    found = audit_ledger(reader, outside, scene.ledger.attesters).attestations
    assert found.verified == 0
    assert sum(each.count for each in found.unchecked) == count
    assert all(each.name.endswith("-before") for each in found.unchecked)
    assert sum(each.count for each in audit_ledger(reader, outside).attestations.unchecked) == count
