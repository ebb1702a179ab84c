/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing. */
#include "publisher.h"

#include <pthread.h>
#include <stdio.h>

#include "topology.h"

enum { CHANNEL_PUBLISH = 1, CHANNEL_DECLARE = 2 };

struct letters {
    struct letter *first, **last;
    size_t count;
};

struct publisher {
    const struct settings *settings;
    const struct publisher_events *events;
    void *owner;
    struct session *session;
    char trouble[WHY_BYTES]; /* the plugin's thread's */

    pthread_mutex_t lock;
    struct letters inbox, outbox; /* under the lock: to the thread, and back */

    /* The thread's. */
    struct letters waiting, sent;
    uint64_t next_tag;
    bool is_open, may_declare; /* the two channels */
    bool is_blocked;
    char blocked_why[NAME_BYTES_MAX + 1];
    amqp_bytes_t exchanges[EXCHANGES_MAX]; /* owned; declared on this connection */
    size_t exchange_count;
    bool has_queue; /* a binding's is declared on this connection */
};

/* --- lists -------------------------------------------------------------------------------------*/

static void
letters_init(struct letters *letters)
{
    *letters = (struct letters){ .last = &letters->first };
}

static void
letters_add(struct letters *letters, struct letter *letter)
{
    letter->next = NULL;
    *letters->last = letter;
    letters->last = &letter->next;
    letters->count++;
}

/* The one that *at points to. */
static struct letter *
letters_take(struct letters *letters, struct letter **at)
{
    struct letter *letter = *at;
    *at = letter->next;
    if (letters->last == &letter->next)
        letters->last = at;
    letters->count--;
    return letter;
}

/* All of `from`, behind or before what is in `to`. */
static void
letters_move(struct letters *to, struct letters *from, bool is_before)
{
    if (from->first == NULL)
        return;
    if (is_before) {
        *from->last = to->first;
        if (to->first == NULL)
            to->last = from->last;
        to->first = from->first;
    } else {
        *to->last = from->first;
        to->last = from->last;
    }
    to->count += from->count;
    letters_init(from);
}

/* --- back to the plugin's thread ---------------------------------------------------------------*/

static void
on_outbox(void *arg)
{
    struct publisher *publisher = arg;
    struct letters done;
    letters_init(&done);
    pthread_mutex_lock(&publisher->lock);
    letters_move(&done, &publisher->outbox, false);
    pthread_mutex_unlock(&publisher->lock);
    while (done.first != NULL)
        publisher->events->done(publisher->owner, letters_take(&done, &done.first));
}

static void
give_back(struct publisher *publisher, struct letter *letter)
{
    pthread_mutex_lock(&publisher->lock);
    bool was_empty = publisher->outbox.first == NULL;
    letters_add(&publisher->outbox, letter);
    pthread_mutex_unlock(&publisher->lock);
    if (was_empty)
        remora_post(on_outbox, publisher);
}

static void
give_back_taken(struct publisher *publisher, struct letter *letter)
{
    letter->is_taken = true;
    give_back(publisher, letter);
}

struct news {
    struct publisher *publisher;
    enum { NEWS_READY, NEWS_LOST, NEWS_TROUBLE } what;
    char text[WHY_BYTES];
};

static void
on_news(void *arg)
{
    struct news *news = arg;
    struct publisher *publisher = news->publisher;
    snprintf(publisher->trouble, sizeof publisher->trouble, "%s", news->text);
    if (news->what == NEWS_READY)
        publisher->events->ready(publisher->owner);
    else if (news->what == NEWS_LOST)
        publisher->events->lost(publisher->owner, news->text);
    free(news);
}

static void
tell(struct publisher *publisher, int what, const char *text)
{
    struct news *news = memory_new(sizeof *news);
    news->publisher = publisher;
    news->what = what;
    snprintf(news->text, sizeof news->text, "%s", text);
    remora_post(on_news, news);
}

/* --- channels ----------------------------------------------------------------------------------*/

static void
forget_exchanges(struct publisher *publisher)
{
    for (size_t i = 0; i < publisher->exchange_count; i++)
        free(publisher->exchanges[i].bytes);
    publisher->exchange_count = 0;
    publisher->has_queue = false;
}

/* What was sent on the channel that is gone and not confirmed goes to the front again. */
static void
channel_lost(struct publisher *publisher, const char *why)
{
    struct letters again;
    letters_init(&again);
    publisher->is_open = false;
    forget_exchanges(publisher); /* perhaps one was deleted */
    while (publisher->sent.first != NULL) {
        struct letter *letter = letters_take(&publisher->sent, &publisher->sent.first);
        if (letter->tries >= PUBLISH_TRIES_MAX) {
            letter_fail(letter, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN, ERROR_PREFIX "%s",
                        publisher->settings->shown, why);
            give_back(publisher, letter);
            continue;
        }
        atomic_store(&letter->state, LETTER_AGAIN);
        letters_add(&again, letter);
    }
    letters_move(&publisher->waiting, &again, true);
}

static void
open_channel(struct publisher *publisher)
{
    char why[WHY_BYTES];
    struct session *session = publisher->session;
    publisher->next_tag = 1;
    if (!session_open_channel(session, CHANNEL_PUBLISH, why)) {
        session_break(session, "%s", why);
        return;
    }
    if (publisher->settings->publisher_confirm) {
        session_enter(session);
        (void)amqp_confirm_select(session_amqp(session), CHANNEL_PUBLISH);
        if (!session_answered(session, CHANNEL_PUBLISH, "confirmations cannot be had", why)) {
            session_break(session, "%s", why);
            return;
        }
    }
    publisher->is_open = true;
}

static bool
is_declared(const struct publisher *publisher, amqp_bytes_t topic)
{
    for (size_t i = 0; i < publisher->exchange_count; i++)
        if (publisher->exchanges[i].len == topic.len &&
            memcmp(publisher->exchanges[i].bytes, topic.bytes, topic.len) == 0)
            return true;
    return false;
}

/* A channel of its own: a refusal closes it, and would take with it what is not confirmed. */
static bool
open_to_declare(struct publisher *publisher, char why[WHY_BYTES])
{
    return publisher->may_declare || session_open_channel(publisher->session, CHANNEL_DECLARE, why);
}

static bool
ensure_exchange(struct publisher *publisher, amqp_bytes_t topic, char why[WHY_BYTES])
{
    if (is_declared(publisher, topic))
        return true;
    if (!open_to_declare(publisher, why))
        return false;
    publisher->may_declare = declare_exchange(publisher->session, publisher->settings,
                                              CHANNEL_DECLARE, topic, why);
    if (!publisher->may_declare)
        return false;
    if (publisher->exchange_count == EXCHANGES_MAX)
        forget_exchanges(publisher);
    publisher->exchanges[publisher->exchange_count++] = amqp_bytes_malloc_dup(topic);
    return true;
}

/* One that is for a single connection is declared by the one that reads. */
static bool
ensure_queue(struct publisher *publisher, char why[WHY_BYTES])
{
    const struct settings *settings = publisher->settings;
    if (publisher->has_queue || settings->queue == NULL || settings->is_exclusive)
        return true;
    if (!open_to_declare(publisher, why))
        return false;
    publisher->may_declare = declare_binding_queue(publisher->session, settings, CHANNEL_DECLARE,
                                                   why);
    publisher->has_queue = publisher->may_declare;
    return publisher->has_queue;
}

static bool
ensure_destination(struct publisher *publisher, const struct letter *letter, char why[WHY_BYTES])
{
    if (publisher->settings->queue != NULL)
        return ensure_queue(publisher, why);
    return ensure_exchange(publisher, letter->topic, why);
}

/* --- sending -----------------------------------------------------------------------------------*/

/* False: somebody has given it up. */
static bool
claim(struct letter *letter)
{
    enum letter_state state = LETTER_WAITING;
    if (atomic_compare_exchange_strong(&letter->state, &state, LETTER_SENT))
        return true;
    return state == LETTER_AGAIN &&
           atomic_compare_exchange_strong(&letter->state, &state, LETTER_SENT);
}

static void
send_one(struct publisher *publisher, struct letter *letter)
{
    struct session *session = publisher->session;
    char why[WHY_BYTES];
    if (!ensure_destination(publisher, letter, why)) {
        if (session_amqp(session) != NULL) {
            letter_fail(letter, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED, ERROR_PREFIX "%s",
                        publisher->settings->shown, why);
            give_back(publisher, letter);
        } else { /* it was not the letter's fault */
            struct letters front;
            letters_init(&front);
            letters_add(&front, letter);
            atomic_store(&letter->state, letter->tries == 0 ? LETTER_WAITING : LETTER_AGAIN);
            letters_move(&publisher->waiting, &front, true);
        }
        return;
    }
    letter->tries++;
    letter->tag = publisher->next_tag++;
    amqp_bytes_t body = { letter->data.len, (void *)(uintptr_t)letter->data.data };
    session_enter(session);
    bool ok = session_wrote(session, amqp_basic_publish(session_amqp(session), CHANNEL_PUBLISH,
                                                        letter->topic, letter->key,
                                                        publisher->settings->queue != NULL, 0,
                                                        &letter->properties, body));
    if (ok && !publisher->settings->publisher_confirm)
        give_back_taken(publisher, letter);
    else
        letters_add(&publisher->sent, letter); /* if not, channel_lost() follows */
}

static const char *
why_it_waits(const struct publisher *publisher)
{
    if (session_amqp(publisher->session) == NULL)
        return "channel/connection is not open";
    return publisher->is_blocked ? publisher->blocked_why
                                 : "too many messages wait for their confirmation";
}

static void
give_up_waiting(struct publisher *publisher, struct letter *letter)
{
    bool is_again = letter->tries > 0;
    letter_fail(letter, REMORA_UNAVAILABLE,
                is_again ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT, ERROR_PREFIX "%s",
                publisher->settings->shown, why_it_waits(publisher));
    give_back(publisher, letter);
}

/* Past their time, or abandoned. */
static void
sort_out(struct publisher *publisher)
{
    uint64_t now = now_ms();
    for (struct letter **at = &publisher->waiting.first; *at != NULL;) {
        bool is_abandoned = atomic_load(&(*at)->state) == LETTER_ABANDONED;
        if (is_abandoned || now >= (*at)->deadline_ms)
            give_up_waiting(publisher, letters_take(&publisher->waiting, at));
        else
            at = &(*at)->next;
    }
    for (struct letter **at = &publisher->sent.first; *at != NULL;) {
        if (now < (*at)->deadline_ms) {
            at = &(*at)->next;
            continue;
        }
        struct letter *letter = letters_take(&publisher->sent, at);
        letter_fail(letter, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN,
                    ERROR_PREFIX "did not receive confirmation of publishing",
                    publisher->settings->shown);
        give_back(publisher, letter);
    }
}

static void
send_waiting(struct publisher *publisher)
{
    while (publisher->waiting.first != NULL && publisher->sent.count < UNCONFIRMED_MAX &&
           publisher->is_open && !publisher->is_blocked &&
           session_amqp(publisher->session) != NULL) {
        struct letter *letter = letters_take(&publisher->waiting, &publisher->waiting.first);
        if (claim(letter))
            send_one(publisher, letter);
        else
            give_up_waiting(publisher, letter);
    }
}

static void
on_work(void *owner)
{
    struct publisher *publisher = owner;
    pthread_mutex_lock(&publisher->lock);
    letters_move(&publisher->waiting, &publisher->inbox, false);
    pthread_mutex_unlock(&publisher->lock);
    sort_out(publisher);
    if (session_amqp(publisher->session) != NULL && !publisher->is_open)
        open_channel(publisher);
    send_waiting(publisher);
}

/* When the earliest of them has waited long enough. */
static uint64_t
due_ms(void *owner)
{
    const struct publisher *publisher = owner;
    uint64_t due = UINT64_MAX;
    if (session_amqp(publisher->session) != NULL && !publisher->is_open)
        return 0; /* the server closed the channel: open it again */
    for (const struct letter *at = publisher->waiting.first; at != NULL; at = at->next)
        due = at->deadline_ms < due ? at->deadline_ms : due;
    for (const struct letter *at = publisher->sent.first; at != NULL; at = at->next)
        due = at->deadline_ms < due ? at->deadline_ms : due;
    return due;
}

/* --- confirmations -----------------------------------------------------------------------------*/

static void
confirm(struct publisher *publisher, uint64_t tag, bool is_multiple, bool is_taken)
{
    for (struct letter **at = &publisher->sent.first; *at != NULL && (*at)->tag <= tag;) {
        if (!is_multiple && (*at)->tag != tag) {
            at = &(*at)->next;
            continue;
        }
        struct letter *letter = letters_take(&publisher->sent, at);
        if (is_taken) {
            give_back_taken(publisher, letter);
            continue;
        }
        letter_fail(letter, REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED,
                    ERROR_PREFIX "did not receive confirmation of publishing: the server could "
                                 "not take the message",
                    publisher->settings->shown);
        give_back(publisher, letter);
    }
}

static void
on_frame(void *owner, const amqp_frame_t *frame)
{
    struct publisher *publisher = owner;
    char why[WHY_BYTES];
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return;
    const void *method = frame->payload.method.decoded;
    const amqp_basic_ack_t *ack = method;
    const amqp_basic_nack_t *nack = method;
    switch (frame->payload.method.id) {
    case AMQP_BASIC_ACK_METHOD:
        confirm(publisher, ack->delivery_tag, ack->multiple, true);
        break;
    case AMQP_BASIC_NACK_METHOD:
        confirm(publisher, nack->delivery_tag, nack->multiple, false);
        break;
    case AMQP_BASIC_RETURN_METHOD: /* its confirmation follows as if nothing had happened */
        publisher->has_queue = false;
        log_from_thread(REMORA_WARN, "%s: queue %s was not there: a message is lost",
                        publisher->settings->shown, publisher->settings->queue);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        session_channel_closed(publisher->session, frame->channel, method, why);
        log_from_thread(REMORA_WARN, "%s: the server closed a channel reason=\"%s\"",
                        publisher->settings->shown, why);
        if (frame->channel == CHANNEL_DECLARE)
            publisher->may_declare = false;
        else
            channel_lost(publisher, why);
        break;
    default:
        break;
    }
}

/* --- the connection ----------------------------------------------------------------------------*/

static void
on_ready(void *owner)
{
    char why[WHY_BYTES];
    struct publisher *publisher = owner;
    if (ensure_queue(publisher, why))
        tell(publisher, NEWS_READY, "");
    else
        tell(publisher, NEWS_LOST, why);
}

static void
on_lost(void *owner, const char *why)
{
    struct publisher *publisher = owner;
    publisher->may_declare = false;
    publisher->is_blocked = false;
    channel_lost(publisher, why);
    tell(publisher, NEWS_LOST, why);
}

static void
on_blocked(void *owner, const char *why)
{
    struct publisher *publisher = owner;
    publisher->is_blocked = why != NULL;
    if (why == NULL) {
        log_from_thread(REMORA_INFO, "%s: the server takes messages again",
                        publisher->settings->shown);
        tell(publisher, NEWS_TROUBLE, "");
        return;
    }
    snprintf(publisher->blocked_why, sizeof publisher->blocked_why,
             "the server has blocked publishing: %.200s", why);
    log_from_thread(REMORA_WARN, "%s: %s; messages wait", publisher->settings->shown,
                    publisher->blocked_why);
    tell(publisher, NEWS_TROUBLE, publisher->blocked_why);
}

static void
on_stopped(void *owner)
{
    struct publisher *publisher = owner;
    letters_move(&publisher->sent, &publisher->waiting, false);
    letters_move(&publisher->sent, &publisher->inbox, false);
    on_outbox(publisher);
    while (publisher->sent.first != NULL) {
        struct letter *letter = letters_take(&publisher->sent, &publisher->sent.first);
        letter_fail(letter, REMORA_UNAVAILABLE,
                    letter->tries > 0 ? REMORA_EFFECT_UNKNOWN : REMORA_EFFECT_NOT_SENT,
                    ERROR_PREFIX "component is closed", publisher->settings->shown);
        publisher->events->done(publisher->owner, letter);
    }
    publisher->events->stopped(publisher->owner);
}

/* --- from outside ------------------------------------------------------------------------------*/

static const struct session_ops ops = { .name = "publisher",
                                        .ready = on_ready,
                                        .lost = on_lost,
                                        .work = on_work,
                                        .frame = on_frame,
                                        .due_ms = due_ms,
                                        .blocked = on_blocked,
                                        .stopped = on_stopped };

struct publisher *
publisher_start(const struct settings *settings, const struct publisher_events *events, void *owner)
{
    struct publisher *publisher = memory_new(sizeof *publisher);
    publisher->settings = settings;
    publisher->events = events;
    publisher->owner = owner;
    pthread_mutex_init(&publisher->lock, NULL);
    letters_init(&publisher->inbox);
    letters_init(&publisher->outbox);
    letters_init(&publisher->waiting);
    letters_init(&publisher->sent);
    snprintf(publisher->trouble, sizeof publisher->trouble, "there is no connection yet");
    publisher->session = session_new(settings, &ops, publisher);
    if (session_start(publisher->session))
        return publisher;
    publisher_free(publisher);
    return NULL;
}

void
publisher_send(struct publisher *publisher, struct letter *letter)
{
    letter->deadline_ms += now_ms();
    pthread_mutex_lock(&publisher->lock);
    bool was_empty = publisher->inbox.first == NULL;
    letters_add(&publisher->inbox, letter);
    pthread_mutex_unlock(&publisher->lock);
    if (was_empty)
        session_ring(publisher->session);
}

void
publisher_stop(struct publisher *publisher)
{
    session_stop(publisher->session);
}

void
publisher_free(struct publisher *publisher)
{
    session_free(publisher->session);
    forget_exchanges(publisher);
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

void
publisher_watch(struct publisher *publisher)
{
    session_watch(publisher->session);
}

const char *
publisher_trouble(const struct publisher *publisher)
{
    return publisher->trouble;
}
