#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL that takes only TLS: the components that use it reach it, encrypted, and none talks to a server whose
certificate is another's."""

from certificates import Certificates
from configuration_stores import TABLE, Server
from remora import Folder, Sidecar, Store, component, equal, main, need, test

_made = []


def bed():
    """The server, its certificates, and an empty database."""
    if not _made:
        folder = Folder()
        certificates = Certificates(folder)
        _made.extend((Server(certificates), certificates))
    return _made


def metadata(certificate="ca.pem", host="127.0.0.1", mode="verify-full"):
    server, certificates = bed()
    return {"connectionString": f"host={host} port={server.port} user=postgres database=postgres sslmode={mode}",
            "sslRootCert": certificates.path(certificate), "timeout": "30s"}  # fmt: skip


def is_encrypted(server, where):
    return server.run(f"SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE {where}",
                      flags=("-q", "-t", "-A")).strip() == "t"  # fmt: skip


@test("state, bindings and configuration speak TLS to a server whose certificate is verified", "STATE-01 BIND-01 CFG-01")
def verified():
    server, _ = bed()
    server.run(TABLE, "INSERT INTO configtable VALUES ('k', 'v', '1', '{}')")
    side = Sidecar(component("one", "state.postgresql", metadata()),
                    component("two", "state.postgresql", {**metadata(), "tablePrefix": "two_"}, version="v2"),
                    component("rows", "bindings.postgresql", metadata()),
                    component("conf", "configuration.postgresql", {**metadata(), "table": "configtable"}))  # fmt: skip
    for name in "one", "two":
        store = Store(side, name)
        equal(store.save("k", {"of": name}).status, 204)
        equal(store.get("k").json, {"of": name})
    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    reply = side.call("POST", "/v1.0/bindings/rows", {"operation": "query", "metadata": {"sql": sql}})
    equal((reply.status, reply.json), (200, [[True]]))
    equal(side.call("GET", "/v1.0/configuration/conf?key=k").json, {"k": {"value": "v", "version": "1"}})
    need(is_encrypted(server, "backend_type = 'client backend'"), "every connection is encrypted")


def refuses(what, **how):
    """A sidecar that may not reach the server says why and ends; it says nothing that it should not."""
    side = Sidecar(component("pg", "state.postgresql", {**metadata(**how), "password": "s3cr3t-of-ours"}), wait=False)
    equal(side.wait(40), 1)
    need(what in side.log(), f"why: {side.log()[-2000:]}")
    need("s3cr3t-of-ours" not in side.log(), "the password is in no log")


@test("a certificate of another authority is refused", "STATE-01")
def other_authority():
    refuses("certificate verify failed", certificate="other.pem")


@test("a certificate for another name is refused", "STATE-01")
def other_name():
    refuses("does not match host name", host="localhost")


@test("a server that wants TLS gets no plain text", "STATE-01")
def plain():
    refuses("no encryption", mode="disable")


main()
