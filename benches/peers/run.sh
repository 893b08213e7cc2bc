#!/usr/bin/env bash
# run.sh [run.py options] [targets]: the gateway and its peers in one interleaved run. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
export BENCH_BIN=${BENCH_BIN:-$top/target/bench-bin}
export BENCH_RUN=${BENCH_RUN:-/tmp/onrecord-bench}
[ -x "$BENCH_BIN/openload" ] || bash "$here/setup.sh" >&2
[ -n "${ONRECORD:-}" ] || (cd "$top" && cargo build --profile dist)
export ONRECORD=${ONRECORD:-$top/target/dist/onrecord}
export GATEWAY_CMD=${GATEWAY_CMD:-"bash $here/gateway.sh"}
export GATEWAY_URL=${GATEWAY_URL:-http://127.0.0.1:19000}
export GATEWAY_H2C_URL=${GATEWAY_H2C_URL:-http://127.0.0.1:19000}
export GATEWAY_TLS_URL=${GATEWAY_TLS_URL:-https://127.0.0.1:19001}
export GATEWAY_LOG=${GATEWAY_LOG:-"$BENCH_RUN/gateway/objects/log_source=*/organization_id=*/year=*/month=*/day=*/*.jsonl.gz"}
exec flock -w 1800 "$BENCH_RUN.lock" python3 "$here/run.py" --count-wait 3 "$@"
