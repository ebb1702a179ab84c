/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a plugin: states, restarts and pauses, output, and nothing left behind. */
#include "supervisor_fixture.h"

#include <dirent.h>
#include <errno.h>

static void
act(const char *name)
{
    if (strcmp(name, "sleep") == 0) {
        for (;;)
            pause();
    } else if (strcmp(name, "stubborn") == 0) {
        signal(SIGTERM, SIG_IGN);
        say("stubborn\n");
        for (;;)
            pause();
    } else if (strcmp(name, "fail") == 0) {
        say("the reason is this\n");
        _exit(3);
    } else if (strcmp(name, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL); /* sanitizers report it otherwise */
        kill(getpid(), SIGSEGV);
        pause();
    } else if (strcmp(name, "polite") == 0) {
        sigset_t term;
        int number;
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, NULL);
        say("waiting\n");
        sigwait(&term, &number);
        say("goodbye");
        _exit(0);
    } else if (strcmp(name, "token") == 0) {
        char token[100] = "";
        ssize_t len = read(3, token, sizeof token);
        say("token %d %s\n", (int)len, token);
        say("more %d\n", (int)read(3, token, 1));
        pause();
    } else if (strcmp(name, "flood") == 0) {
        for (int i = 0;; i++)
            say("line %d\n", i);
    } else if (strcmp(name, "world") == 0) {
        extern char **environ;
        for (char **e = environ; *e != NULL; e++)
            say("env %s\n", *e);
        struct dirent *entry;
        DIR *dir = opendir("/proc/self/fd");
        while (dir != NULL && (entry = readdir(dir)) != NULL)
            if (entry->d_name[0] != '.')
                say("fd %s\n", entry->d_name);
        say("group %d\n", getpgrp() != getpid());
        say("done\n");
        pause();
    }
}

static void
signal_group(struct fixture *f, int number)
{
    pid_t group = status(f).group;
    REQUIRE(group > 0); /* or it would be our own */
    CHECK_EQ_INT(kill(-group, number), 0);
}

static int
open_fds(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

TEST(it_goes_through_its_states_and_stops)
{
    struct fixture f;
    fixture_init(&f, "polite", "", SANDBOX_BEST_EFFORT);
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_STOPPED);
    plugin_start(f.plugin);
    plugin_start(f.plugin);
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_STARTING);
    CHECK_EQ_INT(f.listened, 1);
    CHECK_EQ_INT(f.spawned, 1);
    CHECK_EQ_INT(strlen(f.token), 64);
    supervisor_link_event(f.plugin, 1, LINK_CONNECTED, NULL);
    supervisor_link_event(f.plugin, 1, LINK_READY, NULL);
    supervisor_link_event(f.plugin, 2, LINK_LOST, "not its generation");
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_READY);
    WAIT_FOR(&f, has_printed(&f, "waiting"));
    CHECK(status(&f).group > 0);
    CHECK(getpgid(status(&f).group) == status(&f).group);
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    CHECK_EQ_STR(f.states, "starting handshaking ready draining stopped ");
    CHECK_SLICE_IS(status(&f).last_exit, "exit code 0");
    CHECK(has_printed(&f, "goodbye")); /* although it had no newline */
    CHECK_EQ_INT(status(&f).group, 0);
    plugin_start(f.plugin);
    CHECK_EQ_INT(status(&f).generation, 2);
    CHECK_EQ_U64(status(&f).restarts, 0);
    fixture_fini(&f);
}

TEST(one_that_was_ready_and_answered_is_replaced_at_once)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = f.auto_answered = true;
    plugin_start(f.plugin);
    char first_path[SOCKET_PATH_BYTES_MAX], first_token[80];
    snprintf(first_path, sizeof first_path, "%s", f.socket_path);
    snprintf(first_token, sizeof first_token, "%s", f.token);
    for (int i = 1; i <= 20; i++) {
        signal_group(&f, SIGKILL);
        WAIT_FOR(&f, f.spawned == i + 1);
        CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_READY);
    }
    CHECK(strcmp(first_path, f.socket_path) != 0);
    CHECK(strcmp(first_token, f.token) != 0);
    CHECK_EQ_U64(status(&f).restarts, 20);
    CHECK_SLICE_IS(status(&f).last_exit, "killed by SIGKILL");
    fixture_fini(&f);
}

TEST(one_that_fails_before_it_is_ready_waits_longer_each_time)
{
    struct fixture f;
    fixture_init(&f, "fail", "", SANDBOX_BEST_EFFORT);
    uint64_t start = clock_now_ms();
    plugin_start(f.plugin);
    WAIT_FOR(&f, f.spawned == 5);
    CHECK(clock_now_ms() - start >= 20 + 40 + 80 + 80);
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).reason, "exit code 3 (before it was ready)");
    CHECK(has_printed(&f, "the reason is this"));
    plugin_stop(f.plugin, "test");
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_STOPPED);
    fixture_fini(&f);
}

TEST(one_that_never_answers_gets_five_quick_restarts)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = true;
    plugin_start(f.plugin);
    for (int i = 1; i <= 5; i++) {
        signal_group(&f, SIGKILL);
        WAIT_FOR(&f, f.closed == i);
        CHECK_EQ_INT(f.spawned, i + 1); /* in the same turn */
    }
    signal_group(&f, SIGKILL);
    WAIT_FOR(&f, f.closed == 6);
    CHECK_EQ_INT(f.spawned, 6);
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_FAILED);
    WAIT_FOR(&f, f.spawned == 7);
    fixture_fini(&f);
}

TEST(a_lost_link_ends_the_process)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = f.auto_answered = true;
    plugin_start(f.plugin);
    supervisor_link_event(f.plugin, 1, LINK_LOST, "link closed by the plugin");
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_DRAINING);
    supervisor_link_event(f.plugin, 1, LINK_LOST, "again");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_READY);
    CHECK_EQ_INT(status(&f).generation, 2);
    CHECK_SLICE_IS(status(&f).reason, "killed by SIGTERM: link closed by the plugin");
    fixture_fini(&f);
}

TEST(a_failed_handshake_ends_the_process_with_a_pause)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    supervisor_link_event(f.plugin, 1, LINK_CONNECTED, NULL);
    supervisor_link_event(f.plugin, 1, LINK_FAILED, "wrong token");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).reason, "killed by SIGTERM: wrong token (before it was ready)");
    WAIT_FOR(&f, f.spawned == 2);
    fixture_fini(&f);
}

TEST(one_that_ignores_sigterm_is_killed)
{
    struct fixture f;
    fixture_term_ms = 100;
    fixture_init(&f, "stubborn", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "stubborn"));
    uint64_t start = clock_now_ms();
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    CHECK(clock_now_ms() - start >= 95);
    CHECK_SLICE_IS(status(&f).last_exit, "killed by SIGKILL");
    fixture_fini(&f);
}

TEST(without_a_sandbox_the_same_holds)
{
    struct fixture f;
    fixture_term_ms = 100;
    fixture_init(&f, "stubborn", "", SANDBOX_OFF);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "stubborn"));
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    CHECK_SLICE_IS(status(&f).last_exit, "killed by SIGKILL");
    fixture_fini(&f);
}

TEST(a_stopped_process_is_killed_too)
{
    struct fixture f;
    fixture_term_ms = 100;
    fixture_init(&f, "stubborn", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "stubborn"));
    signal_group(&f, SIGSTOP);
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    fixture_fini(&f);
}

TEST(a_signal_shows_as_it_was)
{
    struct fixture f;
    fixture_init(&f, "crash", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).last_exit, "killed by SIGSEGV");
    fixture_fini(&f);
}

TEST(a_program_that_is_not_there_is_named)
{
    struct fixture f;
    fixture_init(&f, "sleep", ", interpreter: /nowhere/python", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).reason,
                   "exit code 126: cannot run /nowhere/python: No such file or directory "
                   "(before it was ready)");
    snprintf(f.exec_path, sizeof f.exec_path, "/nowhere/remora-exec");
    WAIT_FOR(&f, slice_find(status(&f).reason, SLICE("/nowhere/remora-exec")) >= 0);
    CHECK_EQ_INT(plugin_state(f.plugin), PLUGIN_FAILED);
    fixture_fini(&f);
}

TEST(the_token_is_read_once_from_descriptor_3)
{
    struct fixture f;
    char expected[100];
    fixture_init(&f, "token", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "more 0"));
    snprintf(expected, sizeof expected, "token 64 %s", f.token);
    CHECK(has_printed(&f, expected));
    fixture_fini(&f);
}

TEST(its_world_is_clean)
{
    struct fixture f;
    int leaked = dup(2); /* not close-on-exec */
    REQUIRE(leaked > 2);
    fixture_init(&f, "world", "", SANDBOX_BEST_EFFORT);
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "done"));
    struct plugin_status now = status(&f);
    int fds = 0, variables = 0;
    for (size_t i = 0; i < now.line_count; i++) {
        fds += slice_has_prefix(now.lines[i], SLICE("fd "));
        variables += slice_has_prefix(now.lines[i], SLICE("env "));
    }
    CHECK_EQ_INT(fds, 5);                    /* 0 to 3, and the one that lists them */
    CHECK(variables >= 5 && variables <= 9); /* more with a sanitizer */
    CHECK(has_printed(&f, "env PATH=/usr/local/bin:/usr/bin:/bin"));
    CHECK(has_printed(&f, "env REMORA_URL=ipc:///"));
    CHECK(has_printed(&f, "group 1"));
    close(leaked);
    fixture_fini(&f);
}

TEST(a_flood_of_output_is_read_and_bounded)
{
    struct fixture f;
    fixture_init(&f, "flood", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = f.auto_answered = true;
    plugin_start(f.plugin);
    WAIT_FOR(&f, has_printed(&f, "line 20"));
    CHECK_EQ_INT(status(&f).line_count, LIMIT_stderr_lines_kept);
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    fixture_fini(&f);
}

TEST(one_that_is_not_ready_in_time_is_ended)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    supervisor_free(f.supervisor);
    f.supervisor = supervisor_new(
        f.loop,
        &(struct supervisor_config){ .exec_path = f.exec_path,
                                     .rundir = &f.rundir,
                                     .environment = { .get = fixture_env, .arg = &f },
                                     .start_ms = 50 },
        &(struct supervisor_hooks){ .arg = &f,
                                    .listen = fixture_listen,
                                    .spawned = fixture_spawned,
                                    .closed = fixture_closed });
    f.plugin = supervisor_plugin(f.supervisor, f.manifest, SLICE_EMPTY);
    plugin_start(f.plugin);
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_FAILED);
    CHECK_SLICE_IS(status(&f).reason, "killed by SIGTERM: not ready in time (before it was ready)");
    fixture_fini(&f);
}

TEST(a_restart_on_demand_is_no_failure)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = true;
    plugin_start(f.plugin);
    plugin_restart(f.plugin, "new configuration");
    WAIT_FOR(&f, f.spawned == 2);
    CHECK_EQ_STR(f.states,
                 "starting handshaking ready draining stopped starting handshaking ready ");
    CHECK_EQ_U64(status(&f).restarts, 0);
    fixture_fini(&f);
}

TEST(paths_are_opened_for_the_next_process)
{
    struct fixture f;
    fixture_init(&f, "sleep", ", files: [{metadata: db, form: uri, access: write}]",
                 SANDBOX_BEST_EFFORT);
    CHECK(plugin_allow(f.plugin, "/a", ACCESS_READ));
    plugin_start(f.plugin);
    CHECK(plugin_allow(f.plugin, "/a", ACCESS_READ));
    CHECK(!plugin_allow(f.plugin, "/a", ACCESS_WRITE));
    CHECK(plugin_allow_metadata(f.plugin, SLICE("other"), SLICE("/b")));
    CHECK(plugin_allow_metadata(f.plugin, SLICE("DB"), SLICE(":memory:")));
    CHECK(!plugin_allow_metadata(f.plugin, SLICE("DB"), SLICE("file:/b")));
    plugin_restart(f.plugin, "new paths");
    WAIT_FOR(&f, f.spawned == 2);
    CHECK(plugin_allow_metadata(f.plugin, SLICE("DB"), SLICE("file:/b")));
    char path[40];
    plugin_stop(f.plugin, "test");
    WAIT_FOR(&f, plugin_state(f.plugin) == PLUGIN_STOPPED);
    for (int i = 0; i < LIMIT_plugin_paths_max + 10; i++) {
        snprintf(path, sizeof path, "/p/%d", i);
        bool fits = plugin_allow(f.plugin, path, ACCESS_READ);
        CHECK_EQ_INT(fits, i < LIMIT_plugin_paths_max - 3);
    }
    fixture_fini(&f);
}

TEST(isolated_components_have_plugins_of_their_own)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    struct plugin *a = supervisor_plugin(f.supervisor, f.manifest, SLICE("orders"));
    CHECK(a != f.plugin);
    CHECK(supervisor_plugin(f.supervisor, f.manifest, SLICE("orders")) == a);
    CHECK(supervisor_plugin(f.supervisor, f.manifest, SLICE_EMPTY) == f.plugin);
    CHECK_EQ_STR(plugin_name(a), "act/orders");
    CHECK(supervisor_plugin_at(f.supervisor, 1) == a);
    CHECK(supervisor_plugin_at(f.supervisor, 2) == NULL);
    plugin_start(f.plugin);
    plugin_start(a);
    size_t count;
    struct plugin_status *all = supervisor_statuses(f.supervisor, &f.arena, &count);
    REQUIRE(count == 2);
    CHECK_SLICE_IS(all[1].name, "act/orders");
    CHECK(all[0].group != all[1].group);
    fixture_fini(&f);
}

TEST(shutdown_has_a_deadline)
{
    struct fixture f;
    fixture_term_ms = 3600 * 1000; /* nobody waits for that here */
    fixture_init(&f, "stubborn", "", SANDBOX_BEST_EFFORT);
    struct plugin *more = supervisor_plugin(f.supervisor, f.manifest, SLICE("b"));
    plugin_start(f.plugin);
    plugin_start(more);
    WAIT_FOR(&f, has_printed(&f, "stubborn"));
    supervisor_stop_all(f.supervisor, 10, fixture_stopped, &f);
    CHECK_EQ_INT(f.stopped, 0);
    plugin_start(f.plugin);
    plugin_restart(more, "no more");
    WAIT_FOR(&f, f.stopped > 0);
    CHECK_EQ_INT(plugin_state(more), PLUGIN_STOPPED);
    fixture_fini(&f);
}

TEST(nothing_leaks_through_a_hundred_processes)
{
    struct fixture f;
    fixture_init(&f, "sleep", "", SANDBOX_BEST_EFFORT);
    f.auto_ready = f.auto_answered = true;
    plugin_start(f.plugin);
    int before = open_fds();
    for (int i = 1; i <= 100; i++) {
        signal_group(&f, SIGKILL);
        WAIT_FOR(&f, f.spawned == i + 1);
        arena_reset(&f.arena);
    }
    CHECK_EQ_INT(open_fds(), before);
    int sockets = 0;
    DIR *dir = opendir(f.rundir.path);
    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        sockets++;
    closedir(dir);
    CHECK_EQ_INT(sockets, 3); /* ".", ".." and the lock */
    fixture_fini(&f);
}
