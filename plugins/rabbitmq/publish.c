/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: calls become letters, letters that are back become answers. */
#include <stdio.h>

#include "broker.h"

/* The messages of one call. */
struct bulk {
    struct broker *broker;
    remora_call *call; /* NULL: it has been answered */
    size_t count, left;
    struct letter **letters;                /* by index; NULL: it is done */
    const struct remora_failure **failures; /* the call's memory, by index */
};

static bool
has_room(const struct broker *broker, const struct letter *letter)
{
    return broker->letters < LETTERS_MAX &&
           (broker->letters == 0 || broker->letters_bytes + letter->bytes <= LETTERS_BYTES_MAX);
}

static void
send_letter(struct broker *broker, struct letter *letter)
{
    letter->owner = broker;
    broker->letters++;
    broker->letters_bytes += letter->bytes;
    publisher_send(broker->publisher, letter);
}

/* In the call's memory. */
static struct remora_failure *
failure_new(remora_call *call, enum remora_code code, enum remora_effect effect, const char *why)
{
    size_t bytes = strlen(why) + 1;
    char *message = remora_call_alloc(call, bytes);
    struct remora_failure *failure = remora_call_alloc(call, sizeof *failure);
    memcpy(message, why, bytes);
    *failure = (struct remora_failure){ .code = code, .effect = effect, .message = message };
    return failure;
}

/* The caller waits no longer: whether it has been sent is settled here. */
static struct remora_failure *
abandon(const struct broker *broker, remora_call *call, struct letter *letter)
{
    char why[WHY_BYTES * 2];
    enum letter_state state = LETTER_WAITING;
    bool is_unsent = atomic_compare_exchange_strong(&letter->state, &state, LETTER_ABANDONED);
    if (!is_unsent && state == LETTER_AGAIN)
        (void)atomic_compare_exchange_strong(&letter->state, &state, LETTER_ABANDONED);
    const char *trouble = publisher_trouble(broker->publisher);
    snprintf(why, sizeof why, ERROR_PREFIX "did not receive confirmation of publishing%s%s",
             broker->settings.shown, *trouble == '\0' ? "" : ": ", trouble);
    return failure_new(call, REMORA_DEADLINE_EXCEEDED,
                       is_unsent ? REMORA_EFFECT_NOT_SENT : REMORA_EFFECT_UNKNOWN, why);
}

static const struct remora_failure *
failure_busy(const struct broker *broker, remora_call *call)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, ERROR_PREFIX "too many messages wait to be published",
             broker->settings.shown);
    return failure_new(call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_NOT_SENT, why);
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
on_cancelled(remora_call *call, void *arg)
{
    struct letter *letter = arg;
    letter->call = NULL;
    remora_reply_failure(call, abandon(letter->owner, call, letter));
}

void
broker_send(struct broker *broker, remora_call *call, struct letter *letter, const char *why)
{
    if (letter == NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        return;
    }
    if (broker->is_closed || !has_room(broker, letter)) {
        remora_reply_failure(call, failure_busy(broker, call));
        letter_free(letter);
        return;
    }
    send_letter(broker, letter);
    remora_call_on_cancel(call, on_cancelled, letter); /* perhaps at once */
}

void
broker_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    struct broker *broker = self;
    char why[WHY_BYTES];
    struct letter *letter = letter_new(&broker->settings, call, message, NULL, 0, why);
    broker_send(broker, call, letter, why);
}

/* --- many --------------------------------------------------------------------------------------*/

static void
bulk_done(struct bulk *bulk)
{
    if (bulk->call != NULL)
        remora_pubsub_reply_failures(bulk->call, bulk->failures, bulk->count);
    free(bulk->letters);
    free(bulk);
}

static void
on_bulk_cancelled(remora_call *call, void *arg)
{
    struct bulk *bulk = arg;
    bulk->call = NULL;
    for (size_t i = 0; i < bulk->count; i++)
        if (bulk->letters[i] != NULL)
            bulk->failures[i] = abandon(bulk->broker, call, bulk->letters[i]);
    remora_pubsub_reply_failures(call, bulk->failures, bulk->count);
}

static void
add_to_bulk(struct bulk *bulk, size_t i, struct letter *letter, const char *why)
{
    if (letter == NULL) {
        bulk->failures[i] = failure_new(bulk->call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_NOT_SENT,
                                        why);
        return;
    }
    if (bulk->broker->is_closed || !has_room(bulk->broker, letter)) {
        bulk->failures[i] = failure_busy(bulk->broker, bulk->call);
        letter_free(letter);
        return;
    }
    letter->bulk = bulk;
    letter->index = i;
    bulk->letters[i] = letter;
    bulk->left++;
    send_letter(bulk->broker, letter);
}

/* In their order, on their way together. */
void
broker_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                    size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    struct broker *broker = self;
    struct bulk *bulk = memory_new(sizeof *bulk);
    *bulk = (struct bulk){ .broker = broker, .call = call, .count = count };
    bulk->letters = memory_new((count + 1) * sizeof(struct letter *));
    bulk->failures = remora_call_alloc(call, (count + 1) * sizeof bulk->failures[0]);
    for (size_t i = 0; i < count; i++) {
        char why[WHY_BYTES];
        bulk->failures[i] = NULL;
        add_to_bulk(
            bulk, i,
            letter_new(&broker->settings, call, &messages[i], metadata, metadata_count, why), why);
    }
    if (bulk->left == 0)
        bulk_done(bulk);
    else
        remora_call_on_cancel(call, on_bulk_cancelled, bulk); /* perhaps at once */
}

/* --- back --------------------------------------------------------------------------------------*/

static void
on_bulk_letter(struct bulk *bulk, const struct letter *letter)
{
    bulk->letters[letter->index] = NULL;
    if (bulk->call != NULL && !letter->is_taken)
        bulk->failures[letter->index] = failure_new(bulk->call, letter->code, letter->effect,
                                                    letter->why);
    if (--bulk->left == 0)
        bulk_done(bulk);
}

void
broker_on_letter(void *self, struct letter *letter)
{
    struct broker *broker = self;
    broker->letters--;
    broker->letters_bytes -= letter->bytes;
    if (letter->bulk != NULL)
        on_bulk_letter(letter->bulk, letter);
    else if (letter->call != NULL && letter->is_taken)
        remora_reply_ok(letter->call);
    else if (letter->call != NULL)
        remora_reply_failure(letter->call,
                             failure_new(letter->call, letter->code, letter->effect, letter->why));
    letter_free(letter);
}
