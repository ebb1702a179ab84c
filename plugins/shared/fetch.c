/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and their answers; see fetch.h. */
#include "fetch.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "transfer.h"

enum { TOKEN_BYTES_MAX = 16 * 1024, CONNECT_TIMEOUT_MS = 5000 };

struct fetch {
    struct transfer transfer; /* first */
    struct curl_slist *headers, *connect_to;
    fetch_done *done;
    void *arg;
    char *sent, *body;
    size_t len, capacity, bytes_max;
    bool is_too_large;
};

/* --- memory ------------------------------------------------------------------------------------*/

void
fetch_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void
fetch_identity_fini(struct fetch_identity *identity)
{
    fetch_wipe(identity->key_pem);
    free(identity->ca_file);
    free(identity->ca_path);
    free(identity->ca_pem);
    free(identity->cert_pem);
    free(identity->server_name);
    *identity = (struct fetch_identity){ .ca_file = NULL };
}

static void
free_fetch(struct fetch *fetch)
{
    transfer_end(&fetch->transfer);
    for (struct curl_slist *line = fetch->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->connect_to);
    if (fetch->body != NULL)
        explicit_bzero(fetch->body, fetch->capacity);
    free(fetch->body);
    fetch_wipe(fetch->sent);
    free(fetch);
}

/* A buffer that grows leaves nothing behind. */
static bool
reserve(struct fetch *fetch, size_t bytes)
{
    if (bytes <= fetch->capacity)
        return true;
    size_t capacity = 2 * bytes;
    char *body = malloc(capacity);
    if (body == NULL)
        return false;
    if (fetch->body != NULL) {
        memcpy(body, fetch->body, fetch->len);
        explicit_bzero(fetch->body, fetch->capacity);
        free(fetch->body);
    }
    fetch->body = body;
    fetch->capacity = capacity;
    return true;
}

/* --- the answer --------------------------------------------------------------------------------*/

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t len = size * count;
    fetch->is_too_large = len > fetch->bytes_max - fetch->len;
    if (fetch->is_too_large || !reserve(fetch, fetch->len + len + 1))
        return 0;
    memcpy(fetch->body + fetch->len, data, len);
    fetch->len += len;
    fetch->body[fetch->len] = '\0';
    return len;
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct fetch *fetch = (struct fetch *)transfer;
    struct fetch_answer answer = { .body = fetch->body != NULL ? fetch->body : "",
                                   .len = fetch->len };
    if (fetch->is_too_large)
        answer.error = "the answer is too large";
    else if (code != CURLE_OK)
        answer.error = transfer_error(transfer, code);
    else
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    fetch->done(&answer, fetch->arg);
    free_fetch(fetch);
}

/* --- the question ------------------------------------------------------------------------------*/

static void
set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .data = (void *)(uintptr_t)pem,
                              .len = strlen(pem),
                              .flags = CURL_BLOB_COPY };
    curl_easy_setopt(easy, option, &blob);
}

static void
set_identity(CURL *easy, const struct fetch_identity *identity)
{
    const char *file = identity->ca_file, *path = identity->ca_path;
    if (file == NULL && path == NULL && identity->ca_pem == NULL) {
        file = getenv("SSL_CERT_FILE");
        path = getenv("SSL_CERT_DIR");
    }
    if (identity->ca_pem != NULL)
        set_blob(easy, CURLOPT_CAINFO_BLOB, identity->ca_pem);
    else if (file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    if (path != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, path);
    if (identity->cert_pem != NULL)
        set_blob(easy, CURLOPT_SSLCERT_BLOB, identity->cert_pem);
    if (identity->key_pem != NULL)
        set_blob(easy, CURLOPT_SSLKEY_BLOB, identity->key_pem);
    if (identity->skip_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void
add_header(struct fetch *fetch, const char *line)
{
    struct curl_slist *headers = curl_slist_append(fetch->headers, line);
    if (headers == NULL)
        abort();
    fetch->headers = headers;
}

/* The name to be verified stands in the URL, and the connection goes where the URL had led. */
static void
set_url(struct fetch *fetch, const char *url, const char *server_name)
{
    CURL *easy = fetch->transfer.easy;
    CURLU *parts = server_name == NULL ? NULL : curl_url();
    char *host = NULL, *port = NULL, *renamed = NULL, *line = NULL;
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(parts, CURLUPART_HOST, server_name, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_URL, &renamed, 0) == CURLUE_OK &&
        asprintf(&line, "::%s:%s", host, port) >= 0) {
        fetch->connect_to = curl_slist_append(NULL, line);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, fetch->connect_to);
        free(line);
        if (asprintf(&line, "Host: %s:%s", host, port) >= 0)
            add_header(fetch, line);
        url = renamed;
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(line);
    curl_free(host);
    curl_free(port);
    curl_free(renamed);
    curl_url_cleanup(parts);
}

static void
set_body(struct fetch *fetch, const char *body)
{
    if (body == NULL)
        return;
    fetch->sent = strdup(body);
    if (fetch->sent == NULL)
        abort();
    curl_easy_setopt(fetch->transfer.easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)strlen(fetch->sent));
    curl_easy_setopt(fetch->transfer.easy, CURLOPT_POSTFIELDS, fetch->sent);
}

struct fetch *
fetch_start(const struct fetch_question *question, fetch_done *done, void *arg)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        abort();
    fetch->done = done;
    fetch->arg = arg;
    fetch->bytes_max = question->answer_bytes_max;
    transfer_init(&fetch->transfer, on_done);
    CURL *easy = fetch->transfer.easy;
    for (const char *const *line = question->headers; *line != NULL; line++)
        add_header(fetch, *line);
    set_url(fetch, question->url, question->identity->server_name);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    set_body(fetch, question->body);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question->method);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, question->timeout_ms);
    set_identity(easy, question->identity);
    transfer_start(&fetch->transfer);
    return fetch;
}

void
fetch_cancel(struct fetch *fetch)
{
    if (fetch != NULL)
        free_fetch(fetch);
}

/* --- text --------------------------------------------------------------------------------------*/

char *
fetch_read_token(const char *path)
{
    char *token = calloc(1, TOKEN_BYTES_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd >= 0 && token != NULL ? read(fd, token, TOKEN_BYTES_MAX) : -1;
    if (fd >= 0)
        close(fd);
    while (len > 0 && strchr(" \r\n\t", token[len - 1]) != NULL)
        token[--len] = '\0';
    if (len > 0 && strlen(token) == (size_t)len && strpbrk(token, "\r\n") == NULL)
        return token;
    fetch_wipe(token);
    return NULL;
}

char *
fetch_escape(const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = calloc(3, len + 1), *to = out;
    if (out == NULL)
        abort();
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || (c != '\0' && strchr("-_.~", c) != NULL);
        if (is_plain) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    return out;
}
