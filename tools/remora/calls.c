/* SPDX-License-Identifier: Apache-2.0 */
/* `remora invoke` and `remora publish`: one call of the API of a sidecar that runs here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "base/buf.h"
#include "base/json.h"
#include "http.h"
#include "say.h"
#include "sidecars.h"

enum { DATA_BYTES_MAX = 256 * 1024 * 1024, TARGET_BYTES_MAX = 32 * 1024, CALL_MS = 300000 };

/* --- what is sent ------------------------------------------------------------------------------*/

/* All of a file; "-" is standard input. */
static bool
read_data(struct buf *out, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0) {
        char *room = buf_reserve(out, 64 * 1024);
        if (room == NULL)
            errno = EFBIG;
        got = room == NULL ? -1 : read(fd, room, 64 * 1024);
        if (got > 0)
            buf_commit(out, (size_t)got);
    }
    if (got < 0)
        complain("%s: %s", path, strerror(errno));
    if (fd >= 0 && !is_stdin)
        (void)close(fd); /* only read from */
    return got == 0;
}

/* --data or --data-file, borrowed from argv or read into `file`. */
static bool
get_data(const struct args *args, struct buf *file, struct slice *ret_data)
{
    const char *path = args_get(args, "data-file");
    *ret_data = slice_str(args_get(args, "data"));
    if (path == NULL)
        return true;
    bool ok = read_data(file, path);
    *ret_data = buf_slice(file);
    return ok;
}

/* Whether it is an envelope already. */
static bool
is_cloud_event(struct arena *arena, struct slice data)
{
    static const char *const wanted[] = { "id", "source", "specversion", "type", "data" };
    struct json json;
    struct slice name, value;
    unsigned found = 0;
    json_init(&json, data);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    json_enter(&json);
    while (json_object_next(&json, arena, &name)) {
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
            if (slice_eq(name, slice_str(wanted[i])))
                found |= 1u << i;
        (void)json_skip(&json, &value); /* an error shows in the loop's condition */
    }
    return !json.failed && found == (1u << ARRAY_LEN(wanted)) - 1;
}

/* {"a":"b"} as "?metadata.a=b". */
static bool
put_metadata(struct arena *arena, struct buf *target, const char *metadata)
{
    struct json json;
    struct slice name, value;
    char separator = '?';
    if (metadata == NULL)
        return true;
    json_init(&json, slice_str(metadata));
    bool ok = json_peek(&json) == JSON_OBJECT;
    if (ok)
        json_enter(&json);
    while (ok && json_object_next(&json, arena, &name)) {
        ok = json_peek(&json) == JSON_STRING ? json_string(&json, arena, &value)
                                             : json_scalar(&json, &value);
        ok = ok && buf_printf(target, "%cmetadata.", separator) &&
             http_escape(target, arena_str(arena, name), true) && buf_append_byte(target, '=') &&
             http_escape(target, arena_str(arena, value), true);
        separator = '&';
    }
    return ok && json_end(&json);
}

/* --- the call ----------------------------------------------------------------------------------*/

struct api_call {
    const char *app_id;  /* whose sidecar is asked */
    const char *sockets; /* --unix-domain-socket; NULL: wherever the sidecar is */
    const char *run_dir;
    struct http_request request;
    const char *done;   /* what to say then */
    const char *absent; /* and if the sidecar has no such API */
};

static bool
find_api(struct arena *arena, struct api_call *call)
{
    size_t count;
    if (call->sockets != NULL) {
        call->request.socket =
            arena_printf(arena, "%s/dapr-%s-http.socket", call->sockets, call->app_id).data;
        return true;
    }
    const struct sidecar *sidecars = sidecars_find(arena, call->run_dir, &count);
    const struct sidecar *sidecar = sidecars_named(sidecars, count, call->app_id);
    if (sidecar == NULL)
        return false;
    call->request.port = sidecar->http_port;
    call->request.socket = sidecar->http_socket;
    return true;
}

/* The answer's body on standard output, everything else on standard error. */
static int
perform(struct arena *arena, struct api_call *call)
{
    struct http_reply reply;
    const char *error;
    if (!find_api(arena, call))
        return EXIT_NOT_DONE;
    call->request.timeout_ms = CALL_MS;
    if (!http_call(arena, &call->request, &reply, &error)) {
        complain("the sidecar of %s does not answer: %s", call->app_id, error);
        return EXIT_NOT_DONE;
    }
    (void)fwrite(reply.body.data, 1, reply.body.len, stdout); /* main() looks at stdout */
    if (reply.body.len > 0 && reply.body.data[reply.body.len - 1] != '\n')
        (void)putchar('\n'); /* likewise */
    if (reply.status >= 200 && reply.status < 300) {
        (void)fflush(stdout);                         /* likewise */
        (void)fprintf(stderr, "✅  %s\n", call->done); /* nowhere else to say it */
        return EXIT_DONE;
    }
    complain("%s: answered with status %d%s", call->request.target, reply.status,
             reply.status == 404 ? call->absent : "");
    return EXIT_NOT_DONE;
}

/* --- commands ----------------------------------------------------------------------------------*/

#define DATA_FLAGS                                                                                 \
    { "data", true }, { "data-file", true }, { "help", false }, { "run-dir", true },               \
    {                                                                                              \
        "unix-domain-socket", true                                                                 \
    }

static const struct arg_flag invoke_flags[] = {
    DATA_FLAGS, { "app-id", true }, { "method", true }, { "verb", true }
};
static const struct arg_letter invoke_letters[] = {
    { 'a', "app-id" }, { 'd', "data" }, { 'f', "data-file" },         { 'h', "help" },
    { 'm', "method" }, { 'v', "verb" }, { 'u', "unix-domain-socket" }
};
static const struct arg_syntax invoke_syntax = { .flags = invoke_flags,
                                                 .flag_count = ARRAY_LEN(invoke_flags),
                                                 .letters = invoke_letters,
                                                 .letter_count = ARRAY_LEN(invoke_letters) };

static const struct arg_flag publish_flags[] = {
    DATA_FLAGS,         { "metadata", true }, { "publish-app-id", true },
    { "pubsub", true }, { "topic", true },
};
static const struct arg_letter publish_letters[] = {
    { 'i', "publish-app-id" }, { 'd', "data" },
    { 'f', "data-file" },      { 'h', "help" },
    { 'm', "metadata" },       { 'p', "pubsub" },
    { 't', "topic" },          { 'u', "unix-domain-socket" }
};
static const struct arg_syntax publish_syntax = { .flags = publish_flags,
                                                  .flag_count = ARRAY_LEN(publish_flags),
                                                  .letters = publish_letters,
                                                  .letter_count = ARRAY_LEN(publish_letters) };

/* An exit code, or -1 to go on. `needed` flags end with a NULL. */
static int
read_flags(struct arena *arena, const struct arg_syntax *syntax, char **argv, const char *help,
           const char *const *needed, struct args *ret_args)
{
    struct slice message;
    if (!args_read(arena, syntax, argv, ret_args, &message))
        return misused(SLICE_FMT, SLICE_ARG(message));
    if (args_has(ret_args, "help")) {
        (void)fputs(help, stdout); /* main() looks at stdout */
        return EXIT_DONE;
    }
    if (ret_args->word_count > 0)
        return misused("%s is one word too many", ret_args->words[0]);
    for (; *needed != NULL; needed++)
        if (args_get(ret_args, *needed) == NULL)
            return misused("required flag is missing: --%s", *needed);
    if (args_get(ret_args, "data") != NULL && args_get(ret_args, "data-file") != NULL)
        return misused("either --data or --data-file");
    return -1;
}

static bool
is_verb(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return len > 0 && text[len] == '\0';
}

static char *
upper(struct arena *arena, const char *text)
{
    char *copy = arena_str(arena, slice_str(text));
    for (char *p = copy; *p != '\0'; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    return copy;
}

int
invoke_command(struct arena *arena, char **argv)
{
    static const char help[] =
        "Usage: remora invoke --app-id ID --method PATH [FLAGS]\n\n"
        "Calls a method of an application through its sidecar and prints the answer.\n\n"
        "  -d, --data TEXT         the body; -f, --data-file FILE (- is standard input)\n"
        "  -v, --verb VERB         POST if not given\n"
        "  -u, --unix-domain-socket DIR   where the sidecar's sockets are\n"
        "      --run-dir DIR       as the sidecar was given it\n";
    struct args args;
    struct buf file, target;
    struct api_call call = { .done = "App invoked successfully", .absent = "" };
    int code = read_flags(arena, &invoke_syntax, argv, help,
                          (const char *const[]){ "app-id", "method", NULL }, &args);
    if (code >= 0)
        return code;
    const char *method = args_get(&args, "method"), *verb = args_get(&args, "verb");
    call.request.method = verb == NULL ? "POST" : upper(arena, verb);
    if (!is_verb(call.request.method))
        return misused("not an HTTP verb: %s", verb);
    call.app_id = args_get(&args, "app-id");
    call.sockets = args_get(&args, "unix-domain-socket");
    call.run_dir = args_get(&args, "run-dir");
    buf_init(&file, DATA_BYTES_MAX);
    buf_init(&target, TARGET_BYTES_MAX);
    code = EXIT_NOT_DONE;
    if (!buf_append(&target, SLICE("/v1.0/invoke/")) || !http_escape(&target, call.app_id, true) ||
        !buf_append(&target, SLICE("/method/")) ||
        !http_escape(&target, method + (method[0] == '/'), false)) {
        complain("the method is too long");
    } else if (get_data(&args, &file, &call.request.body)) {
        call.request.target = arena_str(arena, buf_slice(&target));
        call.request.content_type = "application/json";
        code = perform(arena, &call);
    }
    buf_fini(&target);
    buf_fini(&file);
    return code;
}

int
publish_command(struct arena *arena, char **argv)
{
    static const char help[] =
        "Usage: remora publish --publish-app-id ID --pubsub NAME --topic NAME [FLAGS]\n\n"
        "Publishes a message through the sidecar of an application.\n\n"
        "  -d, --data JSON         the message; -f, --data-file FILE (- is standard input)\n"
        "  -m, --metadata JSON     an object of texts\n"
        "  -u, --unix-domain-socket DIR   where the sidecar's sockets are\n"
        "      --run-dir DIR       as the sidecar was given it\n";
    struct args args;
    struct buf file, target;
    struct api_call call = { .done = "Event published successfully",
                             .absent = "; this sidecar has no pub/sub yet" };
    int code = read_flags(arena, &publish_syntax, argv, help,
                          (const char *const[]){ "publish-app-id", "pubsub", "topic", NULL },
                          &args);
    if (code >= 0)
        return code;
    call.app_id = args_get(&args, "publish-app-id");
    call.sockets = args_get(&args, "unix-domain-socket");
    call.run_dir = args_get(&args, "run-dir");
    buf_init(&file, DATA_BYTES_MAX);
    buf_init(&target, TARGET_BYTES_MAX);
    code = EXIT_NOT_DONE;
    if (!buf_append(&target, SLICE("/v1.0/publish/")) ||
        !http_escape(&target, args_get(&args, "pubsub"), true) || !buf_append_byte(&target, '/') ||
        !http_escape(&target, args_get(&args, "topic"), true)) {
        complain("pubsub or topic is too long");
    } else if (!put_metadata(arena, &target, args_get(&args, "metadata"))) {
        code = misused("--metadata takes a JSON object of texts");
    } else if (get_data(&args, &file, &call.request.body)) {
        call.request.method = "POST";
        call.request.target = arena_str(arena, buf_slice(&target));
        call.request.content_type = is_cloud_event(arena, call.request.body)
                                        ? "application/cloudevents+json"
                                        : "application/json";
        code = perform(arena, &call);
    }
    buf_fini(&target);
    buf_fini(&file);
    return code;
}
