# SPDX-License-Identifier: Apache-2.0
names_LIBS := -lev
# The fuzzer needs the plugin's files.
$(BUILD)/tests/fuzz/name_pattern $(BUILD)/fuzz/name_pattern: $(BUILD)/lib/plugins/names.a
