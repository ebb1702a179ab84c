/* SPDX-License-Identifier: Apache-2.0 */
/* Many-producer, single-consumer mailbox; see mailbox.h. */
#include "async/mailbox.h"

#include <stddef.h>

void
mailbox_init(struct mailbox *box, void (*wake)(void *arg), void *arg)
{
    atomic_init(&box->head, NULL);
    box->wake = wake;
    box->arg = arg;
}

void
mailbox_post(struct mailbox *box, struct mail *mail, mail_fn *fn)
{
    mail->fn = fn;
    struct mail *head = atomic_load_explicit(&box->head, memory_order_relaxed);
    do
        mail->next = head;
    while (!atomic_compare_exchange_weak_explicit(&box->head, &head, mail,
                                                  /* pairs with the acquire in mailbox_run() */
                                                  memory_order_release, memory_order_relaxed));
    if (head == NULL)
        box->wake(box->arg);
}

bool
mailbox_run(struct mailbox *box)
{
    struct mail *newest = atomic_exchange_explicit(&box->head, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest != NULL) { /* reverse: posted first, run first */
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest != NULL) {
        struct mail *next = oldest->next;
        oldest->fn(oldest);
        oldest = next;
    }
    return any;
}
