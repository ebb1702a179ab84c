/* SPDX-License-Identifier: Apache-2.0 */
/* See keys.h. A page ends with a key, which stays where it is in the order whatever is written. */
#include "keys.h"

#include <string.h>

#include "../shared/memory.h"

struct listing {
    struct keys *keys;
    size_t most;
};

static struct failure *
take_key(char **columns, const unsigned long *lengths, void *arg)
{
    struct listing *listing = arg;
    struct keys *keys = listing->keys;
    if (keys->count == listing->most || keys->bytes > RESULT_BYTES_MAX) {
        keys->is_partial = true;
        return NULL;
    }
    char *copy = memory_new(lengths[0] + 1);
    if (lengths[0] > 0)
        memcpy(copy, columns[0], lengths[0]);
    keys->list[keys->count++] = (struct remora_slice){ copy, lengths[0] };
    keys->bytes += lengths[0];
    return NULL;
}

struct failure *
keys_like(struct session *session, const struct table *table, struct remora_slice pattern,
          uint32_t page_size, struct remora_slice token, struct keys *keys)
{
    if (pattern.len == 0 || pattern.len > PATTERN_BYTES_MAX)
        return failure_new(REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                           "the key pattern is empty or longer than %d bytes", PATTERN_BYTES_MAX);
    struct listing listing = { .keys = keys,
                               .most = page_size == 0 || page_size > PAGE_KEYS_MAX ? PAGE_KEYS_MAX
                                                                                   : page_size };
    keys->list = memory_new(listing.most * sizeof(*keys->list));
    struct text *text = &session->text;
    text_clear(text);
    text_add(text, "SELECT id FROM `%s` WHERE id%s LIKE ", table->name,
             table->is_exact ? "" : " COLLATE utf8mb4_bin");
    text_quote(text, session->db, pattern);
    if (token.len > 0) {
        text_put(text, " AND id > ");
        text_quote(text, session->db, token);
    }
    text_add(text,
             " AND (expiredate IS NULL OR expiredate > CURRENT_TIMESTAMP) ORDER BY id LIMIT %zu",
             listing.most + 1);
    return session_read(session, 1, take_key, &listing);
}

void
keys_fini(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        free((void *)(uintptr_t)keys->list[i].data);
    free(keys->list);
    *keys = (struct keys){ .list = NULL };
}
