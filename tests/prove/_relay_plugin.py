# SPDX-License-Identifier: Apache-2.0
"""Stands between a sidecar and a plugin, as the plugin's program: it passes their messages on one by one, and kills one of
the two with SIGKILL in front of a certain one. An experiment makes the plugin's folder with install(), and reads in its
file `steps` what has passed: requests and answers, one a line, and `killed: STEP` where it has happened."""
import ctypes
import json
import os
import re
import selectors
import signal
import socket
import struct
import subprocess

REQUEST, RESPONSE = 3, 4
NAMES = {32: "get", 34: "set", 35: "delete", 36: "transact", 80: "publish", 272: "deliver"}


def install(folder, plugin, at, victim):
    """`plugin` is the folder of the real one, `folder` a new one for this. In front of step `at` (from 1, 0: never) the
    victim is killed, "kernel" or "plugin"."""
    name = os.path.basename(plugin)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(plugin, "plugin.yaml")) as f:
        manifest = re.sub(r"^exec: .*$", "exec: relay.py\ninterpreter: python3", f.read(), flags=re.M)
    with open(__file__) as f:
        program = f.read()
    plan = {"program": os.path.join(plugin, name), "at": at, "victim": victim}
    for file, text in {"plugin.yaml": manifest, "relay.py": program, "plan.json": json.dumps(plan)}.items():
        with open(os.path.join(folder, file), "w") as f:
            f.write(text)
    return os.path.join(folder, "steps")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def head(frame):
    """Kind, call and method of a message."""
    found, at = {1: 0, 2: 0, 4: 0}, 0
    while at < len(frame):
        tag, at = varint(frame, at)
        if tag & 7 == 0:
            found[tag >> 3], at = varint(frame, at)
        else:
            size, at = varint(frame, at)
            at += size
    return found[1], found[2], found[4]


class Side:
    """One of the two connections."""

    def __init__(self, sock):
        self.sock, self.pending, self.has_greeted, self.asked = sock, b"", False, {}

    def messages(self):
        """What has arrived, as (bytes, frame); the greeting has no frame."""
        data = self.sock.recv(1 << 20)
        self.is_over = not data
        self.pending += data
        out = []
        while True:
            size = 8
            if self.has_greeted:
                size = 9 + struct.unpack(">Q", self.pending[1:9])[0] if len(self.pending) >= 9 else 1 << 62
            if len(self.pending) < size:
                return out
            out.append((self.pending[:size], self.pending[9:size] if self.has_greeted else None))
            self.has_greeted, self.pending = True, self.pending[size:]


class Relay:
    def __init__(self, here):
        with open(os.path.join(here, "plan.json")) as f:
            self.plan = json.load(f)
        self.path = os.path.join(here, "steps")
        self.steps = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        listening = socket.socket(socket.AF_UNIX)
        own = os.path.join(here, f"s{os.getpid()}")
        listening.bind(own)
        listening.listen(1)
        prctl = ctypes.CDLL(None).prctl
        self.child = subprocess.Popen([self.plan["program"]], env=dict(os.environ, REMORA_URL=f"ipc://{own}"),
                                      pass_fds=(3,), preexec_fn=lambda: prctl(1, signal.SIGKILL))
        self.plugin = Side(listening.accept()[0])
        os.unlink(own)
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(os.environ["REMORA_URL"].removeprefix("ipc://"))
        self.kernel = Side(upstream)

    def name(self, source, target, frame):
        """Of a step; None: it is none."""
        kind, call, method = head(frame)
        if kind == REQUEST and method in NAMES:
            source.asked[call] = NAMES[method]
            return NAMES[method]
        asked = target.asked.pop(call, None) if kind == RESPONSE else None
        return asked and f"{asked} answered"

    def take(self, name):
        with open(self.path) as f:
            before = f.read().splitlines()
        if len(before) + 1 == self.plan["at"]:
            os.write(self.steps, f"killed: {name}\n".encode())
            self.kill()
        os.write(self.steps, f"{name}\n".encode())

    def kill(self):
        if self.plan["victim"] == "kernel":
            listener = self.kernel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            os.kill(struct.unpack("3i", listener)[0], signal.SIGKILL)
            signal.pause()  # goes with it
        self.child.kill()
        self.child.wait()
        os.kill(os.getpid(), signal.SIGKILL)

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.plugin.sock, selectors.EVENT_READ, (self.plugin, self.kernel))
        selector.register(self.kernel.sock, selectors.EVENT_READ, (self.kernel, self.plugin))
        while True:
            for key, _ in selector.select():
                source, target = key.data
                for message, frame in source.messages():
                    if frame is not None and (name := self.name(source, target, frame)):
                        self.take(name)
                    target.sock.sendall(message)
                if source.is_over:
                    return


if __name__ == "__main__":
    Relay(os.path.dirname(os.path.abspath(__file__))).run()
