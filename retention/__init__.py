"""Retention: policies, planner, batched executor, legal holds, leases, verification."""
