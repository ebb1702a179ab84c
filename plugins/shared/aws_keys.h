/* SPDX-License-Identifier: Apache-2.0 */
/* What requests to AWS are signed with, and answers and variables that hold it. Any thread. */
#ifndef PLUGINS_SHARED_AWS_KEYS_H
#define PLUGINS_SHARED_AWS_KEYS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Of one source, all of it. Texts are owned and wiped. */
struct aws_keys {
    char *access_key, *secret_key;
    char *session_token; /* NULL: none */
    int64_t expires_s;   /* Unix time; 0: they do not */
};

void aws_keys_fini(struct aws_keys *keys);

/* NULL: they are sound, each visible ASCII of no absurd length, since they become headers; else the
 * words that say what is not. */
const char *aws_keys_complaint(const struct aws_keys *keys);

/* The same of temporary ones, which expire then, a point in time as aws_time_read() has it. */
const char *aws_keys_expire(struct aws_keys *keys, const char *expiration);

/* Members AccessKeyId, SecretAccessKey, Token, Expiration; to be judged, NULL: it is missing. */
void
aws_keys_from_json(const cJSON *object, struct aws_keys *ret_keys, const char **ret_expiration);

/* "2026-11-26T12:00:00Z", with a fraction perhaps; nothing else. */
bool aws_time_read(const char *text, int64_t *ret_s);

/* Whether it is visible ASCII, of 1 to `max` bytes. */
bool aws_is_visible(const char *text, size_t max);

#endif
