/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a component's metadata takes from a secret store (secretKeyRef), resolved right before Init
 * by the task that will call it: the store is called as any component is, the values go into the
 * packed InitRequest, keys for encryption at rest become a struct encryption instead and are never
 * shown to the plugin. Values live as long as that takes; each Init asks again.
 */
#ifndef COMPONENT_SECRET_REFS_H
#define COMPONENT_SECRET_REFS_H

#include "async/task.h"
#include "component/encryption.h"
#include "component/route.h"
#include "config/component.h"

/* Metadata names of the keys. */
#define PRIMARY_KEY SLICE("primaryEncryptionKey")
#define SECONDARY_KEY SLICE("secondaryEncryptionKey")

struct secret_refs;

/* Copies all it needs of the spec; NULL if it refers to no secret. `is_store`: the names above mean
 * what they mean for state stores. `routes` may be NULL for secret_refs_fetch(). Any thread. */
struct secret_refs *
secret_refs_new(const struct routes *routes, const struct component_spec *spec, bool is_state);
void secret_refs_free(struct secret_refs *refs);

/* An InitRequest in malloc'ed memory that is replaced by a longer one; the old one is wiped. */
struct init_request {
    char *bytes;
    size_t len;
};

/* Tells secrets from others, and nothing else of them: its key is this process's. */
struct secret_digest {
    unsigned char bytes[32];
};

struct secret_refs_result {
    struct secret_digest digest;   /* of the values */
    struct encryption *encryption; /* counted; NULL: the component has no keys */
    struct slice error;            /* why it failed; in the task's arena, or a constant */
    bool is_create_error;          /* what the reference calls a failure to create, not to init */
};

/* Suspends. Bounded by the task's deadline. */
err_t
secret_refs_resolve(struct task *t, const struct secret_refs *refs, struct init_request *request,
                    struct secret_refs_result *ret_result) WARN_UNUSED;

/* The digest of what secret_refs_resolve() would use now. Suspends. */
err_t secret_refs_look(struct task *t, const struct secret_refs *refs,
                       struct secret_digest *ret_digest) WARN_UNUSED;

/* The values alone, in the order of the spec's values that have a secret, from that store: for whom
 * no Init is called. They are in the task's arena and the caller's to wipe. Suspends. */
err_t secret_refs_fetch(struct task *t, const struct secret_refs *refs, struct component *store,
                        struct slice *ret_values, struct slice *ret_error) WARN_UNUSED;

/* False if the metadata asks for something that cannot be granted whatever the secrets are; then
 * the words are in `ret_error`. */
bool secret_refs_check(const struct component_spec *spec, bool is_state, struct slice *ret_error);

#endif
