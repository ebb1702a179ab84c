/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what waits; see chore.h. */
#include "chore.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "remora_plugin.h"

enum {
    FINISH_MS = 4000, /* shorter than what a sidecar gives a plugin to end */
    STACK_BYTES = 256 * 1024,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned working;

static void
on_done(void *arg)
{
    struct chore *chore = arg;
    chore->done(chore);
}

static void *
thread_main(void *arg)
{
    struct chore *chore = arg;
    bool is_told = chore->done != NULL; /* the chore may be gone once it is */
    chore->work(chore);
    if (is_told)
        remora_post(on_done, chore);
    pthread_mutex_lock(&lock);
    working--;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

void
chore_start(struct chore *chore)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_mutex_lock(&lock);
    working++;
    pthread_mutex_unlock(&lock);
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0 ||
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
        pthread_create(&thread, &attributes, thread_main, chore) != 0)
        abort();
    pthread_attr_destroy(&attributes);
}

void
chores_finish(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FINISH_MS / 1000;
    pthread_mutex_lock(&lock);
    while (working > 0 && pthread_cond_timedwait(&ended, &lock, &until) == 0)
        ;
    pthread_mutex_unlock(&lock);
}
