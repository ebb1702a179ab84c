# SPDX-License-Identifier: Apache-2.0
vault_LIBS := -lcurl -lcjson -lev -lm
vault_SHARED := transfer.c fetch.c json_secret.c
