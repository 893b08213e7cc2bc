#!/bin/sh
# The cases of npm's http-cache-tests 0.4.5, straight to their own server and through the gateway.
# A gateway that keeps nothing must not change a verdict.
#
#   tests/suites/http_cache.sh GATEWAY-PROGRAM FOLDER
#
# Needs node, npm, and the right to make a network namespace: the suite's server listens on
# [::]:8000. The folder keeps the package and the results. What differs is printed; the exit
# status is 1 where that is more than is known to.
set -eu
gateway=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
mkdir -p "$2"
cd "$2"
folder=$PWD
space=onrecord-http-cache-$$
[ -d node_modules/http-cache-tests ] || npm install --silent --no-audit --no-fund http-cache-tests@0.4.5
rm -rf ring spool objects
cat > gateway.toml <<T
instance = "http-cache"
[server]
workers = 1
[ring]
dir = "$folder/ring"
[spool]
dir = "$folder/spool"
bytes = "1GiB"
[admin]
listen = "127.0.0.1:9999"
[[source]]
name = "api"
listen = "127.0.0.1:8001"
upstream = "http://localhost:8000"
preserve_host = true
[[destination]]
name = "main"
type = "dir"
path = "$folder/objects"
T
ip netns add "$space"
started=""
end() {
    for process in $started; do kill "$process" 2>/dev/null || true; done
    ip netns delete "$space"
}
trap end EXIT
ip netns exec "$space" ip link set lo up
ip netns exec "$space" "$gateway" run --config gateway.toml > gateway.log 2>&1 &
started="$!"
cd node_modules/http-cache-tests
npm_config_protocol=http npm_config_port=8000 npm_config_pidfile="$folder/server.pid" \
    ip netns exec "$space" node server/server.mjs > "$folder/server.log" 2>&1 &
started="$started $!"
for port in 8000 8001; do
    tries=0
    until ip netns exec "$space" node -e "require('net').connect($port,'localhost').on('connect',()=>process.exit(0)).on('error',()=>process.exit(1))"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo "nothing listens on port $port" >&2; exit 2; }
        sleep 0.1
    done
done
# The suite's client takes a missing id for the test `undefined`.
export npm_package_config_id=''
npm_config_base=http://localhost:8000 ip netns exec "$space" node --no-warnings cli.mjs > "$folder/straight.json"
npm_config_base=http://localhost:8001 ip netns exec "$space" node --no-warnings cli.mjs > "$folder/through.json"
node "$here/http_cache_compare.js" "$folder/straight.json" "$folder/through.json"
