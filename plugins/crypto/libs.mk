# SPDX-License-Identifier: Apache-2.0
crypto_LIBS := -lcrypto -lcjson -lev -lm
