# SPDX-License-Identifier: Apache-2.0
consul_LIBS := -lcurl -lcjson -lev -lm
