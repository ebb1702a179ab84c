/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control: a method, a verb and a caller, a NUL behind each, then a Configuration's spec.
 * What is allowed of an HTTP application is a path that cleaning leaves, that is allowed again as
 * the application decodes it, and that no decoding turns into another place.
 */
#include "api/access.h"
#include "api/invoke.h"
#include "config/access_control.h"
#include "config/api_rules.h"
#include "http/path.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_http(struct arena *arena, const struct access_policy *policy, struct access_question question)
{
    struct slice wire, bad, seen;
    if (!access_is_allowed(policy, &question) || policy == NULL)
        return;
    if (!invoke_encode_path(arena, question.path, &wire, &bad))
        return; /* no request can be made of it */
    bool is_decoded = path_decode(arena, wire, &seen);
    assert(is_decoded);
    assert(slice_find_byte(seen, '\\') < 0);
    if (slice_find_byte(seen, '%') >= 0)
        return; /* could be decoded once more: another question */
    question.path = seen;
    assert(question.path.len == 0 || access_is_allowed(policy, &question));
}

static void
check_lists(struct arena *arena, const struct node *spec, struct slice verb)
{
    struct api_rules rules = { 0 };
    struct text_list ignored = { 0 };
    struct diag diag;
    diag_init(&diag, arena);
    if (api_rules_read(arena, node_get(spec, SLICE("api")), &rules, &ignored, &diag) != OK)
        return;
    for (size_t i = 0; i < rules.denied.count; i++) {
        const struct api_rule *rule = &rules.denied.items[i];
        assert(!api_rules_allow(&rules, rule->protocol, rule->name, rule->version));
    }
    (void)api_rules_allow(&rules, API_HTTP, verb, verb); /* any answer will do */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), method, verb, caller, path, again;
    struct access_spec merged = { 0 };
    struct access_control control;
    struct node *spec;
    struct node_error error;
    struct arena arena;
    struct diag diag;
    if (size == 0 || !slice_split(&rest, '\0', &method) || !slice_split(&rest, '\0', &verb) ||
        !slice_split(&rest, '\0', &caller) || rest.data == NULL)
        return 0;
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (invoke_clean_method(&arena, method, &path) && node_parse(&arena, rest, 1, &spec, &error)) {
        bool is_clean = invoke_clean_method(&arena, slice_from(path, 1), &again);
        assert(is_clean && slice_eq(path, again));
        check_lists(&arena, spec, verb);
        access_spec_merge(&merged, node_get(spec, SLICE("accessControl")));
        if (access_control_read(&arena, &merged, &control, &diag) == OK) {
            struct access_question question = { .caller_id = caller, .verb = verb, .path = path };
            (void)access_is_allowed(control.policy, &question); /* any answer will do */
            question.is_http = true;
            check_http(&arena, control.policy, question);
        }
    }
    arena_fini(&arena);
    return 0;
}
