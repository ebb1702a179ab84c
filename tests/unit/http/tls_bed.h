/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams of one worker that talk over a socket pair, one as TLS client and one as server. */
#ifndef TLS_BED_H
#define TLS_BED_H

#include <sys/socket.h>

#include "http/tls.h"
#include "unit/async/driver.h"

struct end {
    struct stream stream;
    struct buf in;
    bool is_ended;
    bool is_failed;
    bool reads_little; /* a few bytes at a time */
    struct slice peer_id;
};

static inline struct end *
end_of(struct stream *stream)
{
    return container_of(stream, struct end, stream);
}

static inline void
on_readable(struct stream *stream)
{
    struct end *end = end_of(stream);
    switch (stream_read(stream, &end->in, end->reads_little ? 7 : 16384)) {
    case STREAM_BYTES:
    case STREAM_NOTHING:
        return;
    case STREAM_END:
        end->is_ended = true;
        break;
    case STREAM_ERROR:
        end->is_failed = true;
        break;
    }
    stream_pause(stream);
}

static inline void
on_broken(struct stream *stream)
{
    end_of(stream)->is_failed = true;
}

static const struct stream_events bed_events = { .on_readable = on_readable,
                                                 .on_broken = on_broken };

enum { MOST = 32 * 1024 * 1024 };

struct bed {
    struct worker worker;
    struct end client, server;
    struct tls_context *client_context, *server_context;
};

static inline void
open_end(struct bed *bed, struct end *end, int fd, struct tls_context *context)
{
    struct diag diag;
    diag_init(&diag, NULL);
    buf_init(&end->in, MOST);
    stream_open(&end->stream, &bed->worker, fd, &bed_events, MOST);
    if (context != NULL)
        REQUIRE(tls_start(&end->stream, context, end->peer_id, &diag));
}

/* NULL for plain text on that side. Ends may be changed before they meet. */
static inline void
bed_begin(struct bed *bed, const struct tls_config *client, const struct tls_config *server)
{
    *bed = (struct bed){ 0 };
    driver_open(&bed->worker);
    bed->client_context = client == NULL ? NULL : tls_context_new(client);
    bed->server_context = server == NULL ? NULL : tls_context_new(server);
}

static inline void
bed_meet(struct bed *bed)
{
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    open_end(bed, &bed->server, fds[1], bed->server_context);
    open_end(bed, &bed->client, fds[0], bed->client_context);
}

static inline void
open_bed(struct bed *bed, const struct tls_config *client, const struct tls_config *server)
{
    bed_begin(bed, client, server);
    bed_meet(bed);
}

static inline void
close_bed(struct bed *bed)
{
    stream_close(&bed->client.stream);
    stream_close(&bed->server.stream);
    buf_fini(&bed->client.in);
    buf_fini(&bed->server.in);
    tls_context_unref(bed->client_context);
    tls_context_unref(bed->server_context);
    CHECK_EQ_U64(worker_timer_count(&bed->worker), 0);
    driver_close(&bed->worker);
}

static inline bool
are_both_done(const struct bed *bed)
{
    return (tls_is_established(&bed->client.stream) || bed->client.is_failed) &&
           (tls_is_established(&bed->server.stream) || bed->server.is_failed);
}

#endif
