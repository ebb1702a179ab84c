/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to an HTTP API that answers with secrets: one request, its whole answer in memory,
 * which is wiped when it is done with. Nothing of what is sent or answered stands in an error.
 * Plugin thread only; transfer_setup() comes first.
 */
#ifndef PLUGINS_SHARED_FETCH_H
#define PLUGINS_SHARED_FETCH_H

#include <stdbool.h>
#include <stddef.h>

/* Whom to trust and who we are. Strings are owned, NULL: not given; without authorities of its own
 * the system's are trusted. */
struct fetch_identity {
    char *ca_file, *ca_path, *ca_pem;
    char *cert_pem, *key_pem;
    char *server_name; /* to be verified instead of the URL's host */
    bool skip_verify;
};

void fetch_identity_fini(struct fetch_identity *identity);

struct fetch_question {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value" lines; NULL ends them; copied */
    const char *body;           /* NULL: none; copied, and wiped afterwards */
    const struct fetch_identity *identity;
    size_t answer_bytes_max;
    long timeout_ms;
};

struct fetch_answer {
    long status;       /* 0: there was no answer */
    const char *error; /* why there was none */
    const char *body;  /* NUL behind it */
    size_t len;
};

/* The answer is valid during the callback. */
typedef void fetch_done(const struct fetch_answer *answer, void *arg);

struct fetch;

/* `done` follows once, later, unless it is cancelled. `identity` must outlive the request. */
struct fetch *fetch_start(const struct fetch_question *question, fetch_done *done, void *arg);
void fetch_cancel(struct fetch *fetch); /* NULL is nothing */

/* A file with a token, without the blanks around it: malloc'ed, to be wiped. NULL: it cannot be
 * read, is empty or has several lines. */
char *fetch_read_token(const char *path);
/* Percent-encodes whatever is not plain. malloc'ed. */
char *fetch_escape(const char *text, size_t len);
/* Wipes and frees; NULL is nothing. */
void fetch_wipe(char *text);

#endif
