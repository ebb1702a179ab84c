# SPDX-License-Identifier: Apache-2.0
"""Experiment footprint: memory of kernel and plugins idle, under load, over many requests, with 10,000 idle connections.

LONG=1 counts the drift from request 10^6 to 10^7; the usual form from 10^5 to 10^6 against the same limit."""
import subprocess
import time

import _prove
import measure
import remora
from _prove import by_length

LOAD_SECONDS = by_length(3, 10, 60)
DRIFT_FROM, DRIFT_TO = by_length((30000, 100000), (10**5, 10**6), (10**6, 10**7))
IDLE_CONNECTIONS = by_length(1000, 10000, 10000)
claims = _prove.Claims()


def mib(pids):
    return measure.pss_kib(pids) / 1024


def maps_of(pid):
    with open(f"/proc/{pid}/maps") as f:
        return f.read()


def settled(value):
    """What is freed after a request is not always freed before its answer."""
    time.sleep(0.3)
    return value()


def own_redis_with_tls(folder):
    """A server that speaks TLS only, with a certificate made for this run."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = remora.free_port()
    remora.Process(["redis-server", "--port", "0", "--tls-port", str(port), "--tls-cert-file", folder / "cert.pem",
                    "--tls-key-file", folder / "key.pem", "--tls-auth-clients", "no", "--save", "", "--dir",
                    folder.path], folder)
    return port


def idle_and_loaded():
    product = measure.Product(measure.store_yaml("in-memory"), None)
    idle = settled(lambda: mib([product.pid]))
    claims.at_most("kernel PSS idle, MiB", idle, 6)
    measure.fill(product.address, "store")
    case = measure.get_case("get", product.port, "store")
    case.run(64, LOAD_SECONDS)
    save = measure.save_case("save", product.port, "store")
    load = subprocess.Popen(save.command(64, LOAD_SECONDS), stdout=subprocess.DEVNULL)
    time.sleep(LOAD_SECONDS - 1)
    loaded = mib([product.pid])
    load.wait()
    claims.at_most(f"kernel PSS after {2 * LOAD_SECONDS - 1} s of load at 64, MiB", loaded, 8)
    claims.at_most("plugin in-memory PSS, MiB", mib(product.plugin_pids()["in-memory"]), 2.5)
    found = [word for word in ("grpc", "nng") if word in maps_of(product.pid)]
    claims.holds("neither grpc nor libnng is mapped", not found, " ".join(found))
    product.end()
    return idle, loaded


def drift():
    product = measure.Product(measure.store_yaml("in-memory"), "store")
    plugin = product.plugin_pids()["in-memory"]
    case = measure.get_case("get", product.port, "store")
    case.run(64, 600, "--requests", str(DRIFT_FROM))
    before = settled(lambda: measure.private_kib(product.pid)), measure.fd_count(product.pid)
    plugin_before = sum(map(measure.private_kib, plugin))
    case.run(64, 600, "--requests", str(DRIFT_TO - DRIFT_FROM))
    growth = settled(lambda: measure.private_kib(product.pid)) - before[0]
    claims.at_most(f"kernel drift, KiB, from request {DRIFT_FROM} to {DRIFT_TO}", growth, 256, digits=0)
    claims.at_most("plugin drift, KiB, meanwhile", sum(map(measure.private_kib, plugin)) - plugin_before, 256, digits=0)
    remora.eventually(lambda: measure.fd_count(product.pid) <= before[1], "connections are closed")
    product.end()
    return growth


def idle_connections():
    product = measure.Product(measure.store_yaml("in-memory"), "store")
    before = mib([product.pid])
    case = measure.get_case("get", product.port, "store")
    holder = subprocess.Popen(case.command(1, 120, "--idle-connections", str(IDLE_CONNECTIONS)),
                              stdout=subprocess.DEVNULL)
    try:
        remora.eventually(lambda: measure.fd_count(product.pid) > IDLE_CONNECTIONS, "all are connected", 20)
        got = settled(lambda: mib([product.pid]))
    finally:
        holder.kill()
        holder.wait()
    claims.at_most(f"kernel PSS with {IDLE_CONNECTIONS} idle connections, MiB", got, 60)
    remora.eventually(lambda: measure.fd_count(product.pid) < 200, "they are gone", 20)
    _prove.say(f"before {before:.1f} MiB, after they left {settled(lambda: mib([product.pid])):.1f} MiB")
    product.end()
    return got


def plugins():
    folder = remora.Folder()
    loaded = {}

    def judge(name, kind, yaml, limit):
        product = measure.Product(yaml, "store")
        measure.save_case("save", product.port, "store").run(64, max(1, LOAD_SECONDS // 5))
        measure.get_case("get", product.port, "store").run(64, max(1, LOAD_SECONDS // 5))
        loaded[name] = mib(product.plugin_pids()[kind])
        claims.at_most(f"plugin {name} PSS, MiB", loaded[name], limit)
        product.end()

    judge("sqlite", "sqlite", measure.store_yaml("sqlite", folder), 5)
    if not measure.have_redis():
        _prove.say("no redis-server here: not measured")
        return loaded
    server = measure.plain_redis()
    judge("redis", "redis", measure.store_yaml("redis", redis=server), 3)
    port = own_redis_with_tls(folder)
    with open(folder / "cert.pem") as f:
        metadata = {"redisHost": f"localhost:{port}", "enableTLS": "true", "caCert": f.read()}
    judge("redis with TLS", "redis", remora.component("store", "state.redis", metadata), 5.5)
    return loaded


measure.raise_fd_limit()
kernel_idle, kernel_loaded = idle_and_loaded()
loaded_plugins = plugins()
growth_kib = drift()
with_connections = idle_connections()
claims.end(f"kernel {kernel_idle:.1f} MiB idle, {kernel_loaded:.1f} under load, {growth_kib:+} KiB of drift, "
           f"{with_connections:.0f} MiB with {IDLE_CONNECTIONS} connections; "
           + ", ".join(f"{name} {value:.1f}" for name, value in loaded_plugins.items()) + " MiB")
