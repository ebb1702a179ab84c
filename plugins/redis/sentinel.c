/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search is a connection to one sentinel at a time, kept only for its question.
 */
#include "sentinel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct search {
    struct sentinels *sentinels;
    conn_located *done;
    void *arg;
    struct conn *conn; /* to the sentinel being asked */
    size_t tried;
    char why[CONN_WHY_BYTES];
};

static void ask_next(struct search *search);

static void
search_cancel(void *arg)
{
    struct search *search = arg;
    conn_free(search->conn);
    free(search);
}

static size_t
asked_index(const struct search *search)
{
    return (search->sentinels->preferred + search->tried) % search->sentinels->count;
}

static void
try_another(struct search *search, const char *why)
{
    const struct sentinel_address *address = &search->sentinels->addresses[asked_index(search)];
    snprintf(search->why, sizeof search->why, "sentinel %.100s:%s: %.250s", address->host,
             address->port, why);
    conn_free(search->conn);
    search->conn = NULL;
    search->tried++;
    ask_next(search);
}

/* [host, port], or nil for a name it does not know. */
static bool
read_answer(const struct resp_value *value, char host[256], char port[8])
{
    const struct resp_value *items = value->items;
    if (value->type != RESP_ARRAY || value->count != 2 || items[0].type != RESP_STRING ||
        items[1].type != RESP_STRING || items[0].text.len == 0 || items[0].text.len > 255 ||
        items[1].text.len == 0 || items[1].text.len > 5 ||
        memchr(items[0].text.data, '\0', items[0].text.len) != NULL)
        return false;
    snprintf(host, 256, "%.*s", (int)items[0].text.len, items[0].text.data);
    snprintf(port, 8, "%.*s", (int)items[1].text.len, items[1].text.data);
    return true;
}

static void
on_answer(const struct conn_result *result, void *arg)
{
    struct search *search = arg;
    char host[256], port[8], text[256];
    if (result->value == NULL)
        return; /* on_down() follows */
    if (!read_answer(result->value, host, port)) {
        if (result->value->type == RESP_ERROR)
            snprintf(text, sizeof text, "%.*s",
                     result->value->text.len > 250 ? 250 : (int)result->value->text.len,
                     result->value->text.data);
        else
            snprintf(text, sizeof text, "it knows no master of that name");
        try_another(search, text);
        return;
    }
    search->sentinels->preferred = asked_index(search);
    conn_located *done = search->done;
    void *done_arg = search->arg;
    search_cancel(search);
    done(host, port, "", done_arg);
}

static void
on_ready(void *owner)
{
    struct search *search = owner;
    const char *words[] = { "SENTINEL", "get-master-addr-by-name", search->sentinels->master_name };
    struct remora_slice args[3];
    for (size_t i = 0; i < 3; i++)
        args[i] = (struct remora_slice){ words[i], strlen(words[i]) };
    (void)conn_command(search->conn, args, 3, 0, on_answer, search); /* the first on it */
}

static void
on_down(void *owner, const char *why, bool refused)
{
    (void)refused;
    try_another(owner, why);
}

static void
ask_next(struct search *search)
{
    static const struct conn_events events = { .ready = on_ready, .down = on_down };
    const struct sentinels *sentinels = search->sentinels;
    if (search->tried == sentinels->count) {
        char why[CONN_WHY_BYTES];
        snprintf(why, sizeof why,
                 "redis: all sentinels specified in configuration are unreachable: %.300s",
                 search->why);
        conn_located *done = search->done;
        void *done_arg = search->arg;
        search_cancel(search);
        done(NULL, NULL, why, done_arg);
        return;
    }
    const struct sentinel_address *address = &sentinels->addresses[asked_index(search)];
    int64_t timeout_ms = sentinels->dial_timeout_ms / (int64_t)(sentinels->count + 1);
    search->conn = conn_new(sentinels->loop,
                            &(struct conn_settings){
                                .host = address->host,
                                .port = address->port,
                                .username = sentinels->username,
                                .password = sentinels->password,
                                .tls = sentinels->tls,
                                .dial_timeout_ms = timeout_ms,
                                .read_timeout_ms = timeout_ms,
                                .write_timeout_ms = timeout_ms,
                            },
                            &events, search);
}

static void *
search_start(void *owner, conn_located *done, void *arg)
{
    struct search *search = calloc(1, sizeof *search);
    if (search == NULL)
        abort();
    search->sentinels = owner;
    search->done = done;
    search->arg = arg;
    assert(search->sentinels->count > 0);
    ask_next(search);
    return search;
}

const struct conn_locator sentinel_locator = { .start = search_start, .cancel = search_cancel };
