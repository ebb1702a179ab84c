/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of texts. */
#include "config/text_list.h"

#include "test.h"

TEST(a_list_grows_and_owns_its_texts)
{
    struct arena arena;
    arena_init(&arena);
    struct text_list list = { 0 };
    char text[16];
    for (int i = 0; i < 1000; i++) {
        int len = snprintf(text, sizeof text, "item %d", i);
        text_list_add(&arena, &list, slice_of(text, (size_t)len));
    }
    CHECK_EQ_INT(list.count, 1000);
    CHECK_EQ_STR(list.items[0].data, "item 0");
    CHECK_EQ_STR(list.items[512].data, "item 512");
    CHECK_EQ_STR(list.items[999].data, "item 999");
    arena_fini(&arena);
}
