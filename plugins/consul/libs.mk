# SPDX-License-Identifier: Apache-2.0
consul_LIBS := -lcurl -lcjson -lev -lm
consul_SHARED := transfer.c
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/consul $(BUILD)/fuzz/consul: $(BUILD)/lib/plugins/consul.a
$(BUILD)/tests/fuzz/consul $(BUILD)/fuzz/consul: LIBS_KERNEL += -lcurl
