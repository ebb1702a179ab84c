/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that a container or an instance is given at an address of its own: a container's agent is
 * named by a variable, an instance's metadata (version 2 only) are where they always are. What goes
 * there over plain HTTP stays on the machine. See aws_lookup.h.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "aws_lookup.h"
#include "json_secret.h"
#include "memory.h"

#define CONTAINER "container"
#define INSTANCE "instance metadata"

enum {
    CONTAINER_TIMEOUT_MS = 5 * 1000,
    INSTANCE_TIMEOUT_MS = 1000,
    URL_BYTES_MAX = 2048,
    TOKEN_BYTES_MAX = 16 * 1024,
    ROLE_BYTES_MAX = 128,
};

/* False: it is noted. */
static bool
is_answered(struct aws_lookup *lookup, const char *source, const struct fetch_answer *answer)
{
    lookup->fetch = NULL; /* it goes by itself */
    if (answer->status == 200)
        return true;
    if (answer->status == 0)
        aws_lookup_note(lookup, "%s: %s", source, answer->error);
    else
        aws_lookup_note(lookup, "%s: status %ld", source, answer->status);
    return false;
}

/* Some agents of containers give keys that stay: no expiration is said then. */
static enum aws_found
take(struct aws_lookup *lookup, const char *source, const struct fetch_answer *answer,
     bool may_stay)
{
    cJSON *tree = cJSON_ParseWithLength(answer->body, answer->len);
    const char *code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tree, "Code"));
    const char *words = "the answer holds no keys", *expiration;
    struct aws_keys keys = { .access_key = NULL };
    if (code != NULL && strcmp(code, "Success") != 0) {
        words = "the answer says that it failed";
    } else if (cJSON_IsObject(tree)) {
        const bool stays = may_stay && !cJSON_HasObjectItem(tree, "Expiration");
        aws_keys_from_json(tree, &keys, &expiration);
        words = stays ? aws_keys_complaint(&keys) : aws_keys_expire(&keys, expiration);
    }
    const enum aws_found found = aws_lookup_take(lookup, source, words, &keys);
    aws_keys_fini(&keys);
    json_secret_delete(tree);
    return found;
}

/* --- containers --------------------------------------------------------------------------------*/

/* Addresses of this machine and those that AWS's agents have. */
static bool
is_near(const char *host)
{
    static const char *const agents[] = { "169.254.170.2", "169.254.170.23" };
    char bare[INET6_ADDRSTRLEN];
    struct in_addr four;
    struct in6_addr six, agent;
    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++)
        if (strcmp(host, agents[i]) == 0)
            return true;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    const size_t len = strlen(host);
    if (len < 2 || len - 2 >= sizeof bare || host[0] != '[' || host[len - 1] != ']')
        return false;
    (void)snprintf(bare, sizeof bare, "%.*s", (int)len - 2, host + 1);
    return inet_pton(AF_INET6, bare, &six) == 1 &&
           inet_pton(AF_INET6, "fd00:ec2::23", &agent) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&six) || memcmp(&six, &agent, sizeof six) == 0);
}

/* Whether the token may be sent there. */
static bool
is_allowed(const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL;
    const bool is_url = parts != NULL && aws_is_visible(url, URL_BYTES_MAX) &&
                        curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    const bool is_good = is_url && (strcmp(scheme, "https") == 0 ||
                                    (strcmp(scheme, "http") == 0 && is_near(host)));
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parts);
    return is_good;
}

static void
on_container(const struct fetch_answer *answer, void *arg)
{
    struct aws_lookup *lookup = arg;
    enum aws_found found = AWS_FAILED;
    if (is_answered(lookup, CONTAINER, answer))
        found = take(lookup, CONTAINER, answer, true);
    aws_lookup_go_on(lookup, found);
}

/* NULL without words: there is none. */
static char *
container_token(const char **ret_words)
{
    const char *file = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *given = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char *token = file != NULL ? fetch_read_token(file) : given != NULL ? memory_text(given) : NULL;
    *ret_words = NULL;
    if (file != NULL && token == NULL)
        *ret_words = "the token file cannot be read, or holds no token";
    for (const char *at = token; at != NULL && *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *ret_words = "the authorization token has odd characters in it";
    return token;
}

enum aws_found
aws_ask_container(struct aws_lookup *lookup)
{
    const char *relative = aws_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"), *words = NULL;
    if (relative == NULL && full == NULL) {
        aws_lookup_note(lookup, CONTAINER ": AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and "
                                          "AWS_CONTAINER_CREDENTIALS_FULL_URI are not set");
        return AWS_NOT_THERE;
    }
    char *url = relative != NULL ? memory_printf("http://169.254.170.2%s", relative)
                                 : memory_text(full);
    char *token = container_token(&words), *header = NULL;
    if (words == NULL && ((relative != NULL && relative[0] != '/') || !is_allowed(url)))
        words = "the URI is neither https nor one of this machine";
    if (token != NULL)
        header = memory_printf("Authorization: %s", token);
    if (words == NULL)
        aws_lookup_ask(lookup,
                       &(struct aws_question){ .method = "GET",
                                               .url = url,
                                               .headers = { "Accept: application/json", header },
                                               .timeout_ms = CONTAINER_TIMEOUT_MS },
                       on_container);
    else
        aws_lookup_note(lookup, CONTAINER ": %s", words);
    memory_wipe(header);
    memory_wipe(token);
    free(url);
    return words == NULL ? AWS_PENDING : AWS_FAILED;
}

/* --- instances ---------------------------------------------------------------------------------*/

static void
ask_instance(struct aws_lookup *lookup, const char *path, fetch_done *done)
{
    char *url = memory_printf("%s/latest/meta-data/iam/security-credentials/%s", lookup->base,
                              path);
    char *header = memory_printf("X-aws-ec2-metadata-token: %s", lookup->token);
    aws_lookup_ask(
        lookup,
        &(struct aws_question){
            .method = "GET", .url = url, .headers = { header }, .timeout_ms = INSTANCE_TIMEOUT_MS },
        done);
    memory_wipe(header);
    free(url);
}

static void
on_instance_keys(const struct fetch_answer *answer, void *arg)
{
    struct aws_lookup *lookup = arg;
    enum aws_found found = AWS_FAILED;
    if (is_answered(lookup, INSTANCE, answer))
        found = take(lookup, INSTANCE, answer, false);
    aws_lookup_go_on(lookup, found);
}

/* The first line is the name. */
static void
on_role(const struct fetch_answer *answer, void *arg)
{
    struct aws_lookup *lookup = arg;
    if (answer->status == 404) {
        aws_lookup_note(lookup, INSTANCE ": the instance has no role");
    } else if (is_answered(lookup, INSTANCE, answer)) {
        char *name = memory_printf("%.*s", (int)strcspn(answer->body, "\r\n"), answer->body);
        if (aws_is_visible(name, ROLE_BYTES_MAX)) {
            char *escaped = fetch_escape(name, strlen(name));
            ask_instance(lookup, escaped, on_instance_keys);
            free(escaped);
            free(name);
            return;
        }
        free(name);
        aws_lookup_note(lookup, INSTANCE ": the role's name is none");
    }
    lookup->fetch = NULL;
    aws_lookup_go_on(lookup, AWS_FAILED);
}

static void
on_token(const struct fetch_answer *answer, void *arg)
{
    struct aws_lookup *lookup = arg;
    if (is_answered(lookup, INSTANCE, answer) && aws_is_visible(answer->body, TOKEN_BYTES_MAX)) {
        lookup->token = memory_text(answer->body);
        ask_instance(lookup, "", on_role);
        return;
    }
    if (answer->status == 200)
        aws_lookup_note(lookup, INSTANCE ": the token is none");
    aws_lookup_go_on(lookup, AWS_FAILED);
}

enum aws_found
aws_ask_instance(struct aws_lookup *lookup)
{
    const char *disabled = aws_variable("AWS_EC2_METADATA_DISABLED");
    const char *base = aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (disabled != NULL && strcasecmp(disabled, "true") == 0) {
        aws_lookup_note(lookup, INSTANCE ": AWS_EC2_METADATA_DISABLED is true");
        return AWS_NOT_THERE;
    }
    if (base == NULL)
        base = "http://169.254.169.254";
    if (!aws_is_visible(base, URL_BYTES_MAX)) {
        aws_lookup_note(lookup, INSTANCE ": AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL");
        return AWS_FAILED;
    }
    lookup->base = memory_text(base);
    for (size_t len = strlen(base); len > 0 && lookup->base[len - 1] == '/'; len--)
        lookup->base[len - 1] = '\0';
    char *url = memory_printf("%s/latest/api/token", lookup->base);
    aws_lookup_ask(
        lookup,
        &(struct aws_question){ .method = "PUT",
                                .url = url,
                                .headers = { "X-aws-ec2-metadata-token-ttl-seconds: 21600" },
                                .timeout_ms = INSTANCE_TIMEOUT_MS },
        on_token);
    free(url);
    return AWS_PENDING;
}
