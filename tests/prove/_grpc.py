# SPDX-License-Identifier: Apache-2.0
"""What the gRPC experiments share: the load client, the client of many connections and attacks, memory and its peak."""
import contextlib
import json
import os
import subprocess

import _prove  # noqa: F401  it knows where the others are
import remora

LOAD = os.path.join(remora.BUILD, "tests", "bench", "grpc_load")
HOSTILE = os.path.join(remora.BUILD, "tests", "bench", "h2_hostile")
GET_STATE = "/dapr.proto.runtime.v1.Dapr/GetState"


def field(number, data):
    """A length-delimited field of protobuf; `number` below 16."""
    size, lengths = len(data), b""
    while size >= 0x80:
        lengths += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + lengths + bytes([size]) + data


def get_state(store, key):
    return field(1, store.encode()) + field(2, key.encode())


class Load:
    """One kind of call, again and again."""

    def __init__(self, folder, port, name, message, path=GET_STATE):
        self.file = folder / f"{name}.message"
        with open(self.file, "wb") as f:
            f.write(message)
        self.command = [LOAD, "--port", str(port), "--path", path, "--message-file", self.file]

    def start(self, callers, seconds):
        return subprocess.Popen(self.command + ["--callers", str(callers), "--seconds", str(seconds)],
                                stdout=subprocess.PIPE)

    def run(self, callers, seconds):
        return finish(self.start(callers, seconds))


def finish(process):
    out, _ = process.communicate()
    remora.need(process.returncode == 0, f"{process.args[:4]} ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])


def start_attack(port, name, **options):
    command = [HOSTILE, "--port", str(port), "--attack", name]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


@contextlib.contextmanager
def held(port, name, count):
    """So many connections or streams are there within the block; afterwards `result` has what became of them."""
    process = start_attack(port, name, count=count)
    remora.need(process.stdout.readline() == b"ready\n", f"{count} {name} could not be made")
    kept = {}
    yield kept
    kept.update(finish(process))


def status_kib(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name + ":"))


def forget_peak(pid):
    """Makes VmHWM what is resident now."""
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")
