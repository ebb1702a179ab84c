# SPDX-License-Identifier: Apache-2.0
"""Servers of build/venv-servers: mail, and services of AWS."""
import json
import os
import socket
import subprocess

from remora import DEADLINE_S, TOP, Folder, Process, Skip, _live, eventually, free_port, need

PYTHON = os.path.join(TOP, "build", "venv-servers", "bin", "python")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
        return True
    except OSError:
        return False


class Server(Process):
    def __init__(self, *words):
        if not os.path.exists(PYTHON):
            raise Skip("build/venv-servers is not here, `make deps-test` makes it")
        super().__init__([PYTHON, os.path.join(TOP, "tests", "servers", words[0], "server.py"), *words[1:]], Folder())
        eventually(lambda: self.is_alive() and listens(self.port), f"{words[0]} listens", 60)


class Mail(Server):
    """With certificates it offers TLS."""

    def __init__(self, certificates=None, **users):
        self.port = free_port()
        self.letters_folder = Folder()
        settings = {"port": self.port, "folder": str(self.letters_folder.path), "users": users}
        if certificates:
            settings.update(certificate=certificates.path("server.pem"), key=certificates.path("server.key"))
        super().__init__("mail", json.dumps(settings))

    def letters(self):
        found = []
        for number in range(1, len(os.listdir(self.letters_folder.path)) + 1):
            try:
                with open(self.letters_folder / f"{number}.json") as f:
                    found.append(json.load(f))
            except FileNotFoundError:  # it is being written
                break
        return found


class Aws:
    """Services of AWS, with one user: its keys. call() is boto3's."""

    def __init__(self):
        if not os.path.exists(PYTHON):
            raise Skip("build/venv-servers is not here, `make deps-test` makes it")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder = Folder()
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [PYTHON, os.path.join(TOP, "tests", "servers", "aws", "server.py"), str(self.port)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder.path)
        _live.append(self)
        line = self.process.stdout.readline()
        need(line, "moto did not start")
        self.access_key, self.secret_key = json.loads(line)

    def call(self, service, method, **arguments):
        self.process.stdin.write(json.dumps([service, method, arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
