/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of connections to other sidecars; see peers.h. */
#include "peer/peers.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "http/tls.h"

struct peer {
    struct list link; /* least recently used first */
    struct slice key; /* address, line feed, id; owned */
    struct client *client;
    uint64_t used_ms;
};

struct peers {
    struct worker *worker;
    struct peers_config config;
    struct tls_context *tls; /* counted; NULL: plain text */
    struct map by_key;
    struct list used;
    struct timer sweep;
};

static struct slice
address_of(const struct peer *peer)
{
    return slice_first(peer->key, (size_t)slice_find_byte(peer->key, '\n'));
}

static void
forget(struct peers *peers, struct peer *peer)
{
    (void)map_remove(&peers->by_key, peer->key); /* itself */
    list_remove(&peer->link);
    client_close(peer->client);
    free((void *)(uintptr_t)peer->key.data); /* ours */
    free(peer);
}

static struct peer *
oldest(const struct peers *peers)
{
    return list_is_empty(&peers->used) ? NULL : container_of(peers->used.next, struct peer, link);
}

static void
sweep_later(struct peers *peers)
{
    if (!timer_is_set(&peers->sweep))
        timer_set(&peers->worker->timers, &peers->sweep, clock_now_ms() + peers->config.sweep_ms);
}

static void
on_sweep(struct timer *timer)
{
    struct peers *peers = container_of(timer, struct peers, sweep);
    uint64_t now_ms = clock_now_ms();
    struct peer *peer;
    while ((peer = oldest(peers)) != NULL && now_ms - peer->used_ms >= peers->config.idle_ms) {
        log_debug("dapr.runtime.grpc.manager", "Purged 1 expired gRPC connection(s) to " SLICE_FMT,
                  SLICE_ARG(address_of(peer)));
        forget(peers, peer); /* a call that lasts keeps its own connection */
    }
    if (peer != NULL)
        sweep_later(peers);
}

struct peers *
peers_new(struct worker *worker, const struct peers_config *config)
{
    struct peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL)
        abort();
    peers->worker = worker;
    peers->config = *config;
    if (peers->config.idle_ms == 0)
        peers->config.idle_ms = LIMIT_peer_idle_ms;
    if (peers->config.sweep_ms == 0)
        peers->config.sweep_ms = LIMIT_peer_sweep_ms;
    map_init(&peers->by_key);
    list_init(&peers->used);
    timer_init(&peers->sweep, on_sweep);
    return peers;
}

static void
forget_all(struct peers *peers)
{
    struct peer *peer;
    while ((peer = oldest(peers)) != NULL)
        forget(peers, peer);
}

void
peers_free(struct peers *peers)
{
    if (peers == NULL)
        return;
    forget_all(peers);
    timer_stop(&peers->worker->timers, &peers->sweep);
    map_fini(&peers->by_key);
    tls_context_unref(peers->tls);
    free(peers);
}

void
peers_use(struct peers *peers, struct tls_context *tls)
{
    struct tls_context *old = peers->tls;
    peers->tls = tls_context_ref(tls);
    forget_all(peers);
    tls_context_unref(old);
}

bool
peers_split_address(struct slice address, struct slice *ret_host, uint16_t *ret_port)
{
    size_t colon = address.len;
    uint64_t port;
    while (colon > 0 && address.data[colon - 1] != ':')
        colon--;
    if (colon < 2 || !slice_to_u64(slice_from(address, colon), &port) || port == 0 ||
        port > UINT16_MAX)
        return false;
    struct slice host = slice_first(address, colon - 1);
    if (host.data[0] == '[') {
        if (host.len < 3 || host.data[host.len - 1] != ']')
            return false;
        host = slice_of(host.data + 1, host.len - 2);
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return host.len > 0 && host.len <= LIMIT_peer_host_bytes;
}

/* The key in `text`, which has room. */
static struct slice
key_of(char *text, struct slice address, struct slice peer_id)
{
    memcpy(text, address.data, address.len);
    text[address.len] = '\n';
    if (peer_id.len > 0)
        memcpy(text + address.len + 1, peer_id.data, peer_id.len);
    return slice_of(text, address.len + 1 + peer_id.len);
}

static struct peer *
make_peer(struct peers *peers, struct slice key, struct slice host, uint16_t port,
          struct slice peer_id)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        abort();
    peer->key = slice_of(slice_copy(key), key.len);
    const struct client_config config = {
        .protocol = CLIENT_H2,
        .host = host,
        .port = port,
        .tls = peers->tls,
        .peer_id = peer_id,
        .idle_ms = peers->config.idle_ms,
        .ping_ms = LIMIT_peer_ping_ms,
        .pong_ms = LIMIT_peer_pong_ms,
        .unanswered_min = LIMIT_peer_unanswered_min,
        .head_bytes_max = LIMIT_peer_head_bytes,
    };
    peer->client = client_new(peers->worker, &config);
    (void)map_put(&peers->by_key, peer->key, peer); /* there was none */
    list_append(&peers->used, &peer->link);
    if (peers->by_key.count > LIMIT_peers_max)
        forget(peers, oldest(peers));
    sweep_later(peers);
    return peer;
}

err_t
peers_client(struct peers *peers, struct slice address, struct slice peer_id,
             struct client **ret_client)
{
    char text[LIMIT_peer_key_bytes];
    struct slice host;
    uint16_t port;
    if (address.len + 1 + peer_id.len > sizeof text || slice_find_byte(address, '\n') >= 0)
        return ERR_MALFORMED;
    struct slice key = key_of(text, address, peer_id);
    struct peer *peer = map_get(&peers->by_key, key);
    if (peer == NULL) {
        if (!peers_split_address(address, &host, &port))
            return ERR_MALFORMED;
        peer = make_peer(peers, key, host, port, peers->tls == NULL ? SLICE_EMPTY : peer_id);
    } else {
        list_remove(&peer->link);
        list_append(&peers->used, &peer->link);
    }
    peer->used_ms = peers->worker->now_ms;
    *ret_client = peer->client;
    return OK;
}

void
peers_drop(struct peers *peers, struct slice address, struct slice peer_id)
{
    char text[LIMIT_peer_key_bytes];
    if (address.len + 1 + peer_id.len > sizeof text)
        return;
    struct peer *peer = map_get(&peers->by_key, key_of(text, address, peer_id));
    if (peer != NULL)
        forget(peers, peer);
}

size_t
peers_count(const struct peers *peers)
{
    return peers->by_key.count;
}
