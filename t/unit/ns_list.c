/* SPDX-License-Identifier: MPL-2.0 */
/* Listings: order, pages, patterns, cursors that outlive what they name. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/state.h"
#include "ns_fixture.h"

typedef struct lister {
    ns_fixture_t *fx;
    namespace_reader_t *reader;
    Dfs__List asked;
    Dfs__Listing *page;
    char text[70000]; /* paths of the pages so far, a space behind each */
    unsigned pages;
} lister_t;

static void open_list (lister_t *l, ns_fixture_t *fx, const char *path)
{
    memset (l, 0, sizeof *l);
    l->fx = fx;
    assert_ok (namespace_commit (fx->ns, NULL));
    l->reader = namespace_reader_new (fx->ns, NULL);
    dfs__list__init (&l->asked);
    ns_text (&l->asked.path, path);
}

static int next_page (lister_t *l)
{
    int rc = namespace_list (l->reader, &l->asked, l->fx->arena, &l->page, NULL);
    if (rc < 0)
        return rc;
    l->pages++;
    for (size_t i = 0; i < l->page->n_entries; i++)
        if (strlen (l->text) + 300 < sizeof l->text)
            sprintf (l->text + strlen (l->text), "%.*s ",
                     (int)l->page->entries[i]->path.len,
                     (const char *)l->page->entries[i]->path.data);
    assert_true (dfs__listing__get_packed_size (l->page) <= 900 * 1024 + 5000);
    l->asked.has_cursor = l->page->has_cursor;
    l->asked.cursor = l->page->cursor;
    set_field (&l->asked, index, l->page->index);
    return 0;
}

static const char *all (lister_t *l)
{
    l->text[0] = 0;
    l->pages = 0;
    l->asked.has_cursor = 0;
    l->asked.has_index = 0;
    l->asked.index = 0;
    do
        assert_ok (next_page (l));
    while (l->asked.has_cursor);
    return l->text;
}

static void close_list (lister_t *l)
{
    namespace_reader_destroy (&l->reader);
}

static void lists_in_order_by_pages (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "cp", "/d/b", "A"));
    assert_ok (ns_put (fx, "cp", "/d/a/x", "B"));
    assert_ok (ns_put (fx, "cp", "/d/a/y/z", "B"));
    assert_ok (ns_put (fx, "cp", "/d/a-b", "C"));
    assert_ok (ns_put (fx, "cp", "/d/c/q", "D"));
    assert_ok (ns_mkdir (fx, "/d/empty"));
    assert_ok (ns_symlink (fx, "target", "/d/s"));
    assert_ok (ns_symlink (fx, "/d", "/link"));
    lister_t l;
    open_list (&l, fx, "/d");
    const char *flat = "a a-b b c empty s ";
    const char *deep = "a a/x a/y a/y/z a-b b c c/q empty s ";
    assert_string_equal (all (&l), flat);
    assert_int_equal (l.page->index, namespace_applied (fx->ns));
    Dfs__Attr *link = l.page->entries[5]->attr;
    assert_int_equal (link->type, DFS__FILE_TYPE__FILE_SYMLINK);
    assert_memory_equal (link->target.data, "target", 6);
    Dfs__Attr *file = l.page->entries[1]->attr;
    assert_int_equal (file->size, 1000);
    assert_int_equal (file->replicas, 2);
    set_field (&l.asked, recursive, 1);
    assert_string_equal (all (&l), deep);
    for (uint32_t limit = 1; limit < 12; limit++) {
        set_field (&l.asked, limit, limit);
        assert_string_equal (all (&l), deep);
        assert_true (l.pages == (10 + limit - 1) / limit);
    }
    set_field (&l.asked, brief, 1);
    assert_string_equal (all (&l), deep);
    set_field (&l.asked, recursive, 0);
    assert_string_equal (all (&l), flat);
    ns_text (&l.asked.path, "/link");
    assert_string_equal (all (&l), flat);
    ns_text (&l.asked.path, "/d/empty");
    assert_string_equal (all (&l), "");
    ns_text (&l.asked.path, "/d/b");
    assert_code (next_page (&l), DFS_ENOTDIR);
    ns_text (&l.asked.path, "/none");
    assert_code (next_page (&l), DFS_ENOENT);
    close_list (&l);
}

static void patterns_choose_names (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "cp", "/a/one.c", "A"));
    assert_ok (ns_put (fx, "cp", "/a/b.c/two.c", "A"));
    assert_ok (ns_put (fx, "cp", "/a/three.h", "A"));
    lister_t l;
    open_list (&l, fx, "/");
    l.asked.pattern = (char[]){"*.c"};
    assert_string_equal (all (&l), "");
    set_field (&l.asked, recursive, 1);
    assert_string_equal (all (&l), "a/b.c a/b.c/two.c a/one.c ");
    set_field (&l.asked, limit, 1);
    assert_string_equal (all (&l), "a/b.c a/b.c/two.c a/one.c ");
    l.asked.pattern = (char[]){"[t]*"};
    assert_string_equal (all (&l), "a/b.c/two.c a/three.h ");
    close_list (&l);
}

static void pages_show_one_moment (void **state)
{
    ns_fixture_t *fx = *state;
    char path[32];
    for (int i = 0; i < 20; i++) {
        snprintf (path, sizeof path, "/d/f%02d", i);
        assert_ok (ns_put (fx, "cp", path, "A"));
    }
    lister_t l;
    open_list (&l, fx, "/d");
    set_field (&l.asked, limit, 5);
    assert_ok (next_page (&l));
    uint64_t index = l.page->index;
    assert_ok (ns_code (ns_rm_tree (fx, "/d")));
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_ok (next_page (&l));
    assert_int_equal (l.page->n_entries, 5);
    assert_int_equal (l.page->index, index);
    assert_int_equal (namespace_reader_index (l.reader), namespace_applied (fx->ns));
    close_list (&l);
}

/* Names that move from behind the cursor to before it would be missed. */
static void another_moment_is_not_mixed_in (void **state)
{
    ns_fixture_t *fx = *state;
    lister_t l;
    assert_ok (ns_put (fx, "cp", "/d/a/x", "A"));
    assert_ok (ns_put (fx, "cp", "/d/m", "A"));
    assert_ok (ns_put (fx, "cp", "/d/z/dir/precious", "A"));
    open_list (&l, fx, "/d");
    set_field (&l.asked, recursive, 1);
    set_field (&l.asked, limit, 3);
    assert_ok (next_page (&l)); /* a a/x m */
    Dfs__List behind = l.asked;
    set_field (&behind, cursor, l.page->cursor);
    behind.cursor.data = arena_dup (fx->arena, l.page->cursor.data, l.page->cursor.len);
    set_field (&behind, index, l.page->index);
    assert_ok (ns_mv (fx, "/d/z/dir", "/d/a/dir"));
    assert_ok (namespace_commit (fx->ns, NULL));
    for (int i = 0; i < 64; i++) { /* more than are kept */
        assert_ok (ns_mkdir (fx, i % 2 ? "/d/o" : "/d/q"));
        assert_ok (ns_rmdir (fx, i % 2 ? "/d/o" : "/d/q"));
        assert_ok (namespace_commit (fx->ns, NULL));
        l.asked.has_cursor = 0;
        l.asked.index = 0;
        assert_ok (next_page (&l));
    }
    Dfs__Listing *page;
    assert_code (namespace_list (l.reader, &behind, fx->arena, &page, NULL),
                 DFS_ESTALE);
    behind.index = 0; /* who does not care goes on with what is there now */
    assert_ok (namespace_list (l.reader, &behind, fx->arena, &page, NULL));
    close_list (&l);
}

static void a_cursor_goes_on_at_its_name (void **state)
{
    ns_fixture_t *fx = *state;
    lister_t l;
    assert_ok (ns_put (fx, "cp", "/d/a/x", "A"));
    assert_ok (ns_put (fx, "cp", "/d/b/x", "A"));
    assert_ok (ns_put (fx, "cp", "/d/b/y", "A"));
    assert_ok (ns_put (fx, "cp", "/d/c", "A"));
    open_list (&l, fx, "/d");
    set_field (&l.asked, recursive, 1);
    static const struct {
        const char *cursor;
        const char *rest;
    } rows[] = {
        {"a", "a/x b b/x b/y c "},
        {"a/gone", "a/x b b/x b/y c "},
        {"a/zzz/q", "b b/x b/y c "},
        {"aa", "b b/x b/y c "},
        {"b/x/deep", "b/y c "},
        {"b/y", "c "},
        {"c", ""},
        {"zz/a", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        l.text[0] = 0;
        l.asked.has_cursor = 1;
        ns_text (&l.asked.cursor, rows[i].cursor);
        assert_ok (next_page (&l));
        assert_string_equal (l.text, rows[i].rest);
    }
    l.asked.has_cursor = 1;
    ns_text (&l.asked.cursor, "a//b");
    assert_code (next_page (&l), DFS_EINVAL);
    set_field (&l.asked, recursive, 0);
    ns_text (&l.asked.cursor, "a/b");
    assert_code (next_page (&l), DFS_EINVAL);
    close_list (&l);
}

static void many_names_are_many_short_pages (void **state)
{
    ns_fixture_t *fx = *state;
    char path[300];
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (ns_mkdir (fx, "/long"));
    for (int i = 0; i < 60000; i++) {
        snprintf (path, sizeof path, "/d/%06d", i);
        assert_ok (ns_put (fx, "c", path, ""));
        if (i % 20 == 0) {
            snprintf (path, sizeof path, "/long/%0250d", i);
            assert_ok (ns_put (fx, "c", path, ""));
        }
        if (i % 100 == 0)
            arena_reset (fx->arena);
    }
    lister_t l;
    open_list (&l, fx, "/d");
    size_t n = 0;
    do {
        assert_ok (next_page (&l));
        n += l.page->n_entries;
        assert_true (l.page->n_entries <= 1000);
    } while (l.asked.has_cursor);
    assert_int_equal (n, 60000);
    /* nothing matches: pages end all the same, after a bounded number of records */
    l.asked.pattern = (char[]){"nothing"};
    l.asked.has_cursor = 0;
    arena_reset (fx->arena);
    l.pages = 0;
    do {
        assert_ok (next_page (&l));
        assert_int_equal (l.page->n_entries, 0);
    } while (l.asked.has_cursor);
    assert_int_equal (l.pages, 2);
    /* bytes bound a page too */
    l.asked.pattern = NULL;
    ns_text (&l.asked.path, "/long");
    set_field (&l.asked, limit, 10000);
    assert_ok (next_page (&l));
    assert_true (l.page->has_cursor && l.page->n_entries < 3000);
    close_list (&l);
}

static void *list_until_done (void *arg)
{
    ns_fixture_t *fx = arg;
    arena_t *arena = arena_new (64 << 20);
    namespace_reader_t *reader = namespace_reader_new (fx->ns, NULL);
    Dfs__List asked = DFS__LIST__INIT;
    Dfs__Listing *page;
    ns_text (&asked.path, "/d");
    set_field (&asked, limit, 7);
    intptr_t rounds = 0;
    size_t seen;
    do {
        seen = 0;
        asked.has_cursor = 0;
        asked.index = 0;
        arena_reset (arena);
        do {
            if (namespace_list (reader, &asked, arena, &page, NULL) < 0)
                return NULL;
            seen += page->n_entries;
            asked.has_cursor = page->has_cursor;
            asked.cursor = page->cursor;
            set_field (&asked, index, page->index);
        } while (asked.has_cursor);
        if (seen != page->index - 2) /* the seed and the directory came first */
            return NULL;
        rounds++;
    } while (seen < 500);
    namespace_reader_destroy (&reader);
    arena_destroy (&arena);
    return (void *)rounds;
}

static void readers_run_beside_the_owner (void **state)
{
    ns_fixture_t *fx = *state;
    pthread_t thread;
    char path[32];
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_int_equal (pthread_create (&thread, NULL, list_until_done, fx), 0);
    for (int i = 0; i < 500; i++) {
        snprintf (path, sizeof path, "/d/f%d", i);
        assert_ok (ns_put (fx, "c", path, "AB"));
        if (i % 3 == 0)
            assert_ok (namespace_commit (fx->ns, NULL));
    }
    assert_ok (namespace_commit (fx->ns, NULL));
    void *rounds;
    assert_int_equal (pthread_join (thread, &rounds), 0);
    assert_true ((intptr_t)rounds > 0);
}

static void chunks_are_listed_in_key_order (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "c", "/f", "ABCDEFGHAB"));
    assert_ok (namespace_commit (fx->ns, NULL));
    namespace_reader_t *reader = namespace_reader_new (fx->ns, NULL);
    chunk_row_t rows[3], last;
    int n, total = 0;
    while ((n = namespace_chunks (reader, total ? &last.key : NULL, rows, 3, NULL)) > 0)
        for (int i = 0; i < n; i++) {
            assert_true (total == 0 || copykey_cmp (&last.key, &rows[i].key) < 0);
            last = rows[i];
            assert_int_equal (last.facts.replicas, 2);
            total++;
        }
    assert_int_equal (n, 0);
    assert_int_equal (total, 8);
    namespace_reader_destroy (&reader);
}

/* --- files that need lost chunks --- */

static void lose (lister_t *l, const char *tags)
{
    size_t n = strlen (tags);
    copykey_t *keys = calloc (n + 1, sizeof *keys);

    for (size_t i = 0; i < n; i++)
        ns_digest (tags[i], keys[i].digest);
    namespace_reader_lost (l->reader, keys, n);
    set_field (&l->asked, lost, 1);
    set_field (&l->asked, recursive, 1);
}

static void lost_files_are_found (void **state)
{
    ns_fixture_t *fx = *state;
    lister_t l;

    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (ns_put (fx, "c", "/a", "ABC"));
    assert_ok (ns_put (fx, "c", "/d/b", "XBYB"));
    assert_ok (ns_put (fx, "c", "/d/hole", "A.C"));
    assert_ok (ns_put (fx, "c", "/e", "EFG"));
    assert_ok (ns_cp (fx, "/d/b", "/f"));
    open_list (&l, fx, "/");
    lose (&l, "ZBQ");
    assert_string_equal (all (&l), "a d/b f ");
    assert_int_equal (l.page->entries[0]->lost, 1);
    assert_int_equal (l.page->entries[1]->lost, 2);
    l.asked.limit = 1;
    assert_string_equal (all (&l), "a d/b f ");
    assert_true (l.pages >= 3);
    lose (&l, "");
    assert_string_equal (all (&l), "");
    namespace_reader_destroy (&l.reader);
}

/* A page ends in the middle of a long file, the next one goes on there. */
static void long_files_take_several_pages (void **state)
{
    ns_fixture_t *fx = *state;
    char tags[513];
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/long", "");
    uint64_t lost = 0;
    lister_t l;

    memset (tags, 'A', sizeof tags - 1);
    tags[sizeof tags - 1] = 0;
    tags[17] = 'Z';
    for (uint32_t page = 0; page < 220; page++)
        assert_non_null (ns_stage (fx, 1, page, tags, 512000ULL * page, 0));
    set_field (c, upload, 1);
    c->size = 220 * 512000;
    assert_int_equal (ns_commit (fx, c)->code, 0);
    open_list (&l, fx, "/");
    lose (&l, "Z");
    l.pages = 0;
    do {
        assert_ok (next_page (&l));
        for (size_t i = 0; i < l.page->n_entries; i++)
            lost += l.page->entries[i]->lost;
        l.asked.has_part = l.page->has_part;
        l.asked.part = l.page->part;
        l.asked.has_part_lost = l.page->has_part_lost;
        l.asked.part_lost = l.page->part_lost;
    } while (l.asked.has_cursor);
    assert_string_equal (l.text, "long ");
    assert_int_equal (lost, 220);
    assert_true (l.pages >= 3);
    namespace_reader_destroy (&l.reader);
}

/* Contents of all pages: different ones, and their bytes. */
static unsigned different (lister_t *l, uint32_t bits, uint64_t *bytes, unsigned *pages)
{
    uint64_t seen[64];
    unsigned n = 0;
    set_field (&l->asked, contents, 1);
    set_field (&l->asked, content_bits, bits);
    *bytes = *pages = 0;
    l->asked.has_cursor = 0;
    l->asked.index = 0;
    do {
        assert_ok (next_page (l));
        assert_int_equal (l->page->n_contents, l->page->n_content_lengths);
        for (size_t i = 0; i < l->page->n_contents; i++) {
            unsigned k = 0;
            while (k < n && seen[k] != l->page->contents[i])
                k++;
            if (k < n)
                continue;
            assert_true (n < 64);
            seen[n++] = l->page->contents[i];
            *bytes += l->page->content_lengths[i] >> 1;
        }
        ++*pages;
    } while (l->asked.has_cursor);
    return n;
}

static void says_what_files_hold (void **state)
{
    ns_fixture_t *fx = *state;
    lister_t *l = calloc (1, sizeof *l);
    uint64_t bytes;
    unsigned pages;
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (ns_put (fx, "c", "/d/a", "AB.A"));
    assert_ok (ns_put (fx, "ci", "/d/b", "B1"));
    assert_ok (ns_put (fx, "c", "/d/c", "C"));
    assert_ok (ns_put (fx, "r", "/d/c", "D")); /* C is kept by history alone */
    assert_ok (ns_symlink (fx, "a", "/d/e"));
    open_list (l, fx, "/");
    set_field (&l->asked, recursive, 1);
    assert_int_equal (different (l, 0, &bytes, &pages), 4);
    assert_int_equal (bytes, 3010);
    set_field (&l->asked, limit, 1); /* a page each */
    assert_int_equal (different (l, 0, &bytes, &pages), 4);
    assert_true (pages >= 5);
    assert_true (different (l, 63, &bytes, &pages) == 0);
    namespace_reader_destroy (&l->reader);
    free (l);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (lists_in_order_by_pages),        TEST (patterns_choose_names),
        TEST (pages_show_one_moment),          TEST (another_moment_is_not_mixed_in),
        TEST (a_cursor_goes_on_at_its_name),   TEST (many_names_are_many_short_pages),
        TEST (chunks_are_listed_in_key_order), TEST (readers_run_beside_the_owner),
        TEST (lost_files_are_found),           TEST (long_files_take_several_pages),
        TEST (says_what_files_hold),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace listings", tests, NULL, NULL);
}
