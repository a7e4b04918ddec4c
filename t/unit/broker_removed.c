/* SPDX-License-Identifier: MPL-2.0 */
/* Copies on workers that were removed do not stand before those that are there. */
#include "t/unit/ns_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage_private.h"
#include "msgs/control.pb-c.h"

#define WORKERS (LOCATIONS_MAX + 2)

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

static int set_member (ns_fixture_t *fx, uint32_t id, bool removed)
{
    Dfs__Member member = DFS__MEMBER__INIT;
    Dfs__OpMemberSet set = DFS__OP_MEMBER_SET__INIT;
    Dfs__Op op = DFS__OP__INIT;
    char name[16];

    snprintf (name, sizeof name, "x%u", id);
    op.op_case = DFS__OP__OP_MEMBER_SET;
    op.member_set = &set;
    set.member = &member;
    member.id = id;
    member.role = DFS__MEMBER_ROLE__MEMBER_WORKER;
    member.name = arena_dup (fx->arena, name, strlen (name));
    member.host = arena_dup (fx->arena, "h", 1);
    member.port = 7000;
    member.has_removed = true;
    member.removed = removed;
    return ns_code (ns_apply (fx, &op));
}

/* More than are looked at had a copy once; the two that have it still are found. */
static void test_removed (void **state)
{
    ns_fixture_t *fx = *state;
    char dir[] = "/tmp/dfs-removed-XXXXXX";
    tables_t tables = {.ns = fx->ns};
    location_t found[LOCATIONS_MAX];
    mail_directory_t *mail;
    copykey_t key = {.digest = {7}};
    uint8_t store[16] = {0};
    dfs_error_t err;
    int n;

    assert_non_null (mkdtemp (dir));
    tables.locations = locations_open (dir, &err);
    assert_non_null (tables.locations);
    for (uint32_t i = 0; i < WORKERS; i++) {
        store[0] = (uint8_t)(i + 1);
        assert_int_equal (set_member (fx, 100 + i, false), 0);
        assert_int_equal (locations_change (tables.locations, 100 + i, store, 1, 1,
                                            DFS__LOCATION_KIND__LOCATION_STORED, &key,
                                            10, 1000, &err),
                          0);
    }
    for (uint32_t i = 0; i < LOCATIONS_MAX; i++)
        assert_int_equal (set_member (fx, 100 + i, true), 0);
    mail = lookup_directory (&tables, 0, &err);
    assert_non_null (mail);
    mail_free (&mail->head);
    n = locations_find (tables.locations, &key, found, &err);
    assert_int_equal (n, 2);
    assert_int_equal (found[0].worker, 100 + LOCATIONS_MAX);
    locations_close (&tables.locations);
    nftw (dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_removed, ns_setup, ns_teardown),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_removed", tests, NULL, NULL);
}
