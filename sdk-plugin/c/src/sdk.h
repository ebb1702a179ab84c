/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the plugin SDK. A frame's way: link.c reads and decodes, call.c collects a
 * request's payload, dispatch.c picks the handler, state.c turns bytes into the header's structs;
 * the reply goes through call.c into outbound.c, which sends as credits allow, and link.c writes
 * once a turn.
 *
 * There is one plugin, one link and one loop in a process, all on the thread that called
 * remora_plugin_main(): hence one global, `sdk`. Only post.c may be entered from other threads.
 */
#ifndef SDK_H
#define SDK_H

#include <ev.h>
#include <stdarg.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/slice.h"
#include "bus/frame.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "remora_plugin.h"

/* Limits of the plugin's side; what is common to both sides is in limits.def. */
enum {
    SDK_CALL_BYTES_MAX = 512 * 1024 * 1024,   /* payload of one incoming call */
    SDK_TOTAL_BYTES_MAX = 1024 * 1024 * 1024, /* payloads held by the process */
    SDK_CALLS_POOLED_MAX = 256,               /* idle call objects kept for reuse */
    SDK_READ_BYTES = 256 * 1024,              /* asked of the socket at once */
    SDK_CHUNK_BYTES = 64 * 1024,              /* payload of a data frame: turns come sooner */
    SDK_OUTPUT_PAUSE_BYTES = 1024 * 1024,     /* queued output above which payloads wait */
    SDK_METADATA_MAX = 100000,                /* metadata pairs in one operation */
    SDK_MANY_READS = 16,                      /* gets at a time when a table has no get_many */
};

#define METHOD(name) REMORA__PLUGIN__V1__METHOD__METHOD_##name

/* A payload being received. */
struct inbound {
    uint32_t message_bytes;
    uint64_t total; /* not known while open_ended */
    bool open_ended;
    bool is_complete;
    struct buf bytes; /* what came so far, if it did not all come at once */
    uint64_t budget;  /* counted in sdk.held_bytes */
    uint64_t received;
    uint64_t outstanding; /* credit the sender has used and not got back */
    uint64_t taken;       /* of which this is to be given back */
};

/* A payload being sent: a first frame, then data frames, under credits. */
struct outbound {
    struct list node;  /* in link.ready while there is something to send and credit of its own */
    struct frame head; /* the request or response; kind 0 once it is sent */
    uint64_t call;
    struct slice *parts; /* fixed content, in the owner's arena; changed while sending */
    size_t part_count;
    uint64_t left; /* bytes of it not yet sent */
    uint64_t credit;
    bool is_active;
    /* Streams: content comes later through outbound_stream(). */
    bool is_stream;
    bool is_ended;
    struct buf stream;
    void (*on_sent)(struct outbound *out, size_t bytes); /* streams only */
    void (*on_done)(struct outbound *out);               /* everything is sent; may free */
};

/* One call of either direction, by number. Kernel calls are odd, ours even. */
struct exchange {
    struct exchange *next; /* in its bucket */
    uint64_t id;
    bool is_linked; /* in the table */
    struct inbound in;
    struct outbound out;
};

enum { LINK_BUCKETS = 4096 };

struct link {
    int fd;
    ev_io reader;
    ev_io writer;
    ev_prepare flusher;
    struct sp_decoder decoder;
    struct buf in;
    struct buf out;
    bool is_up;     /* hello_ack was received */
    bool has_batch; /* calls came in since the last turn_end() */
    bool has_data;  /* parts of large payloads came in this turn */
    uint32_t epoch;
    uint64_t call_credit; /* what either side of a call starts with */
    uint64_t link_credit;
    uint64_t credit;     /* payload bytes we may send now */
    uint64_t uncredited; /* received, not yet given back */
    struct list ready;   /* outbounds */
    size_t exchange_count;
    struct exchange *buckets[LINK_BUCKETS];
};

struct component {
    struct component *next;
    uint32_t handle;
    const struct remora_component_type *type;
    void *self;
    bool is_ready;   /* init succeeded */
    bool is_closing; /* waits for its calls, takes none */
    uint32_t open_calls;
    struct remora_call *close_call; /* answered when it is gone */
};

enum { COMPONENT_BUCKETS = 256 };

struct many;

enum call_state { CALL_POOLED, CALL_RECEIVING, CALL_RUNNING, CALL_SENDING, CALL_STREAMING };

/* Bytes of a reply that are ours until sent. */
struct held {
    struct held *next;
    void (*release)(void *arg);
    void *arg;
};

struct remora_call {
    struct exchange exchange; /* id 0 for a part of a many-operation */
    struct list pooled;
    enum call_state state;
    uint64_t serial; /* changes whenever the object is reused */
    uint32_t method;
    uint32_t handle;
    struct component *component; /* NULL for methods without one */
    struct arena arena;
    struct slice message;
    struct slice body;
    uint32_t depth;
    struct slice request_id;
    struct slice traceparent;
    struct slice tracestate;
    uint64_t deadline_ms; /* clock_now_ms(); UINT64_MAX without */
    ev_timer timer;       /* deadline; echo delay */
    bool is_cancelled;
    void (*on_cancel)(struct remora_call *call, void *arg);
    void *on_cancel_arg;
    struct held *held;
    struct many *many; /* set in a part: who waits for it */
    size_t part;
};

struct sdk {
    const struct remora_plugin *plugin;
    struct ev_loop *loop;
    struct link link;
    struct component *components[COMPONENT_BUCKETS];
    struct component *current; /* whose handler runs, for log lines */
    struct list pool;
    size_t pool_count;
    uint64_t held_bytes; /* of all inbounds */
    int exit_status;
    bool is_ending;
};

extern struct sdk sdk;

/* main.c */
/* Ends the loop; the reason goes to standard error unless NULL. */
void sdk_end(int exit_status, const char *reason);

/* link.c */
void link_open(int fd);
void link_close(void);
void link_send_hello(const char *token);
/* Appends a frame; ends the process if the sidecar stopped reading long ago. */
void link_append(const struct frame *frame, const struct slice *parts, size_t part_count);
/* Writes until nothing is left or `wait_ms` have passed. */
void link_drain(int wait_ms);
struct exchange *link_find(uint64_t id);
void link_add(struct exchange *exchange);
void link_remove(struct exchange *exchange);

/* inbound.c */
enum inbound_result { INBOUND_OK, INBOUND_TOO_LARGE, INBOUND_VIOLATION };
/* From the first frame of a payload; its bytes are not added yet. */
enum inbound_result inbound_init(struct inbound *in, const struct frame *first);
void inbound_fini(struct inbound *in);
/* Counts bytes that arrived against the sender's credit and the announced total. */
enum inbound_result inbound_count(struct inbound *in, size_t bytes);
/* Keeps bytes that were counted. */
enum inbound_result inbound_keep(struct inbound *in, struct slice payload);
/* The receiver has room again: gives credit back to the sender when enough is due. */
void inbound_take(struct exchange *exchange, uint64_t bytes);

/* outbound.c */
/* Starts sending `out->head` and `out->parts`. */
void outbound_start(struct outbound *out);
/* Adds bytes to a stream; false if it would hold more than a call's credit. */
bool outbound_stream(struct outbound *out, struct slice bytes) WARN_UNUSED;
/* The stream is complete: `end` follows what is queued. */
void outbound_end(struct outbound *out);
void outbound_credit(struct outbound *out, uint64_t bytes);
/* Forgets what is not sent. on_done is not called. */
void outbound_stop(struct outbound *out);
/* Sends what credits and the output buffer allow. */
void outbound_pump(void);

/* call.c */
void call_on_request(const struct frame *frame);
void call_on_data(struct exchange *exchange, const struct frame *frame);
void call_on_end(struct exchange *exchange, const struct frame *frame);
void call_on_cancel(struct exchange *exchange);
/* A part of a many-operation, running. */
struct remora_call *call_new_part(struct remora_call *parent, struct many *many, size_t part);
/* The two ways a call ends. `status` NULL: OK. Bodies as struct remora_bytes promises. */
void call_reply(struct remora_call *call, struct slice message, const struct remora_bytes *bodies,
                size_t body_count);
void call_reply_status(struct remora_call *call, const struct frame_status *status);
void call_fail(struct remora_call *call, enum remora_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends a call whose answer has begun, or cannot begin: what is missing will not come. */
void call_break_off(struct remora_call *call, enum remora_code code, const char *message);
/* Tells the handler, once. */
void call_cancel(struct remora_call *call);
/* Ends a part or a call without sending anything. */
void call_free(struct remora_call *call);
void call_trim_pool(void);
struct frame_status call_status_of(struct remora_call *call, const struct remora_failure *failure);

/* component.c */
struct component *component_find(uint32_t handle);
void component_init(struct remora_call *call);
void component_start(struct remora_call *call);
/* What remora_reply_ok() and remora_reply_error() mean for the life of a component. */
void component_on_reply(struct remora_call *call, bool is_ok);
void component_quiesce(struct remora_call *call);
void component_close(struct remora_call *call);
void component_export(struct remora_call *call);
void component_import(struct remora_call *call);
void component_enter(struct component *component);
void component_leave(struct component *component);
void component_close_all(void);

/* dispatch.c */
/* Whether the call may be received at all; answers it otherwise. */
bool dispatch_accept(struct remora_call *call);
/* The payload is complete: run the handler. */
void dispatch_run(struct remora_call *call);

/* echo.c */
void echo_run(struct remora_call *call);
void echo_stream_start(struct remora_call *call);
/* More of the body; false if it does not fit. */
void echo_stream_data(struct remora_call *call, struct slice bytes);
void echo_stream_end(struct remora_call *call);
bool echo_is_served(const struct component *component);

/* state.c */
void state_run(struct remora_call *call);

/* state_decode.c: false if the bytes are malformed or beyond a limit. Results live in the call. */
bool state_decode_get(struct remora_call *call, const struct remora_state_get **ret_get);
bool state_decode_gets(struct remora_call *call, struct remora_state_get **ret_gets,
                       size_t *ret_count, uint32_t *ret_parallelism);
bool
state_decode_sets(struct remora_call *call, struct remora_state_set **ret_sets, size_t *ret_count);
bool state_decode_deletes(struct remora_call *call, struct remora_state_delete **ret_deletes,
                          size_t *ret_count);
struct state_transact {
    struct remora_state_operation *operations;
    size_t count;
    struct remora_pair *metadata;
    size_t metadata_count;
};
bool state_decode_transact(struct remora_call *call, struct state_transact *ret_transact);
struct state_query {
    struct remora_slice query;
    struct remora_slice key_prefix;
    struct remora_pair *metadata;
    size_t metadata_count;
};
bool state_decode_query(struct remora_call *call, struct state_query *ret_query);
bool state_decode_prefix(struct remora_call *call, struct remora_slice *ret_prefix);
struct state_like {
    struct remora_slice pattern;
    uint32_t page_size;
    struct remora_slice token;
};
bool state_decode_like(struct remora_call *call, struct state_like *ret_like);

/* state_encode.c: typed messages, in the call's arena. */
struct slice state_encode_value(struct remora_call *call, const struct remora_state_value *value);
struct slice state_encode_values(struct remora_call *call, const struct remora_state_value *values,
                                 size_t count);
struct slice state_encode_query(struct remora_call *call, const struct remora_state_value *values,
                                size_t count, struct remora_slice token);
struct slice state_encode_failures(struct remora_call *call,
                                   const struct remora_failure *const *failures, size_t count);
struct slice state_encode_count(struct remora_call *call, uint64_t count);
struct slice state_encode_keys(struct remora_call *call, const struct remora_slice *keys,
                               size_t count, struct remora_slice token);

/* secrets.c */
void secrets_run(struct remora_call *call);

/* names.c */
void names_run(struct remora_call *call);

/* pubsub.c */
void pubsub_run(struct remora_call *call);

/* configuration.c */
void configuration_run(struct remora_call *call);
struct slice configuration_pack_change(struct arena *arena, uint64_t subscription,
                                       const struct remora_configuration_item *items, size_t count);
struct slice configuration_pack_missed(struct arena *arena, uint64_t subscription);

/* lock.c */
void lock_run(struct remora_call *call);

/* crypto.c */
void crypto_run(struct remora_call *call);

/* binding.c */
void binding_run(struct remora_call *call);
struct slice
binding_pack_event(struct arena *arena, uint64_t reading, const struct remora_event *event);
/* False: the answer makes no sense. */
bool binding_take_answer(struct arena *arena, struct slice message,
                         const struct remora_pair **ret_metadata, size_t *ret_count);

/* conversation.c */
void conversation_run(struct remora_call *call);

/* middleware.c */
void middleware_run(struct remora_call *call);

/* unpack.c: typed messages of calls, in their memory. */
/* NULL if the bytes are malformed or beyond a limit. */
const void *call_unpack(struct remora_call *call, const ProtobufCMessageDescriptor *descriptor);
const struct remora_pair *
unpack_pairs(struct arena *arena, Remora__Plugin__V1__Pair *const *from, size_t count);
/* And the other way. */
Remora__Plugin__V1__Pair **
pack_pairs(struct arena *arena, const struct remora_pair *from, size_t count);
Remora__Plugin__V1__Status *
pack_status(struct remora_call *call, const struct remora_failure *failure);
void call_refuse_malformed(struct remora_call *call, const char *message);
void call_refuse_unsupported(struct remora_call *call);

/* many.c */
/* One call of get, set or del an item, for tables that lack the function for many. */
void many_get(struct remora_call *call, const struct remora_state_get *gets, size_t count,
              uint32_t parallelism);
void many_set(struct remora_call *call, const struct remora_state_set *sets, size_t count);
void many_delete(struct remora_call *call, const struct remora_state_delete *dels, size_t count);
void many_on_value(struct remora_call *part, const struct remora_state_value *value);
void many_on_status(struct remora_call *part, const struct remora_failure *failure);

/* host.c */
void host_on_response(struct exchange *exchange, const struct frame *frame);
void host_on_data(struct exchange *exchange, const struct frame *frame);
void host_on_end(struct exchange *exchange, const struct frame *frame);
void host_fail_all(void);

/* post.c */
void post_init(void);
void post_fini(void);

/* build_id.c */
/* In hex; empty if the linker was told to leave it out. */
struct slice build_id(struct arena *arena);

/* text.c */
/* Well-formed UTF-8 of at most `max` bytes, in the arena. */
struct slice text_clean(struct arena *arena, struct slice text, size_t max);

static inline struct remora_slice
to_remora(struct slice s)
{
    return (struct remora_slice){ .data = s.data, .len = s.len };
}

static inline struct slice
from_remora(struct remora_slice s)
{
    return slice_of(s.data == NULL ? "" : s.data, s.len);
}

#endif
