/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data written by the reference runtime (golden/state/redis.rdb): all of it is read as expected,
 * and the same requests made to our store leave the same keys, fields and field order behind. The
 * files lie outside the repository: REMORA_SHARED names their folder, else ../shared beside it.
 */
#include <cJSON.h>

#include "redis_server.h"
#include "store_calls.h"

static cJSON *expected;
static struct redis_server golden, ours;

/* --- files -------------------------------------------------------------------------------------*/

static const char *
golden_path(const char *name)
{
    static char path[512];
    const char *shared = getenv("REMORA_SHARED");
    snprintf(path, sizeof path, "%s/golden/state/%s", shared == NULL ? "../shared" : shared, name);
    return path;
}

static char *
read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *data = malloc(4 << 20);
    *ret_len = fread(data, 1, (4 << 20) - 1, file);
    data[*ret_len] = '\0';
    fclose(file);
    return data;
}

static void
copy_dump(const struct redis_server *server)
{
    size_t len;
    char to[512];
    char *data = read_file(golden_path("redis.rdb"), &len);
    REQUIRE(data != NULL);
    snprintf(to, sizeof to, "%s/dump.rdb", server->dir);
    FILE *file = fopen(to, "wb");
    REQUIRE(fwrite(data, 1, len, file) == len);
    fclose(file);
    free(data);
}

/* False: the machine lacks something, as told on stderr. */
static bool
prepare(void)
{
    size_t len;
    if (expected != NULL)
        return true;
    char *text = read_file(golden_path("redis-expected.json"), &len);
    if (text == NULL || !redis_server_is_installed()) {
        fprintf(stderr, "  no %s, or no redis-server\n", golden_path("redis-expected.json"));
        free(text);
        return false;
    }
    expected = cJSON_Parse(text);
    free(text);
    REQUIRE(expected != NULL);
    redis_server_prepare(&golden);
    copy_dump(&golden);
    redis_server_start_more(&golden, NULL);
    return true;
}

#define NEED_GOLDEN()                                                                              \
    if (!prepare())                                                                                \
    SKIP("golden data or redis-server missing")

static struct store *
open_db(const struct redis_server *server)
{
    char host[64];
    snprintf(host, sizeof host, "127.0.0.1:%u", server->port);
    return open_at(host, (struct field[]){ { "redisDB", "1" }, { 0 } });
}

/* --- JSON --------------------------------------------------------------------------------------*/

static const char *
text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
}

static char *
base64_decode(const char *text, size_t *ret_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *data = malloc(strlen(text) + 1);
    unsigned bits = 0, count = 0;
    size_t len = 0;
    for (; *text != '\0' && *text != '='; text++) {
        bits = bits << 6 | (unsigned)(strchr(digits, *text) - digits);
        if (++count % 4 != 1)
            data[len++] = (char)(bits >> (6 - 2 * ((count - 1) % 4)));
    }
    *ret_len = len;
    return data;
}

/* --- reading -----------------------------------------------------------------------------------*/

/* One entry of `reads`: its gRPC answer is the plainest. */
static void
check_read(struct store *store, const char *prefix, const cJSON *entry)
{
    char key[512];
    const cJSON *grpc = cJSON_GetObjectItem(entry, "grpc");
    size_t len;
    if (text_of(grpc, "data_b64") == NULL)
        return; /* a key that no store is asked for: it is refused before */
    char *data = base64_decode(text_of(grpc, "data_b64"), &len);
    const char *etag = text_of(grpc, "etag");
    snprintf(key, sizeof key, "%s%s", prefix, text_of(entry, "key"));
    remora_call *call = get(store, key);
    REQUIRE(call->ok);
    CHECK_EQ_INT(call->values[0].found, etag[0] != '\0');
    bool right = CHECK_EQ_STR(call->values[0].etag, etag) &&
                 CHECK_EQ_MEM(call->values[0].value, call->values[0].len, data, len);
    if (!right)
        fprintf(stderr, "  key %s\n", key);
    fake_free(call);
    free(data);
}

static const char *
prefix_of(const char *store_name)
{
    static const char *const prefixes[][2] = {
        { "name", "goldredis-name||" }, { "none", "" },           { "ns", "prod.goldapp||" },
        { "lit", "literalprefix||" },   { "appid", "goldapp||" },
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strcmp(store_name, prefixes[i][0]) == 0)
            return prefixes[i][1];
    REQUIRE(!"known store");
    return NULL;
}

TEST(every_value_the_reference_wrote_is_read)
{
    NEED_GOLDEN();
    struct store *store = open_db(&golden);
    const cJSON *entry, *of_store;
    unsigned count = 0;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItem(expected, "reads"))
    {
        check_read(store, "goldapp||", entry);
        count++;
    }
    CHECK(count > 50);
    cJSON_ArrayForEach(of_store, cJSON_GetObjectItem(expected, "prefix_reads"))
    {
        cJSON_ArrayForEach(entry, of_store) check_read(store, prefix_of(of_store->string), entry);
    }
    store_close(store);
}

/* --- writing -----------------------------------------------------------------------------------*/

/* What one request asks to save; the texts live in `expected`, the value is to be freed. */
static struct remora_state_set
read_set(const cJSON *request, char *key, size_t key_size, struct remora_pair *ttl,
         char **ret_value)
{
    const char *store_name = text_of(request, "store"), *encoded = text_of(request, "value_b64");
    const char *json = text_of(request, "value_json_as_sent");
    const cJSON *metadata = cJSON_GetObjectItem(request, "metadata");
    const cJSON *value = cJSON_GetObjectItem(request, "value");
    size_t len = 0;
    if (encoded != NULL)
        *ret_value = base64_decode(encoded, &len);
    else if (value != NULL)
        *ret_value = cJSON_PrintUnformatted(value);
    else
        *ret_value = fake_copy(json == NULL ? "null" : json, strlen(json == NULL ? "null" : json));
    snprintf(key, key_size, "%s%s",
             store_name == NULL ? "goldapp||" : prefix_of(strchr(store_name, '-') + 1),
             text_of(request, "key"));
    struct remora_state_set wanted = {
        .key = fake_slice(key),
        .value = { *ret_value, encoded != NULL ? len : strlen(*ret_value) },
    };
    if (text_of(metadata, "ttlInSeconds") != NULL) {
        *ttl = (struct remora_pair){ fake_slice("ttlInSeconds"),
                                     fake_slice(text_of(metadata, "ttlInSeconds")) };
        wanted.metadata = ttl;
        wanted.metadata_count = 1;
    }
    return wanted;
}

static bool
has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
replay_save(struct store *store, const cJSON *request)
{
    char key[512], *value;
    struct remora_pair ttl;
    const char *op = text_of(request, "op"), *etag = text_of(request, "etag_sent");
    int status = (int)cJSON_GetNumberValue(cJSON_GetObjectItem(request, "status"));
    const char *word = text_of(request, "status");
    bool is_wanted = word != NULL ? strcmp(word, "OK") == 0 : status == 204;
    if (!is_wanted && !has_prefix(op, "save-"))
        return; /* refused before it came to the store */
    struct remora_state_set wanted = read_set(request, key, sizeof key, &ttl, &value);
    if (etag != NULL || has_prefix(op, "save-firstwrite"))
        wanted.concurrency = REMORA_FIRST_WRITE;
    if (etag != NULL) {
        wanted.has_etag = true;
        wanted.etag = fake_slice(etag);
    }
    remora_call *call = set(store, wanted);
    if (!CHECK_EQ_INT(call->ok, is_wanted))
        fprintf(stderr, "  %s of %s\n", op, key);
    if (!is_wanted) { /* the recorded answer ends in the store's words */
        const char *answer = text_of(request, "answer");
        CHECK(strstr(answer, call->failure.message) != NULL);
    }
    fake_free(call);
    free(value);
}

static void
replay_transaction(struct store *store, const cJSON *request)
{
    enum { OPS_MAX = 16 };
    static char keys[OPS_MAX][512], *values[OPS_MAX];
    static struct remora_pair ttls[OPS_MAX];
    static struct remora_state_operation ops[OPS_MAX];
    size_t count = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItem(request, "operations"))
    {
        const cJSON *inner = cJSON_GetObjectItem(entry, "request");
        cJSON *asked = cJSON_Duplicate(inner == NULL ? entry : inner, true);
        if (text_of(request, "store") != NULL)
            cJSON_AddStringToObject(asked, "store", text_of(request, "store"));
        struct remora_state_set wanted = read_set(asked, keys[count], sizeof keys[count],
                                                  &ttls[count], &values[count]);
        if (wanted.metadata != NULL) { /* its text dies with `asked` */
            wanted.has_ttl = true;
            wanted.ttl_seconds = 1000000000;
            wanted.metadata = NULL;
            wanted.metadata_count = 0;
        }
        ops[count] = (struct remora_state_operation){ .set = wanted };
        if (strcmp(text_of(entry, "operation"), "delete") == 0)
            ops[count] = (struct remora_state_operation){ .is_delete = true,
                                                          .del = { .key = wanted.key } };
        count++;
        cJSON_Delete(asked);
    }
    remora_call *call = fake_call();
    state_transact(call, store, ops, count, NULL, 0);
    CHECK(fake_wait(call)->ok);
    fake_free(call);
    while (count > 0)
        free(values[--count]);
}

static void
replay(struct store *store, const cJSON *request)
{
    const char *op = text_of(request, "op");
    if (strcmp(op, "tx") == 0) {
        replay_transaction(store, request);
    } else if (strcmp(op, "delete") == 0) {
        char key[512];
        remora_call *call = fake_call();
        snprintf(key, sizeof key, "goldapp||%s", text_of(request, "key"));
        state_delete(call, store, &(struct remora_state_delete){ .key = fake_slice(key) });
        CHECK(fake_wait(call)->ok);
        fake_free(call);
    } else {
        replay_save(store, request);
    }
}

/* Keys in order, for each its type, whether it expires, and its fields: in order where the server
 * keeps one. JSON that came over HTTP was rewritten by the reference before it reached its store,
 * so the data of the keys with `j-` is not compared. Bytes that are no text are escaped. */
static const char script_dump[] =
    "eval \"local out = {} local keys = redis.call('KEYS','*') table.sort(keys) "
    "for _, k in ipairs(keys) do "
    "local h, f = redis.call('HGETALL', k), {} "
    "for i = 1, #h, 2 do "
    "f[#f+1] = h[i] .. '=' .. ((h[i] == 'data' and k:find('||j-', 1, true)) and '(json)' or "
    "h[i+1]) "
    "end "
    "if redis.call('OBJECT', 'ENCODING', k) == 'hashtable' then table.sort(f) end "
    "local line = k .. ' ' .. redis.call('TYPE', k).ok .. ' ' .. "
    "(redis.call('TTL', k) > 0 and 'expires' or 'stays') .. ' ' .. table.concat(f, '|') "
    "out[#out+1] = line:gsub('[^%g ]', function(c) return string.format('<%02x>', c:byte()) end) "
    "end return out\" 0";

static char *
dump(const struct redis_server *server)
{
    char line[2048];
    snprintf(line, sizeof line, "-n 1 %.2000s", script_dump);
    return fake_copy(redis_cli(server, line), strlen(redis_cli(server, line)));
}

/* Where two listings part, in words. */
static void
check_same_lines(char *left, char *right)
{
    char *a = strsep(&left, "\n"), *b = strsep(&right, "\n");
    unsigned lines = 0;
    for (; a != NULL && b != NULL; a = strsep(&left, "\n"), b = strsep(&right, "\n"), lines++)
        CHECK_EQ_STR(a, b);
    CHECK(a == NULL && b == NULL);
    CHECK(lines > 40);
}

TEST(the_same_requests_leave_the_same_data)
{
    NEED_GOLDEN();
    redis_server_start(&ours);
    struct store *store = open_db(&ours);
    const cJSON *request;
    cJSON_ArrayForEach(request, cJSON_GetObjectItem(expected, "requests_in_order"))
        replay(store, request);
    char *left = dump(&ours), *right = dump(&golden);
    check_same_lines(left, right);
    free(left);
    free(right);
    store_close(store);
}
