/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a short message stand in a long conversation: every window of the message goes
 * into a small hash table, and the conversation is run over once with a rolling hash (Rabin and
 * Karp). See redact.h.
 */
#include "redact.h"

#include <string.h>

#include "../shared/aws_credentials.h"
#include "../shared/memory.h"

enum {
    WINDOW = 16,
    SHORT_MIN = 4, /* what is shorter says nothing, and stands everywhere */
    MESSAGE_BYTES_MAX = 2 * REDACT_BYTES_MAX,
    SLOTS = 2048,
    FACTOR = 257,
};

struct search {
    const char *message;
    size_t len;
    bool is_hidden[MESSAGE_BYTES_MAX];
    uint16_t first[SLOTS];            /* where a window begins, + 1 */
    uint16_t next[MESSAGE_BYTES_MAX]; /* of the same slot, + 1 */
    uint32_t hash_of[MESSAGE_BYTES_MAX];
    uint32_t leaving; /* FACTOR to the power WINDOW - 1 */
};

static void
hide(struct search *s, size_t at, size_t len)
{
    memset(s->is_hidden + at, true, len);
}

static void
hide_every(struct search *s, const char *text, size_t len)
{
    if (len < SHORT_MIN)
        return;
    for (size_t at = 0; at + len <= s->len; at++)
        if (memcmp(s->message + at, text, len) == 0)
            hide(s, at, len);
}

static uint32_t
hash_first(const char *text)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < WINDOW; i++)
        hash = hash * FACTOR + (unsigned char)text[i];
    return hash;
}

static uint32_t
hash_next(const struct search *s, uint32_t hash, char leaves, char enters)
{
    hash -= (unsigned char)leaves * s->leaving;
    return hash * FACTOR + (unsigned char)enters;
}

static size_t
slot_of(uint32_t hash)
{
    return (hash ^ (hash >> 15)) % SLOTS;
}

static void
index_message(struct search *s)
{
    s->leaving = 1;
    for (size_t i = 1; i < WINDOW; i++)
        s->leaving *= FACTOR;
    for (size_t at = 0; at + WINDOW <= s->len; at++) {
        uint32_t hash = at == 0 ? hash_first(s->message)
                                : hash_next(s, s->hash_of[at - 1], s->message[at - 1],
                                            s->message[at + WINDOW - 1]);
        s->hash_of[at] = hash;
        s->next[at] = s->first[slot_of(hash)];
        s->first[slot_of(hash)] = (uint16_t)(at + 1);
    }
}

/* A window that was found is not looked for again. */
static void
hide_window(struct search *s, const char *window, uint32_t hash)
{
    uint16_t *link = &s->first[slot_of(hash)];
    while (*link != 0) {
        size_t at = *link - 1u;
        if (s->hash_of[at] != hash || memcmp(s->message + at, window, WINDOW) != 0) {
            link = &s->next[at];
            continue;
        }
        hide(s, at, WINDOW);
        *link = s->next[at];
    }
}

static void
hide_said(struct search *s, struct remora_slice said)
{
    if (said.len < WINDOW) {
        hide_every(s, said.data, said.len);
        return;
    }
    uint32_t hash = hash_first(said.data);
    hide_window(s, said.data, hash);
    for (size_t at = 1; at + WINDOW <= said.len; at++) {
        hash = hash_next(s, hash, said.data[at - 1], said.data[at + WINDOW - 1]);
        hide_window(s, said.data + at, hash);
    }
}

/* A character is hidden as a whole: otherwise the rest of it is no UTF-8. */
static void
hide_whole_characters(struct search *s)
{
    for (size_t i = 1; i < s->len; i++)
        if (((unsigned char)s->message[i] & 0xc0) == 0x80 && s->is_hidden[i - 1])
            s->is_hidden[i] = true;
    for (size_t i = s->len; i > 1; i--)
        if (((unsigned char)s->message[i - 1] & 0xc0) == 0x80 && s->is_hidden[i - 1])
            s->is_hidden[i - 2] = true;
}

/* So much of a text that was cut, which is UTF-8, is whole characters. */
static size_t
whole_characters(const char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return 0;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t needed = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    return len - (start - 1) >= needed ? len : start - 1;
}

static void
copy_shown(const struct search *s, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < s->len && len + 4 <= REDACT_BYTES_MAX; i++) {
        if (!s->is_hidden[i]) {
            unsigned char c = (unsigned char)s->message[i];
            out[len++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
        } else if (i == 0 || !s->is_hidden[i - 1]) {
            memcpy(out + len, "...", 3);
            len += 3;
        }
    }
    out[len] = '\0';
    out[whole_characters(out, len)] = '\0';
}

void
redact(const char *message, const struct settings *settings,
       const struct remora_conversation *conversation, char out[REDACT_BYTES_MAX + 1])
{
    struct search *s = memory_new(sizeof *s); /* too much for a stack */
    s->message = message;
    s->len = whole_characters(message, strnlen(message, MESSAGE_BYTES_MAX));
    index_message(s);
    const struct aws_keys *account = settings->credentials == NULL
                                         ? NULL
                                         : aws_credentials_last(settings->credentials);
    const char *const keys[] = { settings->key, account == NULL ? NULL : account->access_key,
                                 account == NULL ? NULL : account->secret_key,
                                 account == NULL ? NULL : account->session_token };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i] != NULL)
            hide_said(s, (struct remora_slice){ keys[i], strlen(keys[i]) });
    for (size_t i = 0; i < conversation->turn_count; i++) {
        const struct remora_turn *turn = &conversation->turns[i];
        for (size_t j = 0; j < turn->content_count; j++)
            hide_said(s, turn->content[j]);
        for (size_t j = 0; j < turn->tool_call_count; j++)
            hide_said(s, turn->tool_calls[j].arguments);
    }
    hide_whole_characters(s);
    copy_shown(s, out);
    free(s);
}
