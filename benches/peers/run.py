#!/usr/bin/env python3
"""Side-by-side harness for HTTP reverse proxies on one small, noisy machine. See README.md.

All targets are started once, then measured one at a time in interleaved rounds (A B C A B C ...).
The robust figure is CPU microseconds per request of the proxy's own processes; ratios are taken
to a reference target WITHIN the same round and the median over rounds is printed."""
import argparse, glob, json, os, re, resource, shutil, signal, socket, ssl, statistics as st, subprocess as sp, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("BENCH_BIN", os.path.join(os.path.dirname(os.path.dirname(HERE)), "target", "bench-bin"))
VENV = os.path.join(BIN, "venv")
RUN = os.environ.get("BENCH_RUN", "/tmp/bench-run")
UP = 18000
TICK = os.sysconf("SC_CLK_TCK")

# ---------------------------------------------------------------- processes
def tree(pid):
    kids = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try: kids.setdefault(int(open(f"/proc/{d}/stat").read().rsplit(")", 1)[1].split()[1]), []).append(int(d))
            except OSError: pass
    out, todo = [], [pid]
    while todo:
        p = todo.pop(); out.append(p); todo += kids.get(p, [])
    return out

def cpu(pids):
    """(total ns by schedstat over all live threads, user ticks, sys ticks by /proc/PID/stat, ns of threads named worker-N)"""
    ns = u = s = w = 0
    for p in pids:
        try:
            f = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split(); u += int(f[11]); s += int(f[12])
            for t in os.listdir(f"/proc/{p}/task"):
                here = int(open(f"/proc/{p}/task/{t}/schedstat").read().split()[0]); ns += here
                if open(f"/proc/{p}/task/{t}/comm").read().startswith("worker-"): w += here
        except OSError: pass
    return ns, u, s, w

def rss(pids):
    kb = pss = 0
    for p in pids:
        try:
            for l in open(f"/proc/{p}/smaps_rollup"):
                if l.startswith("Rss:"): kb += int(l.split()[1])
                if l.startswith("Pss:"): pss += int(l.split()[1])
        except OSError: pass
    return kb / 1024, pss / 1024

def pin(pids, cpus):
    for p in pids:
        try:
            for t in os.listdir(f"/proc/{p}/task"): os.sched_setaffinity(int(t), cpus)
        except OSError: pass

def steal():
    f = open("/proc/stat").readline().split(); return int(f[8]), sum(map(int, f[1:9]))

def busy():
    """CPU seconds used on the whole machine (both cores, idle, iowait and steal left out)"""
    f = list(map(int, open("/proc/stat").readline().split()[1:9])); return (f[0] + f[1] + f[2] + f[5] + f[6]) / TICK

def own():
    """CPU seconds of this script and of its finished children (the load generator)"""
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN); return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime

def wait_quiet(limit=12.0):
    """wait until nobody else uses this machine's cores (other work may share it)"""
    t0 = time.time()
    while time.time() - t0 < limit:
        b = busy(); time.sleep(0.25)
        if busy() - b < 0.25 * 0.15: return

def render(name, dst, **kv):
    s = open(os.path.join(HERE, "conf", name)).read()
    for _ in range(2):
        for k, v in kv.items(): s = s.replace(f"@{k}@", str(v))
    open(dst, "w").write(s); return dst

# ---------------------------------------------------------------- targets
class Target:
    """kind[-variant]; variants: nolog, log, gz. Ports: base, base+1 (TLS), base+2 (h2c)."""
    def __init__(self, name, i, workers, args):
        self.name, self.workers = name, workers
        self.http, self.https, self.h2c = 18100 + 10 * i, 18101 + 10 * i, 18102 + 10 * i
        self.dir = f"{RUN}/{name}"; shutil.rmtree(self.dir, ignore_errors=True); os.makedirs(self.dir)
        self.log = f"{self.dir}/audit.log"; self.procs = []; self.has = {"http"}; self.caddr = None
        kind, _, var = name.partition("-"); self.kind, self.var = kind, var
        kv = dict(RUN=self.dir, HTTP=self.http, HTTPS=self.https, H2C=self.h2c, WORKERS=workers, UPSTREAM=UP, LOG=self.log,
                  CERT=f"{RUN}/cert.pem", KEY=f"{RUN}/key.pem", PEM=f"{RUN}/both.pem", MRW=128 * workers)
        self.env = dict(os.environ, HOME=self.dir, XDG_DATA_HOME=self.dir, XDG_CONFIG_HOME=self.dir)
        getattr(self, "t_" + kind)(var, kv)
        time.sleep(0.3)

    def spawn(self, cmd, **k):
        if self.workers == 1: k["preexec_fn"] = lambda: os.sched_setaffinity(0, {0})
        k.setdefault("stdout", open(f"{self.dir}/stdout", "ab")); k.setdefault("stderr", open(f"{self.dir}/stderr", "ab"))
        p = sp.Popen(cmd, env=self.env, shell=isinstance(cmd, str), start_new_session=True, **k); self.procs.append(p); return p

    def pids(self): return [x for p in self.procs for x in tree(p.pid)]
    def stop(self):
        """Ends all of them, and waits: what a shell has started may end behind it, as a gateway that drains does."""
        them = [x for p in self.procs[::-1] for x in tree(p.pid)[::-1]]
        def tell(what):
            for x in them:
                try: os.kill(x, what)
                except OSError: pass
        def is_there(x):
            try: return open(f"/proc/{x}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
            except OSError: return False
        tell(signal.SIGTERM); end = time.time() + 15
        while any(map(is_there, them)) and time.time() < end: time.sleep(0.05)
        tell(signal.SIGKILL)
        for p in self.procs: p.wait()
    def counted(self):
        if self.kind == "haproxy" and self.var == "gz": return False        # one endless gzip stream: can't be read from the middle
        return self.kind == "gateway" or getattr(self, "cap", "0") != "0" or self.var.split("+")[0] in ("log", "gz", "unbuf")
    def lines(self):
        if self.var == "gz" or "-gz" in self.var or (glob.glob(self.log) and all(f.endswith(".gz") for f in glob.glob(self.log))):
            n = 0
            for f in glob.glob(self.log + "*"): n += int(sp.run(f"zcat {f} 2>/dev/null | wc -l", shell=True, capture_output=True, text=True).stdout or 0)
            return n
        n = 0
        for f in glob.glob(self.log + "*"):
            with open(f, "rb") as h:
                while b := h.read(1 << 20): n += b.count(b"\n")
        return n
    def clear(self):
        for f in glob.glob(self.log + "*"):
            try: os.truncate(f, 0)
            except OSError: pass

    def t_direct(self, var, kv): self.http = UP
    def t_tcpfwd(self, var, kv): self.spawn([f"{BIN}/tcpfwd", str(self.http), str(UP)] + (["splice"] if var == "splice" else []))


    def t_nginx(self, var, kv):
        kv["LOGLINE"] = {"nolog": "access_log off;", "log": f"access_log {self.log} audit buffer=64k flush=1s;", "gz": f"access_log {self.log} audit gzip=1 buffer=64k flush=1s;",
                         "unbuf": f"access_log {self.log} audit;"}[var]
        self.has |= {"https", "h2", "h2c"}
        self.spawn(["nginx", "-e", f"{self.dir}/error.log", "-c", render("nginx.conf", f"{self.dir}/nginx.conf", **kv)])
    def t_haproxy(self, var, kv):
        kv["LOGLINE"] = "no log\n  unique-id-format %[uuid()]" if var == "nolog" else open(f"{HERE}/conf/haproxy.log.inc").read()
        self.has |= {"https", "h2", "h2c"}
        cfg = render("haproxy.cfg", f"{self.dir}/h.cfg", **kv)
        if var == "gz":
            g = self.spawn(["gzip", "-1", "-c"], stdin=sp.PIPE, stdout=open(self.log, "ab"))
            self.spawn(["haproxy", "-db", "-f", cfg], stdout=g.stdin)
        else: self.spawn(["haproxy", "-db", "-f", cfg], stdout=open(self.log, "ab"))
    def t_caddy(self, var, kv):
        kv["LOGLINE"] = "" if var == "nolog" else open(f"{HERE}/conf/caddy.log.inc").read()
        self.env["GOMAXPROCS"] = str(self.workers); self.has |= {"https", "h2", "h2c"}
        self.spawn([f"{VENV}/bin/caddy", "run", "--adapter", "caddyfile", "--config", render("Caddyfile", f"{self.dir}/Caddyfile", **kv)]); time.sleep(1)
    def t_traefik(self, var, kv):
        v, _, fast = var.partition("+")
        kv["LOGLINE"] = "" if v == "nolog" else open(f"{HERE}/conf/traefik.log.inc").read(); kv["FAST"] = "experimental: { fastProxy: { } }" if fast else ""
        self.env["GOMAXPROCS"] = str(self.workers); self.has |= {"https", "h2", "h2c"}
        render("traefik-dynamic.yml", f"{self.dir}/dynamic.yml", **kv)
        self.spawn([f"{VENV}/bin/traefik", f"--configFile={render('traefik.yml', self.dir + '/traefik.yml', **kv)}"]); time.sleep(1.5)
    def t_pingora(self, var, kv):
        self.env |= dict(PORT=str(self.http), TLS_PORT=str(self.https), CERT=kv["CERT"], KEY=kv["KEY"], UPSTREAM=str(UP), THREADS=str(self.workers), LOG=self.log if var == "log" else "")
        self.has |= {"https", "h2"}; self.spawn([f"{BIN}/pingora-peer"])
    def t_gateway(self, var, kv):
        """GATEWAY_CMD is run by a shell with UPSTREAM_URL, WORKERS, RUN_DIR set; GATEWAY_URL http://127.0.0.1:PORT is where it listens.
        Optional: GATEWAY_TLS_URL, GATEWAY_H2C_URL, GATEWAY_LOG (glob of record files, for counting), GATEWAY2_CMD and the like for a second variant (gateway-2)."""
        s = "" if var in ("", "log") else var
        self.env |= dict(UPSTREAM_URL=f"http://127.0.0.1:{UP}", WORKERS=str(self.workers), RUN_DIR=self.dir, TLS_CERT=kv["CERT"], TLS_KEY=kv["KEY"])
        self.http = int(os.environ[f"GATEWAY{s}_URL"].rstrip("/").rsplit(":", 1)[1])
        if u := os.environ.get(f"GATEWAY{s}_TLS_URL"): self.https = int(u.rstrip("/").rsplit(":", 1)[1]); self.has |= {"https", "h2"}
        if u := os.environ.get(f"GATEWAY{s}_H2C_URL"): self.h2c = int(u.rstrip("/").rsplit(":", 1)[1]); self.has.add("h2c")
        self.log = os.environ.get(f"GATEWAY{s}_LOG", self.dir + "/*.jsonl")
        self.spawn(os.environ[f"GATEWAY{s}_CMD"]); time.sleep(float(os.environ.get("GATEWAY_WAIT", "1")))

# ---------------------------------------------------------------- load
def sh(cmd, timeout=60, cpus=None):
    pre = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
    return sp.run(cmd, capture_output=True, text=True, timeout=timeout, preexec_fn=pre)

def wrk(port, secs, conns, cpus, tls=False, path=None, threads=1):
    env = dict(os.environ); env["REQ_BASE"] = path or "/spaces/abc/environments/master/entries"
    r = sp.run(["wrk", "-t", str(threads), "-c", str(conns), "-d", f"{secs}s", "--timeout", "10s", "-s", f"{HERE}/conf/wrk.lua", f"{'https' if tls else 'http'}://127.0.0.1:{port}/"],
               capture_output=True, text=True, env=env, timeout=secs + 30, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    m = re.search(r"RESULT (\d+) (\d+) (\d+)", r.stdout)
    if not m: raise RuntimeError(r.stdout + r.stderr)
    n, us, bad = map(int, m.groups()); return dict(n=n, rps=n / (us / 1e6), bad=bad)

def h2load(port, secs, cpus, tls):
    r = sh(["h2load", "-t1", "-c16", "-m8", f"-D{secs}", "--warm-up-time=0", "-H", "user-agent: contentful.js/10.6.1 (linux; node/v20.11.0)", "-H", "x-actor: user-0042", "-H", "authorization: Bearer b4c0n73n7fu1-0123456789abcdef"]
           + [f"{'https' if tls else 'http'}://127.0.0.1:{port}/spaces/abc/environments/master/entries/5KsDBWseXY6QegucYAoa0001?content_type=x&locale=en-US"], secs + 30, cpus)
    m = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", r.stdout); f = re.search(r"finished in ([\d.]+)s, ([\d.]+) req/s", r.stdout)
    s2 = re.search(r"status codes: (\d+) 2xx", r.stdout)
    if not m or not f: raise RuntimeError(r.stdout[-800:] + r.stderr[-500:])
    n = int(s2.group(1)); return dict(n=n, rps=n / secs, bad=max(0, int(m.group(1)) - n))

def openload(port, rate, secs, conns, cpus, extra=()):
    r = sh([f"{BIN}/openload", "127.0.0.1", str(port), str(rate), str(secs), str(conns), "-w", "1", *extra], secs + 30, cpus)
    return json.loads(r.stdout)

def measure(t, mode, a):
    """one measurement of one target; returns a dict of figures"""
    cpus = {1} if a.workers == 1 else {0, 1}
    pids = t.pids(); t.clear(); s0 = steal(); c0 = cpu(pids); u0 = cpu(UPSTREAM.pids()); b0, o0 = busy(), own(); w0 = time.time()
    if mode == "closed": r = wrk(t.http, a.secs, a.conns, cpus)
    elif mode == "closed1": r = wrk(t.http, a.secs, 1, cpus)
    elif mode == "big": r = wrk(t.http, a.secs, a.conns, cpus, path="/big/x")
    elif mode == "large": r = wrk(t.http, a.secs, min(a.conns, 8), cpus, path="/large/x")
    elif mode == "chunked": r = wrk(t.http, a.secs, a.conns, cpus, path="/chunked/x")
    elif mode == "tls": r = wrk(t.https, a.secs, a.conns, cpus, tls=True)
    elif mode == "h2": r = h2load(t.https, a.secs, cpus, True)
    elif mode == "h2c": r = h2load(t.h2c, a.secs, cpus, False)
    elif mode.startswith("open"):
        rate = int(mode[4:] or a.rate); o = openload(t.http, rate, a.secs, a.conns, cpus)
        r = dict(n=o["scheduled"], rps=o["rate"], bad=o["errors"] + o["non200"], **{k: o[k] for k in ("p50", "p90", "p99", "p999", "max", "lat_send_p99")})
    else: raise SystemExit(f"mode {mode}?")
    wall = time.time() - w0; c1 = cpu(pids); u1 = cpu(UPSTREAM.pids()); s1 = steal()
    foreign = (busy() - b0 - (own() - o0) - (c1[0] - c0[0]) / 1e9 - (u1[0] - u0[0]) / 1e9) / wall   # cores used by others meanwhile
    time.sleep(a.settle); c2 = cpu(pids)                     # background flusher's remaining work counts too
    n = max(r["n"], 1); us = (c2[0] - c0[0]) / 1e3 / n; ut, stt = c2[1] - c0[1], c2[2] - c0[2]
    r.update(cpu_us=us, worker_us=(c2[3] - c0[3]) / 1e3 / n or us, cpu_stat_us=(ut + stt) * 1e6 / TICK / n, user_frac=ut / max(ut + stt, 1), cores=(c1[0] - c0[0]) / 1e9 / wall, up_us=(u1[0] - u0[0]) / 1e3 / n,
             steal=(s1[0] - s0[0]) / max(s1[1] - s0[1], 1), foreign=foreign, rec=None)
    if a.count and t.counted():
        time.sleep(a.count_wait); r["rec"] = t.lines() / n; r["logMB"] = sum(os.path.getsize(f) for f in glob.glob(t.log + ("" if t.kind == "gateway" else "*"))) / 1e6
    return r

def get(port, tls=False, keep=False, path="/spaces/abc/environments/master/entries/1?content_type=x"):
    s = socket.create_connection(("127.0.0.1", port), 5)
    if tls:
        c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE; s = c.wrap_socket(s, server_hostname="cdn.example.test")
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: cdn.example.test\r\nUser-Agent: x\r\n\r\n".encode()); b = b""
    while b"\r\n\r\n" not in b:
        d = s.recv(65536)
        if not d: break
        b += d
    if keep: return s
    s.close(); return b

def memory(ts, a):
    rows = []
    for t in ts:
        if t.kind == "direct": continue
        row = {"target": t.name, "rest": rss(t.pids())}
        for n in (64, 2000):
            cs = [get(t.http, keep=True) for _ in range(n)]; time.sleep(0.7); row[str(n)] = rss(t.pids())
            alive = sum(1 for c in cs if not _closed(c)); row[f"alive{n}"] = alive
            for c in cs: c.close()
            time.sleep(0.5)
        row["after_idle"] = rss(t.pids()); wrk(t.http, 3, 256, {0, 1}); row["after_load"] = rss(t.pids()); rows.append(row); print(json.dumps(row), flush=True)
    print("\n| target | RSS at rest MiB | +64 idle conns | +2,000 idle conns | KiB per idle conn | after 3 s load, 256 conns |\n|---|---|---|---|---|---|")
    for r in rows: print(f"| {r['target']} | {r['rest'][0]:.1f} | {r['64'][0]:.1f} | {r['2000'][0]:.1f} ({r['alive2000']} alive) | {(r['2000'][0]-r['64'][0])*1024/1936:.1f} | {r['after_load'][0]:.1f} |")

def _closed(s):
    s.setblocking(False)
    try: return s.recv(1) == b""
    except BlockingIOError: return False
    except OSError: return True
    finally: s.setblocking(True)

# ---------------------------------------------------------------- tables
def p20(xs): xs = sorted(xs); return xs[int((len(xs) - 1) * .2)]
def med(xs): return st.median(xs) if xs else float("nan")
def table(res, mode, ts, ref):
    lat = mode.startswith("open"); h = ["target", "req/s", f"req/s vs {ref}", "CPU us/req", "p20", "(min-max)", f"CPU vs {ref}", "p20 vs", "workers us/req", "workers vs", "sys %", "cores", "rec/req", "bad", "steal %"]
    if lat: h[1:3] = ["p50 us", "p99 us", "p99.9 us", "p50 +direct"]
    out = [f"\n### {mode}", "| " + " | ".join(h) + " |", "|" + "---|" * len(h)]
    def col(n, k): return [x[k] for x in res.get((mode, n), []) if x and x.get(k) is not None]
    def ratio(n, k):
        a, b = res.get((mode, n), []), res.get((mode, ref), [])
        r = [x[k] / y[k] for x, y in zip(a, b) if x and y and y[k]]
        return f"{med(r):.2f}" if r else "-"
    for t in ts:
        if not col(t.name, "n"): continue
        c = col(t.name, "cpu_us"); row = [t.name]
        if lat:
            d = [x["p50"] - y["p50"] for x, y in zip(res.get((mode, t.name), []), res.get((mode, "direct"), [])) if x and y]
            row += [f"{med(col(t.name, k)):.0f}" for k in ("p50", "p99", "p999")] + [f"{med(d):+.0f}" if d else "-"]
        else: row += [f"{med(col(t.name, 'rps')):.0f}", ratio(t.name, "rps")]
        rec = col(t.name, "rec")
        rc = col(ref, "cpu_us"); d = t.kind == "direct"
        wc = col(t.name, "worker_us")
        def wratio():
            r = [x["worker_us"] / y["cpu_us"] for x, y in zip(res.get((mode, t.name), []), res.get((mode, ref), [])) if x and y and y["cpu_us"]]
            return f"{med(r):.2f}" if r else "-"
        row += ["-"] * 7 if d else [f"{med(c):.1f}", f"{p20(c):.1f}", f"{min(c):.1f}-{max(c):.1f}", ratio(t.name, "cpu_us"), f"{p20(c) / p20(rc):.2f}" if rc else "-", f"{med(wc):.1f}", wratio()]
        row += [
                f"{100 * (1 - med(col(t.name, 'user_frac'))):.0f}", f"{med(col(t.name, 'cores')):.2f}", f"{med(rec):.3f}" if rec else "-", str(sum(col(t.name, "bad"))), f"{100 * med(col(t.name, 'steal')):.1f}"]
        out.append("| " + " | ".join(row) + " |")
    return "\n".join(out)

def prepare():
    os.makedirs(RUN, exist_ok=True); os.chmod(RUN, 0o755)
    if not os.path.exists(f"{RUN}/both.pem"):
        sp.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=cdn.example.test", "-addext", "subjectAltName=DNS:cdn.example.test,IP:127.0.0.1",
                "-keyout", f"{RUN}/key.pem", "-out", f"{RUN}/cert.pem"], check=True, capture_output=True)
        open(f"{RUN}/both.pem", "w").write(open(f"{RUN}/cert.pem").read() + open(f"{RUN}/key.pem").read()); [os.chmod(f"{RUN}/{f}", 0o644) for f in ("key.pem", "both.pem")]

DEFAULT = "direct tcpfwd nginx-nolog nginx-log nginx-gz haproxy-log"
def main():
    global UPSTREAM
    p = argparse.ArgumentParser(description=__doc__); A = p.add_argument
    A("targets", nargs="*", help=f"default: {DEFAULT} + gateway if GATEWAY_CMD is set"); A("-w", "--workers", type=int, default=1, help="1: proxy pinned to CPU 0, load+upstream to CPU 1; 2: nothing pinned")
    A("-m", "--modes", default="closed", help="comma list of closed,closed1,big,large,chunked,openRATE,tls,h2,h2c,mem"); A("-r", "--rounds", type=int, default=7); A("-s", "--secs", type=int, default=3)
    A("-c", "--conns", type=int, default=64); A("--rate", type=int, default=4000); A("--ref", default="nginx-log"); A("--settle", type=float, default=0.15); A("--count", type=int, default=1, help="count log records of the first N rounds"); A("--count-wait", type=float, default=1.3)
    A("--upstream", default="stub", choices=["stub", "nginx"], help="stub: tiny C epoll server; nginx: return 200"); A("--foreign", type=float, default=0.12, help="repeat a slice when others used more cores than this"); A("--retry", type=int, default=2); A("--budget", type=float, default=1e9, help="seconds; start no new round after it"); A("--out", default=None); a = p.parse_args()
    prepare()
    names = a.targets or DEFAULT.split() + (["gateway"] if os.environ.get("GATEWAY_CMD") else [])
    class U(Target):
        def t_upstream(self, var, kv):
            self.workers = 2; kv["PORT"] = UP
            if a.upstream == "stub": self.spawn([f"{BIN}/stub", str(UP), "2"])
            else: self.spawn(["nginx", "-e", f"{self.dir}/error.log", "-c", render("upstream.nginx.conf", f"{self.dir}/u.conf", **kv)])
    UPSTREAM = U("upstream", 99, 2, a); ts = []; res = {}; taint = {}; printed = set(); t_end = time.time() + a.budget
    try:
        if a.workers == 1: pin(UPSTREAM.pids(), {1})
        for i, n in enumerate(names):
            t = Target(n, i, a.workers, a); ts.append(t)
            for k in range(20):
                try:
                    b = get(t.http)
                    if b" 200 " not in b[:20]: raise RuntimeError(b[:200])
                    break
                except Exception as e:
                    if k == 19: print(f"!! {n} does not answer: {e!r}", file=sys.stderr); ts.remove(t); t.stop()
                    time.sleep(0.25)
            if t.workers == 1 and t.kind != "direct": pin(t.pids(), {0})
        out = open(a.out or f"{RUN}/results-{int(time.time())}.jsonl", "a"); modes = a.modes.split(",")
        print(f"# {time.strftime('%F %T')} workers={a.workers} rounds={a.rounds} secs={a.secs} conns={a.conns} targets={[t.name for t in ts]}", flush=True)
        need = dict(tls="https", h2="h2", h2c="h2c")
        for mode in modes:
            if mode == "mem": memory(ts, a); continue
            run = [t for t in ts if need.get(mode, "http") in t.has]
            for t in run:                                        # warm-up, not counted
                try: wrk(t.http, 1, a.conns, {1} if a.workers == 1 else {0, 1})
                except Exception as e: print("warm", t.name, e, file=sys.stderr)
            cnt = a.count; wait_quiet()
            for r in range(a.rounds):
                if r and time.time() > t_end: print(f"(budget spent: {r} of {a.rounds} rounds)"); break
                a.count = cnt > r
                for t in (run if r % 2 == 0 else run[::-1]):
                    for attempt in range(a.retry + 1):
                        try: x = measure(t, mode, a)
                        except Exception as e: print(f"!! {mode} {t.name}: {str(e)[:300]}", file=sys.stderr); x = None; break
                        if x["foreign"] <= a.foreign: break
                        x["tainted"] = 1; taint[mode] = taint.get(mode, 0) + 1; wait_quiet()
                    res.setdefault((mode, t.name), []).append(x)
                    if x: out.write(json.dumps(dict(mode=mode, target=t.name, round=r, workers=a.workers, **x)) + "\n"); out.flush()
            a.count = cnt
            printed.add(mode); print(table(res, mode, run, a.ref), flush=True); print(f"slices disturbed by other work (> {a.foreign} cores) and repeated: {taint.get(mode, 0)}", flush=True)
    except KeyboardInterrupt: print("stopped", file=sys.stderr); [print(table(res, m, ts, a.ref)) for m in dict.fromkeys(m for m, _ in res) if m not in printed]
    finally:
        for t in ts + [UPSTREAM]: t.stop()

def _term(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, _term)
if __name__ == "__main__": main()
