/* SPDX-License-Identifier: Apache-2.0 */
/* The walk, and the sources that are on this machine; see aws_lookup.h. */
#include "aws_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws_profile.h"
#include "memory.h"

enum { FILE_BYTES_MAX = 256 * 1024 };

/* --- the environment ---------------------------------------------------------------------------*/

const char *
aws_variable(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? NULL : value;
}

static char *
copy_variable(const char *name)
{
    const char *value = aws_variable(name);
    return value == NULL ? NULL : memory_text(value);
}

bool
aws_lookup_environment(struct aws_keys *ret_keys, const char **ret_words)
{
    struct aws_keys keys = {
        .access_key = copy_variable("AWS_ACCESS_KEY_ID"),
        .secret_key = copy_variable("AWS_SECRET_ACCESS_KEY"),
        .session_token = copy_variable("AWS_SESSION_TOKEN"),
    };
    *ret_words = NULL;
    if (keys.access_key != NULL && keys.secret_key != NULL)
        *ret_words = aws_keys_complaint(&keys);
    if (keys.access_key != NULL && keys.secret_key != NULL && *ret_words == NULL) {
        *ret_keys = keys;
        return true;
    }
    aws_keys_fini(&keys);
    return false;
}

static enum aws_found
ask_environment(struct aws_lookup *lookup)
{
    const char *words;
    if (aws_lookup_environment(&lookup->keys, &words))
        return AWS_FOUND;
    aws_lookup_note(lookup, "environment: %s",
                    words == NULL ? "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set"
                                  : words);
    return words == NULL ? AWS_NOT_THERE : AWS_FAILED;
}

/* --- the shared file ---------------------------------------------------------------------------*/

/* All of it; the caller wipes it. NULL: errno says why. */
static char *
read_file(const char *path, size_t *ret_len)
{
    struct stat seen;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), failed = 0;
    if (fd < 0)
        return NULL;
    char *text = memory_new(FILE_BYTES_MAX);
    size_t len = 0;
    if (fstat(fd, &seen) != 0)
        failed = errno;
    else if (!S_ISREG(seen.st_mode))
        failed = EINVAL;
    while (failed == 0 && len < FILE_BYTES_MAX) {
        ssize_t got = read(fd, text + len, FILE_BYTES_MAX - len);
        if (got <= 0) {
            failed = got < 0 ? errno : 0;
            break;
        }
        len += (size_t)got;
    }
    close(fd);
    if (failed == 0 && len == FILE_BYTES_MAX)
        failed = EFBIG;
    *ret_len = len;
    if (failed == 0)
        return text;
    explicit_bzero(text, FILE_BYTES_MAX);
    free(text);
    errno = failed;
    return NULL;
}

static enum aws_found
ask_file(struct aws_lookup *lookup)
{
    const char *given = aws_variable("AWS_SHARED_CREDENTIALS_FILE"), *home = aws_variable("HOME");
    const char *profile = aws_variable("AWS_PROFILE");
    const enum aws_found otherwise = profile == NULL ? AWS_NOT_THERE : AWS_FAILED;
    char words[AWS_PROFILE_WORDS_BYTES];
    size_t len;
    if (given == NULL && home == NULL) {
        aws_lookup_note(lookup, "shared credentials file: HOME is not set");
        return otherwise;
    }
    char *path = given != NULL ? memory_text(given) : memory_printf("%s/.aws/credentials", home);
    char *text = read_file(path, &len);
    free(path);
    if (text == NULL) {
        aws_lookup_note(lookup, "shared credentials file: %s", strerror(errno));
        return otherwise;
    }
    const enum aws_profile_found found = aws_profile_read(
        text, len, profile == NULL ? "default" : profile, &lookup->keys, words);
    explicit_bzero(text, FILE_BYTES_MAX);
    free(text);
    if (found == AWS_PROFILE_FOUND)
        return AWS_FOUND;
    aws_lookup_note(lookup, "shared credentials file: %s", words);
    return found == AWS_PROFILE_NONE ? otherwise : AWS_FAILED;
}

/* --- questions ---------------------------------------------------------------------------------*/

/* One line: what others say may stand in it. */
void
aws_lookup_note(struct aws_lookup *lookup, const char *format, ...)
{
    size_t used = strlen(lookup->words);
    va_list arguments;
    va_start(arguments, format);
    if (used > 0 && used + 2 < sizeof lookup->words) {
        memcpy(lookup->words + used, "; ", 3);
        used += 2;
    }
    (void)vsnprintf(lookup->words + used, sizeof lookup->words - used, format, arguments);
    va_end(arguments);
    for (char *at = lookup->words + used; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
}

void
aws_lookup_ask(struct aws_lookup *lookup, const struct aws_question *question, fetch_done *done)
{
    static const struct fetch_identity nobody = { .ca_file = NULL };
    const struct fetch_question asked = {
        .method = question->method,
        .url = question->url,
        .headers = question->headers,
        .body = question->body,
        .identity = &nobody,
        .answer_bytes_max = AWS_ANSWER_BYTES_MAX,
        .timeout_ms = question->timeout_ms,
    };
    lookup->fetch = fetch_start(&asked, done, lookup);
}

enum aws_found
aws_lookup_take(struct aws_lookup *lookup, const char *source, const char *words,
                struct aws_keys *keys)
{
    if (words != NULL) {
        aws_lookup_note(lookup, "%s: %s", source, words);
        return AWS_FAILED;
    }
    lookup->keys = *keys;
    *keys = (struct aws_keys){ .access_key = NULL };
    return AWS_FOUND;
}

/* --- the walk ----------------------------------------------------------------------------------*/

static enum aws_found (*const sources[])(struct aws_lookup *lookup) = {
    ask_environment, aws_ask_identity, ask_file, aws_ask_container, aws_ask_instance,
};

static void
forget(struct aws_lookup *lookup)
{
    fetch_cancel(lookup->fetch);
    lookup->fetch = NULL;
    free(lookup->base);
    memory_wipe(lookup->token);
    lookup->base = lookup->token = NULL;
}

static void
finish(struct aws_lookup *lookup, bool is_found)
{
    char words[AWS_WORDS_BYTES];
    struct aws_keys keys = lookup->keys;
    aws_lookup_done *done = lookup->done;
    void *arg = lookup->arg;
    memcpy(words, lookup->words, sizeof words);
    lookup->keys = (struct aws_keys){ .access_key = NULL };
    aws_lookup_end(lookup);
    done(is_found ? &keys : NULL, words, arg);
    aws_keys_fini(&keys);
}

static void
walk(struct aws_lookup *lookup, enum aws_found found)
{
    while (found == AWS_NOT_THERE) {
        forget(lookup);
        if (lookup->source == sizeof sources / sizeof sources[0])
            found = AWS_FAILED;
        else
            found = sources[lookup->source++](lookup);
    }
    if (found != AWS_PENDING)
        finish(lookup, found == AWS_FOUND);
}

void
aws_lookup_go_on(struct aws_lookup *lookup, enum aws_found found)
{
    walk(lookup, found);
}

void
aws_lookup_start(struct aws_lookup *lookup, const char *region, aws_lookup_done *done, void *arg)
{
    *lookup = (struct aws_lookup){ .region = region, .done = done, .arg = arg, .is_running = true };
    walk(lookup, AWS_NOT_THERE);
}

void
aws_lookup_end(struct aws_lookup *lookup)
{
    forget(lookup);
    aws_keys_fini(&lookup->keys);
    lookup->is_running = false;
}
