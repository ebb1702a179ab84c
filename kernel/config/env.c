/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that reads the environment; see env.h. */
#include "config/env.h"

#include <stdlib.h>
#include <unistd.h>

static const char *
get_from_process(void *arg, const char *name)
{
    (void)arg; /* there is only one process */
    return getenv(name);
}

static char *const *
all_of_process(void *arg)
{
    (void)arg;
    return environ;
}

struct env
env_of_process(void)
{
    return (struct env){ .get = get_from_process, .all = all_of_process };
}
