# SPDX-License-Identifier: Apache-2.0
"""The state stores side by side: one sidecar with one worker, one with three, each over databases of its own."""

import configuration_stores
import mariadb
from remora import Folder, Redis, Sidecar, Store, component, test

NAMES = ("mem", "sqlt", "red", "mys", "pg")
WORKERS = (1, 3)
_sidecars = {}
_redis = []
_mariadb = []
_postgres = []


def redis():
    """The server that all tests of a program share."""
    if not _redis:
        _redis.append(Redis())
    return _redis[0]


def mysql():
    if not _mariadb:
        _mariadb.append(mariadb.MariaDB())
    return _mariadb[0]


def postgres():
    if not _postgres:
        _postgres.append(configuration_stores.Server())
    return _postgres[0]


def sidecar(workers=1):
    if workers not in _sidecars:
        folder = Folder()
        _sidecars[workers] = Sidecar(
            component("mem", "state.in-memory"),
            component("sqlt", "state.sqlite", {"connectionString": folder / "state.db"}),
            component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis().port}", "redisDB": str(workers),
                                             "readTimeout": "20s"}),
            mysql().component("mys", schemaName=f"workers_{workers}"),
            component("pg", "state.postgresql", {**postgres().metadata(), "tablePrefix": f"workers_{workers}_"}, version="v2"),
            folder=folder,
            flags=["--workers", str(workers)],
        )
        _sidecars[workers].workers = workers
    return _sidecars[workers]


def on_stores(name, requirements="", stores=NAMES, workers=WORKERS):
    """A test for every store and number of workers, called with a Store."""

    def register(function):
        for count in workers:
            for store in stores:
                test(f"{name}: {store}, {count} worker{'s' if count > 1 else ''}", requirements)(
                    lambda count=count, store=store: function(Store(sidecar(count), store))
                )
        return function

    return register
