/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query document of the state API: its bounds, which are checked before it is parsed, and what
 * of it does not depend on the store.
 *
 *   {"filter": {"AND": [{"EQ": {"person.org": "Dev Ops"}}, {"IN": {"state": ["CA", "WA"]}}]},
 *    "sort": [{"key": "state", "order": "DESC"}], "page": {"limit": 3, "token": "3"}}
 *
 * The token is the decimal number of entries already given.
 */
#ifndef PLUGINS_SHARED_QUERY_DOCUMENT_H
#define PLUGINS_SHARED_QUERY_DOCUMENT_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

enum {
    QUERY_BYTES_MAX = 64 * 1024,
    QUERY_DEPTH_MAX = 24,
    QUERY_PARAMETERS_MAX = 4096,
    QUERY_FILTERS_MAX = 800, /* a chain of them is that deep, and SQLite's own limit is 1000 */
    QUERY_SORT_KEYS_MAX = 16,
    QUERY_KEY_BYTES_MAX = 1024,
    QUERY_WHY_BYTES = 200,
};

struct query_document {
    cJSON *root;
    int64_t limit; /* -1: none */
    int64_t offset;
};

/* False with words for the user. */
bool query_document_init(struct query_document *document, struct remora_slice text,
                         char ret_why[QUERY_WHY_BYTES]);
void query_document_fini(struct query_document *document);

/* NULL: every entry. */
const cJSON *query_document_filter(const struct query_document *document);
/* The one member of an object such as {"key": value}; NULL if it is none. */
const cJSON *query_document_only_member(const cJSON *object);

/* The list of what is sorted by, its first entry or NULL; its entries, in turn, have `next`. */
bool query_document_sort(const struct query_document *document, const cJSON **ret_first,
                         char ret_why[QUERY_WHY_BYTES]);
bool query_document_sort_entry(const cJSON *entry, const char **ret_key, bool *ret_descends,
                               char ret_why[QUERY_WHY_BYTES]);

#endif
