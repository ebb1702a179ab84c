# SPDX-License-Identifier: Apache-2.0
"""An application with FastAPI and the extension of the official Python SDK. It listens on APP_PORT, as a launcher sets
it, for what invoke.py and invoke.js call."""

import json
import os

import uvicorn
from dapr.aio.clients import DaprClient
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI, HTTPException, Request

app = FastAPI()
dapr_app = DaprApp(app)


@dapr_app.subscribe(pubsub="bus", topic="orders")
def on_order(event=Body()):
    print(event)


@app.post("/hello")
def hello(body: dict = Body()):
    return {"hello": body["name"]}


@app.post("/length")
def length(body: dict = Body()):
    return {"length": len(body["text"])}


@app.post("/remember")
async def remember(body: dict = Body()):
    """Stores through the sidecar that has called it."""
    async with DaprClient() as d:
        await d.save_state("mem", body["key"], json.dumps(body["value"]))
        return {"value": (await d.get_state("mem", body["key"])).json()}


@app.api_route("/item", methods=["GET", "PUT", "DELETE"])
async def item(request: Request):
    return {"method": request.method.lower(), **request.query_params}


@app.post("/fail")
def fail():
    raise HTTPException(status_code=418, detail="this one always fails")


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
