/* SPDX-License-Identifier: Apache-2.0 */
/* Mail keeps its order, wakes its owner once, and none is lost between threads. */
#include "async/mailbox.h"

#include <pthread.h>
#include <sched.h>

#include "base/macros.h"
#include "test.h"

static struct mailbox box;
static atomic_int wakes;

static void
on_wake(void *arg)
{
    CHECK_EQ_PTR(arg, &wakes);
    atomic_fetch_add(&wakes, 1);
}

struct letter {
    struct mail mail;
    int sender;
    int number;
};

static int read_numbers[16];
static size_t read_count;

static void
on_letter(struct mail *mail)
{
    if (read_count < ARRAY_LEN(read_numbers))
        read_numbers[read_count] = container_of(mail, struct letter, mail)->number;
    read_count++;
}

TEST(mail_runs_in_the_order_of_posting_and_wakes_once)
{
    struct letter letters[4];
    mailbox_init(&box, on_wake, &wakes);
    atomic_store(&wakes, 0);
    read_count = 0;
    CHECK(!mailbox_run(&box));
    for (int i = 0; i < 4; i++) {
        letters[i].number = i;
        mailbox_post(&box, &letters[i].mail, on_letter);
    }
    CHECK_EQ_INT(atomic_load(&wakes), 1);
    CHECK(mailbox_run(&box));
    REQUIRE(read_count == 4);
    for (int i = 0; i < 4; i++)
        CHECK_EQ_INT(read_numbers[i], i);
    CHECK(!mailbox_run(&box));
    mailbox_post(&box, &letters[0].mail, on_letter);
    CHECK_EQ_INT(atomic_load(&wakes), 2);
    CHECK(mailbox_run(&box));
}

static void
on_post_again(struct mail *mail)
{
    read_count++;
    mailbox_post(&box, mail, on_letter);
}

TEST(mail_posted_by_mail_waits_for_the_next_run)
{
    struct letter letter = { .number = 1 };
    mailbox_init(&box, on_wake, &wakes);
    read_count = 0;
    mailbox_post(&box, &letter.mail, on_post_again);
    CHECK(mailbox_run(&box));
    CHECK_EQ_U64(read_count, 1);
    CHECK(mailbox_run(&box));
    CHECK_EQ_U64(read_count, 2);
}

static void
on_free(struct mail *mail)
{
    read_count++;
    free(container_of(mail, struct letter, mail));
}

TEST(mail_may_free_itself)
{
    mailbox_init(&box, on_wake, &wakes);
    read_count = 0;
    for (int i = 0; i < 3; i++) {
        struct letter *letter = malloc(sizeof *letter);
        mailbox_post(&box, &letter->mail, on_free);
    }
    CHECK(mailbox_run(&box));
    CHECK_EQ_U64(read_count, 3);
}

enum { SENDERS = 4, LETTERS = 20000 };

static struct letter *sent[SENDERS];
static int next_number[SENDERS];
static bool in_order;
static int received;

static void
on_ordered(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);
    in_order = in_order && letter->number == next_number[letter->sender];
    next_number[letter->sender]++;
    received++;
}

static void *
sender_main(void *arg)
{
    struct letter *letters = arg;
    for (int i = 0; i < LETTERS; i++)
        mailbox_post(&box, &letters[i].mail, on_ordered);
    return NULL;
}

TEST(four_threads_lose_nothing_and_each_keeps_its_order)
{
    pthread_t threads[SENDERS];
    mailbox_init(&box, on_wake, &wakes);
    in_order = true;
    for (int s = 0; s < SENDERS; s++) {
        sent[s] = calloc(LETTERS, sizeof(struct letter));
        for (int i = 0; i < LETTERS; i++) {
            sent[s][i].sender = s;
            sent[s][i].number = i;
        }
    }
    for (int s = 0; s < SENDERS; s++)
        REQUIRE(pthread_create(&threads[s], NULL, sender_main, sent[s]) == 0);
    while (received < SENDERS * LETTERS) /* the runner's time limit ends it if one is lost */
        if (!mailbox_run(&box))
            sched_yield();
    CHECK(in_order);
    for (int s = 0; s < SENDERS; s++) {
        pthread_join(threads[s], NULL);
        free(sent[s]);
    }
    CHECK(!mailbox_run(&box));
}
