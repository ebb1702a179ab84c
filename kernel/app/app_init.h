/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application is asked once, when it has begun to listen: its configuration (the actor
 * types it hosts) and the topics it subscribes to. Answers are checked and kept as they came, for
 * the building blocks that want them; the words in the log are the reference's.
 */
#ifndef APP_APP_INIT_H
#define APP_APP_INIT_H

#include "app/app.h"

/* Suspend, for at most LIMIT_app_init_ms each. */
void app_ask_config(struct task *t, struct app_channel *channel);
void app_ask_subscriptions(struct task *t, struct app_channel *channel);

/* Any thread that has heard that the asking is over; as long as the app lives. */
struct slice app_config(const struct app *app);        /* JSON object; empty: none */
struct slice app_subscriptions(const struct app *app); /* JSON array, or, of a gRPC application, the
                                                          packed ListTopicSubscriptionsResponse */

#endif
