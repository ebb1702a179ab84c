/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, judged; see token.h. */
#include "token.h"

#include <jose/b64.h>
#include <jose/jws.h>
#include <string.h>

json_t *
token_keys_parse(const char *text, size_t len)
{
    json_t *set = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *keys = json_object_get(set, "keys");
    bool is_set = json_is_array(keys) && json_array_size(keys) <= TOKEN_KEYS_MAX;
    size_t i;
    json_t *key;
    json_array_foreach(keys, i, key) is_set = is_set && json_is_object(key);
    if (is_set)
        return set;
    json_decref(set);
    return NULL;
}

/* --- the envelope ------------------------------------------------------------------------------*/

/* The three parts as José wants them; NULL if there are not three. */
static json_t *
split(struct remora_slice token)
{
    if (token.len > TOKEN_BYTES_MAX)
        return NULL;
    const char *end = token.data + token.len;
    const char *first = memchr(token.data, '.', token.len);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return NULL;
    return json_pack("{s:s%, s:s%, s:s%}", "protected", token.data, (size_t)(first - token.data),
                     "payload", first + 1, (size_t)(second - first - 1), "signature", second + 1,
                     (size_t)(end - second - 1));
}

static bool
is_of_public_keys(const char *algorithm)
{
    static const char *const names[] = { "RS256", "RS384", "RS512", "PS256", "PS384",
                                         "PS512", "ES256", "ES384", "ES512" };
    for (size_t i = 0; algorithm != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(algorithm, names[i]) == 0)
            return true;
    return false;
}

/* Header: an algorithm that counts, a key by name, and nothing that must be understood beyond. */
static bool
header_is_good(const json_t *header, const char **ret_algorithm, const char **ret_key)
{
    *ret_algorithm = json_string_value(json_object_get(header, "alg"));
    *ret_key = json_string_value(json_object_get(header, "kid"));
    return is_of_public_keys(*ret_algorithm) && *ret_key != NULL &&
           json_object_get(header, "crit") == NULL && json_object_get(header, "b64") == NULL;
}

static bool
is_for_signatures(const json_t *key, const char *algorithm)
{
    const char *use = json_string_value(json_object_get(key, "use"));
    const char *own = json_string_value(json_object_get(key, "alg"));
    const char *type = json_string_value(json_object_get(key, "kty"));
    return (use == NULL || strcmp(use, "sig") == 0) &&
           (own == NULL || strcmp(own, algorithm) == 0) && type != NULL &&
           strcmp(type, algorithm[0] == 'E' ? "EC" : "RSA") == 0;
}

static enum token_verdict
judge_signature(const json_t *keys, const json_t *jws, const char *algorithm, const char *wanted)
{
    size_t i;
    json_t *key;
    bool is_known = false;
    json_array_foreach(json_object_get(keys, "keys"), i, key)
    {
        const char *name = json_string_value(json_object_get(key, "kid"));
        if (name == NULL || strcmp(name, wanted) != 0 || !is_for_signatures(key, algorithm))
            continue;
        is_known = true;
        if (jose_jws_ver(NULL, jws, NULL, key, false))
            return TOKEN_GOOD;
    }
    return is_known ? TOKEN_BAD : TOKEN_KEY_UNKNOWN;
}

/* --- the claims --------------------------------------------------------------------------------*/

static bool
is_for(const json_t *audience, const char *wanted)
{
    const char *text = json_string_value(audience);
    if (text != NULL)
        return strcmp(text, wanted) == 0;
    size_t i;
    json_t *item;
    json_array_foreach(audience, i, item)
    {
        text = json_string_value(item);
        if (text != NULL && strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

/* Seconds may have a fraction. False: it is there and no number. */
static bool
read_time(const json_t *claims, const char *name, double otherwise, double *ret_s)
{
    const json_t *time = json_object_get(claims, name);
    *ret_s = time == NULL ? otherwise : json_number_value(time);
    return time == NULL || json_is_number(time);
}

static bool
claims_are_good(const json_t *claims, const struct token_expectation *expected)
{
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    const double now = (double)expected->now_s, skew = (double)expected->skew_s;
    double expires, begins, issued;
    return issuer != NULL && strcmp(issuer, expected->issuer) == 0 &&
           is_for(json_object_get(claims, "aud"), expected->audience) &&
           read_time(claims, "exp", now + skew, &expires) && expires > now - skew &&
           read_time(claims, "nbf", 0, &begins) && begins <= now + skew &&
           read_time(claims, "iat", 0, &issued) && issued <= now + skew;
}

/* --- both --------------------------------------------------------------------------------------*/

enum token_verdict
token_judge(const json_t *keys, struct remora_slice token, const struct token_expectation *expected)
{
    const char *algorithm, *key;
    json_t *jws = split(token);
    json_t *header = jws == NULL ? NULL : jose_b64_dec_load(json_object_get(jws, "protected"));
    json_t *claims = header == NULL ? NULL : jose_b64_dec_load(json_object_get(jws, "payload"));
    enum token_verdict verdict = TOKEN_BAD;
    if (json_is_object(header) && json_is_object(claims) &&
        header_is_good(header, &algorithm, &key) && claims_are_good(claims, expected))
        verdict = judge_signature(keys, jws, algorithm, key);
    json_decref(claims);
    json_decref(header);
    json_decref(jws);
    return verdict;
}
