/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a component is to AWS: keys it was given, or those that aws_lookup.h finds, which are kept
 * and renewed in the background before they expire. Those without keys of their own share one
 * search for each region, which asks one question at a time. Plugin thread only; transfer_setup()
 * comes first.
 */
#ifndef PLUGINS_SHARED_AWS_CREDENTIALS_H
#define PLUGINS_SHARED_AWS_CREDENTIALS_H

#include <stdbool.h>

#include "aws_keys.h"
#include "reader.h"

struct aws_credentials;
struct aws_wait;

/* Keys, valid during the call, or NULL and words, without a secret. */
typedef void aws_wait_done(const struct aws_keys *keys, const char *words, void *arg);

/* Of these keys, which are moved; without an access key they are looked for, once they are needed.
 * Counted: _free() for each. */
struct aws_credentials *aws_credentials_new(const char *region, struct aws_keys *keys);
void aws_credentials_free(struct aws_credentials *credentials); /* NULL is nothing */

/* Names of metadata and an older one, or NULL. */
struct aws_credentials_names {
    const char *access_key[2], *secret_key[2], *session_token[2];
};
/* The same from a component's metadata. NULL: the reader has complained. */
struct aws_credentials *aws_credentials_read(struct reader *reader, const char *region,
                                             const struct aws_credentials_names *names);

/* Those that are good now; NULL: one has to wait. Borrowed until the next event. */
const struct aws_keys *aws_credentials_now(const struct aws_credentials *credentials);
/* The last ones, which may have expired; NULL: there are none. */
const struct aws_keys *aws_credentials_last(const struct aws_credentials *credentials);

/* `done` is called once, later, unless it is cancelled. NULL: too many wait already. */
struct aws_wait *
aws_credentials_wait(struct aws_credentials *credentials, aws_wait_done *done, void *arg);
void aws_wait_cancel(struct aws_wait *wait); /* NULL is nothing */

#endif
