/* SPDX-License-Identifier: Apache-2.0 */
/* The list of input bindings that a gRPC application answers. */
#include "app/app_binding.h"

#include "tests/lib/test.h"

TEST(a_binding_is_wanted_if_it_is_in_the_list)
{
    struct slice list = SLICE("\x0a\x03one\x0a\x00\x0a\x03two\x12\x05three\x18\x04");
    CHECK(app_binding_is_listed(list, SLICE("one")));
    CHECK(app_binding_is_listed(list, SLICE("two")));
    CHECK(!app_binding_is_listed(list, SLICE("three"))); /* another field */
    CHECK(!app_binding_is_listed(list, SLICE("on")));
    CHECK(!app_binding_is_listed(SLICE_EMPTY, SLICE("one")));
}

TEST(a_list_that_is_cut_has_what_could_be_read)
{
    struct slice list = SLICE("\x0a\x03one\x0a\x09two");
    CHECK(app_binding_is_listed(list, SLICE("one")));
    CHECK(!app_binding_is_listed(list, SLICE("two")));
    CHECK(!app_binding_is_listed(SLICE("\xff\xff\xff"), SLICE("one")));
}
