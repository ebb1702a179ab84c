# SPDX-License-Identifier: Apache-2.0
"""Takes an order each time it runs, with the official Python SDK (pip install dapr):

    remora run --app-id orders -- python3 orders.py
"""
import json

from dapr.clients import DaprClient

STORE = "statestore"

with DaprClient() as client:  # finds its sidecar by the environment, and waits for it
    last = client.get_state(STORE, "last")
    number = json.loads(last.data)["number"] + 1 if last.data else 1
    client.save_state(STORE, "last", json.dumps({"number": number, "item": "coral"}), etag=last.etag or None)
    print(f"order {number} is saved")
