/* SPDX-License-Identifier: Apache-2.0 */
/* What an accessControl section becomes, and what is refused. */
#include "config/access_control.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct diag diag;
static struct access_control control;

/* Sections of several files, NULL at the end. */
static err_t
read_all(const char *const *texts)
{
    struct access_spec spec = { 0 };
    arena_reset(&arena);
    diag_init(&diag, &arena);
    for (; *texts != NULL; texts++) {
        struct node *root;
        struct node_error error;
        REQUIRE(node_parse(&arena, slice_str(*texts), 1, &root, &error));
        access_spec_merge(&spec, root);
    }
    return access_control_read(&arena, &spec, &control, &diag);
}

#define READ(...) read_all((const char *const[]){ __VA_ARGS__, NULL })

#define APP "{appId: a, namespace: ns, trustDomain: t"

static const struct access_app *
app_a(void)
{
    return access_policy_find(control.policy, SLICE("t"), SLICE("ns"), SLICE("a"));
}

static const struct access_rule *
rule_of(const char *path)
{
    REQUIRE(control.policy != NULL && app_a() != NULL);
    return access_trie_find(app_a()->operations, slice_str(path),
                            (struct access_reading){ .is_thorough = true });
}

TEST(the_default_follows_from_what_is_there)
{
    static const struct {
        const char *text;
        bool has_policy;
        enum access_action action;
        bool by_caution;
    } rows[] = {
        { "", false, ACCESS_UNSET, false },
        { "{}", false, ACCESS_UNSET, false },
        { "{trustDomain: t}", false, ACCESS_UNSET, false },
        { "{trustDomain: t, policies: []}", false, ACCESS_UNSET, false },
        { "{defaultAction: allow}", false, ACCESS_UNSET, false },
        { "{defaultAction: ''}", false, ACCESS_UNSET, false },
        { "{defaultAction: deny}", true, ACCESS_DENY, false },
        { "{DefaultAction: DENY}", true, ACCESS_DENY, false },
        { "{policies: [" APP "}]}", true, ACCESS_DENY, true },
        { "{defaultAction: Allow, policies: [" APP "}]}", true, ACCESS_ALLOW, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_OK(READ(rows[i].text));
        bool ok = CHECK_EQ_INT(control.policy != NULL, rows[i].has_policy);
        ok = CHECK_EQ_INT(control.is_denying_by_caution, rows[i].by_caution) && ok;
        if (control.policy != NULL)
            ok = CHECK_EQ_INT(control.policy->default_action, rows[i].action) && ok;
        if (!ok)
            fprintf(stderr, "  in row %s\n", rows[i].text);
    }
}

TEST(the_own_trust_domain_is_public_unless_named)
{
    CHECK_OK(READ(""));
    CHECK_SLICE_IS(control.trust_domain, "public");
    CHECK_OK(READ("{trustDomain: ''}"));
    CHECK_SLICE_IS(control.trust_domain, "public");
    CHECK_OK(READ("{trustDomain: mine}"));
    CHECK_SLICE_IS(control.trust_domain, "mine");
}

TEST(what_a_later_file_says_replaces_what_an_earlier_one_said)
{
    CHECK_OK(READ("{defaultAction: deny, trustDomain: x, policies: [" APP "}]}", "", "{a: b}"));
    CHECK(control.policy != NULL && app_a() != NULL);
    CHECK_SLICE_IS(control.trust_domain, "x");
    CHECK_OK(READ("{defaultAction: deny, trustDomain: x, policies: [" APP "}]}",
                  "{policies: [], trustDomain: z}"));
    REQUIRE(control.policy != NULL);
    CHECK_EQ_INT(control.policy->default_action, ACCESS_DENY);
    CHECK(app_a() == NULL);
    CHECK_SLICE_IS(control.trust_domain, "z");
}

TEST(policies_are_of_an_application_in_its_namespace_and_trust_domain)
{
    CHECK_OK(READ("policies:\n"
                  "- {appId: a, namespace: ns, trustDomain: t, defaultAction: allow}\n"
                  "- {appId: a, namespace: m, trustDomain: t, defaultAction: deny}\n"
                  "- {appId: a, namespace: ns, trustDomain: u}\n"
                  "- {appId: b, namespace: ns, trustDomain: t}\n"
                  "- {appId: b, namespace: ns, trustDomain: t, defaultAction: allow}\n"));
    const struct access_policy *policy = control.policy;
    const struct slice a = SLICE("a"), b = SLICE("b"), n = SLICE("ns"), t = SLICE("t");
    CHECK_EQ_INT(access_policy_find(policy, t, n, a)->default_action, ACCESS_ALLOW);
    CHECK_EQ_INT(access_policy_find(policy, t, SLICE("m"), a)->default_action, ACCESS_DENY);
    CHECK_EQ_INT(access_policy_find(policy, SLICE("u"), n, a)->default_action, ACCESS_UNSET);
    CHECK_EQ_INT(access_policy_find(policy, t, n, b)->default_action, ACCESS_ALLOW); /* the last */
    CHECK(access_policy_find(policy, t, n, SLICE("A")) == NULL);
    CHECK(access_policy_find(policy, t, SLICE("N"), a) == NULL);
    CHECK(access_policy_find(policy, SLICE("v"), n, a) == NULL);
    CHECK(access_policy_find(policy, t, SLICE("m"), b) == NULL);
}

TEST(operations_are_read_with_their_verbs)
{
    CHECK_OK(READ("policies:\n"
                  "- appId: a\n"
                  "  namespace: ns\n"
                  "  trustDomain: t\n"
                  "  operations:\n"
                  "  - {name: op1, httpVerb: [POST, GET], action: Allow}\n"
                  "  - {name: /op2, httpVerb: ['*'], action: deny}\n"
                  "  - {name: /op3}\n"
                  "  - {name: /op1, httpVerb: [PUT], action: deny}\n"
                  "  - {name: /op1, httpVerb: [PATCH], action: allow}\n"));
    const struct access_rule *rule = rule_of("/op1");
    REQUIRE(rule != NULL && rule->verbs->next->next != NULL);
    CHECK_EQ_INT(rule->action, ACCESS_ALLOW);
    CHECK_EQ_U64(rule->verb_count, 3); /* said twice, a rule can only deny */
    CHECK_SLICE_IS(rule->verbs->verb, "PUT");
    CHECK_EQ_INT(rule->verbs->action, ACCESS_DENY);
    CHECK_SLICE_IS(rule->verbs->next->verb, "GET");
    CHECK_SLICE_IS(rule->verbs->next->next->verb, "POST");
    CHECK(rule->verbs->next->next->next == NULL);
    rule = rule_of("/op2");
    REQUIRE(rule != NULL);
    CHECK_SLICE_IS(rule->verbs->verb, "*");
    CHECK_EQ_INT(rule->verbs->action, ACCESS_DENY);
    rule = rule_of("/op3");
    REQUIRE(rule != NULL);
    CHECK_EQ_INT(rule->action, ACCESS_DENY);
    CHECK_EQ_INT(rule->verbs->verb.len, 0);
    CHECK(rule_of("/op4") == NULL);
}

TEST(policies_without_a_name_namespace_or_trust_domain_are_refused_in_the_references_words)
{
    CHECK_EQ_INT(READ("policies: [{appId: a, namespace: ns}, {appId: b, trustDomain: t}, "
                      "{namespace: ns, trustDomain: t}, {appId: c}]"),
                 ERR_CONFIG);
    CHECK_SLICE_IS(diag.message,
                   "invalid access control spec. missing trustdomain for apps: [a c], missing "
                   "namespace for apps: [b c], missing app name on at least one of the app "
                   "policies: true");
}

TEST(what_cannot_be_understood_is_refused)
{
    static const char *const texts[] = {
        "{defaultAction: alow}",
        "{defaultAction: [deny]}",
        "{trustDomain: {a: b}}",
        "{policies: deny}",
        "{policies: {appId: a}}",
        "{policies: [a]}",
        "{policies: [" APP ", defaultAction: none}]}",
        "{policies: [" APP ", operations: a}]}",
        "{policies: [" APP ", operations: [a]}]}",
        "{policies: [" APP ", operations: [{name: /a, action: no}]}]}",
        "{policies: [" APP ", operations: [{name: [a], action: deny}]}]}",
        "{policies: [" APP ", operations: [{name: /a, httpVerb: GET, action: deny}]}]}",
        "{policies: [" APP ", operations: [{name: /a, httpVerb: [[GET]], action: deny}]}]}",
        "{policies: [" APP ", operations: [{name: /a, httpVerb: [''], action: deny}]}]}",
        "{policies: [" APP ", operations: [{name: /a/../b, action: deny}]}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!CHECK_EQ_INT(READ(texts[i]), ERR_CONFIG) || !CHECK(diag.message.len > 0))
            fprintf(stderr, "  for %s\n", texts[i]);
}

TEST(numbers_of_operations_and_verbs_are_bounded)
{
    struct arena texts;
    struct arena_bytes text = { 0 };
    arena_init(&texts);
    arena_append(&texts, &text, SLICE("policies: [" APP ", operations: ["));
    for (int i = 0; i <= LIMIT_access_operations_max; i++)
        arena_append(&texts, &text, SLICE("{name: /a},"));
    arena_append(&texts, &text, SLICE("]}]\0"));
    CHECK_EQ_INT(READ(text.data), ERR_CONFIG);
    text = (struct arena_bytes){ 0 };
    arena_append(&texts, &text, SLICE("policies: [" APP ", operations: [{name: /a, httpVerb: ["));
    for (int i = 0; i <= LIMIT_access_verbs_max; i++)
        arena_append(&texts, &text, SLICE("GET,"));
    arena_append(&texts, &text, SLICE("]}]}]\0"));
    CHECK_EQ_INT(READ(text.data), ERR_CONFIG);
    text = (struct arena_bytes){ 0 };
    arena_append(&texts, &text, SLICE("policies: [" APP ", operations: ["));
    for (int i = 0; i <= LIMIT_access_verbs_max; i++)
        arena_append(&texts, &text, SLICE("{name: /a, action: deny},"));
    arena_append(&texts, &text, SLICE("]}]\0"));
    CHECK_EQ_INT(READ(text.data), ERR_CONFIG);
    text = (struct arena_bytes){ 0 };
    arena_append(&texts, &text, SLICE("policies: [" APP ", operations: [{name: /"));
    for (int i = 0; i < LIMIT_access_name_bytes_max; i++)
        arena_append(&texts, &text, SLICE("a"));
    arena_append(&texts, &text, SLICE("}]}]\0"));
    CHECK_EQ_INT(READ(text.data), ERR_CONFIG);
    arena_fini(&texts);
}
