# SPDX-License-Identifier: Apache-2.0
"""Stores of configuration of a test's own, as whoever maintains them sees them: past the sidecar, in the store itself."""

import glob
import json
import os
import shutil
import sqlite3
import subprocess

from remora import Folder, Process, Redis, Skip, children, component, eventually, free_port, is_running, need


class Sqlite:
    """A file, written through the table that plugins/sqlite/README.md documents."""

    kind, plugin = "configuration.sqlite", "sqlite"
    has_metadata = True
    deletion_keeps_value = False

    def __init__(self):
        self.path = Folder() / "conf.db"

    def component(self, name="conf", **metadata):
        return component(name, self.kind, {"connectionString": self.path, **metadata})

    def run(self, sql, *values):
        with sqlite3.connect(self.path, timeout=20) as db:
            rows = db.execute(sql, values).fetchall()
            db.commit()
        db.close()
        return rows

    def put(self, key, value, version=None, metadata=None):
        self.run("INSERT INTO configuration (key, value, version, metadata) VALUES (?, ?, ?, ?) ON CONFLICT (key)"
                 " DO UPDATE SET value = excluded.value, version = excluded.version, metadata = excluded.metadata",
                 key, value, version, json.dumps(metadata) if metadata else None)

    def remove(self, key):
        self.run("DELETE FROM configuration WHERE key = ?", key)


class RedisStore:
    """Strings `value||version`."""

    kind, plugin = "configuration.redis", "redis"
    has_metadata = False
    deletion_keeps_value = False

    def __init__(self, database=0):
        self.server, self.database = Redis(), database

    def component(self, name="conf", **metadata):
        more = {"redisDB": str(self.database)} if self.database else {}
        return component(name, self.kind, {"redisHost": f"127.0.0.1:{self.server.port}", **more, **metadata})

    def put(self, key, value, version=None, metadata=None):
        self.command("SET", key, value if version is None else f"{value}||{version}")

    def remove(self, key):
        self.command("DEL", key)

    def command(self, *words):
        return self.server.command(*words, database=self.database)


class Server(Process):
    """A private PostgreSQL with an empty database; stop() and start() keep port and data. With certificates.Certificates
    it takes nobody who does not speak TLS."""

    def __init__(self, certificates=None):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Skip("postgresql is not installed")
        self.bin = found[-1]
        self.folder = Folder("/tmp" if os.geteuid() == 0 else None)  # where others may go
        self.port = free_port()
        self.data = self.folder / "data"
        self.drop = []  # the server refuses to be root
        if os.geteuid() == 0:
            self.drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all"]
            shutil.chown(self.folder.path, "nobody", "nogroup")
        made = subprocess.run([*self.drop, f"{self.bin}/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                               "--locale=C.UTF-8", "--no-sync"], capture_output=True, text=True, cwd="/", check=False)
        need(made.returncode == 0, made.stderr)
        self.more = self.use(certificates) if certificates else []
        self.start()

    def use(self, certificates):
        for name in "server.pem", "server.key":
            shutil.copy(certificates.path(name), self.data)
            os.chmod(os.path.join(self.data, name), 0o600)
            if self.drop:
                shutil.chown(os.path.join(self.data, name), "nobody", "nogroup")
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as f:
            f.write("hostssl all all 127.0.0.1/32 trust\n")
        return [word for setting in ("ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key")
                for word in ("-c", setting)]  # fmt: skip

    def start(self):
        command = [*self.drop, f"{self.bin}/postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k",
                   self.folder.path, "-c", "fsync=off", *self.more]
        super().__init__(command, self.folder, cwd="/")

        def is_there():
            if not self.is_alive():  # as long as children of one that was killed hold its memory, the next one ends
                Process.__init__(self, command, self.folder, cwd="/")
            return self.ask("SELECT 1")[0] == 0

        try:
            eventually(is_there, "postgres is there", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log()[-2000:]}") from None

    def stop(self):
        """SIGKILL. The processes that it has started answer for a moment more: until they have gone too."""
        started = children(self.pid)
        self.kill()
        eventually(lambda: not any(is_running(pid) for pid in started), "its processes have gone")

    def metadata(self, database="postgres"):
        """Of components that use it."""
        return {"connectionString": f"host=127.0.0.1 port={self.port} user=postgres database={database}"}

    def ask(self, *statements, file=None, database="postgres", flags=("-q",)):
        """Status and output of psql."""
        words = ["-f", file] if file else [word for statement in statements for word in ("-c", statement)]
        done = subprocess.run(["psql", "-X", *flags, "-d", database, "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U",
                               "postgres", *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def run(self, *statements, **more):
        status, output = self.ask(*statements, **more)
        if status != 0:
            raise OSError(output)
        return output

    def rows(self, statement, database="postgres"):
        """What it finds, as texts."""
        lines = self.run(statement, database=database, flags=("-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e"))
        return [tuple(line.split("\x1f")) for line in lines.removesuffix("\n").split("\x1e") if line]


TABLE = """CREATE TABLE configtable (KEY VARCHAR NOT NULL, VALUE VARCHAR NOT NULL, VERSION VARCHAR NOT NULL, METADATA JSON);
CREATE FUNCTION notify_event() RETURNS TRIGGER AS $$
  DECLARE data json; notification json;
  BEGIN
    IF (TG_OP = 'DELETE') THEN data = row_to_json(OLD); ELSE data = row_to_json(NEW); END IF;
    notification = json_build_object('table', TG_TABLE_NAME, 'action', TG_OP, 'data', data);
    PERFORM pg_notify('config', notification::text);
    RETURN NULL;
  END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER config AFTER INSERT OR UPDATE OR DELETE ON configtable FOR EACH ROW EXECUTE PROCEDURE notify_event();"""


class Postgres:
    """A table with the trigger that the documentation of such a component gives."""

    kind, plugin = "configuration.postgresql", "postgresql"
    has_metadata = True
    deletion_keeps_value = True

    def __init__(self, golden=None):
        self.server = Server()
        self.server.run(*([] if golden else [TABLE]), file=golden)

    def component(self, name="conf", kind=None, **metadata):
        where = f"host=127.0.0.1 port={self.server.port} user=postgres dbname=postgres"
        return component(name, kind or self.kind,
                         {"connectionString": where, "table": "configtable", "notifyChannel": "config", **metadata})

    def put(self, key, value, version=None, metadata=None):
        key, value, version = (f"'{text}'" for text in (key.replace("'", "''"), value.replace("'", "''"), version or ""))
        json_ = "'" + json.dumps(metadata) + "'" if metadata else "NULL"
        self.server.run(f"WITH there AS (UPDATE configtable SET value = {value}, version = {version}, metadata = {json_}"
                        f" WHERE key = {key} RETURNING 1) INSERT INTO configtable SELECT {key}, {value}, {version}, {json_}"
                        " WHERE NOT EXISTS (SELECT 1 FROM there)")

    def remove(self, key):
        self.server.run("DELETE FROM configtable WHERE key = '" + key.replace("'", "''") + "'")
