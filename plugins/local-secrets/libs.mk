# SPDX-License-Identifier: Apache-2.0
local-secrets_LIBS := -lcjson -lev -lm
