/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus alone: echo calls of 100 bytes over a link to a plugin of the SDK, at 1, 16 and 64 in
 * flight. Prints calls per second and CPU time a call in the kernel's process and in the plugin's.
 */
#include "plugin_process.h"

enum { LANES_MAX = 64 };

static uint64_t calls_left, calls_done;
static struct slice request;

static void
run_lane(struct task *t, void *arg)
{
    (void)arg;
    static const char body[64];
    const struct slice part = slice_of(body, sizeof body);
    struct arena arena;
    arena_init(&arena);
    while (calls_left > 0) {
        calls_left--;
        struct link_call call;
        struct link_args args = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_ECHO,
                                  .component = PROCESS_COMPONENT,
                                  .message = request,
                                  .body_parts = &part,
                                  .body_part_count = 1 };
        args.arena = &arena;
        uint64_t outer = task_deadline_push(t, PROCESS_WAIT_MS);
        REQUIRE_OK(link_call(t, process.link, &args, &call));
        REQUIRE(call.status.code == 0);
        REQUIRE(link_call_body_bytes(&call) == sizeof body);
        link_call_finish(&call);
        task_deadline_pop(t, outer);
        arena_reset(&arena); /* as the arena of a pooled task is */
        calls_done++;
    }
    arena_fini(&arena);
}

static void
measure(int lanes, uint64_t calls)
{
    calls_left = calls;
    calls_done = 0;
    uint64_t cpu = process_cpu_ns(0), plugin_cpu = process_cpu_ns(process.pid);
    uint64_t start = clock_now_ns();
    for (int i = 0; i < lanes; i++)
        REQUIRE(task_spawn(&process.worker, "lane", run_lane, NULL) != NULL);
    while (process.worker.tasks.count > 0)
        process_turn(1000);
    double seconds = (double)(clock_now_ns() - start) / 1e9, n = (double)calls;
    printf("%2d in flight: %8.0f calls/s  %6.2f µs a call  kernel %5.2f CPU-µs  plugin %5.2f "
           "CPU-µs\n",
           lanes, n / seconds, seconds / n * 1e6, (double)(process_cpu_ns(0) - cpu) / n / 1e3,
           (double)(process_cpu_ns(process.pid) - plugin_cpu) / n / 1e3);
}

TEST(calls_over_the_bus)
{
    struct arena arena;
    arena_init(&arena);
    process_start(process_path("echo"));
    process_open("test.echo");
    request = process_echo_request(&arena, 0, "");
    const uint64_t scale = getenv("LONG") == NULL ? 1 : 10;
    for (int round = 0; round < 2; round++) {
        measure(1, 100000 * scale);
        measure(16, 400000 * scale);
        measure(64, 400000 * scale);
    }
    process_stop();
    arena_fini(&arena);
}
