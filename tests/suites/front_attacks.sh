#!/bin/sh
# slowhttptest's attacks (Debian's package of that name), and sslyze's judgement of the TLS in front
# against Mozilla's intermediate profile (PyPI sslyze 6.3.1; program in $SSLYZE, or on the path).
#
#   tests/suites/front_attacks.sh GATEWAY-PROGRAM FOLDER [CONNECTIONS] [SECONDS]
#
# The gateway runs with its default limits, before an upstream that answers at once. Prints one line an
# attack: whether slowhttptest could get an answer at each look, and how its connections ended; while it
# runs, an ordinary client asks once a second, and its worst answer is told too.
set -eu
gateway=$(realpath "$1")
mkdir -p "$2"
cd "$2"
folder=$PWD
connections=${3:-1000}
seconds=${4:-60}
rm -rf ring spool objects ./*.csv
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout key.pem -out chain.pem 2>/dev/null
cat > gateway.toml <<T
[ring]
dir = "$folder/ring"
[spool]
dir = "$folder/spool"
[admin]
listen = "127.0.0.1:19999"
[[source]]
name = "api"
listen = ["127.0.0.1:19001", "127.0.0.1:19002"]
upstream = "http://127.0.0.1:19000"
[[listener]]
address = "127.0.0.1:19002"
[listener.tls]
certificates = [{ chain = "chain.pem", key = "key.pem" }]
[[destination]]
name = "main"
type = "dir"
path = "$folder/objects"
T
cat > upstream.py <<'T'
import http.server, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        # Large enough that a slow reader fills every buffer on the way.
        body = b"x" * (4_000_000 if self.path == "/large" else 100)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *args):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 1024
Server(("127.0.0.1", 19000), Handler).serve_forever()
T
python3 upstream.py 2> upstream.log &
started="$!"
"$gateway" run --config gateway.toml > gateway.log 2>&1 &
started="$started $!"
trap 'for process in $started; do kill "$process" 2>/dev/null || true; done' EXIT
tries=0
until curl -fsS -o /dev/null http://127.0.0.1:19001/; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat gateway.log >&2; exit 2; }
    sleep 0.1
done 2>/dev/null
attack() {
    name=$1
    shift
    (
        end=$(($(date +%s) + seconds))
        while [ "$(date +%s)" -lt "$end" ]; do
            curl -s -o /dev/null -w '%{http_code} %{time_total}\n' --max-time 10 http://127.0.0.1:19001/ordinary || true
            sleep 1
        done
    ) > "$name.ordinary" &
    ordinary=$!
    slowhttptest "$@" -c "$connections" -r 200 -l "$seconds" -p 5 -g -o "$name" > "$name.log" 2>&1 || true
    wait "$ordinary"
    python3 - "$name" <<'T'
import csv, sys
name = sys.argv[1]
rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(open(name + ".csv"))]
looks = [int(row["Service Available"]) > 0 for row in rows]
most = lambda key: max(int(row[key]) for row in rows)
last = rows[-1]
answers = [line.split() for line in open(name + ".ordinary")]
bad = sum(code != "200" for code, _ in answers)
print(f"{name}: available at {sum(looks)} of {len(looks)} looks; most connected {most('Connected')}, "
      f"closed at the end {last['Closed']}; ordinary requests {len(answers)}, bad {bad}, "
      f"slowest {max(float(time) for _, time in answers):.3f} s")
sys.exit(bool(bad))
T
}
status=0
attack slow_heads -H -u http://127.0.0.1:19001/ -i 5 -x 24 || status=1
attack slow_bodies -B -u http://127.0.0.1:19001/ -i 5 -s 8192 -x 10 || status=1
attack slow_readers -X -u http://127.0.0.1:19001/large -w 512 -y 1024 -n 5 -z 32 -k 3 || status=1
attack ranges -R -u http://127.0.0.1:19001/ -a 10 -b 3000 || status=1
if sslyze=$(command -v "${SSLYZE:-sslyze}"); then
    "$sslyze" --mozilla_config=intermediate 127.0.0.1:19002 > sslyze.log 2>&1 || true
    sed -n '/COMPLIANCE AGAINST/,$p' sslyze.log
else
    echo "sslyze is not installed: skipped"
fi
exit "$status"
