/* SPDX-License-Identifier: Apache-2.0 */
/* How long and how many exporters go on once their collectors are out of use. What they send
 * meanwhile is tested in tests/integration/tracing_test.py. */
#include "export/collectors.h"

#include <unistd.h>

#include "../async/driver.h"
#include "async/listener.h"
#include "base/limits.h"
#include "test.h"

struct bed {
    struct worker worker;
    struct exporter_set set;
    struct mail mail;
    struct collectors *next; /* to go over to */
    int listening;           /* takes connections and says nothing */
};

static void
bed_open(struct bed *bed)
{
    driver_open_fake(&bed->worker);
    bed->listening = listener_bind_tcp(SLICE("127.0.0.1"), 0, false);
    REQUIRE(bed->listening >= 0);
    exporter_set_init(&bed->set, &bed->worker);
}

static void
bed_close(struct bed *bed)
{
    exporter_set_close(&bed->set);
    turns(&bed->worker, 3);
    pass_ms(&bed->worker, LIMIT_trace_flush_ms);
    driver_close(&bed->worker);
    (void)close(bed->listening);
}

static struct collectors *
collectors_at(struct bed *bed)
{
    struct collectors *collectors = collectors_new();
    collectors->count = 1;
    collectors->items[0] = (struct exporter_config){ .kind = EXPORTER_OTLP_HTTP,
                                                     .host = SLICE("127.0.0.1"),
                                                     .port = listener_port(bed->listening),
                                                     .path = SLICE("/v1/traces"),
                                                     .timeout_ms = 3600000,
                                                     .resource = &collectors->resource };
    return collectors;
}

static void
on_change(struct mail *mail)
{
    struct bed *bed = container_of(mail, struct bed, mail);
    exporter_set_use(&bed->set, bed->next);
}

/* As a Configuration does it: by mail. Takes over the reference. */
static void
use(struct bed *bed, struct collectors *collectors)
{
    bed->next = collectors;
    worker_post(&bed->worker, &bed->mail, on_change);
    turns(&bed->worker, 3);
    collectors_unref(collectors);
}

/* To other collectors than before, for which a span waits. */
static void
change(struct bed *bed)
{
    struct span span = { .kind = SPAN_CLIENT, .name = SLICE("n") };
    use(bed, collectors_at(bed));
    exporter_set_put(&bed->set, &span);
}

TEST(what_is_out_of_use_has_a_time_to_send_what_it_has)
{
    struct bed bed;
    bed_open(&bed);
    change(&bed);
    CHECK_EQ_U64(bed.worker.tasks.count, 0);
    use(&bed, NULL);
    pass_ms(&bed.worker, LIMIT_trace_retired_ms - 1);
    CHECK_EQ_U64(bed.worker.tasks.count, 1);
    CHECK(!list_is_empty(&bed.set.retired));
    pass_ms(&bed.worker, 1);
    CHECK_EQ_U64(bed.worker.tasks.count, 0);
    CHECK(list_is_empty(&bed.set.retired));
    CHECK_EQ_U64(worker_timer_count(&bed.worker), 0);
    bed_close(&bed);
}

TEST(what_has_nothing_to_send_is_gone_at_once)
{
    struct bed bed;
    bed_open(&bed);
    struct collectors *collectors = collectors_at(&bed);
    use(&bed, collectors_ref(collectors));
    use(&bed, NULL);
    CHECK(list_is_empty(&bed.set.retired));
    CHECK_EQ_U64(atomic_load(&collectors->refs), 1);
    collectors_unref(collectors);
    bed_close(&bed);
}

TEST(the_oldest_gives_way_to_what_goes_out_of_use)
{
    struct bed bed;
    bed_open(&bed);
    for (int i = 0; i < LIMIT_trace_retired + 1; i++)
        change(&bed);
    struct list *oldest = bed.set.retired.next;
    CHECK_EQ_U64(bed.worker.tasks.count, LIMIT_trace_retired);
    change(&bed);
    CHECK_EQ_U64(bed.worker.tasks.count, LIMIT_trace_retired);
    CHECK(bed.set.retired.next != oldest);
    bed_close(&bed);
}

TEST(at_the_end_all_of_them_have_the_time_of_the_end)
{
    struct bed bed;
    bed_open(&bed);
    change(&bed);
    change(&bed);
    exporter_set_close(&bed.set);
    turns(&bed.worker, 3);
    pass_ms(&bed.worker, LIMIT_trace_flush_ms - 1);
    CHECK_EQ_U64(bed.worker.tasks.count, 2);
    pass_ms(&bed.worker, 1);
    CHECK_EQ_U64(bed.worker.tasks.count, 0);
    bed_close(&bed);
}
