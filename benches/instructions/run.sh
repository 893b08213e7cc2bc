#!/usr/bin/env bash
# User instructions of each pure part of the request path, counted by callgrind as the difference of two
# runs, which is repeatable to about 1 % whatever else the machine does. Fails when a part takes more than
# 3 % above baseline.txt; a rise that has a reason changes that file in the same commit. Another compiler
# or another kind of processor makes other counts: those are shown and not compared.
# usage: run.sh            compare
#        run.sh --write    write baseline.txt
set -euo pipefail
cd "$(dirname "$0")"
target="$PWD/../../target/instructions"
cargo build --release --locked --quiet --target-dir "$target"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/release/instructions" "$1" "$2" 2>"$out/log" || {
    cat "$out/log" >&2
    return 1
  }
  grep -oE 'Collected *: [0-9]+' "$out/log" | grep -oE '[0-9]+$'
}

failed=0
wide=without
grep -qw avx2 /proc/cpuinfo && wide=with
made_by="# $(rustc --version), $wide AVX2"
same=1
grep -qxF "$made_by" baseline.txt 2>/dev/null || same=0
echo "$made_by" >"$out/counts"
for part in request-head response-head response-read find-route redact-query cache-status frame-not-wanted frame-wanted write-record read-record; do
  few=$(count "$part" 1000)
  many=$(count "$part" 3000)
  now=$(((many - few) / 2000))
  echo "$part $now" >>"$out/counts"
  was=$(awk -v part="$part" '$1 == part { print $2 }' baseline.txt 2>/dev/null || true)
  verdict=""
  if [ "${1:-}" != --write ] && [ "$same" = 1 ]; then
    if [ -z "$was" ]; then
      verdict="not in baseline.txt"
      failed=1
    elif ((now * 100 > was * 103)); then
      verdict="more than 3 % above"
      failed=1
    elif ((now * 100 < was * 95)); then
      verdict="better: write it down"
    fi
  fi
  printf '%-16s %6d instructions   baseline %6s   %s\n' "$part" "$now" "${was:--}" "$verdict"
done
if [ "$same" = 0 ]; then
  echo "baseline.txt was made by: $(head -n 1 baseline.txt 2>/dev/null); here: $made_by: not compared"
fi
if [ "${1:-}" = --write ]; then
  cp "$out/counts" baseline.txt
fi
exit "$failed"
