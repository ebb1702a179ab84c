# SPDX-License-Identifier: Apache-2.0
kubernetes_LIBS := -lcurl -lcjson -lyaml -lev -lm
kubernetes_SHARED := transfer.c fetch.c base64.c
