# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 900
"""Experiment lock-safety: no two of 64 contenders are ever in one critical section within their leases.

Each is a process of its own, which takes locks of lock.sqlite and lock.redis through one of four sidecars of one application
and writes down when it came in and when it left. Meanwhile kernels, plugins, the Redis server and contenders are killed or
stopped for a while, and the wall clock of kernels and plugins jumps by up to a year. A killed holder counts as inside until its
lease ends. What leases count by is not moved: nobody can set the machine's monotonic clock (lock.sqlite), and the Redis
server's own wall clock is the authority of lock.redis; a control shows that moving the latter is found."""
import json
import mmap
import os
import random
import socket
import struct
import sys
import time

KERNELS, CONTENDERS, RESOURCES, STORES = 4, 64, 3, ("lite", "red")


# --- a contender, which imports nothing of the tests -------------------------------------------------------------------------


class Sidecar:
    """A connection to one of them; its port may be another one next time."""

    def __init__(self, ports):
        self.ports, self.socket = ports, None

    def ask(self, rng, verb, store, body):
        """The answer's JSON, or None if there is none."""
        data = json.dumps(body).encode()
        try:
            if self.socket is None:
                port = struct.unpack_from("=i", self.ports, 4 * rng.randrange(KERNELS))[0]
                self.socket = socket.create_connection(("127.0.0.1", port), 5)
                self.socket.settimeout(30)
            self.socket.sendall(b"POST /v1.0-alpha1/%s/%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                                % (verb.encode(), store.encode(), len(data), data))
            reply = b""
            while b"\r\n\r\n" not in reply:
                more = self.socket.recv(65536)
                if not more:
                    raise OSError("closed")
                reply += more
            head, _, rest = reply.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while len(rest) < length:
                more = self.socket.recv(65536)
                if not more:
                    raise OSError("closed")
                rest += more
            return json.loads(rest) if b" 200 " in head[:16] else None
        except (OSError, ValueError, IndexError):
            self.socket = None
            return None


def contend(name, ports_path, log_path, seed):
    rng, log = random.Random(seed), os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(ports_path, "rb") as f:
        sidecar = Sidecar(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
    count = 0
    while True:
        count += 1
        store, resource, lease_s = rng.choice(STORES), f"r{rng.randrange(RESOURCES)}", rng.choice((1, 1, 2))
        owner = f"{name}-{count}"
        asked = time.monotonic()
        reply = sidecar.ask(rng, "lock", store, {"resourceId": resource, "lockOwner": owner, "expiryInSeconds": lease_s})
        came = time.monotonic()
        if reply is None or not reply["success"]:
            time.sleep(rng.uniform(0.02, 0.1))
            if rng.random() < 0.05:
                sidecar.socket = None  # another one of the sidecars
            continue
        # One write each: what is written is there, whatever happens to us next.
        os.write(log, f"in {store} {resource} {owner} {came!r} {asked + lease_s!r}\n".encode())
        time.sleep(rng.choice((0, 0.005, 0.02, rng.uniform(0, 0.3), lease_s + 0.1 if rng.random() < 0.2 else 0)))
        os.write(log, f"out {owner} {time.monotonic()!r}\n".encode())
        sidecar.ask(rng, "unlock", store, {"resourceId": resource, "lockOwner": owner})


if len(sys.argv) > 1 and sys.argv[1] == "contend":
    contend(*sys.argv[2:])

# --- the experiment ----------------------------------------------------------------------------------------------------------

import collections  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402

import _prove  # noqa: E402
import remora  # noqa: E402
from _clock import Clock  # noqa: E402
from _prove import by_length  # noqa: E402

SECONDS = by_length(6, 90, 900)
claims, rng = _prove.Claims(), _prove.rng
if remora.shutil.which("redis-server") is None:
    claims.end("no redis-server here: not measured")


def sections(lines):
    """(store, resource) -> intervals in which an owner may believe that it is alone, by their beginnings."""
    open_, found = {}, collections.defaultdict(list)
    for words in (line.split() for line in lines):
        if words[0] == "in":
            open_[words[3]] = (tuple(words[1:3]), float(words[4]), float(words[5]))
        else:
            place, came, ends = open_.pop(words[1])
            found[place].append((came, min(float(words[2]), ends), words[1]))
    for owner, (place, came, ends) in open_.items():  # killed inside
        found[place].append((came, ends, owner))
    return {place: sorted(one for one in intervals if one[0] < one[1]) for place, intervals in found.items()}


def overlaps(by_place):
    found = []
    for place, intervals in by_place.items():
        until, who = 0, None
        for came, ends, owner in intervals:
            if came < until:
                found.append(f"{place}: {owner} came {until - came:.6f} s before {who} had left")
            if ends > until:
                until, who = ends, owner
    return found


class Bed:
    def __init__(self):
        self.folder, self.clock, self.redis = remora.Folder(), Clock(), remora.Redis()
        for plugin in ("sqlite", "redis"):
            self.clock.add_plugin(plugin)
        self.ports_path = self.folder.write("ports", "\0" * mmap.PAGESIZE)
        with open(self.ports_path, "r+b") as f:
            self.ports = mmap.mmap(f.fileno(), 0)
        self.sidecars = [self.start_sidecar(i) for i in range(KERNELS)]
        self.names = 0
        self.contenders = [self.start_contender() for _ in range(CONTENDERS)]
        self.done = collections.Counter()

    def start_sidecar(self, number):
        sidecar = remora.Sidecar(
            remora.component("lite", "lock.sqlite", {"connectionString": self.folder / "locks.db"}),
            remora.component("red", "lock.redis", {"redisHost": f"127.0.0.1:{self.redis.port}", "redisMaxRetries": "100"}),
            env={"PATH": os.environ["PATH"], **self.clock.environment()}, flags=["--plugins-path", self.clock.plugins])
        struct.pack_into("=i", self.ports, 4 * number, sidecar.port)
        return sidecar

    def start_contender(self):
        self.names += 1
        name = f"c{self.names}"
        words = ["contend", name, self.ports_path, self.folder / f"{name}.log", f"{_prove.SEED}-{name}"]
        return subprocess.Popen([sys.executable, "-S", os.path.abspath(__file__), *words])

    # What is done to them.

    def kill_kernel(self):
        number = rng.randrange(KERNELS)
        self.sidecars[number].kill()
        self.sidecars[number] = self.start_sidecar(number)

    def kill_plugin(self):
        try:
            os.kill(rng.choice(self.sidecars).plugin_pid(rng.choice(("sqlite", "redis"))), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was killed a moment ago

    def kill_redis(self):
        self.redis.stop()
        self.redis.start()

    def kill_contender(self):
        number = rng.randrange(CONTENDERS)
        self.contenders[number].kill()
        self.contenders[number].wait()
        self.contenders[number] = self.start_contender()

    def stop_contender(self):
        self.pause(rng.choice(self.contenders).pid, rng.uniform(0.2, 2.5))

    def stop_kernel(self):
        self.pause(rng.choice(self.sidecars).popen.pid, rng.uniform(0.1, 1.5))

    @staticmethod
    def pause(pid, seconds):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def jump(self):
        self.clock.shift(rng.choice((0, 1, -1, 3600, -3600, 365 * 86400, -365 * 86400)) + rng.uniform(-5, 5))

    def trouble(self):
        kinds = [(self.kill_contender, 6), (self.stop_contender, 3), (self.kill_plugin, 4), (self.kill_kernel, 3),
                 (self.kill_redis, 2), (self.stop_kernel, 2), (self.jump, 6)]
        kind = rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        kind()
        self.done[kind.__name__] += 1

    def lines(self):
        found = []
        for i in range(1, self.names + 1):
            try:
                with open(self.folder / f"c{i}.log") as f:
                    found += f.read().splitlines()
            except FileNotFoundError:
                pass  # it was killed before it held anything
        return found

    def end(self):
        for contender in self.contenders:
            contender.kill()
            contender.wait()


def knob_is_in(pid):
    with open(f"/proc/{pid}/maps") as f:
        return "/clock.so" in f.read()


def control(clock):
    """A Redis server whose own clock jumps past the leases: two are inside, and that is found."""
    clock.shift(0)
    os.environ.update(clock.environment())
    try:
        redis = remora.Redis()
    finally:
        for name in clock.environment():
            del os.environ[name]
    sidecar = remora.Sidecar(remora.component("red", "lock.redis", {"redisHost": f"127.0.0.1:{redis.port}"}))
    with mmap.mmap(-1, mmap.PAGESIZE) as ports:
        struct.pack_into("=4i", ports, 0, *[sidecar.port] * KERNELS)
        lines = []
        for owner in ("one", "two"):
            reply = Sidecar(ports).ask(rng, "lock", "red", {"resourceId": "r", "lockOwner": owner, "expiryInSeconds": 60})
            if reply and reply["success"]:
                lines.append(f"in red r {owner} {time.monotonic()!r} {time.monotonic() + 60!r}")
            clock.shift(120)
    return len(overlaps(sections(lines)))


bed = Bed()
remora.eventually(lambda: len(bed.lines()) > 20, "the contenders are at work", 120)
if bed.clock.works:
    pids = [one.popen.pid for one in bed.sidecars] + [one.plugin_pid(name) for one in bed.sidecars for name in ("sqlite", "redis")]
    claims.holds("the wall clock of kernels and plugins can be moved", all(map(knob_is_in, pids)), f"{len(pids)} processes")
ends = time.monotonic() + SECONDS
while time.monotonic() < ends:
    time.sleep(rng.uniform(0, 0.3))
    bed.trouble()
before = len(bed.lines())
bed.clock.shift(0)
remora.eventually(lambda: len(bed.lines()) > before + 20, "they still get locks when all is quiet", 120)
bed.end()
lines = bed.lines()
by_place = sections(lines)
wrong = overlaps(by_place)
for line in wrong[:20]:
    _prove.say(line)
count = sum(len(intervals) for intervals in by_place.values())
_prove.say(", ".join(f"{what} {n}" for what, n in sorted(bed.done.items())))
_prove.say(", ".join(f"{store} {sum(len(v) for k, v in by_place.items() if k[0] == store)}" for store in STORES))
claims.holds("every lock of both stores was held", len(by_place) == len(STORES) * RESOURCES, f"{len(by_place)}")
claims.at_most("critical sections that overlap within a lease", len(wrong), 0, digits=0)
if bed.clock.works:
    claims.at_least("overlaps found when the Redis server's own clock jumps (the control)", control(bed.clock), 1, digits=0)
claims.end(f"{len(wrong)} overlaps in {count} critical sections of {CONTENDERS} contenders, {sum(bed.done.values())} troubles")
