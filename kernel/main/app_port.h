/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application as the process starts and ends it: waiting until it listens, asking it what it is
 * asked once, probing its health. Main thread only.
 */
#ifndef MAIN_APP_PORT_H
#define MAIN_APP_PORT_H

#include <stdatomic.h>

#include "app/app.h"
#include "async/mailbox.h"

struct runtime;

struct app_port {
    atomic_bool is_over; /* nobody wants to know any more: set by the main thread */
    struct mail mail;    /* to the worker, and back */
    struct task *waiter; /* worker 0; NULL: none */
    struct mail stop_mail;
    struct app_health_listener listener;
    void (*on_found)(struct runtime *runtime);
};

/* Before the workers are made: what the options say of the application. */
void app_port_init(struct runtime *runtime);
/* Once the workers run; tells when somebody accepts connections on the application's port. */
void app_port_wait(struct runtime *runtime, void (*on_found)(struct runtime *runtime));
/* Nobody waits any more. */
void app_port_stop(struct runtime *runtime);
/* No more probes: before the workers end. */
void app_port_close(struct runtime *runtime);

#endif
