/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of settings and how workers come by them; see settings.h. */
#include "api/settings.h"

#include <stdlib.h>

#include "api/kernel.h"
#include "resiliency/policy.h"

struct settings *
settings_new(void)
{
    struct settings *settings = calloc(1, sizeof *settings);
    if (settings == NULL)
        abort();
    atomic_init(&settings->refs, 1);
    arena_init(&settings->arena);
    settings->trust_domain = SLICE("public");
    return settings;
}

struct settings *
settings_ref(struct settings *settings)
{
    /* Relaxed: who counts has a reference already. */
    atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
    return settings;
}

void
settings_unref(struct settings *settings)
{
    /* Release what was done with them before, acquire what others did, then free. */
    if (settings == NULL || atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) > 1)
        return;
    metrics_unref(settings->metrics);
    collectors_unref(settings->collectors);
    resiliency_unref(settings->resiliency);
    endpoints_unref(settings->endpoints);
    settings_unref(settings->base);
    arena_fini(&settings->arena);
    free(settings);
}

void
settings_carry(struct settings *settings, const struct settings *old)
{
    settings->resiliency = resiliency_ref(old->resiliency);
    settings->endpoints = endpoints_ref(old->endpoints);
}

struct settings *
settings_derive(struct settings *old)
{
    struct settings *settings = settings_new();
    const size_t from = offsetof(struct settings, secret_scopes); /* not what it counts itself by */
    memcpy((char *)settings + from, (const char *)old + from, sizeof *old - from);
    /* Not the one before: generations would pile up. */
    settings->base = settings_ref(old->base == NULL ? old : old->base);
    if (settings->metrics != NULL)
        metrics_ref(settings->metrics);
    if (settings->collectors != NULL)
        collectors_ref(settings->collectors);
    settings_carry(settings, old);
    return settings;
}

struct settings_mail {
    struct mail mail;
    struct kernel_worker *worker;
    struct settings *settings; /* counted */
};

/* Worker, in no task: nobody borrows the old ones across a suspension. */
static void
on_settings(struct mail *mail)
{
    struct settings_mail *letter = container_of(mail, struct settings_mail, mail);
    struct kernel_worker *worker = letter->worker;
    struct settings *old = worker->settings;
    worker->settings = letter->settings;
    free(letter);
    metrics_attach(worker->settings->metrics, worker->worker.index);
    exporter_set_use(&worker->exporters, worker->settings->collectors);
    endpoint_desk_use(&worker->outside, worker->settings->endpoints);
    settings_unref(old);
}

void
settings_publish(struct settings *settings, struct kernel_worker *worker)
{
    struct settings_mail *letter = malloc(sizeof *letter);
    if (letter == NULL)
        abort();
    *letter = (struct settings_mail){ .worker = worker, .settings = settings_ref(settings) };
    worker_post(&worker->worker, &letter->mail, on_settings);
}
