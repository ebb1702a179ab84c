# SPDX-License-Identifier: Apache-2.0
"""An application with Flask and the extension of the official Python SDK. It listens on APP_PORT, as a launcher sets it,
for what invoke.py and invoke.js call."""

import json
import os

from dapr.clients import DaprClient
from dapr.ext.flask import DaprApp
from flask import Flask, jsonify, request

app = Flask("reef")
dapr_app = DaprApp(app)


@dapr_app.subscribe(pubsub="bus", topic="orders")
def on_order():
    print(request.json)


@app.post("/hello")
def hello():
    return jsonify({"hello": request.json["name"]})


@app.post("/length")
def length():
    return jsonify({"length": len(request.json["text"])})


@app.post("/remember")
def remember():
    """Stores through the sidecar that has called it."""
    with DaprClient() as d:
        d.save_state("mem", request.json["key"], json.dumps(request.json["value"]))
        return jsonify({"value": d.get_state("mem", request.json["key"]).json()})


@app.route("/item", methods=["GET", "PUT", "DELETE"])
def item():
    return jsonify({"method": request.method.lower(), **request.args})


@app.post("/fail")
def fail():
    return jsonify({"detail": "this one always fails"}), 418


app.run(host="127.0.0.1", port=int(os.environ["APP_PORT"]), threaded=True)
