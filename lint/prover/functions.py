"""Built-in functions that compute from their arguments and read no table.

An allow-list: a function that is not on it may read anything, so a statement that calls it is
not proven. Left out on purpose: whatever runs SQL given as text (`query_to_xml`, `ts_stat`,
`dblink`), reads files, large objects or statistics, or changes a setting (`set_config`).
"""

from __future__ import annotations

from lint.text.words import words

AGGREGATES = words(
    "any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop "
    "covar_samp cume_dist dense_rank every json_agg json_arrayagg json_object_agg jsonb_agg "
    "jsonb_object_agg json_agg_strict jsonb_agg_strict max min mode percent_rank percentile_cont "
    "percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count "
    "regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp "
    "string_agg sum var_pop var_samp variance xmlagg"
)

# A set-returning function's column names, where it has names of its own.
SET_RETURNING: dict[str, tuple[str, ...] | None] = {
    "generate_series": None,
    "generate_subscripts": None,
    "unnest": None,
    "string_to_table": None,
    "regexp_matches": None,
    "regexp_split_to_table": None,
    "json_array_elements": ("value",),
    "json_array_elements_text": ("value",),
    "jsonb_array_elements": ("value",),
    "jsonb_array_elements_text": ("value",),
    "json_each": ("key", "value"),
    "json_each_text": ("key", "value"),
    "jsonb_each": ("key", "value"),
    "jsonb_each_text": ("key", "value"),
    "json_object_keys": None,
    "jsonb_object_keys": None,
    "jsonb_path_query": None,
    "json_to_record": None,
    "jsonb_to_record": None,
    "json_to_recordset": None,
    "jsonb_to_recordset": None,
    "json_populate_record": None,
    "jsonb_populate_record": None,
    "json_populate_recordset": None,
    "jsonb_populate_recordset": None,
    "ts_debug": None,
}

_SCALAR = words(
    """
abs acos acosd acosh age array_append array_cat array_dims array_fill array_length array_lower
array_ndims array_position array_positions array_prepend array_remove array_replace array_sample
array_shuffle array_to_json array_to_string array_to_tsvector array_upper ascii asin asind asinh
atan atan2 atan2d atand atanh bit_count bit_length box broadcast btrim cardinality cbrt ceil
ceiling char_length character_length chr circle clock_timestamp coalesce concat concat_ws convert
convert_from convert_to cos cosd cosh cot cotd current_catalog current_database current_date
current_role current_schema current_schemas current_setting current_time current_timestamp
current_user currval date date_bin date_part date_trunc decode degrees diagonal diameter div
encode enum_first enum_last enum_range exp extract family first_value floor format
format_type gcd gen_random_uuid uuidv4 uuidv7 get_bit get_byte get_current_ts_config greatest
grouping height host hostmask inet_merge inet_same_family initcap isempty isfinite json_array
json_array_length json_build_array json_build_object json_extract_path json_extract_path_text
json_object json_scalar json_serialize json_strip_nulls json_typeof jsonb_array_length
jsonb_build_array jsonb_build_object jsonb_extract_path jsonb_extract_path_text jsonb_insert
jsonb_object jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_query_array
jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_typeof
justify_days justify_hours justify_interval lag last_value lastval lcm lead least left length
line ln localtime localtimestamp log log10 lower lower_inc lower_inf lpad lseg ltrim
make_date make_interval make_time make_timestamp make_timestamptz masklen md5 min_scale mod
multirange netmask network nextval normalize now nth_value ntile nullif num_nonnulls num_nulls
numnode octet_length overlay parse_ident path pg_backend_pid pg_column_size pg_size_pretty
pg_typeof phraseto_tsquery pi plainto_tsquery point polygon position power querytree
quote_ident quote_literal quote_nullable radians radius random random_normal
range_merge regexp_count regexp_instr regexp_like regexp_match regexp_replace regexp_split_to_array
regexp_substr repeat replace reverse right round row row_number row_to_json rpad rtrim scale
session_user set_bit set_byte set_masklen setseed setweight sha224 sha256 sha384 sha512 sign sin
sind sinh slope split_part sqrt starts_with statement_timestamp string_to_array strip strpos
substr substring tan tand tanh text timeofday timezone to_ascii to_bin to_char
to_date to_hex to_json to_jsonb to_number to_oct to_timestamp to_tsquery to_tsvector
transaction_timestamp translate trim trim_array trim_scale trunc ts_delete ts_filter
ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array txid_current
pg_current_xact_id unistr upper upper_inc upper_inf user version websearch_to_tsquery width
width_bucket xmlconcat xmlelement xmlforest xmlparse xmlserialize int4range int8range numrange
tsrange tstzrange daterange int4multirange int8multirange nummultirange tsmultirange
tstzmultirange datemultirange hashtext hashtextextended
to_regclass to_regprocedure
to_regproc to_regtype to_regrole to_regnamespace to_regoperator pg_has_role has_table_privilege
has_any_column_privilege has_column_privilege has_schema_privilege has_database_privilege
has_function_privilege has_sequence_privilege has_type_privilege pg_get_expr pg_get_constraintdef
pg_get_indexdef pg_get_viewdef pg_get_functiondef pg_get_triggerdef pg_get_userbyid
pg_get_serial_sequence pg_table_is_visible pg_function_is_visible pg_type_is_visible
pg_get_function_identity_arguments pg_get_function_result pg_get_function_arguments
obj_description col_description shobj_description pg_is_in_recovery row_security_active
pg_encoding_to_char pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock pg_try_advisory_lock
pg_try_advisory_xact_lock
"""
)

# Words that look like a call when a parenthesis follows, and are syntax.
SYNTAX = words(
    "all and any array as between by case cast check conflict cube default delete distinct do else "
    "end except exists extract fetch filter for from full grouping group having ilike in inner "
    "insert intersect interval into is join key lateral left like limit materialized natural not "
    "nothing of offset on only or order outer over overlaps partition primary recursive references "
    "returning right rollup rows row select set sets similar some symmetric asymmetric table then "
    "to treat trim union unique update using values view when where window with within without "
    "xmltable json_table char character varchar varying bpchar numeric decimal dec bit time "
    "timestamp timestamptz timetz float precision double vector halfvec geometry geography "
    "collate nulls first last range groups preceding following ordinality escape matched source "
    "target merge with_ties percent explain analyze verbose format"
)

SAFE = AGGREGATES | _SCALAR | frozenset(SET_RETURNING)

# Grammar, not functions, to the server: written in quotes they are the user's own.
GRAMMAR = words(
    "row coalesce nullif greatest least extract trim grouping normalize json_array json_object "
    "json_scalar json_serialize json_arrayagg xmlconcat xmlelement xmlforest xmlparse xmlserialize "
    "current_catalog current_date current_role current_time current_timestamp current_user "
    "localtime localtimestamp session_user user array multirange"
)
