/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's JSON says: the pairs of one secret, or the names under a path. Pure. What is
 * made here lives as long as the call, and a tree's texts are wiped when it goes.
 */
#ifndef VAULT_PLUGIN_ANSWER_H
#define VAULT_PLUGIN_ANSWER_H

#include <remora_plugin.h>

enum { ANSWER_PAIRS_MAX = 10000 };

/* False: it is no such answer. A map's values are texts; what is none is its JSON. As a text the
 * secret is one pair, named `name`, with its whole JSON. */
bool answer_read_secret(remora_call *call, const char *body, size_t len, struct remora_slice name,
                        bool as_text, struct remora_pair **ret_pairs, size_t *ret_count);

/* Names; one that ends in a slash has more below it. */
bool answer_read_names(remora_call *call, const char *body, size_t len,
                       struct remora_slice **ret_names, size_t *ret_count);

#endif
