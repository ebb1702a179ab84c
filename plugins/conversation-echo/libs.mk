# SPDX-License-Identifier: Apache-2.0
conversation-echo_LIBS := -lcjson -lev
