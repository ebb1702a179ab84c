/* SPDX-License-Identifier: Apache-2.0 */
/* Where others reach this machine. What interfaces there are is not ours to say: with none of use
 * the answer is an error, with some an address that is no loopback one. */
#include "main/host_address.c"

#include <arpa/inet.h>

#include "test.h"

TEST(what_the_environment_says_is_taken_as_it_is)
{
    struct arena arena;
    struct diag diag;
    struct slice address = SLICE_EMPTY;
    arena_init(&arena);
    diag_init(&diag, &arena);
    REQUIRE_OK(host_address_find(&arena, SLICE("203.0.113.7"), &address, &diag));
    CHECK_SLICE_IS(address, "203.0.113.7");
    REQUIRE_OK(host_address_find(&arena, SLICE("some.host"), &address, &diag));
    CHECK_SLICE_IS(address, "some.host");
    arena_fini(&arena);
}

TEST(what_is_found_is_an_address_that_others_can_use)
{
    struct arena arena;
    struct diag diag;
    struct slice address = SLICE_EMPTY;
    unsigned char bytes[16];
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (host_address_find(&arena, SLICE(""), &address, &diag) != OK) {
        CHECK(slice_find(diag.message, SLICE("failed to determine host address")) == 0);
        arena_fini(&arena);
        SKIP("this machine is on no network");
    }
    const char *text = arena_str(&arena, address);
    CHECK(inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
    CHECK(!slice_has_prefix(address, SLICE("127.")));
    CHECK(!slice_eq(address, SLICE("::1")));
    arena_fini(&arena);
}
