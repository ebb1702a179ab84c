/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding keys, with SCAN, a page at a time; and the query API, which needs modules of the server.
 *
 * A page ends in the middle of what one SCAN brought, so the token of the next page carries the
 * keys left over beside the cursor: "<cursor>:" and then "<length>:<key>" for each. As with SCAN
 * itself, a key that is there all the time appears, and one may appear on two pages if the server
 * resizes its table meanwhile. The servers of a cluster are searched in turn, each named by its
 * lowest slot, "<slot>:" in front of the token; what moves to another one meanwhile may be missed.
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCAN_COUNT_MIN = 100,
    SCAN_COUNT_MAX = 1000,
    KEYS_MAX = 1 << 20, /* of one answer */
    KEYS_BYTES_MAX = 64 << 20,
    GLOB_BYTES_MAX = 4096,
};

struct search {
    struct store *store;
    remora_call *call;
    struct remora_slice pattern;
    char *glob; /* what the server looks for: no less than the pattern */
    int slot;   /* of the server that is searched; LINK_ANY: all have been */
    char cursor[24], wanted[24];
    size_t page_size;          /* 0: all */
    struct remora_slice *keys; /* owned, and each key too */
    size_t count, cap, bytes;
};

static void send_scan(struct search *search);

/* --- LIKE --------------------------------------------------------------------------------------*/

static size_t
character_bytes(struct remora_slice text, size_t at)
{
    size_t bytes = 1;
    while (at + bytes < text.len && ((unsigned char)text.data[at + bytes] & 0xc0) == 0x80)
        bytes++;
    return bytes;
}

/* Matches one element of the pattern that is not `%` against the key; moves both on. */
static bool
match_one(struct remora_slice key, size_t *k, struct remora_slice pattern, size_t *p)
{
    if (*k >= key.len)
        return false;
    if (pattern.data[*p] == '_') {
        *k += character_bytes(key, *k);
        *p += 1;
        return true;
    }
    size_t at = *p + (pattern.data[*p] == '\\' && *p + 1 < pattern.len);
    if (pattern.data[at] != key.data[*k])
        return false;
    *k += 1;
    *p = at + 1;
    return true;
}

bool
state_key_is_like(struct remora_slice key, struct remora_slice pattern)
{
    size_t k = 0, p = 0, retry_k = 0, retry_p = SIZE_MAX;
    for (;;) {
        if (p < pattern.len && pattern.data[p] == '%') {
            retry_p = ++p;
            retry_k = k;
        } else if (p == pattern.len && k == key.len) {
            return true;
        } else if (p == pattern.len || !match_one(key, &k, pattern, &p)) {
            /* The last % takes one character more. */
            if (retry_p == SIZE_MAX || retry_k >= key.len)
                return false;
            retry_k += character_bytes(key, retry_k);
            k = retry_k;
            p = retry_p;
        }
    }
}

/* The literal beginning of the pattern, for MATCH, and a star. */
static char *
glob_of(remora_call *call, struct remora_slice pattern)
{
    char *glob = remora_call_alloc(call, GLOB_BYTES_MAX);
    size_t len = 0, i = 0;
    for (; i < pattern.len && len + 4 < GLOB_BYTES_MAX; i++) {
        char byte = pattern.data[i];
        if (byte == '%' || byte == '_')
            break;
        if (byte == '\\' && i + 1 < pattern.len)
            byte = pattern.data[++i];
        if (byte == '\0')
            break;
        if (strchr("*?[]^\\", byte) != NULL)
            glob[len++] = '\\';
        glob[len++] = byte;
    }
    glob[len] = '*';
    glob[len + 1] = '\0';
    return glob;
}

/* --- the keys found ----------------------------------------------------------------------------*/

static void
search_fini(struct search *search)
{
    for (size_t i = 0; i < search->count; i++)
        free((void *)(uintptr_t)search->keys[i].data);
    free(search->keys);
    search->keys = NULL;
    search->count = 0;
}

static bool
is_utf8(struct remora_slice text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char byte = (unsigned char)text.data[i];
        size_t bytes = byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
        if (bytes == 0 || byte > 0xf4 || i + bytes > text.len ||
            character_bytes((struct remora_slice){ text.data + i, bytes }, 0) != bytes)
            return false;
        unsigned char second = bytes > 1 ? (unsigned char)text.data[i + 1] : 0x80;
        if ((byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) ||
            (byte == 0xf0 && second < 0x90) || (byte == 0xf4 && second > 0x8f))
            return false;
        i += bytes;
    }
    return true;
}

static char *
copy_of(struct remora_slice key)
{
    char *copy = malloc(key.len + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, key.data, key.len);
    return copy;
}

/* Keeps a key that fits. False: too many of them. */
static bool
keep_key(struct search *search, struct remora_slice key)
{
    /* A key that is no text is not one of ours, and has no place in the contract. */
    if (!state_key_is_like(key, search->pattern) || !is_utf8(key))
        return true;
    if (search->count == KEYS_MAX || search->bytes + key.len > KEYS_BYTES_MAX)
        return false;
    if (search->count == search->cap) {
        search->cap = search->cap == 0 ? 64 : search->cap * 2;
        search->keys = realloc(search->keys, search->cap * sizeof search->keys[0]);
        if (search->keys == NULL)
            abort();
    }
    search->keys[search->count++] = (struct remora_slice){ copy_of(key), key.len };
    search->bytes += key.len;
    return true;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct remora_slice *left = a, *right = b;
    size_t common = left->len < right->len ? left->len : right->len;
    int order = memcmp(left->data, right->data, common);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

/* SCAN may bring a key twice. */
static void
sort_keys(struct search *search)
{
    size_t kept = 0;
    if (search->count == 0)
        return;
    qsort(search->keys, search->count, sizeof search->keys[0], compare_keys);
    for (size_t i = 1; i < search->count; i++) {
        if (compare_keys(&search->keys[kept], &search->keys[i]) != 0)
            search->keys[++kept] = search->keys[i];
        else
            free((void *)(uintptr_t)search->keys[i].data);
    }
    search->count = kept + 1;
}

/* --- pages -------------------------------------------------------------------------------------*/

/* Takes "<number>:" off the front. */
static bool
take_number(struct remora_slice *rest, uint64_t *ret)
{
    size_t i = 0;
    uint64_t number = 0;
    for (; i < rest->len && rest->data[i] >= '0' && rest->data[i] <= '9'; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(rest->data[i] - '0'), &number))
            return false;
    if (i == 0 || i == rest->len || rest->data[i] != ':')
        return false;
    *rest = (struct remora_slice){ rest->data + i + 1, rest->len - i - 1 };
    *ret = number;
    return true;
}

/* Where the last page ended. The token comes back from the user: it may be anything. */
static bool
read_token(struct search *search, struct remora_slice token)
{
    uint64_t cursor, len, slot;
    if (!take_number(&token, &slot) || slot > SLOTS || !take_number(&token, &cursor))
        return false;
    search->slot = slot == SLOTS ? LINK_ANY : (int)slot;
    snprintf(search->cursor, sizeof search->cursor, "%" PRIu64, cursor);
    while (token.len > 0) {
        if (!take_number(&token, &len) || len > token.len)
            return false;
        struct remora_slice key = { token.data, (size_t)len };
        if (!keep_key(search, key))
            return false;
        token = (struct remora_slice){ token.data + len, token.len - (size_t)len };
    }
    return true;
}

static void
write_token(const struct search *search, size_t from, struct resp_buf *ret)
{
    char number[64];
    snprintf(number, sizeof number, "%d:%s:", search->slot == LINK_ANY ? SLOTS : search->slot,
             search->cursor);
    resp_buf_append(ret, number, strlen(number));
    for (size_t i = from; i < search->count; i++) {
        snprintf(number, sizeof number, "%zu:", search->keys[i].len);
        resp_buf_append(ret, number, strlen(number));
        resp_buf_append(ret, search->keys[i].data, search->keys[i].len);
    }
}

static void
reply_page(struct search *search)
{
    struct resp_buf token = { 0 };
    sort_keys(search);
    size_t count = search->count;
    if (search->page_size > 0 && count > search->page_size)
        count = search->page_size;
    if (count < search->count || search->slot != LINK_ANY)
        write_token(search, count, &token);
    struct search found = *search; /* which the reply takes with it */
    remora_state_reply_keys(
        found.call, found.keys, count,
        (struct remora_slice){ token.data == NULL ? "" : token.data, token.len });
    resp_buf_fini(&token);
    search_fini(&found);
}

static void
search_failed(struct search *search, const struct remora_failure *failure)
{
    search_fini(search);
    remora_reply_failure(search->call, failure);
}

/* [cursor, [key, …]] */
static bool
is_scan_answer(const struct resp_value *value)
{
    return value->type == RESP_ARRAY && value->count == 2 && value->items[0].type == RESP_STRING &&
           value->items[0].text.len > 0 && value->items[0].text.len <= 20 &&
           value->items[1].type == RESP_ARRAY;
}

static void
on_scan(const struct conn_result *result, void *arg)
{
    struct search *search = arg;
    struct remora_failure *failure = failure_of(search->store, search->call, result, false, "");
    if (failure == NULL && !is_scan_answer(result->value))
        failure = failure_new(search->call, REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                              "redis answered SCAN with something else");
    if (failure != NULL) {
        search_failed(search, failure);
        return;
    }
    const struct resp_value *cursor = &result->value->items[0], *keys = &result->value->items[1];
    memcpy(search->cursor, cursor->text.data, cursor->text.len);
    search->cursor[cursor->text.len] = '\0';
    if (strcmp(search->cursor, "0") == 0)
        search->slot = link_next_server(search->store->link, search->slot);
    bool fits = true;
    for (size_t i = 0; i < keys->count && fits; i++)
        if (keys->items[i].type == RESP_STRING)
            fits = keep_key(search, keys->items[i].text);
    if (!fits)
        search_failed(search,
                      failure_new(search->call, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED,
                                  "too many keys for one answer: ask for pages"));
    else if (search->slot == LINK_ANY ||
             (search->page_size > 0 && search->count >= search->page_size))
        reply_page(search);
    else if (remora_call_is_cancelled(search->call))
        search_failed(
            search, failure_new(search->call, REMORA_CANCELLED, REMORA_EFFECT_FAILED, "cancelled"));
    else
        send_scan(search);
}

static void
send_scan(struct search *search)
{
    size_t missing = search->page_size == 0 ? SCAN_COUNT_MAX : search->page_size - search->count;
    missing = missing < SCAN_COUNT_MIN   ? SCAN_COUNT_MIN
              : missing > SCAN_COUNT_MAX ? SCAN_COUNT_MAX
                                         : missing;
    snprintf(search->wanted, sizeof search->wanted, "%zu", missing);
    const char *words[] = {
        "SCAN", search->cursor, "MATCH", search->glob, "COUNT", search->wanted
    };
    struct remora_slice args[6];
    for (size_t i = 0; i < 6; i++)
        args[i] = (struct remora_slice){ words[i], strlen(words[i]) };
    if (!link_command(search->store->link, LINK_MAIN, search->slot, args, 6,
                      store_wait_ms(search->call), on_scan, search))
        search_failed(search, failure_busy(search->call));
}

void
state_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                struct remora_slice token)
{
    struct store *store = self;
    struct search *search = remora_call_alloc(call, sizeof *search);
    *search = (struct search){ .store = store,
                               .call = call,
                               .pattern = pattern,
                               .glob = glob_of(call, pattern),
                               .slot = link_next_server(store->link, LINK_ANY),
                               .cursor = "0",
                               .page_size = page_size };
    if (token.len > 0 && !read_token(search, token))
        search_failed(search, failure_new(call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                                          "the continuation token is not one of ours"));
    else if (token.len > 0 &&
             (search->slot == LINK_ANY || (page_size > 0 && search->count >= page_size)))
        reply_page(search); /* the scan had come to its end */
    else
        send_scan(search);
}

/* --- query -------------------------------------------------------------------------------------*/

void
state_query(remora_call *call, void *self, struct remora_slice query,
            struct remora_slice key_prefix, const struct remora_pair *metadata,
            size_t metadata_count)
{
    const struct store *store = self;
    struct remora_slice index;
    (void)query;
    (void)key_prefix;
    /* The reference's words. Indexes are not supported, so none is ever found. */
    if (!store->has_json)
        remora_reply_error(call, REMORA_INTERNAL,
                           "redis-json server support is required for query capability");
    else if (!remora_metadata_get(metadata, metadata_count, "queryIndexName", &index))
        remora_reply_error(call, REMORA_INTERNAL, "query index not found");
    else
        remora_reply_error(call, REMORA_INTERNAL, "query index schema \"%.*s\" not found",
                           index.len > 256 ? 256 : (int)index.len, index.data);
}
