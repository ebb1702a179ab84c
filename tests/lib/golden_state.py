# SPDX-License-Identifier: Apache-2.0
"""Stores that the reference has written (golden/state), read through the HTTP API."""

import base64
import json
import os

from remora import Folder, Sidecar, Store, equal, need, shared


def expected_of(kind):
    with open(shared("golden", "state", f"{kind}-expected.json"), encoding="utf-8") as f:
        return json.load(f)


def sidecar_of(expected, place, folder=None):
    """A sidecar as the expected file describes it; `place` is put where the server's address stood."""
    documents = [text.replace("HOST:PORT", place).replace("host=HOST port=PORT", place) for text in expected["components_yaml"]]
    env = {"PATH": os.environ["PATH"], **expected["env"]}
    return Sidecar("---\n".join(documents), app_id=expected["app_id"], env=env, folder=folder or Folder())


def _check_read(store, read, etags):
    reply = store.get(read["key"])
    wanted = read["http"]
    equal((reply.status, reply.body), (wanted["status"], base64.b64decode(wanted["body_b64"])), read["key"])
    for name in ("Content-Type", "Etag", "Metadata.ttlexpiretime"):
        if name == "Etag" and not etags:
            equal(bool(reply.header(name)), bool(wanted.get(name)), f"{name} of {read['key']}")
        elif name != "Content-Type" or wanted["status"] != 204:
            equal(reply.header(name), wanted.get(name), f"{name} of {read['key']}")


def _check_bulk_item(item, http, etags):
    """JSON as such; bytes that are none as a string, where the reference lost all items."""
    raw = base64.b64decode(http["body_b64"])
    if etags:
        equal(item.get("etag"), http.get("Etag"))
    equal(
        item.get("metadata"),
        {"ttlExpireTime": http["Metadata.ttlexpiretime"]} if "Metadata.ttlexpiretime" in http else None,
    )
    if not raw:
        need("data" not in item, f"{item}")
        return
    try:
        wanted = json.loads(raw)
    except ValueError:
        try:
            wanted = raw.decode()
        except UnicodeDecodeError:
            wanted = base64.b64encode(raw).decode()
    equal(item["data"], wanted, item["key"])


def check(sidecar, expected, etags=True):
    """Every read of the expected file. `etags` false: they are others since the store was loaded."""
    for read in expected["reads"]:
        _check_read(Store(sidecar, expected["store"]), read, etags)
    for suffix, reads in expected["prefix_reads"].items():
        for read in reads:
            _check_read(Store(sidecar, f"{expected['store']}-{suffix}"), read, etags)
    values = {read["key"]: read for read in expected["reads"]}
    for bulk in expected["bulk_http"]:
        items = Store(sidecar, expected["store"]).bulk(bulk["keys"]).json
        equal([item["key"] for item in items], bulk["keys"], "in the order asked for")
        for item in items:
            _check_bulk_item(item, values[item["key"]]["http"], etags)
