# SPDX-License-Identifier: Apache-2.0
"""Private MQTT brokers for tests: mosquitto, its data in a folder that outlives kills."""
import os
import re
import shutil
import signal
import socket

from remora import DEADLINE_S, Folder, Process, Skip, eventually, free_port

PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


class Mosquitto(Process):
    """stop() and start() keep port and data, kill() what it has saved: everything at once, or with `saves` False at the end.
    `options` are lines of its configuration, those of its listener."""

    def __init__(self, *options, saves=True):
        self.program = shutil.which("mosquitto", path=PLACES)
        if self.program is None:
            raise Skip("mosquitto is not installed")
        self.folder = Folder()
        self.port = free_port()
        self.url = f"tcp://127.0.0.1:{self.port}"
        lines = ["user root", "persistence true", f"persistence_location {self.folder.path}/", "max_queued_messages 0",
                 *(["autosave_on_changes true", "autosave_interval 1"] if saves else []), "log_type all",
                 f"listener {self.port} 127.0.0.1"]
        self.config = self.folder / "mosquitto.conf"
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("\n".join(lines + list(options or ["allow_anonymous true"])) + "\n")
        self.start()

    def start(self):
        super().__init__([self.program, "-c", self.config], self.folder)
        eventually(self.listens, "mosquitto listens")
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), DEADLINE_S).close()
            return True
        except OSError:
            return False

    def stop(self):
        """Saves what it has, which a killed one has not."""
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(DEADLINE_S)

    def unacknowledged(self, client):
        """Identifiers of the messages that it has sent to the client since its start, and has no answer to."""
        waiting = set()
        for sent, answered in re.findall(rf"Sending PUBLISH to {client} \(d., q[12], r., m(\d+),|"
                                         rf"Received (?:PUBACK|PUBCOMP) from {client} \(Mid: (\d+)\D", self.log()):
            waiting.add(sent) if sent else waiting.discard(answered)
        return waiting
