/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to services that speak AWS's JSON protocol. Plugin thread only. */
#ifndef AWS_PLUGIN_SERVICE_H
#define AWS_PLUGIN_SERVICE_H

#include <cjson/cJSON.h>

#include "json.h"
#include "request.h"

/* Texts are constants. */
struct service {
    const char *name;    /* of its hosts and signatures: "dynamodb" */
    const char *title;   /* in words: "DynamoDB" */
    const char *target;  /* of its operations: "DynamoDB_20120810" */
    const char *version; /* of the protocol: "1.0" */
    bool is_secret;      /* what it answers is wiped */
    bool may_be_empty;   /* an answer without a body is a good one */
};

/* What came of it, borrowed during the callback. */
struct service_reply {
    const cJSON *tree; /* what was answered, also by a failure; NULL: no JSON */
    const char *words; /* without a secret; NULL: it went well, and there is a tree, if due */
    const char *code;  /* "ResourceNotFoundException"; "" if it went well or did not say */
    long status;       /* 0: there was no answer */
    bool was_sent;     /* see struct answer */
    size_t bytes;      /* of the answer */
};

typedef void service_done(const struct service_reply *reply, void *arg);

struct service_ask;

struct service_question {
    const struct service *service;   /* outlive it */
    const struct settings *settings; /* so do they */
    const char *operation;           /* a constant: "GetItem" */
    struct text body;                /* JSON; moved */
    size_t answer_bytes_max;
    uint64_t timeout_ms;
};

/* `done` is called once, later, unless it is ended before. */
struct service_ask *
service_ask(const struct service_question *question, service_done *done, void *arg);
/* Nothing is told then. NULL is nothing. */
void service_ask_end(struct service_ask *ask);
/* Has some of it left? Then nobody knows what becomes of it. */
bool service_ask_was_sent(const struct service_ask *ask);

#endif
