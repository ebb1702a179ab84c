# SPDX-License-Identifier: Apache-2.0
# tls.c comes with socket.c; nothing here asks it for a connection.
memcached_LIBS := -lev -ldl -lm
memcached_SHARED := tls.c resolve.c socket.c
