/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions, by PCRE2 with bounds on the work of one match: what exceeds them does not
 * match. Its syntax holds that of the reference's library (RE2) but for rarities.
 */
#ifndef MIDDLEWARE_PATTERN_H
#define MIDDLEWARE_PATTERN_H

#include <stdbool.h>

#include "remora_plugin.h"

enum { PATTERN_WORDS_BYTES = 160, PATTERN_BYTES_MAX = 16 * 1024, PATTERN_GROUPS_MAX = 16 };

struct pattern;

/* The parts of a text that the groups have matched, in the text. */
struct pattern_match {
    struct remora_slice groups[PATTERN_GROUPS_MAX];
    size_t count;
};

/* `is_whole`: it must match from the first byte to the last. NULL: `ret_why` says why, at
 * PATTERN_WORDS_BYTES. */
struct pattern *
pattern_new(struct remora_slice text, bool is_whole, char ret_why[PATTERN_WORDS_BYTES]);
void pattern_free(struct pattern *pattern);

/* How many groups it has. */
size_t pattern_groups(const struct pattern *pattern);

/* `ret_match` may be NULL. */
bool pattern_matches(const struct pattern *pattern, struct remora_slice subject,
                     struct pattern_match *ret_match);

#endif
