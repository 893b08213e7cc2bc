#!/bin/sh
# Makes the bucket $BUCKET in the SeaweedFS store, unless it is there; fails if it is not there then.
set -eu
ask() {
  printf '%s\n' "$1" | weed shell -master=store:9333 -filer=store:8888 2>&1
}
there() {
  ask s3.bucket.list | grep -Eq "(^|[[:space:]>])$BUCKET([[:space:]]|\$)"
}
tries=30
until there; do
  tries=$((tries - 1))
  if [ "$tries" -eq 0 ]; then
    echo "the bucket $BUCKET could not be made" >&2
    exit 1
  fi
  ask "s3.bucket.create -name $BUCKET" || true
  sleep 1
done
echo "the bucket $BUCKET is there"
