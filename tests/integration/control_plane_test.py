# SPDX-License-Identifier: Apache-2.0
"""The connections to Dapr's scheduler and placement services, against fakes of both (tests/lib/control_plane.py): what is
asked and confirmed, what metadata and readiness say, absence and return of either."""

import sdk  # noqa: F401  isort: skip

import os

import grpc
import mesh
from authority import Authority, id_of
from control_plane import LOCK, REPORT, UNLOCK, UPDATE, Placement, Scheduler
from dapr.proto.runtime.v1 import dapr_pb2_grpc, metadata_pb2
from relay import Relay
from remora import Sidecar, component, equal, eventually, free_port, main, need, test

STORE = component("mem", "state.in-memory")


def flags(schedulers=(), placements=()):
    given = [f"--scheduler-host-address={','.join(schedulers)}"] if schedulers else []
    return given + ([f"--placement-host-address={','.join(placements)}"] if placements else [])


def connected(sidecar):
    return sidecar.metadata()["scheduler"].get("connected_addresses", [])


def actors(sidecar):
    runtime = sidecar.metadata()["actorRuntime"]
    return runtime["runtimeStatus"], runtime["hostReady"], runtime["placement"]


PLACED = ("RUNNING", True, "placement: connected")
LOST = ("RUNNING", False, "placement: disconnected")


@test("without addresses there is neither, and the log says so", "REF-6")
def neither():
    for given in ((), flags(["''"], ['" "'])):
        sidecar = Sidecar(STORE, flags=given)
        need("scheduler" not in sidecar.metadata(), sidecar.metadata())
        equal(actors(sidecar), ("DISABLED", False, "placement: disconnected"))
        need("No scheduler host addresses provided. Scheduler disabled" in sidecar.log(), sidecar.log())
        need("Actor runtime disabled: api error: code = Unavailable desc = placement service is not configured. Actors and "
             "Workflow APIs will be unavailable" in sidecar.log(), sidecar.log())


@test("an address that is none ends the start", "REF-6")
def nonsense():
    for given in (flags(["nowhere"]), flags([], ["127.0.0.1:0"])):
        sidecar = Sidecar(STORE, flags=given, wait=False)
        equal(sidecar.wait(), 1)
        need("is not of the form host:port" in sidecar.log(), sidecar.log())


@test("hosts of the scheduler are known before the sidecar is ready, and each has a connection", "REF-6 REF-3")
def hosts():
    others = [Scheduler(), Scheduler()]
    first = Scheduler(hosts=[one.address for one in others])
    sidecar = Sidecar(STORE, flags=flags([f"dns:///{first.address}"]))
    eventually(lambda: connected(sidecar) == [one.address for one in others], "both are connected")
    eventually(lambda: [first.watchers, *(one.watchers for one in others)] == [1, 1, 1], "each is watched once")
    stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))
    answer = stub.GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=30)
    equal(list(answer.scheduler.connected_addresses), [one.address for one in others])
    others[0].stop()
    eventually(lambda: connected(sidecar) == [others[1].address], "one that dies is dropped")
    others[0].start()
    eventually(lambda: len(connected(sidecar)) == 2, "and added when it returns")
    third = Scheduler()
    first.tell(others[1].address, third.address)
    eventually(lambda: connected(sidecar) == [others[1].address, third.address], "the answer changes, connections follow")
    eventually(lambda: others[0].watchers == 0, "one that is not named any more is left")
    equal(sidecar.stop(), 0)
    eventually(lambda: first.watchers + others[1].watchers + third.watchers == 0, "all are left at the end")


@test("a scheduler that is not there is waited for, and another address is tried", "REF-18")
def absent():
    port, gone = free_port(), free_port()
    sidecar = Sidecar(STORE, flags=flags([f"127.0.0.1:{gone}", f"127.0.0.1:{port}"]), wait=False)
    eventually(lambda: "Failed to connect to scheduler host" in sidecar.log(), "it is said")
    eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "all else works")
    reply = sidecar.call("GET", "/v1.0/healthz")
    equal((reply.status, reply.json["message"]), (500, "dapr is not ready: [control plane]"))
    late = Scheduler(port=port)
    late.tell(late.address)
    sidecar.wait_ready()
    eventually(lambda: connected(sidecar) == [late.address], "it is connected")
    late.stop()
    eventually(lambda: connected(sidecar) == [], "it is lost")
    equal(sidecar.healthz(), 204)
    late.start()
    eventually(lambda: connected(sidecar) == [late.address], "it is back")


@test("a scheduler of old, which cannot be asked, is all there is", "REF-6")
def of_old():
    old = Scheduler(has_watch=False)
    sidecar = Sidecar(STORE, flags=flags([old.address]))
    eventually(lambda: connected(sidecar) == [old.address], "it counts as connected")


@test("placement is told who is there and confirmed every step; then the sidecar is ready", "REF-6 REF-3")
def placed():
    for of_old in (False, True):
        placement = Placement(of_old=of_old)
        sidecar = Sidecar(STORE, flags=flags([], [placement.address]), env={"PATH": os.environ["PATH"], "NAMESPACE": "prod"})
        equal(actors(sidecar), PLACED)
        eventually(lambda: placement.operations() == [(REPORT, 0), (LOCK, 1), (UPDATE, 1), (UNLOCK, 1)], "a whole round")
        report = placement.hosts[0]
        equal((report.id, report.namespace, list(report.entities), report.api_level), ("shop", "prod", [], 20))
        need(report.name.rpartition(":")[2].isdigit(), report.name)
        need(not report.HasField("version") and placement.hosts[1].HasField("version"), placement.hosts)
        stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))
        told = stub.GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=30).actor_runtime
        equal((told.runtime_status, told.host_ready, told.placement), (2, True, "placement: connected"))
        equal(sidecar.stop(), 0)
        eventually(lambda: placement.streams == 0, "it is left at the end")


@test("placement may be absent, refuse, or die: the next instance is tried, and metadata tells", "REF-18")
def placement_trouble():
    follower, port = Placement(leads=False), free_port()
    sidecar = Sidecar(STORE, flags=flags([], [follower.address, f"127.0.0.1:{port}"]), wait=False)
    eventually(lambda: follower.refused > 1, "who does not lead is asked again")
    eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "all else works")
    equal((sidecar.healthz(), actors(sidecar)), (500, LOST))
    leader = Placement(port=port)
    sidecar.wait_ready()
    equal(actors(sidecar), PLACED)
    leader.stop()
    eventually(lambda: actors(sidecar) == LOST, "it is lost")
    equal(sidecar.healthz(), 204)
    leader.start()
    eventually(lambda: actors(sidecar) == PLACED, "it is back")


@test("a round that does not end is given up, and another one begun", "REF-6")
def stuck():
    placement = Placement()
    placement.is_stuck = True
    sidecar = Sidecar(STORE, wait=False, flags=[f"--actors-service=placement:{placement.address}",
                                                "--actors-disseminate-timeout=300ms"])  # fmt: skip
    eventually(lambda: placement.operations().count((REPORT, 0)) > 1, "reported again")
    placement.is_stuck = False
    sidecar.wait_ready()
    eventually(lambda: actors(sidecar) == PLACED, "it is placed")


@test("with mutual TLS each service proves to be itself, and sees who calls", "REF-18")
def mutual():
    ca = Authority()

    def guarded(service, name):
        identity = ca.identity(name, domain="localhost")
        return Relay(service.address, server_tls=identity.server())

    scheduler, placement = Scheduler(), Placement()
    scheduler_tls, placement_tls = guarded(scheduler, "dapr-scheduler"), guarded(placement, "dapr-placement")
    wrong_tls = guarded(placement, "dapr-scheduler")
    scheduler.tell(scheduler_tls.address)
    port = free_port()
    sidecar = Sidecar(STORE, env={"PATH": os.environ["PATH"], **ca.environment()}, flags=[
        *ca.flags(), "--dapr-internal-grpc-port", str(port), *mesh.LOOPBACK,
        *flags([scheduler_tls.address], [wrong_tls.address, placement_tls.address])])
    equal(actors(sidecar), PLACED)
    eventually(lambda: connected(sidecar) == [scheduler_tls.address], "the scheduler is connected")
    for relay in (scheduler_tls, placement_tls):
        equal({id_of(one) for one in relay.certificates}, {"spiffe://public/ns/default/shop"})
    equal(placement.operations()[0], (REPORT, 0))
    need("Failed to connect to placement service" in sidecar.log(), "the wrong one was refused")


main()
