# SPDX-License-Identifier: Apache-2.0
sqlite_LIBS := -lsqlite3 -lcjson -lev -lpthread -lm
sqlite_SHARED := base64.c query_document.c row_reply.c
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/sqlite_query $(BUILD)/fuzz/sqlite_query: $(BUILD)/lib/plugins/sqlite.a
$(BUILD)/tests/fuzz/sqlite_query $(BUILD)/fuzz/sqlite_query: LIBS_KERNEL += -lsqlite3
