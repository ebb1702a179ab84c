/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the address of an application is spelt: fixed text and places for what is known of it. What
 * fills the places comes from callers and must be plain words, so that nobody can write another
 * host, port or path into an address.
 */
#ifndef NAMES_PLUGIN_PATTERN_H
#define NAMES_PLUGIN_PATTERN_H

#include <remora_plugin.h>

enum {
    PATTERN_BYTES_MAX = 1024,
    PATTERN_PARTS_MAX = 32,
    ADDRESS_BYTES_MAX = 272, /* a name of DNS, a port and a little */
    ERROR_BYTES = 256,
};

enum part_kind { PART_TEXT, PART_ID, PART_NAMESPACE, PART_PORT, PART_DATA };

struct part {
    enum part_kind kind;
    struct remora_slice text; /* PART_TEXT: itself; PART_DATA: the name in the query's metadata */
};

struct pattern {
    char *text; /* owned; parts point into it */
    struct part parts[PATTERN_PARTS_MAX];
    size_t part_count;
};

enum pattern_syntax {
    SYNTAX_TEMPLATE, /* {{.ID}} {{.Namespace}} {{.Port}} {{.Data.NAME}} */
    SYNTAX_APPID,    /* {appid}; all else is text */
};

/* `error` holds ERROR_BYTES; on failure nothing is kept. */
bool pattern_init(struct pattern *pattern, struct remora_slice text, enum pattern_syntax syntax,
                  char *error);
void pattern_fini(struct pattern *pattern);

/* Does it have a place of this kind? */
bool pattern_has(const struct pattern *pattern, enum part_kind kind);

/* Writes host:port, of query->port where the pattern has none, to `ret_address`, which holds
 * ADDRESS_BYTES_MAX bytes. `namespace_` is used where the query names none. On failure `error`
 * holds words for the caller. */
bool pattern_fill(const struct pattern *pattern, const struct remora_name_query *query,
                  struct remora_slice namespace_, char *ret_address, size_t *ret_len, char *error);

#endif
