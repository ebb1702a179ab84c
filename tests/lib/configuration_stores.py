# SPDX-License-Identifier: Apache-2.0
"""Stores of configuration of a test's own, as whoever maintains them sees them: past the sidecar, in the store itself."""

import json
import sqlite3

from remora import Folder, Redis, component


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
