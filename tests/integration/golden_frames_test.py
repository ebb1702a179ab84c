#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden frames are what Python's protobuf makes of their descriptions, and read back as described."""
import glob
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REMORA_BUILD") or os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(BUILD, "gen/python/remora/plugin/v1"))
from google.protobuf import json_format  # noqa: E402
import plugin_pb2 as pb  # noqa: E402

GOLDEN = os.path.join(TOP, "sdk-plugin/golden")
passed = failed = 0


def check(held, what):
    global passed, failed
    passed, failed = passed + bool(held), failed + (not held)
    if not held:
        print("not so:", what)


for path in sorted(glob.glob(os.path.join(GOLDEN, "*.json"))):
    name = os.path.basename(path)[:-5]
    with open(path, encoding="utf-8") as f:
        described = json.load(f)
    with open(path[:-5] + ".bin", "rb") as f:
        data = f.read()
    frame = json_format.ParseDict(described["frame"], pb.Frame())
    check(frame.SerializeToString(deterministic=True) == data, f"{name} is written as it is described")
    check(pb.Frame.FromString(data) == frame, f"{name} is read as it is described")
    if "message" in described:
        kind = getattr(pb, described["message_type"].rsplit(".", 1)[1])
        message = json_format.ParseDict(described["message"], kind())
        payload = message.SerializeToString(deterministic=True) + bytes.fromhex(described["body_hex"])
        check(payload == frame.payload, f"the payload of {name} is its message and body")

out = subprocess.run([sys.executable, os.path.join(GOLDEN, "generate"), "--check"], capture_output=True, text=True,
                     env={**os.environ, "REMORA_BUILD": BUILD})
check(out.returncode == 0, "the files are what generate makes: " + out.stdout + out.stderr)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
