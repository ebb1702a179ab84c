# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 120
"""Experiment anywhere: as uid 65532, PID 1, read-only root with one tmpfs, IPv6 only, no capabilities, empty environment.

All at once, in namespaces of their own, with a soft limit of 1,024 descriptors that more connections than that must not
meet; then a state store works, a killed plugin returns, no process is left a zombie, and SIGTERM ends it all."""
import os
import shutil
import signal
import subprocess
import sys
import time

import _prove
import measure
import remora
from _prove import by_length

CONNECTIONS = by_length(1200, 1500, 4000)
PORT = 3500
UID = 65532
# Runs as root in the new namespaces, gives all of it up, and becomes the sidecar. Every mount is made read-only but the
# one tmpfs and, as in containers, /proc; the copy of the product is bound where any user may reach it.
INSIDE = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" /mnt
mount -t tmpfs -o mode=1777,size=32m none /run
mount -t proc proc /proc
awk '$2 != "/run" && $2 != "/proc" {print $2}' /proc/mounts | sort -u | while read -r at; do
    mount -o remount,bind,ro "$at" 2>/dev/null || true
done
ip link set lo up
ip -4 addr flush dev lo
# A sidecar that no other could reach does not start: one address, of IPv6.
ip link add eth0 type veth peer name wire
ip link set wire up
ip link set eth0 up
ip -6 addr add fd00::1/64 dev eth0 nodad
ulimit -S -n 1024
exec env -i setpriv --reuid=65532 --regid=65532 --clear-groups --bounding-set=-all --inh-caps=-all \
    /mnt/bin/remorad --app-id shop --dapr-http-port 3500 --resources-path /mnt/resources
"""
claims = _prove.Claims()


class Closed(remora.Process):
    """The sidecar in its narrow place; `pid` is its process id out here."""

    def __init__(self, folder):
        super().__init__(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c",
                          INSIDE, "sh", folder.path], folder)
        remora.eventually(lambda: len(self.inner()) > 0 or not self.is_alive(), "the namespaces are there")
        remora.need(self.is_alive(), self.log())
        self.first = self.inner()[0]

    def inner(self):
        return measure.tree(self.popen.pid)[1:]

    def ask(self, what):
        """Runs this file in the sidecar's network; the answer is a line of its output."""
        run = subprocess.run(["nsenter", "-t", str(self.first), "-n", sys.executable, __file__, what],
                             stdout=subprocess.PIPE, text=True)
        return remora.json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 and run.stdout else None

    def status(self, field):
        with open(f"/proc/{self.first}/status") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith(field + ":"))


class Inside:
    """What runs in the sidecar's network, by name."""

    address = ("::1", PORT)

    def call(self, method, target, body=None):
        return remora.call(self.address, method, target, body)

    def healthz(self):
        try:
            return self.call("GET", "/v1.0/healthz").status
        except (OSError, remora.Cut):
            return 0

    def metadata(self):
        return self.call("GET", "/v1.0/metadata").json

    def state(self):
        """Whether both stores keep what they are given."""
        good = []
        for store in ("memory", "file"):
            saved = self.call("POST", f"/v1.0/state/{store}", [{"key": "k", "value": store}])
            good.append(saved.status == 204 and self.call("GET", f"/v1.0/state/{store}/k").json == store)
        return all(good)

    def connections(self):
        """How many of so many connections at once are answered."""
        measure.raise_fd_limit()
        connections = [remora.Connection(self.address) for _ in range(CONNECTIONS)]
        for connection in connections:
            connection.send(remora.request_bytes("GET", "/v1.0/state/memory/k"))
        return sum(connection.reply().status == 200 for connection in connections)

    def ipv4(self):
        try:
            remora.Connection(("127.0.0.1", PORT)).close()
            return True
        except OSError:
            return False


def copy_of_product(folder):
    shutil.copytree(os.path.join(remora.BUILD, "bin"), folder / "bin")
    shutil.copytree(os.path.join(remora.BUILD, "plugins"), folder / "plugins")
    os.mkdir(folder / "resources")
    folder.write("resources/memory.yaml", remora.component("memory", "state.in-memory"))
    folder.write("resources/file.yaml", remora.component("file", "state.sqlite", {"connectionString": "/run/state.db"}))
    for at, folders, _ in os.walk(folder.path):
        os.chmod(at, 0o755)


def zombies(pids):
    found = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    found.append(pid)
        except OSError:
            pass
    return found


def judge_place(sidecar):
    claims.holds("it is PID 1 of its namespace", sidecar.status("NSpid").split()[-1] == "1")
    claims.holds("its uid is 65532", set(sidecar.status("Uid").split()) == {str(UID)})
    capabilities = {field: sidecar.status(field) for field in ("CapEff", "CapPrm", "CapBnd")}
    claims.holds("it has no capabilities", set(capabilities.values()) == {"0" * 16})
    with open(f"/proc/{sidecar.first}/environ", "rb") as f:
        claims.holds("its environment is empty", f.read() == b"")
    with open(f"/proc/{sidecar.first}/mountinfo") as f:
        mounts = {line.split()[4]: line.split()[5].split(",")[0] for line in f}  # the topmost of each place
    writable = [at for at, mode in mounts.items() if mode == "rw" and at != "/proc" and not at.startswith("/run/")]  # it covers those
    claims.holds("one mount is writable", writable == ["/run"], " ".join(writable))
    claims.holds("there is no IPv4", sidecar.ask("ipv4") is False)


def main():
    if os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("ip") is None:
        claims.end("needs root, setpriv and ip to build the place: not measured")
    folder = remora.Folder()
    copy_of_product(folder)
    started = time.monotonic()
    sidecar = Closed(folder)
    remora.eventually(lambda: sidecar.ask("healthz") == 204 or not sidecar.is_alive(), "it is ready")
    remora.need(sidecar.is_alive(), sidecar.log()[-3000:])
    ready_s = time.monotonic() - started
    judge_place(sidecar)
    claims.holds("both stores work", sidecar.ask("state"))
    claims.holds(f"{CONNECTIONS} connections at once are answered", sidecar.ask("connections") == CONNECTIONS)
    plugins = {row["name"]: row for row in sidecar.ask("metadata")["remora"]["plugins"]}
    layers = plugins["sqlite"]["sandbox"]
    _prove.say(f"plugins are confined by {layers}; missing: {plugins['sqlite']['sandboxMissing'] or 'nothing'}")
    remora.eventually(lambda: sidecar.ask("metadata")["remora"]["nameResolution"]["state"] == "ready", "others can find it")
    claims.holds("plugins may gain nothing and are filtered", "no-new-privs" in layers and "seccomp" in layers)
    for pid in sidecar.inner()[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it was in the namespace of one killed before
            pass
    remora.eventually(lambda: sidecar.ask("state"), "killed plugins return")
    remora.eventually(lambda: not zombies(sidecar.inner()), "no zombies are left")
    os.kill(sidecar.first, signal.SIGTERM)
    claims.holds("SIGTERM ends it with status 0", sidecar.wait() == 0)
    claims.end(f"ready after {ready_s:.2f} s as uid 65532 and PID 1 on a read-only root, IPv6 only, without capabilities "
               f"and environment; confined by {layers}")


if len(sys.argv) > 1:
    print(remora.json.dumps(getattr(Inside(), sys.argv[1])()))
else:
    main()
