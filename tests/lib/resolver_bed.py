# SPDX-License-Identifier: Apache-2.0
"""Resolvers by themselves: a plugin process without a sidecar, which is told who its sidecar is and asked for names."""
import json
import os
import sys

from remora import BUILD, TOP, _live

VENV = os.path.join(TOP, "build", "venv")
PYTHON = os.path.join(VENV, "bin", "python")
if os.path.exists(PYTHON) and os.path.realpath(sys.prefix) != os.path.realpath(VENV):
    os.execv(PYTHON, [PYTHON, os.path.abspath(sys.argv[0])] + sys.argv[1:])
# The folder itself: `remora` is a module of ours.
sys.path[:0] = [os.path.join(TOP, "tests/conformance"), os.path.join(BUILD, "gen/python/remora/plugin/v1")]
import kernel  # noqa: E402
import plugin_pb2 as pb  # noqa: E402

HANDLE = 5


class Refused(Exception):
    def __init__(self, status):
        super().__init__(status.message)
        self.code = pb.Code.Name(status.code).removeprefix("CODE_")
        self.message = status.message


class Resolver:
    """Started at once, unless `start` is false. `configuration` is that of the Configuration."""

    def __init__(self, plugin, type_, configuration, app_id, port, host="127.0.0.1", http_port=3500, app_port=0, namespace="",
                 start=True, env=None):
        self.process = kernel.Process(os.path.join(BUILD, "plugins", plugin, plugin), env)
        _live.append(self)
        self.link = kernel.Link(self.process.accept())
        self.link.hello()
        self.link.ack()
        self.port = port
        pairs = [pb.Pair(name=name, value=value if isinstance(value, str) else json.dumps(value))
                 for name, value in configuration.items()]
        self.request = pb.InitRequest(
            name="resolver", type=type_, version="v1", app_id=app_id, namespace=namespace, metadata=pairs,
            configuration=json.dumps(configuration).encode(), instance=pb.Instance(
                app_id=app_id, namespace=namespace, host_address=host, internal_port=port, http_port=http_port,
                grpc_port=50001, app_port=app_port, pid=os.getpid(), host_name="bed"))
        self.init()
        if start:
            self.do(pb.METHOD_START)

    def do(self, method, message=b"", handle=HANDLE):
        answer = self.link.call(method, handle, message)
        if answer.status.code != 0:
            raise Refused(answer.status)
        return answer

    def init(self, handle=HANDLE):
        self.do(pb.METHOD_INIT, self.request, handle)

    def start(self, handle=HANDLE):
        self.do(pb.METHOD_START, handle=handle)

    def resolve(self, id_, handle=HANDLE, **fields):
        """The addresses."""
        request = pb.NameResolve(id=id_, port=self.port, **fields)
        return list(self.do(pb.METHOD_NAME_RESOLVE, request, handle).message(pb.NameResolveReply).addresses)

    def find(self, id_):
        """The addresses; none if it cannot be found, for whatever reason."""
        try:
            return self.resolve(id_)
        except Refused:
            return []

    def stop(self, handle=HANDLE):
        self.do(pb.METHOD_QUIESCE, handle=handle)
        self.do(pb.METHOD_CLOSE, handle=handle)

    def said(self):
        """What it has logged."""
        return [entry.message for entry in self.link.logs]

    def end(self):
        """Without a word, as a kill does."""
        self.process.close()
        self.link.close()
