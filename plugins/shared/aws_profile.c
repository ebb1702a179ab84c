/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One profile of an INI file; see aws_profile.h. A section may come twice: what is said last
 * counts. A line that begins with a blank goes on with the setting before it, which is not ours.
 */
#include "aws_profile.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "memory.h"

struct slice {
    const char *data;
    size_t len;
};

struct profile {
    const char *name;
    struct aws_keys keys;
    char other[32];         /* another way to get keys, which is not ours; empty: none */
    bool is_there, is_here; /* the profile; we are within it */
    bool has_setting;       /* before this line, in this section */
    unsigned line, wrong_line;
};

static struct slice
trim(struct slice text)
{
    while (text.len > 0 && strchr(" \t\r", text.data[0]) != NULL) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && strchr(" \t\r", text.data[text.len - 1]) != NULL)
        text.len--;
    return text;
}

static bool
is_text(struct slice text, const char *word)
{
    return strlen(word) == text.len && memcmp(text.data, word, text.len) == 0;
}

static bool
is_name(struct slice text, const char *word)
{
    return strlen(word) == text.len && strncasecmp(text.data, word, text.len) == 0;
}

/* A comment may follow a value if there is a blank between them. */
static struct slice
value_of(struct slice text)
{
    for (size_t i = 1; i < text.len; i++)
        if ((text.data[i] == '#' || text.data[i] == ';') &&
            (text.data[i - 1] == ' ' || text.data[i - 1] == '\t'))
            text.len = i;
    return trim(text);
}

static void
take_value(char **field, struct slice value)
{
    memory_wipe(*field);
    *field = value.len == 0 ? NULL : memory_slice((struct remora_slice){ value.data, value.len });
}

static void
take_setting(struct profile *p, struct slice name, struct slice value)
{
    static const char *const others[] = { "role_arn",           "source_profile",
                                          "credential_source",  "web_identity_token_file",
                                          "credential_process", "sso_session",
                                          "sso_start_url",      "sso_account_id" };
    if (is_name(name, "aws_access_key_id"))
        take_value(&p->keys.access_key, value);
    else if (is_name(name, "aws_secret_access_key"))
        take_value(&p->keys.secret_key, value);
    else if (is_name(name, "aws_session_token"))
        take_value(&p->keys.session_token, value);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (is_name(name, others[i]))
            (void)snprintf(p->other, sizeof p->other, "%s", others[i]);
}

/* "[name]", with a comment behind it perhaps. */
static void
take_section(struct profile *p, struct slice line)
{
    const char *end = memchr(line.data, ']', line.len);
    p->has_setting = false;
    p->is_here = end != NULL &&
                 is_text(trim((struct slice){ line.data + 1, (size_t)(end - line.data) - 1 }),
                         p->name);
    p->is_there = p->is_there || p->is_here;
}

static void
take_line(struct profile *p, struct slice whole)
{
    const struct slice line = trim(whole);
    p->line++;
    if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
        return;
    if (line.data[0] == '[') {
        take_section(p, line);
        return;
    }
    if (!p->is_here || (p->has_setting && line.data != whole.data))
        return;
    const char *equals = memchr(line.data, '=', line.len);
    p->has_setting = true;
    if (equals == NULL || equals == line.data) {
        p->wrong_line = p->line;
        return;
    }
    const size_t name_len = (size_t)(equals - line.data);
    take_setting(p, trim((struct slice){ line.data, name_len }),
                 value_of((struct slice){ equals + 1, line.len - name_len - 1 }));
}

static enum aws_profile_found
judge(struct profile *p, char words[AWS_PROFILE_WORDS_BYTES])
{
    const bool has_keys = p->keys.access_key != NULL || p->keys.secret_key != NULL;
    if (!p->is_there) {
        (void)snprintf(words, AWS_PROFILE_WORDS_BYTES, "profile %.64s is not in it", p->name);
        return AWS_PROFILE_NONE;
    }
    if (p->wrong_line > 0)
        (void)snprintf(words, AWS_PROFILE_WORDS_BYTES, "line %u is no setting", p->wrong_line);
    else if (!has_keys && p->other[0] != '\0')
        (void)snprintf(words, AWS_PROFILE_WORDS_BYTES,
                       "profile %.64s has %s, and only keys are taken from profiles", p->name,
                       p->other);
    else if (!has_keys) {
        (void)snprintf(words, AWS_PROFILE_WORDS_BYTES, "profile %.64s has no keys", p->name);
        return AWS_PROFILE_NONE;
    } else if (aws_keys_complaint(&p->keys) != NULL)
        (void)snprintf(words, AWS_PROFILE_WORDS_BYTES, "profile %.64s: %s", p->name,
                       aws_keys_complaint(&p->keys));
    else
        return AWS_PROFILE_FOUND;
    return AWS_PROFILE_WRONG;
}

enum aws_profile_found
aws_profile_read(const char *text, size_t len, const char *profile, struct aws_keys *ret_keys,
                 char ret_words[AWS_PROFILE_WORDS_BYTES])
{
    struct profile p = { .name = profile };
    if (len > 0 && memchr(text, '\0', len) != NULL) {
        (void)snprintf(ret_words, AWS_PROFILE_WORDS_BYTES, "it is no text");
        return AWS_PROFILE_WRONG;
    }
    for (const char *at = text, *end = text + len; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t line_len = (size_t)((stop == NULL ? end : stop) - at);
        take_line(&p, (struct slice){ at, line_len });
        at = stop == NULL ? end : stop + 1;
    }
    const enum aws_profile_found found = judge(&p, ret_words);
    if (found == AWS_PROFILE_FOUND)
        *ret_keys = p.keys;
    else
        aws_keys_fini(&p.keys);
    return found;
}
