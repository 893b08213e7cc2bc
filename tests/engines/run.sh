#!/usr/bin/env bash
# Every format, read by DuckDB, ClickHouse (chDB), polars and DataFusion: the gateway writes objects
# from one traffic, and each engine counts the records, compares their ids and answers one question.
# Beside `.ci/run`, because the engines take 1.5 GB: tests/engines/run.sh [folder to keep objects in]
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${ONRECORD_ENGINES_VENV:-target/engines}"
"$venv/bin/python" -c 'import chdb, polars, datafusion, duckdb, sqlglot' 2>/dev/null || {
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'chdb==4.4.0' 'polars==2.1.0' 'datafusion==55.0.0' 'duckdb==1.5.5' 'pyarrow==26.0.1' 'sqlglot==30.30.0'
}
onrecord="${ONRECORD_BINARY:-}"
if [ -z "$onrecord" ]; then
  cargo build --locked --bin onrecord
  onrecord="${CARGO_TARGET_DIR:-target}/debug/onrecord"
fi
exec "$venv/bin/python" tests/engines/read.py "$(realpath "$onrecord")" "$@"
