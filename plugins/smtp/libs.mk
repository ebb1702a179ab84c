# SPDX-License-Identifier: Apache-2.0
smtp_LIBS := -lcurl -lev
smtp_SHARED := transfer.c text.c base64.c
