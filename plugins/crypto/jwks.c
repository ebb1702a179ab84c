/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a set; see jwks.h. A set that cannot be had anew leaves the last one in use. */
#include "jwks.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "keyset.h"
#include "../shared/transfer.h"

enum { REFRESH_DEFAULT_MS = 600000, TIMEOUT_DEFAULT_MS = 30000, RETRY_MS_MAX = 30000 };

struct jwks {
    struct provider provider;
    struct keyset *set; /* owned; NULL while the first one is fetched */
    char *where;        /* owned; path or URL; NULL: the set was given as text */
    bool is_url;
    struct stat seen; /* of a file */
    /* Of a URL. */
    remora_call *init; /* to be answered with the first set; NULL: it has been */
    struct transfer transfer;
    char *body; /* owned; what has come of the answer */
    size_t len;
    bool is_too_large;
    ev_timer timer;
    int64_t refresh_ms;
    int64_t timeout_ms;
};

static void
replace_set(struct jwks *jwks, struct keyset *set)
{
    keyset_free(jwks->set);
    jwks->set = set;
}

/* --- file --------------------------------------------------------------------------------------*/

static bool
is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool
load_file(struct jwks *jwks, struct why *why)
{
    char *bytes = NULL;
    size_t len = 0;
    struct keyset *set = NULL;
    const int fd = open(jwks->where, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const int error = fd < 0 ? errno : file_read(fd, KEYSET_BYTES_MAX, &bytes, &len);
    if (error != 0)
        (void)why_set(why, "failed to read JWKS file: open %s: %s", jwks->where,
                      error == ENOENT ? "no such file or directory" : strerror(error));
    else
        set = keyset_parse(bytes, len, why);
    file_wipe(bytes, len);
    if (fd >= 0) {
        (void)fstat(fd, &jwks->seen); /* one more look at worst */
        (void)close(fd);              /* nothing was written */
    }
    if (set != NULL)
        replace_set(jwks, set);
    return set != NULL;
}

/* One look a change, whatever comes of it. */
static void
look_at_file(struct jwks *jwks)
{
    struct stat now = { .st_size = -1 };
    struct why why;
    if (stat(jwks->where, &now) != 0)
        now = (struct stat){ .st_size = -1 };
    if (is_same(&now, &jwks->seen))
        return;
    jwks->seen = now;
    if (load_file(jwks, &why))
        remora_log(REMORA_INFO, "the JWKS has changed: %zu keys", keyset_count(jwks->set));
    else
        remora_log(REMORA_WARN, "%s; the keys read before stay in use", why.text);
}

/* --- URL ---------------------------------------------------------------------------------------*/

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct jwks *jwks = arg;
    const size_t len = size * count;
    if (jwks->body == NULL)
        jwks->body = memory_new(KEYSET_BYTES_MAX);
    jwks->is_too_large = len > KEYSET_BYTES_MAX - jwks->len;
    if (jwks->is_too_large)
        return 0;
    memcpy(jwks->body + jwks->len, data, len);
    jwks->len += len;
    return len;
}

static void
forget_body(struct jwks *jwks)
{
    file_wipe(jwks->body, jwks->len);
    jwks->body = NULL;
    jwks->len = 0;
}

static bool
take_answer(struct jwks *jwks, CURLcode code, struct why *why)
{
    long status = 0;
    curl_easy_getinfo(jwks->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (jwks->is_too_large)
        return why_set(why, "failed to fetch JWKS: it is larger than %d bytes", KEYSET_BYTES_MAX);
    if (code != CURLE_OK)
        return why_set(why, "failed to fetch JWKS: %s", transfer_error(&jwks->transfer, code));
    if (status != 200)
        return why_set(why, "failed to fetch JWKS: response status code is not 200: %ld", status);
    struct keyset *set = keyset_parse(jwks->body == NULL ? "" : jwks->body, jwks->len, why);
    if (set != NULL)
        replace_set(jwks, set);
    return set != NULL;
}

static void
set_timer(struct jwks *jwks, int64_t delay_ms)
{
    ev_timer_set(&jwks->timer, (double)delay_ms / 1000, 0);
    ev_timer_start(remora_loop(), &jwks->timer);
}

static void
on_fetched(struct transfer *transfer, CURLcode code)
{
    struct jwks *jwks = (struct jwks *)((char *)transfer - offsetof(struct jwks, transfer));
    struct why why = { "" };
    const bool ok = take_answer(jwks, code, &why);
    transfer_end(transfer);
    forget_body(jwks);
    remora_call *init = jwks->init;
    jwks->init = NULL;
    if (!ok && init != NULL) {
        remora_reply_error(init, REMORA_UNAVAILABLE, "%s", why.text);
        jwks_close(jwks);
        return;
    }
    if (!ok)
        remora_log(REMORA_WARN, "%s; the keys fetched before stay in use", why.text);
    set_timer(jwks, ok || jwks->refresh_ms < RETRY_MS_MAX ? jwks->refresh_ms : RETRY_MS_MAX);
    if (init != NULL)
        remora_reply_init(init, jwks, 0, 0);
}

static void
fetch(struct jwks *jwks)
{
    jwks->is_too_large = false;
    transfer_init(&jwks->transfer, on_fetched);
    CURL *easy = jwks->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_URL, jwks->where);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)jwks->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, jwks);
    transfer_start(&jwks->transfer);
}

static void
on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    fetch(watcher->data);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
jwks_find(struct provider *provider, remora_call *call, struct remora_slice name,
          provider_found *found, void *arg)
{
    static const struct why missing = { "key not found" };
    struct jwks *jwks = (struct jwks *)provider;
    (void)call;
    if (jwks->where != NULL && !jwks->is_url)
        look_at_file(jwks);
    struct key *key = keyset_find(jwks->set, name);
    found(key == NULL ? NULL : key_ref(key), &missing, arg);
}

/* Lengths that are no good are the default ones, as the reference has it. */
static int64_t
duration_of(const struct remora_config *config, const char *name, int64_t least, int64_t otherwise)
{
    struct remora_slice text;
    int64_t ms = 0;
    return remora_metadata_get(config->metadata, config->metadata_count, name, &text) &&
                   remora_parse_duration_ms(text, &ms) && ms >= least
               ? ms
               : otherwise;
}

static bool
has_prefix(struct remora_slice text, const char *prefix)
{
    const size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static bool
is_path(struct remora_slice text)
{
    struct stat seen;
    char *path = remora_slice_dup(text);
    const bool ok = path != NULL && text.len < 4096 && stat(path, &seen) == 0;
    free(path);
    return ok;
}

void
jwks_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice text = { "", 0 };
    struct why why = { "failed to load metadata: metadata property 'jwks' is required" };
    struct jwks *jwks = memory_new(sizeof *jwks);
    jwks->provider.find = jwks_find;
    ev_timer_init(&jwks->timer, on_timer, 0, 0);
    jwks->timer.data = jwks;
    jwks->refresh_ms = duration_of(config, "minRefreshInterval", 1000, REFRESH_DEFAULT_MS);
    jwks->timeout_ms = duration_of(config, "requestTimeout", 1, TIMEOUT_DEFAULT_MS);
    (void)remora_metadata_get(config->metadata, config->metadata_count, "jwks", &text);
    jwks->is_url = has_prefix(text, "http://") || has_prefix(text, "https://");
    if (jwks->is_url || (text.len > 0 && is_path(text)))
        jwks->where = remora_slice_dup(text);
    if (jwks->is_url && jwks->where != NULL) {
        jwks->init = call;
        fetch(jwks); /* on_fetched() answers */
        return;
    }
    if (text.len > 0 &&
        (jwks->where != NULL ? load_file(jwks, &why)
                             : (jwks->set = keyset_parse(text.data, text.len, &why)) != NULL)) {
        remora_reply_init(call, jwks, 0, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why.text);
    jwks_close(jwks);
}

void
jwks_close(void *self)
{
    struct jwks *jwks = self;
    ev_timer_stop(remora_loop(), &jwks->timer);
    transfer_end(&jwks->transfer);
    forget_body(jwks);
    keyset_free(jwks->set);
    free(jwks->where);
    free(jwks);
}
