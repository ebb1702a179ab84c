# SPDX-License-Identifier: Apache-2.0
"""Private memcached servers for tests. What they hold ends with them."""
import os
import shutil
import socket

from remora import DEADLINE_S, Folder, Process, Skip, component, eventually, free_port

PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"


class Memcached(Process):
    """start() after kill() keeps the port. `options` are memcached's own."""

    def __init__(self, *options):
        self.program = shutil.which("memcached", path=PLACES)
        if self.program is None:
            raise Skip("memcached is not installed")
        self.folder = Folder()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.options = list(options)
        self.start()

    def start(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        where = [] if "-s" in self.options else ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        super().__init__([self.program, *where, "-t", "2", "-m", "64", *user, *self.options], self.folder)
        eventually(lambda: self.ask("version").startswith(b"VERSION"), f"memcached answers: {self.log()}")
        return self

    def ask(self, line, *more):
        """The first line of the answer, or what else is there after it when more is expected."""
        try:
            with self.connect() as s:
                s.sendall(line.encode() + b"\r\n" + b"".join(part + b"\r\n" for part in more))
                data = b""
                while not data.endswith(b"\r\n") or (data.startswith((b"VALUE", b"STAT")) and not data.endswith(b"END\r\n")):
                    piece = s.recv(65536)
                    if not piece:
                        break
                    data += piece
                return data
        except OSError:
            return b""

    def connect(self):
        if "-s" in self.options:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(DEADLINE_S)
            s.connect(self.options[self.options.index("-s") + 1])
            return s
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE_S)


def document(*addresses, name="cache", **metadata):
    """Requests have longer than the second of a component without a timeout: a busy machine takes it."""
    return component(name, "state.memcached", {"hosts": ",".join(addresses), "timeout": "30000", **metadata})
