/* SPDX-License-Identifier: Apache-2.0 */
/* middleware.http.ratelimit: so many requests a second for each client address and path. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buckets.h"
#include "types.h"

enum { RATE_TEXT_BYTES = 32, ADDRESS_BYTES_MAX = 64, HEADERS_MAX = 8 };
static const double rate_default = 100, rate_max = 1e9;

struct limit {
    struct buckets *buckets;
    char x_limit[RATE_TEXT_BYTES]; /* values of headers that never change */
    char limit[RATE_TEXT_BYTES];
};

static struct remora_slice
text_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* --- life --------------------------------------------------------------------------------------*/

static bool
parse_rate(struct remora_slice value, double *ret_rate)
{
    char text[RATE_TEXT_BYTES], *end;
    if (value.len == 0 || value.len >= sizeof text)
        return false;
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    errno = 0;
    *ret_rate = strtod(text, &end);
    return errno == 0 && end == text + value.len && isfinite(*ret_rate);
}

void
ratelimit_init(remora_call *call, const struct remora_config *config)
{
    double rate = rate_default;
    struct remora_slice value;
    if (remora_metadata_get(config->metadata, config->metadata_count, "maxRequestsPerSecond",
                            &value) &&
        !parse_rate(value, &rate)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "metadata property maxRequestsPerSecond must be a number");
        return;
    }
    if (rate <= 0 || rate > rate_max) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "metadata property maxRequestsPerSecond must be a positive value");
        return;
    }
    struct limit *limit = calloc(1, sizeof *limit);
    if (limit == NULL)
        abort();
    limit->buckets = buckets_new(rate, rate < 1 ? 1 : floor(rate));
    (void)snprintf(limit->x_limit, sizeof limit->x_limit, "%.2f", rate);
    (void)snprintf(limit->limit, sizeof limit->limit, "%.0f", round(rate));
    remora_reply_init(call, limit, 0, 0);
}

void
ratelimit_close(void *self)
{
    struct limit *limit = self;
    buckets_free(limit->buckets);
    free(limit);
}

/* --- who asks ----------------------------------------------------------------------------------*/

/* Of IPv6 the network: a client has a whole one to choose addresses from. */
static struct remora_slice
canonical(remora_call *call, struct remora_slice address)
{
    struct in6_addr v6;
    char text[ADDRESS_BYTES_MAX];
    if (address.len >= sizeof text || memchr(address.data, ':', address.len) == NULL)
        return address;
    memcpy(text, address.data, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return address;
    memset(&v6.s6_addr[8], 0, 8);
    char *out = remora_call_alloc(call, INET6_ADDRSTRLEN);
    if (inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN) == NULL)
        return address;
    return text_of(out);
}

/* The first of a list of addresses. */
static struct remora_slice
first_of(struct remora_slice list)
{
    const char *comma = memchr(list.data, ',', list.len);
    size_t len = comma == NULL ? list.len : (size_t)(comma - list.data);
    while (len > 0 && list.data[len - 1] == ' ')
        len--;
    return (struct remora_slice){ list.data, len };
}

/* The connection's address; headers, which anybody can write, only where there is none. */
static struct remora_slice
client_of(remora_call *call, const struct remora_http_request *request)
{
    struct remora_slice value;
    if (request->peer_address.len > 0)
        return canonical(call, request->peer_address);
    if (remora_http_header(request, "X-Forwarded-For", &value) && value.len > 0)
        return canonical(call, first_of(value));
    if (remora_http_header(request, "X-Real-IP", &value) && value.len > 0)
        return canonical(call, value);
    return text_of("0.0.0.0");
}

static struct remora_slice
key_of(remora_call *call, const struct remora_http_request *request)
{
    struct remora_slice client = client_of(call, request);
    size_t len = client.len + 1 + request->path.len;
    char *key = remora_call_alloc(call, len);
    memcpy(key, client.data, client.len);
    key[client.len] = '|';
    memcpy(key + client.len + 1, request->path.data, request->path.len);
    return (struct remora_slice){ key, len };
}

/* --- a request ---------------------------------------------------------------------------------*/

static uint64_t
now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The names and values of the reference. */
static size_t
put_headers(const struct limit *limit, const struct remora_http_request *request, const char *left,
            struct remora_pair headers[HEADERS_MAX])
{
    struct remora_slice forwarded;
    size_t count = 0;
    headers[count++] = (struct remora_pair){ text_of("X-Rate-Limit-Limit"),
                                             text_of(limit->x_limit) };
    headers[count++] = (struct remora_pair){ text_of("X-Rate-Limit-Duration"), text_of("1") };
    if (remora_http_header(request, "X-Forwarded-For", &forwarded) && forwarded.len > 0)
        headers[count++] = (struct remora_pair){ text_of("X-Rate-Limit-Request-Forwarded-For"),
                                                 forwarded };
    if (request->peer_address.len > 0)
        headers[count++] = (struct remora_pair){ text_of("X-Rate-Limit-Request-Remote-Addr"),
                                                 request->peer_address };
    headers[count++] = (struct remora_pair){ text_of("RateLimit-Limit"), text_of(limit->limit) };
    headers[count++] = (struct remora_pair){ text_of("RateLimit-Reset"), text_of("1") };
    headers[count++] = (struct remora_pair){ text_of("RateLimit-Remaining"), text_of(left) };
    return count;
}

void
ratelimit_handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    struct limit *limit = self;
    unsigned left;
    char left_text[RATE_TEXT_BYTES];
    struct remora_pair headers[HEADERS_MAX];
    struct remora_http_verdict verdict = { .headers = headers };
    bool may_go_on = buckets_take(limit->buckets, key_of(call, request), now_ns(), &left);
    (void)snprintf(left_text, sizeof left_text, "%u", left);
    verdict.header_count = put_headers(limit, request, left_text, headers);
    if (!may_go_on) {
        verdict.status = 429;
        verdict.body = text_of("You have reached maximum request limit.");
        headers[verdict.header_count++] = plain_text;
    }
    remora_middleware_reply(call, &verdict);
}
