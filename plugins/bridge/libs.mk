# SPDX-License-Identifier: Apache-2.0
bridge_LIBS := -lnghttp2 -lprotobuf-c -lcjson -lev -lm
bridge_SHARED := base64.c
# The protocol of pluggable components, of reflection, and of errors.
bridge_PROTO := $(patsubst %,$(BUILD)/obj/gen/%.pb-c.o,$(addprefix dapr/proto/components/v1/,common state pubsub bindings secretstore) \
    grpc/reflection/v1alpha/reflection google/protobuf/any google/rpc/status)
$(BUILD)/plugins/bridge/bridge $(BUILD)/lib/plugins/bridge.a: $(bridge_PROTO)
$(BUILD)/tests/fuzz/bridge $(BUILD)/fuzz/bridge: $(BUILD)/lib/plugins/bridge.a
