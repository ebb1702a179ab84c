/* SPDX-License-Identifier: Apache-2.0 */
/* The documented table of secret scopes, row by row (SEC-12 to SEC-24). */
#include "config/secret_scope.h"

#include "test.h"

static struct arena arena;
static struct diag diag;

static struct secret_scopes
scopes_of(const char *text)
{
    struct node *root;
    struct node_error error;
    struct secret_scopes scopes = { 0 };
    arena_reset(&arena);
    diag_init(&diag, &arena);
    REQUIRE(node_parse(&arena, slice_str(text), 1, &root, &error));
    CHECK_OK(secret_scopes_read(&arena, root, &scopes, &diag));
    return scopes;
}

TEST(every_row_of_the_table_gives_the_documented_access)
{
    /* Secret `a` is on the allowed list where there is one, `d` on the denied one, `o` on none. */
    static const struct {
        const char *scope;
        bool a, d, o;
    } rows[] = {
        { "", true, true, true },
        { "defaultAccess: allow", true, true, true },
        { "defaultAccess: deny", false, false, false },
        { "defaultAccess: deny, allowedSecrets: [a]", true, false, false },
        { "defaultAccess: allow, deniedSecrets: [d]", true, false, true },
        { "defaultAccess: allow, allowedSecrets: [a]", true, false, false },
        { "defaultAccess: deny, deniedSecrets: [d]", false, false, false },
        { "defaultAccess: deny, allowedSecrets: [a], deniedSecrets: [d]", true, false, false },
        { "defaultAccess: allow, allowedSecrets: [a], deniedSecrets: [d]", true, false, false },
        { "deniedSecrets: [d]", true, false, true }, /* the default is to allow */
        { "allowedSecrets: [a]", true, false, false },
        { "DefaultAccess: Deny, AllowedSecrets: [a]", true, false, false },
        { "allowedSecrets: [], deniedSecrets: []", true, true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "scopes: [{storeName: vault, %s}]", rows[i].scope);
        struct secret_scopes scopes = scopes_of(text);
        struct slice vault = SLICE("vault");
        bool ok = CHECK_EQ_INT(secret_scopes_allow(&scopes, vault, SLICE("a")), rows[i].a);
        ok = CHECK_EQ_INT(secret_scopes_allow(&scopes, vault, SLICE("d")), rows[i].d) && ok;
        ok = CHECK_EQ_INT(secret_scopes_allow(&scopes, vault, SLICE("o")), rows[i].o) && ok;
        if (!ok)
            fprintf(stderr, "  in row %s\n", text);
    }
}

TEST(a_store_without_a_scope_is_open_and_each_scope_is_its_stores_own)
{
    struct secret_scopes scopes = scopes_of("scopes:\n- {storeName: a, defaultAccess: deny}\n"
                                            "- {storeName: b, allowedSecrets: [x]}\n");
    CHECK(!secret_scopes_allow(&scopes, SLICE("a"), SLICE("x")));
    CHECK(secret_scopes_allow(&scopes, SLICE("b"), SLICE("x")));
    CHECK(!secret_scopes_allow(&scopes, SLICE("b"), SLICE("y")));
    CHECK(secret_scopes_allow(&scopes, SLICE("c"), SLICE("x")));
    CHECK(secret_scopes_allow(&scopes, SLICE("A"), SLICE("x")));
    CHECK(!secret_scopes_allow(&scopes, SLICE("b"), SLICE("X")));
}

TEST(without_configuration_everything_is_open)
{
    struct secret_scopes scopes = { 0 };
    CHECK(secret_scopes_allow(&scopes, SLICE("a"), SLICE("x")));
    diag_init(&diag, &arena);
    CHECK_OK(secret_scopes_read(&arena, NULL, &scopes, &diag));
    CHECK_EQ_INT(scopes.count, 0);
}
