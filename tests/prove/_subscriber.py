# SPDX-License-Identifier: Apache-2.0
"""An application that writes down what it is given before it says that it has it, to be killed: PORT FILE [MILLISECONDS].
A line an event: its path, its data. It waits so long before each answer. An event of a binding is a number by itself."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import http_app  # noqa: E402

port, path = int(sys.argv[1]), sys.argv[2]
delay_s = float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def take(request, exchange):
    if request.method == "OPTIONS":
        return http_app.answer(200)
    event = json.loads(request.body)
    os.write(fd, f"{request.target} {event['data'] if isinstance(event, dict) else event}\n".encode())
    if delay_s:
        time.sleep(delay_s)
    return http_app.answer(200, b"{}")


http_app.App(take, port=port)
while os.getppid() != 1:
    time.sleep(1)
