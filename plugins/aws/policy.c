/* SPDX-License-Identifier: Apache-2.0 */
/* Statements as the reference makes them; see policy.h. */
#include "policy.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES_MAX = 10000 };

static void
put(cJSON *object, const char *name, cJSON *value)
{
    if (value == NULL || !cJSON_AddItemToObject(object, name, value))
        abort();
}

static bool
says(const cJSON *item, const char *text)
{
    const char *value = cJSON_GetStringValue(item);
    return value != NULL && strcmp(value, text) == 0;
}

/* The topics of a statement that lets some send to the queue, or NULL. */
static cJSON *
sources_of(const cJSON *statement, const char *queue_arn)
{
    const cJSON *condition = cJSON_GetObjectItemCaseSensitive(statement, "Condition");
    if (!says(cJSON_GetObjectItemCaseSensitive(statement, "Resource"), queue_arn) ||
        !says(cJSON_GetObjectItemCaseSensitive(statement, "Effect"), "Allow"))
        return NULL;
    return cJSON_GetObjectItemCaseSensitive(condition, "ForAllValues:ArnEquals");
}

static cJSON *
statement_of(const char *queue_arn, const char *topic_arn)
{
    const char *const topics[] = { topic_arn };
    cJSON *statement = cJSON_CreateObject(), *principal = cJSON_CreateObject();
    cJSON *condition = cJSON_CreateObject(), *equals = cJSON_CreateObject();
    put(principal, "Service", cJSON_CreateString("sns.amazonaws.com"));
    put(equals, "aws:SourceArn", cJSON_CreateStringArray(topics, 1));
    put(condition, "ForAllValues:ArnEquals", equals);
    put(statement, "Effect", cJSON_CreateString("Allow"));
    put(statement, "Principal", principal);
    put(statement, "Action", cJSON_CreateString("sqs:SendMessage"));
    put(statement, "Resource", cJSON_CreateString(queue_arn));
    put(statement, "Condition", condition);
    return statement;
}

/* False: it is there. A list of one may have become a text at AWS. */
static bool
add_source(cJSON *equals, const char *topic_arn)
{
    static const char name[] = "aws:SourceArn";
    cJSON *sources = cJSON_GetObjectItemCaseSensitive(equals, name);
    const cJSON *one;
    if (says(sources, topic_arn))
        return false;
    if (cJSON_IsString(sources)) {
        const char *const texts[] = { sources->valuestring };
        cJSON *list = cJSON_CreateStringArray(texts, 1);
        if (list == NULL || !cJSON_ReplaceItemInObjectCaseSensitive(equals, name, list))
            abort();
        sources = list;
    }
    cJSON_ArrayForEach(one, sources) if (says(one, topic_arn)) return false;
    cJSON *source = cJSON_CreateString(topic_arn);
    if (source == NULL || !cJSON_AddItemToArray(sources, source))
        abort();
    return true;
}

/* False: nothing had to be done. */
static bool
add_topic(cJSON *policy, const char *queue_arn, const char *topic_arn)
{
    cJSON *statements = cJSON_GetObjectItemCaseSensitive(policy, "Statement"), *one;
    cJSON_ArrayForEach(one, statements)
    {
        cJSON *equals = sources_of(one, queue_arn);
        const cJSON *sources = cJSON_GetObjectItemCaseSensitive(equals, "aws:SourceArn");
        if (cJSON_IsString(sources) ||
            (cJSON_IsArray(sources) && cJSON_GetArraySize(sources) < SOURCES_MAX))
            return add_source(equals, topic_arn);
    }
    if (!cJSON_AddItemToArray(statements, statement_of(queue_arn, topic_arn)))
        abort();
    return true;
}

static const char list_name[] = "Statement";

static unsigned
count_statements(const cJSON *policy)
{
    const cJSON *one;
    unsigned count = 0;
    cJSON_ArrayForEach(one, policy)
        count += one->string != NULL && strcmp(one->string, list_name) == 0;
    return count;
}

/* One statement need not be a list. NULL: it is none, or says it twice. */
static cJSON *
parse(const char *text)
{
    cJSON *policy = *text == '\0' ? cJSON_CreateObject() : cJSON_Parse(text);
    cJSON *statements = cJSON_GetObjectItemCaseSensitive(policy, list_name);
    if (*text == '\0')
        put(policy, "Version", cJSON_CreateString("2012-10-17"));
    if (cJSON_IsObject(policy) && statements == NULL) {
        put(policy, list_name, cJSON_CreateArray());
    } else if (cJSON_IsObject(statements)) {
        cJSON *list = cJSON_CreateArray();
        cJSON *alone = cJSON_DetachItemViaPointer(policy, statements);
        if (list == NULL || !cJSON_AddItemToArray(list, alone))
            abort();
        put(policy, list_name, list);
    }
    if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(policy, list_name)) ||
        count_statements(policy) != 1) {
        cJSON_Delete(policy);
        return NULL;
    }
    return policy;
}

bool
policy_allow(const char *text, const char *queue_arn, const char *topic_arn, char **ret)
{
    cJSON *policy = parse(text);
    char *out = NULL;
    if (policy == NULL)
        return false;
    if (add_topic(policy, queue_arn, topic_arn)) {
        out = cJSON_PrintUnformatted(policy);
        if (out == NULL)
            abort();
    }
    cJSON_Delete(policy);
    *ret = out;
    return true;
}
