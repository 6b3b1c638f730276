"""Erasure beyond PostgreSQL: what others hold of a person is asked for, and acknowledged.

A connector is declared (`declarations`); a request to it is written down in the transaction
that erases (`requests`), worked on until it is acknowledged (`delivery`), by a file store
(`file_store`) or a webhook (`protocol`). What has not acknowledged stays open, with its clock.
"""
