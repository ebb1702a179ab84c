# SPDX-License-Identifier: Apache-2.0
"""Encryption at rest: the golden store of the reference read in full, what lies in the stores, rotation, keys that
cannot be used, records that cannot be read."""

import base64
import json
import os
import shutil
import sqlite3
import threading

from remora import Folder, Redis, Sidecar, Store, component, equal, eventually, main, need, shared, test

KEYS = {
    "key128": "000102030405060708090a0b0c0d0e0f",
    "key192": "101112131415161718191a1b1c1d1e1f2021222324252627",
    "key256": "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
    "new": "60606060606060606060606060606060",
    "short": "0011223344",
    "odd": "0a1b2c3d4e5f607",
    "words": "zz0102030405060708090a0b0c0d0e0f",
    "empty": "",
    "nested": {"inner": "7070707070707070707070707070707070707070707070707070707070707070"},
}


def vault(folder, keys=None):
    path = folder.write("keys.json", json.dumps(KEYS if keys is None else keys))
    return component("vault", "secretstores.local.file", {"secretsFile": path})


def encrypted(name, type_, primary, secondary=None, metadata=None, **more):
    """A state store with keys; each is the name of a secret, or YAML of its own after a `!`."""
    text = component(name, type_, {"keyPrefix": "name", **(metadata or {})}, **more)
    for item, key in (("primaryEncryptionKey", primary), ("secondaryEncryptionKey", secondary)):
        if key is not None:
            words = key[1:] if key.startswith("!") else f"secretKeyRef: {{name: {json.dumps(key)}}}"
            text += f"  - name: {item}\n    {words}\n"
    return text + "auth: {secretStore: vault}\n"


def rows(path):
    with sqlite3.connect(path) as db:
        return {key: (value, binary) for key, value, binary in db.execute("SELECT key, value, is_binary FROM state")}


# --- the golden store -------------------------------------------------------------------------------------------------


def golden(folder, phase):
    with open(shared("golden", "state", "encrypted-expected.json")) as f:
        expected = json.load(f)
    for name in ("encrypted-sqlite.db", "encrypted-keys.json"):
        shutil.copyfile(shared("golden", "state", name), folder / name)
    documents = [text.replace('"encrypted-', f'"{folder.path}/encrypted-') for text in expected[phase]]
    return Sidecar(*documents, app_id=expected["app_id"], folder=folder), expected


def check_reads(sidecar, store, reads):
    for read in reads:
        reply = Store(sidecar, store).get(read["key"])
        wanted = read["http"]
        what = f"{store} {read['key']}"
        equal(reply.status, wanted["status"], what)
        equal(reply.body, base64.b64decode(wanted["body_b64"]), what)
        equal(reply.header("Etag"), wanted.get("Etag"), what)
        equal(reply.header("Content-Type"), wanted.get("Content-Type"), what)
    return len(reads)


@test("every value the reference encrypted is read as the reference reads it", "STATE-51 STATE-55 X-STATE-10")
def golden_read():
    sidecar, expected = golden(Folder(), "phase1_components_yaml")
    # The file is of the end of phase 2; what `encrot` holds under the old key is still there.
    count = sum(check_reads(sidecar, store, reads) for store, reads in expected["phase1_reads"].items())
    need(count >= 60, f"only {count} values")
    store = Store(sidecar, "enc256")
    keys = [item["key"] for item in expected["bulk_grpc_enc256"]]
    items = {item["key"]: item["data"] for item in store.bulk(keys).json}
    for item in expected["bulk_grpc_enc256"]:
        data = base64.b64decode(item["data_b64"])
        shown = items[item["key"]]
        need(shown in (data.decode("latin-1"), data.decode(errors="replace"), item["data_b64"]), f"{item} {shown!r}")
    print(f"  {count} values")


@test("after a rotation values of the old and of the new key of the reference are read", "STATE-56 STATE-58")
def golden_rotated():
    sidecar, expected = golden(Folder(), "phase2_components_yaml")
    reads = expected["phase2_reads_encrot_with_new_primary_and_old_secondary"]
    count = check_reads(sidecar, "encrot", reads)
    equal(count, 28)
    # With a key of another name the reference dies.
    reply = Store(sidecar, "enc128").get("str")
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_GET"))
    need("encrypted with the key key128, which is neither the primary nor the secondary one" in reply.text, reply.text)
    print(f"  {count} values")


# --- what is stored and what comes back -------------------------------------------------------------------------------

VALUES = ['"plain text"', '""', '"größe \\u00e9 \\"q\\""', "42", "null", "true", '{"b" : 1,"a":[true,null]}', "[ ]", "1e400",
          '"' + "x" * 3000 + '"']


def clear(value):
    return json.loads(value).encode() if value.startswith('"') else value.encode()


@test("each key size stores the form of the reference and gives back strings bare, other values exactly",
      "STATE-51 STATE-57 X-STATE-10")
def forms():
    folder = Folder()
    place = {"connectionString": folder / "e.db"}
    names = {"e128": "key128", "e192": "key192", "e256": "key256", "enest": "nested:inner"}
    sidecar = Sidecar(vault(folder), *(encrypted(store, "state.sqlite", key, metadata=place) for store, key in names.items()),
                      folder=folder)
    for name, key in names.items():
        store = Store(sidecar, name)
        for i, value in enumerate(VALUES):
            equal(store.save(f"k{i}", None, raw=value).status, 204)
            reply = store.get(f"k{i}")
            equal((reply.status, reply.body), (200, clear(value)))
            text, is_binary = rows(folder / "e.db")[f"{name}||k{i}"]
            stored = base64.b64decode(text)
            equal(is_binary, 1)
            sealed, _, key_name = stored.rpartition(b"||")
            equal(key_name.decode(), key)
            equal(len(base64.b64decode(sealed, validate=True)), 12 + len(clear(value)) + 16)
            if len(clear(value)) > 3:
                need(clear(value) not in stored, "stored in the clear")
        equal(store.get("absent").status, 204)
    with_etag = Store(sidecar, "e128")
    etag = with_etag.get("k0").header("Etag")
    equal(with_etag.save("k0", "new", etag=etag).status, 204)
    equal(with_etag.save("k0", "newer", etag=etag).status, 409)
    equal(with_etag.delete("k0").status, 204)
    equal(with_etag.get("k0").status, 204)


@test("bulk gets, transactions and large values are encrypted too, queries are refused", "STATE-51 X-STATE-05")
def operations():
    folder = Folder()
    sidecar = Sidecar(vault(folder), encrypted("enc", "state.sqlite", "key256", metadata={"connectionString": folder / "e.db"}),
                      encrypted("mem", "state.in-memory", "key128"), folder=folder)
    for name in ("enc", "mem"):
        store = Store(sidecar, name)
        equal(store.transact(("upsert", "a", "secret-a"), ("upsert", "b", {"n": 1}), ("delete", "c")).status, 204)
        equal(store.save_raw(json.dumps([{"key": f"m{i}", "value": f"secret-{i}"} for i in range(50)])).status, 204)
        items = {item["key"]: item.get("data") for item in store.bulk(["a", "absent", "b"] + [f"m{i}" for i in range(50)]).json}
        equal(items, {"a": "secret-a", "absent": None, "b": {"n": 1}, **{f"m{i}": f"secret-{i}" for i in range(50)}})
        for size in (100_000, 700_000, 3_000_000):
            equal(store.save("big", "y" * size).status, 204)
            equal(store.get("big").body, b"y" * size)
        reply = store.query({"filter": {}})
        equal((reply.status, reply.json["errorCode"], reply.json["message"]),
              (500, "ERR_STATE_QUERY", f"state store {name} query failed: cannot query encrypted store"))
    everything = "".join(base64.b64decode(value).decode() for value, _ in rows(folder / "e.db").values())
    need("secret-" not in everything and len(rows(folder / "e.db")) == 53, len(rows(folder / "e.db")))


@test("a redis hash holds the text, and a record of another key is an error of its own", "STATE-51 X-STATE-10")
def in_redis():
    redis = Redis()
    folder = Folder()
    place = {"redisHost": f"127.0.0.1:{redis.port}"}
    sidecar = Sidecar(vault(folder), encrypted("enc", "state.redis", "key128", metadata=place),
                      component("raw", "state.redis", {**place, "keyPrefix": "enc"}), folder=folder)
    store, raw = Store(sidecar, "enc"), Store(sidecar, "raw")
    equal(store.save("k", "value").status, 204)
    stored = redis.command("HGET", "enc||k", "data")
    need(stored.endswith(b"||key128"), stored)
    flipped = (b"B" if stored[:1] == b"A" else b"A") + stored[1:]
    bad = {"other": stored.replace(b"key128", b"another"), "flipped": flipped, "short": b"AAAA||key128",
           "plain": b'"value"', "nobody": stored.replace(b"key128", b"")}
    for key, data in bad.items():
        redis.command("HSET", f"enc||{key}", "data", data, "version", "1")
        reply = store.get(key)
        equal((reply.status, reply.json["errorCode"]), (500, "ERR_STATE_GET"), key)
        need(f"fail to get {key} from state store enc: could not decrypt data for state store enc" in reply.json["message"],
             reply.text)
    items = {item["key"]: item for item in store.bulk(["k", *bad]).json}
    equal(items["k"]["data"], "value")
    for key in bad:
        need("could not decrypt" in items[key]["error"] and "data" not in items[key], items[key])
    equal(raw.get("k").body, stored)


@test("rotation: the primary key writes, both read, an update moves a record on", "STATE-54 STATE-56 STATE-58")
def rotation():
    folder = Folder()
    place = {"connectionString": folder / "e.db"}

    def start(*keys):
        return Sidecar(vault(folder), encrypted("enc", "state.sqlite", *keys, metadata=place), folder=folder)

    def key_of(key):
        return base64.b64decode(rows(folder / "e.db")[f"enc||{key}"][0]).rpartition(b"||")[2].decode()

    sidecar = start("key256")
    for key in ("a", "b"):
        equal(Store(sidecar, "enc").save(key, key).status, 204)
    sidecar.stop()
    sidecar = start("new", "key256")
    store = Store(sidecar, "enc")
    equal((store.get("a").text, store.get("b").text), ("a", "b"))
    equal(store.save("b", "b2").status, 204)
    equal((key_of("a"), key_of("b")), ("key256", "new"))
    sidecar.stop()
    sidecar = start("new")
    store = Store(sidecar, "enc")
    equal((store.get("a").status, store.get("b").text), (500, "b2"))


@test("keys are changed under load: no request fails, both generations of records are read", "STATE-56 STATE-58")
def rotation_under_load():
    for workers in ("1", "3"):
        rotate_under_load(f"--workers={workers}")


def rotate_under_load(flag):
    folder = Folder()
    place = {"connectionString": folder / "e.db"}
    first, second = ("key256",), ("new", "key256")
    sidecar = Sidecar(vault(folder), encrypted("enc", "state.sqlite", *first, metadata=place), folder=folder, flags=[flag])
    yaml = os.path.join(folder.path, "resources", "1.yaml")
    stop, wrong = threading.Event(), []

    def work(client):
        store, count = Store(sidecar, "enc"), 0
        while not stop.is_set():
            count += 1
            saved = store.save(f"c{client}", f"value {count}")
            got = store.get(f"c{client}")
            if (saved.status, got.status, got.text) != (204, 200, f"value {count}"):
                wrong.append((saved, got))
            others = [store.get(f"c{(client + 1) % 4}").status, store.bulk([f"c{i}" for i in range(4)]).text.count("error")]
            if others not in ([200, 0], [204, 0]):
                wrong.append(others)

    def written_with(name):
        return all(base64.b64decode(rows(folder / "e.db")[f"enc||c{i}"][0]).endswith(b"||" + name) for i in range(4))

    threads = [threading.Thread(target=work, args=(client,)) for client in range(4)]
    for thread in threads:
        thread.start()
    equal(Store(sidecar, "enc").save("old", "kept").status, 204)
    eventually(lambda: len(rows(folder / "e.db")) == 5, "every client has written")
    for keys in (second, first + ("new",), second, ("new", "short"), second):
        with open(yaml + ".tmp", "w") as f:
            f.write(encrypted("enc", "state.sqlite", *keys, metadata=place))
        os.rename(yaml + ".tmp", yaml)
        if "short" in keys:
            eventually(lambda: "what was there before goes on: crypto/aes: invalid key size 5" in sidecar.log(), "refused")
        else:
            eventually(lambda name=keys[0].encode(): written_with(name), "the keys are in use")
        need(Store(sidecar, "enc").get("old").text == "kept", "an old record")
    stop.set()
    for thread in threads:
        thread.join()
    equal(wrong, [])
    need(base64.b64decode(rows(folder / "e.db")["enc||old"][0]).endswith(b"||key256"), "the old record was touched")


@test("a key that cannot be used ends the start, without a digit of it", "STATE-52 STATE-53")
def bad_keys():
    extract = "failed to extract encryption key: failed to extract encryption key: "
    cases = [("short", None, "crypto/aes: invalid key size 5"), ("odd", None, "encoding/hex: odd length hex string"),
             ("words", None, "encoding/hex: invalid byte"), ("empty", None, extract + "encryption key cannot be empty"),
             ("absent", None, extract + "secret absent not found"),
             ("!secretKeyRef: {name: key128, key: other}", None, extract + "secret key128 has no key other"),
             ("!value: 000102030405060708090a0b0c0d0e0f", None, extract + "secretKeyRef cannot be empty"),
             ("key128", "short", "crypto/aes: invalid key size 5"),
             ("key128", "!value: 000102030405060708090a0b0c0d0e0f", extract + "secretKeyRef cannot be empty"),
             (None, "key128", extract + "secondaryEncryptionKey without primaryEncryptionKey")]
    for primary, secondary, words in cases:
        folder = Folder()
        sidecar = Sidecar(vault(folder), encrypted("enc", "state.in-memory", primary, secondary), folder=folder, wait=False)
        equal(sidecar.wait(), 1, words)
        need("Error processing component, daprd will exit gracefully: process component enc error: [INIT_COMPONENT_FAILURE]: "
             "initialization error occurred for enc (state.in-memory/v1): [CREATE_COMPONENT_FAILURE]: initialization error "
             f"occurred for enc (state.in-memory/v1): {words}" in sidecar.log(), sidecar.log())
        for key in KEYS.values():
            need(not isinstance(key, str) or len(key) < 5 or key not in sidecar.log(), "a key is in the log")


@test("a store whose plugin dies is encrypted again when it is back", "STATE-51")
def killed():
    folder = Folder()
    sidecar = Sidecar(vault(folder), encrypted("enc", "state.sqlite", "key128", metadata={"connectionString": folder / "e.db"}),
                      folder=folder)
    for i in range(3):
        equal(Store(sidecar, "enc").save(f"k{i}", "value").status, 204)
        os.kill(sidecar.plugin_pid("sqlite"), 9)
        eventually(lambda: Store(sidecar, "enc").save("other", "value").status == 204, "it works again")
    for value, _ in rows(folder / "e.db").values():
        need(base64.b64decode(value).endswith(b"||key128"), value)


if __name__ == "__main__":
    main()
