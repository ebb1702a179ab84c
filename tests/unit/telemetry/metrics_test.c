/* SPDX-License-Identifier: Apache-2.0 */
/* Counting, and the table of what is counted. */
#include "telemetry/metrics.h"

#include <pthread.h>

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct metrics *metrics;

static void
begin(unsigned shards)
{
    metrics = metrics_new(
        &(struct metrics_config){ .app_id = SLICE("shop"), .shard_count = shards });
    metrics_attach(metrics, 0);
}

static void
end(void)
{
    metrics_attach(NULL, 0);
    metrics_unref(metrics);
}

static uint64_t
counted(const struct metric_series *series, size_t at)
{
    return atomic_load_explicit(&series->counts[at], memory_order_relaxed);
}

TEST(the_table_is_in_the_order_it_is_written_in)
{
    for (int i = 1; i < METRIC_FAMILIES; i++)
        CHECK(strcmp(metric_families[i - 1].name, metric_families[i].name) < 0);
    for (int i = 0; i < METRIC_GROUPS; i++) {
        const struct metric_group_info *group = &metric_groups[i];
        CHECK(group->label_count <= METRIC_LABELS_MAX);
        for (size_t l = 0; l < group->label_count; l++)
            CHECK(strcmp(l == 0 ? "app_id" : group->labels[l - 1], group->labels[l]) < 0);
    }
}

TEST(every_family_can_be_recorded_in_its_group)
{
    for (int i = 0; i < METRIC_FAMILIES; i++) {
        bool is_histogram = metric_families[i].type == TYPE_HISTOGRAM;
        enum metric_buckets buckets = metric_groups[metric_families[i].group].buckets;
        CHECK(!is_histogram || buckets != BUCKETS_NONE);
        CHECK(metric_families[i].help[0] != '\0');
    }
}

TEST(equal_labels_are_one_series)
{
    begin(1);
    const struct slice a[] = { SLICE("mem"), SLICE(""), SLICE("get"), SLICE("true") };
    const struct slice b[] = { SLICE("mem"), SLICE(""), SLICE("get"), SLICE("false") };
    const struct slice c[] = { SLICE("me"), SLICE("m"), SLICE("get"), SLICE("true") };
    struct metric_series *first = metrics_series(METRICS_component_state, a);
    CHECK_EQ_PTR(metrics_series(METRICS_component_state, a), first);
    CHECK(metrics_series(METRICS_component_state, b) != first);
    CHECK(metrics_series(METRICS_component_state, c) != first);
    CHECK(metrics_series(METRICS_component_secret, a) != first);
    CHECK_EQ_PTR(metrics_single(METRICS_plugin_call), metrics_single(METRICS_plugin_call));
    end();
}

TEST(values_fall_into_the_bucket_whose_end_they_do_not_exceed)
{
    begin(1);
    struct metric_series *series = metrics_single(METRICS_http_request_body);
    metrics_record(series, 0);
    metrics_record(series, 1024);
    metrics_record(series, 1025);
    metrics_record(series, UINT64_C(1) << 40);
    CHECK_EQ_U64(counted(series, 0), 2);
    CHECK_EQ_U64(counted(series, 1), 1);
    CHECK_EQ_U64(counted(series, series->bounds->count), 1);
    end();
}

TEST(bounds_of_latencies_can_be_set)
{
    const uint64_t bounds[] = { 7, 9 };
    metrics = metrics_new(&(struct metrics_config){
        .app_id = SLICE("shop"), .shard_count = 1, .latency_ms = bounds, .latency_count = 2 });
    metrics_attach(metrics, 0);
    const struct slice labels[] = { SLICE("GET"), SLICE("/"), SLICE("200") };
    struct metric_series *series = metrics_series(METRICS_http_server, labels);
    metrics_record(series, 7000000);
    metrics_record(series, 7000001);
    metrics_record(series, 9000001);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ_U64(counted(series, i), 1);
    end();
}

TEST(without_a_shard_nothing_is_counted)
{
    const struct slice label = SLICE("mem");
    metrics_attach(NULL, 0);
    CHECK(!metrics_is_on());
    CHECK(metrics_series(METRICS_component_init, &label) == NULL);
    CHECK(metrics_single(METRICS_plugin_call) == NULL);
    metrics_record(NULL, 1);
}

TEST(label_sets_beyond_the_limit_are_counted_together)
{
    begin(1);
    for (int i = 0; i < LIMIT_metric_series_max + 100; i++) {
        char text[16];
        struct slice label = slice_of(text, (size_t)snprintf(text, sizeof text, "c%d", i));
        metrics_record(metrics_series(METRICS_component_init, &label), 1);
    }
    const struct metric_series *last = metrics_first(metrics, 0, METRICS_component_init);
    CHECK_SLICE_IS(last->labels[0], "overflow");
    CHECK_EQ_U64(counted(last, 0), 100);
    size_t count = 0;
    for (const struct metric_series *s = last; s != NULL; s = s->next)
        count++;
    CHECK_EQ_U64(count, LIMIT_metric_series_max + 1);
    end();
}

TEST(label_values_are_cut_at_the_limit)
{
    static char text[LIMIT_metric_label_bytes_max * 2];
    begin(1);
    memset(text, 'a', sizeof text);
    struct slice label = slice_of(text, sizeof text);
    struct metric_series *series = metrics_series(METRICS_component_init, &label);
    CHECK_EQ_U64(series->labels[0].len, LIMIT_metric_label_bytes_max);
    CHECK_EQ_PTR(metrics_series(METRICS_component_init, &label), series);
    end();
}

enum { ROUNDS = 20000 };

static void *
count_elsewhere(void *arg)
{
    metrics_attach(arg, 1);
    for (int i = 0; i < ROUNDS; i++) {
        char text[16];
        struct slice label = slice_of(text, (size_t)snprintf(text, sizeof text, "c%d", i % 500));
        metrics_record(metrics_series(METRICS_component_init, &label), 1);
    }
    return NULL;
}

TEST(one_thread_counts_while_another_reads)
{
    begin(2);
    pthread_t thread;
    uint64_t seen = 0, before = 0;
    REQUIRE(pthread_create(&thread, NULL, count_elsewhere, metrics) == 0);
    while (seen < ROUNDS) {
        seen = 0;
        for (const struct metric_series *s = metrics_first(metrics, 1, METRICS_component_init);
             s != NULL; s = s->next)
            seen += counted(s, 0);
        if (!CHECK(seen >= before && seen <= ROUNDS))
            break;
        before = seen;
    }
    CHECK_EQ_INT(pthread_join(thread, NULL), 0);
    end();
}
