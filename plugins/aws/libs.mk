# SPDX-License-Identifier: Apache-2.0
aws_LIBS := -lcurl -lcrypto -lexpat -lcjson -lev
aws_SHARED := transfer.c sigv4.c base64.c text.c
$(BUILD)/tests/fuzz/s3_xml $(BUILD)/fuzz/s3_xml: LIBS_KERNEL += -lexpat
