/* SPDX-License-Identifier: MPL-2.0 */
/* The storage thread by itself: what is applied and durable, listings of workers that
 * wait behind it, states that are installed. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage.h"
#include "common/clock.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

typedef struct bench {
    char dir[64];
    mailbox_t *out;
    storage_t *storage;
} bench_t;

static void failed (const dfs_error_t *err, void *arg)
{
    (void)arg;
    print_error ("%s\n", err->text);
    abort ();
}

static void open_storage (bench_t *bench)
{
    storage_config_t config = {
        .dir = bench->dir, .cluster_id = {1}, .out = bench->out, .failed = failed};
    dfs_error_t err;

    bench->storage = storage_open (&config, &err);
    if (!bench->storage)
        fail_msg ("%s", err.text);
}

static void free_mail (void *item)
{
    mail_free (item);
}

/* Next mail of KIND; others are freed. */
static void *next_mail (bench_t *bench, enum mail_kind kind)
{
    uint64_t end = clock_mono () + 10 * SEC;

    while (clock_mono () < end) {
        mail_t *mail = mailbox_wait (bench->out, 1000);
        if (mail && mail->kind == kind)
            return mail;
        mail_free (mail);
    }
    fail_msg ("no mail %d", (int)kind);
    return NULL;
}

static void push_op (bench_t *bench, uint64_t index, uint64_t cookie, Dfs__Op *op)
{
    Dfs__Entry entry = DFS__ENTRY__INIT;
    uint8_t bytes[1024];

    entry.version = 1;
    entry.time_ns = 1000 + index;
    entry.has_user = true;
    entry.user = 1;
    entry.op = op;
    assert_true (dfs__entry__get_packed_size (&entry) <= sizeof bytes);
    journal_entry_t row = {.index = index,
                           .term = 1,
                           .data = bytes,
                           .len = dfs__entry__pack (&entry, bytes),
                           .cookie = cookie};
    storage_push (bench->storage, &mail_entries_new (&row, 1)->head);
}

static void push_seed (bench_t *bench)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpSeed seed = DFS__OP_SEED__INIT;
    Dfs__Policy policy = DFS__POLICY__INIT;
    Dfs__Policy *policies = &policy;
    Dfs__User user = DFS__USER__INIT;
    Dfs__User *users = &user;
    uint8_t id[16] = {1};
    char name[] = "storage", admin[] = "admin";

    policy.id = policy.replicas = policy.min_replicas = 1;
    policy.chunk_size = 4 * MIB;
    policy.history_ns = SEC;
    user.id = 1;
    user.name = admin;
    seed.cluster_id.data = id;
    seed.cluster_id.len = sizeof id;
    seed.name = name;
    seed.feature_level = seed.incarnation = 1;
    seed.policies = &policies;
    seed.n_policies = 1;
    seed.users = &users;
    seed.n_users = 1;
    op.op_case = DFS__OP__OP_SEED;
    op.seed = &seed;
    push_op (bench, 1, 0, &op);
}

static void push_mkdir (bench_t *bench, uint64_t index, const char *path)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpMkdir mk = DFS__OP_MKDIR__INIT;
    uint8_t bytes[64];

    mk.path.len = strlen (path);
    memcpy (bytes, path, mk.path.len);
    mk.path.data = bytes;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mk;
    push_op (bench, index, 100 + index, &op);
}

/* A listing asked right after a change was decided sees it, though nothing was
 * committed in between; what was applied is durable a moment later, and there after a
 * restart. */
static void storage (void **state)
{
    bench_t bench = {.out = mailbox_new ()};
    uint8_t root[] = "/";
    char path[32];

    (void)state;
    snprintf (bench.dir, sizeof bench.dir, "/tmp/dfs-storage-XXXXXX");
    assert_non_null (mkdtemp (bench.dir));
    open_storage (&bench);
    assert_int_equal (storage_applied (bench.storage), 0);
    push_seed (&bench);
    mail_directory_t *directory = next_mail (&bench, MAIL_DIRECTORY);
    assert_true (directory->seeded);
    assert_int_equal (directory->n_users, 1);
    assert_non_null (directory->policy);
    mail_free (&directory->head);
    for (uint64_t index = 2; index < 30; index++) {
        snprintf (path, sizeof path, "/d%02llu", (unsigned long long)index);
        push_mkdir (&bench, index, path);
        mail_applied_t *applied = next_mail (&bench, MAIL_APPLIED);
        assert_int_equal (applied->index, index);
        assert_int_equal (applied->n, 1);
        assert_int_equal (applied->rows[0].cookie, 100 + index);
        assert_int_equal (applied->rows[0].result->code, 0);
        mail_free (&applied->head);

        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        Dfs__List list = DFS__LIST__INIT;
        list.path.data = root;
        list.path.len = 1;
        env.body_case = DFS__ENVELOPE__BODY_LIST;
        env.list = &list;
        job_t *job = job_new ();
        job->env = &env;
        job->index = index;
        dfs__envelope__init (&job->answer);
        storage_push (bench.storage, &job->head);
        job = next_mail (&bench, MAIL_JOB);
        assert_null (job->answer.status);
        assert_int_equal (job->answer.listing->n_entries, index - 1);
        mail_free (&job->head);
    }
    push_mkdir (&bench, 30, "/last");
    uint64_t durable = 0;
    while (durable < 30) {
        mail_durable_t *mail = next_mail (&bench, MAIL_DURABLE);
        durable = mail->index;
        mail_free (&mail->head);
    }
    storage_close (&bench.storage);
    open_storage (&bench);
    assert_int_equal (storage_applied (bench.storage), 30);
    storage_close (&bench.storage);

    /* Another cluster's namespace is refused. */
    storage_config_t config = {
        .dir = bench.dir, .cluster_id = {2}, .out = bench.out, .failed = failed};
    dfs_error_t err;
    assert_null (storage_open (&config, &err));
    assert_int_equal (err.code, DFS_ECLUSTER);
    mailbox_destroy (&bench.out, free_mail);
    char command[96];
    snprintf (command, sizeof command, "rm -rf '%s'", bench.dir);
    assert_int_equal (system (command), 0);
}

static void storage_dir (bench_t *bench)
{
    bench->out = mailbox_new ();
    snprintf (bench->dir, sizeof bench->dir, "/tmp/dfs-storage-XXXXXX");
    assert_non_null (mkdtemp (bench->dir));
    open_storage (bench);
}

static void storage_gone (bench_t *bench)
{
    char command[96];

    storage_close (&bench->storage);
    mailbox_destroy (&bench->out, free_mail);
    snprintf (command, sizeof command, "rm -rf '%s'", bench->dir);
    assert_int_equal (system (command), 0);
}

static sem_t gate, at_gate;

static int wait_at_gate (void *arg, dfs_error_t *err)
{
    (void)arg;
    (void)err;
    sem_post (&at_gate);
    while (sem_wait (&gate) < 0)
        ;
    return 0;
}

static void push_page (bench_t *bench, uint64_t page, uint64_t n)
{
    core_change_t item = {.kind = CHANGE_STORED, .birth = 1, .length = 10};
    action_t action = {.type = ACTION_LOCATIONS_APPLY};

    item.key.digest[0] = (uint8_t)page;
    action.u.apply = (action_apply_t){.token = page,
                                      .worker = 1,
                                      .incarnation = 1,
                                      .first_seq = page,
                                      .inventory = true,
                                      .inventory_begin = page == 0,
                                      .inventory_end = page + 1 == n,
                                      .later = true,
                                      .items = &item,
                                      .n = 1};
    storage_push (bench->storage, &mail_core_new (&action)->head);
}

/* The log goes before the pages of a worker's listing, whatever came first; those keep
 * their order, and none is left over. */
static void listings_wait (void **state)
{
    enum { PAGES = 200 };
    bench_t bench = {.out = mailbox_new ()};
    dfs_error_t err;
    uint64_t pages = 0, before = UINT64_MAX;

    (void)state;
    sem_init (&gate, 0, 0);
    sem_init (&at_gate, 0, 0);
    snprintf (bench.dir, sizeof bench.dir, "/tmp/dfs-storage-XXXXXX");
    assert_non_null (mkdtemp (bench.dir));
    storage_config_t config = {.dir = bench.dir,
                               .cluster_id = {1},
                               .out = bench.out,
                               .failed = failed,
                               .before_commit = wait_at_gate};
    bench.storage = storage_open (&config, &err);
    assert_non_null (bench.storage);
    push_seed (&bench);
    while (sem_wait (&at_gate) < 0)
        ;
    /* It is busy: all this waits for it. */
    for (uint64_t i = 0; i < PAGES; i++)
        push_page (&bench, i, PAGES);
    push_mkdir (&bench, 2, "/d");
    for (int i = 0; i < 1000; i++)
        sem_post (&gate);
    while (pages < PAGES) {
        mail_t *mail = mailbox_wait (bench.out, 10000);
        assert_non_null (mail);
        if (mail->kind == MAIL_APPLIED && ((mail_applied_t *)mail)->index == 2)
            before = pages;
        if (mail->kind == MAIL_CORE) {
            const event_applied_t *applied = &((mail_core_t *)mail)->answer.u.applied;
            assert_int_equal (applied->code, DFS_OK);
            assert_int_equal (applied->token, pages);
            pages++;
            assert_int_equal (applied->mark, pages == PAGES ? PAGES - 1 : 0);
        }
        mail_free (mail);
    }
    assert_true (before < PAGES);
    /* What waits when it ends is let go. */
    for (uint64_t i = 0; i < PAGES; i++)
        push_page (&bench, i, PAGES);
    storage_gone (&bench);
    sem_destroy (&gate);
    sem_destroy (&at_gate);
}

static int totals_with (bench_t *bench)
{
    mail_totals_t *ask = mail_new (MAIL_TOTALS, sizeof *ask);
    int files;

    storage_push (bench->storage, &ask->head);
    ask = next_mail (bench, MAIL_TOTALS);
    files = (int)ask->applied;
    mail_free (&ask->head);
    return files;
}

/* A state that cannot be taken is refused before the old one is touched; one that gets
 * lost on the way leaves a broker that says so. */
static void installed_states (void **state)
{
    bench_t from = {0}, to = {0};
    char file[128], command[192];
    uint64_t index = 0;
    dfs_error_t err;

    (void)state;
    storage_dir (&from);
    push_seed (&from);
    push_mkdir (&from, 2, "/d");
    while (index < 2) {
        mail_durable_t *mail = next_mail (&from, MAIL_DURABLE);
        index = mail->index;
        mail_free (&mail->head);
    }
    storage_dir (&to);
    snprintf (file, sizeof file, "%s/state.part", to.dir);
    assert_int_equal (storage_copy (from.storage, file, &index, &err), DFS_OK);
    assert_int_equal (index, 2);
    assert_int_equal (storage_check (to.storage, file, 3, &err), DFS_EDAMAGED);
    assert_int_equal (storage_install (to.storage, file, 3, &err), DFS_EDAMAGED);
    snprintf (command, sizeof command, "echo nothing > %s/no.mdb", to.dir);
    assert_int_equal (system (command), 0);
    snprintf (command, sizeof command, "%s/no.mdb", to.dir);
    assert_true (storage_install (to.storage, command, 2, &err) < 0);
    assert_int_equal (totals_with (&to), 0);
    assert_int_equal (storage_install (to.storage, file, 2, &err), DFS_OK);
    assert_int_equal (totals_with (&to), 2);

    bench_t other = {0}; /* of another cluster */
    other.out = mailbox_new ();
    snprintf (other.dir, sizeof other.dir, "/tmp/dfs-storage-XXXXXX");
    assert_non_null (mkdtemp (other.dir));
    storage_config_t config = {
        .dir = other.dir, .cluster_id = {2}, .out = other.out, .failed = failed};
    other.storage = storage_open (&config, &err);
    assert_non_null (other.storage);
    snprintf (file, sizeof file, "%s/state.part", other.dir);
    assert_int_equal (storage_copy (from.storage, file, &index, &err), DFS_OK);
    assert_int_equal (storage_check (other.storage, file, 2, &err), DFS_ECLUSTER);
    assert_int_equal (storage_install (other.storage, file, 2, &err), DFS_ECLUSTER);
    assert_int_equal (totals_with (&other), 0);
    storage_gone (&other);

    snprintf (file, sizeof file, "%s/state.part", to.dir);
    assert_int_equal (storage_copy (from.storage, file, &index, &err), DFS_OK);
    snprintf (command, sizeof command, "rm -r '%s/namespace'", to.dir);
    assert_int_equal (system (command), 0);
    assert_true (storage_install (to.storage, file, 2, &err) < 0);
    mail_totals_t *ask = mail_new (MAIL_TOTALS, sizeof *ask);
    storage_push (to.storage, &ask->head);
    job_t *job = job_new ();
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    job->env = &env;
    dfs__envelope__init (&job->answer);
    storage_push (to.storage, &job->head);
    job = next_mail (&to, MAIL_JOB);
    assert_int_equal (job->answer.status->code, DFS_EUNAVAIL);
    mail_free (&job->head);
    assert_true (storage_install (to.storage, file, 2, &err) < 0);
    storage_gone (&to);
    storage_gone (&from);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (storage),
        cmocka_unit_test (listings_wait),
        cmocka_unit_test (installed_states),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_storage", tests, NULL, NULL);
}
