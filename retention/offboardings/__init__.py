"""Offboarding: a tenant leaves, and all that is its goes with it.

`records` has requests, their grace and what became of them; `finding` which rows go next,
`execution` has them go, by the batches of `retention.replays.batch`; `checking` looks afresh, and
says what stays and why.
"""
