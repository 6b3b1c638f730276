"""Samples as a report: what there is to draw from, what was drawn or found, what proves it."""

from __future__ import annotations

from retention.reports.asking import Asked
from retention.reports.commitments import Commitment, Entered
from retention.reports.presented import ErasedRow, PurgedRow
from retention.reports.report import Report, Table
from retention.reports.samples import Sample, SamplesReport, samples_report
from retention.reports.words import text_of
from tenants.connections import Cursor

_PRESENTED = {
    "tenant": "Of",
    "trace_id": "Trace",
    "batch_id": "Batch",
    "index": "Entry",
    "checkpoint": "Of the checkpoint's",
}


def samples(cursor: Cursor, asked: Asked) -> Report:
    """Return samples, as they are asked for; without that, the population alone."""
    found = samples_report(cursor, asked.scope, asked.ticking.now, asked.sought)
    return Report(
        "samples",
        "",
        found,
        (
            Table(
                "samples",
                Sample,
                found.samples,
                title="Samples",
                show="number proof/index/checkpoint/place table/went/action/tenant/key_hash/key "
                "policy/version/period_words/legal_basis/approved_by/approved_at "
                "trigger/started_at/along_from/along_until/cutoff "
                "due_at/was_due/due_by/cutoff_agrees "
                "purged_at/restored_at/trace_id/started_by/batch_id",
                labels={
                    "number": "No.",
                    "place": "In the population no.",
                    "key_hash": "Key's hash",
                    "key": "Key",
                    "went": "Went",
                    "action": "Action",
                    "tenant": "Of",
                    "period_words": "Kept for",
                    "legal_basis": "Because:",
                    "trigger": "Counted from",
                    "started_at": "Which was",
                    "along_from": "Which was, of the row it belongs to, from",
                    "along_until": "To",
                    "cutoff": "Before the cutoff",
                    "due_at": "Due, at the latest",
                    "was_due": "Began before the cutoff:",
                    "due_by": "As of the run",
                    "cutoff_agrees": "Cutoff and run are the period apart:",
                    "purged_at": "Went on",
                    "restored_at": "And came back, with its batch,",
                    "trace_id": "Run",
                    "batch_id": "Batch",
                    "started_by": "By",
                    "approved_by": "By",
                    "approved_at": "On",
                    "index": "Entry",
                    "checkpoint": "Of the checkpoint's",
                },
                empty=_nothing(found),
            ),
            Table(
                "erased",
                ErasedRow,
                found.erased,
                title="By erasures",
                note="What became of the row because a person asked to be erased.",
                show="erasure_id proof/index/checkpoint table/tenant action requested_at/due_at "
                "erased_at trace_id/batch_id",
                labels={
                    **_PRESENTED,
                    "erasure_id": "Erasure",
                    "requested_at": "Requested",
                    "due_at": "Due",
                    "erased_at": "When",
                },
                empty=_none_presented(found),
            ),
            Table(
                "purged",
                PurgedRow,
                found.purged,
                title="With its tenant, or again after a restore",
                note="What became of the row in an offboarding, or a replay.",
                show="purge/purge_id/cause_id proof/index/checkpoint table/tenant action rule "
                "started_by/approved_by requested_at/due_at purged_at trace_id/batch_id",
                labels={
                    **_PRESENTED,
                    "purge": "By",
                    "purge_id": "Purge",
                    "cause_id": "Of the offboarding",
                    "started_by": "Started by",
                    "approved_by": "Asked for by",
                    "requested_at": "Requested",
                    "due_at": "Deletes from",
                    "purged_at": "When",
                },
                empty=_none_presented(found),
            ),
            Table(
                "commitments",
                Commitment,
                found.commitments,
                title="Keys of their batches",
                note="The hashes of the keys that a batch deleted of a table, and in the same "
                "order from when their periods ran; SHA-256 over each is in the batch's entry. "
                "To be taken along: the hashes (.keys), the others at the same address (.starts).",
                show="batch_id/sha256/starts_sha256 table/action/cause rows proof",
                labels={
                    "batch_id": "Batch",
                    "sha256": "SHA-256",
                    "starts_sha256": "Of the starting points",
                    "cause": "Of a",
                },
            ),
            Table(
                "entries",
                Entered,
                found.entries,
                title="Their batches in the ledger",
                note="Each with its proof, to be taken along (tlog-proof@v1).",
                show="batch_id/root entered_at index checkpoint",
                labels={
                    "batch_id": "Batch",
                    "index": "Entry",
                    "checkpoint": "Of the checkpoint's",
                },
            ),
        ),
        facts=_facts(found),
        lead="Rows that went by a policy. Of a row its key's hash is kept, and from when its "
        "period ran; of its batch, when it went, by which run, and what was due then. A row that "
        "went along has no period of its own: that of a row of the same batch counted.",
    )


def _facts(found: SamplesReport) -> tuple[tuple[str, str], ...]:
    population = found.population
    facts = [
        ("Rows", f"{population.rows:,} in {population.batches:,} batches"),
        ("SHA-256 over batches", population.digest),
    ]
    if population.rows_without_keys:
        missing = f"{population.rows_without_keys:,} in {population.batches_without_keys:,} batches"
        facts.append(("Recorded rows without keys", f"{missing}: they cannot be drawn"))
    if population.seed is not None:
        drawn = f"{len(found.samples)} of {population.rows:,}, by the seed {population.seed}"
        facts += [("Drawn", drawn), ("From rows up to", population.until.isoformat())]
    if found.key is not None:
        facts.append(("Key", f"{text_of(found.key)}, in whatever period"))
    return tuple(facts)


def _none_presented(found: SamplesReport) -> str:
    return "None." if found.key else "Looked for when a key is presented."


def _nothing(found: SamplesReport) -> str:
    if found.key is not None:
        return (
            "No policy took a row by this key, as far as keys are committed to; or the row is not "
            "of the tenant or table that was named."
        )
    if found.population.rows == 0:
        return "No row went in the period."
    return "None was asked for."
