/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics of SNS that a component has to do with: made, or looked for, when they are first needed.
 * Plugin thread only.
 */
#ifndef AWS_PLUGIN_TOPICS_H
#define AWS_PLUGIN_TOPICS_H

#include "query.h"
#include "snssqs_settings.h"

enum { TOPICS_MAX = 10000 };

struct topic_wait;

struct topic {
    char *name;          /* as SNS has it */
    char *arn;           /* NULL: not known yet, or not any more */
    bool was_subscribed; /* by this component, and perhaps is */
    bool has_waited;     /* messages of it came when it was not: they count as received */
    struct query_ask *asking;
    struct topic_wait *waits;
    const struct snssqs_settings *settings;
};

struct topics {
    const struct snssqs_settings *settings; /* outlive it */
    struct topic **list;
    size_t count;
};

/* Its ARN is known, or these are the words. */
typedef void topic_found(const char *words, void *arg);

/* By the name that users give it. NULL: there are too many. It stays. */
struct topic *topics_get(struct topics *topics, struct remora_slice name);
/* By its name at SNS; NULL: nobody has asked for it. */
struct topic *topics_find(const struct topics *topics, const char *name);
void topics_fini(struct topics *topics); /* nobody waits any more */

/* Its ARN is not known. `found` is called once, later, unless it is cancelled. */
struct topic_wait *topic_want(struct topic *topic, topic_found *found, void *arg);
void topic_wait_cancel(struct topic_wait *wait); /* NULL is nothing */
/* SNS does not know it any more: it is asked for anew. */
void topic_forget(struct topic *topic);

#endif
