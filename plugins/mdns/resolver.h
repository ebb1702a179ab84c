/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One resolver: a place on the network, our own service while it is started, the directory of
 * others, and the calls that wait until somebody answers.
 */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <remora_plugin.h>

#include "directory.h"
#include "net.h"
#include "service.h"

/* NULL, with words for the user in the buffer. */
enum { RESOLVER_ERROR_BYTES = 160 };
struct resolver *
resolver_new(const struct remora_instance *instance, char ret_error[RESOLVER_ERROR_BYTES]);
/* Ours is announced, and queries for it are answered. */
void resolver_start(struct resolver *resolver);
/* It is taken back; who asks us for others is answered still. */
void resolver_stop(struct resolver *resolver);
void resolver_free(struct resolver *resolver);

/* Answers the call, now or within BROWSE_MS. */
void
resolver_ask(struct resolver *resolver, remora_call *call, const struct remora_name_query *query);

#endif
