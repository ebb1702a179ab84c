#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays what the reference runtime was asked about its Redis store, through the sidecar to a real server, and compares
the answers: status line, body, and the headers that carry meaning. The recordings lie outside the repository
(REMORA_SHARED, else ../shared). Where we differ on purpose, DIFFERENT says how and why."""
import json
import os
import shutil
import socket
import sys

from redis_fixture import DEADLINE_S, Redis, Sidecar, component

SHARED = os.environ.get("REMORA_SHARED", "../shared")
RECORDINGS = os.path.join(SHARED, "recordings/http-api.json")
HEADERS = ("content-type", "etag")

# name: (status, body or None for any, reason)
EXACT = "values keep their exact bytes"
DIFFERENT = {
    "red: get object": (200, '{"b" : 2,\n"a":[1,2.50,null,true],"u":"ü\\u00fc<>&"}', EXACT),
    "red: get number": (200, "1.10e2", EXACT),
    "red: save value 1e400": (204, "", "a number beyond a double is kept as text"),
    "red: get value 1e400": (200, "1e400", EXACT),
    "red: tx stale etag": (409, None, "a conflict is 409 everywhere"),
    "red: tx rolled back get": (204, "", "a transaction is all or nothing"),
    "red: tx no request": (400, None, "an empty item is refused"),
    "red: tx no key": (400, None, "an empty item is refused"),
    "red: bulk get": (200, None, EXACT),
}


class Client:
    """One request a time, byte for byte as recorded."""

    def __init__(self, port):
        self.port = port

    def ask(self, request):
        body = request["body"]
        if isinstance(body, dict):
            body = body["starts"][:200]
            body += "x" * (request["body"]["length"] - len(body) - len('"}]')) + '"}]'
        data = (body or "").encode()
        head = f"{request['method']} {request['target']} HTTP/1.1\r\n"
        for name, value in request["headers"]:
            if name.lower() != "content-length":
                head += f"{name}: {value}\r\n".replace("<HTTP_PORT>", str(self.port))
        if body is not None:
            head += f"Content-Length: {len(data)}\r\n"
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as s:
            s.sendall((head + "Connection: close\r\n\r\n").encode() + data)
            answer = b""
            while part := s.recv(65536):
                answer += part
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        return int(lines[0].split()[1]), headers, rest.decode(errors="surrogateescape")


def equal_bodies(ours, theirs):
    if ours == theirs:
        return True
    try:  # the order of object members is not stable in the recordings
        return json.loads(ours) == json.loads(theirs)
    except ValueError:
        return False


def compare(entry, answer):
    """None, or what differs."""
    status, headers, body = answer
    recorded = entry["response"]
    name = entry["name"]
    if name in DIFFERENT:
        wanted_status, wanted_body, _ = DIFFERENT[name]
        if status != wanted_status or (wanted_body is not None and body != wanted_body):
            return f"is {status} {body!r}, wanted {wanted_status} {wanted_body!r}"
        return None
    wanted_status = int(recorded["status_line"].split()[1])
    if status != wanted_status:
        return f"is {status} {body!r}, recorded {wanted_status} {recorded['body']!r}"
    if name.startswith("red: get value "):
        saved = name.removeprefix("red: get value ").strip()  # blanks around a value are not part of it
        return None if body == saved else f"is {body!r}, saved was {saved!r}"
    if not equal_bodies(body, recorded["body"] if isinstance(recorded["body"], str) else ""):
        return f"body is {body!r}, recorded {recorded['body']!r}"
    for header, value in recorded["headers"]:
        if header.lower() in HEADERS and headers.get(header.lower()) != value:
            return f"{header} is {headers.get(header.lower())!r}, recorded {value!r}"
    return None


def main():
    if not os.path.exists(RECORDINGS) or not shutil.which("redis-server"):
        print(f"skipped: no {RECORDINGS} or no redis-server", file=sys.stderr)
        print("0 passed, 0 failed, 1 skipped")
        return 0
    with open(RECORDINGS) as f:
        entries = [e for e in json.load(f)["entries"] if e["name"].startswith("red: ")]
    redis = Redis()
    sidecar = Sidecar(component("red", redis.port, "  - name: keyPrefix\n    value: none\n") +
                      component("redapp", redis.port), "--max-body-size", "64Ki")
    passed = failed = 0
    try:
        client = Client(sidecar.port)
        for entry in entries:
            trouble = compare(entry, client.ask(entry["request"]))
            passed += trouble is None
            failed += trouble is not None
            if trouble:
                print(f"{entry['name']}: {trouble}", file=sys.stderr)
        if failed:
            print(sidecar.log()[-3000:], file=sys.stderr)
    finally:
        sidecar.close()
        redis.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
