/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of letters when the server confirms, refuses, blocks, or goes: publisher.c with a
 * connection that is played here, on one thread and a clock of the test's.
 */
#include <remora_plugin.h>

static void post_here(void (*fn)(void *arg), void *arg);
#define remora_post post_here
#include "plugins/rabbitmq/publisher.c" /* NOLINT(bugprone-suspicious-include): its statics */

#include "test.h"

enum { POSTS_MAX = 64, DONE_MAX = 32 };

static struct {
    bool is_connected, refuses_exchange;
    uint64_t now;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } posts[POSTS_MAX];
    size_t post_count;
    char sent[256]; /* a letter each, as its body's first byte */
    size_t declared;
    struct letter *done[DONE_MAX];
    size_t done_count;
} world;

/* --- the world ---------------------------------------------------------------------------------*/

uint64_t
now_ms(void)
{
    return world.now;
}

static void
post_here(void (*fn)(void *arg), void *arg)
{
    world.posts[world.post_count].fn = fn;
    world.posts[world.post_count++].arg = arg;
}

void
log_from_thread(enum remora_level level, const char *format, ...)
{
    (void)level, (void)format;
}

struct session *
session_new(const struct settings *settings, const struct session_ops *its_ops, void *owner)
{
    (void)settings, (void)its_ops, (void)owner;
    return NULL;
}

bool
session_start(struct session *session)
{
    (void)session;
    return true;
}

void
session_stop(struct session *session)
{
    (void)session;
}

void
session_free(struct session *session)
{
    (void)session;
}

void
session_ring(struct session *session)
{
    (void)session;
}

void
session_watch(struct session *session)
{
    (void)session;
}

amqp_connection_state_t
session_amqp(const struct session *session)
{
    (void)session;
    return world.is_connected ? (amqp_connection_state_t)&world : NULL;
}

void
session_break(struct session *session, const char *format, ...)
{
    (void)session, (void)format;
    world.is_connected = false;
}

void
session_enter(struct session *session)
{
    (void)session;
}

bool
session_answered(struct session *session, uint16_t channel, const char *what, char why[WHY_BYTES])
{
    (void)session, (void)channel, (void)what, (void)why;
    return true;
}

bool
session_wrote(struct session *session, int status)
{
    (void)session;
    return status == AMQP_STATUS_OK;
}

void
session_channel_closed(struct session *session, uint16_t channel, const amqp_channel_close_t *close,
                       char why[WHY_BYTES])
{
    (void)session, (void)channel, (void)close;
    snprintf(why, WHY_BYTES, "closed");
}

bool
session_open_channel(struct session *session, uint16_t channel, char why[WHY_BYTES])
{
    (void)session, (void)channel, (void)why;
    return world.is_connected;
}

bool
declare_exchange(struct session *session, const struct settings *settings, uint16_t channel,
                 amqp_bytes_t topic, char why[WHY_BYTES])
{
    (void)session, (void)settings, (void)channel, (void)topic;
    snprintf(why, WHY_BYTES, "refused");
    world.declared++;
    return !world.refuses_exchange;
}

bool
declare_binding_queue(struct session *session, const struct settings *its_settings,
                      uint16_t channel, char why[WHY_BYTES])
{
    (void)session, (void)its_settings, (void)channel;
    snprintf(why, WHY_BYTES, "refused");
    world.declared++;
    return !world.refuses_exchange;
}

amqp_confirm_select_ok_t *
amqp_confirm_select(amqp_connection_state_t state, amqp_channel_t channel)
{
    (void)state, (void)channel;
    return NULL;
}

int
amqp_basic_publish(amqp_connection_state_t state, amqp_channel_t channel, amqp_bytes_t exchange,
                   amqp_bytes_t routing_key, amqp_boolean_t mandatory, amqp_boolean_t immediate,
                   amqp_basic_properties_t const *properties, amqp_bytes_t body)
{
    (void)state, (void)channel, (void)exchange, (void)routing_key, (void)mandatory;
    (void)immediate, (void)properties;
    world.sent[strlen(world.sent)] = *(const char *)body.bytes;
    return AMQP_STATUS_OK;
}

/* --- the test's side ---------------------------------------------------------------------------*/

static void
on_done(void *owner, struct letter *letter)
{
    (void)owner;
    world.done[world.done_count++] = letter;
}

static void
on_nothing(void *owner)
{
    (void)owner;
}

static void
on_trouble(void *owner, const char *why)
{
    (void)owner, (void)why;
}

static struct settings settings;

static struct publisher *
begin(void)
{
    static const struct publisher_events events = {
        .ready = on_nothing, .lost = on_trouble, .done = on_done, .stopped = on_nothing
    };
    memset(&world, 0, sizeof world);
    world.is_connected = true;
    settings = (struct settings){ .shown = "rabbitmq pub/sub", .publisher_confirm = true };
    return publisher_start(&settings, &events, NULL);
}

static void
run_posts(void)
{
    for (size_t i = 0; i < world.post_count; i++)
        world.posts[i].fn(world.posts[i].arg);
    world.post_count = 0;
}

static void
end(struct publisher *publisher)
{
    run_posts();
    on_stopped(publisher);
    publisher_free(publisher);
    for (size_t i = 0; i < world.done_count; i++)
        letter_free(world.done[i]);
}

static struct letter *
post(struct publisher *publisher, const char *body)
{
    struct letter *letter = memory_new(sizeof *letter);
    letter->topic = amqp_cstring_bytes("topic");
    letter->data = (struct remora_bytes){ .data = body, .len = 1 };
    letter->deadline_ms = 1000;
    publisher_send(publisher, letter);
    return letter;
}

/* What is back, in its order: a letter each, in capitals if the server has it. */
static const char *
back(void)
{
    static char text[DONE_MAX + 1];
    run_posts();
    for (size_t i = 0; i < world.done_count; i++) {
        char first = *(const char *)world.done[i]->data.data;
        text[i] = (char)(world.done[i]->is_taken ? first - 'a' + 'A' : first);
    }
    text[world.done_count] = '\0';
    return text;
}

static void
answer(struct publisher *publisher, uint32_t method, uint64_t tag, bool is_multiple)
{
    amqp_basic_ack_t ack = { .delivery_tag = tag, .multiple = is_multiple };
    amqp_basic_nack_t nack = { .delivery_tag = tag, .multiple = is_multiple };
    amqp_frame_t frame = { .frame_type = AMQP_FRAME_METHOD, .channel = CHANNEL_PUBLISH };
    frame.payload.method.id = method;
    frame.payload.method.decoded = method == AMQP_BASIC_NACK_METHOD ? (void *)&nack : (void *)&ack;
    on_frame(publisher, &frame);
}

TEST(letters_are_done_when_they_are_confirmed_one_by_one_or_many_at_a_time)
{
    struct publisher *publisher = begin();
    for (const char *at = "abcdefg"; *at != '\0'; at++)
        (void)post(publisher, at);
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "abcdefg");
    CHECK_EQ_INT(world.declared, 1);
    CHECK_EQ_STR(back(), "");
    answer(publisher, AMQP_BASIC_ACK_METHOD, 2, false);
    CHECK_EQ_STR(back(), "B");
    answer(publisher, AMQP_BASIC_ACK_METHOD, 4, true);
    CHECK_EQ_STR(back(), "BACD");
    answer(publisher, AMQP_BASIC_NACK_METHOD, 6, true);
    CHECK_EQ_STR(back(), "BACDef");
    CHECK_EQ_INT(world.done[4]->effect, REMORA_EFFECT_FAILED);
    answer(publisher, AMQP_BASIC_ACK_METHOD, 4, true); /* twice, and never sent */
    answer(publisher, AMQP_BASIC_ACK_METHOD, 99, false);
    CHECK_EQ_STR(back(), "BACDef");
    answer(publisher, AMQP_BASIC_ACK_METHOD, UINT64_MAX, true);
    CHECK_EQ_STR(back(), "BACDefG");
    end(publisher);
}

TEST(without_confirmations_a_letter_is_done_when_it_is_sent)
{
    struct publisher *publisher = begin();
    settings.publisher_confirm = false;
    (void)post(publisher, "a");
    on_work(publisher);
    CHECK_EQ_STR(back(), "A");
    end(publisher);
}

TEST(what_was_not_confirmed_is_sent_again_first_and_in_order_three_times)
{
    struct publisher *publisher = begin();
    (void)post(publisher, "a");
    (void)post(publisher, "b");
    on_work(publisher);
    (void)post(publisher, "c");
    world.is_connected = false;
    on_work(publisher);
    on_lost(publisher, "gone");
    world.is_connected = true;
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "ababc");
    CHECK_EQ_INT(world.declared, 2);
    answer(publisher, AMQP_BASIC_ACK_METHOD, 1, false); /* tags count from one again */
    CHECK_EQ_STR(back(), "A");
    on_lost(publisher, "gone");
    on_work(publisher);
    on_lost(publisher, "gone for good");
    CHECK_EQ_STR(back(), "Ab");
    CHECK_EQ_INT(world.done[1]->effect, REMORA_EFFECT_UNKNOWN);
    CHECK_EQ_STR(world.done[1]->why, "rabbitmq pub/sub error: gone for good");
    run_posts();
    on_stopped(publisher); /* what is left comes back too */
    CHECK_EQ_STR(back(), "Abc");
    CHECK_EQ_STR(world.done[2]->why, "rabbitmq pub/sub error: component is closed");
    end(publisher);
}

TEST(letters_wait_for_a_connection_and_while_the_server_blocks_until_their_time_is_over)
{
    struct publisher *publisher = begin();
    world.is_connected = false;
    (void)post(publisher, "a");
    on_work(publisher);
    CHECK_EQ_U64(due_ms(publisher), 1000);
    world.now = 1000;
    on_work(publisher);
    CHECK_EQ_STR(back(), "a");
    CHECK_EQ_INT(world.done[0]->effect, REMORA_EFFECT_NOT_SENT);
    CHECK_EQ_STR(world.done[0]->why, "rabbitmq pub/sub error: channel/connection is not open");
    world.is_connected = true;
    on_blocked(publisher, "low on memory");
    (void)post(publisher, "b");
    on_work(publisher);
    (void)back();
    CHECK_EQ_STR(publisher_trouble(publisher), "the server has blocked publishing: low on memory");
    world.now = 2000;
    on_work(publisher);
    CHECK_EQ_STR(back(), "ab");
    CHECK_EQ_STR(world.done[1]->why,
                 "rabbitmq pub/sub error: the server has blocked publishing: low on memory");
    (void)post(publisher, "c");
    on_blocked(publisher, NULL);
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "c");
    world.now = 3000; /* and is not confirmed */
    on_work(publisher);
    CHECK_EQ_STR(back(), "abc");
    CHECK_EQ_INT(world.done[2]->effect, REMORA_EFFECT_UNKNOWN);
    CHECK_EQ_STR(publisher_trouble(publisher), "");
    end(publisher);
}

TEST(what_nobody_waits_for_is_not_sent)
{
    struct publisher *publisher = begin();
    struct letter *letter = post(publisher, "a");
    (void)post(publisher, "b");
    atomic_store(&letter->state, LETTER_ABANDONED);
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "b");
    CHECK_EQ_STR(back(), "a");
    end(publisher);
}

TEST(an_exchange_that_is_refused_fails_its_letters_only)
{
    struct publisher *publisher = begin();
    (void)post(publisher, "a");
    on_work(publisher);
    world.refuses_exchange = true;
    post(publisher, "b")->topic = amqp_cstring_bytes("other");
    (void)post(publisher, "c");
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "ac");
    CHECK_EQ_STR(back(), "b");
    CHECK_EQ_STR(world.done[0]->why, "rabbitmq pub/sub error: refused");
    answer(publisher, AMQP_BASIC_ACK_METHOD, 2, true);
    CHECK_EQ_STR(back(), "bAC");
    end(publisher);
}

TEST(no_more_are_on_their_way_than_the_bound_says)
{
    struct publisher *publisher = begin();
    for (size_t i = 0; i < UNCONFIRMED_MAX; i++) {
        struct letter *letter = memory_new(sizeof *letter);
        letter->tag = i + 1;
        letter->deadline_ms = 1000;
        letters_add(&publisher->sent, letter);
    }
    publisher->is_open = true;
    (void)post(publisher, "a");
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "");
    letter_free(letters_take(&publisher->sent, &publisher->sent.first));
    on_work(publisher);
    CHECK_EQ_STR(world.sent, "a");
    while (publisher->sent.first != NULL && publisher->sent.first->topic.len == 0)
        letter_free(letters_take(&publisher->sent, &publisher->sent.first));
    end(publisher);
}

TEST(the_queue_of_a_binding_is_declared_at_once_and_again_when_a_message_did_not_find_it)
{
    struct publisher *publisher = begin();
    amqp_frame_t frame = { .frame_type = AMQP_FRAME_METHOD, .channel = CHANNEL_PUBLISH };
    settings.queue = (char[]){ "jobs" };
    on_ready(publisher);
    CHECK_EQ_INT(world.declared, 1);
    (void)post(publisher, "a");
    on_work(publisher);
    CHECK_EQ_INT(world.declared, 1);
    frame.payload.method.id = AMQP_BASIC_RETURN_METHOD;
    on_frame(publisher, &frame);
    answer(publisher, AMQP_BASIC_ACK_METHOD, 1, false);
    (void)post(publisher, "b");
    on_work(publisher);
    CHECK_EQ_INT(world.declared, 2);
    CHECK_EQ_STR(world.sent, "ab");
    settings.is_exclusive = true; /* then it is the reading connection's */
    on_lost(publisher, "gone");
    on_ready(publisher);
    CHECK_EQ_INT(world.declared, 2);
    settings.is_exclusive = false;
    world.refuses_exchange = true;
    on_work(publisher);
    CHECK_EQ_STR(back(), "Ab");
    CHECK_EQ_STR(world.done[1]->why, "rabbitmq pub/sub error: refused");
    end(publisher);
}
