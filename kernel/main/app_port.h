/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting until the application listens. Main thread only. */
#ifndef MAIN_APP_PORT_H
#define MAIN_APP_PORT_H

#include <stdatomic.h>

#include "async/mailbox.h"

struct runtime;

struct app_port {
    atomic_bool is_over; /* nobody wants to know any more: set by the main thread */
    struct mail mail;    /* to the worker, and back */
    void (*on_found)(struct runtime *runtime);
};

/* Once the workers run; tells when somebody accepts connections on the application's port. */
void app_port_wait(struct runtime *runtime, void (*on_found)(struct runtime *runtime));
void app_port_stop(struct runtime *runtime);

#endif
