/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the application's side: what its files share. Nobody else includes this.
 */
#ifndef APP_APP_INTERNAL_H
#define APP_APP_INTERNAL_H

#include <pthread.h>

#include "app/app.h"
#include "async/mailbox.h"
#include "base/list.h"

struct app {
    struct app_settings settings; /* constant */
    struct tls_context *tls;      /* of app_client(); NULL: plain text */
    struct tls_context *grpc_tls; /* of app_grpc_client(), where that is another one */

    pthread_mutex_t lock; /* of places */
    int64_t free;
    struct list waiters;
    size_t waiter_count;

    char *config; /* as app_init.h says; written once on worker 0 */
    size_t config_len;
    char *subscriptions;
    size_t subscriptions_len;

    atomic_bool is_unwell; /* written on worker 0 */
    unsigned failures;     /* of probes in a row; worker 0 */
    struct app_health_listener *listeners;
    struct app_channel *probing; /* of worker 0, once probes have started */
    struct task *prober;         /* worker 0; NULL: none */
    bool is_stopped;             /* worker 0 */
    atomic_bool is_asked_to_stop;
    struct mail stop_mail;
};

/* The request's headers and the token the application asks for; no other token ever gets there. */
struct client_head app_head_with_token(struct arena *arena, const struct app_settings *settings,
                                       const struct client_head *head);

#endif
