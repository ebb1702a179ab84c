/* SPDX-License-Identifier: Apache-2.0 */
/* Folders and files to documents. */
#include "config/resource.h"

#include <sys/stat.h>

#include "base/macros.h"
#include "test.h"

struct fixture {
    struct arena arena;
    struct diag diag;
    struct resources resources;
    const char *dir;
    struct text_list folders;
};

static struct fixture *
setup(void)
{
    static struct fixture f;
    f = (struct fixture){ .dir = test_dir() };
    arena_init(&f.arena);
    diag_init(&f.diag, &f.arena);
    text_list_add(&f.arena, &f.folders, slice_str(f.dir));
    return &f;
}

static void
put_file(struct fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(arena_printf(&f->arena, "%s/%s", f->dir, name).data, "w");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static err_t
read_all(struct fixture *f)
{
    return resources_read(&f->arena, &f->folders, &f->resources, &f->diag);
}

/* "file:line kind/name, " of every document. */
static const char *
summary(struct fixture *f)
{
    struct slice out = SLICE_EMPTY;
    for (size_t i = 0; i < f->resources.count; i++) {
        const struct resource *r = &f->resources.items[i];
        out = arena_printf(&f->arena, "%s%s:%u " SLICE_FMT "/" SLICE_FMT ", ", out.data,
                           strrchr(r->file, '/') + 1, r->line, SLICE_ARG(r->kind),
                           SLICE_ARG(r->name));
    }
    return out.data;
}

TEST(files_are_read_by_name_and_documents_in_order)
{
    struct fixture *f = setup();
    put_file(f, "b.yml", "kind: B\nmetadata: {name: 2}\n");
    put_file(f, "a.YAML",
             "# first\n---\nkind: A\nmetadata:\n  name: one\n---\n\n---\nkind: C\n"
             "Metadata: {NAME: true}\n");
    put_file(f, "c.txt", "kind: X\n");
    REQUIRE(mkdir(arena_printf(&f->arena, "%s/d.yaml", f->dir).data, 0700) == 0);
    CHECK_OK(read_all(f));
    CHECK_EQ_STR(summary(f), "a.YAML:3 A/one, a.YAML:9 C/true, b.yml:1 B/2, ");
    REQUIRE(f->resources.warnings.count == 1);
    CHECK_EQ_STR(f->resources.warnings.items[0].data,
                 "A non-YAML Component file c.txt was detected, it will not be loaded");
    arena_fini(&f->arena);
}

TEST(separators_may_be_decorated_or_begin_a_document)
{
    struct fixture *f = setup();
    put_file(f, "a.yaml",
             "---\nkind: A\n-----------\nkind: B\n--- # comment\nkind: C\n"
             "--- {kind: D}\r\n---\r\nkind: E\r\n---");
    CHECK_OK(read_all(f));
    CHECK_EQ_STR(summary(f), "a.yaml:2 A/, a.yaml:4 B/, a.yaml:6 C/, a.yaml:7 D/, a.yaml:9 E/, ");
    CHECK_EQ_INT(f->resources.warnings.count, 0);
    arena_fini(&f->arena);
}

TEST(a_broken_document_leaves_the_others)
{
    struct fixture *f = setup();
    put_file(f, "a.yaml",
             "kind: A\n---\nkind: B\n bad: x: y\n---\nkind: C\n---\njust text\n---\n"
             "kind: D\nmetadata: 5\n---\nkind: [E]\n---\nkind: F\nscopes: app1\n");
    CHECK_OK(read_all(f));
    CHECK_EQ_STR(summary(f), "a.yaml:1 A/, a.yaml:6 C/, ");
    static const char *const expected[] = {
        ("error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this "
         "context (%s/a.yaml:4:5)"),
        "%s/a.yaml:8:1: expected a resource, found text",
        "%s/a.yaml:11:11: metadata: expected a map, found a number",
        "%s/a.yaml:13:7: kind: expected text, found a list",
        "%s/a.yaml:16:9: scopes: expected a list, found text",
    };
    REQUIRE(f->resources.warnings.count == ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct slice start = arena_printf(&f->arena,
                                          "daprd load Component error when parsing manifests yaml "
                                          "resource in %s/a.yaml: ",
                                          f->dir);
        char tail[300];
        const char *format = expected[i], *hole = strstr(format, "%s");
        snprintf(tail, sizeof tail, "%.*s%s%s", (int)(hole - format), format, f->dir, hole + 2);
        CHECK(slice_has_prefix(f->resources.warnings.items[i], start));
        CHECK_SLICE_IS(slice_from(f->resources.warnings.items[i], start.len), tail);
    }
    arena_fini(&f->arena);
}

TEST(a_missing_folder_ends_the_start)
{
    struct fixture *f = setup();
    f->folders.items[0] = SLICE("/nonexistent/r");
    CHECK_EQ_INT(read_all(f), ERR_CONFIG);
    CHECK_SLICE_IS(f->diag.message, "failed to create watcher: failed to add target "
                                    "/nonexistent/r: no such file or directory");
    arena_fini(&f->arena);
}

TEST(an_unreadable_file_is_a_warning)
{
    struct fixture *f = setup();
    REQUIRE(symlink("/nonexistent", arena_printf(&f->arena, "%s/l.yaml", f->dir).data) == 0);
    CHECK_OK(read_all(f));
    REQUIRE(f->resources.warnings.count == 1);
    CHECK(slice_has_suffix(f->resources.warnings.items[0],
                           SLICE("/l.yaml: no such file or directory")));
    arena_fini(&f->arena);
}

TEST(namespaces_and_scopes_decide_whose_a_document_is)
{
    struct fixture *f = setup();
    put_file(f, "a.yaml", "kind: A\n---\nkind: B\nmetadata: {namespace: prod}\nscopes: [x, 7]\n");
    CHECK_OK(read_all(f));
    REQUIRE(f->resources.count == 2);
    const struct resource *a = &f->resources.items[0], *b = &f->resources.items[1];
    struct resource_filter filter = { .app_id = SLICE("x"), .namespace_name = SLICE_EMPTY };
    CHECK(resource_is_in_namespace(a, &filter) && resource_is_in_namespace(b, &filter));
    CHECK(resource_is_in_scope(a, &filter) && resource_is_in_scope(b, &filter));
    filter = (struct resource_filter){ .app_id = SLICE("7"), .namespace_name = SLICE("test") };
    CHECK(resource_is_in_namespace(a, &filter) && !resource_is_in_namespace(b, &filter));
    CHECK(resource_is_in_scope(b, &filter));
    filter = (struct resource_filter){ .app_id = SLICE("X"), .namespace_name = SLICE("prod") };
    CHECK(resource_is_in_namespace(b, &filter));
    CHECK(!resource_is_in_scope(b, &filter));
    arena_fini(&f->arena);
}

TEST(warnings_are_bounded)
{
    struct fixture *f = setup();
    for (int i = 0; i < 3000; i++)
        CHECK_OK(resources_add_text(&f->arena, "x.yaml", SLICE("[1]"), &f->resources, &f->diag));
    CHECK_EQ_INT(f->resources.warnings.count, 1000);
    arena_fini(&f->arena);
}
