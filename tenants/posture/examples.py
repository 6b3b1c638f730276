"""The schema on which every rule's `bad` and `good` SQL is run. No rule finds a fault in it."""

from __future__ import annotations

BASE = """
CREATE ROLE shop_owner;
CREATE ROLE shop_app LOGIN;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
SET LOCAL ROLE shop_owner;
GRANT USAGE ON SCHEMA shop TO shop_app;

CREATE FUNCTION shop.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('app.tenant_id', true), '')::uuid
$$;
REVOKE EXECUTE ON FUNCTION shop.current_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.current_tenant() TO shop_app;

CREATE TABLE shop.tenants (id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE shop.tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.tenants FOR SELECT TO shop_app
    USING (id = (SELECT shop.current_tenant()));
CREATE POLICY owner ON shop.tenants TO shop_owner USING (true) WITH CHECK (true);
GRANT SELECT ON shop.tenants TO shop_app;

CREATE TABLE shop.customers (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    email text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.customers TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
CREATE POLICY owner ON shop.customers TO shop_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE, UPDATE (email) ON shop.customers TO shop_app;

CREATE TABLE shop.invoices (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    number text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, number),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES shop.customers (tenant_id, id)
);
CREATE INDEX invoices_customer ON shop.invoices (tenant_id, customer_id);
ALTER TABLE shop.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.invoices TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
CREATE POLICY owner ON shop.invoices TO shop_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE, UPDATE (customer_id, number) ON shop.invoices TO shop_app;
RESET ROLE;
"""
