/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the admin protocol to a kernel that hosts nothing; with plugins: remora_test.py. */
#include "admin/answer.h"

#include "base/pb.h"
#include "test.h"

struct fixture {
    struct arena arena;
    struct rundir rundir;
    struct feed feed;
    struct admin_config config;
};

static void
describe(void *arg, struct admin_process *ret_process)
{
    (void)arg;
    *ret_process = (struct admin_process){ .app_id = SLICE("shop"),
                                           .namespace_ = SLICE("prod"),
                                           .stage = "running",
                                           .is_ready = true,
                                           .http_port = 3500,
                                           .worker_count = 3,
                                           .started_unix_ms = 77 };
}

static void
open_fixture(struct fixture *f)
{
    *f = (struct fixture){ .rundir = { .path = "/run/x", .lock_fd = -1 } };
    arena_init(&f->arena);
    feed_init(&f->feed, NULL);
    const struct host_config host = { .loop = ev_default_loop(0), .rundir = &f->rundir };
    f->config = (struct admin_config){
        .rundir = &f->rundir, .host = host_new(&host), .version = "9.9", .process = describe
    };
}

static void
close_fixture(struct fixture *f)
{
    host_free(f->config.host);
    feed_fini(&f->feed);
    arena_fini(&f->arena);
}

static const Remora__Admin__V1__Reply *
unpack(struct fixture *f, struct slice packed)
{
    const Remora__Admin__V1__Reply *reply = pb_unpack(
        &f->arena, &remora__admin__v1__reply__descriptor, packed, 4, SIZE_MAX);
    REQUIRE(reply != NULL);
    CHECK(reply->version != NULL);
    return reply;
}

static const Remora__Admin__V1__Reply *
ask(struct fixture *f, int method, const char *name)
{
    Remora__Admin__V1__Request request = REMORA__ADMIN__V1__REQUEST__INIT;
    request.method = (Remora__Admin__V1__Method)method;
    if (name != NULL)
        request.name = (char *)(uintptr_t)name;
    struct slice packed = pb_pack(&f->arena, &request.base);
    return unpack(f, answer(&f->config, &f->feed, packed, &f->arena));
}

TEST(every_reply_has_the_version)
{
    struct fixture f;
    open_fixture(&f);
    const Remora__Admin__V1__Reply *reply = ask(&f, REMORA__ADMIN__V1__METHOD__METHOD_VERSION,
                                                NULL);
    CHECK_EQ_INT(reply->code, 0);
    CHECK_EQ_STR(reply->version->version, "9.9");
    CHECK_EQ_INT(reply->version->major, 1);
    close_fixture(&f);
}

TEST(status_tells_of_the_process)
{
    struct fixture f;
    open_fixture(&f);
    const Remora__Admin__V1__Reply *reply = ask(&f, REMORA__ADMIN__V1__METHOD__METHOD_STATUS, NULL);
    REQUIRE(reply->status != NULL);
    CHECK_EQ_STR(reply->status->app_id, "shop");
    CHECK_EQ_STR(reply->status->namespace_, "prod");
    CHECK_EQ_STR(reply->status->stage, "running");
    CHECK_EQ_STR(reply->status->run_dir, "/run/x");
    CHECK_EQ_INT(reply->status->ready, 1);
    CHECK_EQ_INT(reply->status->pid, getpid());
    CHECK_EQ_INT(reply->status->http_port, 3500);
    CHECK_EQ_INT(reply->status->workers, 3);
    CHECK_EQ_INT(reply->status->started_unix_ms, 77);
    CHECK_EQ_INT(reply->status->plugins, 0);
    close_fixture(&f);
}

TEST(lists_may_be_empty)
{
    struct fixture f;
    open_fixture(&f);
    CHECK_EQ_U64(ask(&f, REMORA__ADMIN__V1__METHOD__METHOD_LIST_PLUGINS, NULL)->n_plugins, 0);
    CHECK_EQ_U64(ask(&f, REMORA__ADMIN__V1__METHOD__METHOD_LIST_COMPONENTS, NULL)->n_components, 0);
    CHECK_EQ_U64(ask(&f, REMORA__ADMIN__V1__METHOD__METHOD_RECENT_EVENTS, NULL)->n_events, 0);
    close_fixture(&f);
}

TEST(a_plugin_that_is_not_there_is_not_found)
{
    static const int methods[] = { REMORA__ADMIN__V1__METHOD__METHOD_DESCRIBE_PLUGIN,
                                   REMORA__ADMIN__V1__METHOD__METHOD_PLUGIN_LOGS,
                                   REMORA__ADMIN__V1__METHOD__METHOD_RESTART_PLUGIN,
                                   REMORA__ADMIN__V1__METHOD__METHOD_SWAP_PLUGIN };
    struct fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        const Remora__Admin__V1__Reply *reply = ask(&f, methods[i], "redis");
        CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_NOT_FOUND);
        CHECK_EQ_STR(reply->message, "no plugin is named redis");
        reply = ask(&f, methods[i], NULL);
        CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_INVALID_ARGUMENT);
    }
    close_fixture(&f);
}

TEST(unknown_methods_are_answered)
{
    static const int methods[] = { 0, 10, 4711, -1, INT32_MIN, INT32_MAX };
    struct fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        CHECK_EQ_INT(ask(&f, methods[i], NULL)->code, REMORA__ADMIN__V1__CODE__CODE_UNIMPLEMENTED);
    close_fixture(&f);
}

TEST(garbage_is_answered)
{
    struct fixture f;
    open_fixture(&f);
    const Remora__Admin__V1__Reply *reply = unpack(
        &f, answer(&f.config, &f.feed, SLICE("\xff\xff\xff"), &f.arena));
    CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_INVALID_ARGUMENT);
    reply = unpack(&f, answer(&f.config, &f.feed, SLICE("\x12\x02\0a"), &f.arena)); /* a NUL */
    CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_INVALID_ARGUMENT);
    reply = unpack(&f, answer_too_long(&f.config, &f.arena));
    CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_RESOURCE_EXHAUSTED);
    close_fixture(&f);
}

TEST(a_name_of_any_length_is_told_back_cut)
{
    struct fixture f;
    static char name[60000];
    open_fixture(&f);
    memset(name, 'n', sizeof name - 1);
    const Remora__Admin__V1__Reply *reply = ask(
        &f, REMORA__ADMIN__V1__METHOD__METHOD_DESCRIBE_PLUGIN, name);
    CHECK_EQ_INT(reply->code, REMORA__ADMIN__V1__CODE__CODE_NOT_FOUND);
    CHECK(strlen(reply->message) < 300);
    close_fixture(&f);
}
