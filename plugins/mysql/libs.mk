# SPDX-License-Identifier: Apache-2.0
mysql_LIBS := -lmariadb -lev -lpthread -lm
mysql_SHARED := base64.c row_reply.c
