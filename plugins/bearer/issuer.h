/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an issuer (OpenID Connect Discovery 1.0): where they are, fetched at first, then
 * again every ten minutes, and sooner when a token names one that is not among them. What cannot be
 * had anew leaves the last set in use. Plugin thread only.
 */
#ifndef BEARER_ISSUER_H
#define BEARER_ISSUER_H

#include <jansson.h>
#include <stdbool.h>

struct issuer;

/* Told after each attempt; `error` is NULL if there are new keys. */
typedef void issuer_tried(void *arg, const char *error);

/* `keys_url` NULL: the issuer's configuration document says where. Strings are copied. The first
 * attempt begins now. */
struct issuer *issuer_new(const char *name, const char *keys_url, issuer_tried *tried, void *arg);
void issuer_free(struct issuer *issuer);

/* NULL until the first attempt has succeeded. */
const json_t *issuer_keys(const struct issuer *issuer);
/* Another attempt, which `tried` is told of. False: the last one is too short a time ago. */
bool issuer_refresh(struct issuer *issuer);

#endif
