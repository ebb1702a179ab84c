/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the server's JSON module, which Debian does not have: JSON.SET, JSON.GET and
 * JSON.DEL as far as the store uses them. A document is kept as a plain string; anything else is of
 * the wrong type. Loaded by a redis-server of json_test.c, which compiles it.
 */
#include <cJSON.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The part of the server's module interface that is used here. */
typedef struct context context; /* begins with the function that finds the others */
typedef struct string string;
typedef struct reply reply;
typedef int command(context *ctx, string **argv, int argc);

enum { OK = 0, FAILED = 1, REPLY_STRING = 0, REPLY_NULL = 4 };

static int (*get_api)(const char *name, void *ret);
static int (*set_attributes)(context *ctx, const char *name, int version, int api);
static int (*create_command)(context *ctx, const char *name, command *run, const char *flags,
                             int first, int last, int step);
static const char *(*string_text)(const string *text, size_t *ret_len);
static reply *(*call)(context *ctx, const char *name, const char *format, ...);
static int (*reply_type)(reply *from);
static const char *(*reply_text)(reply *from, size_t *ret_len);
static void (*free_reply)(reply *from);
static int (*answer_error)(context *ctx, const char *text);
static int (*answer_string)(context *ctx, const char *text, size_t len);
static int (*answer_null)(context *ctx);
static int (*answer_status)(context *ctx, const char *text);
static int (*answer_number)(context *ctx, long long number);

int RedisModule_OnLoad(context *ctx, string **argv, int argc);

/* The document at a key. NULL: there is none, *ret_wrong tells if there is something else. */
static cJSON *
document_at(context *ctx, string *key, bool *ret_wrong)
{
    size_t len;
    cJSON *document = NULL;
    reply *value = call(ctx, "GET", "s", key);
    *ret_wrong = value == NULL || reply_type(value) != REPLY_NULL;
    if (value != NULL && reply_type(value) == REPLY_STRING) {
        const char *text = reply_text(value, &len);
        document = cJSON_ParseWithLength(text, len);
        *ret_wrong = document == NULL || !cJSON_IsObject(document);
    }
    if (value != NULL)
        free_reply(value);
    return document;
}

static int
json_get(context *ctx, string **argv, int argc)
{
    bool is_wrong;
    const char *path = argc > 2 ? string_text(argv[2], NULL) : ".";
    cJSON *document = document_at(ctx, argv[1], &is_wrong);
    if (document == NULL)
        return is_wrong ? answer_error(ctx, "WRONGTYPE not a document") : answer_null(ctx);
    const cJSON *part = strcmp(path, ".") == 0
                            ? document
                            : cJSON_GetObjectItemCaseSensitive(document, path + 1);
    char *text = part == NULL ? NULL : cJSON_PrintUnformatted(part);
    int result = text == NULL ? answer_error(ctx, "ERR Path does not exist")
                              : answer_string(ctx, text, strlen(text));
    free(text);
    cJSON_Delete(document);
    return result;
}

static int
json_set(context *ctx, string **argv, int argc)
{
    bool is_wrong;
    cJSON *old = document_at(ctx, argv[1], &is_wrong);
    cJSON *fresh = argc == 4 ? cJSON_Parse(string_text(argv[3], NULL)) : NULL;
    cJSON_Delete(old);
    if (fresh == NULL)
        return answer_error(ctx, "ERR expected value at line 1 column 1");
    cJSON_Delete(fresh);
    if (old == NULL && is_wrong)
        return answer_error(ctx, "WRONGTYPE not a document");
    free_reply(call(ctx, "SET", "!ssc", argv[1], argv[3], "KEEPTTL"));
    return answer_status(ctx, "OK");
}

static int
json_del(context *ctx, string **argv, int argc)
{
    (void)argc;
    free_reply(call(ctx, "DEL", "!s", argv[1]));
    return answer_number(ctx, 1);
}

int
RedisModule_OnLoad(context *ctx, string **argv, int argc)
{
    (void)argv;
    (void)argc;
    memcpy(&get_api, ctx, sizeof get_api);
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        { "RedisModule_SetModuleAttribs", &set_attributes },
        { "RedisModule_CreateCommand", &create_command },
        { "RedisModule_StringPtrLen", &string_text },
        { "RedisModule_Call", &call },
        { "RedisModule_CallReplyType", &reply_type },
        { "RedisModule_CallReplyStringPtr", &reply_text },
        { "RedisModule_FreeCallReply", &free_reply },
        { "RedisModule_ReplyWithError", &answer_error },
        { "RedisModule_ReplyWithStringBuffer", &answer_string },
        { "RedisModule_ReplyWithNull", &answer_null },
        { "RedisModule_ReplyWithSimpleString", &answer_status },
        { "RedisModule_ReplyWithLongLong", &answer_number },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (get_api(wanted[i].name, wanted[i].function) != OK)
            return FAILED;
    set_attributes(ctx, "remora-json", 1, 1);
    if (create_command(ctx, "json.get", json_get, "readonly", 1, 1, 1) != OK ||
        create_command(ctx, "json.set", json_set, "write deny-oom", 1, 1, 1) != OK ||
        create_command(ctx, "json.del", json_del, "write", 1, 1, 1) != OK)
        return FAILED;
    return OK;
}
