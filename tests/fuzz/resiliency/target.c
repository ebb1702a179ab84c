/* SPDX-License-Identifier: Apache-2.0 */
/* Resiliency documents of any bytes, and a trip expression of the same bytes. What is accepted is
 * within its limits, applies without trouble and trips or does not. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "resiliency/backoff.h"
#include "resiliency/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct trip_counts counts[] = {
    { 0, 0, 0, 0, 0 },
    { 10, 4, 6, 0, 5 },
    { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX },
};

static void
parse_trip(struct slice text)
{
    struct arena arena;
    struct trip trip, copy;
    char error[TRIP_ERROR_BYTES];
    arena_init(&arena);
    if (trip_parse(&arena, text, &trip, error)) {
        assert(trip.op_count > 0 && trip.op_count <= LIMIT_trip_ops_max);
        trip_copy(&arena, &trip, &copy);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            assert(trip_is_met(&trip, &counts[i]) == trip_is_met(&copy, &counts[i]));
    } else {
        assert(slice_has_prefix(slice_str(error), SLICE("column ")));
    }
    arena_fini(&arena);
}

static void
check_policies(const struct resiliency_config *config)
{
    for (size_t i = 0; i < config->retry_count; i++) {
        struct backoff backoff;
        uint64_t delay_ms;
        assert(resiliency_retry(config, config->retries[i].name) == &config->retries[i] ||
               config->retries[i].name.len == 0);
        backoff_start(&backoff, &config->retries[i], 0, i);
        for (unsigned k = 0; k < 5 && backoff_next(&backoff, 0, &delay_ms); k++)
            assert(!config->retries[i].is_exponential ||
                   delay_ms <= config->retries[i].delay_ms_max * 3 / 2 + 1);
    }
    for (size_t i = 0; i < config->breaker_count; i++) {
        assert(config->breakers[i].requests_max > 0 && config->breakers[i].timeout_ms > 0);
        (void)trip_is_met(&config->breakers[i].trip, &counts[1]); /* either is fine */
    }
    for (enum target_kind kind = 0; kind < TARGET_KINDS; kind++)
        for (size_t i = 1; i < config->target_count[kind]; i++)
            assert(slice_cmp(config->targets[kind][i - 1].name, config->targets[kind][i].name) < 0);
}

static void
apply(struct resiliency *resiliency)
{
    const struct resiliency_config *config = resiliency_config(resiliency);
    for (size_t i = 0; i < config->target_count[TARGET_APP] && i < 50; i++) {
        struct resiliency_target target;
        resiliency_for_app(resiliency, config->targets[TARGET_APP][i].name, &target);
        breaker_unref(resiliency_breaker_of(&target, SLICE("10.0.0.1:50002")));
        resiliency_for_component(resiliency, config->targets[TARGET_APP][i].name, "Statestore",
                                 RESILIENCY_INBOUND, &target);
        breaker_unref(resiliency_breaker_of(&target, target.name));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena scratch;
    struct diag diag;
    struct resources resources = { 0 };
    const struct resource_filter filter = { .app_id = SLICE("app") };
    parse_trip(text);
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    if (resources_add_text(&scratch, "f.yaml", text, &resources, &diag) == OK) {
        struct resiliency *first = resiliency_new(&resources, &filter, NULL);
        check_policies(resiliency_config(first));
        apply(first);
        struct resiliency *second = resiliency_new(&resources, &filter, first);
        apply(second);
        resiliency_unref(first);
        apply(second);
        resiliency_unref(second);
    }
    arena_fini(&scratch);
    return 0;
}
