/* SPDX-License-Identifier: Apache-2.0 */
/* The environment as a function, so that tests bring their own. */
#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

struct env {
    const char *(*get)(void *arg, const char *name); /* NULL if not set */
    char *const *(*all)(void *arg); /* "NAME=value" …, NULL at the end; NULL: cannot be listed */
    void *arg;
};

/* The process's own. What it returns is borrowed until the environment changes: never, here. */
struct env env_of_process(void);

static inline const char *
env_get(struct env env, const char *name)
{
    return env.get(env.arg, name);
}

#endif
