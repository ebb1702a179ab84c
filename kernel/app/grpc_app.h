/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sidecar itself asks of an application that speaks gRPC: the services AppCallback and
 * AppCallbackHealthCheck. Functions that take a task suspend; none takes a place (app_enter()),
 * the task's deadline is the call's.
 */
#ifndef APP_GRPC_APP_H
#define APP_GRPC_APP_H

#include "app/app.h"
#include "http/grpc_client.h"

enum { APP_GRPC_METADATA_MAX = 4 };

/* Who calls whom, and the application's token: the metadata of every call that is made for a
 * client. Returns how many. */
size_t app_grpc_metadata(const struct app_settings *settings, struct slice caller_id,
                         struct slice caller_namespace,
                         struct http_header ret_headers[APP_GRPC_METADATA_MAX]);

/* AppCallbackHealthCheck/HealthCheck: OK if the application says that it is well. */
err_t app_grpc_probe(struct task *t, struct app_channel *channel) WARN_UNUSED;

/* Asks for programmatic subscriptions; *ret_answer is the packed ListTopicSubscriptionsResponse,
 * empty where the application implements none. */
err_t app_grpc_subscriptions(struct task *t, struct app_channel *channel,
                             struct slice *ret_answer) WARN_UNUSED;
/* The same of ListInputBindings. */
err_t app_grpc_bindings(struct task *t, struct app_channel *channel,
                        struct slice *ret_answer) WARN_UNUSED;

/* OnTopicEvent with a packed TopicEventRequest; the application's token is added. OK when the
 * status is the application's own; see grpc_ask(). */
err_t app_grpc_topic_event(struct task *t, struct app_channel *channel, struct slice event,
                           const struct http_header *metadata, size_t metadata_count,
                           struct grpc_answer *ret_answer);
/* OnBindingEvent with a packed BindingEventRequest; likewise. */
err_t app_grpc_binding_event(struct task *t, struct app_channel *channel, struct slice event,
                             const struct http_header *metadata, size_t metadata_count,
                             struct grpc_answer *ret_answer) WARN_UNUSED;
/* AppCallbackAlpha/OnBulkTopicEventAlpha1, else AppCallback/OnBulkTopicEvent; likewise. */
err_t app_grpc_bulk_event(struct task *t, struct app_channel *channel, struct slice events,
                          const struct http_header *metadata, size_t metadata_count,
                          struct grpc_answer *ret_answer) WARN_UNUSED;

/* A call of OnInvoke. */
struct app_invocation {
    struct slice method;
    struct slice verb; /* "GET"; empty: it did not come over HTTP; others than HTTP's are POST */
    struct slice query;
    struct slice content_type;
    struct slice type_url; /* of the data; may be empty */
    struct slice data;
    const struct http_header *metadata; /* values as they go on the wire */
    size_t metadata_count;
};

/* In the task's arena. */
struct app_invoked {
    struct grpc_answer
        answer; /* status, headers and trailers; any status may be the application's */
    struct slice content_type;
    struct slice type_url;
    struct slice data;
};

/* OK when the status is the application's own; see grpc_ask(). */
err_t app_grpc_invoke(struct task *t, struct app_channel *channel,
                      const struct app_invocation *invocation, struct app_invoked *ret_invoked);

#endif
