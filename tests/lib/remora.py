# SPDX-License-Identifier: Apache-2.0
"""What integration tests share: a sidecar, a Redis server and a plain HTTP client on fresh ports and folders, waits
with deadlines, and a test runner whose last line is `N passed, N failed`.

A test is a function under @test("sentence", "REQUIREMENT-01 ..."); it fails by an exception. Everything a test starts
is registered and killed at the end of the program, in whatever way it ends."""

import atexit
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("REMORA_BUILD", os.path.join(TOP, "build")))
SHARED = os.path.abspath(os.environ.get("REMORA_SHARED", os.path.join(TOP, "..", "shared")))
REMORAD = os.path.join(BUILD, "bin", "remorad")
# Sanitizers make everything slower; a deadline is there to end a wait that has no other end.
SLOW = 4 if "asan" in os.path.basename(BUILD) or "tsan" in os.path.basename(BUILD) else 1
DEADLINE_S = 15 * SLOW

# --- tests ------------------------------------------------------------------------------------------------------------

_tests = []
_live = []  # what has to be killed at the end
_complaints = []  # of sanitizers


def test(name, requirements=""):
    def register(function):
        _tests.append((name, requirements, function))
        return function

    return register


class Skip(Exception):
    """What the test needs is not on this machine."""


def _skip_program(kind, value, trace):
    """A Skip outside of any test (a program reads at its start what all its tests need) skips the program."""
    if not issubclass(kind, Skip):
        sys.__excepthook__(kind, value, trace)
        return
    print(f"skipped: {value}\n0 passed, 0 failed, 1 skipped", flush=True)
    sys.exit(0)


sys.excepthook = _skip_program


def main(after_each=lambda: None):
    """Runs the tests whose name or requirements hold one of the arguments (all without), and `after_each` after each."""
    passed = failed = skipped = 0
    words = sys.argv[1:]
    for name, requirements, function in _tests:
        if words and not any(word in f"{name} {requirements}" for word in words):
            continue
        started = time.monotonic()
        try:
            function()
            verdict = "ok"
            passed += 1
        except Skip as reason:
            verdict = f"skipped: {reason}"
            skipped += 1
        except Exception:  # the next test may still pass
            verdict = "FAIL"
            failed += 1
            traceback.print_exc(file=sys.stdout)
        after_each()
        print(f"{verdict:4} {name} ({requirements}) {time.monotonic() - started:.2f} s", flush=True)
    end_all()
    for complaint in _complaints:
        print(complaint)
    failed += len(_complaints)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    sys.exit(1 if failed else 0)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, not {wanted!r}" if what else f"got {got!r}, not {wanted!r}")


def need(condition, what):
    if not condition:
        raise AssertionError(what)


def eventually(condition, what, seconds=None):
    """Polls until the condition holds and returns what it returned."""
    deadline = time.monotonic() + (seconds * SLOW if seconds else DEADLINE_S)
    while True:
        is_over = time.monotonic() > deadline  # before it is looked at: who was paused looks once more
        value = condition()
        if value:
            return value
        if is_over:
            raise AssertionError(f"not in time: {what}")
        time.sleep(0.005)


@atexit.register
def end_all():
    while _live:
        _live.pop().end()


def end_sidecars():
    """Those that are left: none of a test takes part in the next one, as a consumer of its group or by its load."""
    for left in [one for one in _live if isinstance(one, Sidecar)]:
        _live.remove(left)
        left.end()


def shared(*path):
    """A file of the recordings or golden stores, which do not belong to this tree."""
    full = os.path.join(SHARED, *path)
    if not os.path.exists(full):
        raise Skip(f"{os.path.join(*path)} is not here; REMORA_SHARED names its folder")
    return full


# --- ports and folders ------------------------------------------------------------------------------------------------

_claims = []


def free_port(host="127.0.0.1"):
    """A port that nothing listens on and that no other test program is given while this one runs. Below the range that
    the system takes ports of clients from, so that none of those is in the way either."""
    while True:
        port = random.randrange(10000, 32000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0remora-test-port-{port}")  # goes when the program ends, however it ends
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
                s.bind((host, port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


class Folder:
    """A temporary folder; short, since the paths of Unix sockets are."""

    def __init__(self, parent=None):
        self.path = tempfile.mkdtemp(prefix="i-", dir=parent)
        _live.insert(0, self)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        with open(self / name, "w") as f:
            f.write(text)
        return self / name

    def end(self):
        shutil.rmtree(self.path, ignore_errors=True)


def component(name, type_, metadata=(), extra="", version="v1", namespace=None):
    """The YAML of a component; `metadata` as pairs or a dict, `extra` is further top-level YAML."""
    pairs = metadata.items() if isinstance(metadata, dict) else metadata
    lines = [
        "apiVersion: dapr.io/v1alpha1",
        "kind: Component",
        "metadata:",
        f"  name: {json.dumps(name, ensure_ascii=False)}",
    ]
    if namespace is not None:
        lines.append(f"  namespace: {namespace}")
    lines += ["spec:", f"  type: {type_}", f"  version: {version}"]
    lines.append("  metadata:" + ("" if pairs else " []"))
    for key, value in pairs:
        lines += [f"  - name: {key}", f"    value: {json.dumps(value, ensure_ascii=False)}"]
    return "\n".join(lines) + "\n" + extra


def init_within(document, duration):
    """The component's document, with a time of its own ("60s") for its start."""
    return document.replace("spec:", f"spec:\n  initTimeout: {duration}", 1)


# --- HTTP, byte for byte ----------------------------------------------------------------------------------------------


class Reply:
    def __init__(self, status_line, headers, body, interim):
        self.status_line, self.headers, self.body, self.interim = status_line, headers, body, interim
        self.status = int(status_line.split(" ")[1])

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status_line} {self.headers} {self.body[:300]!r}>"


class Cut(Exception):
    """The connection ended before the answer did."""


class Connection:
    """One connection, from which answers are read in order."""

    def __init__(self, address, timeout=None):
        timeout = timeout or DEADLINE_S
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        data = self.socket.recv(1 << 20)
        self.pending += data
        return bool(data)

    def until(self, mark):
        while mark not in self.pending:
            if not self.receive():
                raise Cut(f"after {self.pending[:200]!r}")
        head, _, self.pending = self.pending.partition(mark)
        return head

    def exactly(self, count):
        pieces, have = [self.pending], len(self.pending)
        while have < count:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise Cut(f"{have} of {count} bytes")
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self.pending = data[count:]
        return data[:count]

    def rest(self):
        while self.receive():
            pass
        data, self.pending = self.pending, b""
        return data

    def chunks(self):
        data = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            data += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Cut("a chunk without end")
            if size == 0:
                return data

    def reply(self, method="GET"):
        interim = []
        while True:
            lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200 or status == 101:
                break
            interim.append(lines[0])
        headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines[1:]]
        names = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif "chunked" in names.get("transfer-encoding", ""):
            body = self.chunks()
        elif "content-length" in names:
            body = self.exactly(int(names["content-length"]))
        else:
            body = self.rest()
        return Reply(lines[0], headers, body, interim)

    def close(self):
        self.socket.close()


def request_bytes(method, target, headers=(), body=None, host="127.0.0.1"):
    lines = [f"{method} {target} HTTP/1.1"]
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        lines.append(f"Host: {host}")
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + (body or b"")


def call(address, method, target, body=None, headers=(), timeout=None):
    """One request on a connection of its own."""
    if isinstance(body, str):
        body = body.encode()
    elif body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection = Connection(address, timeout)
    try:
        try:
            connection.send(request_bytes(method, target, headers, body))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was sent; the answer is there nevertheless
        return connection.reply(method)
    finally:
        connection.close()


# --- programs ---------------------------------------------------------------------------------------------------------

_log_numbers = itertools.count()


class Process:
    """A program of the test's own, with its output in a file."""

    def __init__(self, command, folder, env=None, cwd=None, **more):
        self.log_path = folder / f"log-{next(_log_numbers)}"
        with open(self.log_path, "xb") as log:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd or folder.path,
                **more,
            )
        self.pid = self.popen.pid
        _live.append(self)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def is_alive(self):
        return self.popen.poll() is None

    def wait(self, seconds=None):
        try:
            return self.popen.wait((seconds or 15) * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running; its log:\n{self.log()[-3000:]}") from None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.is_alive():
            self.popen.kill()
        self.popen.wait()

    def end(self):
        if self.is_alive():
            self.popen.kill()
            self.popen.wait()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(child) for child in f.read().split()]
    except OSError:
        return []


def kill_both(sidecar, plugin):
    """A sidecar and a plugin of its at a time. The plugin ends by itself when it has lost its sidecar, which may be first;
    what is opened beforehand is not mistaken for another process that gets its number."""
    found = os.pidfd_open(sidecar.plugin_pid(plugin))
    sidecar.kill()
    try:
        signal.pidfd_send_signal(found, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.close(found)


def is_running(pid):
    """Whether it is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Program(Process):
    """One of ours."""

    def end(self):
        """Under sanitizers it ends in an orderly way, which is when leaks are looked for."""
        if SLOW > 1 and self.is_alive():
            self.popen.terminate()
            try:
                self.popen.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                pass  # a test may have stopped its plugin
        super().end()
        if found := re.search(r"(ERROR|WARNING): (Address|Leak|Thread)Sanitizer|runtime error:", self.log()):
            _complaints.append(self.log()[max(0, found.start() - 300):][:9000])


class Redis(Process):
    """A private server; stop() and start() keep port and data."""

    def __init__(self, *options, dump=None):
        self.folder = Folder()
        if dump:
            shutil.copyfile(dump, self.folder / "dump.rdb")
        self.port = free_port()
        self.options = options
        self.start()

    def start(self):
        if shutil.which("redis-server") is None:
            raise Skip("redis-server is not installed")
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            self.folder.path,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
            *self.options,
        ]
        super().__init__(command, self.folder)
        eventually(self.answers, "redis-server answers")
        return self

    def answers(self):
        try:
            return self.command("PING") == b"PONG"
        except OSError:
            return False

    def stop(self):
        self.kill()

    def command(self, *words, database=0):
        """One command; replies as bytes, int, list or None."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as s:
            stream = s.makefile("rb")
            for command in ([("SELECT", database)] if database else []) + [words]:
                parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
                s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
                reply = self.read(stream)
            return reply

    def read(self, stream):
        line = stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind in (b"+", b"-"):
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return None if rest == b"-1" else [self.read(stream) for _ in range(int(rest))]
        if kind != b"$":
            raise OSError("the connection ended")
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]


class Sidecar(Program):
    """remorad with resources given as YAML texts; waits until it is ready unless told otherwise."""

    def __init__(
        self,
        *resources,
        app_id="shop",
        flags=(),
        env=None,
        wait=True,
        folder=None,
        public=False,
        http=True,
        host="127.0.0.1",
        **more,
    ):
        self.folder = folder or Folder()
        self.port = free_port(host)
        self.address = (host, self.port)
        command = [REMORAD, "--app-id", app_id]
        if not any(flag.startswith(("--metrics-port", "--enable-metrics")) for flag in flags):
            command += ["--metrics-port", "0"]
        self.grpc_port = free_port(host)
        if not any(flag.startswith("--dapr-grpc-port") for flag in flags):
            command += ["--dapr-grpc-port", str(self.grpc_port)]
        if http:
            command += ["--dapr-http-port", str(self.port), "--dapr-listen-addresses", host]
        if public:
            self.public_port = free_port(host)
            self.public = (host, self.public_port)
            command += ["--dapr-public-port", str(self.public_port), "--dapr-public-listen-address", host]
        if resources:
            path = self.folder / "resources"
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path)
            for i, text in enumerate(resources):
                with open(os.path.join(path, f"{i}.yaml"), "w") as f:
                    f.write(text)
            command += ["--resources-path", path]
        os.makedirs(self.folder / "run", mode=0o700, exist_ok=True)
        if not any(flag.startswith("--run-dir") for flag in flags):
            command += ["--run-dir", self.folder / "run"]
        environment = {
            key: os.environ[key] for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if key in os.environ
        }
        environment.update({"PATH": os.environ["PATH"]} if env is None else env)
        super().__init__(command + list(flags), self.folder, env=environment, **more)
        if wait:
            self.wait_ready()

    def call(self, method, target, body=None, headers=(), **more):
        return call(self.address, method, target, body, headers, **more)

    def healthz(self, path="/v1.0/healthz"):
        """The status, 0 if nobody listens."""
        try:
            return self.call("GET", path).status
        except (OSError, Cut):
            return 0

    def wait_ready(self, seconds=None):
        def ready():
            need(self.is_alive(), f"the sidecar ended:\n{self.log()[-3000:]}" if not self.is_alive() else "")
            return self.healthz() == 204

        try:
            eventually(ready, "the sidecar is ready", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None
        return self

    def metadata(self):
        return self.call("GET", "/v1.0/metadata").json

    def connect(self):
        return Connection(self.address)

    def plugins(self):
        """What the metadata tells, by plugin name."""
        return {plugin["name"]: plugin for plugin in self.metadata()["remora"]["plugins"]}

    def plugin_pid(self, name):
        """The plugin itself, not one of those around it."""
        return eventually(lambda: self.plugins()[name]["pid"], f"{name} has connected")

    def change(self, text, number=0):
        """Another text for a document of its resources, whole at once: it looks by itself, too."""
        with open(self.folder / "changed", "w") as f:
            f.write(text)
        os.replace(self.folder / "changed", self.folder / f"resources/{number}.yaml")
        self.signal(signal.SIGHUP)

    def exchange(self, name, text, number=0, seconds=60):
        """The same, and waits until the component has been exchanged. Where a loaded machine had no time for that, what was
        there goes on, and the next look tries it again."""
        done, failed = f"Component updated: {name}", f"component {name}: the change has failed"
        before, failures = self.log().count(done), self.log().count(failed)
        self.change(text, number)

        def is_exchanged():
            nonlocal failures
            log = self.log()
            if log.count(failed) > failures:
                failures = log.count(failed)
                self.signal(signal.SIGHUP)
            return log.count(done) > before

        eventually(is_exchanged, f"component {name} is exchanged", seconds)

    def stop(self, seconds=None):
        self.signal(signal.SIGTERM)
        return self.wait(seconds)


# --- the state API ----------------------------------------------------------------------------------------------------


class Store:
    """One state store of a sidecar, in the words of the API."""

    def __init__(self, sidecar, name):
        self.sidecar, self.name = sidecar, name
        self.path = f"/v1.0/state/{name}"

    def save_raw(self, body, query="", method="POST"):
        return self.sidecar.call(method, self.path + query, body, [("Content-Type", "application/json")])

    def save(self, key, value, raw=None, **fields):
        """`raw` are the value's bytes as they are to be sent; other fields as in the body."""
        head = json.dumps({"key": key, **fields})
        value = raw if raw is not None else json.dumps(value)
        return self.save_raw((head[:-1] + ',"value":' + value + "}").join("[]"))

    def get(self, key, query="", headers=()):
        return self.sidecar.call("GET", f"{self.path}/{quote(key)}{query}", headers=headers)

    def delete(self, key, etag=None, query="", headers=()):
        headers = list(headers) + ([("If-Match", etag)] if etag is not None else [])
        return self.sidecar.call("DELETE", f"{self.path}/{quote(key)}{query}", headers=headers)

    def bulk(self, keys, query="", **fields):
        return self.sidecar.call("POST", f"{self.path}/bulk{query}", {"keys": keys, **fields})

    def transact(self, *operations, method="POST", **fields):
        """Operations are ("upsert", key, value, {further fields}) and ("delete", key, {…})."""
        rows = []
        for operation in operations:
            kind, key, rest = operation[0], operation[1], operation[2:]
            row = {"key": key}
            if kind == "upsert":
                row["value"], rest = rest[0], rest[1:]
            row.update(*rest)
            rows.append({"operation": kind, "request": row})
        return self.sidecar.call(method, f"{self.path}/transaction", {"operations": rows, **fields})

    def query(self, body, query=""):
        return self.sidecar.call("POST", f"/v1.0-alpha1/state/{self.name}/query{query}", body)


def quote(key):
    """Percent-encodes everything but letters and digits."""
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in key.encode())
