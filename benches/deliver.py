#!/usr/bin/env python3
"""What a delivery costs, from outside: a real gateway, real folders, real sockets.

    benches/deliver.py broken GATEWAY [SECONDS] [ROUNDS]
        The lag of a folder alone, and beside two destinations that are broken: a port that
        refuses, and a server that takes connections and never answers.
    benches/deliver.py objects GATEWAY FOLDER [REQUESTS]
        Objects a second into FOLDER, each of one record, out of a backlog. Needs wrk.
    benches/deliver.py backlog GATEWAY ENDPOINT BUCKET [REQUESTS]
        Memory while a backlog goes to a store that speaks S3 (key and secret from
        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY). Needs wrk.

The spool lies in the system's folder for temporary files (TMPDIR).
"""
import gzip, http.client, http.server, json, os, pathlib, re, signal, socket, subprocess, sys, tempfile
import threading, time
from datetime import datetime


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def listen(handler=None):
    """A free port, and what listens there."""
    if handler:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1], server
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made.getsockname()[1], made


def free():
    port, made = listen()
    made.close()
    return port


class Gateway:
    def __init__(self, binary, root, destinations, more=""):
        self.binary, self.root = binary, pathlib.Path(root)
        self.port, self.admin = free(), free()
        self.upstream, self.server = listen(Upstream)
        self.more = more
        self.configure(destinations)
        self.process = None

    def configure(self, destinations):
        (self.root / "proxy.toml").write_text(
            f'instance = "bench"\n[[source]]\nname = "api"\nlisten = "127.0.0.1:{self.port}"\n'
            f'upstream = "http://127.0.0.1:{self.upstream}"\norganization = {{ header = "X-Organization" }}\n'
            f'[spool]\ndir = "{self.root}/spool"\nbytes = "4GiB"\n[ring]\nbytes = "64MiB"\n'
            f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n{self.more}\n{destinations}'
        )

    def start(self):
        log = open(self.root / "log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "run", "--config", self.root / "proxy.toml"], stdout=log, stderr=log
        )
        until = time.time() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.time() > until or self.process.poll() is not None:
                    sys.exit((self.root / "log").read_text()[-2000:])
                time.sleep(0.05)

    def status(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        connection.request("GET", "/api/v1/status")
        return json.loads(connection.getresponse().read())

    def resident(self):
        """Resident memory in MiB."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.server.shutdown()


def folder(path, more=""):
    return f'[[destination]]\nname = "good"\ntype = "dir"\npath = "{path}"\n{more}\n'


def bucket(name, endpoint, more="", of="bucket"):
    return (
        f'[[destination]]\nname = "{name}"\ntype = "s3"\nbucket = "{of}"\nregion = "us-east-1"\npath_style = true\n'
        f'endpoint = "{endpoint}"\naccess_key_id = "{os.environ.get("AWS_ACCESS_KEY_ID", "none")}"\n'
        f'secret_access_key = {{ env = "AWS_SECRET_ACCESS_KEY" }}\n{more}\n'
    )


def objects(path):
    return [p for p in pathlib.Path(path).rglob("compacted-*") if p.is_file()]


def lags(path):
    """Seconds from a record's end to its object's last change, for all records."""
    found = []
    for item in objects(path):
        there = item.stat().st_mtime
        for line in gzip.open(item, "rt"):
            end = json.loads(line)["event.end"].replace("Z", "+00:00")
            found.append(there - datetime.fromisoformat(end).timestamp())
    return sorted(found)


def broken(binary, seconds=30, rounds=2):
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "none")
    deaf = socket.create_server(("127.0.0.1", 0), backlog=512)
    kept = []
    threading.Thread(target=lambda: [kept.append(deaf.accept()) for _ in iter(int, 1)], daemon=True).start()
    others = bucket("refuses", f"http://127.0.0.1:{free()}", 'interval = "1s"')
    others += bucket("stalls", f"http://127.0.0.1:{deaf.getsockname()[1]}", 'interval = "1s"')
    for _ in range(int(rounds)):
        for what, more in (("alone", ""), ("beside two broken ones", others)):
            with tempfile.TemporaryDirectory() as root:
                gateway = Gateway(binary, root, folder(f"{root}/objects", 'interval = "1s"') + more).start()
                client = http.client.HTTPConnection("127.0.0.1", gateway.port)
                begun = time.time()
                sent = 0
                while (now := time.time()) < begun + float(seconds):
                    client.request("GET", f"/entries/{sent}")
                    client.getresponse().read()
                    sent += 1
                    time.sleep(max(0, begun + sent / 100 - time.time()))
                until = time.time() + 60
                while len(found := lags(f"{root}/objects")) < sent and time.time() < until:
                    time.sleep(0.2)
                states = {one["name"]: one["state"] for one in gateway.status()["destinations"]}
                gateway.process.kill()
                gateway.process.wait()
                at = lambda share: found[min(len(found) - 1, int(len(found) * share))]
                print(f"{what}: {sent} requests, {len(found)} delivered; lag median {at(0.5):.3f} s, 99 % "
                      f"{at(0.99):.3f} s, most {found[-1]:.3f} s; {states}", flush=True)


def fill(gateway, requests, script):
    """So many requests, by wrk; how many were answered."""
    lua = gateway.root / "load.lua"
    lua.write_text(script)
    done = 0
    while done < requests:
        out = subprocess.run(
            ["wrk", "-t1", "-c16", "-d3s", "-s", lua, f"http://127.0.0.1:{gateway.port}/"],
            capture_output=True, text=True, check=True,
        ).stdout
        done += int(re.search(r"(\d+) requests in", out)[1])
    return done


SCRIPT = """n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/entries/" .. n, {["X-Organization"] = "org-" .. (n % 256)})
end
"""


def many(binary, target, requests=20000):
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory(dir=target) as made:
        # As many records a batch as there are organizations, so that each has an object of its own.
        more = 'object_bytes = "100KiB"\ninterval = "1h"\n'
        gateway = Gateway(binary, root, folder(f"{made}/objects", more + "enabled = false")).start()
        sent = fill(gateway, int(requests), SCRIPT)
        gateway.configure(folder(f"{made}/objects", more.replace("1h", "1s")))
        gateway.process.send_signal(signal.SIGHUP)
        last, until = -1, time.time() + 300
        while time.time() < until and (len(objects(made)) != last or last <= 0):
            last = len(objects(made))
            time.sleep(5)
        times = sorted(p.stat().st_mtime for p in objects(made))
        records = sum(1 for p in objects(made) for _ in gzip.open(p, "rt"))
        gateway.stop()
        spent = times[-1] - times[0]
        print(f"{sent} requests, {records} records in {len(times)} objects; {spent:.1f} s from the first to the "
              f"last: {len(times) / spent:.0f} objects a second into {target}")


def backlog(binary, endpoint, of, requests=100000):
    with tempfile.TemporaryDirectory() as root:
        more = 'object_bytes = "4MiB"\ninterval = "1s"\nprefix = "bench-%d/"\n' % time.time()
        target = lambda enabled: bucket("store", endpoint, more + f"enabled = {enabled}", of)
        gateway = Gateway(binary, root, target("false")).start()
        sent = fill(gateway, int(requests), SCRIPT.replace("(n % 256)", "1"))
        time.sleep(3)
        before = gateway.resident()
        gateway.configure(target("true"))
        gateway.process.send_signal(signal.SIGHUP)
        begun, peak, seen, last = time.time(), 0, [], time.time()
        while time.time() < begun + 600:
            time.sleep(0.1)
            seen.append(gateway.resident())
            one = [d for d in gateway.status()["destinations"] if d["name"] == "store"]
            if one and one[0].get("delivered_records", 0) >= sent:
                break
        spent = time.time() - begun
        tenth = max(1, len(seen) // 10)
        print(f"{sent} requests; {spent:.1f} s to deliver them; resident before {before:.1f} MiB, "
              f"in the first tenth {max(seen[:tenth]):.1f}, in the last {max(seen[-tenth:]):.1f}, "
              f"at most {max(seen):.1f} MiB; {one}")
        gateway.stop()


if __name__ == "__main__":
    made = {"broken": broken, "objects": many, "backlog": backlog}
    if len(sys.argv) < 3 or sys.argv[1] not in made:
        sys.exit(__doc__)
    made[sys.argv[1]](*sys.argv[2:])
