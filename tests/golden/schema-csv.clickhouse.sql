SELECT * FROM file('OBJECTS/**/*.csv', 'CSVWithNames', '`request_time` DateTime64(6, ''UTC''), `request_method` String, `request_path` String, `request_query` String, `response_status` Int64, `content_length` Int64, `space` String, `route` String, `referrer` String, `actor_id` String')
SETTINGS date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1;
