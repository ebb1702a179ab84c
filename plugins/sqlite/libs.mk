# SPDX-License-Identifier: Apache-2.0
sqlite_LIBS := -lsqlite3 -lcjson -lev -lpthread -lm
