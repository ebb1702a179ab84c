/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query document of the state API (plugins/shared/query_document.h), compiled to one SELECT for
 * tables of version 1. Nothing of the document becomes SQL text: names and values are parameters.
 *
 * A condition holds only where its key is present in the value; NEQ too. Values that were saved as
 * bytes have no keys.
 */
#ifndef POSTGRESQL_QUERY_H
#define POSTGRESQL_QUERY_H

#include "../shared/query_document.h"
#include "layout.h"

struct query {
    struct query_document document;
    char *sql; /* columns as in layout.h, and the key; owned */
    /* Texts in binary form, as struct command has them. */
    char **values;
    int *lengths;
    int count, capacity;
};

/* False with words for the user. */
bool query_init(struct query *query, struct remora_slice document, struct remora_slice prefix,
                const struct layout *layout, const char *table, int64_t rows_max,
                char ret_why[QUERY_WHY_BYTES]);
void query_fini(struct query *query);

#endif
