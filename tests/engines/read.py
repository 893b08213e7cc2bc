#!/usr/bin/env python3
"""Writes objects in every format and reads them with four engines: see run.sh.

usage: read.py ONRECORD [FOLDER]
"""

import glob
import gzip
import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import chdb
import datafusion
import duckdb
import polars
import pyarrow
import sqlglot

REQUESTS = 60
FORMATS = {
    "flat": '"flat"',
    "ocsf": '"ocsf"',
    "web": '{ type = "ocsf", version = "1.3.0", class = "web_resources_activity", profiles = ["host", "datetime"] }',
    "ecs": '"ecs"',
    "csv": '{ type = "csv", columns = ["event.id"] }',
    "legacy": '"contentful-legacy"',
    "parquet": '"parquet"',
    "events": '{ type = "parquet", rows = "ocsf" }',
}
CONFIG = """instance = "engines"
[server]
workers = 1
flush = "20s"
[[source]]
name = "cma"
listen = "127.0.0.1:{port}"
upstream = "http://127.0.0.1:{upstream}"
catalogues = ["contentful-management"]
api_host = "api.contentful.com"
organization = "org1"
trusted_proxies = ["127.0.0.1/32"]
[source.actor]
header_id = "X-User"
header_name = "X-User-Name"
[admin]
listen = "127.0.0.1:{admin}"
[ring]
bytes = "4MiB"
[spool]
dir = "spool"
bytes = "256MiB"
segment_bytes = "16MiB"
[log]
level = "warn"
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = int((re.search(r"status=(\d+)", self.path) or [0, 200])[1])
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_BREW = answer

    def log_message(self, *_):
        pass


def free_port():
    with http.server.HTTPServer(("127.0.0.1", 0), Upstream) as server:
        return server.server_address[1]


def write_objects(onrecord, folder):
    """Runs a gateway with a destination for each format, and sends the traffic."""
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port, admin = free_port(), free_port()
    config = CONFIG.format(port=port, admin=admin, upstream=upstream.server_address[1])
    for name, form in FORMATS.items():
        config += f'[[destination]]\nname = "{name}"\ntype = "dir"\npath = "{folder}/{name}"\nformat = {form}\n'
    path = os.path.join(folder, "proxy.toml")
    with open(path, "w") as file:
        file.write(config)
    gateway = subprocess.Popen([onrecord, "run", "--config", path], cwd=folder)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5)
                break
            except OSError:
                assert gateway.poll() is None, "the gateway ended"
                time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(REQUESTS):
            method = ["GET", "PUT", "DELETE", "BREW"][number % 4]
            path = f"/spaces/s1/environments/master/entries/e{number}?status={200 + number % 3 * 101}"
            agent, person = '=cmd "漢", \\'.encode(), "Ann Ö.".encode()
            headers = {"User-Agent": agent, "X-User": f"u{number % 5}", "X-User-Name": person}
            connection.request(method, path, body=b"{}" if method == "PUT" else None, headers=headers)
            connection.getresponse().read()
        connection.close()
    finally:
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(60) == 0
        upstream.shutdown()


def printed(onrecord, what, reader, place):
    """A statement of `onrecord schema`, for the objects at this place."""
    arguments = [onrecord, "schema", what, "--format", reader, "--namespace", "contentful"]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.replace("OBJECTS", place)


# Of each format: where the objects of exchanges lie, the id, and the status.
PLACES = {
    "flat": ("log_source=cma/**/*.jsonl.gz", ["event.id"], ["http.response.status_code"]),
    "ocsf": ("log_source=cma/**/*.jsonl.gz", ["metadata", "uid"], ["http_response", "code"]),
    "web": ("log_source=cma/**/*.jsonl.gz", ["metadata", "uid"], ["http_response", "code"]),
    "ecs": ("log_source=cma/**/*.jsonl.gz", ["event", "id"], ["http", "response", "status_code"]),
    "csv": ("*.csv", ["event.id"], ["response_status"]),
    "legacy": ("log_source=cma/**/*.json", ["metadata", "uid"], ["http_response", "code"]),
    "parquet": ("log_source=cma/**/*.parquet", ["event.id"], ["http.response.status_code"]),
    "events": ("log_source=cma/**/*.parquet", ["metadata", "uid"], ["http_response", "code"]),
}


def quoted(path, quote='"'):
    return ".".join(f"{quote}{part}{quote}" for part in path)


def by_duckdb(files, name, uid, status):
    if name == "csv":
        source = f"read_csv('{files}', header = true)"
    elif name in ("parquet", "events"):
        source = f"read_parquet('{files}', union_by_name = true)"
    else:
        form = "array" if name == "legacy" else "newline_delimited"
        source = f"read_json('{files}', format = '{form}', union_by_name = true)"
    return duckdb.sql(f"SELECT {quoted(uid)}, {quoted(status)} FROM {source}").fetchall()


def by_clickhouse(files, name, uid, status):
    form = {"csv": "CSVWithNames", "parquet": "Parquet", "events": "Parquet"}.get(name, "JSONEachRow")
    settings = "use_hive_partitioning = 0, input_format_json_try_infer_named_tuples_from_objects = 1"
    query = f"SELECT {quoted(uid, '`')}, {quoted(status, '`')} FROM file('{files}', '{form}') SETTINGS {settings}"
    rows = str(chdb.query(query, "JSONCompactEachRow")).splitlines()
    return [tuple(json.loads(row)) for row in rows]


def by_polars(files, name, uid, status):
    paths = sorted(glob.glob(files, recursive=True))
    if name == "csv":
        table = polars.scan_csv(paths)
    elif name in ("parquet", "events"):
        table = polars.scan_parquet(paths, missing_columns="insert", extra_columns="ignore", hive_partitioning=False)
    elif name == "legacy":
        table = polars.concat([polars.read_json(path) for path in paths], how="diagonal_relaxed").lazy()
    else:
        table = polars.scan_ndjson(paths, infer_schema_length=None)

    def place(path):
        column = polars.col(path[0])
        for part in path[1:]:
            column = column.struct.field(part)
        return column

    return table.select(place(uid).alias("id"), place(status).alias("status")).collect().rows()


def by_datafusion(files, name, uid, status):
    context = datafusion.SessionContext()
    # A folder and an end of names instead of a pattern; partitions are columns of the folder.
    folder = re.sub(r"/?\*.*", "", files) + "/"
    end = "." + files.rsplit("*.", 1)[1]
    parts = [(key, pyarrow.string()) for key in ("organization_id", "year", "month", "day")]
    if name == "csv":
        context.register_csv("records", folder, has_header=True, file_extension=end)
    elif name in ("parquet", "events"):
        context.register_parquet("records", folder, file_extension=end, table_partition_cols=parts)
    elif name == "legacy":
        # It has no reader of arrays: the rows as lines.
        rows = [row for path in glob.glob(files, recursive=True) for row in json.load(open(path))]
        lines = os.path.join(folder, "lines.ndjson")
        with open(lines, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        context.register_json("records", lines, file_extension=".ndjson")
    else:
        context.register_json(
            "records", folder, file_extension=end, file_compression_type="gzip", table_partition_cols=parts
        )

    def place(path):
        return f'"{path[0]}"' + "".join(f"['{part}']" for part in path[1:])

    found = context.sql(f"SELECT {place(uid)} AS id, {place(status)} AS status FROM records").to_pylist()
    return [(row["id"], row["status"]) for row in found]


def main():
    onrecord = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.realpath(sys.argv[2]) if len(sys.argv) > 2 else temporary
        os.makedirs(folder, exist_ok=True)
        write_objects(onrecord, folder)
        return check(onrecord, folder)


def check(onrecord, folder):
    lines = glob.glob(f"{folder}/flat/log_source=cma/**/*.jsonl.gz", recursive=True)
    records = [json.loads(line) for path in lines for line in gzip.open(path)]
    wanted = sorted((record["event.id"], record["http.response.status_code"]) for record in records)
    assert len(wanted) == REQUESTS, len(wanted)
    bad = 0

    def say(what, error):
        nonlocal bad
        bad += error is not None
        print(f"{'ok ' if error is None else 'BAD'} {what}{'' if error is None else ': ' + error[:600]}", flush=True)

    engines = {
        f"duckdb {duckdb.__version__}": by_duckdb,
        f"chdb {chdb.__version__}": by_clickhouse,
        f"polars {polars.__version__}": by_polars,
        f"datafusion {datafusion.__version__}": by_datafusion,
    }
    for name, (place, uid, status) in PLACES.items():
        for engine, read in engines.items():
            try:
                rows = sorted((str(row[0]), int(row[1])) for row in read(f"{folder}/{name}/{place}", name, uid, status))
                error = None if rows == wanted else f"{len(rows)} rows, or others"
            except Exception as problem:  # noqa: BLE001: any failure of an engine is a finding
                error = f"{type(problem).__name__}: {problem}"
            say(f"{engine} reads {name}", error)

    for what, name in [("flat", "flat"), ("ocsf", "ocsf"), ("ecs", "ecs"), ("csv", "csv")]:
        place = f"{folder}/{name}" if what == "csv" else f"{folder}/{name}/log_source=cma"
        _, uid, status = PLACES[name]
        uid = uid if what != "csv" else ["actor_id"]
        expected = wanted if what != "csv" else sorted((f"user:{r['actor.id']}", r["http.response.status_code"]) for r in records)
        try:
            view = printed(onrecord, what, "duckdb", place).replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
            duckdb.sql(view)
            rows = sorted(duckdb.sql(f"SELECT {quoted(uid)}, {quoted(status)} FROM records").fetchall())
            error = None if [(str(a), b) for a, b in rows] == expected else f"{len(rows)} rows, or others"
        except Exception as problem:  # noqa: BLE001
            error = f"{type(problem).__name__}: {problem}"
        say(f"duckdb, the printed view of {what}", error)
        try:
            query = printed(onrecord, what, "clickhouse", place).rstrip().rstrip(";")
            query = query.replace("SELECT *", f"SELECT {quoted(uid, '`')}, {quoted(status, '`')}", 1)
            rows = [tuple(json.loads(row)) for row in str(chdb.query(query, "JSONCompactEachRow")).splitlines()]
            rows = sorted((a, int(b)) for a, b in rows)
            error = None if rows == expected else f"{len(rows)} rows, or others"
        except Exception as problem:  # noqa: BLE001
            error = f"{type(problem).__name__}: {problem}"
        say(f"clickhouse, the printed query of {what}", error)
        try:
            table = printed(onrecord, what, "athena", place)
            parsed = sqlglot.parse_one(table, read="athena")
            columns = [column.name for column in parsed.this.expressions]
            odd = [column for column in columns if not re.fullmatch("[a-z0-9_]+", column)]
            error = None if len(set(columns)) == len(columns) and not odd else f"columns {odd}"
            inner = re.findall(r"`([^`]+)`:", table)
            error = error or next((f"struct field {field}" for field in inner if not re.fullmatch("[a-z0-9_]+", field)), None)
        except Exception as problem:  # noqa: BLE001
            error = f"{type(problem).__name__}: {problem}"
        say(f"athena, the printed table of {what} is parsed", error)
    print(f"{bad} bad")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
