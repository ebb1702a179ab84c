/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: what is read, what is refused, and in which words. */
#include "supervisor/manifest.h"

#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define HEAD "apiVersion: remora.io/v1\nkind: Plugin\nname: x\nversion: 1.0\nexec: x\n"
#define TYPES "types:\n- type: state.x\n"

static struct arena arena;

static struct manifest *
read_ok(const char *text)
{
    struct manifest *m = NULL;
    struct diag diag;
    arena_reset(&arena);
    diag_init(&diag, &arena);
    if (!CHECK_OK(manifest_parse(slice_str(text), "/usr/plugin.yaml", &m, &diag)))
        fprintf(stderr, "%.*s\n", SLICE_ARG(diag.message));
    REQUIRE(m != NULL);
    return m;
}

/* The complaint begins with the file and line and holds `words`. */
static void
check_refused(const char *text, int line, const char *words)
{
    struct manifest *m = NULL;
    struct diag diag;
    char where[64];
    arena_reset(&arena);
    diag_init(&diag, &arena);
    CHECK_EQ_INT(manifest_parse(slice_str(text), "/usr/plugin.yaml", &m, &diag), ERR_CONFIG);
    CHECK(m == NULL);
    snprintf(where, sizeof where, "/usr/plugin.yaml:%d: ", line);
    if (!CHECK(slice_has_prefix(diag.message, slice_str(where))) ||
        !CHECK(slice_find(diag.message, slice_str(words)) >= 0))
        fprintf(stderr, "  got: %.*s\n", SLICE_ARG(diag.message));
}

TEST(a_full_manifest_is_read)
{
    struct manifest *m = read_ok("apiVersion: remora.io/v1\n"
                                 "kind: Plugin\n"
                                 "name: sqlite\n"
                                 "version: 1.0\n"
                                 "exec: ./sqlite.py\n"
                                 "interpreter: python3\n"
                                 "types:\n"
                                 "  - type: State.SQLite\n"
                                 "    versions: [v1, v2]\n"
                                 "    replace: exclusive\n"
                                 "  - type: lock.sqlite\n"
                                 "network: yes\n"
                                 "files:\n"
                                 "  - {metadata: connectionString, form: uri, access: write}\n"
                                 "  - {path: lib}\n"
                                 "  - {path: /srv/data, access: execute}\n"
                                 "host_services: [state, publish]\n"
                                 "links_max: 4\n"
                                 "token: env\n"
                                 "environment: [AWS_REGION]\n"
                                 "limits: {memory_bytes: 64Mi, open_files: 100, processes: 5}\n");
    CHECK_EQ_STR(m->name, "sqlite");
    CHECK_EQ_STR(m->version, "1.0");
    CHECK_EQ_STR(m->folder, "/usr");
    CHECK_EQ_STR(m->program, "/usr/sqlite.py");
    CHECK_EQ_STR(m->interpreter, "python3");
    REQUIRE(m->type_count == 2);
    CHECK_EQ_STR(m->types[0].type, "state.sqlite");
    CHECK_EQ_INT(m->types[0].replace, REPLACE_EXCLUSIVE);
    CHECK_EQ_INT(m->types[0].versions.count, 2);
    CHECK_EQ_STR(m->types[1].versions.items[0], "v1");
    CHECK_EQ_INT(m->types[1].replace, REPLACE_OVERLAP);
    CHECK(m->has_network);
    REQUIRE(m->file_count == 3);
    CHECK_EQ_STR(m->files[0].metadata, "connectionString");
    CHECK(m->files[0].is_uri);
    CHECK_EQ_INT(m->files[0].access, ACCESS_WRITE);
    CHECK_EQ_STR(m->files[1].path, "/usr/lib");
    CHECK_EQ_INT(m->files[1].access, ACCESS_READ);
    CHECK_EQ_STR(m->files[2].path, "/srv/data");
    CHECK(manifest_grants(m, SLICE("state")));
    CHECK(!manifest_grants(m, SLICE("secrets")));
    CHECK_EQ_INT(m->links_max, 4);
    CHECK(m->token_in_environment);
    CHECK_EQ_STR(m->environment.items[0], "AWS_REGION");
    CHECK_EQ_U64(m->memory_bytes, 64 << 20);
    CHECK_EQ_U64(m->open_files, 100);
    CHECK_EQ_U64(m->processes, 5);
    manifest_unref(m);
}

TEST(nothing_is_granted_by_default)
{
    struct manifest *m = read_ok(HEAD TYPES);
    CHECK(!m->has_network);
    CHECK(!m->token_in_environment);
    CHECK_EQ_INT(m->file_count, 0);
    CHECK_EQ_INT(m->environment.count, 0);
    CHECK(!manifest_grants(m, SLICE("state")));
    CHECK_EQ_INT(m->links_max, 1);
    CHECK_EQ_U64(m->memory_bytes, 0);
    manifest_unref(m);
}

TEST(types_are_found_in_any_case_by_version)
{
    struct manifest *m = read_ok(HEAD "types:\n- {type: state.x, versions: [v1, v2]}\n");
    CHECK(manifest_find_type(m, SLICE("STATE.X"), SLICE("V2")) == &m->types[0]);
    CHECK(manifest_find_type(m, SLICE("state.x"), SLICE("v3")) == NULL);
    CHECK(manifest_find_type(m, SLICE("state.y"), SLICE("v1")) == NULL);
    manifest_unref(m);
}

static const char *
no_variable(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

static const char *
folder_variable(void *arg, const char *name)
{
    return strcmp(name, "FOLDER") == 0 ? arg : NULL;
}

TEST(types_of_any_name_come_from_a_folder)
{
    struct manifest *m = read_ok(HEAD "types:\n- {type: state.x, replace: handover}\n"
                                      "- type: State.*\n"
                                      "types_from: {variable: FOLDER, folder: /sockets}\n");
    struct arena scratch;
    arena_init(&scratch);
    struct env env = { .get = no_variable };
    CHECK(manifest_find_type(m, SLICE("state.x"), SLICE("v1")) == &m->types[0]);
    CHECK(manifest_find_type(m, SLICE("STATE.y"), SLICE("v1")) == &m->types[1]);
    CHECK(manifest_find_type(m, SLICE("state.y"), SLICE("v2")) == NULL);
    CHECK(manifest_find_type(m, SLICE("lock.y"), SLICE("v1")) == NULL);
    CHECK(manifest_find_type(m, SLICE("state"), SLICE("v1")) == NULL);
    CHECK_EQ_STR(manifest_types_folder(m, env, &scratch), "/sockets");
    env = (struct env){ .get = folder_variable, .arg = (void *)(uintptr_t) "" };
    CHECK_EQ_STR(manifest_types_folder(m, env, &scratch), "/sockets");
    env.arg = (void *)(uintptr_t) "/other";
    CHECK_EQ_STR(manifest_types_folder(m, env, &scratch), "/other");
    env.arg = (void *)(uintptr_t) "here";
    char *here = getcwd(NULL, 0);
    CHECK_EQ_STR(manifest_types_folder(m, env, &scratch),
                 arena_printf(&scratch, "%s/here", here).data);
    free(here);
    manifest_unref(m);
    m = read_ok(HEAD TYPES);
    CHECK(manifest_types_folder(m, env, &scratch) == NULL);
    manifest_unref(m);
    arena_fini(&scratch);
}

TEST(what_is_wrong_is_said_with_its_line)
{
    check_refused("", 1, "empty");
    check_refused("# only a comment\n", 1, "empty");
    check_refused("- a\n", 1, "expected the fields of a plugin");
    check_refused("a: [\n", 2, "not YAML");
    check_refused("apiVersion: remora.io/v2\n", 1, "expected remora.io/v1");
    check_refused("kind: Component\n", 1, "expected Plugin");
    check_refused(HEAD, 1, "\"types\" is missing");
    check_refused("kind: Plugin\n", 1, "\"apiVersion\" is missing");
    check_refused(HEAD TYPES "netwrok: no\n", 8, "no field \"netwrok\"");
    check_refused(HEAD TYPES "name: y\n", 8, "\"name\" is there twice");
    check_refused(HEAD "types: []\n", 1, "\"types\" is missing");
    check_refused(HEAD "types:\n- versions: [v1]\n", 7, "\"type\" is missing");
    check_refused(HEAD "types:\n- type: redis\n", 7, "such as state.redis");
    check_refused(HEAD "types:\n- {type: state.x, replace: fast}\n", 7, "expected overlap");
    check_refused(HEAD "types:\n- {type: state.x, versions: []}\n", 7, "at least one version");
    check_refused(HEAD "types:\n- type: state.a*\n", 7, "such as state.redis or state.*");
    check_refused(HEAD "types:\n- type: state.*\n", 1, "\"types_from\" is missing");
    check_refused(HEAD TYPES "types_from: {variable: A}\n", 8, "has \"variable\" and \"folder\"");
    check_refused(HEAD TYPES "types_from: {folder: a}\n", 8, "expected an absolute path");
    check_refused(HEAD TYPES "network: maybe\n", 8, "expected yes or no");
    check_refused(HEAD TYPES "files: [{access: read}]\n", 8, "either \"metadata\" or \"path\"");
    check_refused(HEAD TYPES "files: [{path: a, metadata: b}]\n", 8, "either");
    check_refused(HEAD TYPES "files: [{path: a, access: all}]\n", 8, "expected read, write or");
    check_refused(HEAD TYPES "files: {path: a}\n", 8, "expected a list of files");
    check_refused(HEAD TYPES "links_max: 0\n", 8, "from 1 to 64");
    check_refused(HEAD TYPES "links_max: 65\n", 8, "from 1 to 64");
    check_refused(HEAD TYPES "limits: {memory_bytes: much}\n", 8, "expected a number");
    check_refused(HEAD TYPES "environment: A\n", 8, "expected a list");
    check_refused(HEAD TYPES "environment: [[A]]\n", 8, "expected a text");
    check_refused(HEAD TYPES "token: disk\n", 8, "expected fd or env");
    check_refused("name: Bad Name\n", 1, "expected at most 40");
    check_refused("exec: \"a\\0b\"\n", 1, "without NUL");
    check_refused("exec: ''\n", 1, "found nothing");
    check_refused("? [a]\n: b\n", 1, "expected the name of a field");
}

TEST(an_alias_that_holds_itself_ends)
{
    check_refused("types: &a [*a]\n", 1, "expected the fields of a component type");
}

static void
check_path(const char *value, bool is_uri, const char *expected)
{
    struct manifest_file file = { .metadata = "x", .is_uri = is_uri };
    const char *path = manifest_path_of(&file, slice_str(value), &arena);
    if (path != NULL && strncmp(expected == NULL ? "" : expected, "./", 2) == 0) {
        CHECK(path[0] == '/');
        CHECK(slice_has_suffix(slice_str(path), slice_str(expected + 1)));
        return;
    }
    CHECK_EQ_STR(path, expected);
}

TEST(metadata_values_name_paths)
{
    check_path("/a/b.pem", false, "/a/b.pem");
    check_path("b.pem", false, "./b.pem");
    check_path("", false, NULL);
    check_path("/data/x.db", true, "/data/x.db");
    check_path("file:/data/x.db?mode=rwc&cache=shared", true, "/data/x.db");
    check_path("file:/data/a%20b%25%3f.db?mode=rwc", true, "/data/a b%?.db");
    check_path("/data/50%.db", true, "/data/50%.db");
    check_path("file:///data/x.db", true, "/data/x.db");
    check_path("FILE:x.db?a=b", true, "./x.db");
    check_path(" data/x.db ", true, "./data/x.db");
    check_path(":memory:", true, NULL);
    check_path("file::memory:?cache=shared", true, NULL);
    check_path("file:name?mode=memory", true, NULL);
    check_path("file:?cache=shared", true, NULL);
}

/* Its value may be a secret, and a path is seen in command lines. */
TEST(what_may_be_something_else_is_a_path_if_it_is_there)
{
    struct manifest_file file = { .metadata = "jwks", .is_existing = true, .is_folder = true };
    CHECK(manifest_path_of(&file, SLICE("eyJrZXlz/c2VjcmV0"), &arena) == NULL);
    CHECK(manifest_path_of(&file, SLICE("{\"keys\": [\"/\"]}"), &arena) == NULL);
    CHECK(manifest_path_of(&file, SLICE("https://example.com/keys"), &arena) == NULL);
    CHECK_EQ_STR(manifest_path_of(&file, SLICE("/proc/self/status"), &arena), "/proc/self");
}

TEST(a_file_too_large_is_refused)
{
    char path[300];
    struct manifest *m = NULL;
    struct diag diag;
    snprintf(path, sizeof path, "%s/plugin.yaml", test_dir());
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    for (int i = 0; i < 70000; i++)
        fputc('#', file);
    fclose(file);
    arena_reset(&arena);
    diag_init(&diag, &arena);
    CHECK_EQ_INT(manifest_load(path, &m, &diag), ERR_CONFIG);
    CHECK(slice_find(diag.message, SLICE("larger than 65536 bytes")) >= 0);
    CHECK_EQ_INT(manifest_load("/nowhere/plugin.yaml", &m, &diag), ERR_CONFIG);
    CHECK(slice_find(diag.message, SLICE("No such file")) >= 0);
    CHECK_EQ_INT(manifest_load("/tmp", &m, &diag), ERR_CONFIG);
    arena_fini(&arena);
}

TEST(a_type_may_ask_for_the_environment_of_the_sidecar)
{
    struct manifest *m = read_ok(HEAD "types:\n- {type: a.x, environment: sidecar}\n- {type: b.x}\n"
                                      "- {type: c.x, environment: none}\n");
    CHECK(m->types[0].wants_environment);
    CHECK(!m->types[1].wants_environment);
    CHECK(!m->types[2].wants_environment);
    manifest_unref(m);
    check_refused(HEAD "types:\n- {type: a.x, environment: all}\n", 7, "none or sidecar");
}

TEST(a_file_that_is_replaced_opens_its_folder)
{
    struct manifest *m = read_ok(HEAD TYPES "files:\n- {metadata: secretsFile, folder: yes}\n");
    CHECK(m->files[0].is_folder);
    CHECK_EQ_STR(manifest_path_of(&m->files[0], SLICE("/etc/app/secrets.json"), &arena),
                 "/etc/app");
    CHECK_EQ_STR(manifest_path_of(&m->files[0], SLICE("/secrets.json"), &arena), "/secrets.json");
    char *here = getcwd(NULL, 0);
    CHECK_EQ_STR(manifest_path_of(&m->files[0], SLICE("secrets.json"), &arena), here);
    free(here);
    manifest_unref(m);
}

static const char *
get_variable(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "HOME") == 0         ? "/h/me"
           : strcmp(name, "TOKEN_FILE") == 0 ? "/run/token/it"
           : strcmp(name, "EMPTY") == 0      ? ""
                                             : NULL;
}

TEST(a_variable_names_a_path)
{
    const struct env environment = { .get = get_variable };
    struct manifest *m = read_ok(HEAD TYPES "files:\n- {variable: TOKEN_FILE, path: /a/b}\n"
                                            "- {variable: EMPTY, path: ~/.aws/credentials}\n"
                                            "- {variable: TOKEN_FILE, folder: yes}\n"
                                            "- {variable: NOT_SET}\n");
    CHECK_EQ_STR(manifest_fixed_path(&m->files[0], environment, &arena), "/run/token/it");
    CHECK_EQ_STR(manifest_fixed_path(&m->files[1], environment, &arena), "/h/me/.aws/credentials");
    CHECK_EQ_STR(manifest_fixed_path(&m->files[2], environment, &arena), "/run/token");
    CHECK(manifest_fixed_path(&m->files[3], environment, &arena) == NULL);
    manifest_unref(m);
    check_refused(HEAD TYPES "files: [{metadata: a, variable: B}]\n", 8, "either");
}

static err_t
set_program(struct manifest *m, const char *path, struct diag *diag)
{
    diag_init(diag, &arena);
    return manifest_set_program(m, slice_str(path), diag);
}

TEST(another_program_may_take_the_place_of_the_one_that_is_named)
{
    char path[300], link[310];
    struct diag diag;
    struct manifest *m = read_ok(HEAD TYPES);
    snprintf(path, sizeof path, "%s/program", test_dir());
    snprintf(link, sizeof link, "%s.link", path);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fclose(file) == 0 && symlink(path, link) == 0);
    REQUIRE(chmod(path, 0644) == 0);
    CHECK_EQ_INT(set_program(m, path, &diag), ERR_CONFIG);
    CHECK(slice_has_suffix(diag.message, SLICE("cannot be executed")));
    REQUIRE(chmod(path, 0757) == 0);
    CHECK_EQ_INT(set_program(m, path, &diag), ERR_CONFIG);
    CHECK(slice_has_suffix(diag.message, SLICE("can be written by everybody")));
    CHECK_EQ_INT(set_program(m, "program", &diag), ERR_CONFIG);
    CHECK_EQ_INT(set_program(m, "", &diag), ERR_CONFIG);
    CHECK_EQ_INT(set_program(m, test_dir(), &diag), ERR_CONFIG);
    CHECK(slice_has_suffix(diag.message, SLICE("is no file")));
    CHECK_EQ_INT(set_program(m, "/nonexistent/program", &diag), ERR_CONFIG);
    CHECK(slice_find(diag.message, SLICE("No such file")) >= 0);
    manifest_unref(m);
    m = read_ok(HEAD TYPES);
    CHECK(!m->has_other_program);
    REQUIRE(chmod(path, 0755) == 0);
    CHECK_OK(set_program(m, link, &diag));
    CHECK(slice_has_suffix(slice_str(m->program), SLICE("/program"))); /* not the link */
    CHECK(m->has_other_program);
    manifest_unref(m);
    m = read_ok("apiVersion: remora.io/v1\nkind: Plugin\nname: x\nversion: 1.0\nexec: x.py\n"
                "interpreter: python3\n" TYPES);
    REQUIRE(chmod(path, 0644) == 0);
    CHECK_OK(set_program(m, path, &diag)); /* a script is only read */
    manifest_unref(m);
}

TEST(a_manifest_lives_as_long_as_somebody_counts_it)
{
    struct manifest *m = read_ok(HEAD TYPES), *same = manifest_ref(m);
    CHECK(same == m);
    manifest_unref(m);
    CHECK_EQ_STR(same->name, "x");
    CHECK(slice_has_suffix(same->source, SLICE("- type: state.x\n")));
    manifest_unref(same);
    manifest_unref(NULL);
}
