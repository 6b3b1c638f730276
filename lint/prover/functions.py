"""Built-in functions that compute from their arguments and read no table.

An allow-list: a function that is not on it may read anything, so a statement that calls it is
not proven. Gone through for it were the functions of PostgreSQL 15, 16 and 18, but those behind
operators and types. Left out on purpose: whatever runs SQL given as text (`query_to_xml`,
`ts_stat`, `ts_rewrite`, `dblink`), reads files, large objects, replication slots or statistics,
tells the size of a table (`pg_relation_size`), or changes a setting (`set_config`).
"""

from __future__ import annotations

from lint.text.words import words

AGGREGATES = words(
    "any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop "
    "covar_samp cume_dist dense_rank every json_agg json_arrayagg json_object_agg jsonb_agg "
    "jsonb_object_agg json_agg_strict jsonb_agg_strict "
    "json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict "
    "jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict "
    "max min mode percent_rank percentile_cont percentile_disc range_agg range_intersect_agg "
    "rank regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy "
    "regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance xmlagg"
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
    "jsonb_path_query_tz": None,
    "aclexplode": ("grantor", "grantee", "privilege_type", "is_grantable"),
    "pg_options_to_table": ("option_name", "option_value"),
    "pg_partition_ancestors": ("relid",),
    "pg_partition_tree": ("relid", "parentrelid", "isleaf", "level"),
    "pg_snapshot_xip": None,
    "pg_timezone_abbrevs": ("abbrev", "utc_offset", "is_dst"),
    "pg_timezone_names": ("name", "abbrev", "utc_offset", "is_dst"),
    "ts_parse": ("tokid", "token"),
    "ts_token_type": ("tokid", "alias", "description"),
    "txid_snapshot_xip": None,
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

# They compute, or tell of the session, the server and its catalogs.
_TELLING = words(
    """
abbrev acldefault array_reverse array_sort bound_box casefold crc32 crc32c date_add
date_subtract erf erfc factorial gamma getdatabaseencoding icu_unicode_version inet_client_addr
inet_client_port inet_server_addr inet_server_port isclosed ishorizontal isopen isparallel isperp
isvertical json_to_tsvector jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz
jsonb_populate_record_valid jsonb_to_tsvector lgamma macaddr8_set7bit makeaclitem mxid_age npoints
oidvectortypes pg_basetype pg_blocking_pids pg_char_to_encoding pg_client_encoding
pg_collation_actual_version pg_collation_is_visible pg_column_compression pg_column_is_updatable
pg_conf_load_time pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system
pg_conversion_is_visible pg_current_logfile pg_current_snapshot pg_current_wal_flush_lsn
pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id_if_assigned
pg_database_collation_actual_version pg_database_size pg_describe_object pg_encoding_max_length
pg_filenode_relation pg_get_acl pg_get_function_arg_default pg_get_function_sqlbody
pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_ruledef
pg_get_replica_identity_index pg_get_statisticsobjdef pg_get_statisticsobjdef_columns
pg_get_statisticsobjdef_expressions pg_get_wal_replay_pause_state pg_identify_object
pg_identify_object_as_address pg_index_column_has_property pg_index_has_property
pg_indexam_has_property pg_input_error_info pg_input_is_valid pg_is_other_temp_schema
pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_my_temp_schema pg_notification_queue_usage
pg_numa_available pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
pg_partition_root pg_postmaster_start_time pg_relation_filenode pg_relation_filepath
pg_relation_is_publishable pg_relation_is_updatable pg_replication_origin_oid
pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sequence_parameters pg_settings_get_flags
pg_size_bytes pg_snapshot_xmax pg_snapshot_xmin pg_split_walfile_name pg_statistics_obj_is_visible
pg_tablespace_location pg_tablespace_size pg_trigger_depth pg_ts_config_is_visible
pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_visible_in_snapshot
pg_wal_lsn_diff pg_walfile_name pg_walfile_name_offset pg_xact_commit_timestamp
pg_xact_commit_timestamp_origin pg_xact_status pow system_user to_regcollation to_regoper
to_regtypemod ts_lexize txid_current_if_assigned txid_current_snapshot txid_snapshot_xmax
txid_snapshot_xmin txid_status txid_visible_in_snapshot unicode_assigned unicode_version
uuid_extract_timestamp uuid_extract_version xml_is_well_formed xml_is_well_formed_content
xml_is_well_formed_document xmlcomment xmltext xpath xpath_exists has_foreign_data_wrapper_privilege
has_language_privilege has_largeobject_privilege has_parameter_privilege has_server_privilege
has_tablespace_privilege
"""
)

# They do something, but to no row: locks, sequences, notifications, the server and its processes.
_DOING = words(
    """
pg_advisory_lock_shared pg_advisory_unlock_all pg_advisory_unlock_shared
pg_advisory_xact_lock_shared pg_try_advisory_lock_shared pg_try_advisory_xact_lock_shared
pg_cancel_backend pg_create_restore_point pg_log_backend_memory_contexts pg_log_standby_snapshot
pg_logical_emit_message pg_notify pg_promote pg_reload_conf pg_rotate_logfile pg_sleep pg_sleep_for
pg_sleep_until pg_stat_clear_snapshot pg_switch_wal pg_terminate_backend pg_wal_replay_pause
pg_wal_replay_resume setval
"""
)

# A type's name is a function that casts to it.
_CASTS = words(
    "bool bpchar bytea cidr float4 float8 int2 int4 int8 macaddr macaddr8 money name oid "
    "pg_lsn regclass varbit"
)

# Of extensions that PostgreSQL ships, and of pgvector and PostGIS: what computes from its
# arguments, but for names that a project may well have given to a function of its own (`encrypt`,
# `delete`, `difference`). No aggregates.
_EXTENSIONS = words(
    """
uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil
uuid_ns_dns uuid_ns_oid uuid_ns_url uuid_ns_x500
armor crypt dearmor digest gen_random_bytes gen_salt hmac pgp_key_id
pgp_pub_decrypt pgp_pub_decrypt_bytea pgp_pub_encrypt pgp_pub_encrypt_bytea pgp_sym_decrypt
pgp_sym_decrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea
set_limit show_limit show_trgm similarity strict_word_similarity word_similarity unaccent
daitch_mokotoff dmetaphone dmetaphone_alt levenshtein levenshtein_less_equal metaphone soundex
akeys avals hstore hstore_to_array hstore_to_json hstore_to_json_loose hstore_to_jsonb
hstore_to_jsonb_loose hstore_to_matrix
ltree2text nlevel subltree subpath text2ltree icount intset sort_asc sort_desc subarray
cube_dim cube_distance cube_enlarge cube_inter cube_is_point cube_ll_coord cube_subset
cube_union cube_ur_coord earth_box earth_distance gc_to_sec ll_to_earth sec_to_gc
binary_quantize cosine_distance hamming_distance inner_product jaccard_distance l1_distance
l2_distance l2_normalize subvector vector_dims vector_norm
st_area st_asbinary st_asewkb st_asewkt st_asgeojson st_astext st_azimuth st_boundary st_buffer
st_centroid st_contains st_convexhull st_coveredby st_covers st_crosses st_difference st_disjoint
st_distance st_distancesphere st_dwithin st_endpoint st_envelope st_equals st_expand
st_flipcoordinates st_geogfromtext st_geohash st_geometryn st_geometrytype st_geomfromewkt
st_geomfromgeojson st_geomfromtext st_geomfromwkb st_intersects st_isempty st_isvalid
st_length st_linefromtext st_makeenvelope st_makepoint st_makevalid st_multi st_numgeometries
st_numpoints st_overlaps
st_perimeter st_point st_pointfromtext st_pointonsurface st_setsrid st_simplify
st_simplifypreservetopology st_snaptogrid st_srid st_startpoint st_tileenvelope st_touches
st_transform st_within st_x st_xmax st_xmin st_y st_ymax st_ymin st_z
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

SAFE = AGGREGATES | _SCALAR | _TELLING | _DOING | _CASTS | _EXTENSIONS | frozenset(SET_RETURNING)

# Grammar, not functions, to the server: written in quotes they are the user's own.
GRAMMAR = words(
    "row coalesce nullif greatest least extract trim grouping normalize json_array json_object "
    "json_scalar json_serialize json_arrayagg xmlconcat xmlelement xmlforest xmlparse xmlserialize "
    "current_catalog current_date current_role current_time current_timestamp current_user "
    "localtime localtimestamp session_user user array multirange"
)
