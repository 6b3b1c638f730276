"""The schema over which the rules' examples are judged. No rule finds a fault in it."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE tenants (id uuid PRIMARY KEY, slug text NOT NULL UNIQUE);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants USING (id = (SELECT tenure.current_tenant()))
    WITH CHECK (id = (SELECT tenure.current_tenant()));

CREATE TABLE customer (
    tenant_id uuid NOT NULL REFERENCES tenants,
    id uuid NOT NULL,
    email text,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON customer USING (tenant_id = (SELECT tenure.current_tenant()))
    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));

CREATE TABLE invoice (
    tenant_id uuid NOT NULL REFERENCES tenants,
    id uuid NOT NULL,
    customer_id uuid,
    number text,
    status text,
    amount numeric,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)
);
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()))
    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));
"""
