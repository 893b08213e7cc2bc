CREATE VIEW records AS SELECT * FROM read_csv('OBJECTS/**/*.csv', header = true, delim = ',', quote = '"',
escape = '"', union_by_name = true, types = {
  'request_time': 'TIMESTAMPTZ',
  'request_method': 'VARCHAR',
  'request_path': 'VARCHAR',
  'request_query': 'VARCHAR',
  'response_status': 'BIGINT',
  'content_length': 'BIGINT',
  'space': 'VARCHAR',
  'route': 'VARCHAR',
  'referrer': 'VARCHAR',
  'actor_id': 'VARCHAR'
});
