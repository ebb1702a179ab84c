# SPDX-License-Identifier: Apache-2.0
"""The peers of tests/sdk, one for each official gRPC implementation, as servers behind a sidecar and as its clients."""

from remora import TOP, Process, eventually, free_port, need
from sdk_programs import PATIENCE_S, command, environment, ends_well, start

PEERS = {"python": "python/peer.py", "js": "js/peer.js", "go": "go/peer"}
# What grpc-js makes its client from: the public API as this tree has it, and Debian's well-known types.
PROTO_FOLDERS = f"{TOP}/proto:/usr/include"


class Server(Process):
    """The application: interop.Peer in one language."""

    def __init__(self, language, folder):
        self.port = free_port()
        super().__init__(command(PEERS[language], "serve", str(self.port)), folder, env=environment())

    def wait_serving(self):
        def serving():
            need(self.is_alive(), f"it ended and said:\n{self.log()[-3000:]}")
            return "serving" in self.log()

        eventually(serving, "the application serves", PATIENCE_S)
        return self


def call(language, folder, port, app, caller=None):
    """A client of interop.Peer, through a sidecar that knows it as `app`, or directly when that is `-`; `caller` is the
    sidecar's own name if it is another's."""
    ends_well(start(folder, environment(CALLER=caller or app), PEERS[language], "call", f"127.0.0.1:{port}", app))


def call_dapr(language, sidecar):
    """A client of the sidecar's own API."""
    words = ["dapr", f"127.0.0.1:{sidecar.grpc_port}"] + ([PROTO_FOLDERS] if language == "js" else [])
    ends_well(start(sidecar.folder, environment(), PEERS[language], *words))
