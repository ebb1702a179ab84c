/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of configuration told to the application beside the sidecar, which asked for them over
 * HTTP: one request a key, to /configuration/STORE/KEY, one after another, with the newest value
 * there is. What it refuses is dropped; while it is not there, or fails, it is asked again.
 */
#ifndef API_CONFIGURATION_APP_H
#define API_CONFIGURATION_APP_H

#include "api/configuration.h"

/* Suspends until no change can be missed; ret_id is what the subscription is ended by. What is
 * wrong is recorded in rq->error. */
err_t configuration_app_subscribe(struct request *rq, struct component *store,
                                  const struct configuration_query *query,
                                  struct slice *ret_id) WARN_UNUSED;

/* `{"value":"…","version":"…","metadata":{…}}`, without what is empty; false: out of room. */
struct buf;
bool configuration_put_json(struct buf *out, const struct configuration_item *item);

#endif
