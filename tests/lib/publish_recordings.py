# SPDX-License-Identifier: Apache-2.0
"""Exchanges of recordings/publish.json, replayed: what the client published, what it was answered, and every request
that the subscribed application got for it, in order. The application answers as the name of an exchange says. What
differs on purpose is a row of DIFFERENCES, anything else that differs fails."""

import base64
import json
import re

from http_app import App, answer
from recordings import answer_problems, header_problems, with_trace
from remora import Connection, Redis, Sidecar, equal, eventually, need, request_bytes, shared

# Headers that are those of the HTTP library of the reference.
LIBRARY = {"host", "user-agent", "accept-encoding", "content-length"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
SENT_TIME = "2030-01-01T00:00:00Z"

# --- the application --------------------------------------------------------------------------------------------------

CLOSED = "connection closed"
JSON = [("Content-Type", "application/json")]
ANSWERS = {
    "empty 200": answer(200),
    "SUCCESS": answer(200, b'{"status":"SUCCESS"}', JSON),
    "RETRY": answer(200, b'{"status":"RETRY"}', JSON),
    "DROP": answer(200, b'{"status":"DROP"}', JSON),
    "lower-case success": answer(200, b'{"status":"success"}', JSON),
    "empty status": answer(200, b'{"status":""}', JSON),
    "unknown status": answer(200, b'{"status":"MAYBE"}', JSON),
    "no status field": answer(200, b'{"a":1}', JSON),
    "204": answer(204),
    "201 with text": answer(201, b"created", [("Content-Type", "text/plain")]),
    "garbage body": answer(200, b"{oops", JSON),
    "json list": answer(200, b"[1]", JSON),
    "400": answer(400, b"no"),
    "404": answer(404),
    "404 with RETRY": answer(404, b'{"status":"RETRY"}', JSON),
    "500": answer(500, b"boom"),
    "503 with SUCCESS": answer(503, b'{"status":"SUCCESS"}', JSON),
    "302": answer(302, headers=[("Location", "/elsewhere")]),
    CLOSED: None,
}
ONCE = {"app accepts": [], "app 500 once": [answer(500)], "app RETRY once": [ANSWERS["RETRY"]]}
ONCE |= {"app DROP": [ANSWERS["DROP"]], "app 404": [ANSWERS["404"]]}


def all_of(status):
    """An answer that says the same of every entry."""
    return lambda entries: {"statuses": [{"entryId": entry["entryId"], "status": status} for entry in entries]}


def by_number(entries):
    statuses = ("SUCCESS", "RETRY", "DROP")
    return {"statuses": [{"entryId": e["entryId"], "status": statuses[e["event"]["data"]["n"]]} for e in entries]}


# What an application answers to a batch: bytes, or a JSON object made from its entries.
BATCH_ANSWERS = {
    "all SUCCESS": all_of("SUCCESS"),
    "SUCCESS RETRY DROP": by_number,
    "empty 200": answer(200),
    "statuses empty": lambda entries: {"statuses": []},
    "unknown id": lambda entries: {"statuses": [{"entryId": "zz", "status": "SUCCESS"}]},
    "garbage": answer(200, b"{oops", JSON),
    "404": answer(404),
    "500": answer(500),
    "204": answer(204),
}


def answers_of(name):
    """What the application answers to an exchange: (path, its answers in order); 200 afterwards and elsewhere."""
    if found := re.fullmatch(r"app answers (.*) on (\w+) \(up to 3 times, then 200\)", name):
        return "/in/" + found[2], [ANSWERS[found[1]]] * 3
    if name == "app fails once then accepts":
        return "/in/plainfail", [answer(500)]
    if name == "dead letter topic handler fails too":
        return "", [answer(500)] * 6
    if found := re.fullmatch(r"redis stream, topic (\w+), (.*)", name):
        return "/strm/" + found[1], list(ONCE[found[2]])
    return "", []


# --- what differs -----------------------------------------------------------------------------------------------------


def dumped(event):
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


def changed(change):
    """The recorded event, which is inside of another one for a raw subscription, with a change."""

    def apply(entry, response, requests):
        request = requests[0]
        event = json.loads(request["body"])
        if request["target"] == "/in/raw" and "data_base64" in event:
            inner = change(entry, json.loads(base64.b64decode(event["data_base64"])))
            body = dumped({**event, "data_base64": base64.b64encode(inner.encode()).decode()})
        else:
            body = change(entry, event)
        return response, [{**request, "body": body}]

    return apply


def exact(entry, event):
    sent = sent_body(entry["request"]["body"]).decode().strip()
    text = sent if event["datacontenttype"] == "application/json" else dumped(sent)
    return dumped({**event, "data": "<DATA>"}).replace('"<DATA>"', text)


def in_base64(entry, event):
    event["data_base64"] = base64.b64encode(sent_body(entry["request"]["body"])).decode()
    del event["data"]
    return dumped(dict(sorted(event.items())))


def with_id(entry, event):
    return dumped(dict(sorted({**event, "id": "<UUID>"}.items())))


def own_trace(entry, response, requests):
    sent = json.loads(sent_body(entry["request"]["body"]))
    own = {"traceid": sent["traceparent"], "traceparent": sent["traceparent"]}
    response, (request,) = changed(lambda _, event: dumped({**event, **own}))(entry, response, requests)
    headers = request["headers"]
    if request["target"] != "/in/raw":
        headers = [h for h in headers if h[0] != "Traceparent"]
        headers += [["Traceparent", sent["traceparent"]], ["Tracestate", sent["tracestate"]]]
    return response, [{**request, "headers": headers}]


def with_state(entry, response, requests):
    state = next(value for name, value in entry["request"]["headers"] if name == "tracestate")
    return response, [{**requests[0], "headers": requests[0]["headers"] + [["Tracestate", state]]}]


def own_words(words):
    def apply(entry, response, requests):
        return {**response, "body": re.sub(r'"error":"[^"]*"', f'"error":"{words}"', response["body"])}, requests

    return apply


def by_default(entry, response, requests):
    """The event goes to the default route."""
    rest = '"id":"<UUID>","pubsubname":"bus","source":"shop","specversion":"1.0","time":"<TIME>","topic":"rules",'
    rest += '"traceid":"","traceparent":"","tracestate":"","type":"com.dapr.event.sent"}'
    sent, type_ = entry["request"]["body"], dict(entry["request"]["headers"])["Content-Type"]
    data = sent if type_ == "application/json" else dumped(sent)
    body = f'{{"data":{data},"datacontenttype":"{type_}",{rest}'
    headers = [["Content-Type", "application/cloudevents+json"], ["Pubsubname", "bus"], ["Traceparent", NO_TRACE]]
    return response, [{"method": "POST", "target": "/rules/other", "headers": headers, "body": body}]


def in_bulk(entry, response, requests):
    """Data keep their bytes, and what the request says of all goes with each."""

    def change(request):
        event = json.loads(request["body"])
        body = request["body"].replace('{"n":1}', '{"n": 1}')
        if request["target"] == "/in/raw":
            data = base64.b64decode(event["data_base64"]).replace(b'{"n":1}', b'{"n": 1}')
            body = dumped({**event, "data_base64": base64.b64encode(data).decode()})
        headers = [h for h in request["headers"] if h[0] != "Rawpayload"]
        headers += [["Rawpayload", "true"]] if "rawPayload=true" in entry["request"]["target"] else []
        return {**request, "body": body, "headers": headers}

    return response, [change(request) for request in requests]


def by_verdict(entry, response, requests):
    """The recorded batches were of one entry, so that the first status was that of each."""
    first, second, third = sorted(requests, key=lambda request: request["body"])
    letters = []
    for request in (second, third):
        event = json.loads(request["body"])["entries"][0]["event"]
        headers = [["Content-Type", "application/cloudevents+json"], ["Pubsubname", "bus"], ["Traceparent", NO_TRACE]]
        letters.append({"method": "POST", "target": "/in/grave", "headers": headers, "body": dumped(event)})
    letters = in_batch(entry, response, letters)[1]
    return response, [first, *[second] * (3 if entry["setup"] == "PR" else 1), third, *letters]


def in_batch(entry, response, requests):
    """Numbers and spaces inside of data are as they were sent."""
    return response, [{**r, "body": r["body"].replace('{"n":', '{"n": ')} for r in requests]


def without_metadata(entry, response, requests):
    return response, [{**r, "body": r["body"].replace('"metadata":{},', '"metadata":null,')} for r in requests]


def twice(entry, response, requests):
    return response, requests * 2


NO_TRACE = "00-" + "0" * 32 + "-" + "0" * 16 + "-00"
SUB = "(wrapped|raw) sub: "
# (names of exchanges as a regular expression, reason, what was recorded -> what is ours)
DIFFERENCES = [
    (SUB + "(json object|json with spaces|xml|own cloudevent as json)", "data keep their bytes", changed(exact)),
    (SUB + "image", "bytes that are no text are kept", changed(in_base64)),
    (SUB + "own ce (no id|empty object)", "an event has an id", changed(with_id)),
    (SUB + "own ce with traceparent", "the trace of an event is kept", own_trace),
    (SUB + "own ce not object", "the words are ours", own_words("the event is no JSON object")),
    ("traceparent header", "the state of a trace goes on with it", with_state),
    (r"bulk publish (alpha1|stable) .*", "data keep their bytes; metadata of the request go with each", in_bulk),
    ("bulk subscription, app answers SUCCESS RETRY DROP", "each entry of a batch has its verdict", by_verdict),
    ("bulk subscription, app answers .*", "data keep their bytes", in_batch),
    ("bulk (raw )?subscription: (one message|text|own ce|octet|wrapped)", "no metadata are null", without_metadata),
    ("P: redis stream, topic sf, app (500|RETRY) once", "what the broker redelivers is waited for", twice),
    ("rules: (no size|text data)", "a rule that fails is one that does not match", by_default),
]  # fmt: skip

# Words of the reference's libraries, of the broker that failed to hand a message over, of what came of it in the end
# (which the metrics count), and of batches.
NOT_LOGGED = re.compile(
    "invalid character|no such key|EOF|retriable error occurred: retriable|Error processing (Redis|operation)"
    "|encountered a retriable error|increasedCardinality|bulk|entry id"
)

# --- replay -----------------------------------------------------------------------------------------------------------

counts = {"same": 0, "on purpose": 0, "unexplained": 0}


def recording():
    with open(shared("recordings", "publish.json"), encoding="utf-8") as f:
        return json.load(f)


def entries(name=None):
    return [entry for entry in recording()["entries"] if name in (None, entry["setup"])]


SUBSCRIPTIONS = 17
MARK = b'"data":"mark"'

class Setup:
    """A sidecar with the recorded components and its application."""

    def __init__(self, name, subscriptions=None, resources=None):
        recorded = recording()["setups"]
        self.name, self.path, self.answers = name, "", []
        self.batch = all_of("SUCCESS")
        self.marked = "wrapped"  # the topic of markers
        topics = recorded["P"]["subscribe_answer"] if subscriptions is None else subscriptions
        self.subscriptions = topics if isinstance(topics, bytes) else answer(200, json.dumps(topics).encode(), JSON)
        self.app = App(self.serve)
        self.app.init = self.init
        if resources is None:
            self.redis = Redis()
            # Who is paused for the recorded 300 ms would be given an event twice.
            text = recorded["P"]["resources"].replace("<REDIS_PORT>", str(self.redis.port))
            patient = re.sub(r'(processingTimeout\n *value: )"300ms"', r'\1"4s"', text)
            need(patient != text, "the recorded component has such a time")
            resources = [patient]
            if name == "PR":
                resources.append(recorded["PR"]["resources"].partition(":\n")[2])
        env = {"APP_API_TOKEN": "apptok", "DAPR_API_TOKEN": "d1"} if name == "PT" else None
        self.sidecar = Sidecar(*resources, flags=["--app-port", str(self.app.port)], env=env)

    def init(self, request):
        return self.subscriptions if request.target == "/dapr/subscribe" else answer(404)

    def serve(self, request, exchange):
        if request.body.startswith(b'{"entries":'):
            if isinstance(self.batch, bytes):
                return self.batch
            return answer(200, dumped(self.batch(json.loads(request.body)["entries"])).encode(), JSON)
        if self.answers and request.target.startswith(self.path):
            return self.answers.pop(0)
        return answer(200)

    def wait_subscribed(self, count):
        eventually(lambda: len(self.sidecar.metadata()["subscriptions"]) == count, f"{count} subscriptions")
        return self

    def exchange(self, entry):
        request = entry["request"]
        body = sent_body(request["body"])
        headers = [(n, with_trace(v)) for n, v in request["headers"] if n not in ("Content-Length", "Host")]
        target = with_trace(request["target"]).replace("<TIME>", SENT_TIME)
        connection = Connection(self.sidecar.address)
        try:
            connection.send(request_bytes(request["method"], target, headers, body))
            return connection.reply(request["method"])
        finally:
            connection.close()

    def marker(self):
        """An event that is published after all that has been: it has arrived."""
        self.sidecar.call("POST", "/v1.0/publish/bus/" + self.marked, b"mark", [("Content-Type", "text/plain")])
        eventually(lambda: any(MARK in request.body for request in self.app.requests), "the marker arrives")
        self.app.requests = [request for request in self.app.requests if MARK not in request.body]


    def streams(self, recorded):
        """What is in Redis, as redis-cli shows it."""
        consumers = "XINFO CONSUMERS sf grp"
        eventually(lambda: self.redis.command(*consumers.split(" "))[0][3] == 0, "all have been acknowledged")
        ours = ""
        for command in re.findall("^X.*$", recorded, re.M):
            ours += command + "\n" + shown(self.redis.command(*command.split(" ")))
        changing = r'\d{13}-\d+|(?<="idle"\n   6\) \(integer\) )\d+'
        ours, recorded = (re.sub(changing, "<N>", settled(text)) for text in (ours, recorded))
        return [] if ours == recorded else [f"Redis: {ours}, not {recorded}"]

    def logged(self, recorded):
        """The recorded lines that are not in the log, but for those that are not logged on purpose."""
        log = settled(self.sidecar.log())
        lines = [line.removesuffix(" app_id") for line in recorded if not NOT_LOGGED.search(line)]
        return [f"not logged: {line}" for line in lines if line not in log]

    def described(self, entry):
        """Only the beginning of the list was recorded; topics with wildcards are not for the in-memory broker here."""
        start = re.search(r'"components":.*,"version":"v1"', entry["response"]["body"]["starts"])[0]
        got = self.exchange(entry).body.decode()
        return [] if start in got else [f"{entry['name']}: {got}"]


def shown(value, indent=""):
    """A reply as redis-cli shows it."""
    if isinstance(value, int):
        return f"(integer) {value}\n"
    if isinstance(value, bytes):
        text = value.decode().replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"\n'
    width, lines = len(str(len(value))), ""
    for i, item in enumerate(value):
        lines += (indent if i else "") + f"{i + 1:>{width}}) " + shown(item, indent + " " * (width + 2))
    return lines


def settled(text):
    """Without what changes from run to run."""
    return TIME.sub("<TIME>", UUID.sub("<UUID>", text))


def sent_body(recorded):
    if recorded is None or isinstance(recorded, dict):
        return None if recorded is None else base64.b64decode(recorded["base64"])
    return with_trace(recorded).replace("<TIME>", SENT_TIME).encode()


def opened(text):
    """The base64 of an enveloped event shown as its text, what changes from run to run replaced."""
    found = re.search(r'"(?:data_base64|event)":"([^"]*)"', text)
    if found:
        text = text.replace(found[1], base64.b64decode(found[1]).decode("latin-1"))
    return settled(text)


def as_recorded(request):
    body = request.body.decode()
    return {"method": request.method, "target": request.target, "headers": request.headers, "body": body}


def singly(requests):
    """Batches as one request for each of their entries: how many fall into one is a matter of time."""
    single = []
    for request in requests:
        if not request["body"].startswith('{"entries":'):
            single.append(request)
            continue
        batch = json.loads(request["body"])
        single += [{**request, "body": dumped({**batch, "entries": [entry]})} for entry in batch["entries"]]
    return single


def received_problems(wanted, got):
    """Between one recorded request and one that has arrived."""
    found = []
    if (got["method"], got["target"]) != (wanted["method"], wanted["target"]):
        found.append(f"{got['method']} {got['target']}, not {wanted['method']} {wanted['target']}")
    headers = [(n.title(), with_trace(v)) for n, v in wanted["headers"] if n.lower() not in LIBRARY]
    found += header_problems(headers, [(n.title(), v) for n, v in got["headers"] if n.lower() not in LIBRARY])
    body, ours = opened(with_trace(wanted["body"])), opened(got["body"])
    if ours != body:
        found.append(f"body {ours!r}, not {body!r}")
    return [f"application: {line}" for line in found]


def arrived(setup, wanted):
    """What the application got, as soon as that is enough."""

    def got():
        return singly([as_recorded(request) for request in setup.app.requests])

    try:
        eventually(lambda: len(got()) >= len(wanted), "requests", 30)
    except AssertionError:
        pass  # they are compared later
    if not wanted:
        setup.marker()
    requests = got()
    setup.app.take()
    return requests


def check(setup, entry):
    late = setup.app.take()
    name, wanted, response = entry["name"], entry["received"].get("app", []), entry["response"]
    setup.path, setup.answers = answers_of(name)
    batches = re.fullmatch("bulk subscription, app answers (.*)", name)
    setup.batch = BATCH_ANSWERS[batches[1] if batches else "all SUCCESS"]
    names = name, entry["setup"] + ": " + name
    row = next((row for row in DIFFERENCES if any(re.fullmatch(row[0], name) for name in names)), None)
    recorded = response, wanted
    if row:
        response, wanted = row[2](entry, response, wanted)
    differs = (response, wanted) != recorded
    reply = setup.exchange(entry)
    problems = [f"late, of one before: {late}"] if late else []
    problems += answer_problems(response, reply)
    wanted = singly(wanted)
    got = arrived(setup, wanted)
    if len(got) != len(wanted):
        problems.append(f"{len(got)} requests, not {len(wanted)}: {[(r['target'], r['body'][:300]) for r in got]}")
    if name.startswith("bulk "):  # several events arrive in any order
        wanted, got = (sorted(requests, key=by_target_and_body) for requests in (wanted, got))
    for one, other in zip(wanted, got):
        problems += received_problems(one, other)
    counts["unexplained" if problems else "on purpose" if differs else "same"] += 1
    return [f"{name}: {problem}" for problem in problems]


def by_target_and_body(request):
    return request["target"], opened(request["body"])


def noted(problems):
    counts["unexplained" if problems else "same"] += 1
    return problems


def replay(name):
    """All exchanges of a setup, in file order against one sidecar."""
    setup = Setup(name).wait_subscribed(SUBSCRIPTIONS)
    bad = []
    for entry in entries(name):
        if "redis" in entry:
            bad += noted(setup.streams(entry["redis"]))
        elif "log" in entry and "received" not in entry:
            bad += noted(setup.logged(entry["log"]))
        elif entry["name"] == "metadata: subscriptions part":
            bad += noted(setup.described(entry))
        elif "request" in entry and "note" not in entry:
            bad += check(setup, entry)
    setup.marker()
    late = setup.app.take()
    bad += [f"late: {late}"] if late else []
    for line in bad:
        print("  " + line)
    equal(len(bad), 0, f"differences in setup {name}")
    return setup
