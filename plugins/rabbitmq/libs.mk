# SPDX-License-Identifier: Apache-2.0
# The AMQP library is linked with OpenSSL anyway.
rabbitmq_LIBS := -lrabbitmq -lssl -lcrypto
rabbitmq_SHARED := ttl.c
