/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and what may be wrong with them; see aws_keys.h. */
#include "aws_keys.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "memory.h"

enum {
    ACCESS_KEY_BYTES_MAX = 128,
    SECRET_KEY_BYTES_MAX = 256,
    TOKEN_BYTES_MAX = 16 * 1024,
};

void
aws_keys_fini(struct aws_keys *keys)
{
    memory_wipe(keys->access_key);
    memory_wipe(keys->secret_key);
    memory_wipe(keys->session_token);
    *keys = (struct aws_keys){ .access_key = NULL };
}

bool
aws_is_visible(const char *text, size_t max)
{
    size_t len = 0;
    for (; text[len] > ' ' && text[len] < 0x7f && len <= max; len++)
        ;
    return text[len] == '\0' && len > 0 && len <= max;
}

const char *
aws_keys_complaint(const struct aws_keys *keys)
{
    if (keys->access_key == NULL || !aws_is_visible(keys->access_key, ACCESS_KEY_BYTES_MAX))
        return "the access key is missing, too long or has odd characters in it";
    if (keys->secret_key == NULL || !aws_is_visible(keys->secret_key, SECRET_KEY_BYTES_MAX))
        return "the secret key is missing, too long or has odd characters in it";
    if (keys->session_token != NULL && !aws_is_visible(keys->session_token, TOKEN_BYTES_MAX))
        return "the session token is too long or has odd characters in it";
    return NULL;
}

/* --- points in time ----------------------------------------------------------------------------*/

static bool
read_digits(const char **at, int count, int least, int most, int *ret)
{
    int number = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        number = number * 10 + (**at - '0');
    }
    *ret = number;
    return number >= least && number <= most;
}

static bool
read_byte(const char **at, char byte)
{
    if (**at != byte)
        return false;
    (*at)++;
    return true;
}

bool
aws_time_read(const char *text, int64_t *ret_s)
{
    struct tm tm = { .tm_year = 0 };
    const char *at = text;
    if (!read_digits(&at, 4, 1970, 9999, &tm.tm_year) || !read_byte(&at, '-') ||
        !read_digits(&at, 2, 1, 12, &tm.tm_mon) || !read_byte(&at, '-') ||
        !read_digits(&at, 2, 1, 31, &tm.tm_mday) || !read_byte(&at, 'T') ||
        !read_digits(&at, 2, 0, 23, &tm.tm_hour) || !read_byte(&at, ':') ||
        !read_digits(&at, 2, 0, 59, &tm.tm_min) || !read_byte(&at, ':') ||
        !read_digits(&at, 2, 0, 59, &tm.tm_sec))
        return false;
    if (*at == '.') {
        const size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0 || digits > 9)
            return false;
        at += 1 + digits;
    }
    if (strcmp(at, "Z") != 0)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const int day = tm.tm_mday;
    *ret_s = (int64_t)timegm(&tm);
    return tm.tm_mday == day; /* there is no 30th of February */
}

const char *
aws_keys_expire(struct aws_keys *keys, const char *expiration)
{
    const char *words = aws_keys_complaint(keys);
    if (words != NULL)
        return words;
    if (keys->session_token == NULL)
        return "the session token is missing";
    if (expiration == NULL || !aws_time_read(expiration, &keys->expires_s))
        return "the expiration is missing or no point in time";
    return keys->expires_s <= (int64_t)time(NULL) ? "the keys have expired" : NULL;
}

/* --- JSON --------------------------------------------------------------------------------------*/

static char *
copy_member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text == NULL ? NULL : memory_text(text);
}

void
aws_keys_from_json(const cJSON *object, struct aws_keys *ret_keys, const char **ret_expiration)
{
    *ret_keys = (struct aws_keys){
        .access_key = copy_member(object, "AccessKeyId"),
        .secret_key = copy_member(object, "SecretAccessKey"),
        .session_token = copy_member(object, "Token"),
    };
    *ret_expiration = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "Expiration"));
}
