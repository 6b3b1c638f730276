"""The ledger: what matters to compliance, in a Merkle tree whose growth an outsider can check."""
