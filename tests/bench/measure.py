# SPDX-License-Identifier: Apache-2.0
"""What benchmarks and experiments measure with: the load client, the yardsticks, CPU time and memory from /proc, and
alternating rounds.

Client and sidecar share the machine unpinned, as they did where the reference was measured. Pinning the client to one
core and the sidecar with its plugins to the other (PIN=1) was tried: figures at one connection repeat better, but at 64
the plugin then takes its time from the kernel's core, while the client's idles."""
import json
import os
import re
import resource
import shutil
import statistics
import subprocess

import remora

CONNECTIONS = (1, 16, 64)
KEYS = 1000
VALUE = "0123456789abcdef" * 6
LOAD = os.path.join(remora.BUILD, "tests", "bench", "load")
FLOOR = os.path.join(remora.BUILD, "tests", "bench", "floor")
# Requests per second of the echo app in C, hit directly, on the machine where the limits were set.
REFERENCE_FLOOR = {1: 123000, 16: 167000, 64: 177000}
# CPU time of one of its requests there, at 16.
REFERENCE_FLOOR_CPU_US = 2.8
PIN = os.environ.get("PIN") == "1"


def raise_fd_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(command, core):
    return ["taskset", "-c", str(core)] + command if PIN else command


# --- /proc ------------------------------------------------------------------------------------------------------------


def tree(pid):
    """A process and what descends from it: a plugin may have its init beside it. Nothing descends from 0, which is what
    the metadata name while there is no process; taken literally it would be the whole machine."""
    if pid <= 1:
        return []
    parents = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/stat") as f:
                parents[int(other)] = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            pass
    pids = [pid]
    for parent in pids:
        pids += [child for child in parents if parents[child] == parent]
    return pids


def kill_ours(pid, number):
    """Signals a process only if it runs a program of this build: pids come from a table that may be old by now."""
    try:
        if pid > 1 and os.readlink(f"/proc/{pid}/exe").startswith(os.path.realpath(remora.BUILD) + os.sep):
            os.kill(pid, number)
            return True
    except OSError:
        pass
    return False


def cpu_us(pids):
    """Microseconds of CPU that all threads of these processes have used."""
    total = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total / 1000


def pss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1))
    return total


def private_kib(pid):
    """What only this process holds: unlike PSS it does not move when another one maps the same library."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1])
    return total


def private_dirty_kib(pid):
    """What it has written to memory of its own: pages of files, which come and go by the system's choice, left out."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- what is measured -------------------------------------------------------------------------------------------------


class Case:
    """A request to repeat, and the processes whose CPU time is counted, in named groups."""

    def __init__(self, name, port, target, method="GET", body=None, expect=200, groups=None, keys=KEYS):
        self.name, self.port, self.groups = name, port, groups or {}
        self.options = ["--target", target, "--method", method, "--expect", str(expect), "--keys", str(keys)]
        if body is not None:
            self.options += ["--body", body]

    def command(self, connections, seconds, *more):
        return pinned([LOAD, "--port", str(self.port), "--connections", str(connections), "--seconds", str(seconds),
                       *self.options, *more], 0)

    def run(self, connections, seconds, *more):
        before = {name: cpu_us(pids) for name, pids in self.groups.items()}
        out = subprocess.run(self.command(connections, seconds, *more), stdout=subprocess.PIPE, check=True).stdout
        result = json.loads(out)
        remora.need(result["errors"] == 0 and result["unexpected"] == 0, f"{self.name}: answers went wrong: {result}")
        for name, pids in self.groups.items():
            used = cpu_us(pids) - before[name]
            remora.need(used > 0, f"{self.name}: the {name} was seen at work")
            result[f"{name}_cpu_us"] = used / result["requests"]
        return result


class RedisBenchmark:
    """redis-benchmark as a case: what the server itself can give."""

    def __init__(self, name, redis, command):
        self.name, self.redis, self.words = name, redis, command

    def run(self, connections, seconds):
        count = {1: 40000, 16: 130000, 64: 130000}[connections] * seconds
        command = pinned(["redis-benchmark", "-p", str(self.redis.port), "-c", str(connections), "-n", str(count),
                          "-r", str(KEYS), "-d", str(len(VALUE)), "-t", self.words, "--csv"], 0)
        out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        fields = [field.strip('"') for field in out.strip().splitlines()[-1].split(",")]
        return {"rps": float(fields[1]), "p50_us": float(fields[4]) * 1000, "p99_us": float(fields[6]) * 1000,
                "requests": count}


def get_case(name, port, store, groups=None):
    return Case(name, port, f"/v1.0/state/{store}/key-{{n}}", groups=groups)


def save_case(name, port, store, groups=None):
    body = json.dumps([{"key": "key-{n}", "value": VALUE}])
    return Case(name, port, f"/v1.0/state/{store}", "POST", body, 204, groups)


def converse_case(name, port, groups=None):
    body = json.dumps({"inputs": [{"messages": [{"ofUser": {"content": [{"text": VALUE}]}}]}]})
    return Case(name, port, "/v1.0-alpha2/conversation/talk/converse", "POST", body, groups=groups)


def binding_case(name, port, groups=None):
    """A small file, read: what a binding costs whose target costs little."""
    body = json.dumps({"operation": "get", "metadata": {"fileName": "small"}})
    return Case(name, port, "/v1.0/bindings/files", "POST", body, groups=groups)


def status_of(address, target):
    """0 if nobody listens."""
    try:
        return remora.call(address, "GET", target).status
    except (OSError, remora.Cut):
        return 0


def fill(address, store):
    """Every key a get will ask for."""
    for first in range(0, KEYS, 100):
        body = [{"key": f"key-{n:06}", "value": VALUE} for n in range(first, first + 100)]
        remora.equal(remora.call(address, "POST", f"/v1.0/state/{store}", body).status, 204, "filling the store")


class Product(remora.Sidecar):
    """remorad with one store, filled."""

    def __init__(self, yaml, store, *more, **keywords):
        super().__init__(yaml, *more, **keywords)
        if PIN:
            for pid in tree(self.pid):
                subprocess.run(["taskset", "-apc", "1", str(pid)], stdout=subprocess.DEVNULL, check=True)
        if store:
            fill(self.address, store)

    def plugin_pids(self):
        return {name: tree(row["group"]) for name, row in self.plugins().items()}

    def groups(self, plugin):
        pids = self.plugin_pids()[plugin]
        remora.need(pids, f"the plugin {plugin} has processes to measure")
        return {"kernel": [self.pid], "plugin": pids}


class Floor(remora.Process):
    """The bare server, answering with the bytes of one recorded answer."""

    def __init__(self, address, store):
        self.folder = remora.Folder()
        connection = remora.Connection(address)
        connection.send(remora.request_bytes("GET", f"/v1.0/state/{store}/key-000000"))
        while VALUE.encode() not in connection.pending:
            connection.receive()
        with open(self.folder / "answer", "wb") as f:
            f.write(connection.pending)
        connection.close()
        self.port = remora.free_port()
        super().__init__(pinned([FLOOR, str(self.port), self.folder / "answer"], 1), self.folder)
        remora.eventually(lambda: status_of(("127.0.0.1", self.port), "/") == 200, "the floor answers")

    def case(self, name="floor", method="GET"):
        body = json.dumps([{"key": "key-{n}", "value": VALUE}]) if method == "POST" else None
        return Case(name, self.port, "/v1.0/state/store/key-{n}", method, body, groups={"kernel": [self.pid]})


class Daprd(remora.Process):
    """Another sidecar binary of the same command line, on the same component."""

    def __init__(self, program, yaml, store):
        self.folder = remora.Folder()
        os.mkdir(self.folder / "resources")
        self.folder.write("resources/store.yaml", yaml)
        self.port = remora.free_port()
        self.address = ("127.0.0.1", self.port)
        super().__init__(pinned([
            program, "--app-id", "shop", "--dapr-http-port", str(self.port), "--dapr-grpc-port",
            str(remora.free_port()), "--dapr-internal-grpc-port", str(remora.free_port()), "--metrics-port",
            str(remora.free_port()), "--enable-metrics=false", "--log-level", "error", "--resources-path",
            self.folder / "resources"], 1), self.folder)
        remora.eventually(lambda: status_of(self.address, "/v1.0/healthz") == 204, f"{program} is ready")
        if store:
            fill(self.address, store)


# --- rounds -----------------------------------------------------------------------------------------------------------


def rounds(cases, connections, seconds, count):
    """Runs the cases in turn, `count` times; per case name the list of results, one a round."""
    results = {case.name: [] for case in cases}
    for _ in range(count):
        for case in cases:
            results[case.name].append(case.run(connections, seconds))
    return results


def median(results, field):
    values = [result[field] for result in results if field in result]
    return statistics.median(values) if values else None


def ratio(results, yardstick, field="rps"):
    """Median of the ratios within each round: what disturbs the machine disturbs both."""
    return statistics.median(a[field] / b[field] for a, b in zip(results, yardstick))


def store_yaml(kind, folder=None, redis=None):
    metadata = {"in-memory": {}, "sqlite": {"connectionString": folder and folder / "state.db"},
                "redis": {"redisHost": f"127.0.0.1:{redis.port}" if redis else ""}}[kind]
    return remora.component("store", f"state.{kind}", metadata)


def plain_redis():
    """A server that keeps everything in memory, as redis-benchmark's users run it."""
    return remora.Redis("--appendonly", "no")


def have_redis():
    return shutil.which("redis-server") is not None and shutil.which("redis-benchmark") is not None
