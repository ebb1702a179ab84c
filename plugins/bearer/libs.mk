# SPDX-License-Identifier: Apache-2.0
bearer_LIBS := -lcurl -ljose -ljansson -lev -lm
bearer_SHARED := transfer.c fetch.c
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/bearer_token $(BUILD)/fuzz/bearer_token: $(BUILD)/lib/plugins/bearer.a
$(BUILD)/tests/fuzz/bearer_token $(BUILD)/fuzz/bearer_token: LIBS_KERNEL += -lcurl -ljose -ljansson
