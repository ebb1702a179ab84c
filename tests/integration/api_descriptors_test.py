# SPDX-License-Identifier: Apache-2.0
"""proto/dapr against the descriptors inside the official SDK: every file, message, field, enum, service and method, in
both directions, so that a wrong number cannot land."""

import sdk  # noqa: F401  isort: skip

import glob
import importlib
import os
import subprocess
import tempfile

import dapr.proto
from google.protobuf import descriptor_pb2
from remora import TOP, equal, main, need, test


def ours():
    with tempfile.NamedTemporaryFile() as out:
        files = sorted(glob.glob(os.path.join(TOP, "proto", "dapr", "**", "*.proto"), recursive=True))
        need(files, "there are files")
        subprocess.run(
            ["protoc", "-I", os.path.join(TOP, "proto"), "-I", "/usr/include", "--descriptor_set_out", out.name, *files],
            check=True,
        )
        return {f.name: f for f in descriptor_pb2.FileDescriptorSet.FromString(out.read()).file}


def theirs():
    files = {}
    base = list(dapr.proto.__path__)[0]
    for path in glob.glob(os.path.join(base, "**", "*_pb2.py"), recursive=True):
        name = os.path.relpath(path, os.path.dirname(os.path.dirname(base)))[:-3].replace(os.sep, ".")
        proto = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(name).DESCRIPTOR.CopyToProto(proto)
        files[proto.name] = proto
    return files


def camel(name):
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def field_facts(message, field):
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
    return (
        field.name,
        field.type,
        field.label,
        field.type_name,
        field.proto3_optional,
        oneof,
        field.json_name or camel(field.name),
        field.options.deprecated,
        field.options.packed if field.options.HasField("packed") else None,
        field.default_value,
    )


def ranges(message):
    return sorted((r.start, r.end) for r in message.reserved_range), sorted(message.reserved_name)


def enum_facts(prefix, enum, facts):
    facts[f"enum {prefix}{enum.name}"] = (
        [(v.number, v.name, v.options.deprecated) for v in enum.value],
        ranges(enum),
        enum.options.allow_alias,
    )


def message_facts(prefix, message, facts):
    name = prefix + message.name
    facts[f"message {name}"] = (ranges(message), message.options.map_entry, message.options.deprecated)
    for field in message.field:
        facts[f"field {name} {field.number}"] = field_facts(message, field)
    for enum in message.enum_type:
        enum_facts(name + ".", enum, facts)
    for nested in message.nested_type:
        message_facts(name + ".", nested, facts)


def facts_of(files):
    facts = {}
    for file in files.values():
        prefix = file.package + "."
        facts[f"file {file.name}"] = (file.package, file.syntax, sorted(file.dependency))
        for message in file.message_type:
            message_facts(prefix, message, facts)
        for enum in file.enum_type:
            enum_facts(prefix, enum, facts)
        for service in file.service:
            facts[f"service {prefix}{service.name}"] = len(service.method)
            for m in service.method:
                facts[f"method {prefix}{service.name}/{m.name}"] = (
                    m.input_type,
                    m.output_type,
                    m.client_streaming,
                    m.server_streaming,
                )
    return facts


# What sidecars and the control plane say to each other is not in the SDK.
OURS = facts_of({n: f for n, f in ours().items() if n.startswith(("dapr/proto/common/", "dapr/proto/runtime/"))})
THEIRS = facts_of(theirs())


@test("the SDK has nothing that proto/dapr lacks", "GRPC-PROTO")
def _():
    equal(sorted(set(THEIRS) - set(OURS)), [])


@test("proto/dapr has nothing that the SDK lacks", "GRPC-PROTO")
def _():
    equal(sorted(set(OURS) - set(THEIRS)), [])


@test("every fact is the same in both", "GRPC-PROTO")
def _():
    equal([(k, OURS[k], THEIRS[k]) for k in sorted(OURS) if k in THEIRS and OURS[k] != THEIRS[k]], [])


@test("what is compared is the whole API", "GRPC-PROTO")
def _():
    counts = {kind: sum(k.startswith(kind + " ") for k in OURS) for kind in ("message", "field", "enum", "method")}
    print(", ".join(f"{count} {kind}s" for kind, count in counts.items()))
    need(counts["method"] >= 100 and counts["message"] > 200 and counts["field"] > 500, counts)


main()
