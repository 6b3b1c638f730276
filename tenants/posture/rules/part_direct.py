"""A partition is granted by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.checks import reached_by_name
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield partitions that the app reaches by their own name, past their parent's policies."""
    for part, top in subject.parts:
        if part.is_partition and part.kind != "foreign":
            yield from reached_by_name(subject, part, top)


RULE = Rule(
    name="part-direct",
    severity="error",
    group="Tables and policies",
    title="A partition is granted by itself",
    why=(
        "Policies of a partitioned table hold for queries that name the partitioned table. A "
        "partition that is granted has none of its own: whoever names it sees every tenant's "
        "rows, and its statistics in pg_stats with them."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
CREATE TABLE shop.events (tenant_id uuid NOT NULL, id uuid NOT NULL, at date NOT NULL,
    PRIMARY KEY (tenant_id, id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2030 PARTITION OF shop.events
    FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
ALTER TABLE shop.events OWNER TO shop_owner;
ALTER TABLE shop.events_2030 OWNER TO shop_owner;
ALTER TABLE shop.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.events TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO shop_app;""",
    good="""\
CREATE TABLE shop.events (tenant_id uuid NOT NULL, id uuid NOT NULL, at date NOT NULL,
    PRIMARY KEY (tenant_id, id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2030 PARTITION OF shop.events
    FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
ALTER TABLE shop.events OWNER TO shop_owner;
ALTER TABLE shop.events_2030 OWNER TO shop_owner;
ALTER TABLE shop.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.events TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT ON shop.events TO shop_app;""",
    check=check,
)
