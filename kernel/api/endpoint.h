/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an application may call that has no sidecar: HTTPEndpoint resources by their names, and
 * servers by their URLs. The resources are one counted set in struct settings, exchanged as a whole
 * when documents or secrets change; an endpoint that stays the same stays the same object. What a
 * call needs of one (headers and TLS parts with their secrets, connections) is made by each worker
 * when first needed and goes with the endpoint.
 *
 *     if (endpoint_find(rq, id, &endpoint))
 *         err = endpoint_open(rq, endpoint, &opened);      // asks secret stores, at first use
 *     …
 *         client = endpoint_client(rq, opened, &url);      // for client_start(), at once
 *     endpoint_close(opened);
 */
#ifndef API_ENDPOINT_H
#define API_ENDPOINT_H

#include "base/list.h"
#include "base/url.h"
#include "config/http_endpoint.h"
#include "http/http.h"

struct client;
struct endpoint;
struct endpoints;
struct kernel_worker;
struct request;
struct tls_context;

/* --- the set, main thread ----------------------------------------------------------------------*/

/* What the list says, with those of `old` (may be NULL) that have not changed. Broken documents
 * leave what `old` had under their names; `keeps_missing`: so do those that are not there. NULL: it
 * is the same set. */
struct endpoints *
endpoints_next(struct endpoints *old, const struct http_endpoint_list *list, bool keeps_missing);
/* The secrets of a store have changed: the set with new objects for all that use it. NULL: none
 * does. */
struct endpoints *endpoints_renewed(struct endpoints *old, struct slice store);
/* Any thread. */
struct endpoints *endpoints_ref(struct endpoints *endpoints);
void endpoints_unref(struct endpoints *endpoints); /* NULL is nothing */
/* NULL is an empty set. */
size_t endpoints_count(const struct endpoints *endpoints);
struct slice endpoints_name(const struct endpoints *endpoints, size_t index);
/* NULL: there is none of that name. Belongs to the set. */
struct endpoint *endpoints_get(const struct endpoints *endpoints, struct slice name);

/* --- a worker's part ---------------------------------------------------------------------------*/

struct endpoint_desk {
    struct kernel_worker *worker;
    struct list opened;  /* endpoints in use here */
    struct list clients; /* to servers, used last first */
    size_t client_count;
};

void endpoint_desk_init(struct endpoint_desk *desk, struct kernel_worker *worker);
/* These are in force: whatever belongs to others goes, when its calls are over. NULL: none. */
void endpoint_desk_use(struct endpoint_desk *desk, const struct endpoints *endpoints);
/* Everything goes. */
void endpoint_desk_fini(struct endpoint_desk *desk);

/* --- calls -------------------------------------------------------------------------------------*/

/* An endpoint, or the URLs that belong to none, as this worker calls it. Counted, not across
 * threads. */
struct endpoint_opened {
    unsigned refs;
    struct list link;          /* in the desk's */
    struct endpoint *endpoint; /* counted; NULL: for URLs */
    struct arena arena;        /* headers; wiped in the end */
    struct http_header *headers;
    bool *is_secret; /* each of the headers */
    size_t header_count;
    struct tls_context *tls;
};

/* Whether an id names an endpoint (*ret_endpoint is valid as long as the request) or is a URL (then
 * it is NULL). */
bool endpoint_find(struct request *rq, struct slice id, struct endpoint **ret_endpoint);
/* As the resource has it. */
struct slice endpoint_base_url(const struct endpoint *endpoint);
/* Suspends where secrets have to be asked for. ERR_DIRECT_INVOKE, not recorded, with the words in
 * *ret_error. */
err_t endpoint_open(struct request *rq, struct endpoint *endpoint,
                    struct endpoint_opened **ret_opened, struct slice *ret_error) WARN_UNUSED;
/* NULL is nothing. */
void endpoint_close(struct endpoint_opened *opened);
/* Valid until the next suspension: a call that has been started on it keeps it. */
struct client *
endpoint_client(struct request *rq, struct endpoint_opened *opened, const struct url *url);

#endif
