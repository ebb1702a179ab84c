/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, those who wait for them, and when they are looked for again; see aws_credentials.h. */
#include "aws_credentials.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws_lookup.h"
#include "memory.h"

enum {
    WAITS_MAX = 1024,
    RENEWAL_S = 5 * 60, /* before the end, or half of what is left */
    RETRY_S_MIN = 1,
    RETRY_S_MAX = 60,
};

struct aws_wait {
    struct aws_credentials *credentials;
    struct aws_wait *next, *before;
    aws_wait_done *done;
    void *arg;
};

struct aws_credentials {
    struct aws_credentials *next; /* of those that search */
    unsigned count;
    char *region;   /* NULL: the keys were given */
    bool is_closed; /* nobody counts it; freed when it is left */
    bool is_busy;   /* those who wait are being told */
    struct aws_keys keys;
    struct aws_lookup lookup;
    ev_timer search; /* it begins, or the keys are renewed */
    struct aws_wait *first, *last;
    unsigned wait_count;
    double failed_at;            /* 0: the last search did not fail */
    char words[AWS_WORDS_BYTES]; /* of that */
};

static struct aws_credentials *searches;

/* --- keys --------------------------------------------------------------------------------------*/

const struct aws_keys *
aws_credentials_last(const struct aws_credentials *credentials)
{
    return credentials->keys.access_key == NULL ? NULL : &credentials->keys;
}

const struct aws_keys *
aws_credentials_now(const struct aws_credentials *credentials)
{
    const struct aws_keys *keys = aws_credentials_last(credentials);
    return keys == NULL || (keys->expires_s != 0 && keys->expires_s <= (int64_t)time(NULL)) ? NULL
                                                                                            : keys;
}

/* --- searching ---------------------------------------------------------------------------------*/

static void
search_in(struct aws_credentials *c, double seconds)
{
    ev_now_update(remora_loop());
    ev_timer_stop(remora_loop(), &c->search);
    ev_timer_set(&c->search, seconds, 0.);
    ev_timer_start(remora_loop(), &c->search);
}

static void
free_credentials(struct aws_credentials *c)
{
    if (c->is_busy)
        return;
    aws_lookup_end(&c->lookup);
    if (ev_is_active(&c->search))
        ev_timer_stop(remora_loop(), &c->search);
    aws_keys_fini(&c->keys);
    free(c->region);
    free(c);
}

static void
unlink_wait(struct aws_wait *wait)
{
    struct aws_credentials *c = wait->credentials;
    *(wait->before == NULL ? &c->first : &wait->before->next) = wait->next;
    *(wait->next == NULL ? &c->last : &wait->next->before) = wait->before;
    c->wait_count--;
}

/* For those who wait; not again right after a failure. */
static void
begin(struct aws_credentials *c)
{
    ev_now_update(remora_loop());
    const double since = ev_now(remora_loop()) - c->failed_at;
    const bool is_early = c->failed_at > 0 && since >= 0 && since < RETRY_S_MIN;
    search_in(c, is_early ? RETRY_S_MIN - since : 0.);
}

/* Who is told may ask again, which does not count here, and may close. */
static void
tell_all(struct aws_credentials *c, const char *words)
{
    c->is_busy = true;
    for (unsigned left = c->wait_count; left > 0 && c->first != NULL; left--) {
        struct aws_wait *wait = c->first;
        const struct aws_keys *keys = aws_credentials_now(c);
        unlink_wait(wait);
        wait->done(keys, keys == NULL ? words : NULL, wait->arg);
        free(wait);
    }
    c->is_busy = false;
    if (c->is_closed)
        free_credentials(c);
    else if (c->first != NULL)
        begin(c);
}

/* When the next search is due, of keys that have so long left. */
static void
plan(struct aws_credentials *c, bool has_failed)
{
    if (c->keys.expires_s == 0)
        return;
    const double left = (double)(c->keys.expires_s - (int64_t)time(NULL));
    double wait = left > 2 * RENEWAL_S && !has_failed ? left - RENEWAL_S : left / 2;
    if (has_failed && wait > RETRY_S_MAX)
        wait = RETRY_S_MAX;
    if (left > 0)
        search_in(c, wait < RETRY_S_MIN ? RETRY_S_MIN : wait);
}

static void
on_found(struct aws_keys *keys, const char *words, void *arg)
{
    struct aws_credentials *c = arg;
    if (keys != NULL) {
        if (c->failed_at > 0)
            remora_log(REMORA_INFO, "aws: credentials have been found again");
        aws_keys_fini(&c->keys);
        c->keys = *keys;
        *keys = (struct aws_keys){ .access_key = NULL };
        c->failed_at = 0;
    } else {
        if (c->failed_at <= 0)
            remora_log(REMORA_WARN, "aws: no credentials, it is tried again%s: %s",
                       aws_credentials_now(c) == NULL ? "" : ", and the old ones are still valid",
                       words);
        (void)snprintf(c->words, sizeof c->words, "no AWS credentials: %s", words);
        ev_now_update(remora_loop());
        c->failed_at = ev_now(remora_loop());
    }
    plan(c, keys == NULL);
    tell_all(c, c->words);
}

static void
on_search(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct aws_credentials *c = timer->data;
    (void)loop;
    (void)events;
    if (!c->lookup.is_running)
        aws_lookup_start(&c->lookup, c->region, on_found, c);
}

/* --- waiting -----------------------------------------------------------------------------------*/

struct aws_wait *
aws_credentials_wait(struct aws_credentials *credentials, aws_wait_done *done, void *arg)
{
    struct aws_credentials *c = credentials;
    if (c->wait_count == WAITS_MAX)
        return NULL;
    struct aws_wait *wait = memory_new(sizeof *wait);
    *wait = (struct aws_wait){ .credentials = c, .before = c->last, .done = done, .arg = arg };
    *(c->last == NULL ? &c->first : &c->last->next) = wait;
    c->last = wait;
    c->wait_count++;
    if (!c->lookup.is_running && !c->is_busy && c->wait_count == 1)
        begin(c);
    return wait;
}

void
aws_wait_cancel(struct aws_wait *wait)
{
    if (wait == NULL)
        return;
    unlink_wait(wait);
    free(wait);
}

/* --- the object --------------------------------------------------------------------------------*/

static struct aws_credentials *
make(void)
{
    struct aws_credentials *c = memory_new(sizeof *c);
    c->count = 1;
    ev_init(&c->search, on_search);
    c->search.data = c;
    return c;
}

struct aws_credentials *
aws_credentials_new(const char *region, struct aws_keys *keys)
{
    const char *words;
    if (keys->access_key != NULL) {
        struct aws_credentials *given = make();
        given->keys = *keys;
        *keys = (struct aws_keys){ .access_key = NULL };
        return given;
    }
    for (struct aws_credentials *c = searches; c != NULL; c = c->next)
        if (strcmp(c->region, region) == 0) {
            c->count++;
            return c;
        }
    struct aws_credentials *c = make();
    c->region = memory_text(region);
    c->next = searches;
    searches = c;
    (void)aws_lookup_environment(&c->keys, &words); /* a search says so again */
    return c;
}

void
aws_credentials_free(struct aws_credentials *credentials)
{
    if (credentials == NULL || --credentials->count > 0)
        return;
    for (struct aws_credentials **at = &searches; *at != NULL; at = &(*at)->next)
        if (*at == credentials) {
            *at = credentials->next;
            break;
        }
    credentials->is_closed = true;
    free_credentials(credentials);
}

/* --- metadata ----------------------------------------------------------------------------------*/

static char *
take(const struct reader *reader, const char *const names[2])
{
    struct remora_slice value;
    for (size_t i = 0; i < 2; i++)
        if (names[i] != NULL && reader_find(reader, names[i], &value))
            return memory_slice(value);
    return NULL;
}

struct aws_credentials *
aws_credentials_read(struct reader *reader, const char *region,
                     const struct aws_credentials_names *names)
{
    struct aws_keys keys = {
        .access_key = take(reader, names->access_key),
        .secret_key = take(reader, names->secret_key),
        .session_token = take(reader, names->session_token),
    };
    struct aws_credentials *credentials = NULL;
    const bool has_some = keys.access_key != NULL || keys.secret_key != NULL ||
                          keys.session_token != NULL;
    if (has_some && (keys.access_key == NULL || keys.secret_key == NULL))
        reader_complain(reader, "accessKey and secretKey are needed, both or neither, and a "
                                "sessionToken only with them");
    else if (has_some && aws_keys_complaint(&keys) != NULL)
        reader_complain(reader, "%s", aws_keys_complaint(&keys));
    else
        credentials = aws_credentials_new(region, &keys);
    aws_keys_fini(&keys);
    return credentials;
}
