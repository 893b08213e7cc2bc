CREATE EXTERNAL TABLE records (
  `_timestamp` string,
  `ecs` struct<`version`:string>,
  `event` struct<`id`:string,`kind`:string,`action`:string,`outcome`:string,`module`:string,`dataset`:string,`reason`:string,`category`:array<string>,`type`:array<string>,`start`:string,`end`:string,`duration`:bigint,`sequence`:bigint>,
  `http` struct<`version`:string,`request`:struct<`id`:string,`method`:string,`referrer`:string,`body`:struct<`bytes`:bigint>>,`response`:struct<`status_code`:bigint,`body`:struct<`bytes`:bigint>>>,
  `url` struct<`path`:string,`query`:string>,
  `user_agent` struct<`original`:string>,
  `trace` struct<`id`:string>,
  `span` struct<`id`:string>,
  `error` struct<`type`:string>,
  `client` struct<`address`:string,`ip`:string,`port`:bigint>,
  `destination` struct<`address`:string,`ip`:string,`port`:bigint>,
  `tls` struct<`version`:string,`version_protocol`:string,`client`:struct<`subject`:string>>,
  `user` struct<`id`:string,`name`:string,`email`:string>,
  `organization` struct<`id`:string>,
  `related` struct<`ip`:array<string>,`user`:array<string>>,
  `observer` struct<`name`:string,`product`:string,`type`:string,`vendor`:string,`version`:string>,
  `onrecord` struct<`boot`:string,`schema_version`:string,`outcome`:string,`category`:string,`actor_type`:string,`actor_provenance`:string,`actor_unverified`:string,`actor_issuer`:string,`actor_app_id`:string,`actor_delegate_id`:string,`session_id`:string,`origin_type`:string,`namespace`:string,`space_id`:string,`environment_id`:string,`cache_detail`:string,`method_override`:string,`route`:string,`user_agent_product`:string,`resource_type`:string,`resource_id`:string,`actor_authentication`:string,`credential_key`:string,`credential_id`:string,`cache_status`:string,`inspection_error`:string,`lane`:bigint,`sequence`:bigint,`resources_truncated`:bigint,`upstream_duration_microseconds`:bigint,`upstream_attempts`:bigint,`origin_evidence`:array<string>,`action_candidates`:array<string>,`resources`:array<struct<`type`:string,`id`:string>>>
)
PARTITIONED BY (log_source string, organization_id string, year string, month string, day string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'mapping._timestamp' = '@timestamp',
  'ignore.malformed.json' = 'false'
)
LOCATION 's3://BUCKET/PREFIX/';
