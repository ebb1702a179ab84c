# SPDX-License-Identifier: Apache-2.0
# OpenSSL is not here on purpose: tls.c loads it when a component asks for TLS.
mqtt_LIBS := -lev -ldl -lm
mqtt_SHARED := tls.c resolve.c socket.c
