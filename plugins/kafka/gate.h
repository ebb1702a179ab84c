/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka before 2.6.1 says the client's nonce of SCRAM twice, and servers of today
 * (3.7.2, 3.8.1 and later) do not let it in. With such a library the connections of a client that
 * logs in with SCRAM go through passages (see passage.h): its sockets are one end of a pair, and it
 * believes to be talking plain to a server without passwords.
 */
#ifndef KAFKA_GATE_H
#define KAFKA_GATE_H

#include <librdkafka/rdkafka.h>

#include "settings.h"

struct gate;

bool gate_is_needed(const struct settings *settings);
/* NULL: `why` says what is wrong with the certificates. `trouble` is called on the plugin's thread,
 * until gate_close(). The settings are copied as far as they are needed. */
struct gate *gate_new(const struct settings *settings,
                      void (*trouble)(void *owner, const char *words, bool is_refused), void *owner,
                      char *why, size_t why_bytes);
/* Sockets of clients that are made with `conf` go through the gate. */
void gate_set(struct gate *gate, rd_kafka_conf_t *conf);
/* Nothing more is told; it goes with its last connection, and not before the client. */
void gate_close(struct gate *gate);
/* The client is gone. Any thread. */
void gate_unref(struct gate *gate);

#endif
