# SPDX-License-Identifier: Apache-2.0
postgresql_LIBS := -lpq -lcjson -lev -lpthread -lm
