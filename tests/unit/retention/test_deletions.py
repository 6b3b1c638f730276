"""Hashes of keys: what anybody can compute again."""

from __future__ import annotations

from uuid import UUID

from retention.deletions import key_hash

A, B = UUID("00000000-0000-7000-8000-000000000001"), UUID("00000000-0000-7000-8000-000000000002")


def test_a_keys_hash_is_the_beginning_of_sha256_over_its_sixteen_bytes() -> None:
    # echo 00000000000070008000000000000001 | xxd -r -p | sha256sum | cut -c 1-32
    assert key_hash(A).hex() == "1ead02f2ef442466e136f9b9acdd3bf3"
    assert key_hash(B).hex() == "abfec9d67aded976aecae3c94a9da9d4"
