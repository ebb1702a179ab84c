/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of keys behind a URL, fetched again and again: a task that runs as long as the service,
 * and hands it each set that could be read. What cannot be had leaves the last one in use. Worker
 * thread only.
 */
#ifndef SENTRY_JWKS_FETCH_H
#define SENTRY_JWKS_FETCH_H

#include "async/worker.h"
#include "sentry/options.h"

struct service;

struct jwks_fetch {
    const struct jwks_source *source; /* borrowed */
    struct service *service;          /* borrowed */
    struct task *task;                /* NULL: it has ended */
};

/* Starts the task; it lives until jwks_fetch_stop(), and a turn of the loop beyond. */
void jwks_fetch_start(struct jwks_fetch *fetch, struct worker *worker);
void jwks_fetch_stop(struct jwks_fetch *fetch);

#endif
