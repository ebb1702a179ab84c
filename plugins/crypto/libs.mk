# SPDX-License-Identifier: Apache-2.0
crypto_LIBS := -lcurl -lcrypto -lcjson -lyaml -lev -lm
crypto_SHARED := transfer.c fetch.c base64.c cluster.c kubeconfig.c cluster_ask.c cluster_answer.c json_secret.c
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/crypto_key $(BUILD)/fuzz/crypto_key: $(BUILD)/lib/plugins/crypto.a
$(BUILD)/tests/fuzz/crypto_key $(BUILD)/fuzz/crypto_key: LIBS_KERNEL += -lcurl
