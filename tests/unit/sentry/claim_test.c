/* SPDX-License-Identifier: Apache-2.0 */
/* Names: what may stand in a certificate. */
#include "sentry/claim.h"

#include "base/limits.h"
#include "fixture.h"

static struct slice
id_of(const char *app_id, const char *namespace_, const char *domain)
{
    const struct claim claim = { slice_str(app_id), slice_str(namespace_), slice_str(domain),
                                 true };
    struct slice id = SLICE_EMPTY;
    return claim_check(&scratch, &claim, &id, &diag) == OK ? id : diag.message;
}

TEST(good_names_become_an_id)
{
    start_clean();
    CHECK_SLICE_IS(id_of("shop", "default", ""), "spiffe://public/ns/default/shop");
    CHECK_SLICE_IS(id_of("Shop_1-a", "n.s", "my.domain"), "spiffe://my.domain/ns/n.s/Shop_1-a");
}

TEST(every_complaint_is_made_at_once)
{
    start_clean();
    struct slice id;
    CHECK_EQ_INT(claim_check(&scratch,
                             &(struct claim){ SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, false }, &id,
                             &diag),
                 ERR_MALFORMED);
    CHECK_SLICE_IS(diag.message, "invalid request: parameter app-id cannot be empty\n"
                                 "CSR is required\nnamespace is required");
}

TEST(names_that_would_change_the_id_are_refused)
{
    start_clean();
    static const char *const ids[] = { "a/b",  "..", ".",   "a.b", "a b",      "a%2fb", "a\nb",
                                       "a\\b", "a?", "a#b", "a,b", "\xc3\xa9", "a:b" };
    static const char *const namespaces[] = { "a/b", ".", "..", "", "a b", "a:b" };
    static const char *const domains[] = { "Public", "a/b", "spiffe://a", "a b", "a:1", "a@b" };
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        CHECK(!slice_has_prefix(id_of(ids[i], "default", ""), SLICE("spiffe:")));
    char long_id[LIMIT_sentry_app_id_bytes + 2] = "";
    memset(long_id, 'a', LIMIT_sentry_app_id_bytes);
    CHECK(slice_has_prefix(id_of(long_id, "default", ""), SLICE("spiffe:")));
    long_id[LIMIT_sentry_app_id_bytes] = 'a';
    CHECK(!slice_has_prefix(id_of(long_id, "default", ""), SLICE("spiffe:")));
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
        CHECK(!slice_has_prefix(id_of("shop", namespaces[i], ""), SLICE("spiffe:")));
    for (size_t i = 0; i < ARRAY_LEN(domains); i++)
        CHECK(!slice_has_prefix(id_of("shop", "default", domains[i]), SLICE("spiffe:")));
}
