#!/usr/bin/env python3
"""The front at the highest rate that the machine offers: is every record kept, how full gets the
ring, and how far behind are the objects?

    benches/saturate.py GATEWAY [SECONDS] [WORKERS]

Needs wrk and the stub of benches/peers (setup.sh; BENCH_BIN says where, else target/bench-bin). The
ring has its usual size, the destination is a folder with an interval of 5 s. The load stops after
SECONDS (60); then the objects are read until they hold every request that was answered. Prints one
JSON object. Linux, standard library only."""
import glob, gzip, json, os, pathlib, re, signal, socket, subprocess, sys, tempfile, time, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("BENCH_BIN", HERE.parent / "target" / "bench-bin"))
INTERVAL = 5


def free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(what, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if what():
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def metrics(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = {}
    for line in text.splitlines():
        if match := re.match(r"([a-z_]+)(?:\{[^}]*\})? ([0-9.e+-]+)$", line):
            found.setdefault(match[1], []).append(float(match[2]))
    return found


def records(folder, seen):
    """Records in all objects; `seen` keeps what was counted before."""
    for path in glob.glob(f"{folder}/log_source=api/**/*.jsonl.gz", recursive=True):
        if path not in seen:
            with gzip.open(path) as lines:
                seen[path] = sum(1 for _ in lines)
    return sum(seen.values())


def main():
    gateway = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else os.cpu_count()
    upstream, front, admin = free(), free(), free()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "proxy.toml").write_text(
            f'instance = "bench"\n[server]\nworkers = {workers}\n'
            f'[[source]]\nname = "api"\nlisten = "127.0.0.1:{front}"\nupstream = "http://127.0.0.1:{upstream}"\n'
            f'catalogues = ["contentful-delivery"]\napi_host = "cdn.contentful.com"\norganization = "one"\n'
            f'[spool]\ndir = "{root}/spool"\n[ring]\ndir = "/dev/shm/onrecord-saturate-{front}"\n'
            f'[[destination]]\nname = "main"\ntype = "dir"\npath = "{root}/objects"\ninterval = "{INTERVAL}s"\n'
            f'[admin]\nlisten = "127.0.0.1:{admin}"\n'
        )
        log = open(root / "log", "ab")
        stub = subprocess.Popen([BIN / "stub", str(upstream), "2"])
        process = subprocess.Popen([gateway, "run", "--config", root / "proxy.toml"], stdout=log, stderr=log)
        try:
            ready = lambda: urllib.request.urlopen(f"http://127.0.0.1:{front}/x", timeout=5).status == 200
            assert until(ready, 60), (root / "log").read_text()[-2000:]
            load = subprocess.Popen(
                ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s", f"http://127.0.0.1:{front}/spaces/abc/environments/master/entries/1"],
                stdout=subprocess.PIPE, text=True,
            )
            fullest, most_spool, most_memory = 0.0, 0.0, 0
            while load.poll() is None:
                now = metrics(admin)
                fullest = max([fullest, *now.get("onrecord_ring_fill_ratio", [])])
                most_spool = max([most_spool, *now.get("onrecord_spool_bytes", [])])
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                most_memory = max(most_memory, int(re.search(r"RssAnon:\s+(\d+)", status)[1]))
                time.sleep(0.5)
            stopped = time.time()
            told = load.stdout.read()
            seen = {}
            # With those that wrk gave up when its time was over.
            answered = int(sum(metrics(admin)["onrecord_http_requests_total"]))
            # They are counted when the gateway says that it is done: counting takes a core for long.
            told_done = lambda: sum(metrics(admin).get("onrecord_delivery_records_total", [])) >= answered
            until(told_done, 20 * INTERVAL)
            whole = until(lambda: records(root / "objects", seen) >= answered, 4 * INTERVAL)
            # By the clock of the last object.
            behind = max(os.stat(path).st_mtime for path in seen) - stopped
            now = metrics(admin)
            lost = sum(sum(values) for name, values in now.items() if "gap" in name and name.endswith("_total"))
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            print(json.dumps({
                "seconds": seconds,
                "workers": workers,
                "requests_per_second": round(float(re.search(r"Requests/sec:\s+([0-9.]+)", told)[1])),
                "answered": answered,
                "refused_or_failed": "Non-2xx" in told or "Socket errors" in told,
                "records_in_objects": records(root / "objects", seen),
                "all_delivered_seconds_after_the_load": round(behind, 1) if whole else None,
                "interval": INTERVAL,
                "declared_lost": lost,
                "ring_at_most": round(fullest, 3),
                "spool_at_most_mib": round(most_spool / 2**20),
                "anonymous_memory_at_most_mib": round(most_memory / 1024, 1),
            }, indent=1))
        finally:
            for one in (process, stub):
                one.kill()
                one.wait()


main()
