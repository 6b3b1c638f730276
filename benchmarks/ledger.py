"""What the ledger costs: entering (`ledger_entering`), verifying a file of a million entries, and
proving one out of ten million.

Verifying is compared with the same hashes and nothing else. Proofs come out of a true tree; what
counts is the processor time of our own process, and the server's answer is said beside it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

from api.wiring import open_installation
from benchmarks.ledger_data import ORIGIN, ExportFile, export_of, grow
from benchmarks.ledger_entering import entering
from benchmarks.measure import Figure, interleaved, peak_memory
from benchmarks.world import World
from config.logging import configure_logging
from retention.ledger.checkpoint import VerifierKey
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.proofs import at_index, verifier_keys
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import Trust, verify_export

EXPORTED = 1_000_000
ROUNDS = 3
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
PROOFS = 500


def run(world: World) -> Iterator[Figure]:
    """Yield the figures."""
    configure_logging("json", "error")
    yield from entering(world)
    with tempfile.TemporaryDirectory(prefix="tenure-bench-") as folder:
        yield from _verifying(Path(folder))
        yield from _proving(world, Path(folder))


# -- verifying -----------------------------------------------------------------------------


def _verifying(folder: Path) -> Iterator[Figure]:
    signer = create_key(folder / "export.key", ORIGIN)
    few, many = (export_of(folder, entries, signer) for entries in (EXPORTED // 100, EXPORTED))
    medians = interleaved(
        {
            "verify": lambda _: _verify(many.path, many.key),
            "hash": lambda _: _hash(many.path),
            "leaves": lambda _: _hash_leaves(many.path),
        },
        rounds=ROUNDS,
        warmup=1,
    )
    yield Figure(
        f"an export of {EXPORTED:,} entries verified / its hashes computed",
        medians["verify"] / medians["hash"],
        "ratio",
        ceiling=3.0,
        note=f"{medians['verify']:.2f} against {medians['hash']:.2f} s, of which the entries' own "
        f"{medians['leaves']:.2f}; {many.bytes / EXPORTED:.0f} bytes an entry",
    )
    peaks = {each.entries: _peak(each) for each in (few, many)}
    yield Figure(
        f"peak memory of a process that verifies {EXPORTED:,} / {EXPORTED // 100:,}",
        peaks[many.entries] / peaks[few.entries],
        "ratio",
        ceiling=1.1,
        note=f"{peaks[many.entries] / 1024:.0f} against {peaks[few.entries] / 1024:.0f} MiB",
    )


def _verify(path: Path, key: VerifierKey) -> None:
    with path.open("rb") as stream:
        verify_export(stream, Trust((key,)))


def _hash(path: Path) -> None:
    """Compute the hashes of a tree over the file's lines, as plainly as it goes."""
    sha256, hashes = hashlib.sha256, _hash_leaves(path)
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        odd = hashes[-1:] if len(hashes) % 2 else []
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd


def _hash_leaves(path: Path) -> list[bytes]:
    sha256 = hashlib.sha256
    with path.open("rb") as stream:
        stream.readline()
        return [sha256(b"\x00" + line[:-1]).digest() for line in stream]


def _peak(export: ExportFile) -> float:
    """Return the most memory, in KiB, that a process of its own needs to verify it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure_peak, args=(there, export))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("an export does not verify")
    return float(here.recv())


def _measure_peak(told: Connection, export: ExportFile) -> None:
    _verify(export.path, export.key)
    told.send(peak_memory())


# -- proving -------------------------------------------------------------------------------


def _proving(world: World, folder: Path) -> Iterator[Figure]:
    settings = world.installation("tree", "plain")
    create_key(folder / "tree.key", ORIGIN)
    (folder / "checkpoints").mkdir()
    outside = Outside(ORIGIN, folder / "tree.key", Folder(folder / "checkpoints"))
    with closing(open_installation(settings)) as installation:
        ledger = Ledger(installation.retention, outside, "benchmark")
        ledger.publish()
        checkpoints = []
        for size in SIZES:
            grow(settings, size)
            published = ledger.publish(wait=True)
            checkpoints.append(published.size or 0)
        own: dict[int, list[float]] = {size: [] for size in checkpoints}
        whole: dict[int, list[float]] = {size: [] for size in checkpoints}
        rng = random.Random(1)
        with installation.auditor.transaction(None, read_only=True) as cursor:
            keys = verifier_keys(cursor, ORIGIN)
            for number in range(-20, PROOFS):
                for size in rng.sample(checkpoints, len(checkpoints)):
                    index = rng.randrange(size)
                    began, began_own = time.perf_counter(), time.process_time()
                    found = at_index(cursor, index, size=size)
                    took, took_own = time.perf_counter() - began, time.process_time() - began_own
                    if found.proof is None or found.leaf is None:
                        raise RuntimeError(f"no proof of {index}")
                    found.proof.verify(found.leaf, keys)
                    if number >= 0:
                        whole[size].append(took)
                        own[size].append(took_own)
    for size, checkpoint in zip(SIZES, checkpoints, strict=True):
        yield Figure(
            f"a proof out of {size:,} entries: our own process's time",
            1000 * statistics.median(own[checkpoint]),
            "ms",
            ceiling=1.0 if size == SIZES[-1] else None,
            note=f"{1000 * statistics.median(whole[checkpoint]):.2f} ms with three round trips",
        )
