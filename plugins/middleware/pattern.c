/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions; see pattern.h. */
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Of one match: steps of backtracking, and KiB of memory. An honest path needs some hundreds. */
enum { STEPS_MAX = 100 * 1000, HEAP_KIB_MAX = 1024 };

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *bounds;
};

struct pattern *
pattern_new(struct remora_slice text, bool is_whole, char ret_why[PATTERN_WORDS_BYTES])
{
    int error = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR words[PATTERN_WORDS_BYTES - 40];
    struct pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        abort();
    if (text.len > PATTERN_BYTES_MAX) {
        (void)snprintf(ret_why, PATTERN_WORDS_BYTES, "longer than %d bytes", PATTERN_BYTES_MAX);
        free(pattern);
        return NULL;
    }
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C |
                       (is_whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0u);
    pattern->code = pcre2_compile((PCRE2_SPTR)text.data, text.len, options, &error, &at, NULL);
    if (pattern->code == NULL) {
        (void)pcre2_get_error_message(error, words, sizeof words);
        (void)snprintf(ret_why, PATTERN_WORDS_BYTES, "%s at offset %zu", (const char *)words,
                       (size_t)at);
        free(pattern);
        return NULL;
    }
    pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    pattern->bounds = pcre2_match_context_create(NULL);
    if (pattern->match == NULL || pattern->bounds == NULL)
        abort();
    (void)pcre2_set_match_limit(pattern->bounds, STEPS_MAX);
    (void)pcre2_set_heap_limit(pattern->bounds, HEAP_KIB_MAX);
    return pattern;
}

void
pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_match_context_free(pattern->bounds);
    pcre2_match_data_free(pattern->match);
    pcre2_code_free(pattern->code);
    free(pattern);
}

size_t
pattern_groups(const struct pattern *pattern)
{
    uint32_t count = 0;
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
}

bool
pattern_matches(const struct pattern *pattern, struct remora_slice subject,
                struct pattern_match *ret_match)
{
    int groups = pcre2_match(pattern->code, (PCRE2_SPTR)subject.data, subject.len, 0, 0,
                             pattern->match, pattern->bounds);
    if (groups < 0)
        return false;
    if (ret_match == NULL)
        return true;
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(pattern->match);
    ret_match->count = 0;
    for (int i = 1; i < groups && ret_match->count < PATTERN_GROUPS_MAX; i++) {
        bool is_set = ends[2 * i] != PCRE2_UNSET;
        ret_match->groups[ret_match->count++] = (struct remora_slice){
            is_set ? subject.data + ends[2 * i] : "", is_set ? ends[2 * i + 1] - ends[2 * i] : 0
        };
    }
    return true;
}
