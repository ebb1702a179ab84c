# SPDX-License-Identifier: Apache-2.0
llm_LIBS := -lcurl -lcjson -lev -lm
llm_SHARED := transfer.c
