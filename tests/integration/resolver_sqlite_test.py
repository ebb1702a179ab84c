# SPDX-License-Identifier: Apache-2.0
"""nameresolution.sqlite: sidecars that find each other in one file. timeout: 180"""
import os
import signal
import sqlite3
import subprocess
import threading
import time

from http_app import App, answer
from launcher import REMORA
from mesh import Mesh, invoke, reaches
from remora import SLOW, Sidecar, equal, eventually, free_port, main, need, test


class Bed(Mesh):
    """Rows are those of the sidecars alone. They are renewed a second before `interval` is over, and forgotten after three
    of them, which is long enough for a sidecar on a busy machine."""

    def __init__(self, interval="10s", **more):
        super().__init__(**more)
        self.interval = interval

    def configuration(self, spec=""):
        return super().configuration(f"      updateInterval: {self.interval}\n{spec}")

    def rows(self, app_id):
        with self._hosts() as hosts:
            return hosts.execute("SELECT registration_id, address, namespace, last_update FROM hosts WHERE app_id = ? "
                                 "ORDER BY address", (app_id,)).fetchall()


def app(name):
    return App(lambda request, exchange: answer(200, name))


@test("sidecars of one machine call each other's applications without a server or multicast", "INV-08 T-INV-9 INV-10")
def calls():
    bed = Bed("2s")
    back = bed.sidecar("back", app=app(b"back"))
    front = bed.sidecar("front", app=app(b"front"), env={"PATH": os.environ["PATH"], "NAMESPACE": "prod"})
    equal(reaches(front, "back", "a/b?c=1").body, b"back")
    equal(reaches(back, "front").body, b"front")
    (row,) = bed.rows("front")
    equal((len(row[0]), row[1], row[2]), (36, front.internal, ""))
    need(abs(time.time() - row[3]) < 60, f"{row}")
    first = row[3]
    eventually(lambda: bed.rows("front")[0][3] > first, "the row is renewed")
    names = [one["name"] for one in front.metadata().get("components", [])]
    equal(names, [], "a resolver is no component")
    front.stop()
    equal(bed.rows("front"), [], "a clean stop takes the row away")
    equal(len(bed.rows("back")), 1)


@test("all instances of an application get calls, and a new one is found", "INV-05 INV-08")
def instances():
    bed = Bed()
    front = bed.sidecar("front")
    bed.sidecar("back", app=app(b"1"))
    equal(reaches(front, "back").body, b"1")
    second = bed.sidecar("back", app=app(b"2"))
    seen = []
    eventually(lambda: seen.append(invoke(front, "back", "x").body) or {b"1", b"2"} <= set(seen), "both are called")
    second.stop()
    for _ in range(10):
        equal(invoke(front, "back", "x").status, 200)


@test("a sidecar that was killed is forgotten after three intervals, and its successor found at once", "INV-08")
def killed():
    bed = Bed("2s")  # at most 6 s until it is forgotten
    front = bed.sidecar("front")
    back = bed.sidecar("back", app=app(b"1"))
    reaches(front, "back")
    os.kill(back.plugin_pid("sqlite"), signal.SIGSTOP)  # it may see the end before it is ended, and would say goodbye
    back.kill()
    equal(len(bed.rows("back")), 1, "nobody took its row away")
    reply = eventually(lambda: next((r for r in [invoke(front, "back", "x")] if b"couldn't find service" in r.body or
                                     b"no host found" in r.body), None), "it is forgotten", 30)
    need(reply.status >= 500, reply)
    bed.sidecar("back", app=app(b"2"), port=back.internal_port)
    equal(reaches(front, "back").body, b"2")
    equal(len(bed.rows("back")), 1, "an address is there once")


@test("a resolver's process that dies registers its sidecar again", "INV-08")
def plugin_killed():
    bed = Bed()
    back = bed.sidecar("back", app=app(b"back"))
    front = bed.sidecar("front")
    reaches(front, "back")
    (before,) = bed.rows("back")
    os.kill(back.plugin_pid("sqlite"), signal.SIGKILL)
    eventually(lambda: bed.rows("back") and bed.rows("back")[0][0] != before[0], "it is registered anew")
    equal(invoke(front, "back", "x").status, 200)


class Calls:
    """One after the other, until told to stop."""

    def __init__(self, sidecar, app_id):
        self.statuses, self.is_over = [], threading.Event()
        self.thread = threading.Thread(target=self.run, args=(sidecar, app_id), daemon=True)
        self.thread.start()

    def run(self, sidecar, app_id):
        while not self.is_over.is_set():
            self.statuses.append(invoke(sidecar, app_id, "x").status)

    def end(self):
        self.is_over.set()
        self.thread.join()
        return set(self.statuses)


@test("a resolver that is exchanged under load keeps its sidecar known, and is not noticed by calls", "INV-08")
def swapped():
    bed = Bed()
    back = bed.sidecar("back", app=app(b"back"))
    front = bed.sidecar("front")
    reaches(front, "back")
    (before,) = bed.rows("back")
    calls = Calls(front, "back")
    for sidecar in (back, front):
        done = subprocess.run([REMORA, "plugin", "swap", "sqlite", "--run-dir", sidecar.folder / "run"], capture_output=True,
                              text=True, timeout=60 * SLOW)
        equal(done.returncode, 0, done.stderr)
    eventually(lambda: len(calls.statuses) > 100, "calls go on")
    equal(calls.end(), {200})
    (after,) = bed.rows("back")
    need(after[0] != before[0] and after[1] == before[1], "it is the row of the new process")


@test("a Configuration that names another file moves the sidecar there", "INV-08")
def moved():
    bed = Bed()
    front = bed.sidecar("front")
    path = bed.folder / f"config-{bed.count}.yaml"
    with open(path) as f:
        text = f.read()
    old, bed.database = bed.database, bed.folder / "other.db"
    with open(path + ".new", "w") as f:
        f.write(text.replace(old, bed.database))
    os.rename(path + ".new", path)
    back = bed.sidecar("back", app=app(b"back"))
    equal(reaches(front, "back").body, b"back")
    eventually(lambda: len(bed.rows("front")) == 1, "it is known there")
    bed.database = old
    eventually(lambda: bed.rows("front") == [], "and no longer where it was")
    back.stop()


@test("a file that is deleted under sidecars is made anew by them", "INV-08")
def deleted():
    bed = Bed("5s")
    back = bed.sidecar("back", app=app(b"back"))
    front = bed.sidecar("front")
    reaches(front, "back")
    for name in ("", "-wal", "-shm"):
        os.unlink(bed.database + name)

    def are_back():
        try:
            return os.path.exists(bed.database) and bed.rows("back") and bed.rows("front")
        except sqlite3.OperationalError:
            return False  # the table is not made yet

    eventually(are_back, "both are in the new one")
    bed.sidecar("late", app=app(b"late"))
    equal(reaches(front, "late").body, b"late")
    equal(reaches(back, "late").body, b"late")


@test("a file that is locked for long delays the registration, not the sidecar", "INV-08")
def locked():
    bed = Bed()
    front = bed.sidecar("front")
    with bed._hosts() as hosts:
        hosts.execute("BEGIN IMMEDIATE")
        back = bed.sidecar("back", app=app(b"back"))
        equal(back.healthz(), 204)
        hosts.execute("COMMIT")
    equal(reaches(front, "back", seconds=30).body, b"back")


@test("what no resolver can use is an error in the log; the sidecar serves on", "INV-08")
def unusable():
    port = free_port()
    bed = Bed()
    config = bed.folder.write("bad.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: x}\nspec:\n"
                              "  nameResolution: {component: sqlite, configuration: {updateInterval: 1500ms, "
                              "connectionString: x.db}}\n")
    sidecar = Sidecar(app_id="alone", flags=["--config", config, "--dapr-internal-grpc-port", str(port)])
    eventually(lambda: "update interval must not contain fractions of seconds" in sidecar.log(), "it is said")
    equal(sidecar.healthz(), 204)


@test("a database of another kind is refused and left as it is", "INV-08")
def foreign():
    bed = Bed(resolver="none")
    path = bed.folder / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE hosts (name TEXT)")
        db.execute("INSERT INTO hosts VALUES ('mine')")
    bed.resolver, bed.database = "sqlite", path
    sidecar = bed.sidecar("front")
    eventually(lambda: "failed to register host" in sidecar.log() or "failed to perform migrations" in sidecar.log(), "it is said")
    with sqlite3.connect(path) as db:
        equal(db.execute("SELECT * FROM hosts").fetchall(), [("mine",)])
    equal(sidecar.healthz(), 204)


main()
