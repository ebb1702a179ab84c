# SPDX-License-Identifier: Apache-2.0
"""state.memcached through the whole product: what the servers have, which of them has it, what they cannot have, and what
happens when they or the plugin go away. timeout: 120"""

import concurrent.futures
import os
import signal
import socket
import threading
import zlib

from memcached import Memcached, document
from remora import Folder, Sidecar, Store, component, equal, eventually, free_port, main, need, test

_server = []


def server():
    """The one that tests share which do it no harm."""
    if not _server:
        _server.append(Memcached())
    return _server[0]


def store_on(*addresses, **metadata):
    return Store(Sidecar(document(*addresses, **metadata)), "cache")


def refused(*resources):
    """The log of a sidecar that cannot start."""
    sidecar = Sidecar(*resources, wait=False)
    equal(sidecar.wait(60), 1)
    return sidecar.log()


def message(reply):
    return reply.json["message"] if reply.body else ""


@test("values are stored as they are and read back", "STATE-01 STATE-02 STATE-03 STATE-04 STATE-10")
def values():
    store = store_on(server().address)
    texts = ["1", '{ "a" : [1.50, 9007199254740993, "ü"] }', '""', "null", '"END\\r\\n"', '"' + "x" * 900_000 + '"']
    for i, text in enumerate(texts):
        equal(store.save(f"k{i}", None, raw=text).status, 204)
        reply = store.get(f"k{i}")
        equal((reply.status, reply.text, reply.header("Etag")), (200, text, None))
    equal(server().ask("get shop||k1"), f"VALUE shop||k1 0 {len(texts[1].encode())}\r\n{texts[1]}\r\nEND\r\n".encode())
    equal([item.get("data") for item in store.bulk(["k0", "none", "k3", "k0"]).json], [1, None, None, 1])
    equal(store.delete("k0").status, 204)
    equal((store.get("k0").status, store.delete("k0").status), (204, 204))
    equal(store.save_raw([{"key": f"m{i}", "value": i} for i in range(3000)]).status, 204)
    equal([item["data"] for item in store.bulk([f"m{i}" for i in range(3000)]).json], list(range(3000)))
    server().ask("set shop||foreign 7 0 5", b'"abc"')
    equal(store.get("foreign").text, '"abc"', "flags of others")
    found = [item for item in store.sidecar.metadata()["components"] if item["name"] == "cache"][0]
    equal((found["type"], found.get("capabilities")), ("state.memcached", ["TTL"]))
    reply = store.transact(("upsert", "t", 1))
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_STORE_NOT_SUPPORTED"))


@test("a time to live is the server's", "STATE-44 STATE-45")
def ttl():
    store = store_on(server().address)
    equal(store.save("short", 1, metadata={"ttlInSeconds": "1"}).status, 204)
    equal(store.save("long", 1, metadata={"ttlInSeconds": str(40 * 24 * 3600)}).status, 204)
    equal(store.save("cleared", 1, metadata={"ttlInSeconds": "1"}).status, 204)
    equal(store.save("cleared", 2, metadata={"ttlInSeconds": "-1"}).status, 204)
    eventually(lambda: store.get("short").status == 204, "expired")
    equal((store.get("long").text, store.get("cleared").text), ("1", "2"))
    for text, words in (("soon", "invalid syntax"), ("3000000000", "2038")):
        reply = store.save("bad", 1, metadata={"ttlInSeconds": text})
        need(reply.status == 500 and words in message(reply), repr(reply))
    equal(store.get("bad").status, 204)


@test("what memcached cannot hold is refused, and told clearly", "STATE-43 STATE-10")
def bounds():
    store = store_on(server().address)
    equal(store.save("k" * 244, 1).status, 204)
    equal(store.save("witness", 1).status, 204)
    for key in ("k" * 245, "a b", "a\tb", "a\r\nflush_all\r\n", "\x7f"):
        for reply in (store.save(key, 1), store.get(key), store.delete(key)):
            need(reply.status == 500 and "up to 250 bytes" in message(reply), f"{key!r}: {reply}")
        equal(store.bulk(["witness", key]).json[0]["data"], 1)
    reply = store.save("big", "x" * 1_100_000)
    need(reply.status == 500 and "larger than the server takes, which is 1 MiB" in message(reply), repr(reply))
    equal(store.get("witness").text, "1")


@test("each key is on the server that the reference's library would ask", "STATE-02")
def several():
    mine = [Memcached() for _ in range(3)]
    store = store_on(*[one.address for one in mine])
    keys = [f"key-{i}" for i in range(60)]
    equal(store.save_raw([{"key": key, "value": key} for key in keys]).status, 204)
    for key in keys:
        place = zlib.crc32(f"shop||{key}".encode()) % 3
        equal([one.ask(f"get shop||{key}").startswith(b"VALUE") for one in mine], [i == place for i in range(3)], key)
    mine[1].kill()
    for key in keys:
        away = zlib.crc32(f"shop||{key}".encode()) % 3 == 1
        reply = store.get(key)
        need((reply.status in (500, 503)) if away else reply.json == key, repr(reply))
    items = store.bulk(keys).json
    equal([item.get("data") for item in items], [None if zlib.crc32(f"shop||{key}".encode()) % 3 == 1 else key for key in keys])


@test("a server that is killed is told of, and used again when it is back", "STATE-01")
def killed():
    mine = Memcached()
    store = store_on(mine.address)
    equal(store.save("k", 1).status, 204)
    mine.kill()
    reply = eventually(lambda: next((r for r in [store.get("k")] if r.status != 200), None), "it is away")
    need(reply.status in (500, 503) and reply.json["errorCode"] == "ERR_STATE_GET" and "connection refused" in message(reply),
         repr(reply))
    reply = store.save("k", 2)
    need(reply.status in (500, 503) and reply.json["errorCode"] == "ERR_STATE_SAVE", repr(reply))
    mine.start()
    eventually(lambda: store.save("k", 3).status == 204, "it is back")
    equal(store.get("k").text, "3")
    mine.kill()
    mine.start()
    eventually(lambda: store.get("k").status == 204, "a cache forgets")


@test("a frozen server times out and nobody else waits for it", "STATE-01")
def frozen():
    mine = Memcached()
    sidecar = Sidecar(document(mine.address, timeout="5000"), document(server().address, name="other"))
    store, other = Store(sidecar, "cache"), Store(sidecar, "other")
    equal(store.save("k", 1).status, 204)
    mine.signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(store.save, f"k{i}", i) for i in range(8)]
            equal(other.save("k", 1).status, 204)
            for reply in (future.result() for future in waiting):
                need(reply.status in (500, 503) and "i/o timeout" in message(reply), repr(reply))
    finally:
        mine.signal(signal.SIGCONT)
    eventually(lambda: store.save("k", 3).status == 204, "the store comes back")


@test("a killed plugin is replaced", "STATE-01")
def plugin_killed():
    store = store_on(server().address)
    equal(store.save("p", 1).status, 204)
    pid = store.sidecar.plugin_pid("memcached")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: store.get("p").text == "1" and store.sidecar.plugin_pid("memcached") != pid, "reads work again")


@test("a server that says what is not due is not believed", "STATE-10")
def liar():
    """Answers `version` well, and everything else with one of these."""
    lies = [b"VALUE other 0 1\r\nx\r\nEND\r\n", b"STORED\r\n", b"x" * 5000, b"VALUE shop||k 0 99999999999\r\n", b"\n",
            b"VALUE shop||k 0 1\r\nlonger\r\nEND\r\n"]
    listener = socket.create_server(("127.0.0.1", 0))
    lie = [lies[0]]

    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(b"VERSION 1\r\n" if data.startswith(b"version") else lie[0])

    def accept():
        while True:
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    store = store_on(f"127.0.0.1:{listener.getsockname()[1]}")
    for lie[0] in lies:
        reply = store.get("k")
        need(reply.status in (500, 503) and "not due" in message(reply), f"{lie[0][:40]}: {reply}")
    lie[0] = b"VALUE shop||k 0 1\r\n7\r\nEND\r\n"
    equal(store.get("k").text, "7")
    lie[0] = b"SERVER_ERROR out of memory\r\n"
    need("SERVER_ERROR out of memory" in message(store.get("k")), "the server's words")
    listener.close()


@test("many clients at once each get their own answers", "STATE-02")
def own_answers():
    store = store_on(server().address)

    def client(i):
        for j in range(30):
            equal(store.save(f"own-{i}", [i, j]).status, 204)
            equal(store.get(f"own-{i}").json, [i, j])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))


@test("sockets and names are ways too, and a component that cannot work ends the start", "STATE-01")
def addresses():
    folder = Folder()
    mine = Memcached("-s", folder / "sock")
    for address in (folder / "sock", f"localhost:{server().port}"):
        store = store_on(address)
        equal(store.save("k", 1).status, 204)
        equal(store.get("k").text, "1")
    need(mine.ask("get shop||k").startswith(b"VALUE"), "it has it")
    port = free_port()
    for metadata, words in (
        ({}, "missing or empty hosts field from metadata"),
        ({"hosts": " , "}, "missing or empty hosts field from metadata"),
        ({"hosts": "localhost"}, "missing port in address"),
        ({"hosts": server().address, "timeout": "x"}, "error parsing timeout"),
        ({"hosts": server().address, "maxIdleConnections": "x"}, "error parsing maxIdleConnections"),
        ({"hosts": f"{server().address},127.0.0.1:{port}"}, f"dial tcp 127.0.0.1:{port}: connect: connection refused"),
    ):
        log = refused(component("cache", "state.memcached", metadata))
        need(words in log and "INIT_COMPONENT_FAILURE" in log, f"{words}: {log[-1500:]}")


if __name__ == "__main__":
    main()
