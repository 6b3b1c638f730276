"""Tenant isolation: context, scoped queries, row-level security, the catalog of tables."""
