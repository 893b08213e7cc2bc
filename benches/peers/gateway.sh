#!/usr/bin/env bash
# Writes a proxy.toml for one measured gateway and becomes it. From its environment: UPSTREAM_URL, WORKERS,
# RUN_DIR (all files go below it), ONRECORD (the command). Listens on 127.0.0.1:19000, HTTP/1.1 and
# h2c, and on 19001 with TLS.
set -euo pipefail
mkdir -p "$RUN_DIR"
ring=/dev/shm/onrecord-bench
rm -rf "$ring" "$RUN_DIR/spool" "$RUN_DIR/objects"
# The same source over TLS, where run.py has made a certificate.
TLS=
if [ -f "$RUN_DIR/../both.pem" ]; then
  TLS="
[[source]]
name = \"cda-tls\"
listen = \"127.0.0.1:19001\"
upstream = \"$UPSTREAM_URL\"
catalogues = [\"contentful-delivery\"]
api_host = \"cdn.contentful.com\"
organization = \"6lZ5kYqYb1mXz3kYqYb1mX\"
trusted_proxies = [\"127.0.0.1/32\"]
[source.actor]
header_id = \"X-Actor\"

[[listener]]
address = \"127.0.0.1:19001\"
[listener.tls]
certificates = [{ chain = \"$RUN_DIR/../both.pem\" }]
"
fi
cat >"$RUN_DIR/proxy.toml" <<TOML
instance = "bench"

[server]
workers = $WORKERS
grace = "2s"

[[source]]
name = "cda"
listen = "127.0.0.1:19000"
upstream = "$UPSTREAM_URL"
catalogues = ["contentful-delivery"]
api_host = "cdn.contentful.com"
organization = "6lZ5kYqYb1mXz3kYqYb1mX"
trusted_proxies = ["127.0.0.1/32"]

[source.actor]
header_id = "X-Actor"
$TLS
[ring]
dir = "$ring"

[spool]
dir = "$RUN_DIR/spool"

[[destination]]
name = "main"
type = "dir"
path = "$RUN_DIR/objects"
interval = "1s"

[admin]
listen = "127.0.0.1:19464"
TOML
exec "$ONRECORD" run --config "$RUN_DIR/proxy.toml"
