/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `path` and `method` labels of a request. Paths hold keys and ids, and every value of a label
 * is a series of its own, so they are cut or matched against templates:
 *
 *     increased cardinality (the default)   "/v1.0/state/mem/order-1"    → "/v1.0/state/mem"
 *     low cardinality                       anything                     → ""
 *     with templates                        "/v1.0/invoke/a/method/o/7"  → "/v1.0/invoke/…/o/{id}"
 *                                           no match                     → as above
 *
 * Templates have the reference's form, which is that of Go's ServeMux: a literal segment matches
 * itself, `{name}` one segment, `{name...}` and a slash at the end the rest, `{$}` at the end just
 * the slash. The most exact one wins. A template that is no API path of its own ("/orders/{id}")
 * also stands for that path of any app that is invoked.
 *
 * Pure, but for the arenas that results and rules live in.
 */
#ifndef TELEMETRY_PATH_LABEL_H
#define TELEMETRY_PATH_LABEL_H

#include "base/arena.h"
#include "base/slice.h"

struct path_rules {
    bool is_low;             /* low cardinality */
    bool excludes_verbs;     /* the method label is empty */
    struct slice *templates; /* the most exact first */
    size_t template_count;
};

/* Sorts and completes the templates; at most LIMIT_metric_templates_max are kept. Their texts are
 * borrowed for the life of the rules. */
void path_rules_init(struct path_rules *rules, struct arena *arena, const struct slice *templates,
                     size_t count);

/* `path` is cleaned (see http/path.h) and decoded. The label is in the path, the rules, or the
 * arena. */
struct slice path_label(const struct path_rules *rules, struct arena *arena, struct slice path);
/* Methods are any token a client invents: what is no method of HTTP is "OTHER". */
struct slice method_label(const struct path_rules *rules, struct slice method);

#endif
