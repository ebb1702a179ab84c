# SPDX-License-Identifier: Apache-2.0
kubernetes_LIBS := -lcurl -lcjson -lyaml -lev -lm
kubernetes_SHARED := transfer.c fetch.c base64.c cluster.c kubeconfig.c cluster_ask.c cluster_answer.c json_secret.c
# The fuzzer needs the plugin's files and their libraries.
$(BUILD)/tests/fuzz/kubeconfig $(BUILD)/fuzz/kubeconfig: $(BUILD)/lib/plugins/kubernetes.a
$(BUILD)/tests/fuzz/kubeconfig $(BUILD)/fuzz/kubeconfig: LIBS_KERNEL += -lcurl
