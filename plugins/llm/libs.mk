# SPDX-License-Identifier: Apache-2.0
llm_LIBS := -lcurl -lcjson -lcrypto -lev -lm
llm_SHARED := transfer.c sigv4.c
