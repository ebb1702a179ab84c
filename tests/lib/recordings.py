# SPDX-License-Identifier: Apache-2.0
"""Recorded exchanges of HTTP: their placeholders, and what differs between one of them and what has happened."""

import re

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PLACEHOLDERS = {
    "<UUID>": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "<TIME>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "<HTTPDATE>": r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    "<N>": r"\d+",
    "<ANY>": r".*",
}


def matches(pattern, text):
    """Whether the text is the pattern with its placeholders filled in."""
    parts = re.split("(" + "|".join(map(re.escape, PLACEHOLDERS)) + ")", pattern)
    return re.fullmatch("".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts), text, re.S) is not None


def with_trace(text):
    return text.replace("<TRACEID>", TRACE_ID).replace("<SPANID>", SPAN_ID)


def header_problems(wanted, got):
    """In any order; names as they are spelt."""
    found, left = [], [(name, value) for name, value in got]
    for name, value in wanted:
        match = next((h for h in left if h[0] == name and matches(with_trace(value), h[1])), None)
        if match:
            left.remove(match)
        else:
            found.append(f"no header {name}: {value}")
    return found + [f"header {name}: {value}" for name, value in left]


def answer_problems(wanted, reply, is_head=False):
    """What differs between a recorded (or our own expected) answer and the one received."""
    found = []
    status_line, body = wanted["status_line"], wanted["body"]
    if reply.status_line != status_line:
        found.append(f"status line {reply.status_line!r}, not {status_line!r}")
    if not matches(body, reply.body.decode()):
        found.append(f"body {reply.body.decode()!r}, not {body!r}")
    if wanted.get("interim", []) != reply.interim:
        found.append(f"interim {reply.interim!r}, not {wanted.get('interim', [])!r}")
    # Recorded lengths are of real bytes, bodies have placeholders.
    length = str(len(reply.body))
    headers = [(n, length if n == "Content-Length" and not is_head else value) for n, value in wanted["headers"]]
    return found + header_problems(headers, reply.headers)
