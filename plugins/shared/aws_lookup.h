/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk through the places where AWS's own programs look for keys, in their order: environment,
 * web identity, shared credentials file, container, instance. The first that is there counts; if it
 * fails, the walk ends, since the next would be somebody else. Plugin thread only.
 */
#ifndef PLUGINS_SHARED_AWS_LOOKUP_H
#define PLUGINS_SHARED_AWS_LOOKUP_H

#include "aws_keys.h"
#include "fetch.h"

enum { AWS_WORDS_BYTES = 768, AWS_ANSWER_BYTES_MAX = 64 * 1024 };

enum aws_found {
    AWS_NOT_THERE, /* the next source is asked */
    AWS_PENDING,   /* aws_lookup_go_on() follows */
    AWS_FOUND,     /* `keys` are */
    AWS_FAILED,
};

/* Keys, which the receiver may take, or NULL and words, without a secret. */
typedef void aws_lookup_done(struct aws_keys *keys, const char *words, void *arg);

/* Zeroed before it is started. */
struct aws_lookup {
    const char *region; /* borrowed */
    aws_lookup_done *done;
    void *arg;
    bool is_running;
    unsigned source;
    struct aws_keys keys;
    char words[AWS_WORDS_BYTES]; /* what has been tried */

    /* Of the source that is asked. */
    struct fetch *fetch;
    char *base, *token; /* of instances; the token is wiped */
};

/* `done` is called once, perhaps before this returns, unless it is ended before; another may be
 * started from within. */
void
aws_lookup_start(struct aws_lookup *lookup, const char *region, aws_lookup_done *done, void *arg);
void aws_lookup_end(struct aws_lookup *lookup);
/* What the environment says by itself. True: they are in *ret_keys. Words: they are of no use. */
bool aws_lookup_environment(struct aws_keys *ret_keys, const char **ret_words);

/* --- for sources -------------------------------------------------------------------------------*/

/* Of the environment, NULL if it is empty too. */
const char *aws_variable(const char *name);
__attribute__((format(printf, 2, 3))) void
aws_lookup_note(struct aws_lookup *lookup, const char *format, ...);

struct aws_question {
    const char *method, *url;
    const char *headers[4]; /* NULL ends them */
    const char *body;       /* NULL: none */
    long timeout_ms;
};
void
aws_lookup_ask(struct aws_lookup *lookup, const struct aws_question *question, fetch_done *done);
/* Keys of an answer, moved if there are no words against them. `source` is for a note of those. */
enum aws_found aws_lookup_take(struct aws_lookup *lookup, const char *source, const char *words,
                               struct aws_keys *keys);
void aws_lookup_go_on(struct aws_lookup *lookup, enum aws_found found);

enum aws_found aws_ask_identity(struct aws_lookup *lookup);  /* aws_identity.c */
enum aws_found aws_ask_container(struct aws_lookup *lookup); /* aws_machine.c */
enum aws_found aws_ask_instance(struct aws_lookup *lookup);

#endif
