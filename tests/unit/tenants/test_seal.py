"""The client's half of the seal is HMAC-SHA-256, and binds what it must."""

from __future__ import annotations

import hashlib
import hmac
import uuid

import pytest

from tenants.seal import Sealer, padded_keys

KEY = bytes(range(32))


@pytest.mark.parametrize("key", [KEY, bytes(64), bytes(range(100))])
def test_padded_keys_make_hmac_sha256(key: bytes) -> None:
    """RFC 2104: H(K xor opad, H(K xor ipad, text)); keys longer than a block are hashed."""
    inner, outer = padded_keys(key)
    made = hashlib.sha256(outer + hashlib.sha256(inner + b"message").digest()).digest()
    assert made == hmac.digest(key, b"message", "sha256")


def test_a_token_binds_tenant_and_backend() -> None:
    sealer = Sealer("sealed", KEY)
    tenant, other = uuid.uuid4(), uuid.uuid4()
    tokens = {sealer.token(t, pid) for t in (tenant, other) for pid in (1, 2)}
    assert len(tokens) == 4
    assert sealer.token(tenant, 1).startswith(f"{tenant}:")
    assert Sealer("plain", KEY).token(tenant, 1) == str(tenant)


def test_a_short_key_is_refused_and_a_key_is_not_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer("sealed", b"short")
    assert KEY.hex() not in repr(Sealer("sealed", KEY))
    assert repr(KEY) not in repr(Sealer("sealed", KEY))
