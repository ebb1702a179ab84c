# SPDX-License-Identifier: Apache-2.0
# OpenSSL is not here on purpose: tls.c loads it when a component asks for TLS.
redis_LIBS := -lcjson -lev -ldl -lm
redis_SHARED := tls.c resolve.c socket.c ttl.c
