#!/usr/bin/env bash
# Builds the gateway by what a run of it has shown the compiler (profile-guided optimization): twice with the
# `dist` profile, the first time to count, the second time to use what was counted. The load in between is that
# of benches/peers (HTTP/1.1, chunked, large and TLS answers, HTTP/2 with and without TLS), on this machine, by its
# tools (Debian; benches/peers/setup.sh installs them). Needs rustup's component llvm-tools, and about three times as
# long as an ordinary build.
# usage: deploy/pgo.sh        writes target/pgo/onrecord
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
[ -x "$profdata" ] || rustup component add llvm-tools
work=$PWD/target/pgo
rm -rf "$work/counts"
mkdir -p "$work/counts"

# With --target, so that build scripts and macros are not counted.
build() {
  RUSTFLAGS="$1" cargo build --profile dist --locked --bin onrecord --target "$host" --target-dir "$2"
}

build "-Cprofile-generate=$work/counts" "$work/counting"
ONRECORD="$work/counting/$host/dist/onrecord" benches/peers/run.sh -r 2 -s 3 \
  -m closed,open4000,big,chunked,tls,h2,h2c --ref gateway gateway
"$profdata" merge -o "$work/counts.profdata" "$work"/counts/*.profraw
build "-Cprofile-use=$work/counts.profdata" "$work/using"
cp "$work/using/$host/dist/onrecord" "$work/onrecord"
"$work/onrecord" --version
ls -l "$work/onrecord"
