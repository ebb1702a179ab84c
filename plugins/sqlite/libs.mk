# SPDX-License-Identifier: Apache-2.0
sqlite_LIBS := -lsqlite3 -lcjson -lev -lpthread -lm
# The fuzzer takes the plugin's files in.
$(BUILD)/tests/fuzz/sqlite_query $(BUILD)/fuzz/sqlite_query: LIBS_KERNEL += -lsqlite3
