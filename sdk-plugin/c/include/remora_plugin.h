/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one header a plugin author includes.
 *
 * A plugin is an executable that the sidecar starts and talks to. It names itself and its component
 * types in a `struct remora_plugin` and hands that to remora_plugin_main(), which never returns to
 * the story below until the sidecar says goodbye:
 *
 *   1. The SDK connects, shows the token it was given, and lists the component types.
 *   2. For each configured component the sidecar asks `init`. The plugin allocates whatever the
 *      component needs, connects, probes, and answers with remora_reply_init(). `start` follows
 *      when traffic may begin, `quiesce` and `close` when the component goes.
 *   3. Each operation arrives as one call of a function of the type's operations table. The
 *      function answers, now or later, with exactly one remora_reply_*().
 *
 * Threads. Everything here runs on the thread that called remora_plugin_main() and on its libev
 * loop, except remora_post(), which any thread may call. Handlers must not block: what takes long
 * belongs into a watcher on remora_loop() or on a thread of the plugin's own.
 *
 * Memory. A call and all it points to (keys, values, metadata, the decoded operation) belong to the
 * SDK and stay valid until its reply. Whatever a reply function is given is copied or used up
 * before it returns, except bytes passed with a release function (struct remora_bytes).
 *
 * Errors. remora_reply_error() takes a code of enum remora_code and a text for the user: it must
 * not hold a secret. A handler missing from a table is answered with REMORA_UNIMPLEMENTED.
 *
 * Standard output and error of a plugin are captured by the sidecar; remora_log() is better.
 */
#ifndef REMORA_PLUGIN_H
#define REMORA_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ev_loop;

/* Bytes owned by someone else; not NUL-terminated. */
struct remora_slice {
    const char *data;
    size_t len;
};

struct remora_pair {
    struct remora_slice name;
    struct remora_slice value;
};

/* Bytes handed to a reply. With `release` NULL they are copied before the function returns. With
 * `release` the SDK keeps the pointer and calls release(arg), once, on the plugin's thread, when
 * the last byte has been sent or the call has ended. */
struct remora_bytes {
    const void *data;
    size_t len;
    void (*release)(void *arg);
    void *arg;
};

/* The numbers of gRPC's status codes. */
enum remora_code {
    REMORA_OK = 0,
    REMORA_CANCELLED = 1,
    REMORA_UNKNOWN = 2,
    REMORA_INVALID_ARGUMENT = 3,
    REMORA_DEADLINE_EXCEEDED = 4,
    REMORA_NOT_FOUND = 5,
    REMORA_ALREADY_EXISTS = 6,
    REMORA_PERMISSION_DENIED = 7,
    REMORA_RESOURCE_EXHAUSTED = 8,
    REMORA_FAILED_PRECONDITION = 9,
    REMORA_ABORTED = 10,
    REMORA_OUT_OF_RANGE = 11,
    REMORA_UNIMPLEMENTED = 12,
    REMORA_INTERNAL = 13,
    REMORA_UNAVAILABLE = 14,
    REMORA_DATA_LOSS = 15,
    REMORA_UNAUTHENTICATED = 16,
};

/* Whether the world may have changed although the call failed. */
enum remora_effect {
    REMORA_EFFECT_FAILED = 0,   /* it did not happen */
    REMORA_EFFECT_NOT_SENT = 1, /* nothing left the plugin: the sidecar may try again */
    REMORA_EFFECT_UNKNOWN = 2,  /* it may have happened */
};

/* Reasons the sidecar understands; pass them to remora_reply_failure(). */
#define REMORA_REASON_ETAG_MISMATCH "ETAG_MISMATCH"
#define REMORA_REASON_ETAG_INVALID "ETAG_INVALID"
#define REMORA_REASON_TOO_MANY_OPERATIONS "TOO_MANY_OPERATIONS"

struct remora_failure {
    enum remora_code code;
    enum remora_effect effect;
    const char *reason; /* or NULL */
    const char *message;
};

/* One operation being handled. Ended by exactly one remora_reply_*(). */
typedef struct remora_call remora_call;

/* --- the plugin --------------------------------------------------------------------------------*/

/* The sidecar that has started the plugin. Ports are 0 where there is none. */
struct remora_instance {
    struct remora_slice app_id;
    struct remora_slice namespace_;   /* empty if none */
    struct remora_slice host_address; /* where other sidecars reach it: an IP address */
    struct remora_slice host_name;
    uint16_t internal_port; /* there, for calls from other sidecars */
    uint16_t http_port;     /* of its API */
    uint16_t grpc_port;
    uint16_t app_port;
    uint32_t pid; /* as its host counts processes: the plugin may see other numbers */
};

/* What `init` gets. Valid until the reply. */
struct remora_config {
    struct remora_slice name;
    struct remora_slice type;
    struct remora_slice version;
    struct remora_slice app_id;
    struct remora_slice namespace_; /* empty if none */
    const struct remora_pair *metadata;
    size_t metadata_count;
    /* The sidecar's environment, if plugin.yaml asks for it (`environment: sidecar`). */
    const struct remora_pair *environment;
    size_t environment_count;
    /* Name resolution: who is to be found, and the `configuration` of the Configuration as JSON (an
     * object; empty if there is none). Its members are in `metadata` too, those that are lists or
     * maps as JSON texts. For other types both are empty. */
    struct remora_instance instance;
    struct remora_slice configuration;
};

/* Bits; the meaning of each is the one of the state or secrets API. */
enum remora_capability {
    REMORA_CAP_ETAG = 1u << 0,
    REMORA_CAP_TRANSACTIONAL = 1u << 1,
    REMORA_CAP_QUERY_API = 1u << 2,
    REMORA_CAP_TTL = 1u << 3,
    REMORA_CAP_DELETE_WITH_PREFIX = 1u << 4,
    REMORA_CAP_KEYS_LIKE = 1u << 5,
    REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET = 1u << 6,
    REMORA_CAP_MESSAGE_TTL = 1u << 7,         /* the broker itself drops what has expired */
    REMORA_CAP_SUBSCRIBE_WILDCARDS = 1u << 8, /* a subscription's topic may be a pattern */
    REMORA_CAP_BULK_PUBLISH = 1u << 9,        /* publish_many is one operation of the broker */
    REMORA_CAP_BULK_SUBSCRIBE = 1u << 10,     /* batches are handed over as the broker gives them */
    REMORA_CAP_INPUT_BINDING = 1u << 11,      /* events come from it */
    REMORA_CAP_OUTPUT_BINDING = 1u << 12,     /* it can be invoked */
    REMORA_CAP_REQUEST_BODY = 1u << 13,       /* middleware: it reads bodies */
};

struct remora_state_ops;
struct remora_secret_ops;
struct remora_name_ops;
struct remora_pubsub_ops;
struct remora_configuration_ops;
struct remora_lock_ops;
struct remora_crypto_ops;
struct remora_binding_ops;
struct remora_conversation_ops;
struct remora_middleware_ops;

struct remora_component_type {
    const char *type;     /* "state.in-memory"; "state.*": all that have no row of their own */
    const char *versions; /* "v1", or a comma list */

    /* Create a component. Answer with remora_reply_init(call, self, ...) or remora_reply_error().
     * `self` is then passed to every other function, and belongs to the plugin. */
    void (*init)(remora_call *call, const struct remora_config *config);
    /* Traffic may begin. NULL: nothing to do. Answer with remora_reply_ok(). */
    void (*start)(remora_call *call, void *self);
    /* Take nothing new in, settle what is open. NULL: nothing to do. */
    void (*quiesce)(remora_call *call, void *self);
    /* The component is gone when this returns: free `self`. No call of it is open. NULL: no-op. */
    void (*close)(void *self);

    /* For types with `replace: handover` in plugin.yaml, whose components keep in memory what must
     * outlive them. When one is exchanged (for another configuration or build), the sidecar carries
     * pieces from the old one to the new one, which has been initialised and not started: first
     * while the old one works on, then, with writes held back, the rest. Both NULL: not supported.
     *
     * Every change after `cursor` in the order it happened, deletions included, as much as is one
     * piece (up to 2 MiB, or a single value). 0 is the beginning; later ones are what the last
     * reply said. Answer with remora_reply_export(). An exchange may end at any moment without a
     * word. */
    void (*export_state)(remora_call *call, void *self, uint64_t cursor);
    /* Such a piece, made by the build before or after this one, or by this one. Answer with
     * remora_reply_ok(). */
    void (*import_state)(remora_call *call, void *self, struct remora_slice piece);

    const struct remora_state_ops *state;   /* NULL if the type is no state store */
    const struct remora_secret_ops *secret; /* NULL if the type is no secret store */
    const struct remora_name_ops *names;    /* NULL if the type resolves no names */
    const struct remora_pubsub_ops *pubsub; /* NULL if the type is no broker */
    const struct remora_configuration_ops *configuration;
    const struct remora_lock_ops *lock;
    const struct remora_crypto_ops *crypto;
    const struct remora_binding_ops *binding;
    const struct remora_conversation_ops *conversation;
    const struct remora_middleware_ops *middleware;
};

struct remora_plugin {
    const char *name; /* as in plugin.yaml */
    const char *version;
    const struct remora_component_type *types;
    size_t type_count;
    /* Services of the sidecar it calls, as plugin.yaml has them: "state", a comma list, or NULL. */
    const char *host_services;
    /* Called once the loop exists, before the sidecar is contacted; false ends the process. */
    bool (*setup)(void);
    /* Called after each batch of incoming calls, before the process sleeps: the place to act on
     * what the batch gathered (a group commit, one write for many). */
    void (*turn_end)(void);
    /* Called when the sidecar is gone or says goodbye, before the process ends. */
    void (*teardown)(void);
};

/* Runs the plugin; returns the exit status of the process. */
int remora_plugin_main(const struct remora_plugin *plugin, int argc, char **argv);

/* The loop of the plugin's thread, for watchers of the plugin's own. */
struct ev_loop *remora_loop(void);

/* Runs fn(arg) on the plugin's thread soon. Any thread. Aborts if memory is out. */
void remora_post(void (*fn)(void *arg), void *arg);

enum remora_level { REMORA_DEBUG = 1, REMORA_INFO = 2, REMORA_WARN = 3, REMORA_ERROR = 4 };

/* One line in the sidecar's log; cut at 4,096 bytes. Plugin thread only. Never log a secret. */
void
remora_log(enum remora_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- any call ----------------------------------------------------------------------------------*/

/* Milliseconds left, or UINT64_MAX without a deadline. */
uint64_t remora_call_time_left_ms(const remora_call *call);
/* The caller has given up: finish early if that saves work. The reply is still due. */
bool remora_call_is_cancelled(const remora_call *call);
/* Called (once, plugin thread) when the caller gives up or the deadline passes. */
void remora_call_on_cancel(remora_call *call, void (*fn)(remora_call *call, void *arg), void *arg);
/* Bytes of the call for as long as the plugin wants: *ret holds the same bytes (of a large request
 * where they came in, else a copy) and the function that gives them up, which is called after the
 * reply. False if memory is out. */
bool remora_call_keep(remora_call *call, struct remora_slice bytes, struct remora_bytes *ret);
/* Memory that lives until the reply; aborts if memory is out. */
void *remora_call_alloc(remora_call *call, size_t bytes);

void remora_reply_ok(remora_call *call);
void remora_reply_init(remora_call *call, void *self, uint32_t capabilities,
                       uint32_t transaction_operations_max);
/* `cursor` is the change that the piece ends with; `more`: there is more already. */
void remora_reply_export(remora_call *call, uint64_t cursor, bool more, struct remora_bytes piece);
void remora_reply_error(remora_call *call, enum remora_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void remora_reply_failure(remora_call *call, const struct remora_failure *failure);

/* --- state stores ------------------------------------------------------------------------------*/

enum remora_consistency { REMORA_CONSISTENCY_DEFAULT, REMORA_EVENTUAL, REMORA_STRONG };
enum remora_concurrency { REMORA_CONCURRENCY_DEFAULT, REMORA_FIRST_WRITE, REMORA_LAST_WRITE };

struct remora_state_get {
    struct remora_slice key; /* complete, with the application's prefix */
    enum remora_consistency consistency;
    const struct remora_pair *metadata;
    size_t metadata_count;
};

struct remora_state_set {
    struct remora_slice key;
    struct remora_slice value; /* exact bytes */
    bool json;                 /* the value is a JSON text (else arbitrary bytes) */
    bool has_etag;
    struct remora_slice etag;
    enum remora_concurrency concurrency;
    enum remora_consistency consistency;
    bool has_ttl;
    int64_t ttl_seconds; /* > 0 expires; -1 clears */
    const struct remora_pair *metadata;
    size_t metadata_count;
};

struct remora_state_delete {
    struct remora_slice key;
    bool has_etag;
    struct remora_slice etag;
    enum remora_concurrency concurrency;
    enum remora_consistency consistency;
    const struct remora_pair *metadata;
    size_t metadata_count;
};

struct remora_state_operation {
    bool is_delete;
    union {
        struct remora_state_set set;
        struct remora_state_delete del;
    };
};

/* One value in a reply. */
struct remora_state_value {
    bool found;
    bool has_etag;
    struct remora_slice etag;
    struct remora_bytes value;
    int64_t expires_unix_ms;              /* 0: never, or not known */
    struct remora_slice key;              /* query replies only */
    const struct remora_failure *failure; /* bulk and query replies: this item failed */
};

/* Each function answers its call with the reply named behind it, or with remora_reply_error() or
 * remora_reply_failure(). NULL means not supported; get_many, set_many and delete_many fall back to
 * the single functions, one call an item, when they are NULL. */
struct remora_state_ops {
    void (*get)(remora_call *call, void *self, const struct remora_state_get *get);
    /* remora_state_reply_value() */
    void (*get_many)(remora_call *call, void *self, const struct remora_state_get *gets,
                     size_t count, uint32_t parallelism);
    /* remora_state_reply_values(), same order and count */
    void (*set)(remora_call *call, void *self, const struct remora_state_set *set);
    /* remora_reply_ok() */
    void (*set_many)(remora_call *call, void *self, const struct remora_state_set *sets,
                     size_t count);
    /* remora_state_reply_failures(); items are independent, all are tried */
    void (*del)(remora_call *call, void *self, const struct remora_state_delete *del);
    /* remora_reply_ok() */
    void (*delete_many)(remora_call *call, void *self, const struct remora_state_delete *dels,
                        size_t count);
    /* remora_state_reply_failures() */
    void (*transact)(remora_call *call, void *self, const struct remora_state_operation *ops,
                     size_t count, const struct remora_pair *metadata, size_t metadata_count);
    /* remora_reply_ok(); all or nothing, in order */
    void (*query)(remora_call *call, void *self, struct remora_slice query,
                  struct remora_slice key_prefix, const struct remora_pair *metadata,
                  size_t metadata_count);
    /* remora_state_reply_query() */
    void (*delete_prefix)(remora_call *call, void *self, struct remora_slice prefix);
    /* remora_state_reply_count() */
    void (*keys_like)(remora_call *call, void *self, struct remora_slice pattern,
                      uint32_t page_size, struct remora_slice token);
    /* remora_state_reply_keys() */
};

void remora_state_reply_value(remora_call *call, const struct remora_state_value *value);
void
remora_state_reply_values(remora_call *call, const struct remora_state_value *values, size_t count);
/* failures[i] is NULL where item i succeeded. */
void remora_state_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                                 size_t count);
void remora_state_reply_query(remora_call *call, const struct remora_state_value *values,
                              size_t count, struct remora_slice token);
void remora_state_reply_count(remora_call *call, uint64_t count);
void remora_state_reply_keys(remora_call *call, const struct remora_slice *keys, size_t count,
                             struct remora_slice token);

/* --- secret stores -----------------------------------------------------------------------------*/

/* A secret: one pair named as the secret itself, or several (then Init says so:
 * REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET). */
struct remora_secret {
    struct remora_slice name;
    const struct remora_pair *pairs;
    size_t pair_count;
};

/* As for state stores: one reply each, now or later; NULL means not supported. */
struct remora_secret_ops {
    void (*get)(remora_call *call, void *self, struct remora_slice name,
                const struct remora_pair *metadata, size_t metadata_count);
    /* remora_secret_reply_value() or remora_secret_reply_missing() */
    void (*get_all)(remora_call *call, void *self, const struct remora_pair *metadata,
                    size_t metadata_count);
    /* remora_secret_reply_all() */
};

void remora_secret_reply_value(remora_call *call, const struct remora_pair *pairs, size_t count);
/* The store has no secret of that name. */
void remora_secret_reply_missing(remora_call *call);
void remora_secret_reply_all(remora_call *call, const struct remora_secret *secrets, size_t count);

/* --- name resolution ---------------------------------------------------------------------------*/

/* Whose address is wanted. */
struct remora_name_query {
    struct remora_slice id;         /* of the application, without its namespace */
    struct remora_slice namespace_; /* of it; empty: that of the own sidecar */
    uint16_t port;                  /* internal port of the own sidecar */
    const struct remora_pair *metadata;
    size_t metadata_count;
};

/* A resolver also makes the own sidecar known (config->instance), from `start` to `quiesce`, as far
 * as that is its way. Both are called for every generation of the component: during an exchange the
 * next one starts before or after the last one lets go, as `replace` in plugin.yaml says. */
struct remora_name_ops {
    /* remora_name_reply(). An application that cannot be found is REMORA_NOT_FOUND, with words for
     * the user; answer before the deadline of the call. */
    void (*resolve)(remora_call *call, void *self, const struct remora_name_query *query);
};

/* "10.0.0.1:50002", "[fe80::1%2]:50002" or "name:50002": every instance that is known, at most
 * REMORA_NAME_ADDRESSES_MAX, which the sidecar takes in turns. It may go on with them for `ttl_ms`
 * without asking, and asks at once when one of them cannot be reached. */
enum { REMORA_NAME_ADDRESSES_MAX = 256 };
void remora_name_reply(remora_call *call, const struct remora_slice *addresses, size_t count,
                       uint64_t ttl_ms);

/* --- pub/sub -----------------------------------------------------------------------------------*/

/* A message on its way to the broker. */
struct remora_publish {
    struct remora_slice topic;
    struct remora_slice content_type;
    struct remora_slice data;     /* opaque; mostly a CloudEvent */
    bool has_ttl;                 /* only with REMORA_CAP_MESSAGE_TTL */
    int64_t ttl_seconds;          /* > 0 */
    struct remora_slice entry_id; /* of publish_many; else empty */
    bool has_metadata;            /* if only an empty set: kept as that, by those who keep it */
    const struct remora_pair *metadata;
    size_t metadata_count;
};

/* What the sidecar wants to get. Copied by the plugin as far as it needs it. */
struct remora_subscription {
    uint64_t id; /* what remora_deliver() is told; unique in the process */
    struct remora_slice topic;
    const struct remora_pair *metadata;
    size_t metadata_count;
    uint32_t window;             /* messages on their way to the sidecar at a time, at least 1 */
    uint32_t batch_messages_max; /* only with REMORA_CAP_BULK_SUBSCRIBE; 0: one at a time */
    uint32_t batch_await_ms;
};

/* One reply each, now or later; NULL means not supported. publish_many is only called with
 * REMORA_CAP_BULK_PUBLISH: without it the sidecar publishes one by one. */
struct remora_pubsub_ops {
    void (*publish)(remora_call *call, void *self, const struct remora_publish *message);
    /* remora_reply_ok() once the broker has taken it for good */
    void (*publish_many)(remora_call *call, void *self, const struct remora_publish *messages,
                         size_t count, const struct remora_pair *metadata, size_t metadata_count);
    /* remora_pubsub_reply_failures(); all are tried */
    void (*subscribe)(remora_call *call, void *self,
                      const struct remora_subscription *subscription);
    /* remora_reply_ok() once messages of the topic are kept for it */
    void (*unsubscribe)(remora_call *call, void *self, uint64_t subscription);
    /* remora_reply_ok() when nothing new is handed over and what is on its way has been answered.
     * `quiesce` means the same for all subscriptions of the component. */
};

/* failures[i] is NULL where message i was taken. */
void remora_pubsub_reply_failures(remora_call *call, const struct remora_failure *const *failures,
                                  size_t count);

struct remora_message {
    struct remora_slice id;           /* of the broker; may be empty */
    struct remora_slice topic;        /* where it differs from the subscription's; else empty */
    struct remora_slice content_type; /* empty if not known */
    struct remora_slice data;
    const struct remora_pair *metadata;
    size_t metadata_count;
};

enum remora_verdict {
    REMORA_DONE,  /* handled, or given up for good: acknowledge it */
    REMORA_RETRY, /* not handled: the broker is to deliver it again, in its own time */
};

/* One verdict a message, in their order; valid during the call. */
typedef void remora_delivered(const enum remora_verdict *verdicts, size_t count, void *arg);

/* Hands messages over; more than one only to a subscription in batches. Everything is copied.
 * `done` is called exactly once, later, with REMORA_RETRY for all if the sidecar could not be
 * asked. Not more than the subscription's window may be on their way. Plugin thread only. */
void remora_deliver(uint64_t subscription, const struct remora_message *messages, size_t count,
                    remora_delivered *done, void *arg);

/* --- configuration -----------------------------------------------------------------------------*/

struct remora_configuration_item {
    struct remora_slice key;
    struct remora_slice value;
    struct remora_slice version; /* empty if the store has none */
    const struct remora_pair *metadata;
    size_t metadata_count;
};

/* What is read or watched: these keys, or, with none, all that the store has. */
struct remora_configuration_query {
    const struct remora_slice *keys;
    size_t key_count;
    uint64_t subscription; /* of subscribe: what remora_configuration_changed() is told */
    const struct remora_pair *metadata;
    size_t metadata_count;
};

/* One reply each, now or later; NULL means not supported. */
struct remora_configuration_ops {
    void (*get)(remora_call *call, void *self, const struct remora_configuration_query *query);
    /* remora_configuration_reply(), with the keys that are there */
    void (*subscribe)(remora_call *call, void *self,
                      const struct remora_configuration_query *query);
    /* remora_reply_ok() once no change can be missed any more; the sidecar reads the keys after
     * that. A plugin that was cut off from its store calls remora_configuration_missed() when it is
     * back. */
    void (*unsubscribe)(remora_call *call, void *self, uint64_t subscription);
    /* remora_reply_ok(); nothing is told of it from then on */
};

void remora_configuration_reply(remora_call *call, const struct remora_configuration_item *items,
                                size_t count);

/* False: the sidecar could not be told. */
typedef void remora_configuration_told(bool is_taken, void *arg);

/* Tells new values; what has been deleted is an item with an empty value and version. Everything is
 * copied; `told` is called exactly once, later. One a subscription may be on its way: what changes
 * meanwhile is gathered by the plugin, and of a key only the newest value matters. Values must not
 * go back: get() is answered and changes are told in the order in which they were read. Plugin
 * thread only. */
void
remora_configuration_changed(uint64_t subscription, const struct remora_configuration_item *items,
                             size_t count, remora_configuration_told *told, void *arg);
/* Changes may have been missed: the sidecar reads what is subscribed anew. Likewise. */
void remora_configuration_missed(uint64_t subscription, remora_configuration_told *told, void *arg);

/* --- locks -------------------------------------------------------------------------------------*/

enum remora_unlock {
    REMORA_UNLOCKED = 1,
    REMORA_UNLOCK_DOES_NOT_EXIST = 2,
    REMORA_UNLOCK_BELONGS_TO_OTHERS = 3,
};

/* Resources are complete, with the application's prefix. */
struct remora_lock_ops {
    void (*try_lock)(remora_call *call, void *self, struct remora_slice resource,
                     struct remora_slice owner, uint32_t expiry_seconds);
    /* remora_lock_reply_tried(); false if it is held, be it by the same owner. expiry_seconds is at
     * least 1. */
    void (*unlock)(remora_call *call, void *self, struct remora_slice resource,
                   struct remora_slice owner);
    /* remora_lock_reply_unlocked() */
};

void remora_lock_reply_tried(remora_call *call, bool success);
void remora_lock_reply_unlocked(remora_call *call, enum remora_unlock status);

/* --- cryptography ------------------------------------------------------------------------------*/

struct remora_crypto {
    struct remora_slice key;       /* name, or name/version where the store has versions */
    struct remora_slice algorithm; /* as the user wrote it: JOSE's names and the reference's */
    struct remora_slice data;      /* plaintext, ciphertext, key or digest */
    struct remora_slice nonce;
    struct remora_slice associated_data;
    struct remora_slice tag;       /* decrypt and unwrap */
    struct remora_slice signature; /* verify */
};

/* The key stays where it is. One reply each, now or later; NULL means not supported. The bytes of a
 * call are cleared when it ends; copies are the plugin's to clear. */
struct remora_crypto_ops {
    void (*get_key)(remora_call *call, void *self, struct remora_slice key, bool as_jwk);
    /* remora_crypto_reply() with the public key: PEM (PKIX), or a JWK */
    void (*encrypt)(remora_call *call, void *self, const struct remora_crypto *crypto);
    void (*decrypt)(remora_call *call, void *self, const struct remora_crypto *crypto);
    void (*wrap)(remora_call *call, void *self, const struct remora_crypto *crypto);
    void (*unwrap)(remora_call *call, void *self, const struct remora_crypto *crypto);
    void (*sign)(remora_call *call, void *self, const struct remora_crypto *crypto);
    /* remora_crypto_reply() */
    void (*verify)(remora_call *call, void *self, const struct remora_crypto *crypto);
    /* remora_crypto_reply_valid() */
};

/* `tag` is empty with algorithms that have none. */
void remora_crypto_reply(remora_call *call, struct remora_slice data, struct remora_slice tag);
void remora_crypto_reply_valid(remora_call *call, bool valid);

/* --- bindings ----------------------------------------------------------------------------------*/

struct remora_binding_request {
    struct remora_slice operation; /* one of those that the table names */
    struct remora_slice data;
    const struct remora_pair *metadata; /* with the request's trace context and baggage */
    size_t metadata_count;
};

/* One reply each, now or later. A component that is read from has REMORA_CAP_INPUT_BINDING, one
 * that can be invoked REMORA_CAP_OUTPUT_BINDING; the functions of the other may be NULL. */
struct remora_binding_ops {
    const char *operations; /* "create,get", as users are told; NULL: known at init */
    void (*invoke)(remora_call *call, void *self, const struct remora_binding_request *request);
    /* remora_binding_reply(), or remora_reply_ok(): there is nothing to say */
    void (*read)(remora_call *call, void *self, uint64_t reading, uint32_t window);
    /* remora_reply_ok(); events go to remora_binding_event(), at most `window` on their way */
    void (*stop)(remora_call *call, void *self, uint64_t reading);
    /* remora_reply_ok() when nothing new is handed over and what is on its way has been answered.
     * `quiesce` means the same for the component. */
};

/* remora_reply_init() for a binding whose operations differ from component to component. */
void remora_reply_init_binding(remora_call *call, void *self, uint32_t capabilities,
                               const char *operations);
/* `failure`: NULL, or the operation has failed and the metadata tell of it. */
void remora_binding_reply(remora_call *call, struct remora_bytes data,
                          const struct remora_pair *metadata, size_t metadata_count,
                          const struct remora_failure *failure);

struct remora_event {
    struct remora_slice data;
    const struct remora_pair *metadata;
    size_t metadata_count;
};

/* What the application answered; valid during the call. False: it was not handled, and the source
 * is to give the event again in its own time. */
typedef void
remora_event_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
                  size_t metadata_count, void *arg);

/* Hands an event over; everything is copied. `done` is called exactly once, later. Plugin thread
 * only. */
void remora_binding_event(uint64_t reading, const struct remora_event *event,
                          remora_event_done *done, void *arg);

/* --- services of the sidecar -------------------------------------------------------------------*/

/* Answer of a host call. `value` is valid during the callback. */
struct remora_host_reply {
    enum remora_code code;
    struct remora_slice message; /* why, when code is not REMORA_OK */
    bool found;
    struct remora_slice etag;
    struct remora_slice value;
};

typedef void remora_host_done(const struct remora_host_reply *reply, void *arg);

/* Reads, writes or deletes through another component of this sidecar, as the application would.
 * Needs `host_services: [state]` in plugin.yaml. `parent` (or NULL) gives deadline, trace, depth.
 * `done` is called exactly once. Plugin thread only. */
void remora_host_state_get(remora_call *parent, struct remora_slice store, struct remora_slice key,
                           remora_host_done *done, void *arg);
void remora_host_state_set(remora_call *parent, struct remora_slice store, struct remora_slice key,
                           struct remora_slice value, bool json, remora_host_done *done, void *arg);
void remora_host_state_delete(remora_call *parent, struct remora_slice store,
                              struct remora_slice key, remora_host_done *done, void *arg);

/* --- small helpers for handlers ----------------------------------------------------------------*/

bool remora_slice_eq(struct remora_slice a, const char *text);
/* The value of a metadata name, ASCII case ignored; false if it is not there. The last one wins. */
bool remora_metadata_get(const struct remora_pair *metadata, size_t count, const char *name,
                         struct remora_slice *ret_value);
/* A NUL-terminated copy from malloc(); NULL if the slice holds a NUL. Aborts if memory is out. */
char *remora_slice_dup(struct remora_slice slice);
/* Go's reading of booleans and durations, as component metadata uses them; false if malformed.
 * Truthy: 1, t, true, y, yes, on in any case. Durations: "30s", "1h30m", "250ms", bare seconds. */
bool remora_parse_bool(struct remora_slice text, bool *ret_value);
bool remora_parse_duration_ms(struct remora_slice text, int64_t *ret_ms);
bool remora_parse_i64(struct remora_slice text, int64_t *ret_value);
/* A random version 4 UUID, 36 characters and a NUL. */
void remora_uuid(char ret_uuid[37]);

#ifdef __cplusplus
}
#endif

#include "remora_conversation.h"
#include "remora_middleware.h"

#endif
