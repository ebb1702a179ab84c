/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application answers when it is asked for its subscriptions (programmatic ones): a JSON
 * array over HTTP, a message over gRPC. What cannot be used is left out with a line in the log.
 */
#ifndef API_TOPIC_ANSWER_H
#define API_TOPIC_ANSWER_H

#include "api/subscription.h"

struct topic_list {
    struct topic_spec **items; /* malloc'ed; one reference each */
    size_t count;
    size_t room;
};

/* Takes over the reference. */
void topic_list_add(struct topic_list *list, struct topic_spec *spec);
void topic_list_fini(struct topic_list *list);

/* False: the answer as a whole makes no sense, which is logged. */
bool topic_answer_read_json(struct slice answer, struct topic_list *ret_list) WARN_UNUSED;
bool topic_answer_read_grpc(struct slice answer, struct topic_list *ret_list) WARN_UNUSED;

/* Rules as they were written, into a spec whose pubsub and topic are set: compiles them, and adds
 * the default. False: one makes no sense, with words. */
struct topic_rule_text {
    struct slice match;
    struct slice path;
};
bool topic_rules_set(struct topic_spec *spec, const struct topic_rule_text *rules, size_t count,
                     struct slice default_path, struct diag *diag) WARN_UNUSED;
/* Which of both it has: `enabled` and numbers, where 0 or less means the default. */
void
topic_bulk_set(struct topic_spec *spec, bool is_enabled, int64_t messages_max, int64_t await_ms);

#endif
