# SPDX-License-Identifier: Apache-2.0
llm_LIBS := -lcurl -lcjson -lcrypto -lexpat -lev -lm
llm_SHARED := transfer.c fetch.c json_secret.c sigv4.c text.c xml_reader.c aws_credentials.c aws_lookup.c aws_identity.c aws_machine.c \
  aws_profile.c aws_keys.c
# The fuzzer needs where keys come from.
$(BUILD)/tests/fuzz/llm_answer $(BUILD)/fuzz/llm_answer: $(BUILD)/lib/plugins/llm.a
$(BUILD)/tests/fuzz/llm_answer $(BUILD)/fuzz/llm_answer: LIBS_KERNEL += -lcurl -lexpat
