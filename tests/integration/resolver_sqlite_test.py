# SPDX-License-Identifier: Apache-2.0
"""nameresolution.sqlite: sidecars that find each other in one file. timeout: 120"""
import os
import signal
import sqlite3
import time

from http_app import App, answer
from mesh import Mesh, invoke, reaches
from remora import Sidecar, equal, eventually, free_port, main, need, test

INTERVAL = "      updateInterval: 2s\n"  # at most 6 s until somebody who was killed is forgotten


class Bed(Mesh):
    """Rows are those of the sidecars alone, and are renewed every second."""

    def configuration(self, spec=""):
        return super().configuration(INTERVAL + spec)

    def rows(self, app_id):
        with self._hosts() as hosts:
            return hosts.execute("SELECT registration_id, address, namespace, last_update FROM hosts WHERE app_id = ? "
                                 "ORDER BY address", (app_id,)).fetchall()


def app(name):
    return App(lambda request, exchange: answer(200, name))


@test("sidecars of one machine call each other's applications without a server or multicast", "INV-08 T-INV-9 INV-10")
def calls():
    bed = Bed()
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
    bed = Bed()
    front = bed.sidecar("front")
    back = bed.sidecar("back", app=app(b"1"))
    reaches(front, "back")
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
