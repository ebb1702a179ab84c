/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only door into a thread's loop: an intrusive stack that any thread may push to and only the
 * owner empties, in the order of posting. The owner is woken when the box was empty.
 */
#ifndef ASYNC_MAILBOX_H
#define ASYNC_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct mail;
/* Runs on the owner's thread, outside any task. The mail is the function's: it may free it. */
typedef void mail_fn(struct mail *mail);

struct mail {
    struct mail *next;
    mail_fn *fn;
};

struct mailbox {
    _Atomic(struct mail *) head; /* newest first */
    void (*wake)(void *arg);     /* any thread */
    void *arg;
};

void mailbox_init(struct mailbox *box, void (*wake)(void *arg), void *arg);
/* Any thread. `mail` is moved: it belongs to `fn` from now on. */
void mailbox_post(struct mailbox *box, struct mail *mail, mail_fn *fn);
/* Owner. Runs all mail posted so far; false if there was none. */
bool mailbox_run(struct mailbox *box);

#endif
