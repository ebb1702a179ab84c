/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from YAML, for tests. */
#ifndef RESILIENCY_BED_H
#define RESILIENCY_BED_H

#include "resiliency/policy.h"
#include "test.h"

/* One document or more; `old` as resiliency_new(). */
static inline struct resiliency *
bed_policies(const char *yaml, struct resiliency *old)
{
    const struct resource_filter filter = { .app_id = SLICE("me") };
    struct resources resources = { 0 };
    struct arena scratch;
    struct diag diag;
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    REQUIRE_OK(resources_add_text(&scratch, "r.yaml", slice_str(yaml), &resources, &diag));
    struct resiliency *resiliency = resiliency_new(&resources, &filter, old);
    arena_fini(&scratch); /* nothing of it may be needed any more */
    for (size_t i = 0; i < resiliency_config(resiliency)->errors.count; i++)
        if (!CHECK(!"an error"))
            fprintf(stderr, "  %s\n", resiliency_config(resiliency)->errors.items[i].data);
    return resiliency;
}

#endif
