# SPDX-License-Identifier: Apache-2.0
"""Servers of build/venv-servers: mail, and S3 and SQS."""
import json
import os
import socket

from remora import DEADLINE_S, TOP, Folder, Process, Skip, eventually, free_port

PYTHON = os.path.join(TOP, "build", "venv-servers", "bin", "python")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
        return True
    except OSError:
        return False


class Server(Process):
    def __init__(self, name, words, folder=None):
        if not os.path.exists(PYTHON):
            raise Skip("build/venv-servers is not here, `make deps-test` makes it")
        super().__init__([PYTHON, *words], folder or Folder())
        eventually(lambda: self.is_alive() and listens(self.port), f"{name} listens", 60)


class Mail(Server):
    """With certificates it offers TLS."""

    def __init__(self, certificates=None, **users):
        self.port = free_port()
        self.letters_folder = Folder()
        settings = {"port": self.port, "folder": str(self.letters_folder.path), "users": users}
        if certificates:
            settings.update(certificate=certificates.path("server.pem"), key=certificates.path("server.key"))
        super().__init__("mail", [os.path.join(TOP, "tests", "servers", "mail", "server.py"), json.dumps(settings)])

    def letters(self):
        found = []
        for number in range(1, len(os.listdir(self.letters_folder.path)) + 1):
            try:
                with open(self.letters_folder / f"{number}.json") as f:
                    found.append(json.load(f))
            except FileNotFoundError:  # it is being written
                break
        return found
