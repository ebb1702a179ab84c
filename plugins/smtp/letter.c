/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Letters; see letter.h. Their heads are ASCII: what is not is written in words of RFC 2047; their
 * bodies are quoted-printable (RFC 2045).
 */
#include "letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/base64.h"
#include "../shared/memory.h"

enum {
    WORD_BYTES_MAX = 45,   /* of text, in an encoded word of 75 characters */
    PLAIN_BYTES_MAX = 700, /* of a subject in one line; one may have 998 characters */
    LINE_BYTES_MAX = 76,
    SUBJECT_BYTES_MAX = 64 * 1024,
    SHOWN_BYTES_MAX = 200,
};

struct writing {
    FILE *out;
    struct letter_written *written;
    char *error;
};

static bool
complain(char *error, const char *what, struct remora_slice text)
{
    char shown[SHOWN_BYTES_MAX + 1];
    size_t len = text.len < SHOWN_BYTES_MAX ? text.len : SHOWN_BYTES_MAX;
    for (size_t i = 0; i < len; i++)
        shown[i] = (unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f ? '?' : text.data[i];
    shown[len] = '\0';
    (void)snprintf(error, LETTER_ERROR_BYTES, "%s \"%s\"", what, shown);
    return false;
}

/* --- the head ----------------------------------------------------------------------------------*/

static bool
is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f)
            return false;
    return memmem(text, len, "=?", 2) == NULL;
}

/* As many bytes as a word holds, no character of UTF-8 cut in two. */
static size_t
word_of(const char *text, size_t len)
{
    if (len <= WORD_BYTES_MAX)
        return len;
    size_t end = WORD_BYTES_MAX;
    while (end > WORD_BYTES_MAX - 4 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

/* Each word on a line of its own: what is between two of them is not shown. */
static void
put_words(FILE *out, const char *text, size_t len)
{
    char encoded[WORD_BYTES_MAX / 3 * 4 + 4];
    for (size_t at = 0; at < len;) {
        const size_t bytes = word_of(text + at, len - at);
        base64_encode(text + at, bytes, encoded);
        (void)fprintf(out, "%s=?UTF-8?B?%.*s?=", at == 0 ? "" : "\r\n ",
                      (int)base64_encoded_len(bytes), encoded);
        at += bytes;
    }
}

static void
put_address(FILE *out, const struct address *address)
{
    const size_t len = strlen(address->name);
    if (len == 0) {
        (void)fputs(address->spec, out);
        return;
    }
    if (is_plain(address->name, len)) {
        (void)fputc('"', out);
        for (const char *c = address->name; *c != '\0'; c++)
            (void)fprintf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
        (void)fputc('"', out);
    } else {
        put_words(out, address->name, len);
    }
    (void)fprintf(out, " <%s>", address->spec);
}

static bool
add_recipient(struct letter_written *written, const char *spec)
{
    for (size_t i = 0; i < written->recipient_count; i++)
        if (strcmp(written->recipients[i], spec) == 0)
            return true;
    if (written->recipient_count == ADDRESSES_MAX)
        return false;
    written->recipients[written->recipient_count++] = memory_text(spec);
    return true;
}

/* `header` NULL: they are not told of. */
static bool
put_list(struct writing *w, const char *header, struct remora_slice list)
{
    struct address address;
    struct remora_slice text;
    bool is_first = true;
    while (address_next(&list, &text)) {
        if (!address_parse(text, &address))
            return complain(w->error, "invalid address", text);
        if (!add_recipient(w->written, address.spec))
            return complain(w->error, "more than 1000 recipients with", text);
        if (header == NULL)
            continue;
        (void)fprintf(w->out, "%s%s", is_first ? header : ",\r\n ", is_first ? ": " : "");
        put_address(w->out, &address);
        is_first = false;
    }
    if (header != NULL && !is_first)
        (void)fputs("\r\n", w->out);
    return true;
}

static bool
put_subject(struct writing *w, struct remora_slice subject)
{
    for (size_t i = 0; i < subject.len; i++)
        if (subject.data[i] == '\r' || subject.data[i] == '\n' || subject.data[i] == '\0')
            return complain(w->error, "a subject is one line:", subject);
    if (subject.len > SUBJECT_BYTES_MAX)
        return complain(w->error, "too long a subject:", subject);
    (void)fputs("Subject: ", w->out);
    if (subject.len <= PLAIN_BYTES_MAX && is_plain(subject.data, subject.len))
        (void)fprintf(w->out, "%.*s", (int)subject.len, subject.data);
    else
        put_words(w->out, subject.data, subject.len);
    (void)fputs("\r\n", w->out);
    return true;
}

static void
put_date(FILE *out, time_t at)
{
    char date[64];
    struct tm utc;
    (void)gmtime_r(&at, &utc);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &utc);
    (void)fprintf(out, "Mime-Version: 1.0\r\nDate: %s\r\n", date);
}

static bool
put_head(struct writing *w, const struct letter *letter)
{
    struct address from;
    if (!address_parse(letter->from, &from))
        return complain(w->error, "invalid address", letter->from);
    memcpy(w->written->from, from.spec, sizeof from.spec);
    put_date(w->out, letter->at);
    (void)fputs("From: ", w->out);
    put_address(w->out, &from);
    (void)fputs("\r\n", w->out);
    if (!put_list(w, "To", letter->to) || !put_list(w, "Cc", letter->cc) ||
        !put_list(w, NULL, letter->bcc) || !put_subject(w, letter->subject))
        return false;
    if (w->written->recipient_count == 0)
        return complain(w->error, "no address in", letter->to);
    (void)fprintf(w->out,
                  "X-priority: %d\r\n"
                  "Content-Type: text/html; charset=UTF-8\r\n"
                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                  (int)letter->priority);
    return true;
}

/* --- the body ----------------------------------------------------------------------------------*/

/* A line end as it was meant: CR LF, or LF alone. */
static size_t
line_end(struct remora_slice text, size_t at)
{
    if (text.data[at] == '\n')
        return 1;
    return text.data[at] == '\r' && at + 1 < text.len && text.data[at + 1] == '\n' ? 2 : 0;
}

static void
put_body(FILE *out, struct remora_slice text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        const size_t end = line_end(text, i);
        if (end > 0) {
            (void)fputs("\r\n", out);
            i += end - 1;
            column = 0;
            continue;
        }
        /* A blank at the end of a line would be lost on the way. */
        const bool is_last = i + 1 == text.len || line_end(text, i + 1) > 0;
        const bool is_blank = c == ' ' || c == '\t';
        const bool is_itself = (c > ' ' && c < 0x7f && c != '=') || (is_blank && !is_last);
        const size_t width = is_itself ? 1 : 3;
        if (column + width > LINE_BYTES_MAX - 1) { /* the "=" of a soft end */
            (void)fputs("=\r\n", out);
            column = 0;
        }
        if (is_itself)
            (void)fputc(c, out);
        else
            (void)fprintf(out, "=%02X", c);
        column += width;
    }
    (void)fputs("\r\n", out);
}

/* --- the whole ---------------------------------------------------------------------------------*/

bool
letter_write(const struct letter *letter, struct letter_written *ret,
             char ret_error[LETTER_ERROR_BYTES])
{
    struct letter_written written = {
        .recipients = memory_new(ADDRESSES_MAX * sizeof *written.recipients),
    };
    struct writing w = { .out = open_memstream(&written.text, &written.len),
                         .written = &written,
                         .error = ret_error };
    if (w.out == NULL)
        abort();
    const bool ok = put_head(&w, letter);
    if (ok)
        put_body(w.out, letter->body);
    if (ferror(w.out) != 0 || fclose(w.out) != 0)
        abort();
    if (ok)
        *ret = written;
    else
        letter_free(&written);
    return ok;
}

void
letter_free(struct letter_written *written)
{
    for (size_t i = 0; i < written->recipient_count; i++)
        free(written->recipients[i]);
    free(written->recipients);
    free(written->text);
    *written = (struct letter_written){ .text = NULL };
}
