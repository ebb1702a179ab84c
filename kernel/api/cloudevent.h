/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CloudEvents 1.0 in JSON, as pub/sub wraps messages: made for a publisher, completed where an
 * application made its own, taken apart on receipt. Values are exact spans of JSON text, so that
 * what a user wrote keeps its bytes; members are written in the order of their names, as the
 * reference runtime does. Pure, any thread; everything lives in the arena or where it came from.
 */
#ifndef API_CLOUDEVENT_H
#define API_CLOUDEVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define CLOUDEVENT_TYPE SLICE("com.dapr.event.sent")
#define CLOUDEVENT_CONTENT_TYPE SLICE("application/cloudevents+json")

struct cloudevent_member {
    struct slice name;
    struct slice raw; /* JSON text of the value */
};

/* Members as they stand in the text; of two with one name the last counts. */
struct cloudevent {
    struct arena *arena;
    struct cloudevent_member *members;
    size_t count;
    size_t room;
};

void cloudevent_init(struct cloudevent *event, struct arena *arena);
/* ERR_MALFORMED with words: no JSON object, or more members than there may be. */
err_t cloudevent_read(struct cloudevent *event, struct arena *arena, struct slice text,
                      struct diag *diag) WARN_UNUSED;
/* The whole as JSON. */
struct slice cloudevent_write(const struct cloudevent *event);

/* JSON text of a member's value; data NULL if there is none. */
struct slice cloudevent_raw(const struct cloudevent *event, struct slice name);
/* A member that is a string, decoded; data NULL if it is none. */
struct slice cloudevent_text(const struct cloudevent *event, struct slice name);
/* Sets or replaces a member; false if there are too many. */
bool cloudevent_set_raw(struct cloudevent *event, struct slice name, struct slice raw) WARN_UNUSED;
bool
cloudevent_set_text(struct cloudevent *event, struct slice name, struct slice text) WARN_UNUSED;

/* Does nothing if there is none. */
void cloudevent_remove(struct cloudevent *event, struct slice name);

/* --- making ------------------------------------------------------------------------------------*/

struct cloudevent_origin {
    struct slice pubsub;
    struct slice topic;
    struct slice source;
    struct slice traceparent; /* empty: none */
    struct slice tracestate;
    int64_t now_unix_ms;
};

/* A new envelope around data of that type (empty: text/plain). JSON that is valid stays as it is,
 * bytes that are no text become `data_base64`, everything else a string. */
void cloudevent_make(struct cloudevent *event, struct arena *arena,
                     const struct cloudevent_origin *origin, struct slice content_type,
                     struct slice data);
/* What an application's own event lacks; topic and pubsubname are always ours. */
void cloudevent_complete(struct cloudevent *event, const struct cloudevent_origin *origin);
/* An envelope around bytes that came without one, for a raw subscription. */
void cloudevent_wrap(struct cloudevent *event, struct arena *arena, struct slice pubsub,
                     struct slice topic, struct slice data);

/* Whether that is the media type in front of the parameters. */
bool cloudevent_has_type(struct slice content_type, struct slice media_type);
/* "application/cloudevents+json", whatever its parameters; likewise "application/json". */
bool cloudevent_is_type(struct slice content_type);
bool cloudevent_is_json(struct slice content_type);

/* --- expiry ------------------------------------------------------------------------------------*/

bool cloudevent_expire_at(struct cloudevent *event, int64_t unix_ms) WARN_UNUSED;
/* Its `expiration` is over; what cannot be read as a time never is. */
bool cloudevent_is_expired(const struct cloudevent *event, int64_t now_unix_ms);

/* Text as a JSON string, quotes included. */
struct slice cloudevent_quote(struct arena *arena, struct slice text);
/* A random UUID of version 4 in text. */
struct slice cloudevent_uuid(struct arena *arena);

#endif
