/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that takes the place of a plugin's and cannot do its work. Which plugin's, and in which
 * way, is its own file name: "in-memory.crash-init" says it is in-memory and crashes in Init.
 *
 *   exit        ends before it says hello
 *   silent      connects and says nothing
 *   version     speaks another major version of the protocol
 *   name        says that it is another plugin
 *   type        has none of the plugin's component types
 *   crash-init  dies in Init
 *   hang-init   never answers it
 *   fail-init   refuses it
 *   fail-start  initialises, and refuses Start
 *   hang-start  initialises, and never answers Start
 */
#include <remora_plugin.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/pb.h"
#include "bus/frame.h"
#include "bus/sp.h"
#include "remora/plugin/v1/plugin.pb-c.h"

enum { NAME_BYTES = 256, TOKEN_HEX = 64 };

static char plugin_name[NAME_BYTES];
static const char *way = "";

static bool
is_way(const char *name)
{
    return strcmp(way, name) == 0;
}

/* --- by hand -----------------------------------------------------------------------------------*/

static int
connect_sidecar(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *url = getenv("REMORA_URL");
    if (url == NULL || strlen(url) < 6 || strlen(url + 6) >= sizeof address.sun_path)
        exit(EXIT_FAILURE);
    memcpy(address.sun_path, url + 6, strlen(url + 6));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        exit(EXIT_FAILURE);
    return fd;
}

static void
send_all(int fd, struct slice bytes)
{
    if (send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) != (ssize_t)bytes.len)
        exit(EXIT_SUCCESS);
}

/* A hello of another major version. */
static void
send_old_hello(int fd)
{
    char token[TOKEN_HEX + 1] = "", greeting[SP_HANDSHAKE_BYTES];
    struct arena arena;
    struct buf frame_bytes;
    arena_init(&arena);
    buf_init(&frame_bytes, LIMIT_frame_bytes_max);
    if (read(3, token, TOKEN_HEX) != TOKEN_HEX)
        exit(EXIT_FAILURE);
    Remora__Plugin__V1__Hello hello = REMORA__PLUGIN__V1__HELLO__INIT;
    hello.token = token;
    hello.protocol_major = 2;
    hello.name = plugin_name;
    const struct frame frame = { .kind = FRAME_HELLO, .payload = pb_pack(&arena, &hello.base) };
    sp_handshake(SP_PAIR0, greeting);
    send_all(fd, slice_of(greeting, sizeof greeting));
    if (!frame_append(&frame_bytes, &frame, NULL, 0))
        exit(EXIT_FAILURE);
    send_all(fd, buf_slice(&frame_bytes));
    buf_fini(&frame_bytes);
    arena_fini(&arena);
}

static int
without_sdk(void)
{
    char bytes[1024];
    if (is_way("exit"))
        return 7;
    int fd = connect_sidecar();
    if (is_way("version"))
        send_old_hello(fd);
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        continue;
    return EXIT_SUCCESS;
}

/* --- with the SDK ------------------------------------------------------------------------------*/

static void
init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    if (is_way("crash-init"))
        (void)raise(SIGKILL); /* does not return, and no sanitizer has a say in it */
    if (is_way("hang-init"))
        return;
    if (is_way("fail-start") || is_way("hang-start"))
        remora_reply_init(call, plugin_name, 0, 0);
    else
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "this build refuses to work");
}

static void
start(remora_call *call, void *self)
{
    (void)self;
    if (is_way("fail-start"))
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "this build refuses to start");
}

static void
take_piece(remora_call *call, void *self, struct remora_slice piece)
{
    (void)self;
    (void)piece;
    remora_reply_ok(call);
}

int
main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *own = slash == NULL ? argv[0] : slash + 1;
    const char *dot = strchr(own, '.');
    (void)snprintf(plugin_name, sizeof plugin_name, "%.*s",
                   dot == NULL ? (int)strlen(own) : (int)(dot - own), own);
    way = dot == NULL ? "" : dot + 1;
    if (is_way("exit") || is_way("silent") || is_way("version"))
        return without_sdk();
    static const struct remora_component_type types[] = {
        { .type = "state.other", .versions = "v1", .init = init },
#define TYPE(name)                                                                                 \
    { .type = name, .versions = "v1,v2", .init = init, .start = start, .import_state = take_piece }
        TYPE("state.broken"),
        TYPE("state.in-memory"),
        TYPE("state.sqlite"),
        TYPE("state.redis"),
        TYPE("state.exclusive"),
    };
    const struct remora_plugin plugin = {
        .name = is_way("name") ? "somebody-else" : plugin_name,
        .version = "1.0.0",
        .types = types,
        .type_count = is_way("type") ? 1 : sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
