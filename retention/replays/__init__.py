"""Replay after a restore: what the records outside of the database say went, goes again.

`wanted` reads from the records what the restored database knows nothing of, `finding` which rows
of that are there; `execution` has them go, `batch` by batch; `checking` looks afresh.
"""
