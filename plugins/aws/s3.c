/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on objects; see s3.h. The words of errors are the reference's. */
#include "s3.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/base64.h"
#include "../shared/memory.h"
#include "file.h"
#include "object.h"
#include "request.h"
#include "xml.h"

#define ERROR "s3 binding error: "

enum {
    OBJECT_BYTES_MAX = 100 * 1024 * 1024, /* what a call may carry */
    LIST_BYTES_MAX = 16 * 1024 * 1024,
    ERROR_BYTES_MAX = 64 * 1024, /* of an answer that has nothing else to say */
    KEY_BYTES_MAX = 1024,
    RESULTS_DEFAULT = 1000,
    PRESIGN_S_MAX = 7 * 24 * 60 * 60,
};

/* One operation on its way. */
struct job {
    remora_call *call;
    const struct bucket *bucket;
    struct request *request;
    struct aws_wait *wait;                                  /* for keys, if nothing is to be sent */
    void (*finish)(struct job *job, struct answer *answer); /* of one that went well */
    const char *failed;                                     /* the reference's words */
    char *host, *path;
    char *body; /* owned; NULL: the call's */
    struct remora_slice key, presign_ttl;
    bool encodes;
};

static void
free_job(struct job *job)
{
    request_end(job->request);
    aws_wait_cancel(job->wait);
    free(job->host);
    free(job->path);
    free(job->body);
    free(job);
}

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, text == NULL ? 0 : strlen(text) };
}

/* What the request says, or else the component. */
static struct remora_slice
either(const struct remora_binding_request *request, const char *name, const char *otherwise)
{
    struct remora_slice value;
    if (remora_metadata_get(request->metadata, request->metadata_count, name, &value) &&
        value.len > 0)
        return value;
    return slice_of(otherwise);
}

static bool
is_wanted(const struct remora_binding_request *request, const char *name, bool otherwise)
{
    struct remora_slice value = either(request, name, NULL);
    bool flag = false;
    return value.len == 0 ? otherwise : remora_parse_bool(value, &flag) && flag;
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
fail(struct job *job, const struct answer *answer)
{
    struct xml_error error;
    if (answer->error != NULL)
        remora_reply_error(job->call, REMORA_UNKNOWN, ERROR "%s: %s", job->failed, answer->error);
    else if (!xml_read_error(answer->body, answer->len, &error))
        remora_reply_error(job->call, REMORA_UNKNOWN, ERROR "%s: status code: %ld", job->failed,
                           answer->status);
    else if (strcmp(error.code, "NoSuchKey") == 0)
        remora_reply_error(job->call, REMORA_UNKNOWN, "object not found");
    else
        remora_reply_error(job->call, REMORA_UNKNOWN, ERROR "%s: %s: %s, status code: %ld",
                           job->failed, error.code, error.message, answer->status);
}

static void
on_answer(struct answer *answer, void *arg)
{
    struct job *job = arg;
    job->request = NULL; /* it goes by itself */
    if (answer->error == NULL && answer->status / 100 == 2)
        job->finish(job, answer);
    else
        fail(job, answer);
    free_job(job);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct job *job = arg;
    const bool is_late = remora_call_time_left_ms(call) == 0;
    remora_reply_error(call, is_late ? REMORA_DEADLINE_EXCEEDED : REMORA_CANCELLED, ERROR "%s: %s",
                       job->failed, is_late ? "context deadline exceeded" : "context canceled");
    free_job(job);
}

static void
start(struct job *job, const struct request_spec *spec)
{
    job->request = request_start(spec, on_answer, job);
    if (job->request != NULL) {
        remora_call_on_cancel(job->call, on_cancel, job);
        return;
    }
    remora_reply_error(job->call, REMORA_INVALID_ARGUMENT, ERROR "%s: it cannot be signed",
                       job->failed);
    free_job(job);
}

static struct request_spec
spec_of(const struct job *job, const char *method)
{
    return (struct request_spec){
        .settings = &job->bucket->settings,
        .service = "s3",
        .method = method,
        .host = job->host,
        .path = job->path,
        .answer_bytes_max = ERROR_BYTES_MAX,
        .timeout_ms = remora_call_time_left_ms(job->call),
    };
}

/* NULL: answered, the key is missing or no key. */
static struct job *
job_of(remora_call *call, const struct bucket *bucket, struct remora_slice key, const char *failed)
{
    if (key.len > KEY_BYTES_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, ERROR "%s: KeyTooLongError", failed);
        return NULL;
    }
    struct job *job = memory_new(sizeof *job);
    job->call = call;
    job->bucket = bucket;
    job->failed = failed;
    job->key = key;
    job->host = bucket_host(bucket);
    job->path = bucket_path(bucket, key);
    return job;
}

static bool
take_key(remora_call *call, const struct remora_binding_request *request,
         struct remora_slice *ret_key)
{
    *ret_key = either(request, "key", NULL);
    if (ret_key->len == 0)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, ERROR "required metadata 'key' missing");
    return ret_key->len > 0;
}

static void
reply_json(remora_call *call, struct text *json, struct remora_slice key)
{
    const struct remora_pair pair = { slice_of("key"), key };
    const struct remora_bytes bytes = { json->bytes, json->len, free, json->bytes };
    remora_binding_reply(call, bytes, &pair, key.len > 0, NULL);
}

/* --- presign -----------------------------------------------------------------------------------*/

static void
put_plain(struct text *out, const char *text)
{
    text_put(out, text, strlen(text));
}

/* False: answered. */
static bool
put_presigned(struct job *job, struct text *out)
{
    const struct settings *s = &job->bucket->settings;
    const struct remora_slice ttl = job->presign_ttl;
    int64_t ms;
    if (!remora_parse_duration_ms(ttl, &ms) || ms < 1000 || ms / 1000 > PRESIGN_S_MAX) {
        remora_reply_error(job->call, REMORA_INVALID_ARGUMENT,
                           ERROR "cannot parse duration %.*s: one second to seven days",
                           (int)(ttl.len < 60 ? ttl.len : 60), ttl.data);
        return false;
    }
    const struct aws_keys *keys = aws_credentials_last(s->credentials); /* one has waited */
    const struct sigv4_request rq = {
        .region = s->region,
        .service = "s3",
        .access_key = keys->access_key,
        .secret_key = keys->secret_key,
        .session_token = keys->session_token,
        .at = time(NULL),
        .method = "GET",
        .host = job->host,
        .path = job->path,
        .is_s3 = true,
    };
    char *query = sigv4_presign(&rq, (long)(ms / 1000));
    if (query == NULL)
        abort(); /* nothing of it is the user's */
    char *url = memory_printf("%s://%s%s?%s", s->is_plain ? "http" : "https", job->host, job->path,
                              query);
    put_plain(out, "\"presignURL\":");
    text_put_string(out, url);
    memory_wipe(url);
    memory_wipe(query);
    return true;
}

static void
reply_presigned(struct job *job)
{
    struct text json = { .bytes = NULL };
    put_plain(&json, "{");
    if (put_presigned(job, &json)) {
        put_plain(&json, "}");
        reply_json(job->call, &json, slice_of(NULL));
    } else {
        free(json.bytes);
    }
    free_job(job);
}

static void
on_keys(const struct aws_keys *keys, const char *words, void *arg)
{
    struct job *job = arg;
    job->wait = NULL; /* it goes by itself */
    if (keys != NULL) {
        reply_presigned(job);
        return;
    }
    remora_reply_error(job->call, REMORA_UNKNOWN, ERROR "%s: %s", job->failed, words);
    free_job(job);
}

static void
presign(remora_call *call, const struct bucket *bucket,
        const struct remora_binding_request *request)
{
    struct remora_slice key, ttl = either(request, "presignTTL", bucket->presign_ttl);
    if (!take_key(call, request, &key))
        return;
    if (ttl.len == 0) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           ERROR "required metadata 'presignTTL' missing");
        return;
    }
    struct job *job = job_of(call, bucket, key, "failed to presign URL");
    if (job == NULL)
        return;
    job->presign_ttl = ttl;
    if (aws_credentials_now(bucket->settings.credentials) != NULL) {
        reply_presigned(job);
        return;
    }
    job->wait = aws_credentials_wait(bucket->settings.credentials, on_keys, job);
    if (job->wait == NULL)
        on_keys(NULL, "too many wait for AWS credentials", job);
    else
        remora_call_on_cancel(call, on_cancel, job);
}

/* --- create ------------------------------------------------------------------------------------*/

static void
finish_create(struct job *job, struct answer *answer)
{
    struct text json = { .bytes = NULL };
    char *location = memory_printf("%s://%s%s", job->bucket->settings.is_plain ? "http" : "https",
                                   job->host, job->path);
    put_plain(&json, "{\"location\":");
    text_put_string(&json, location);
    free(location);
    put_plain(&json, ",\"versionID\":");
    if (answer->version[0] == '\0')
        put_plain(&json, "null");
    else
        text_put_string(&json, answer->version);
    if (job->presign_ttl.len > 0) {
        put_plain(&json, ",");
        if (!put_presigned(job, &json)) {
            free(json.bytes);
            return;
        }
    }
    put_plain(&json, "}");
    reply_json(job->call, &json, job->key);
}

/* What is to be in the object; false: answered. */
static bool
take_content(struct job *job, const struct remora_binding_request *request,
             struct remora_slice *ret_content)
{
    const struct remora_slice file = either(request, "filePath", job->bucket->file_path);
    size_t len = 0;
    if (file.len > 0) {
        char *path = remora_slice_dup(file);
        const int failed = path == NULL ? EINVAL
                                        : file_read(job->bucket->file_path, path, OBJECT_BYTES_MAX,
                                                    &job->body, &len);
        if (failed != 0)
            remora_reply_error(job->call, REMORA_INVALID_ARGUMENT,
                               ERROR "file read error: open %s: %s", path == NULL ? "" : path,
                               strerror(failed));
        free(path);
        if (failed != 0)
            return false;
        *ret_content = (struct remora_slice){ job->body, len };
    } else {
        *ret_content = text_unquote(job->call, request->data);
    }
    if (!is_wanted(request, "decodeBase64", job->bucket->decodes))
        return true;
    char *decoded = memory_new(ret_content->len + 1);
    if (!base64_decode(ret_content->data, ret_content->len, decoded, &len)) {
        free(decoded);
        remora_reply_error(job->call, REMORA_INVALID_ARGUMENT, ERROR "%s: illegal base64 data",
                           job->failed);
        return false;
    }
    free(job->body);
    job->body = decoded;
    *ret_content = (struct remora_slice){ decoded, len };
    return true;
}

/* A header of the request, if the user has said so; false: answered. */
static bool
add_header(struct job *job, struct request_spec *spec, const char *name, struct remora_slice value)
{
    while (value.len > 0 && value.data[0] == ' ') {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && value.data[value.len - 1] == ' ')
        value.len--;
    if (value.len == 0)
        return true;
    char *text = remora_call_alloc(job->call, value.len + 1);
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f) {
            remora_reply_error(job->call, REMORA_INVALID_ARGUMENT,
                               ERROR "%s: %s has a control character in it", job->failed, name);
            return false;
        }
        text[i] = value.data[i];
    }
    text[value.len] = '\0';
    spec->headers[spec->header_count++] = (struct sigv4_header){ name, text };
    return true;
}

static bool
add_tags(struct job *job, struct request_spec *spec, struct remora_slice text)
{
    char error[SETTINGS_ERROR_BYTES];
    char *tags = object_tags(text, error);
    if (tags == NULL) {
        remora_reply_error(job->call, REMORA_INVALID_ARGUMENT, ERROR "%s", error);
        return false;
    }
    const bool ok = add_header(job, spec, "x-amz-tagging", slice_of(tags));
    free(tags);
    return ok;
}

static void
create(remora_call *call, const struct bucket *bucket, const struct remora_binding_request *request)
{
    struct remora_slice key = either(request, "key", NULL), content;
    if (key.len == 0) {
        char *made = remora_call_alloc(call, 37);
        remora_uuid(made);
        key = slice_of(made);
    }
    struct job *job = job_of(call, bucket, key, "uploading failed");
    if (job == NULL)
        return;
    job->finish = finish_create;
    job->presign_ttl = either(request, "presignTTL", bucket->presign_ttl);
    struct request_spec spec = spec_of(job, "PUT");
    if (!take_content(job, request, &content) ||
        !add_header(job, &spec, "content-type", either(request, "Content-Type", NULL)) ||
        !add_header(job, &spec, "x-amz-storage-class",
                    either(request, "storageClass", bucket->storage_class)) ||
        !add_tags(job, &spec, either(request, "tags", NULL))) {
        free_job(job);
        return;
    }
    if (spec.header_count == 0 || strcmp(spec.headers[0].name, "content-type") != 0)
        spec.headers[spec.header_count++] = (struct sigv4_header){ "content-type",
                                                                   "binary/octet-stream" };
    spec.body = content;
    start(job, &spec);
}

/* --- get, delete -------------------------------------------------------------------------------*/

static void
finish_get(struct job *job, struct answer *answer)
{
    char *data = answer->body;
    size_t len = answer->len;
    answer->body = NULL; /* the call has it now */
    if (job->encodes && len > 0) {
        char *encoded = memory_new(base64_encoded_len(len));
        base64_encode(data, len, encoded);
        free(data);
        data = encoded;
        len = base64_encoded_len(len);
    }
    const struct remora_bytes bytes = { data, len, free, data };
    remora_binding_reply(job->call, bytes, NULL, 0, NULL);
}

static void
get(remora_call *call, const struct bucket *bucket, const struct remora_binding_request *request)
{
    struct remora_slice key;
    if (!take_key(call, request, &key))
        return;
    struct job *job = job_of(call, bucket, key, "error downloading S3 object");
    if (job == NULL)
        return;
    job->finish = finish_get;
    job->encodes = is_wanted(request, "encodeBase64", bucket->encodes);
    struct request_spec spec = spec_of(job, "GET");
    spec.answer_bytes_max = job->encodes ? OBJECT_BYTES_MAX / 4 * 3 : OBJECT_BYTES_MAX;
    start(job, &spec);
}

static void
finish_delete(struct job *job, struct answer *answer)
{
    (void)answer;
    remora_reply_ok(job->call);
}

static void
delete_object(remora_call *call, const struct bucket *bucket,
              const struct remora_binding_request *request)
{
    struct remora_slice key;
    if (!take_key(call, request, &key))
        return;
    struct job *job = job_of(call, bucket, key, "delete operation failed");
    if (job == NULL)
        return;
    job->finish = finish_delete;
    const struct request_spec spec = spec_of(job, "DELETE");
    start(job, &spec);
}

/* --- list --------------------------------------------------------------------------------------*/

static void
finish_list(struct job *job, struct answer *answer)
{
    struct text json = { .bytes = NULL };
    if (xml_list_to_json(answer->body, answer->len, &json)) {
        reply_json(job->call, &json, slice_of(NULL));
        return;
    }
    free(json.bytes);
    remora_reply_error(job->call, REMORA_UNKNOWN, ERROR "%s: the answer is no list", job->failed);
}

/* A text of the payload, encoded; NULL: it is no text. */
static char *
text_in(const cJSON *payload, const char *name)
{
    const cJSON *value = cJSON_GetObjectItem(payload, name);
    const char *text = value == NULL || cJSON_IsNull(value) ? "" : cJSON_GetStringValue(value);
    return text == NULL ? NULL : sigv4_encode(text, strlen(text), false);
}

/* The query of a list; NULL: the payload is not what it should be. */
static char *
query_of(const cJSON *payload)
{
    const cJSON *count = cJSON_GetObjectItem(payload, "maxResults");
    char *marker = text_in(payload, "marker"), *prefix = text_in(payload, "prefix");
    char *delimiter = text_in(payload, "delimiter"), *query = NULL;
    const bool has_count = count != NULL && !cJSON_IsNull(count);
    const double results = has_count ? cJSON_GetNumberValue(count) : 0;
    const bool ok = marker != NULL && prefix != NULL && delimiter != NULL &&
                    (!has_count || (cJSON_IsNumber(count) && results >= INT32_MIN &&
                                    results <= INT32_MAX && results == (int32_t)results));
    if (ok)
        query = memory_printf("delimiter=%s&marker=%s&max-keys=%d&prefix=%s", delimiter, marker,
                              results < 1 ? (int)RESULTS_DEFAULT : (int)results, prefix);
    free(marker);
    free(prefix);
    free(delimiter);
    return query;
}

static void
list(remora_call *call, const struct bucket *bucket, const struct remora_binding_request *request)
{
    const struct remora_slice data = request->data.len == 0 ? slice_of("{}") : request->data;
    cJSON *payload = cJSON_ParseWithLength(data.data, data.len);
    char *query = cJSON_IsObject(payload) || cJSON_IsNull(payload) ? query_of(payload) : NULL;
    cJSON_Delete(payload);
    if (query == NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "s3 binding (List Operation) - unable to parse Data property - not an "
                           "object with marker, prefix, maxResults and delimiter");
        return;
    }
    struct job *job = job_of(call, bucket, slice_of(NULL), "list operation failed");
    job->finish = finish_list;
    struct request_spec spec = spec_of(job, "GET");
    spec.query = query;
    spec.answer_bytes_max = LIST_BYTES_MAX;
    start(job, &spec);
    free(query);
}

/* --- the component -----------------------------------------------------------------------------*/

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    static const struct {
        const char *name;
        void (*run)(remora_call *call, const struct bucket *bucket,
                    const struct remora_binding_request *request);
    } operations[] = { { "create", create },
                       { "get", get },
                       { "delete", delete_object },
                       { "list", list },
                       { "presign", presign } };
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (remora_slice_eq(request->operation, operations[i].name)) {
            operations[i].run(call, self, request);
            return;
        }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, ERROR "unsupported operation %.*s",
                       (int)(request->operation.len < 60 ? request->operation.len : 60),
                       request->operation.data);
}

void
s3_init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct bucket *bucket = memory_new(sizeof *bucket);
    if (bucket_read(config, bucket, error)) {
        remora_reply_init(call, bucket, REMORA_CAP_OUTPUT_BINDING, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, ERROR "%s", error);
    s3_close(bucket);
}

void
s3_close(void *self)
{
    bucket_fini(self);
    free(self);
}

const struct remora_binding_ops s3_ops = {
    .operations = "create,get,delete,list,presign",
    .invoke = invoke,
};
