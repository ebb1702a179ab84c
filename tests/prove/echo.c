/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experiment echo: 1 GiB (LONG=1: 16 GiB) through a stream of a plugin process and back, every byte
 * compared, while small calls go the same way. Falls short if a byte differs, if kernel or plugin
 * grow by more than 4 MiB, or if the stream stops the small calls. Last line: the figure.
 */
#include "echo_stream.h"

enum { GROWTH_KIB_MAX = 4096, SMALL_MS_MAX = 50 };

static const uint64_t MIB = 1024 * 1024;
static struct arena arena;

static char figure[300];

/* The last word is the experiment's, not the harness's. */
static void
print_figure(void)
{
    puts(figure);
}

/* Milliseconds of one small call. */
static double
small_call_ms(void)
{
    struct process_call call = { .args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_ECHO,
                                           .component = PROCESS_COMPONENT,
                                           .message = process_echo_request(&arena, 0, "") } };
    uint64_t start = clock_now_ns();
    process_call_start(&call);
    PROCESS_UNTIL(call.is_done);
    REQUIRE_OK(call.err);
    return (double)(clock_now_ns() - start) / 1e6;
}

TEST(a_stream_through_a_plugin_and_back_in_constant_memory)
{
    arena_init(&arena);
    process_start(process_path("echo"));
    process_open("test.echo");
    struct echo_stream warm = { .total = 16 * MIB };
    struct echo_stream stream = { .total = (getenv("LONG") == NULL ? 1 : 16) * 1024 * MIB };
    echo_stream_start(&warm);
    PROCESS_UNTIL(warm.is_done);
    long kernel_kib = process_kib(0, "VmRSS"), plugin_kib = process_kib(process.pid, "VmRSS");

    double worst_ms = 0, sum_ms = 0;
    int small_calls = 0;
    uint64_t start = clock_now_ns();
    echo_stream_start(&stream);
    while (!stream.is_done) {
        uint64_t until = stream.read + 4 * MIB;
        PROCESS_UNTIL(stream.is_done || stream.read >= until);
        double ms = small_call_ms();
        worst_ms = ms > worst_ms ? ms : worst_ms;
        sum_ms += ms;
        small_calls++;
        arena_reset(&arena);
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    kernel_kib = process_kib(0, "VmHWM") - kernel_kib;
    plugin_kib = process_kib(process.pid, "VmHWM") - plugin_kib;
    CHECK_OK(stream.write_err);
    CHECK_OK(stream.read_err);
    CHECK(!stream.is_wrong);
    CHECK_EQ_U64(stream.read, stream.total);
    CHECK(kernel_kib <= GROWTH_KIB_MAX);
    CHECK(plugin_kib <= GROWTH_KIB_MAX);
    CHECK(worst_ms <= SMALL_MS_MAX);
    process_stop();
    arena_fini(&arena);
    snprintf(figure, sizeof figure,
             "%.0f MiB there and back at %.0f MiB/s, kernel +%ld KiB, plugin +%ld KiB, "
             "%d small calls beside it: mean %.2f ms, worst %.2f ms",
             (double)stream.total / (double)MIB, (double)stream.total / (double)MIB / seconds,
             kernel_kib, plugin_kib, small_calls, sum_ms / small_calls, worst_ms);
    REQUIRE(atexit(print_figure) == 0);
}
