# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment secret-leak: planted secrets searched wherever somebody could look for them.

Passwords, keys and tokens are planted in a secrets file, the environment, component metadata and state values. Then
components come, fail, crash and are asked for what they do not have, at log level debug, and every place is searched:
logs, metadata, metrics, error answers, environments and command lines of all processes, files of the run directory, core
dumps, and the encrypted store itself."""
import base64
import binascii
import json
import os
import resource
import signal

import _prove
import remora
from kubernetes import ApiServer
from remora import component
from vault import Vault

claims = _prove.Claims()
rng = _prove.rng
PLANTED = {}


def plant(name, length=24):
    """A secret that is found in no other way than by a leak."""
    PLANTED[name] = "".join(rng.choice("bcdfghjkmnpqrstvwxz23456789") for _ in range(length))
    return PLANTED[name]


def key(name, size):
    PLANTED[name] = rng.randbytes(size).hex()
    return PLANTED[name]


def forms(secret):
    """How a secret may be written down."""
    data = secret.encode()
    yield data
    yield data[::-1]
    yield binascii.hexlify(data)
    for shift in range(3):  # base64 of it at any offset, without the ends that depend on the neighbours
        yield base64.b64encode(b"\0" * shift + data)[4:-4]
    if len(secret) % 2 == 0 and all(c in "0123456789abcdef" for c in secret):
        yield bytes.fromhex(secret)


def found_in(data):
    return sorted(name for name, secret in PLANTED.items() if any(form in data for form in forms(secret)))


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def family(pid):
    every = [pid]
    for child in remora.children(pid):
        every += family(child)
    return every


def with_secret(text, item, secret, extra=""):
    return text + f"  - name: {item}\n    secretKeyRef: {{name: {secret}{extra}}}\n"


def resources(folder, redis):
    auth = "auth: {secretStore: vault}\n"
    secrets = {"redis": plant("redis password"), "key": key("primary key", 32), "old": key("secondary key", 16),
               "bad": "zz" + key("unusable key", 15), "app": plant("application secret"),
               "nested": {"deep": plant("nested secret")}}
    PLANTED["vault token"] = secrets["hashi"] = hashi.token
    folder.write("secrets.json", json.dumps(secrets))
    redis.command("CONFIG", "SET", "requirepass", secrets["redis"])
    at = {"redisHost": f"127.0.0.1:{redis.port}"}
    ignore = "spec:\n  ignoreErrors: true\n"
    store = with_secret(component("store", "state.redis", at), "redisPassword", "redis")
    store = with_secret(with_secret(store, "primaryEncryptionKey", "key"), "secondaryEncryptionKey", "old")
    wrong = with_secret(component("wrong", "state.redis", at), "redisPassword", "app").replace("spec:\n", ignore)
    bad = with_secret(component("bad", "state.sqlite", {"connectionString": folder / "b.db"}), "primaryEncryptionKey", "bad")
    lost = with_secret(component("lost", "state.sqlite", {"connectionString": folder / "l.db"}), "foo", "redis",
                       ", key: no-such-key")
    plain = component("plain", "state.redis", {**at, "redisPassword": plant("password in metadata")})
    os.makedirs(folder / "keys", exist_ok=True)
    with open(folder / "keys/octets", "wb") as f:
        f.write(bytes.fromhex(key("wrapping key", 32)))
    octets = base64.urlsafe_b64encode(plant("key of a set", 32).encode()).decode().rstrip("=")
    keys = [component("keys", "crypto.dapr.localstorage", {"path": folder / "keys"}),
            component("set", "crypto.dapr.jwks", {"jwks": json.dumps({"keys": [{"kty": "oct", "kid": "k", "k": octets}]})})]
    hashi.put("dapr/it", {"k": plant("vault secret")})
    cluster.tokens = {plant("cluster token", 40)}
    cluster.put("prod", "it", {"k": plant("cluster secret")})
    account = {"vaultAddr": hashi.url}
    at_hashi = with_secret(component("hashi", "secretstores.hashicorp.vault", account), "vaultToken", "hashi") + auth
    stranger = component("stranger", "secretstores.hashicorp.vault", {**account, "vaultToken": plant("a stranger's token")})
    place = {"kubeconfigPath": cluster.kubeconfig(remora.Folder(), {"token": cluster.token}), "defaultNamespace": "prod"}
    remote = [at_hashi, stranger, component("kube", "secretstores.kubernetes", {**place, "secretRefreshInterval": "1s"})]
    taker = component("taker", "state.sqlite", {"connectionString": folder / "t.db"}) + "  - name: note\n"
    taker += "    secretKeyRef: {name: it, key: k}\nauth: {secretStore: kube}\n"
    return [*keys, *remote, taker, component("vault", "secretstores.local.file", {"secretsFile": folder / "secrets.json"}),
            component("envs", "secretstores.local.env"), store + auth, wrong + auth,
            *(text.replace("spec:\n", ignore) + auth for text in (bad, lost)), plain.replace("spec:\n", ignore)]


def start(folder, redis):
    env = {"PATH": os.environ["PATH"], "DAPR_API_TOKEN": plant("API token"), "APP_API_TOKEN": plant("app token"),
           "PLANTED": plant("environment secret"), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
    os.makedirs(folder / "cwd", exist_ok=True)

    def allow_cores():
        most = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    documents = resources(folder, redis)
    config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n"
                                         "  secrets:\n    scopes:\n    - {storeName: vault, deniedSecrets: [app]}\n")
    metrics_port = remora.free_port()
    sidecar = remora.Sidecar(*documents, folder=folder, env=env, wait=False, preexec_fn=allow_cores, cwd=folder / "cwd",
                             flags=["--log-level=debug", "--enable-api-logging", "--config", config,
                                    f"--metrics-port={metrics_port}", "--metrics-listen-address=127.0.0.1"])
    sidecar.metrics = ("127.0.0.1", metrics_port)
    sidecar.headers = [("dapr-api-token", PLANTED["API token"])]
    remora.eventually(lambda: sidecar.healthz() == 204, "the sidecar is ready")
    return sidecar


def call(sidecar, method, path, body=None):
    return sidecar.call(method, path, body, sidecar.headers)


def use(sidecar, answers):
    """Works and fails in many ways; answers that must not hold a secret are kept."""
    value = plant("state value")
    remora.equal(call(sidecar, "POST", "/v1.0/state/store", [{"key": "k", "value": value}]).status, 204)
    remora.equal(call(sidecar, "GET", "/v1.0/state/store/k").text, value)
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/vault/redis").json, {"redis": PLANTED["redis password"]})
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/envs/PLANTED").json, {"PLANTED": PLANTED["environment secret"]})
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/vault/bulk").status, 200)
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/hashi/it").json, {"k": PLANTED["vault secret"]})
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/kube/it").json, {"k": PLANTED["cluster secret"]})
    remora.equal(call(sidecar, "GET", "/v1.0/secrets/kube/bulk").status, 200)
    wrapped = plant("wrapped by the application", 32)
    for provider, name in (("keys", "octets"), ("set", "k")):
        body = {"plaintextKey": base64.b64encode(wrapped.encode()).decode(), "algorithm": "A256KW", "keyName": name}
        answer = call(sidecar, "POST", f"/v1.0-alpha1/subtlecrypto/{provider}/wrapkey", json.dumps(body))
        remora.equal(answer.status, 200)
        answers.append(answer.body)
        for algorithm, asked in (("A128KW", name), ("RSA-OAEP", name), ("A256KW", "none"), ("ES256", name)):
            body.update(algorithm=algorithm, keyName=asked)
            for what in ("wrapkey", "sign", "getkey"):
                answers.append(call(sidecar, "POST", f"/v1.0-alpha1/subtlecrypto/{provider}/{what}", json.dumps(body)).body)
    for method, path in (("GET", "/v1.0/secrets/vault/app"), ("GET", "/v1.0/secrets/vault/nested"),
                         ("GET", "/v1.0/secrets/envs/DAPR_API_TOKEN"), ("GET", "/v1.0/secrets/envs/APP_API_TOKEN"),
                         ("GET", "/v1.0/secrets/envs/bulk"), ("GET", "/v1.0/secrets/ghost/x"),
                         ("GET", "/v1.0/secrets/hashi/none"), ("GET", "/v1.0/secrets/stranger/it"),
                         ("GET", "/v1.0/secrets/hashi/it?metadata.version_id=99"), ("GET", "/v1.0/secrets/stranger/bulk"),
                         ("GET", "/v1.0/secrets/kube/none"), ("GET", "/v1.0/secrets/kube/it?metadata.namespace=closed"),
                         ("GET", "/v1.0/state/wrong/k"), ("GET", "/v1.0/state/bad/k"), ("GET", "/v1.0/state/lost/k"),
                         ("POST", "/v1.0-alpha1/state/store/query"), ("GET", "/v1.0/metadata")):
        answer = call(sidecar, method, path, b"{}" if method == "POST" else None)
        # The environment's own secret may be asked for by name; the rest of that answer counts.
        answers.append(answer.body.replace(PLANTED["environment secret"].encode(), b""))
    answers.append(sidecar.call("GET", "/v1.0/secrets/vault/redis").body)  # without the token
    return value


def processes(sidecar):
    pids = family(sidecar.pid)
    claims.at_least("processes looked into", len(pids), 4, digits=0)
    for name in ("environ", "cmdline", "comm"):
        leaks = {pid: found_in(read(f"/proc/{pid}/{name}")) for pid in pids}
        claims.holds(f"no secret in /proc/*/{name}", not any(leaks.values()), str({p: l for p, l in leaks.items() if l}))
    dumping = [pid for pid in pids if may_dump(pid)]
    claims.holds("no process may dump core", not dumping, str(dumping))


def may_dump(pid):
    """By the limit, or by the memory that a dump would hold where the limit does not count."""
    limits, kinds = read(f"/proc/{pid}/limits").decode(), read(f"/proc/{pid}/coredump_filter")
    if not limits or not kinds:
        return False  # it is gone
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    return line.split()[4:6] != ["0", "0"] or int(kinds, 16) != 0


def cores(sidecar, folder):
    sidecar.signal(signal.SIGSEGV)
    sidecar.wait()
    left = [path for path in os.listdir(folder / "cwd") if "core" in path]
    claims.holds("a crash leaves no core dump", not left, str(left))


folder, redis, answers, hashi, cluster = remora.Folder(), remora.Redis(), [], Vault(), ApiServer()
sidecar = start(folder, redis)
use(sidecar, answers)
for name in ("redis", "local-secrets", "vault", "kubernetes"):  # the last words of a crash are shown, too
    plugins = call(sidecar, "GET", "/v1.0/metadata").json["remora"]["plugins"]
    os.kill(next(plugin["pid"] for plugin in plugins if plugin["name"] == name and plugin["pid"]), signal.SIGSEGV)
    remora.eventually(lambda: call(sidecar, "GET", "/v1.0/state/store/k").status == 200, "the store is back")
def are_back():
    return all(plugin["pid"] for plugin in call(sidecar, "GET", "/v1.0/metadata").json["remora"]["plugins"])


remora.eventually(are_back, "the plugins are back")
answers.append(call(sidecar, "GET", "/v1.0/metadata").body)
# A password of the cluster's changes, and whoever has it is made anew.
cluster.put("prod", "it", {"k": plant("cluster secret, changed")})
remora.eventually(lambda: b"Component taker: the secrets of store kube have changed" in read(sidecar.log_path), "it is seen", 60)
metrics = remora.call(sidecar.metrics, "GET", "/metrics").body
claims.holds("there are metrics", b"dapr_component_secret_count" in metrics)
answers.append(metrics)
processes(sidecar)
wanted = sorted(set(PLANTED) - {"vault secret", "cluster secret", "cluster secret, changed", "cluster token", "a stranger's token", "state value", "password in metadata", "API token", "app token", "environment secret",
                               "wrapping key", "key of a set", "wrapped by the application"})
claims.holds("the search finds what is there", found_in(read(folder / "secrets.json")) == wanted)
leaks = sorted({name for answer in answers for name in found_in(answer)})
claims.holds(f"no secret in {len(answers)} answers", not leaks, str(leaks))
files = [os.path.join(path, name) for path, _, names in os.walk(folder / "run") for name in names]
leaks = {path: found_in(read(path)) for path in files if not os.path.islink(path) and os.path.isfile(path)}
claims.holds("no secret in the run directory", not any(leaks.values()), str(leaks))
rdb = read(os.path.join(redis.folder.path, "appendonlydir", "appendonly.aof.1.incr.aof"))
leaks = [name for name in found_in(rdb) if name in ("state value", "primary key")]
claims.holds("no value in the clear in the encrypted store", rdb and not leaks, str(leaks))
cores(sidecar, folder)
log = read(sidecar.log_path)
claims.holds(f"no secret in {len(log.splitlines())} lines of log", not found_in(log), str(found_in(log)))
claims.holds("the log says what failed", b"wrong" in log and b"invalid byte" in log and b"no key no-such-key" in log)
claims.end(f"secret-leak: {len(PLANTED)} secrets planted, seed {_prove.SEED}")
