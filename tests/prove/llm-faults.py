# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment llm-faults: every question gets its answer or a clear error in time, whatever the providers do.

Nine providers (fakes that speak the wire of each) refuse by rate limits, fail, cut answers off, reset connections, hang before
and within answers, send pages of HTML, JSON of other shapes and answers without end, each by chance, while many callers ask all
of them. The sidecar retries by a policy and gives up by a timeout. Judged is that an answer is the one to its question, that an
error says what it is, that nothing outlasts its deadline, that the plugin neither ends nor grows, that all is well as soon as
the faults are over, and that no key and nothing of a question stands in any error or log."""

import json
import os
import threading
import time

import _prove
import providers
from providers import KEY, KINDS, document, status
from remora import Sidecar, children, component

QUESTIONS = _prove.by_length(240, 6000, 60000)
CALLERS = 16
TIMEOUT_S, RETRIES, PAUSE_S = _prove.by_length(2.0, 1.0, 1.0), 3, 0.02
DEADLINE_S = (RETRIES + 1) * (TIMEOUT_S + PAUSE_S)
SLACK_S = 2 * _prove.PATIENCE
GROWTH_MIB = 40  # of answers of 8 MiB that were given up the allocator keeps some
claims, rng = _prove.Claims(), _prove.rng
POLICY = f"""apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {{name: rz}}
spec:
  policies:
    retries: {{again: {{policy: constant, duration: {int(PAUSE_S * 1000)}ms, maxRetries: {RETRIES}}}}}
    timeouts: {{brief: {int(TIMEOUT_S * 1000)}ms}}
  targets:
    components: {{{", ".join(f"{kind}: {{outbound: {{retry: again, timeout: brief}}}}" for kind in KINDS)}}}
"""


def trickle(provider, request, exchange):
    """A byte now and then: it would take an hour."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not exchange.socket.send(b" ") < 1:
        time.sleep(0.05)


def echo(provider, request, exchange):
    """A refusal that repeats the request and its key."""
    return provider.reply(provider.error(400, request.body.decode()[:300] + str(request.headers)), 400)


FAULTS = [status(429, "slow down", [("Retry-After", "1")]), status(500), status(503), status(401, KEY), echo, providers.html,
          providers.cut, providers.reset, document({}), document({"choices": [5], "content": 5, "candidates": [5], "output": 5}),
          providers.bytes_of(b"[" * 70000), providers.bytes_of(b'{"choices":'), providers.endless]
RARE = [providers.hang, providers.hang_midway, trickle]


class Faulty:
    """What becomes of each request, by chance: a third is answered well, one in forty is not answered."""

    def __init__(self):
        self.lock, self.is_over, self.counts = threading.Lock(), False, {}

    def __call__(self, provider, request, exchange):
        with self.lock:
            chance = rng.random()
            fault = None if self.is_over or chance < 0.33 else rng.choice(RARE if chance < 0.355 else FAULTS)
            name = "well" if fault is None else "fault"
            self.counts[name] = self.counts.get(name, 0) + 1
        if fault is not None:
            return fault(provider, request, exchange)
        try:
            body = provider.check(request)
        except providers.Refused as refused:
            return provider.reply(provider.error(refused.status, str(refused)), refused.status)
        return provider.reply(provider.respond(body, request))


faulty = Faulty()
made = {kind: make() for kind, make in KINDS.items()}
for provider in made.values():
    provider.always = faulty
sidecar = Sidecar(*(component(kind, f"conversation.{kind}", providers.metadata(kind, p)) for kind, p in made.items()), POLICY,
                  flags=["--log-level", "debug"])


def plugin():
    """(pid, MiB of memory) of the plugin."""
    for pid in children(sidecar.pid):
        stack = [pid]
        while stack:
            pid = stack.pop()
            stack += children(pid)
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() == "llm":
                    with open(f"/proc/{pid}/statm") as memory:
                        return pid, int(memory.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return None, 0.0


class Caller(threading.Thread):
    def __init__(self, number, count):
        super().__init__(daemon=True)
        self.number, self.count, self.odd, self.slowest = number, count, [], 0.0
        self.well = self.failed = 0

    def run(self):
        kinds = list(KINDS)
        for i in range(self.count):
            kind = kinds[(i + self.number) % len(kinds)]
            question = f"the secret number {self.number}-{i} of caller {self.number}"
            started = time.monotonic()
            try:
                reply = sidecar.call("POST", f"/v1.0-alpha2/conversation/{kind}/converse", {"inputs": [{"messages": [
                    {"ofUser": {"content": [{"text": question}]}}]}]}, timeout=DEADLINE_S + 30 * _prove.PATIENCE)
                self.judge(kind, question, reply)
            except Exception as e:
                self.odd.append(f"{kind}: {e!r}")
            self.slowest = max(self.slowest, time.monotonic() - started)

    def judge(self, kind, question, reply):
        text = reply.text
        if reply.status == 200:
            self.well += 1
            content = json.loads(text)["outputs"][0]["choices"][0]["message"]["content"]
            if not content.endswith(f"last: {question}"):
                self.odd.append(f"{kind}: another answer: {content[:200]}")
            return
        self.failed += 1
        error = json.loads(text)
        if error["errorCode"] != "ERR_CONVERSATION_INVOKE" or len(error["message"]) < 40:
            self.odd.append(f"{kind}: {text[:300]}")
        if KEY in text or question in text:
            self.odd.append(f"{kind}: it tells: {text[:300]}")


def ask_all(count):
    callers = [Caller(i, count // CALLERS) for i in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return callers


ask_all(CALLERS * 9)  # all has been used once
first = plugin()
started = time.monotonic()
callers = ask_all(QUESTIONS)
took = time.monotonic() - started
asked = sum(caller.count for caller in callers)
well, failed = sum(caller.well for caller in callers), sum(caller.failed for caller in callers)
slowest = max(caller.slowest for caller in callers)
odd = [trouble for caller in callers for trouble in caller.odd]
claims.holds("each question had its answer or a clear error", well + failed == asked and not odd,
             f"{asked} questions, {well} answers, {failed} errors; {'; '.join(odd[:5])}")
claims.at_least("questions that were answered, of faults two of three times, with three retries, in percent", 100 * well / asked,
                _prove.by_length(50, 65, 65), digits=1)
claims.at_most("the slowest", slowest, DEADLINE_S + SLACK_S, " s")
faulty.is_over = True
after = ask_all(CALLERS * 9)
claims.holds("all is well when the faults are over", all(c.failed == 0 and not c.odd for c in after),
             str([c.odd[:2] for c in after if c.odd][:3]))
last = plugin()
claims.holds("the plugin is the one of the beginning", first[0] is not None and first[0] == last[0], f"pid {first[0]}")
if not _prove.SANITIZED:
    claims.at_most("its memory grew by", last[1] - first[1], GROWTH_MIB, " MiB", digits=1)
log = sidecar.log()
claims.holds("no key and no question in the log", KEY not in log and "the secret number" not in log, f"{len(log)} bytes of it")
_prove.stop(sidecar)
claims.end(f"{asked} questions to providers of which {100 * faulty.counts.get('fault', 0) / sum(faulty.counts.values()):.0f} % of "
           f"the answers are faults: {100 * well / asked:.0f} % answered, every error clear, slowest {slowest:.1f} s, "
           f"{asked / took:.0f} a second")
