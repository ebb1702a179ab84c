# SPDX-License-Identifier: Apache-2.0
kafka_LIBS := -lrdkafka -lev -lm
