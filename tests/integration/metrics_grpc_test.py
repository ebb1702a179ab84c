# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Metrics and the log of calls of the gRPC API."""

import sdk  # noqa: F401  isort: skip

import re

import grpc
from dapr.proto.runtime.v1 import dapr_pb2_grpc, state_pb2
from remora import Folder, Sidecar, call, component, equal, free_port, main, need, test

MEM = component("mem", "state.in-memory")
DAPR = "/dapr.proto.runtime.v1.Dapr/"


def sidecar_with(*flags):
    text = "kind: Configuration\nspec: {metrics: {recordErrorCodes: true}}\n"
    port = free_port()
    config = Folder().write("config.yaml", text)
    sidecar = Sidecar(MEM, flags=["--metrics-port", str(port), "--config", config, *flags])
    sidecar.metrics_address = ("127.0.0.1", port)
    return sidecar


def use(sidecar):
    with grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        stub = dapr_pb2_grpc.DaprStub(channel)
        stub.SaveState(state_pb2.SaveStateRequest(store_name="mem", states=[{"key": "a", "value": b"1"}]))
        equal(stub.GetState(state_pb2.GetStateRequest(store_name="mem", key="a")).data, b"1")
        try:
            stub.GetState(state_pb2.GetStateRequest(store_name="ghost", key="a"))
            raise AssertionError("there is no such store")
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)


@test("calls are counted by method and status, errors by code", "§12")
def counted():
    sidecar = sidecar_with()
    use(sidecar)
    text = call(sidecar.metrics_address, "GET", "/").text
    for wanted in (
        f'dapr_grpc_io_server_completed_rpcs{{app_id="shop",grpc_server_method="{DAPR}GetState",grpc_server_status="OK"}} 1',
        f'dapr_grpc_io_server_completed_rpcs{{app_id="shop",grpc_server_method="{DAPR}GetState",'
        'grpc_server_status="InvalidArgument"} 1',
        f'dapr_grpc_io_server_completed_rpcs{{app_id="shop",grpc_server_method="{DAPR}SaveState",grpc_server_status="OK"}} 1',
        f'dapr_grpc_io_server_server_latency_count{{app_id="shop",grpc_server_method="{DAPR}SaveState",'
        'grpc_server_status="OK"} 1',
        f'dapr_grpc_io_server_received_bytes_per_rpc_sum{{app_id="shop",grpc_server_method="{DAPR}SaveState"}} 13',
        'dapr_error_code_total{app_id="shop",category="state",error_code="ERR_STATE_STORE_NOT_FOUND"} 1',
        'dapr_component_state_count{app_id="shop",component="mem",namespace="",operation="get",success="true"} 1',
    ):
        need(wanted in text, f"{wanted}\nis not in\n" + "\n".join(line for line in text.splitlines() if "bucket" not in line))
    need("dapr_http_server_request_count" in text and DAPR in text, "both surfaces")


@test("calls are logged with method, code and duration", "§2")
def logged():
    sidecar = sidecar_with("--enable-api-logging")
    use(sidecar)
    lines = [line for line in sidecar.log().splitlines() if "gRPC API Called" in line]
    equal(len(lines), 3)
    found = re.fullmatch(
        r'time="\S+" level=info msg="gRPC API Called" app_id=shop code=3 duration=\d+ instance=\S+ '
        r"method=/dapr.proto.runtime.v1.Dapr/GetState scope=dapr.runtime.grpc.api-info type=log "
        r'useragent="grpc-python.*" ver=edge',
        lines[2],
    )
    need(found, lines[2])


if __name__ == "__main__":
    main()
