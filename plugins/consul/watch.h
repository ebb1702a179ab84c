/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With `useCache` the instances of the services that were asked for are kept in memory: for each
 * one question is always open, which the agent answers when something changes.
 */
#ifndef CONSUL_PLUGIN_WATCH_H
#define CONSUL_PLUGIN_WATCH_H

#include "instances.h"
#include "settings.h"

struct watches;

/* `settings` must outlive it. */
struct watches *watches_new(const struct settings *settings);
void watches_free(struct watches *watches); /* NULL is nothing */

/* What is known of the service, or NULL: then the agent is to be asked, and a watch begins. Valid
 * until the loop turns. */
const struct instances *watches_find(struct watches *watches, struct remora_slice service);

/* The path of a question about a service: with `index` 0 it is answered at once. malloc(). */
char *health_path(const struct settings *settings, struct remora_slice service, bool is_watch,
                  uint64_t index);

#endif
