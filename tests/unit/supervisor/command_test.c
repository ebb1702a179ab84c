/* SPDX-License-Identifier: Apache-2.0 */
/* The command line and the environment a plugin is started with. */
#include "supervisor/command.h"

#include "test.h"

#ifdef REMORA_SANITIZE
#define LEAK_CHECK " LSAN_OPTIONS=detect_leaks=0"
#else
#define LEAK_CHECK ""
#endif

static struct arena arena;

static const char *
lookup(void *arg, const char *name)
{
    (void)arg;
    static const char *const pairs[][2] = {
        { "LANG", "C.UTF-8" },     { "HTTPS_PROXY", "http://p" },
        { "AWS_REGION", "eu" },    { "REMORA_SECRET", "no" },
        { "SECRET", "no" },        { "PATH", "/evil" },
        { "SSL_CERT_DIR", "/ca" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (strcmp(pairs[i][0], name) == 0)
            return pairs[i][1];
    return NULL;
}

/* Words joined by spaces. */
static const char *
join(char **words)
{
    static char text[2000];
    text[0] = '\0';
    for (; *words != NULL; words++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", used == 0 ? "" : " ", *words);
    }
    return text;
}

static struct command
build(const char *more, const struct command_path *paths, size_t path_count)
{
    static char text[1000];
    struct manifest *m = NULL;
    struct diag diag;
    diag_init(&diag, &arena);
    snprintf(text, sizeof text,
             "{apiVersion: remora.io/v1, kind: Plugin, name: x, version: 1, exec: x, "
             "types: [{type: state.x}]%s}",
             more);
    REQUIRE_OK(manifest_parse(slice_str(text), "/usr/plugin.yaml", &m, &diag));
    struct command_args args = {
        .manifest = m,
        .exec_path = "/bin/remora-exec",
        .sandbox = SANDBOX_REQUIRE,
        .environment = { .get = lookup },
        .paths = paths,
        .path_count = path_count,
        .socket_path = "/run/p0.1",
        .token = "secret",
        .parent = 7,
    };
    struct command command = command_build(&args, &arena);
    manifest_unref(m);
    return command;
}

TEST(a_plain_plugin_gets_little)
{
    struct command command = build("", NULL, 0);
    CHECK_EQ_STR(join(command.argv),
                 "/bin/remora-exec --parent=7 --sandbox=require --network=no --open-files=4096 "
                 "--token-fd --execute=/usr --read=/ca -- /usr/x");
    CHECK_EQ_STR(join(command.envp), "PATH=/usr/local/bin:/usr/bin:/bin REMORA_URL=ipc:///run/p0.1 "
                                     "LANG=C.UTF-8 SSL_CERT_DIR=/ca" LEAK_CHECK);
}

TEST(what_the_manifest_names_is_handed_on)
{
    struct command_path paths[] = { { "/data/x.db", ACCESS_WRITE } };
    struct command command = build(
        ", network: yes, token: env, environment: [AWS_REGION, REMORA_SECRET, NOT_SET], "
        "interpreter: python3, files: [{path: lib}], "
        "limits: {memory_bytes: 1Mi, open_files: 9, processes: 8}",
        paths, 1);
    CHECK_EQ_STR(join(command.argv),
                 "/bin/remora-exec --parent=7 --sandbox=require --network=yes --open-files=9 "
                 "--memory=1048576 --processes=8 --execute=/usr --read=/usr/lib "
                 "--write=/data/x.db --read=/ca -- /usr/bin/env python3 /usr/x");
    CHECK_EQ_STR(join(command.envp),
                 "PATH=/usr/local/bin:/usr/bin:/bin REMORA_URL=ipc:///run/p0.1 REMORA_TOKEN=secret "
                 "LANG=C.UTF-8 SSL_CERT_DIR=/ca" LEAK_CHECK " HTTPS_PROXY=http://p AWS_REGION=eu");
}

TEST(the_folder_that_types_come_from_is_opened)
{
    struct command command = build(", types_from: {variable: TYPES_FOLDER, folder: /t}", NULL, 0);
    CHECK(strstr(join(command.argv), " --execute=/usr --read=/t ") != NULL);
    CHECK(strstr(join(command.envp), "TYPES_FOLDER") == NULL);
    command = build(", types_from: {variable: AWS_REGION, folder: /t}", NULL, 0);
    CHECK(strstr(join(command.argv), "/eu --read=/ca") != NULL);
    CHECK(strstr(join(command.envp), " AWS_REGION=eu") != NULL);
}

TEST(a_file_that_a_variable_names_is_opened)
{
    struct command command = build(
        ", files: [{variable: TOKEN_FILE, path: /t/token, folder: yes}, {variable: NOT_SET}, "
        "{path: ~/.x}]",
        NULL, 0);
    CHECK(strstr(join(command.argv), " --execute=/usr --read=/t --read=/ca") != NULL);
    CHECK(strstr(join(command.envp), "TOKEN_FILE") == NULL);
    command = build(", files: [{variable: AWS_REGION, path: /t}]", NULL, 0);
    CHECK(strstr(join(command.argv), "/eu --read=/ca") != NULL);
    CHECK(strstr(join(command.envp), " AWS_REGION=eu") != NULL);
}

TEST(the_token_is_never_on_the_command_line)
{
    CHECK(strstr(join(build(", token: env", NULL, 0).argv), "secret") == NULL);
    CHECK(strstr(join(build("", NULL, 0).argv), "secret") == NULL);
    CHECK(strstr(join(build("", NULL, 0).envp), "secret") == NULL);
}

TEST(any_number_of_paths_fits)
{
    static struct command_path paths[500];
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        paths[i] = (struct command_path){ "/data", ACCESS_READ };
    struct command command = build("", paths, ARRAY_LEN(paths));
    int count = 0;
    while (command.argv[count] != NULL)
        count++;
    CHECK_EQ_INT(count, 10 + 500);
    arena_fini(&arena);
}
