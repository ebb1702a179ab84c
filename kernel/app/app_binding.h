/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an application wants the events of an input binding, which it is asked before anything is
 * read (BIND-07, X-BIND-01): over HTTP by OPTIONS at the path the events would go to, over gRPC by
 * ListInputBindings. Functions suspend, each for at most --app-binding-options-timeout.
 */
#ifndef APP_APP_BINDING_H
#define APP_APP_BINDING_H

#include "app/app.h"

/* 2xx and 405 are a yes, any other answer is a no. `path` with its first slash. */
err_t app_binding_probe(struct task *t, struct app_channel *channel, struct slice path,
                        bool *ret_is_wanted) WARN_UNUSED;
/* A packed ListInputBindingsResponse in the task's arena; empty where there is no such method. */
err_t
app_binding_list(struct task *t, struct app_channel *channel, struct slice *ret_list) WARN_UNUSED;
/* Whether the name is in it. Pure; a malformed list has what was read of it. */
bool app_binding_is_listed(struct slice list, struct slice name);

#endif
