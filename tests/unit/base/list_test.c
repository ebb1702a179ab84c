/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive lists. */
#include "base/list.h"

#include "test.h"

struct item {
    int number;
    struct list link;
};

/* The numbers in order, as one decimal number. */
static int
order(const struct list *head)
{
    int sum = 0;
    const struct list *it;
    LIST_FOREACH (it, head)
        sum = sum * 10 +
              ((const struct item *)((const char *)it - offsetof(struct item, link)))->number;
    return sum;
}

TEST(nodes_are_appended_taken_and_removed)
{
    struct list head;
    struct item items[4];
    list_init(&head);
    CHECK(list_is_empty(&head));
    CHECK(list_take_first(&head) == NULL);
    for (int i = 0; i < 4; i++) {
        items[i].number = i + 1;
        list_init(&items[i].link);
        CHECK(!list_is_linked(&items[i].link));
        list_append(&head, &items[i].link);
        CHECK(list_is_linked(&items[i].link));
    }
    CHECK_EQ_INT(order(&head), 1234);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    CHECK_EQ_INT(order(&head), 134);
    list_append(&items[2].link, &items[1].link);
    CHECK_EQ_INT(order(&head), 1234);
    CHECK_EQ_INT(LIST_ENTRY(list_take_first(&head), struct item, link)->number, 1);
    CHECK(!list_is_linked(&items[0].link));
    CHECK_EQ_INT(order(&head), 234);
}

TEST(a_splice_empties_its_source)
{
    struct list a, b;
    struct item items[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        items[i].number = i + 1;
        list_append(i < 2 ? &a : &b, &items[i].link);
    }
    list_splice(&a, &b);
    CHECK_EQ_INT(order(&a), 1234);
    CHECK(list_is_empty(&b));
    list_splice(&a, &b);
    CHECK_EQ_INT(order(&a), 1234);
    list_splice(&b, &a);
    CHECK_EQ_INT(order(&b), 1234);
    CHECK(list_is_empty(&a));
}

TEST(the_visited_node_may_leave)
{
    struct list head, *it, *tmp;
    struct item items[4];
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].number = i + 1;
        list_append(&head, &items[i].link);
    }
    LIST_FOREACH_SAFE(it, tmp, &head)
    if (LIST_ENTRY(it, struct item, link)->number % 2 == 0)
        list_remove(it);
    CHECK_EQ_INT(order(&head), 13);
}
