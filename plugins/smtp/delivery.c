/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One letter, one connection; see delivery.h. TLS as the reference has it: from the first byte at
 * port 465, otherwise if the server offers STARTTLS; but a password goes to another machine in TLS
 * only, so that nobody on the way gets it by taking the offer out.
 */
#include "delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/transfer.h"

#define FAILED "error from smtp binding, sending email failed: "

enum {
    PORT_TLS = 465,
    CONNECT_TIMEOUT_MS = 10 * 1000,
    ANSWER_TIMEOUT_S = 120,
    TIMEOUT_MS = 10 * 60 * 1000,
    WORDS_BYTES = 256,
};

struct delivery {
    struct transfer transfer; /* first */
    remora_call *call;
    struct letter_written letter;
    size_t sent;
    struct curl_slist *recipients;
    char words[WORDS_BYTES]; /* the server's last ones that refuse something */
};

static void
free_delivery(struct delivery *d)
{
    transfer_end(&d->transfer);
    curl_slist_free_all(d->recipients);
    letter_free(&d->letter);
    free(d);
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct delivery *d = (struct delivery *)transfer;
    if (code == CURLE_OK)
        remora_reply_ok(d->call);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        remora_reply_error(d->call, REMORA_UNKNOWN, FAILED "i/o timeout");
    else if (d->words[0] != '\0')
        remora_reply_error(d->call, REMORA_UNKNOWN, FAILED "%s", d->words);
    else
        remora_reply_error(d->call, REMORA_UNKNOWN, FAILED "%s", transfer_error(transfer, code));
    free_delivery(d);
}

static void
on_cancel(remora_call *call, void *arg)
{
    (void)call;
    struct delivery *d = arg;
    const bool is_late = remora_call_time_left_ms(d->call) == 0;
    remora_reply_error(d->call, is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED, FAILED "%s",
                       is_late ? "context deadline exceeded" : "context canceled");
    free_delivery(d);
}

static size_t
on_read(char *buffer, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    const size_t left = d->letter.len - d->sent;
    const size_t len = left < size * count ? left : size * count;
    memcpy(buffer, d->letter.text + d->sent, len);
    d->sent += len;
    return len;
}

/* Each line that the server says; "550 5.1.1 no such user". */
static size_t
on_line(char *line, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    size_t len = size * count;
    if (len < 3 || (line[0] != '4' && line[0] != '5'))
        return size * count;
    if (len > WORDS_BYTES - 1)
        len = WORDS_BYTES - 1;
    memcpy(d->words, line, len);
    d->words[len] = '\0';
    d->words[strcspn(d->words, "\r\n")] = '\0';
    for (char *c = d->words; *c != '\0'; c++)
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    return size * count;
}

static void
set_server(CURL *easy, const struct settings *s)
{
    const bool is_v6 = strchr(s->host, ':') != NULL && s->host[0] != '[';
    /* The path is the name we give ourselves: Go's client has the same. */
    char *url = memory_printf("%s://%s%s%s:%u/localhost", s->port == PORT_TLS ? "smtps" : "smtp",
                              is_v6 ? "[" : "", s->host, is_v6 ? "]" : "", (unsigned)s->port);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    const bool must_hide = s->user != NULL && !settings_is_local(s);
    curl_easy_setopt(easy, CURLOPT_USE_SSL, (long)(must_hide ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    if (s->user != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, s->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, s->password);
    }
}

static void
set_letter(struct delivery *d)
{
    CURL *easy = d->transfer.easy;
    for (size_t i = 0; i < d->letter.recipient_count; i++) {
        struct curl_slist *longer = curl_slist_append(d->recipients, d->letter.recipients[i]);
        if (longer == NULL)
            abort();
        d->recipients = longer;
    }
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, d->letter.from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, d->recipients);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, d);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)d->letter.len);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, d);
}

void
delivery_start(remora_call *call, const struct settings *settings,
               const struct letter_written *letter)
{
    struct delivery *d = memory_new(sizeof *d);
    transfer_init(&d->transfer, on_done);
    d->call = call;
    d->letter = *letter;
    CURL *easy = d->transfer.easy;
    set_server(easy, settings);
    transfer_trust(&d->transfer, settings->skips_verification);
    set_letter(d);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)ANSWER_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    /* A server may hang up on one that is idle, and a letter must not be lost by that. */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    remora_call_on_cancel(call, on_cancel, d);
    transfer_start(&d->transfer);
}
