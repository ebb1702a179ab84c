/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPEndpoint resources and servers named by URL, on the way to calls; see endpoint.h. */
#include "api/endpoint.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/request.h"
#include "base/limits.h"
#include "component/secret_refs.h"
#include "http/client.h"
#include "http/tls.h"

/* --- endpoints ---------------------------------------------------------------------------------*/

/* Immutable, any thread. */
struct endpoint {
    atomic_uint refs;
    struct arena arena;
    struct http_endpoint_spec spec;
    struct secret_refs *secrets; /* owned; NULL: it has none */
};

static struct component_value
copy_value(struct arena *arena, const struct component_value *from)
{
    return (struct component_value){
        .name = arena_dup(arena, from->name),
        .value = arena_dup(arena, from->value),
        .source = arena_dup(arena, from->source),
        .secret_name = arena_dup(arena, from->secret_name),
        .secret_key = arena_dup(arena, from->secret_key),
        .env_name = arena_dup(arena, from->env_name),
    };
}

/* What looks up the secrets of a component's metadata does so for ours. */
static struct secret_refs *
secrets_of(const struct http_endpoint_spec *spec)
{
    struct component_spec values = {
        .name = spec->name,
        .namespace_name = spec->namespace_name,
        .auth_secret_store = spec->auth_secret_store,
        .values = spec->values,
        .value_count = http_endpoint_value_count(spec),
    };
    for (size_t i = 0; i < values.value_count; i++)
        values.has_secrets |= values.values[i].secret_name.len > 0;
    return secret_refs_new(NULL, &values, false);
}

static struct endpoint *
endpoint_new(const struct http_endpoint_spec *spec)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    if (endpoint == NULL)
        abort();
    atomic_init(&endpoint->refs, 1);
    struct arena *arena = &endpoint->arena;
    arena_init(arena);
    endpoint->spec = (struct http_endpoint_spec){
        .name = arena_dup(arena, spec->name),
        .namespace_name = arena_dup(arena, spec->namespace_name),
        .base_url = arena_dup(arena, spec->base_url),
        .auth_secret_store = arena_dup(arena, spec->auth_secret_store),
        .values = ARENA_ARRAY(arena, struct component_value, http_endpoint_value_count(spec)),
        .header_count = spec->header_count,
    };
    for (size_t i = 0; i < http_endpoint_value_count(spec); i++)
        endpoint->spec.values[i] = copy_value(arena, &spec->values[i]);
    endpoint->secrets = secrets_of(&endpoint->spec);
    return endpoint;
}

static struct endpoint *
endpoint_ref(struct endpoint *endpoint)
{
    (void)atomic_fetch_add_explicit(&endpoint->refs, 1, memory_order_relaxed);
    return endpoint;
}

static void
endpoint_unref(struct endpoint *endpoint)
{
    /* Release, for the acquire of the last one: it frees what others have read. */
    if (endpoint == NULL || atomic_fetch_sub_explicit(&endpoint->refs, 1, memory_order_acq_rel) > 1)
        return;
    secret_refs_free(endpoint->secrets);
    arena_fini(&endpoint->arena);
    free(endpoint);
}

struct slice
endpoint_base_url(const struct endpoint *endpoint)
{
    return endpoint->spec.base_url;
}

/* --- the set -----------------------------------------------------------------------------------*/

/* Immutable, any thread. */
struct endpoints {
    atomic_uint refs;
    struct endpoint **items; /* counted */
    size_t count;
    struct map by_name;
};

static struct endpoints *
set_new(size_t most)
{
    struct endpoints *set = calloc(1, sizeof *set);
    if (set == NULL || (set->items = calloc(most + 1, sizeof(struct endpoint *))) == NULL)
        abort();
    atomic_init(&set->refs, 1);
    map_init(&set->by_name);
    return set;
}

/* Takes the reference. */
static void
set_add(struct endpoints *set, struct endpoint *endpoint)
{
    void *old = map_put(&set->by_name, endpoint->spec.name, endpoint);
    assert(old == NULL); /* names are unique */
    set->items[set->count++] = endpoint;
}

struct endpoints *
endpoints_ref(struct endpoints *endpoints)
{
    if (endpoints != NULL)
        (void)atomic_fetch_add_explicit(&endpoints->refs, 1, memory_order_relaxed);
    return endpoints;
}

void
endpoints_unref(struct endpoints *endpoints)
{
    if (endpoints == NULL ||
        atomic_fetch_sub_explicit(&endpoints->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < endpoints->count; i++)
        endpoint_unref(endpoints->items[i]);
    map_fini(&endpoints->by_name);
    free(endpoints->items);
    free(endpoints);
}

size_t
endpoints_count(const struct endpoints *endpoints)
{
    return endpoints == NULL ? 0 : endpoints->count;
}

struct slice
endpoints_name(const struct endpoints *endpoints, size_t index)
{
    return endpoints->items[index]->spec.name;
}

struct endpoint *
endpoints_get(const struct endpoints *endpoints, struct slice name)
{
    return endpoints == NULL ? NULL : map_get(&endpoints->by_name, name);
}

static bool
is_broken(const struct http_endpoint_list *list, struct slice name)
{
    for (size_t i = 0; i < list->broken.count; i++)
        if (slice_eq(list->broken.items[i], name))
            return true;
    return false;
}

static bool
is_same_set(const struct endpoints *a, const struct endpoints *b)
{
    if (endpoints_count(a) != endpoints_count(b))
        return false;
    for (size_t i = 0; i < endpoints_count(a); i++)
        if (a->items[i] != b->items[i])
            return false;
    return true;
}

struct endpoints *
endpoints_next(struct endpoints *old, const struct http_endpoint_list *list, bool keeps_missing)
{
    struct endpoints *next = set_new(list->count + endpoints_count(old));
    for (size_t i = 0; i < list->count; i++) {
        struct endpoint *present = endpoints_get(old, list->items[i].name);
        bool is_same = present != NULL && http_endpoint_is_same(&present->spec, &list->items[i]);
        set_add(next, is_same ? endpoint_ref(present) : endpoint_new(&list->items[i]));
    }
    for (size_t i = 0; i < endpoints_count(old); i++) {
        struct slice name = old->items[i]->spec.name;
        if (endpoints_get(next, name) == NULL && (keeps_missing || is_broken(list, name)))
            set_add(next, endpoint_ref(old->items[i]));
    }
    if (!is_same_set(old, next))
        return next;
    endpoints_unref(next);
    return NULL;
}

struct endpoints *
endpoints_renewed(struct endpoints *old, struct slice store)
{
    struct endpoints *next = set_new(endpoints_count(old));
    for (size_t i = 0; i < endpoints_count(old); i++) {
        struct endpoint *present = old->items[i];
        bool is_meant = present->secrets != NULL &&
                        slice_eq(present->spec.auth_secret_store, store);
        set_add(next, is_meant ? endpoint_new(&present->spec) : endpoint_ref(present));
    }
    if (!is_same_set(old, next))
        return next;
    endpoints_unref(next);
    return NULL;
}

/* --- a worker's part ---------------------------------------------------------------------------*/

/* A server that there are, or were, connections to. */
struct place {
    struct list link;
    struct endpoint_opened *opened; /* counted */
    bool is_https;
    uint16_t port;
    char *host;
    size_t host_len;
    struct client *client;
};

static void
place_free(struct endpoint_desk *desk, struct place *place)
{
    list_remove(&place->link);
    desk->client_count--;
    client_close(place->client); /* calls on it go on */
    endpoint_close(place->opened);
    free(place->host);
    free(place);
}

void
endpoint_desk_init(struct endpoint_desk *desk, struct kernel_worker *worker)
{
    *desk = (struct endpoint_desk){ .worker = worker };
    list_init(&desk->opened);
    list_init(&desk->clients);
}

/* Calls that have begun keep what they need of it. */
static void
retire(struct endpoint_opened *opened)
{
    list_remove(&opened->link);
    endpoint_close(opened);
}

static bool
is_in_force(const struct endpoints *endpoints, const struct endpoint *endpoint)
{
    return endpoint == NULL || endpoints_get(endpoints, endpoint->spec.name) == endpoint;
}

void
endpoint_desk_use(struct endpoint_desk *desk, const struct endpoints *endpoints)
{
    struct list *it, *next;
    LIST_FOREACH_SAFE(it, next, &desk->clients)
    {
        struct place *place = LIST_ENTRY(it, struct place, link);
        if (!is_in_force(endpoints, place->opened->endpoint))
            place_free(desk, place);
    }
    LIST_FOREACH_SAFE(it, next, &desk->opened)
    {
        struct endpoint_opened *opened = LIST_ENTRY(it, struct endpoint_opened, link);
        if (!is_in_force(endpoints, opened->endpoint))
            retire(opened);
    }
}

void
endpoint_desk_fini(struct endpoint_desk *desk)
{
    struct list *it, *next;
    LIST_FOREACH_SAFE(it, next, &desk->clients)
    {
        place_free(desk, LIST_ENTRY(it, struct place, link));
    }
    LIST_FOREACH_SAFE(it, next, &desk->opened)
    {
        retire(LIST_ENTRY(it, struct endpoint_opened, link));
    }
}

/* --- opening -----------------------------------------------------------------------------------*/

static void
wipe(struct slice text)
{
    if (text.len > 0)
        explicit_bzero((char *)(uintptr_t)text.data, text.len); /* in an arena of ours */
}

void
endpoint_close(struct endpoint_opened *opened)
{
    if (opened == NULL || --opened->refs > 0)
        return;
    for (size_t i = 0; i < opened->header_count; i++)
        if (opened->is_secret[i])
            wipe(opened->headers[i].value);
    arena_fini(&opened->arena);
    tls_context_unref(opened->tls);
    endpoint_unref(opened->endpoint);
    free(opened);
}

static struct endpoint_opened *
find_opened(const struct endpoint_desk *desk, const struct endpoint *endpoint)
{
    struct list *it;
    LIST_FOREACH (it, &desk->opened) {
        struct endpoint_opened *opened = LIST_ENTRY(it, struct endpoint_opened, link);
        if (opened->endpoint == endpoint)
            return opened;
    }
    return NULL;
}

/* One reference. `endpoint` may be NULL. */
static struct endpoint_opened *
opened_new(struct endpoint *endpoint)
{
    struct endpoint_opened *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        abort();
    opened->refs = 1;
    opened->endpoint = endpoint == NULL ? NULL : endpoint_ref(endpoint);
    arena_init(&opened->arena);
    list_init(&opened->link);
    return opened;
}

/* The values of the spec with secrets in their places. ERR_DIRECT_INVOKE with words. */
static err_t
look_up_secrets(struct request *rq, const struct endpoint *endpoint, struct slice *values,
                struct slice *ret_error)
{
    const struct http_endpoint_spec *spec = &endpoint->spec;
    struct slice found[LIMIT_http_endpoint_headers_max + ENDPOINT_TLS_PARTS];
    size_t next = 0;
    struct component *store = component_await(rq->task, rq->components, COMPONENT_SECRETS,
                                              spec->auth_secret_store); /* suspends */
    if (store == NULL) {
        *ret_error = arena_printf(rq->arena, "secret store " SLICE_FMT " isn't loaded",
                                  SLICE_ARG(spec->auth_secret_store));
        return ERR_DIRECT_INVOKE;
    }
    if (secret_refs_fetch(rq->task, endpoint->secrets, store, found, ret_error) != OK)
        return ERR_DIRECT_INVOKE; /* suspends */
    for (size_t i = 0; i < http_endpoint_value_count(spec); i++)
        if (spec->values[i].secret_name.len > 0)
            values[i] = found[next++];
    return OK;
}

static void
take_headers(struct endpoint_opened *opened, const struct http_endpoint_spec *spec,
             const struct slice *values)
{
    opened->headers = ARENA_ARRAY(&opened->arena, struct http_header, spec->header_count);
    opened->is_secret = ARENA_ARRAY(&opened->arena, bool, spec->header_count);
    for (size_t i = 0; i < spec->header_count; i++) {
        opened->headers[i] = (struct http_header){ arena_dup(&opened->arena, spec->values[i].name),
                                                   arena_dup(&opened->arena, values[i]) };
        opened->is_secret[i] = spec->values[i].secret_name.len > 0 ||
                               spec->values[i].env_name.len > 0;
    }
    opened->header_count = spec->header_count;
}

static struct tls_context *
make_tls(const struct slice *parts)
{
    return tls_context_new(&(struct tls_config){
        .verifies = true,
        .ca = parts == NULL ? SLICE_EMPTY : parts[ENDPOINT_ROOT_CA],
        .cert = parts == NULL ? SLICE_EMPTY : parts[ENDPOINT_CERTIFICATE],
        .key = parts == NULL ? SLICE_EMPTY : parts[ENDPOINT_PRIVATE_KEY],
        .alpn = SLICE("http/1.1"),
    });
}

/* A certificate without its key proves nothing and is left out, as the reference does it. */
static err_t
fill(struct request *rq, struct endpoint_opened *opened, struct slice *ret_error)
{
    const struct endpoint *endpoint = opened->endpoint;
    const struct http_endpoint_spec *spec = &endpoint->spec;
    size_t count = http_endpoint_value_count(spec);
    struct slice *values = ARENA_ARRAY(rq->arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        values[i] = spec->values[i].value;
    if (endpoint->secrets != NULL && look_up_secrets(rq, endpoint, values, ret_error) != OK)
        return ERR_DIRECT_INVOKE; /* suspends */
    struct slice *parts = values + spec->header_count;
    bool lacks_certificate = parts[ENDPOINT_PRIVATE_KEY].len > 0 &&
                             parts[ENDPOINT_CERTIFICATE].len == 0;
    if (parts[ENDPOINT_PRIVATE_KEY].len == 0)
        parts[ENDPOINT_CERTIFICATE] = SLICE_EMPTY;
    take_headers(opened, spec, values);
    opened->tls = make_tls(parts);
    for (size_t i = 0; i < count; i++)
        if (spec->values[i].secret_name.len > 0)
            wipe(values[i]); /* in our arena */
    if (!lacks_certificate)
        return OK;
    *ret_error = arena_printf(rq->arena,
                              "failed to load client certificate for http endpoint " SLICE_FMT
                              ": tls: failed to find any PEM data in certificate input",
                              SLICE_ARG(spec->name));
    return ERR_DIRECT_INVOKE;
}

/* Made by this call alone. It stays for others unless one of them has been quicker, or the endpoint
 * is gone by now. */
static err_t
open_anew(struct request *rq, struct endpoint *endpoint, struct endpoint_opened **ret_opened,
          struct slice *ret_error)
{
    struct endpoint_desk *desk = &kernel_worker_of(rq->task)->outside;
    struct endpoint_opened *opened = opened_new(endpoint);
    err_t err = endpoint == NULL ? OK : fill(rq, opened, ret_error); /* suspends */
    if (err != OK) {
        endpoint_close(opened);
        return err;
    }
    if (endpoint == NULL)
        opened->tls = make_tls(NULL);
    struct endpoint_opened *present = find_opened(desk, endpoint);
    if (present != NULL) {
        endpoint_close(opened);
        opened = present;
    } else if (!is_in_force(settings_of(rq->task)->endpoints, endpoint)) {
        *ret_opened = opened;
        return OK;
    } else {
        list_append(&desk->opened, &opened->link);
    }
    opened->refs++;
    *ret_opened = opened;
    return OK;
}

err_t
endpoint_open(struct request *rq, struct endpoint *endpoint, struct endpoint_opened **ret_opened,
              struct slice *ret_error)
{
    struct endpoint_opened *present = find_opened(&kernel_worker_of(rq->task)->outside, endpoint);
    if (present == NULL)
        return open_anew(rq, endpoint, ret_opened, ret_error); /* suspends */
    present->refs++;
    *ret_opened = present;
    return OK;
}

/* --- finding -----------------------------------------------------------------------------------*/

static void
on_request_over(void *arg)
{
    endpoint_unref(arg);
}

bool
endpoint_find(struct request *rq, struct slice id, struct endpoint **ret_endpoint)
{
    struct endpoint *endpoint = endpoints_get(settings_of(rq->task)->endpoints, id);
    if (endpoint == NULL && !slice_has_prefix(id, SLICE("http://")) &&
        !slice_has_prefix(id, SLICE("https://")))
        return false;
    if (endpoint != NULL)
        arena_on_dispose(rq->arena, on_request_over, endpoint_ref(endpoint));
    *ret_endpoint = endpoint;
    return true;
}

static struct client *
dial_place(struct endpoint_desk *desk, struct place *place)
{
    struct slice host = slice_of(place->host, place->host_len);
    struct tls_context *tls = place->is_https ? tls_context_named(place->opened->tls, host) : NULL;
    struct client *client = client_new(&desk->worker->worker,
                                       &(struct client_config){
                                           .protocol = CLIENT_H1,
                                           .host = host,
                                           .port = place->port,
                                           .tls = tls,
                                           .connect_ms = LIMIT_endpoint_connect_ms,
                                       });
    tls_context_unref(tls);
    return client;
}

struct client *
endpoint_client(struct request *rq, struct endpoint_opened *opened, const struct url *url)
{
    struct endpoint_desk *desk = &kernel_worker_of(rq->task)->outside;
    struct list *it;
    LIST_FOREACH (it, &desk->clients) {
        struct place *place = LIST_ENTRY(it, struct place, link);
        if (place->opened != opened || place->is_https != url->is_https ||
            place->port != url->port ||
            !slice_eq_nocase(slice_of(place->host, place->host_len), url->host))
            continue;
        list_remove(&place->link);
        list_append(desk->clients.next, &place->link); /* in front */
        return place->client;
    }
    if (desk->client_count >= LIMIT_endpoint_clients_max)
        place_free(desk, LIST_ENTRY(desk->clients.prev, struct place, link));
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL)
        abort();
    opened->refs++;
    *place = (struct place){ .opened = opened,
                             .is_https = url->is_https,
                             .port = url->port,
                             .host = slice_copy(url->host),
                             .host_len = url->host.len };
    list_init(&place->link);
    place->client = dial_place(desk, place);
    list_append(desk->clients.next, &place->link);
    desk->client_count++;
    return place->client;
}
