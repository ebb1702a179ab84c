/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a connection without ever blocking the loop: names are looked up by a thread, libpq is
 * polled, and the session is set up. Plugin thread only.
 */
#ifndef POSTGRESQL_DIAL_H
#define POSTGRESQL_DIAL_H

#include <postgresql/libpq-fe.h>

#include "settings.h"

enum { DIAL_WHY_BYTES = 400 };

struct dial;

/* `db` is the callee's, non-blocking; or NULL, then `why` says why not. */
typedef void dial_done(PGconn *db, const char *why, void *arg);

/* `greeting` is run first, or NULL. Everything is borrowed until `done` is called, which is once
 * and never from within this call. */
struct dial *
dial_start(const struct settings *settings, const char *greeting, dial_done *done, void *arg);
/* `done` will not be called. NULL is fine. */
void dial_cancel(struct dial *dial);

/* The text as one line, without the end that libpq puts. */
void dial_copy_words(char *ret, size_t bytes, const char *words);

#endif
