# SPDX-License-Identifier: Apache-2.0
http_LIBS := -lcurl -lev
http_SHARED := transfer.c
