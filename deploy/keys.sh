#!/bin/sh
# Makes the secrets of docker-compose.yml in deploy/secrets, once: one pair of keys that may write
# to the bucket (the gateway's), and one that may read it (yours). Nothing that exists is changed.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Only you may enter; the files themselves can be read by the containers' users, who get them one by one.
chmod 0700 secrets
cd secrets
if [ -e store.json ]; then
  echo "deploy/secrets has keys already"
  exit 0
fi
random() {
  od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}
writer=$(random 10) writer_secret=$(random 20)
reader=$(random 10) reader_secret=$(random 20)
printf %s "$writer" >s3-access-key-id
printf %s "$writer_secret" >s3-secret-access-key
printf 'S3_READER_KEY_ID=%s\nS3_READER_SECRET=%s\n' "$reader" "$reader_secret" >reader.env
cat >store.json <<JSON
{"identities": [
  {"name": "gateway", "credentials": [{"accessKey": "$writer", "secretKey": "$writer_secret"}], "actions": ["Write:audit"]},
  {"name": "reader", "credentials": [{"accessKey": "$reader", "secretKey": "$reader_secret"}], "actions": ["Read:audit", "List:audit"]}
]}
JSON
chmod 0644 s3-access-key-id s3-secret-access-key store.json
chmod 0600 reader.env
echo "made keys in deploy/secrets; reader.env holds those to read the bucket with"
