# SPDX-License-Identifier: Apache-2.0
"""What every provider is made of: what comes is checked and kept, then answered by rule or by a fault."""
import json
import threading

from http_app import App, answer

KEY = "sk-Conform0123456789-never-to-be-told"


class Refused(Exception):
    def __init__(self, words, status=400):
        super().__init__(words)
        self.status = status


def refuse_unless(condition, words, status=400):
    if not condition:
        raise Refused(words, status)


def fields(item, where, needed=(), optional=()):
    refuse_unless(isinstance(item, dict), f"{where}: expected an object")
    for name in needed:
        refuse_unless(name in item, f"Missing required parameter: '{where}.{name}'")
    for name in item:
        refuse_unless(name in needed or name in optional, f"Unrecognized request argument supplied: {where}.{name}")


def is_text(value):
    return isinstance(value, str)


def is_number(value, least, most):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 2**31 - 1


class Provider(App):
    """One provider. `key` is the one it knows; `usage` and `model` go into its answers."""

    def __init__(self, key=KEY, tls=None):
        self.key, self.asked, self.faults, self.seen, self.lock = key, [], [], [], threading.Lock()
        self.always = None  # a fault of every request
        super().__init__(self.serve_one, tls=tls)

    @property
    def base(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def serve_one(self, request, exchange):
        with self.lock:
            self.seen.append(request)
            fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None:
            return fault(self, request, exchange)
        try:
            body = self.check(request)
        except Refused as refused:
            return self.reply(self.error(refused.status, str(refused)), refused.status)
        with self.lock:
            self.asked.append(body)
        return self.reply(self.respond(body, request))

    def check(self, request):
        self.check_head(request)
        refuse_unless(request.method == "POST", "method", 405)
        refuse_unless((request.header("Content-Type") or "").startswith("application/json"), "content type", 415)
        refuse_unless(request.header("Content-Encoding") is None, "content encoding", 415)
        try:
            body = json.loads(request.body)
        except ValueError:
            raise Refused("We could not parse the JSON body of your request") from None
        self.check_body(body)
        return body

    @staticmethod
    def reply(document, status=200, headers=()):
        return answer(status, json.dumps(document).encode(), [("Content-Type", "application/json"), *headers])

    @staticmethod
    def say(texts, tools, forced):
        """What the model says: (text, tool). A tool is called if one is asked for or named in the last text."""
        last = texts[-1] if texts else ""
        named = next((name for name in tools if forced in (name, "required") or (forced != "none" and name in last)), None)
        return (None, named) if named else (f"{len(texts)} heard, last: {last}", None)
