# SPDX-License-Identifier: Apache-2.0
aws_LIBS := -lcurl -lcrypto -lexpat -lcjson -lev
aws_SHARED := transfer.c sigv4.c base64.c text.c
