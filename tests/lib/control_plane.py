# SPDX-License-Identifier: Apache-2.0
"""Fakes of Dapr's scheduler and placement services on grpcio: what they say on the wire and when, nothing of what they
are for. Import sdk first."""

import os
import subprocess
import tempfile
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from remora import _live, eventually, free_port

PROTO = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "proto")
FILES = ["dapr/proto/scheduler/v1/scheduler.proto", "dapr/proto/placement/v1/placement.proto"]


def _load():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        subprocess.run(["protoc", f"--proto_path={PROTO}", f"--descriptor_set_out={out}", *FILES], check=True)
        with open(out, "rb") as f:
            for file in descriptor_pb2.FileDescriptorSet.FromString(f.read()).file:
                descriptor_pool.Default().Add(file)


def _class(name):
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"dapr.proto.{name}"))


_load()
Hosts, HostsRequest = _class("scheduler.v1.WatchHostsResponse"), _class("scheduler.v1.WatchHostsRequest")
Host, Order = _class("placement.v1.Host"), _class("placement.v1.PlacementOrder")
REPORT, LOCK, UPDATE, UNLOCK = 1, 2, 3, 4


class Service:
    """A server of one method that can be stopped and started again on its port."""

    def __init__(self, service, method, handler, port=None):
        self.port = port or free_port()
        self.handlers = (grpc.method_handlers_generic_handler(service, {method: handler}),)
        self.server = None
        self.start()
        _live.append(self)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers(self.handlers)
        eventually(self._has_port, f"port {self.port} is free")  # one that has just ended may still hold it
        self.server.start()

    def _has_port(self):
        try:
            return self.server.add_insecure_port(self.address) == self.port
        except RuntimeError:
            return False

    def stop(self):
        if self.server is not None:
            self.server.stop(0).wait()
        self.server = None

    end = stop


class Scheduler(Service):
    """Tells `hosts` to each watcher, and again when they change. `has_watch` False is a service of old."""

    def __init__(self, hosts=(), has_watch=True, port=None):
        self.hosts, self.version, self.watchers, self.asked = list(hosts), 0, 0, 0
        self.has_watch = has_watch
        self.condition = threading.Condition()
        super().__init__("dapr.proto.scheduler.v1.Scheduler", "WatchHosts", grpc.unary_stream_rpc_method_handler(
            self._watch, HostsRequest.FromString, Hosts.SerializeToString), port)  # fmt: skip

    def tell(self, *hosts):
        with self.condition:
            self.hosts, self.version = list(hosts), self.version + 1
            self.condition.notify_all()

    def _watch(self, _request, context):
        if not self.has_watch:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method WatchHosts")
        with self.condition:
            self.watchers += 1
            self.asked += 1
            context.add_callback(self._wake)
            try:
                told = -1
                while context.is_active():
                    if told == self.version:
                        self.condition.wait()
                        continue
                    told = self.version
                    answer = Hosts(hosts=[{"address": one} for one in self.hosts])
                    self.condition.release()
                    try:
                        yield answer
                    finally:
                        self.condition.acquire()
            finally:
                self.watchers -= 1

    def _wake(self):
        with self.condition:
            self.condition.notify_all()


class Placement(Service):
    """Leads each sidecar through a round when it reports, and through another one when round() is called. `hosts` is
    all that was received. `leads` False refuses, as an instance that is not the leader does."""

    def __init__(self, leads=True, of_old=False, port=None):
        self.hosts, self.streams, self.version, self.leads, self.of_old = [], 0, 0, leads, of_old
        self.is_stuck = False  # locks and goes no further
        self.refused = 0
        self.calls = set()
        self.condition = threading.Condition()
        super().__init__("dapr.proto.placement.v1.Placement", "ReportDaprStatus", grpc.stream_stream_rpc_method_handler(
            self._report, Host.FromString, Order.SerializeToString), port)  # fmt: skip

    def operations(self):
        with self.condition:
            return [(host.operation, host.version) for host in self.hosts]

    def _order(self, operation):
        tables = {}
        if operation == "update":
            tables = {"entries": {"cat": {"load_map": {"h:1": {"name": "h:1", "id": "zoo"}}}}, "replication_factor": 100}
        if self.of_old:
            return Order(operation=operation, tables={"version": str(self.version), **tables})
        return Order(operation=operation, version=self.version, tables=tables or None)

    def _report(self, requests, context):
        if not self.leads:
            self.refused += 1
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "only leader can serve the request")
        self.streams += 1
        steps = {REPORT: "lock", LOCK: "update", UPDATE: "unlock"}
        try:
            for host in requests:
                with self.condition:
                    self.hosts.append(host)
                    if host.operation == REPORT:
                        self.version += 1
                if host.operation == LOCK and self.is_stuck:
                    continue
                if host.operation in steps:
                    yield self._order(steps[host.operation])
        finally:
            self.streams -= 1
