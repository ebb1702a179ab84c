# SPDX-License-Identifier: Apache-2.0
"""Sidecars that find each other through one SQLite file (nameresolution.sqlite), so that tests beside each other do not
meet, and peers that are not sidecars written into the same file. DAPRD= names another program for the sidecars that are
to be somebody else's."""

import json
import os
import sqlite3
import time
import uuid

import remora
from remora import Folder, Process, Sidecar, Skip, free_port

DAPRD = os.environ.get("DAPRD")
HOSTS = """
CREATE TABLE IF NOT EXISTS metadata (key text NOT NULL PRIMARY KEY, value text NOT NULL);
INSERT OR IGNORE INTO metadata VALUES ('nr-migrations', '1');
CREATE TABLE IF NOT EXISTS hosts (registration_id TEXT NOT NULL PRIMARY KEY, address TEXT NOT NULL,
  app_id TEXT NOT NULL, namespace TEXT NOT NULL, last_update INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS hosts_address_idx ON hosts (address);
CREATE INDEX IF NOT EXISTS hosts_last_update_idx ON hosts (last_update);
"""
LOOPBACK = ["--dapr-internal-grpc-listen-address", "127.0.0.1"]


class Mesh:
    """With an authority (tests/lib/authority.py) there is mutual TLS."""

    def __init__(self, authority=None, resolver="sqlite"):
        self.folder, self.authority, self.resolver = Folder(), authority, resolver
        self.database = self.folder / "hosts.db"
        self.count = 0
        if resolver == "sqlite":
            with self._hosts() as hosts:
                hosts.executescript("PRAGMA journal_mode = WAL;" + HOSTS)

    def _hosts(self):
        return sqlite3.connect(self.database, timeout=remora.DEADLINE_S, isolation_level=None)

    # --- peers that register themselves ---

    def register(self, app_id, *addresses):
        """As if sidecars of that name had just said that they are there, and would go on to; no others are."""
        self.unregister(app_id)
        for address in addresses:
            self._add(app_id, address)

    def _add(self, app_id, address):
        with self._hosts() as hosts:
            hosts.execute("INSERT INTO hosts VALUES (?, ?, ?, '', ?)",
                          (str(uuid.uuid4()), address, app_id, int(time.time()) + 86400))  # fmt: skip

    def unregister(self, app_id):
        with self._hosts() as hosts:
            hosts.execute("DELETE FROM hosts WHERE app_id = ?", (app_id,))

    def addresses(self, app_id):
        with self._hosts() as hosts:
            return [row[0] for row in hosts.execute("SELECT address FROM hosts WHERE app_id = ?", (app_id,))]

    # --- sidecars ---

    def configuration(self, spec=""):
        """A file; `spec` is further YAML below `spec:`, indented by two."""
        lines = ["apiVersion: dapr.io/v1alpha1", "kind: Configuration", "metadata:", "  name: mesh", "spec:"]
        if self.resolver == "sqlite":
            lines += ["  nameResolution:", "    component: sqlite", "    version: v1", "    configuration:",
                      f"      connectionString: {json.dumps(self.database)}", "      updateInterval: 60s"]  # fmt: skip
        elif not spec:
            lines[-1] += " {}"
        self.count += 1
        return self.folder.write(f"config-{self.count}.yaml", "\n".join(lines) + "\n" + spec)

    def sidecar_of(self, *resources, app_id, **more):
        """As Sidecar() is called."""
        return self.sidecar(app_id, *resources, **more)

    def sidecar(self, app_id, *resources, app=None, protocol=None, spec="", flags=(), env=None, kind=None, port=None,
                loopback=True, **more):  # fmt: skip
        """`app` is an application with a port, or a port; `port` the internal one."""
        port = port or free_port()
        words = ["--config", self.configuration(spec), "--dapr-internal-grpc-port", str(port)]
        words += LOOPBACK if loopback else []
        if app is not None:
            words += ["--app-port", str(getattr(app, "port", app))]
        if protocol:
            words += ["--app-protocol", protocol]
        if self.authority:
            words += self.authority.flags()
            env = {**(env or {"PATH": os.environ["PATH"]}), **self.authority.environment()}
        made = (kind or Sidecar)(*resources, app_id=app_id, flags=[*words, *flags], env=env, **more)
        made.app_id, made.internal_port, made.internal = app_id, port, f"127.0.0.1:{port}"
        return made


class Daprd(Process):
    """The program that DAPRD= names, with the flags and the interface of a Sidecar."""

    def __init__(self, *resources, app_id="shop", flags=(), env=None, wait=True, **more):
        if not DAPRD:
            raise Skip("DAPRD= names no sidecar")
        self.folder = Folder()
        self.port, self.grpc_port = free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        os.mkdir(self.folder / "resources")
        for i, text in enumerate(resources):
            self.folder.write(f"resources/{i}.yaml", text)
        command = [DAPRD, "--app-id", app_id, "--dapr-http-port", str(self.port), "--dapr-grpc-port", str(self.grpc_port),
                   "--metrics-port", str(free_port()), "--resources-path", self.folder / "resources", "--log-level", "debug",
                   "--dapr-listen-addresses", "127.0.0.1"]  # fmt: skip
        super().__init__([*command, *flags], self.folder, env=env or {"PATH": os.environ["PATH"]}, **more)
        if wait:
            self.wait_ready()

    call, healthz, wait_ready, metadata, connect, stop = (
        Sidecar.call, Sidecar.healthz, Sidecar.wait_ready, Sidecar.metadata, Sidecar.connect, Sidecar.stop
    )  # fmt: skip


def invoke(sidecar, app_id, method, verb="GET", body=None, headers=(), **more):
    return sidecar.call(verb, f"/v1.0/invoke/{app_id}/method/{method}", body, headers, **more)


def reaches(sidecar, app_id, method="", seconds=None):
    """Waits until the application answers through the mesh; a sidecar says it is ready before others know of it."""
    def tried():
        reply = invoke(sidecar, app_id, method)
        return reply if reply.status < 500 else None

    return remora.eventually(tried, f"{sidecar.app_id} reaches {app_id}", seconds)
