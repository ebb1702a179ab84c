/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text. */
#include "telemetry/exposition.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/macros.h"
#include "telemetry/process.h"
#include "test.h"

static struct metrics *metrics;
static struct metric_samples samples;
static struct arena arena;
static struct buf out;
static size_t pieces;

static err_t
collect(void *arg, struct slice text)
{
    (void)arg;
    pieces++;
    return buf_append(&out, text) ? OK : ERR_TOO_LARGE;
}

static void
begin(const char *app_id, unsigned shards)
{
    arena_init(&arena);
    buf_init(&out, 64 * 1024 * 1024);
    samples = (struct metric_samples){ .arena = &arena };
    metrics = metrics_new(
        &(struct metrics_config){ .app_id = slice_str(app_id), .shard_count = shards });
    metrics_attach(metrics, 0);
    pieces = 0;
}

static struct slice
written(void)
{
    CHECK_OK(exposition_write(metrics, &samples, &arena, collect, NULL));
    return buf_slice(&out);
}

static void
end(void)
{
    metrics_attach(NULL, 0);
    metrics_unref(metrics);
    buf_fini(&out);
    arena_fini(&arena);
}

TEST(families_without_anything_are_left_out)
{
    begin("shop", 1);
    struct slice text = written();
    CHECK_SLICE_IS(text, "");
    end();
}

TEST(counters_have_sorted_labels_and_keep_empty_ones)
{
    begin("shop", 1);
    const struct slice rows[][2] = { { SLICE("state"), SLICE("ERR_B") },
                                     { SLICE(""), SLICE("ERR_\"A\\\n\xff") },
                                     { SLICE("state"), SLICE("ERR_A") } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t times = 0; times <= i; times++)
            metrics_record(metrics_series(METRICS_error_code, rows[i]), 0);
    struct slice text = written();
    CHECK_SLICE_IS(
        text,
        "# HELP dapr_error_code_total Total number of times an error with a specific error code "
        "was "
        "encountered.\n# TYPE dapr_error_code_total counter\n"
        "dapr_error_code_total{app_id=\"shop\",category=\"\",error_code=\"ERR_\\\"A\\\\\\n\xef\xbf"
        "\xbd\"} 2\n"
        "dapr_error_code_total{app_id=\"shop\",category=\"state\",error_code=\"ERR_A\"} 3\n"
        "dapr_error_code_total{app_id=\"shop\",category=\"state\",error_code=\"ERR_B\"} 1\n");
    end();
}

TEST(histograms_add_up_over_all_shards)
{
    begin("shop", 3);
    for (unsigned shard = 0; shard < 3; shard++) {
        metrics_attach(metrics, shard);
        metrics_record(metrics_single(METRICS_http_request_body), 1000 + shard * 1000);
    }
    struct slice text = written();
    CHECK(
        slice_find(text, SLICE("dapr_http_server_request_bytes_bucket{app_id=\"shop\",le=\"1024\"} "
                               "1\n")) > 0);
    CHECK(slice_find(text, SLICE("request_bytes_bucket{app_id=\"shop\",le=\"2048\"} 2\n")) > 0);
    CHECK(slice_find(text, SLICE("le=\"1.048576e+06\"} 3\n")) > 0);
    CHECK(slice_find(text, SLICE("request_bytes_bucket{app_id=\"shop\",le=\"+Inf\"} 3\n")) > 0);
    CHECK(slice_find(text, SLICE("request_bytes_sum{app_id=\"shop\"} 6000\n")) > 0);
    CHECK(slice_find(text, SLICE("request_bytes_count{app_id=\"shop\"} 3\n")) > 0);
    end();
}

TEST(times_are_written_in_the_unit_of_their_buckets)
{
    begin("shop", 1);
    const struct slice labels[] = { SLICE("GET"), SLICE("/v1.0/healthz"), SLICE("204") };
    metrics_record(metrics_series(METRICS_http_server, labels), 1500000);
    struct slice text = written();
    CHECK(slice_find(text, SLICE("dapr_http_server_latency_sum{app_id=\"shop\",method=\"GET\","
                                 "path=\"/v1.0/healthz\",status=\"204\"} 1.5\n")) > 0);
    CHECK(slice_find(text, SLICE("status=\"204\",le=\"1\"} 0\n")) > 0);
    CHECK(slice_find(text, SLICE("status=\"204\",le=\"2\"} 1\n")) > 0);
    CHECK(slice_find(text, SLICE("dapr_http_server_request_count{app_id=\"shop\",method=\"GET\","
                                 "path=\"/v1.0/healthz\",status=\"204\"} 1\n")) > 0);
    end();
}

TEST(samples_stand_among_what_was_counted)
{
    begin("shop", 1);
    metric_samples_add(&samples, FAMILY_remora_tasks, SLICE("0"), 3);
    metric_samples_add(&samples, FAMILY_process_open_fds, SLICE_EMPTY, 12);
    metric_samples_add(&samples, FAMILY_remora_tasks, SLICE("1"), 4);
    struct slice text = written();
    CHECK_SLICE_IS(text, "# HELP process_open_fds Number of open file descriptors.\n"
                         "# TYPE process_open_fds gauge\nprocess_open_fds 12\n"
                         "# HELP remora_tasks Tasks that exist.\n# TYPE remora_tasks gauge\n"
                         "remora_tasks{app_id=\"shop\",worker=\"0\"} 3\n"
                         "remora_tasks{app_id=\"shop\",worker=\"1\"} 4\n");
    end();
}

TEST(much_is_written_in_pieces_and_ends_where_nobody_reads)
{
    begin("shop", 1);
    for (int i = 0; i < LIMIT_metric_series_max; i++) {
        char text[16];
        struct slice labels[] = { SLICE("GET"), SLICE_EMPTY, SLICE("200") };
        labels[1] = slice_of(text, (size_t)snprintf(text, sizeof text, "/%d", i));
        metrics_record(metrics_series(METRICS_http_server, labels), 1);
    }
    struct slice text = written();
    CHECK(pieces > 10);
    CHECK(slice_has_suffix(text, SLICE("\n")));
    buf_clear(&out);
    out.max = 1;
    CHECK_EQ_INT(exposition_write(metrics, &samples, &arena, collect, NULL), ERR_TOO_LARGE);
    end();
}

TEST(the_process_is_described)
{
    static const enum metric_family wanted[] = {
        FAMILY_process_cpu_seconds_total,
        FAMILY_process_max_fds,
        FAMILY_process_network_receive_bytes_total,
        FAMILY_process_network_transmit_bytes_total,
        FAMILY_process_open_fds,
        FAMILY_process_resident_memory_bytes,
        FAMILY_process_start_time_seconds,
        FAMILY_process_threads,
        FAMILY_process_virtual_memory_bytes,
        FAMILY_process_virtual_memory_max_bytes,
    };
    begin("shop", 1);
    process_sample(&samples);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        bool has = false;
        for (size_t s = 0; s < samples.count; s++)
            has |= samples.items[s].family == wanted[i] && samples.items[s].value >= 0;
        CHECK(has);
    }
    for (size_t s = 0; s < samples.count; s++) {
        if (samples.items[s].family == FAMILY_process_resident_memory_bytes)
            CHECK(samples.items[s].value > 100000);
        if (samples.items[s].family == FAMILY_process_start_time_seconds)
            CHECK(samples.items[s].value > 1.7e9);
    }
    end();
}
