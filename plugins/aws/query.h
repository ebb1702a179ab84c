/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the services that take forms and answer with XML: SNS and STS. Plugin thread only.
 */
#ifndef AWS_PLUGIN_QUERY_H
#define AWS_PLUGIN_QUERY_H

#include "../shared/text.h"
#include "request.h"

enum { QUERY_WORDS_BYTES = 512, QUERY_CODE_BYTES = 128 };

struct query_service {
    const char *name;  /* "sns" */
    const char *label; /* "SNS" */
    const char *version;
};
extern const struct query_service query_sns, query_sts;

/* What came of it. Texts are valid during the call. */
struct query_result {
    const char *words; /* why not; NULL: it went well */
    const char *code;  /* "NotFound", "" if none was said */
    bool is_sent;      /* it may have happened although there are words */
    const char *body;
    size_t len;
};

struct query_ask;

typedef void query_done(const struct query_result *result, void *arg);

/* One more field of a form, which grows; the value may be any bytes. */
void query_put(struct text *form, const char *name, struct remora_slice value);
void query_put_text(struct text *form, const char *name, const char *value);

/*
 * `form` has the fields behind Action and Version; moved. `settings` outlive it. `done` is called
 * once, later, unless it is ended before.
 */
struct query_ask *
query_ask(const struct settings *settings, const struct query_service *service, const char *action,
          struct text *form, uint64_t timeout_ms, query_done *done, void *arg);
/* Nothing is told then. NULL is nothing. */
void query_ask_end(struct query_ask *ask);

/* The text of the element at the path, "/"-separated from the root on, the first one that is not
 * empty; free(). NULL: there is none. */
char *query_find(const struct query_result *result, const char *path);

#endif
