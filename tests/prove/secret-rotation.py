# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment secret-rotation: Redis passwords and an encryption key change in the secrets file, in Vault and in a cluster, under
load.

Each rotation writes new secrets (and, for the key, the YAML that names the new one first) the way deployment tools do,
by renaming a file over the old one; what is in a file must be in use within a second. Then passwords change in a Vault server
and in a Kubernetes cluster (fakes of both, or a real Vault where it has been built), which are asked each second: there it may
take three. No request may fail."""
import base64
import http.client
import json
import os
import sqlite3
import threading
import time

import _prove
import remora
from _clients import Clients, summary
from kubernetes import ApiServer
from vault import Vault
from _prove import by_length

ROTATIONS = by_length(3, 10, 30)
IN_USE_MS_MAX = 1000 * _prove.PATIENCE
REMOTE_MS_MAX = 3000 * _prove.PATIENCE
REMOTE = ("hashi", "kube")
PAUSE_S = 0.4
PATIENT = {"readTimeout": "60s"}  # a server that is slow keeps its connections
claims = _prove.Claims()
rng = _prove.rng

if remora.shutil.which("redis-server") is None:
    claims.end("no redis-server here: not measured")


def replace(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def key_name(n):
    return f"key{n}"


def resources(n, folder, port):
    """The YAML of rotation n: key n is primary, the one before is secondary."""
    vault = remora.component("vault", "secretstores.local.file", {"secretsFile": folder / "secrets.json"})
    redis = remora.component("red", "state.redis", {"redisHost": f"127.0.0.1:{port}", **PATIENT})
    redis += "  - name: redisPassword\n    secretKeyRef: {name: password}\nauth: {secretStore: vault}\n"
    crypt = remora.component("enc", "state.sqlite", {"connectionString": folder / "enc.db", "keyPrefix": "none"})
    for item, key in (("primaryEncryptionKey", key_name(n)), ("secondaryEncryptionKey", key_name(max(n - 1, 0)))):
        crypt += f"  - name: {item}\n    secretKeyRef: {{name: {key}}}\n"
    crypt += "auth: {secretStore: vault}\n"
    return "---\n".join([vault, redis, crypt, *remote_resources()])


def remote_resources():
    often = {"secretRefreshInterval": "1s"}
    texts = [remora.component("hashi", "secretstores.hashicorp.vault", {"vaultAddr": hashi.url, "vaultToken": hashi.token, **often}),
             remora.component("kube", "secretstores.kubernetes", {"kubeconfigPath": kubeconfig, "defaultNamespace": "prod", **often})]
    for store in REMOTE:
        text = remora.component(f"red-{store}", "state.redis", {"redisHost": f"127.0.0.1:{remote_servers[store].port}", **PATIENT})
        texts.append(text + "  - name: redisPassword\n    secretKeyRef: {name: redis, key: password}\n"
                     f"auth: {{secretStore: {store}}}\n")
    return texts


def put_remote(store, n):
    if store == "hashi":
        hashi.put("dapr/redis", {"password": f"pw-{n}"})
    else:
        cluster.put("prod", "redis", {"password": f"pw-{n}"})


def change_password(server, n):
    """The administrator's order: Redis takes both passwords for a moment in practice; here its connections stay, and the next one
    needs the new password."""
    with remora.socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(f"AUTH pw-{n - 1}\r\nCONFIG SET requirepass pw-{n}\r\n".encode())
        remora.need(s.recv(100).startswith(b"+OK"), "Redis knows the old password")


def rotate_remote(store, n):
    """How long it took."""
    before = generation(f"red-{store}")
    change_password(remote_servers[store], n)
    start = time.monotonic()
    put_remote(store, n)
    remora.eventually(lambda: generation(f"red-{store}") > before, f"red-{store} is made anew")
    return (time.monotonic() - start) * 1000


def secrets(n):
    return json.dumps({"password": f"pw-{n}", **{key_name(i): KEYS[i] for i in range(n + 1)}})


def generation(name):
    return next(c["generation"] for c in sidecar.metadata()["remora"]["components"] if c["name"] == name)


def key_in_use():
    """The name of the key that a record written now is encrypted with."""
    remora.need(enc.save("probe", 1).status == 204, "the probe is saved")
    with sqlite3.connect(folder / "enc.db", timeout=10) as db:
        (text,) = db.execute("SELECT value FROM state WHERE key = 'probe'").fetchone()
    return base64.b64decode(text).rsplit(b"||", 1)[1].decode()


class Pair(threading.Thread):
    """Saves objects into the encrypted store and reads each back: strings would come back bare, as the reference has it."""

    def __init__(self, number):
        super().__init__()
        self.number, self.count, self.failures = number, 0, []
        self.is_over = threading.Event()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(*sidecar.address)

        def ask(method, path, body=None):
            connection.request(method, f"/v1.0/state/enc{path}", body)
            reply = connection.getresponse()
            return reply.status, reply.read()

        while not self.is_over.is_set():
            self.count += 1
            key, value = f"c{self.number}-{self.count % 7}", {"n": self.count}
            saved, _ = ask("POST", "", json.dumps([{"key": key, "value": value}]))
            status, body = ask("GET", f"/{key}")
            if saved != 204 or status != 200 or json.loads(body) != value:
                self.failures.append(f"{key}: {saved}, {status} {body[:200]}")


KEYS = [rng.randbytes(32).hex() for _ in range(ROTATIONS + 1)]
server = remora.Redis()
folder = remora.Folder()
hashi, cluster = Vault(), ApiServer()
kubeconfig = cluster.kubeconfig(remora.Folder(), {"token": cluster.token})
remote_servers = {store: remora.Redis() for store in REMOTE}
for one in REMOTE:
    put_remote(one, 0)
    remote_servers[one].command("CONFIG", "SET", "requirepass", "pw-0")
folder.write("secrets.json", secrets(0))
remora.need(server.command("CONFIG", "SET", "requirepass", "pw-0") == b"OK", "Redis takes a password")
sidecar = remora.Sidecar(resources(0, folder, server.port), folder=folder)
enc = remora.Store(sidecar, "enc")
remora.need(enc.save("first", {"old": True}).status == 204, "a value under the first key")
seconds = ROTATIONS * (2 * PAUSE_S + 1 + 2 * 2) + 2
load = Clients(3, sidecar.address, "red", seconds, _prove.SEED, "red")
remote_loads = [Clients(1, sidecar.address, f"red-{store}", seconds, _prove.SEED, f"red-{store}") for store in REMOTE]
pairs = [Pair(i) for i in range(3)]
worst_ms = {"password": 0.0, "key": 0.0, "remote": 0.0}
for n in range(1, ROTATIONS + 1):
    time.sleep(PAUSE_S)
    before = generation("red")
    change_password(server, n)
    start = time.monotonic()
    replace(folder / "secrets.json", secrets(n))
    remora.eventually(lambda: generation("red") > before, "the component is made anew")
    worst_ms["password"] = max(worst_ms["password"], (time.monotonic() - start) * 1000)
    time.sleep(PAUSE_S)
    start = time.monotonic()
    replace(os.path.join(folder.path, "resources", "0.yaml"), resources(n, folder, server.port))
    remora.eventually(lambda: key_in_use() == key_name(n), "the new key is in use")
    worst_ms["key"] = max(worst_ms["key"], (time.monotonic() - start) * 1000)
    worst_ms["remote"] = max([worst_ms["remote"], *[rotate_remote(store, n) for store in REMOTE]])
for pair in pairs:
    pair.is_over.set()
    pair.join()
accounts = load.join() + [account for one in remote_loads for account in one.join()]
failures = sum(account.failures() for account in accounts) + sum(len(pair.failures) for pair in pairs)
wrong = [text for account in accounts for text in account.wrong + account.unanswered]
wrong += [text for pair in pairs for text in pair.failures]
requests = sum(account.total() for account in accounts) + 2 * sum(pair.count for pair in pairs)
_prove.say(f"{ROTATIONS} rotations of both; answers: {summary(accounts)}")
claims.holds("no request failed", failures == 0, f"{failures} did")
claims.holds("no answer is wrong or missing", not wrong, "; ".join(wrong[:3]))
claims.at_most("a new password in use, worst, ms", worst_ms["password"], IN_USE_MS_MAX, digits=0)
claims.at_most("a new key in use, worst, ms", worst_ms["key"], IN_USE_MS_MAX, digits=0)
claims.at_most("a new password of a remote store in use, worst, ms", worst_ms["remote"], REMOTE_MS_MAX, digits=0)
claims.holds("the plugins were not restarted", all(p["restarts"] == 0 for p in sidecar.plugins().values()))
_prove.stop(sidecar)
claims.end(f"{ROTATIONS} rotations of three passwords and a key under load: {requests} requests, {failures} failed, in use within "
           f"{worst_ms['password']:.0f} and {worst_ms['key']:.0f} ms, of Vault and a cluster {worst_ms['remote']:.0f} ms")
