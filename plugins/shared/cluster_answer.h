/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server's JSON says of secrets. Pure. What is made here lives as long as the call,
 * and a tree's texts are wiped when it goes. Values are base64 there; one that is not is left out
 * of nothing: the whole answer is refused.
 */
#ifndef PLUGINS_SHARED_CLUSTER_ANSWER_H
#define PLUGINS_SHARED_CLUSTER_ANSWER_H

#include <remora_plugin.h>

enum { ANSWER_SECRETS_MAX = 10000, ANSWER_PAIRS_MAX = 50000 };

/* A Secret's pairs, and its type if that is wanted. */
bool cluster_answer_secret(remora_call *call, const char *body, size_t len,
                           struct remora_pair **ret_pairs, size_t *ret_count,
                           struct remora_slice *ret_type);
/* Those of a SecretList, behind those that are there already; *ret_token is where the next page
 * begins, empty at the end. `secrets` has room for ANSWER_SECRETS_MAX. */
bool
cluster_answer_list(remora_call *call, const char *body, size_t len, struct remora_secret *secrets,
                    size_t *count, struct remora_slice *ret_token);
/* The server's own words for a refusal; empty if there are none. */
struct remora_slice cluster_answer_message(remora_call *call, const char *body, size_t len);

#endif
