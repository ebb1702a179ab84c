# SPDX-License-Identifier: Apache-2.0
postgresql_LIBS := -lpq -lcjson -lev -lpthread -lm
postgresql_SHARED := base64.c query_document.c resolve.c text.c
$(BUILD)/tests/fuzz/postgresql_conninfo $(BUILD)/fuzz/postgresql_conninfo: LIBS_KERNEL += -lpq
