# SPDX-License-Identifier: Apache-2.0
localstorage_LIBS := -lcjson -lev
localstorage_SHARED := base64.c text.c
