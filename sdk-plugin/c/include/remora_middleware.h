/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that HTTP requests pass: the functions of such a type. Part of remora_plugin.h. */
#ifndef REMORA_MIDDLEWARE_H
#define REMORA_MIDDLEWARE_H

#include "remora_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

struct remora_http_request {
    struct remora_slice method;
    struct remora_slice path;  /* as it came, encoded, without the query */
    struct remora_slice query; /* without the question mark */
    struct remora_slice authority;
    const struct remora_pair *headers; /* in order, names as they came; values are any bytes */
    size_t header_count;
    bool is_for_app;                  /* on its way to the application, not to the API */
    struct remora_slice peer_address; /* IP address of the client; may be empty */
    struct remora_slice body;         /* with REMORA_CAP_REQUEST_BODY */
};

struct remora_http_verdict { /* zeroed: the request goes on as it is */
    int status;              /* 0: it goes on; 200 to 599: this is its answer, with `body` */
    const struct remora_pair *headers; /* of the answer, whoever gives it; at most 32 */
    size_t header_count;
    struct remora_slice method; /* from here on for one that goes on. Empty: as it was */
    struct remora_slice path;   /* begins with a slash; empty: as it was */
    bool sets_query;
    struct remora_slice query;
    const struct remora_slice *removes; /* headers, by name */
    size_t remove_count;
    const struct remora_pair *sets; /* in the place of all of that name */
    size_t set_count;
    bool sets_body; /* `body` is the request's from here on */
    struct remora_slice body;
};

struct remora_middleware_ops {
    void (*handle)(remora_call *call, void *self, const struct remora_http_request *request);
    /* remora_middleware_reply(), or remora_reply_ok(): it goes on as it is. Failed: 500 */
};

void remora_middleware_reply(remora_call *call, const struct remora_http_verdict *verdict);
/* The value of a header, ASCII case ignored; the first one. False: there is none. */
bool remora_http_header(const struct remora_http_request *request, const char *name,
                        struct remora_slice *ret_value);

#ifdef __cplusplus
}
#endif

#endif
