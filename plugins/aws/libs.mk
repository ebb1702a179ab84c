# SPDX-License-Identifier: Apache-2.0
aws_LIBS := -lcurl -lcrypto -lexpat -lcjson -lev
aws_SHARED := transfer.c fetch.c json_secret.c sigv4.c base64.c text.c xml_reader.c aws_credentials.c aws_lookup.c \
  aws_identity.c aws_machine.c aws_profile.c aws_keys.c
$(BUILD)/tests/fuzz/s3_xml $(BUILD)/fuzz/s3_xml: LIBS_KERNEL += -lexpat
