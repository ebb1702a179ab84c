# SPDX-License-Identifier: Apache-2.0
# librdkafka is linked with OpenSSL anyway. libcurl asks schema registries.
kafka_LIBS := -lrdkafka -lcurl -lcrypto -lev -ldl -lm
kafka_SHARED := tls.c base64.c transfer.c fetch.c
