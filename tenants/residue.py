"""What a statement can leave in its session, beyond its transaction.

A query (SELECT, INSERT, UPDATE, DELETE, MERGE) changes a session only by the functions that it
calls (set_config, pg_advisory_lock, setseed, ..), so one that calls none but these, or ours,
leaves nothing. A function that is missing here costs a round trip, and nothing else: see
`tenants.pool`.
"""

from __future__ import annotations

import re
from functools import lru_cache

# What touches the session (SET, LISTEN, ..) is none, nor what makes a table of its rows.
_QUERY = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|VALUES)\b", re.IGNORECASE)
_MAKES = re.compile(r"(?<!\bINSERT )(?<!\bMERGE )\bINTO\b", re.IGNORECASE)
# Keywords before a parenthesis count as functions here; they are in the list, too.
_NAME = r'"[^"]*"|[A-Za-z_][\w$]*'
_CALL = re.compile(rf"(?:({_NAME})\s*\.\s*)?({_NAME})\s*\(")
# Where a name stands before columns, and calls nothing.
_NAMES = re.compile(
    rf"(\bINTO (?:(?:{_NAME})\.)?(?:{_NAME})(?: AS (?:{_NAME}))?|\bAS (?:{_NAME})"
    rf"|\bWITH(?: RECURSIVE)? (?:{_NAME})) \("
)
_LOCAL = re.compile(r"SET LOCAL [a-z_.]+ (?:=|TO) (?:'[^']*'|\w+)(?:;\s*|\Z)", re.IGNORECASE)
# What could hide a call, or end the statement.
_DECEPTIVE = re.compile(r"--|/\*|;|\$\$|[Uu]&")
_KEPT_TEXT = 4096

_HARMLESS = frozenset(
    """
    abs all and any array array_agg array_length array_position array_remove array_to_json as
    avg between bool_and bool_or btrim by case cast ceil ceiling char_length clock_timestamp
    coalesce concat concat_ws conflict count cume_dist date_part date_trunc
    delete dense_rank distinct else every except exists extract filter first_value floor format
    from gen_random_uuid generate_series greatest group grouping having ilike in initcap insert
    intersect interval into json_agg json_array json_array_elements json_array_length
    json_build_array json_build_object json_object json_object_agg jsonb_agg
    jsonb_array_elements jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
    jsonb_object_agg jsonb_set jsonb_typeof key lag last_value lateral lead least left length
    like limit ln lower lpad ltrim make_date make_interval matched materialized max md5 merge
    min mod mode not now nth_value ntile nullif numeric octet_length offset on only or order
    over overlaps partition percent_rank percentile_cont percentile_disc position power rank
    regexp_match regexp_replace repeat replace returning reverse right round row row_number
    row_to_json rows rpad rtrim select set sign similar some split_part sqrt starts_with stddev
    string_agg string_to_array strpos substr substring sum then timestamp timezone to_char
    to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector translate trim trunc
    union unnest update upper using values varchar variance when where width_bucket with
    """.split()  # noqa: SIM905 - two hundred lines otherwise
)


def is_query(sql: str) -> bool:
    """Tell whether a text begins as a query does."""
    return _QUERY.match(sql) is not None


def text_leaves_nothing(sql: str) -> bool:
    """Tell whether a statement, of whatever kind, leaves nothing."""
    local = _LOCAL.match(sql)
    if local is not None:
        sql = sql[local.end() :]
        if not sql:
            return True
    return is_query(sql) and _MAKES.search(sql) is None and leaves_nothing(sql)


def leaves_nothing(sql: str) -> bool:
    """Tell whether a query (placeholders for its values) leaves nothing."""
    # A bulk insert's text is long, and never the same again.
    return _verdict(sql) if len(sql) <= _KEPT_TEXT else _judge(sql)


def _judge(sql: str) -> bool:
    if _DECEPTIVE.search(sql, 0, len(sql.rstrip("; "))):
        return False
    called = set(_CALL.findall(_NAMES.sub("(", sql)))
    return all(_is_harmless(schema, name) for schema, name in called)


def _is_harmless(schema: str, name: str) -> bool:
    # None of ours, in `tenure`, leaves anything. A domain's may be called as the system's are.
    return schema == "tenure" or (schema in ("", "pg_catalog") and name.lower() in _HARMLESS)


_verdict = lru_cache(maxsize=2048)(_judge)
