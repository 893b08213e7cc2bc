#!/usr/bin/env python3
"""Many idle and slow connections, and what they do to other people's requests.

    cargo build --release && python3 benches/connections.py target/release/onrecord

Starts an upstream and the gateway, both for this run alone, and measures ordinary requests at a fixed rate (8
connections, keep-alive, without TLS) before and while there are idle connections (half of them in TLS; each has had
one answer and then waits) and slow ones (uploads of one byte each 5 s, all of them open at the upstream too). Clients
are processes of their own, since descriptors are limited by process. Standard library and `openssl` only.
Prints one JSON object. Memory is RssAnon of the gateway: without the rings, and without the kernel's sockets."""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

REQUEST = b"GET /ordinary HTTP/1.1\r\nHost: bench.test\r\n\r\n"
SLOW_HEAD = b"POST /slow HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 1000000\r\n\r\n"
BODY = b"x" * 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
SLOW_STEP = 5


def all_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def upstream(port):
    all_descriptors()

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(1_000_000)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(run())


def answered(connection):
    connection.sendall(REQUEST)
    got = b""
    while not got.endswith(BODY):
        more = connection.recv(4096)
        if not more:
            raise ConnectionError("closed")
        got += more


def alive(connection):
    """Whether the other side has left the connection open."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def idle(port, count, tls, pipe):
    all_descriptors()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held, failed = [], 0
    for _ in range(count):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            if tls:
                connection = context.wrap_socket(connection)
            answered(connection)
            held.append(connection)
        except OSError:
            failed += 1
    pipe.send({"open": len(held), "failed": failed})
    pipe.recv()
    pipe.send({"still_open": sum(alive(connection) for connection in held)})


def slow(port, count, pipe):
    all_descriptors()
    held, failed = [], 0
    for _ in range(count):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(SLOW_HEAD)
            held.append(connection)
        except OSError:
            failed += 1
    pipe.send({"open": len(held), "failed": failed})
    broken = set()
    while not pipe.poll():
        for number, connection in enumerate(held):
            # Evenly over the step.
            if number % 100 == 0 and pipe.poll(SLOW_STEP * 100 / max(count, 1)):
                break
            try:
                connection.sendall(b"x")
            except OSError:
                broken.add(number)
    pipe.recv()
    left = [connection for number, connection in enumerate(held) if number not in broken]
    pipe.send({"still_open": sum(alive(connection) for connection in left)})


def ordinary(port, rate, seconds, pipe):
    """Requests at a fixed rate; times are from when a request was due, so that waiting counts."""
    all_descriptors()

    async def one(number, connections, begin, took, failed):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            due = begin + number / rate
            while due < begin + seconds:
                await asyncio.sleep(max(0, due - time.monotonic()))
                writer.write(REQUEST)
                await reader.readuntil(BODY)
                took.append(time.monotonic() - due)
                due += connections / rate
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            failed.append(repr(error))

    async def run():
        took, failed, begin = [], [], time.monotonic() + 0.5
        await asyncio.gather(*(one(number, 8, begin, took, failed) for number in range(8)))
        return took, failed

    took, failed = asyncio.run(run())
    took.sort()
    at = lambda share: round(1000 * took[min(len(took) - 1, int(share * len(took)))], 2) if took else None
    pipe.send({"requests": len(took), "failed_connections": len(failed),
               "milliseconds": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)}})


def begin(target, *arguments):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    return here


def memory(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def gateway(binary, folder, ports):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test",
                    "-keyout", folder / "key.pem", "-out", folder / "chain.pem"], check=True, capture_output=True)
    (folder / "onrecord.toml").write_text(f"""
[[source]]
name = "bench"
listen = ["127.0.0.1:{ports['plain']}", "127.0.0.1:{ports['tls']}"]
upstream = "http://127.0.0.1:{ports['upstream']}"
[source.durability]
writes = "async"
[source.limits]
idle_timeout = "30m"
body_timeout = "10m"
[[source]]
name = "slow"
hosts = ["slow.test"]
listen = ["127.0.0.1:{ports['plain']}"]
upstream = "http://127.0.0.1:{ports['slow']}"
[source.durability]
writes = "async"
[source.limits]
idle_timeout = "30m"
body_timeout = "10m"
[[listener]]
address = "127.0.0.1:{ports['tls']}"
[listener.tls]
certificates = [{{ chain = "chain.pem", key = "key.pem" }}]
[ring]
dir = "ring"
[spool]
dir = "spool"
[[destination]]
name = "archive"
type = "dir"
path = "objects"
[admin]
listen = "127.0.0.1:{ports['admin']}"
""")
    log = open(folder / "log", "wb")
    process = subprocess.Popen([binary, "run", "--config", folder / "onrecord.toml"], cwd=folder, stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", ports["plain"]), timeout=5) as connection:
                answered(connection)
                return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit((folder / "log").read_text())


def measure(options, folder):
    ports = {name: free_port() for name in ("plain", "tls", "upstream", "slow", "admin")}
    # Slow uploads have an upstream of their own: what they cost there is not the gateway's affair.
    for name in ("upstream", "slow"):
        multiprocessing.Process(target=upstream, args=(ports[name],), daemon=True).start()
    process = gateway(options.binary.resolve(), folder, ports)
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    descriptors = next(line.split()[3] for line in limits if line.startswith("Max open files"))
    out = {"load_at_start": os.getloadavg()[0], "descriptor_limit": int(descriptors)}
    try:
        load = lambda: begin(ordinary, ports["plain"], options.rate, options.seconds).recv()
        load()  # So that what is only made once is there.
        out["alone"] = load()
        held, each = [], options.idle // 4
        for name, port, tls in (("plain", ports["plain"], False), ("tls", ports["tls"], True)):
            before, start = memory(process.pid), time.monotonic()
            clients = [begin(idle, port, each, tls) for _ in range(2)]
            answers = [client.recv() for client in clients]
            seconds = time.monotonic() - start
            # Idle connections go to rest after a second; the allocator gives pages back after ten.
            time.sleep(options.settle)
            count = sum(answer["open"] for answer in answers)
            out[f"idle_{name}"] = {"open": count, "failed": sum(answer["failed"] for answer in answers),
                                   "seconds": round(seconds, 1),
                                   "bytes_each": (memory(process.pid) - before) // max(count, 1)}
            held += clients
        out["with_idle"] = load()
        before = memory(process.pid)
        client = begin(slow, ports["plain"], options.slow)
        out["slow"] = client.recv()
        held.append(client)
        out["with_idle_and_slow"] = load()
        out["slow"]["bytes_each"] = (memory(process.pid) - before) // max(out["slow"]["open"], 1)
        out["descriptors_open"] = len(os.listdir(f"/proc/{process.pid}/fd"))
        for client in held:
            client.send("end")
        out["still_open"] = sum(client.recv()["still_open"] for client in held)
        out["load_at_end"] = os.getloadavg()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--idle", type=int, default=12_000)
    parser.add_argument("--slow", type=int, default=2_000)
    parser.add_argument("--settle", type=int, default=15, help="seconds before memory is read")
    parser.add_argument("--rate", type=int, default=200, help="ordinary requests a second")
    parser.add_argument("--seconds", type=int, default=20, help="of ordinary requests, each time")
    options = parser.parse_args()
    all_descriptors()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
