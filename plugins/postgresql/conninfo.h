/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection strings of components, made into what libpq takes. They are written for the
 * reference's driver, whose words differ: `database` is `dbname`, the pool has parameters of its
 * own (pool_max_conns and the like), and what nobody knows is a setting of the server
 * (`search_path=…`). Both forms are understood, `name=value …` and URLs. Knows nothing of
 * components.
 */
#ifndef POSTGRESQL_CONNINFO_H
#define POSTGRESQL_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONNINFO_PAIRS_MAX = 64, CONNINFO_BYTES_MAX = 4096, CONNINFO_WHY_BYTES = 200 };

/* All strings are owned. */
struct conninfo {
    char *names[CONNINFO_PAIRS_MAX], *values[CONNINFO_PAIRS_MAX];
    size_t count;
    int64_t pool_max_conns; /* 0: not said */
    int64_t pool_idle_ms;   /* 0: not said */
    char *exec_mode;        /* of the driver; NULL: not said */
};

void conninfo_init(struct conninfo *conninfo);
/* Adds what the text says; false with words for the user, which hold nothing of the text but names
 * of settings. */
bool conninfo_parse(struct conninfo *conninfo, const char *text, char ret_why[CONNINFO_WHY_BYTES]);
/* In the place of what it was; false if there are too many. */
bool conninfo_set(struct conninfo *conninfo, const char *name, const char *value);
/* NULL if it is not set. */
const char *conninfo_get(const struct conninfo *conninfo, const char *name);
/* Clears what it frees: there are passwords. */
void conninfo_fini(struct conninfo *conninfo);

#endif
