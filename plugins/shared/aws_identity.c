/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web identities: a token that the cluster has given to the pod is exchanged at STS for keys of a
 * role. The token is read each time, since it is renewed. See aws_lookup.h.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aws_lookup.h"
#include "memory.h"
#include "xml_reader.h"

enum { TIMEOUT_MS = 10 * 1000, TEXT_BYTES_MAX = 2048, CODE_BYTES_MAX = 64 };

#define SOURCE "web identity"

/* NULL: the region is not the name of one. */
static char *
sts_url(struct aws_lookup *lookup)
{
    const char *given = aws_variable("AWS_ENDPOINT_URL_STS"), *region = lookup->region;
    const bool is_url = given != NULL && aws_is_visible(given, TEXT_BYTES_MAX) &&
                        (strncmp(given, "https://", 8) == 0 || strncmp(given, "http://", 7) == 0);
    if (is_url)
        return memory_text(given);
    if (given != NULL) {
        aws_lookup_note(lookup, SOURCE ": AWS_ENDPOINT_URL_STS is no URL");
        return NULL;
    }
    if (strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region)) {
        aws_lookup_note(lookup, SOURCE ": the region has no STS");
        return NULL;
    }
    return memory_printf("https://sts.%s.amazonaws.com%s/", region,
                         strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

/* What of an answer counts; what else a refusal says may repeat the token. */
struct reply {
    struct aws_keys keys;
    char expiration[64], code[CODE_BYTES_MAX + 1];
};

static void
keep(char **place, const char *value)
{
    memory_wipe(*place);
    *place = memory_text(value);
}

static void
on_end(struct xml_reading *reading, const char *value)
{
#define CREDENTIALS "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"
    struct reply *reply = reading->arg;
    if (xml_is_at(reading, CREDENTIALS "AccessKeyId"))
        keep(&reply->keys.access_key, value);
    else if (xml_is_at(reading, CREDENTIALS "SecretAccessKey"))
        keep(&reply->keys.secret_key, value);
    else if (xml_is_at(reading, CREDENTIALS "SessionToken"))
        keep(&reply->keys.session_token, value);
    else if (xml_is_at(reading, CREDENTIALS "Expiration"))
        (void)snprintf(reply->expiration, sizeof reply->expiration, "%s", value);
    else if (xml_is_at(reading, "ErrorResponse/Error/Code"))
        (void)snprintf(reply->code, sizeof reply->code, "%s", value);
#undef CREDENTIALS
}

static void
note_refusal(struct aws_lookup *lookup, const struct reply *reply, long status)
{
    const char *code = reply->code;
    if (*code == '\0' ||
        strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != strlen(code))
        code = "no reason given";
    aws_lookup_note(lookup, SOURCE ": STS answered with status %ld, %s", status, code);
}

static void
on_answer(const struct fetch_answer *answer, void *arg)
{
    struct aws_lookup *lookup = arg;
    struct reply reply = { .expiration = "" };
    struct xml_reading reading = { .on_end = on_end, .arg = &reply };
    enum aws_found found = AWS_FAILED;
    lookup->fetch = NULL; /* it goes by itself */
    const bool is_read = xml_read(&reading, answer->body, answer->len);
    if (answer->status == 0)
        aws_lookup_note(lookup, SOURCE ": STS: %s", answer->error);
    else if (answer->status != 200)
        note_refusal(lookup, &reply, answer->status);
    else if (!is_read)
        aws_lookup_note(lookup, SOURCE ": STS: the answer holds no keys");
    else
        found = aws_lookup_take(lookup, SOURCE, aws_keys_expire(&reply.keys, reply.expiration),
                                &reply.keys);
    aws_keys_fini(&reply.keys);
    aws_lookup_go_on(lookup, found);
}

static void
ask(struct aws_lookup *lookup, const char *url, const char *role, const char *token)
{
    const char *given = aws_variable("AWS_ROLE_SESSION_NAME");
    char *name = given != NULL ? memory_text(given)
                               : memory_printf("remora-%lld", (long long)time(NULL));
    char *role_escaped = fetch_escape(role, strlen(role));
    char *name_escaped = fetch_escape(name, strlen(name));
    char *token_escaped = fetch_escape(token, strlen(token));
    char *body = memory_printf("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=%s"
                               "&RoleSessionName=%s&WebIdentityToken=%s",
                               role_escaped, name_escaped, token_escaped);
    aws_lookup_ask(
        lookup,
        &(struct aws_question){ .method = "POST",
                                .url = url,
                                .headers = { "Content-Type: application/x-www-form-urlencoded" },
                                .body = body,
                                .timeout_ms = TIMEOUT_MS },
        on_answer);
    memory_wipe(body);
    memory_wipe(token_escaped);
    free(name_escaped);
    free(role_escaped);
    free(name);
}

enum aws_found
aws_ask_identity(struct aws_lookup *lookup)
{
    const char *file = aws_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *role = aws_variable("AWS_ROLE_ARN");
    if (file == NULL) {
        aws_lookup_note(lookup, SOURCE ": AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        return AWS_NOT_THERE;
    }
    if (role == NULL) {
        aws_lookup_note(lookup, SOURCE ": AWS_ROLE_ARN is not set");
        return AWS_FAILED;
    }
    char *url = sts_url(lookup), *token = url == NULL ? NULL : fetch_read_token(file);
    if (url != NULL && token == NULL)
        aws_lookup_note(lookup, SOURCE ": the token file cannot be read, or holds no token");
    if (token != NULL)
        ask(lookup, url, role, token);
    const enum aws_found found = token == NULL ? AWS_FAILED : AWS_PENDING;
    fetch_wipe(token);
    free(url);
    return found;
}
