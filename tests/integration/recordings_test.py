# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Every exchange of recordings/http-api.json is replayed, in file order, against a sidecar with a real Redis server and
a SQLite file; status line, headers and body are compared byte for byte (Date by its form, header order not at all).
What differs on purpose is a row of DIFFERENCES with its reason and our own answer; anything else that differs fails."""

import json
import os
import re

from recordings import SPAN_ID, TRACE_ID, answer_problems
from remora import Connection, Folder, Redis, Sidecar, equal, main, request_bytes, shared, test

# --- what differs on purpose ------------------------------------------------------------------------------------------

EXACT = "values keep their exact bytes"
NO_TARGET = (
    '{"errorCode":"ERR_DIRECT_INVOKE","message":"failed getting app id either from the URL path or the header '
    'dapr-app-id"}'
)
KEY_REQUIRED = '{"errorCode":"ERR_MALFORMED_REQUEST","message":"\\"key\\" is a required field"}'
CAPABILITIES = '"capabilities":["ETAG","TRANSACTIONAL","TTL","KEYS_LIKE","ACTOR"]'
# What our own member of the metadata looks like is checked elsewhere.
REMORA = ',"remora":{<ANY>}}\n'
O1 = '{"b" : 2,\n"a":[1,2.50,null,true],"u":"ü\\u00fc<>&"}'


def value(text):
    """The recorded answer with another value."""
    return lambda recorded: {**recorded, "body": text}


def conflict(recorded):
    return {**recorded, "status_line": "HTTP/1.1 409 Conflict"}


def no_content(recorded):
    headers = [h for h in recorded["headers"] if h[0] not in ("Content-Type", "Etag", "Content-Length")]
    return {"status_line": "HTTP/1.1 204 No Content", "headers": headers, "body": ""}


def json_answer(status_line, body):
    def make(recorded):
        headers = [h for h in recorded["headers"] if h[0] not in ("Content-Type", "Content-Length")]
        return {
            "status_line": "HTTP/1.1 " + status_line,
            "body": body,
            "headers": headers + [["Content-Type", "application/json"], ["Content-Length", "0"]],
        }

    return make


def found(etag, text):
    def make(recorded):
        answer = json_answer("200 OK", text)(recorded)
        return {**answer, "headers": answer["headers"] + [["Etag", etag]]}

    return make


def bulk(recorded):
    """The values of o1 and n1 as they were saved."""
    etags = re.findall(r'"etag":"([^"]+)"', recorded["body"])
    o1, n1 = ('{"key":"%s","data":%s,"etag":"%s"}' % row for row in (("o1", O1, etags[0]), ("n1", "1.10e2", etags[1])))
    return {**recorded, "body": f'[{o1},{{"key":"nope"}},{n1},{o1}]\n'}


def metadata(recorded):
    """Without the features that do not exist yet, with our own member at the end."""
    body = re.sub(r'"enabledFeatures":\[[^]]*\]', '"enabledFeatures":["HotReload"]', recorded["body"])
    sqlite = '"state.sqlite","version":"v1",'
    body = body.replace(sqlite + CAPABILITIES, sqlite + CAPABILITIES.replace('"TTL"', '"QUERY_API","TTL"'))
    return {**recorded, "body": body.removesuffix("}\n") + REMORA}


def with_close(recorded):
    return {**recorded, "headers": recorded["headers"] + [["Connection", "close"]]}


unbuilt = json_answer("404 Not Found", NO_TARGET)

# (names of exchanges as a regular expression, reason, the recorded answer -> our answer); the first match counts.
DIFFERENCES = [
    (r"(mem|red): get object", EXACT, value(O1)),
    (r"(mem|red): get number", EXACT, value("1.10e2")),
    (r"(mem|red): save value 1e400", "a number beyond a double is kept as text", no_content),
    (r"mem: get value 1e400", EXACT, found("<UUID>", "1e400")),
    (r"red: get value 1e400", EXACT, found("1", "1e400")),
    (r"(mem|red): get value 12345678901234567890", EXACT, value("12345678901234567890")),
    (r"(mem|red): get value 9007199254740993", EXACT, value("9007199254740993")),
    (r"(mem|red): get value 1e21", EXACT, value("1e21")),
    (r"(mem|red): get value 1E-7", EXACT, value("1E-7")),
    (r"(mem|red): get value 100000000000000000000000", EXACT, value("100000000000000000000000")),
    (r"red: get value -0", EXACT, value("-0")),
    (r'(mem|red): get value "\\ud83d\\ude00"', EXACT, value('"\\ud83d\\ude00"')),
    (r'(mem|red): get value "\\ud800"', EXACT, value('"\\ud800"')),
    (r'(mem|red): get value "a\\u0000b.*', EXACT, value('"a\\u0000b\\/\\u2028"')),
    (r'(mem|red): get value {"z":1,"z":2}', EXACT, value('{"z":1,"z":2}')),
    (r"(mem|red): get value \[ \]", EXACT, value("[ ]")),
    (r"(mem|red): bulk get", EXACT, bulk),
    (
        r"(mem|red): tx no (request|key)",
        "an empty item is refused, not stored under an empty key",
        json_answer("400 Bad Request", KEY_REQUIRED),
    ),
    (r"(mem|red): tx stale etag", "a conflict is 409 in a transaction too", conflict),
    (r"red: tx rolled back get", "a transaction is all or nothing on Redis too", no_content),
    (
        r"metadata get( after put)?|bare: metadata|public port /v1.0/metadata",
        "features and blocks that do not exist yet are not claimed; `remora` is ours; SQLite can be queried",
        metadata,
    ),
    (r"HTTP/1.0 request", "the end of the connection is also announced to HTTP/1.0", with_close),
    (
        r"bare: subtle .*",
        "the subtle API is always there",
        json_answer(
            "500 Internal Server Error",
            '{"errorCode":"ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED","message":"crypto providers not configured"}',
        ),
    ),
    (
        r"(bare: )?(actor|workflow|job)\b.*",
        "this building block does not exist yet, so its routes do not",
        unbuilt,
    ),
]


def difference(name):
    return next((row for row in DIFFERENCES if re.fullmatch(row[0], name)), None)


# --- replay -----------------------------------------------------------------------------------------------------------

counts = {"same": 0, "on purpose": 0, "unexplained": 0}


class Setup:
    """The sidecar of one setup and what later requests need of earlier answers."""

    def __init__(self, recorded, redis):
        self.folder = Folder()
        documents = [d for d in recorded["components"].split("---\n") if d.strip()]
        resources = "---\n".join(documents).replace("<DIR>", self.folder.path)
        if redis:
            resources = resources.replace("<REDIS_PORT>", str(redis.port))
        app_id = re.search(r"--app-id=([a-z]+)", recorded["flags"]).group(1)
        public = "--dapr-public-port" in recorded["flags"]
        flags = [f for f in re.findall(r"--[a-z-]+=[^\s(]+", recorded["flags"]) if not f.startswith("--app-id")]
        for name, text in recorded.get("files", {}).items():
            self.folder.write(name, text)
        if "config" in recorded:
            flags += ["--config", self.folder.write("config.yaml", recorded["config"])]
        env = {"PATH": os.environ["PATH"], **recorded.get("env", {})}
        self.sidecar = Sidecar(
            *([resources] if resources else []), app_id=app_id, folder=self.folder, env=env, flags=flags, public=public
        )
        self.etag = None

    def fill(self, text):
        """A recorded text with this run's values."""
        values = {
            "<HTTP_PORT>": str(self.sidecar.port),
            "<TRACEID>": TRACE_ID,
            "<SPANID>": SPAN_ID,
            "<PUBLIC_PORT>": str(getattr(self.sidecar, "public_port", "")),
            "<UUID>": self.etag or "<UUID>",
        }
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text

    def body(self, recorded):
        """Long bodies are recorded by length and beginning; all of them are one repeated letter in a JSON string."""
        if recorded is None:
            return None
        if isinstance(recorded, str):
            return self.fill(recorded).encode()
        start, length = recorded["starts"], recorded["length"]
        end = '"}]' + ("\r\n0\r\n\r\n" if start[:5] == "1118d" else "")
        return (start + start[-1] * (length - len(start) - len(end)) + end).encode()

    def exchange(self, entry):
        address = self.sidecar.address
        if "request_raw" in entry:
            method, data = "GET", self.fill(entry["request_raw"]).encode()
        else:
            request = entry["request"]
            method, body = request["method"], self.body(request["body"])
            headers = [(name, self.fill(value)) for name, value in request["headers"] if name != "Content-Length"]
            data = request_bytes(method, self.fill(request["target"]), headers, body)
            if "<PUBLIC_PORT>" in json.dumps(request):
                address = self.sidecar.public
        connection = Connection(address)
        try:
            connection.send(data)
            reply = connection.reply(method)
        finally:
            connection.close()
        if entry["name"].endswith("get for etag"):
            self.etag = reply.header("Etag")
        return reply


def check(setup, entry):
    reply = setup.exchange(entry)
    is_head = entry.get("request", {}).get("method") == "HEAD"
    recorded = entry["response"]
    row = difference(entry["name"])
    differs = answer_problems(recorded, reply, is_head)
    if row is None:
        counts["unexplained" if differs else "same"] += 1
        return differs
    _, reason, ours = row
    if not differs:
        counts["unexplained"] += 1
        return [f"answered as recorded, though it should differ: {reason}"]
    differs = answer_problems(ours(recorded), reply, is_head)
    counts["unexplained" if differs else "on purpose"] += 1
    return [f"{problem} (a difference on purpose: {reason})" for problem in differs]


def shown(data):
    """Bytes as redis-cli shows them."""
    special = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n"}
    return '"' + "".join(special.get(b, chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data) + '"'


def check_redis(redis, recorded):
    """What lies in the server afterwards: the recorded listing, but for the value that keeps its bytes here."""
    recorded = [line for line in recorded if line]
    ours = []
    for line in recorded:
        if line.startswith("HGETALL "):
            key = line.removeprefix("HGETALL ")
            fields = redis.command("HGETALL", key)
            ours += [line] + [f"{i + 1}) {shown(field)}" for i, field in enumerate(fields)]
            ours += [] if fields else ["(empty array)"]
            ours.append("TTL: <N>" if redis.command("TTL", key) >= 0 else "TTL: -<N>")
    at = recorded.index("HGETALL o1") + 2
    wanted = recorded[:at] + [f"2) {shown(O1.encode())}"] + recorded[at + 1 :]
    counts["on purpose" if ours == wanted else "unexplained"] += 1
    return [] if ours == wanted else [f"{ours}, not {wanted}"]


def replay(setup_id):
    with open(shared("recordings", "http-api.json")) as f:
        recording = json.load(f)
    recorded = recording["setups"][setup_id]
    redis = Redis() if "state.redis" in recorded["components"] else None
    setup = Setup(recorded, redis)
    bad = []
    for entry in recording["entries"]:
        if entry["setup"] != setup_id:
            continue
        try:
            found = check_redis(redis, entry["redis"]) if "redis" in entry else check(setup, entry)
        except Exception as error:  # one lost answer does not hide the others
            counts["unexplained"] += 1
            found = [f"no answer: {error!r}"]
        bad += [f"{entry['name']}: {problem}" for problem in found]
    for line in bad:
        print("  " + line)
    equal(len(bad), 0, f"differences in setup {setup_id}")


for _id in ("A", "B", "T", "C1", "C2"):
    test(f"recorded exchanges of setup {_id} are answered as recorded", "REPLAY")(lambda id=_id: replay(id))


@test("every exchange was compared and every difference has a reason", "REPLAY")
def all_compared():
    with open(shared("recordings", "http-api.json")) as f:
        entries = json.load(f)["entries"]
    print("  " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    equal((sum(counts.values()), counts["unexplained"]), (len(entries), 0))


if __name__ == "__main__":
    main()
