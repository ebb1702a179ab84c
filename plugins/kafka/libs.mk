# SPDX-License-Identifier: Apache-2.0
# librdkafka is linked with OpenSSL anyway.
kafka_LIBS := -lrdkafka -lcrypto -lev -ldl -lm
kafka_SHARED := tls.c base64.c
