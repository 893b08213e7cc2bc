CREATE EXTERNAL TABLE records (
  `request_time` string,
  `request_method` string,
  `request_path` string,
  `request_query` string,
  `response_status` string,
  `content_length` string,
  `space` string,
  `route` string,
  `referrer` string,
  `actor_id` string
)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
LOCATION 's3://BUCKET/PREFIX/'
TBLPROPERTIES ('skip.header.line.count' = '1');
