# SPDX-License-Identifier: Apache-2.0
middleware_LIBS := -lpcre2-8 -lyaml -lev -lm
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/route_alias $(BUILD)/fuzz/route_alias: $(BUILD)/lib/plugins/middleware.a
$(BUILD)/tests/fuzz/route_alias $(BUILD)/fuzz/route_alias: LIBS_KERNEL += -lpcre2-8
