"""Copies of data that are handed out: all of a person (GDPR 15), or all of a tenant.

A zip of JSON and CSV per table, read in one snapshot, with a manifest of SHA-256 digests whose
own digest is on record.
"""
