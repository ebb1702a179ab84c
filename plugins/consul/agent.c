/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to an agent; see agent.h. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/transfer.h"
#include "../shared/memory.h"

#include <remora_plugin.h>

enum { HEADER_BYTES_MAX = TOKEN_BYTES_MAX + 64 };

struct agent_request {
    struct transfer transfer;
    struct curl_slist *headers, *connect_to;
    agent_done *done;
    void *arg;
    char *body;
    size_t len, capacity;
    uint64_t index;
    bool is_too_large;
};

/* --- the end -----------------------------------------------------------------------------------*/

static void
describe(struct agent_request *request, CURLcode code, struct agent_answer *answer, char *words)
{
    if (request->is_too_large) {
        snprintf(words, ERROR_BYTES, "the answer is larger than %d bytes", ANSWER_BYTES_MAX);
    } else if (code != CURLE_OK) {
        snprintf(words, ERROR_BYTES, "%s", transfer_error(&request->transfer, code));
    } else if (answer->status != 200) {
        int len = snprintf(words, ERROR_BYTES, "Unexpected response code: %ld (", answer->status);
        size_t i = 0;
        /* The agent's own words, as far as they are text. */
        for (; request->body != NULL && i < request->len && i < 200; i++)
            words[(size_t)len + i] = (unsigned char)request->body[i] >= ' ' ? request->body[i]
                                                                            : ' ';
        snprintf(words + len + i, ERROR_BYTES - (size_t)len - i, ")");
    } else {
        answer->is_ok = true;
        return;
    }
    answer->error = words;
}

static void
free_request(struct agent_request *request)
{
    transfer_end(&request->transfer);
    curl_slist_free_all(request->headers);
    curl_slist_free_all(request->connect_to);
    free(request->body);
    free(request);
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct agent_request *request = (struct agent_request *)transfer; /* its first member */
    struct agent_answer answer = { .body = request->body != NULL ? request->body : "",
                                   .len = request->len,
                                   .index = request->index };
    char words[ERROR_BYTES];
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    describe(request, code, &answer, words);
    request->done(&answer, request->arg);
    free_request(request);
}

bool
agent_setup(void)
{
    /* Of one client an agent takes 200 connections. */
    return transfer_setup(CONNECTIONS_MAX);
}

/* --- a request ---------------------------------------------------------------------------------*/

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct agent_request *request = arg;
    size_t len = size * count;
    if (len > ANSWER_BYTES_MAX - request->len) {
        request->is_too_large = true;
        return 0;
    }
    if (request->len + len + 1 > request->capacity) {
        size_t capacity = 2 * (request->len + len + 1);
        char *body = realloc(request->body, capacity);
        if (body == NULL)
            return 0;
        request->body = body;
        request->capacity = capacity;
    }
    memcpy(request->body + request->len, data, len);
    request->len += len;
    request->body[request->len] = '\0';
    return len;
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
    static const char name[] = "x-consul-index:";
    struct agent_request *request = arg;
    size_t len = size * count, at = sizeof name - 1;
    if (len <= at || strncasecmp(data, name, at) != 0)
        return len;
    while (at < len && data[at] == ' ')
        at++;
    uint64_t index = 0;
    for (; at < len && data[at] >= '0' && data[at] <= '9' && index < UINT64_MAX / 10 - 1; at++)
        index = index * 10 + (uint64_t)(data[at] - '0');
    request->index = index;
    return len;
}

static void
add_header(struct agent_request *request, const char *name, const char *value)
{
    char line[HEADER_BYTES_MAX];
    int len = snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *headers = len > 0 && (size_t)len < sizeof line
                                     ? curl_slist_append(request->headers, line)
                                     : NULL;
    if (headers != NULL)
        request->headers = headers;
    explicit_bzero(line, sizeof line);
}

static void
add_token_of_file(struct agent_request *request, const char *path)
{
    char token[TOKEN_BYTES_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd >= 0 ? read(fd, token, sizeof token - 1) : -1;
    if (fd >= 0)
        close(fd);
    while (len > 0 && strchr(" \r\n\t", token[len - 1]) != NULL)
        len--;
    if (len > 0 && memchr(token, '\n', (size_t)len) == NULL &&
        memchr(token, '\r', (size_t)len) == NULL) {
        token[len] = '\0';
        add_header(request, "X-Consul-Token", token);
    } else {
        remora_log(REMORA_WARN, "the token file of consul cannot be read, asking without a token");
    }
    explicit_bzero(token, sizeof token);
}

static void
add_headers(struct agent_request *request, const struct agent_settings *settings,
            const struct agent_question *question)
{
    const char *token = question->token != NULL ? question->token : settings->token;
    if (token == NULL && settings->token_file != NULL)
        add_token_of_file(request, settings->token_file);
    if (token != NULL)
        add_header(request, "X-Consul-Token", token);
    if (question->cache_control != NULL)
        add_header(request, "Cache-Control", question->cache_control);
    if (question->body != NULL)
        add_header(request, "Content-Type", "application/json");
    curl_easy_setopt(request->transfer.easy, CURLOPT_HTTPHEADER, request->headers);
}

static void
set_identity(CURL *easy, const struct agent_settings *settings)
{
    if (settings->user != NULL)
        curl_easy_setopt(easy, CURLOPT_USERNAME, settings->user);
    if (settings->password != NULL)
        curl_easy_setopt(easy, CURLOPT_PASSWORD, settings->password);
    const char *ca_file = settings->ca_file != NULL ? settings->ca_file : getenv("SSL_CERT_FILE");
    const char *ca_path = settings->ca_path != NULL ? settings->ca_path : getenv("SSL_CERT_DIR");
    if (ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (ca_path != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, ca_path);
    if (settings->cert_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->cert_file);
    if (settings->key_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->key_file);
    if (settings->skip_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void
set_target(struct agent_request *request, const struct agent_settings *settings,
           const struct agent_question *question)
{
    CURL *easy = request->transfer.easy;
    char *url = memory_printf("%s%s", settings->url, question->path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    if (settings->unix_path != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, settings->unix_path);
    if (settings->connect_to != NULL) {
        char *line = memory_printf("::%s", settings->connect_to);
        request->connect_to = curl_slist_append(NULL, line);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, request->connect_to);
        free(line);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, question->method);
    if (question->body != NULL)
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, question->body);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, question->timeout_ms);
}

struct agent_request *
agent_ask(const struct agent_settings *settings, const struct agent_question *question,
          agent_done *done, void *arg)
{
    struct agent_request *request = memory_new(sizeof *request);
    request->done = done;
    request->arg = arg;
    transfer_init(&request->transfer, on_done);
    CURL *easy = request->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    set_target(request, settings, question);
    set_identity(easy, settings);
    add_headers(request, settings, question);
    transfer_start(&request->transfer);
    return request;
}

void
agent_cancel(struct agent_request *request)
{
    if (request != NULL)
        free_request(request);
}

/* --- text --------------------------------------------------------------------------------------*/

char *
agent_escape(const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = memory_new(3 * len + 1), *to = out;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c) != NULL;
        if (plain && c != '\0') {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return out;
}

void
agent_settings_fini(struct agent_settings *settings)
{
    char **const strings[] = { &settings->url,       &settings->unix_path,  &settings->connect_to,
                               &settings->token,     &settings->token_file, &settings->user,
                               &settings->password,  &settings->ca_file,    &settings->ca_path,
                               &settings->cert_file, &settings->key_file };
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        free(*strings[i]);
        *strings[i] = NULL;
    }
}
