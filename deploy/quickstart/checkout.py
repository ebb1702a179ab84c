# SPDX-License-Identifier: Apache-2.0
"""Sends ten orders to the application order-processor, wherever it runs; the standard library is all it needs:

    remora run --app-id checkout -- python3 checkout.py
"""
import os
import time
import urllib.error
import urllib.request

SIDECAR = f"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}"


def send(order):
    request = urllib.request.Request(f"{SIDECAR}/v1.0/invoke/order-processor/method/orders", order.encode())
    with urllib.request.urlopen(request) as reply:
        return reply.read().decode()


def wait_for_the_other(seconds):
    """It may be started later than this."""
    until = time.monotonic() + seconds
    while True:
        try:
            return send("order 0")
        except urllib.error.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


wait_for_the_other(60)
for number in range(1, 11):
    print(send(f"order {number}"), flush=True)
