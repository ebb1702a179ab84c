/* SPDX-License-Identifier: Apache-2.0 */
/* Failures on demand. */
#include "base/inject.h"

#include "base/macros.h"
#include "test.h"

TEST(nothing_is_injected_unless_asked)
{
    CHECK(inject_setup(NULL));
    CHECK(inject_setup(""));
    CHECK(!inject_is_on);
    for (int i = 0; i < 1000; i++)
        REQUIRE(!inject(INJECT_link_write_fail));
}

TEST(malformed_requests_are_refused)
{
    static const char *const bad[] = { "zork:1",
                                       "link_write_fail",
                                       "link_write_fail:",
                                       "link_write_fail:2",
                                       "link_write_fail:1.5",
                                       "link_write_fail:-1",
                                       "link_write_fail:x",
                                       "link_write_fail:#",
                                       "link_write_fail:#-1",
                                       "link_write_fail:0.1234567",
                                       ",",
                                       ":1" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!CHECK(!inject_setup(bad[i])))
            fprintf(stderr, "  %s\n", bad[i]);
}

TEST(counts_and_rates_are_kept)
{
    REQUIRE(inject_setup("task_spawn_fail:#3,link_write_fail:0.25,offload_fail:1"));
    CHECK(inject_is_on);
    int spawn = 0, write = 0, offload = 0;
    for (int i = 0; i < 10000; i++) {
        spawn += inject(INJECT_task_spawn_fail);
        write += inject(INJECT_link_write_fail);
        offload += inject(INJECT_offload_fail);
    }
    CHECK_EQ_INT(spawn, 3);
    CHECK(write > 2000 && write < 3000);
    CHECK_EQ_INT(offload, 10000);
}
