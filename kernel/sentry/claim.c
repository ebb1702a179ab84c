/* SPDX-License-Identifier: Apache-2.0 */
/* See claim.h. */
#include "sentry/claim.h"

#include "base/limits.h"
#include "http/spiffe.h"

static const char *
app_id_complaint(struct slice id)
{
    if (id.len == 0)
        return "parameter app-id cannot be empty";
    if (slice_find_byte(id, '.') >= 0)
        return "parameter app-id cannot contain dots";
    if (id.len > LIMIT_sentry_app_id_bytes)
        return "app ID must be 64 characters or less";
    return NULL;
}

/* Nothing in a name may end it or begin another one. */
static bool
is_id_of(struct slice id, const struct claim *claim)
{
    struct spiffe_app app;
    return spiffe_app_of(id, &app) && slice_eq(app.namespace_, claim->namespace_) &&
           slice_eq(app.app_id, claim->app_id);
}

err_t
claim_check(struct arena *arena, const struct claim *claim, struct slice *ret_id, struct diag *diag)
{
    struct slice domain = claim->trust_domain.len == 0 ? SLICE("public") : claim->trust_domain;
    const char *const complaints[] = {
        app_id_complaint(claim->app_id),
        claim->has_csr ? NULL : "CSR is required",
        claim->namespace_.len > 0 ? NULL : "namespace is required",
    };
    struct arena_bytes words = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(complaints); i++) {
        if (complaints[i] == NULL)
            continue;
        arena_append(arena, &words, words.len == 0 ? SLICE("invalid request: ") : SLICE("\n"));
        arena_append(arena, &words, slice_str(complaints[i]));
    }
    if (words.len > 0)
        return DIAG_FAIL(diag, ERR_MALFORMED, SLICE_FMT, SLICE_ARG(arena_bytes_slice(&words)));
    if (!spiffe_trust_domain_is_valid(domain))
        return DIAG_FAIL(diag, ERR_MALFORMED,
                         "trust domain characters are limited to lowercase letters, numbers, dots, "
                         "dashes, and underscores");
    if (claim->namespace_.len > LIMIT_sentry_name_bytes)
        return DIAG_FAIL(diag, ERR_MALFORMED, "invalid request: namespace is too long");
    struct slice id = arena_printf(arena, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/" SLICE_FMT,
                                   SLICE_ARG(domain), SLICE_ARG(claim->namespace_),
                                   SLICE_ARG(claim->app_id));
    if (!is_id_of(id, claim))
        return DIAG_FAIL(diag, ERR_MALFORMED,
                         "invalid request: app ID and namespace are limited to letters, numbers, "
                         "dots, dashes, and underscores");
    *ret_id = id;
    return OK;
}
