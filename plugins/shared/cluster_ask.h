/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions for secrets of a namespace, to a cluster's API server. Plugin thread only;
 * transfer_setup() comes first.
 */
#ifndef PLUGINS_SHARED_CLUSTER_ASK_H
#define PLUGINS_SHARED_CLUSTER_ASK_H

#include "cluster.h"

enum { CLUSTER_ANSWER_BYTES_MAX = 8 * 1024 * 1024, CLUSTER_NAME_BYTES_MAX = 253 };

/* For one call, in its memory. */
struct cluster_ask {
    const struct cluster *cluster;
    remora_call *call;
    struct remora_slice namespace_; /* a name */
    struct fetch *fetch;            /* NULL: nothing is under way; cleared by who gets the answer */
};

/* Lower-case letters, digits, '-' and '.': nothing that a path would need to be escaped for, and
 * nothing that leads elsewhere. */
bool cluster_is_name(struct remora_slice text);

/* `rest` is what stands behind the namespace's secrets: "/NAME" or "?limit=…". `done` follows,
 * later, unless the caller gives up, who is answered then. False: the call has been answered. */
bool cluster_ask(struct cluster_ask *ask, const char *rest, fetch_done *done, void *arg);
/* Once, behind the first question of the call: whoever gives up is answered, which may be at once.
 */
void cluster_ask_until_cancelled(struct cluster_ask *ask);

/* Answers the call with why there is no secret in the answer. */
void cluster_refuse(const struct cluster_ask *ask, const struct fetch_answer *answer);
void cluster_refuse_malformed(const struct cluster_ask *ask);

#endif
