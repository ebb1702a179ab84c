/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store whose operations fail as their keys say, and brokers (of single messages, and of
 * many at once) whose messages fail as their data say; both count them:
 *
 *   fail-N   the first N of this key fail (UNAVAILABLE, it did not happen); later ones succeed
 *   code-C   always fails with that gRPC code
 *   stale    always fails with an ETag that does not match
 *   hang     is never answered
 *   calls    answers how many operations there have been, this one left out
 *
 * A language model does so by the first text that it is told, and says how often it was told that:
 *
 *   bytes    what it says is not UTF-8
 *   nothing  it has no choices
 *
 * A get that succeeds answers how many there have been of its key, message or not.
 */
#include <remora_plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64, KEY_BYTES = 64, TEXT_BYTES = 24 };

static struct key {
    char name[KEY_BYTES];
    unsigned calls;
} keys[KEYS_MAX];
static unsigned calls;

/* The part behind the application's prefix. */
static const char *
own_part(struct remora_slice key, char text[KEY_BYTES])
{
    (void)snprintf(text, KEY_BYTES, "%.*s", (int)key.len, key.data);
    const char *bars = strstr(text, "||");
    return bars == NULL ? text : bars + 2;
}

static unsigned
count(const char *name)
{
    struct key *key = keys;
    while (key->name[0] != '\0' && strcmp(key->name, name) != 0)
        if (++key == keys + KEYS_MAX)
            exit(EXIT_FAILURE); /* a test with more keys wants a larger table */
    (void)snprintf(key->name, sizeof key->name, "%s", name);
    calls++;
    return ++key->calls;
}

/* The number behind the prefix, one digit or two; -1 without it. */
static int
number(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncmp(name, prefix, len) != 0 || name[len] < '0' || name[len] > '9')
        return -1;
    int value = name[len] - '0';
    return name[len + 1] >= '0' && name[len + 1] <= '9' ? value * 10 + name[len + 1] - '0' : value;
}

/* False: the call has been dealt with. */
static bool
succeeds(remora_call *call, const char *name, unsigned *ret_calls)
{
    unsigned so_far = *ret_calls = count(name);
    int failures = number(name, "fail-"), code = number(name, "code-");
    if (strcmp(name, "hang") == 0)
        return false;
    if (strcmp(name, "stale") == 0)
        remora_reply_failure(call, &(struct remora_failure){
                                       .code = REMORA_ABORTED,
                                       .reason = REMORA_REASON_ETAG_MISMATCH,
                                       .message = "told to be stale",
                                   });
    else if (code > 0)
        remora_reply_error(call, (enum remora_code)code, "told to fail with %d", code);
    else if (failures >= 0 && so_far <= (unsigned)failures)
        remora_reply_error(call, REMORA_UNAVAILABLE, "told to fail, time %u", so_far);
    else
        return true;
    return false;
}

static void
flaky_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    char key[KEY_BYTES], text[TEXT_BYTES];
    (void)self;
    const char *name = own_part(get->key, key);
    unsigned answer = calls;
    if (strcmp(name, "calls") != 0 && !succeeds(call, name, &answer))
        return;
    int len = snprintf(text, sizeof text, "%u", answer);
    remora_state_reply_value(
        call, &(struct remora_state_value){ .found = true,
                                            .value = { .data = text, .len = (size_t)len } });
}

static void
flaky_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    char key[KEY_BYTES];
    unsigned so_far;
    (void)self;
    if (succeeds(call, own_part(set->key, key), &so_far))
        remora_reply_ok(call);
}

static void
flaky_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    char key[KEY_BYTES];
    unsigned so_far;
    (void)self;
    if (succeeds(call, own_part(del->key, key), &so_far))
        remora_reply_ok(call);
}

static void
flaky_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    remora_reply_init(call, keys, REMORA_CAP_ETAG, 0);
}

static const struct remora_state_ops state_ops = { .get = flaky_get,
                                                   .set = flaky_set,
                                                   .del = flaky_delete };

/* --- broker ------------------------------------------------------------------------------------*/

static void
flaky_publish(remora_call *call, void *self, const struct remora_publish *message)
{
    char key[KEY_BYTES];
    unsigned so_far;
    (void)self;
    if (succeeds(call, own_part(message->data, key), &so_far))
        remora_reply_ok(call);
}

static void
flaky_publish_many(remora_call *call, void *self, const struct remora_publish *messages,
                   size_t count_, const struct remora_pair *metadata, size_t metadata_count)
{
    static const struct remora_failure told = { .code = REMORA_UNAVAILABLE,
                                                .message = "told to fail" };
    const struct remora_failure **failures = calloc(count_ + 1, sizeof(struct remora_failure *));
    (void)self;
    (void)metadata;
    (void)metadata_count;
    if (failures == NULL)
        exit(EXIT_FAILURE);
    for (size_t i = 0; i < count_; i++) {
        char key[KEY_BYTES];
        const char *name = own_part(messages[i].data, key);
        unsigned so_far = count(name);
        int times = number(name, "fail-");
        failures[i] = times >= 0 && so_far <= (unsigned)times ? &told : NULL;
    }
    remora_pubsub_reply_failures(call, failures, count_);
    free(failures);
}

/* --- language model ----------------------------------------------------------------------------*/

static void
flaky_converse(remora_call *call, void *self, const struct remora_conversation *conversation)
{
    char text[KEY_BYTES], said[TEXT_BYTES];
    const struct remora_slice none = { "", 0 };
    unsigned so_far;
    const struct remora_turn *turn = conversation->turns;
    (void)self;
    const char *name = own_part(
        conversation->turn_count > 0 && turn->content_count > 0 ? turn->content[0] : none, text);
    if (!succeeds(call, name, &so_far))
        return;
    int len = strcmp(name, "bytes") == 0 ? snprintf(said, sizeof said, "\xff\xfe")
                                         : snprintf(said, sizeof said, "%u", so_far);
    const struct remora_choice choice = { .finish_reason = { "stop", strlen("stop") },
                                          .content = { said, (size_t)len } };
    const struct remora_usage usage = { .completion = 1,
                                        .prompt = 2,
                                        .total = UINT64_MAX,
                                        .has_completion_parts = true,
                                        .has_prompt_parts = true,
                                        .reasoning = 4,
                                        .cached = 5 };
    const struct remora_answer answer = { .choices = &choice,
                                          .choice_count = strcmp(name, "nothing") == 0 ? 0 : 1,
                                          .model = { "flaky-1", strlen("flaky-1") },
                                          .usage = &usage };
    remora_conversation_reply(call, &answer);
}

static void
broker_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    remora_reply_init(call, keys, 0, 0);
}

static void
bulk_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    remora_reply_init(call, keys, REMORA_CAP_BULK_PUBLISH, 0);
}

static const struct remora_pubsub_ops single_ops = { .publish = flaky_publish };
static const struct remora_pubsub_ops bulk_ops = { .publish = flaky_publish,
                                                   .publish_many = flaky_publish_many };

static const struct remora_conversation_ops conversation_ops = { .converse = flaky_converse };

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "state.flaky", .versions = "v1", .init = flaky_init, .state = &state_ops },
        { .type = "pubsub.flaky", .versions = "v1", .init = broker_init, .pubsub = &single_ops },
        { .type = "pubsub.flaky-bulk", .versions = "v1", .init = bulk_init, .pubsub = &bulk_ops },
        { .type = "conversation.flaky",
          .versions = "v1",
          .init = broker_init,
          .conversation = &conversation_ops },
    };
    static const struct remora_plugin plugin = { .name = "flaky",
                                                 .version = "1.0.0",
                                                 .types = types,
                                                 .type_count = sizeof types / sizeof types[0] };
    return remora_plugin_main(&plugin, argc, argv);
}
