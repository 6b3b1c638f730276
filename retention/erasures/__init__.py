"""Erasure at a person's request (GDPR 17): asked, confirmed, planned, approved, done, verified.

`records` are erasures as the database has them, `requests` the steps that people take. `judging`
decides over a person's rows; `planning` shows what it comes to; `execution` does it, `batch` by
batch with `statements`; `checking` looks afresh. `letters` say it to the person.
"""
