/* SPDX-License-Identifier: MPL-2.0 */
/* Parts of the daemon by themselves: the table of ids, what is kept for slow peers, the
 * storage thread. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "broker/links/idmap.h"
#include "broker/links/outbox.h"
#include "broker/links/roster_private.h"
#include "broker/links/timekeeper.h"
#include "broker/state/storage.h"
#include "common/clock.h"
#include "common/rng.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

/* Against a plain array, with many collisions of removal and insertion. */
static void ids (void **state)
{
    static int items[512];
    bool there[512] = {false};
    idmap_t *map = idmap_new ();
    rng_t rng;
    size_t count = 0;

    (void)state;
    rng_seed (&rng, 1);
    for (int i = 0; i < 200000; i++) {
        uint64_t id = rng_below (&rng, 512);
        if (rng_below (&rng, 2)) {
            idmap_put (map, id * 0x100000001ULL, &items[id]);
            count += !there[id];
            there[id] = true;
        } else {
            void *was = idmap_remove (map, id * 0x100000001ULL);
            assert_ptr_equal (was, there[id] ? &items[id] : NULL);
            count -= there[id];
            there[id] = false;
        }
        uint64_t look = rng_below (&rng, 512);
        assert_ptr_equal (idmap_get (map, look * 0x100000001ULL),
                          there[look] ? &items[look] : NULL);
        assert_int_equal (idmap_count (map), count);
    }
    size_t pos = 0, seen = 0;
    for (int *item; (item = idmap_next (map, &pos)); seen++)
        assert_true (there[item - items]);
    assert_int_equal (seen, count);
    idmap_destroy (&map);
}

/* Members are found by name and number, whatever order they come in; brokers are none
 * of them, and who was removed only as such. */
static void who_is_who (void **state)
{
    enum { N = 300 };
    static Dfs__Member members[N];
    static Dfs__User users[N];
    static char names[N][16];
    Dfs__Member *all[N];
    Dfs__User *people[N];
    mail_directory_t *mail = mail_new (MAIL_DIRECTORY, sizeof *mail);
    roster_t *roster = roster_new ();

    (void)state;
    assert_null (roster_worker_id (roster, 1));
    assert_null (roster_worker (roster, "w1"));
    assert_null (roster_user (roster, "w1"));
    for (uint32_t k = 0; k < N; k++) {
        uint32_t i = k * 7 % N;

        snprintf (names[i], sizeof names[i], "w%u", i);
        dfs__member__init (&members[i]);
        members[i].id = i + 1;
        members[i].name = names[i];
        members[i].role = i % 10 == 3 ? DFS__MEMBER_ROLE__MEMBER_BROKER
                                      : DFS__MEMBER_ROLE__MEMBER_WORKER;
        members[i].has_removed = members[i].removed = i % 10 == 4;
        all[k] = &members[i];
        dfs__user__init (&users[i]);
        users[i].id = 1000 - i;
        users[i].name = names[i];
        users[i].has_admin = users[i].admin = i % 3 == 0;
        people[k] = &users[i];
    }
    mail->members = all;
    mail->users = people;
    mail->n_members = mail->n_users = N;
    roster->directory = mail;
    roster_index (roster);
    for (uint32_t i = 0; i < N; i++) {
        bool worker = i % 10 != 3, removed = worker && i % 10 == 4;
        const Dfs__Member *want = worker && !removed ? &members[i] : NULL;

        assert_ptr_equal (roster_worker_id (roster, i + 1), want);
        assert_ptr_equal (roster_worker (roster, names[i]), want);
        assert_int_equal (roster_was_worker (roster, names[i]), removed);
        assert_ptr_equal (roster_user (roster, names[i]), &users[i]);
        assert_int_equal (roster_admin (roster, 1000 - i), i % 3 == 0);
    }
    assert_null (roster_worker_id (roster, N + 1));
    assert_null (roster_worker (roster, "w"));
    assert_false (roster_admin (roster, 1001));
    /* The next directory has none of them. */
    mail->n_members = mail->n_users = 0;
    roster_index (roster);
    assert_null (roster_worker_id (roster, 1));
    assert_null (roster_user (roster, "w1"));
    mail->members = NULL;
    mail->users = NULL;
    roster_destroy (&roster);
}

static void ping (Dfs__Envelope *env, uint64_t seq)
{
    static Dfs__Ping body = DFS__PING__INIT;

    dfs__envelope__init (env);
    env->has_seq = true;
    env->seq = seq;
    env->body_case = DFS__ENVELOPE__BODY_PING;
    env->ping = &body;
}

static Dfs__Envelope *receive (void *sock, bool router, arena_t *arena,
                               envelope_from_t *from, int wait_ms)
{
    zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
    Dfs__Envelope *env;
    dfs_error_t err;

    arena_reset (arena);
    if (zmq_poll (&item, 1, wait_ms) <= 0)
        return NULL;
    int rc = envelope_recv (sock, router, false, arena, from, &env, &err);
    return rc == 1 ? env : NULL;
}

/* A peer that does not read for a while gets everything, in order; one that does not
 * read at all costs a bounded amount. */
static void slow_peer (void **state)
{
    void *ctx = zmq_ctx_new ();
    void *router = zmq_socket (ctx, ZMQ_ROUTER), *dealer = zmq_socket (ctx, ZMQ_DEALER);
    int one = 1, few = 4, zero = 0;
    char endpoint[] = "inproc://slow";
    arena_t *arena = arena_new (ENVELOPE_ARENA);
    envelope_from_t from;
    Dfs__Envelope env;
    link_t link;
    uint64_t sent = 0;

    (void)state;
    zmq_setsockopt (router, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    zmq_setsockopt (router, ZMQ_SNDHWM, &few, sizeof few);
    zmq_setsockopt (dealer, ZMQ_RCVHWM, &few, sizeof few);
    zmq_setsockopt (router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (dealer, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal (zmq_bind (router, endpoint), 0);
    assert_int_equal (zmq_connect (dealer, endpoint), 0);
    link_init (&link, "test");
    link.sock = router;
    ping (&env, 1);
    assert_int_equal (envelope_send (dealer, NULL, 0, &env), 0);
    assert_non_null (receive (router, true, arena, &from, 5000));
    conn_t *conn = link_hello (&link, &from);
    assert_non_null (conn);
    assert_ptr_equal (link_conn (&link, &from.route), conn);

    int rc;
    do {
        ping (&env, ++sent);
        rc = outbox_send (&link, conn, &env);
    } while (rc == 0);
    assert_int_equal (rc, DFS_EAGAIN);
    assert_in_range (sent, OUTBOX_MESSAGES, OUTBOX_MESSAGES + 100);
    assert_true (conn->kept_bytes <= OUTBOX_BYTES);
    for (uint64_t seq = 1; seq < sent; seq++) {
        Dfs__Envelope *got = NULL;
        /* As the reactor does: what cannot go now goes a little later. */
        for (int i = 0; i < 5000 && !got; i++) {
            outbox_retry (&link);
            got = receive (dealer, false, arena, &from, 1);
        }
        assert_non_null (got);
        assert_int_equal (got->seq, seq);
    }
    assert_false (outbox_retry (&link));
    assert_int_equal (conn->n_kept, 0);

    /* Gone with something kept: nothing is left of it. */
    while (outbox_send (&link, conn, &env) == 0 && conn->n_kept < 10)
        ;
    link_drop (&link, &conn);
    assert_null (link.blocked);
    link_clear (&link);
    zmq_close (dealer);
    zmq_close (router);
    zmq_ctx_term (ctx);
    arena_destroy (&arena);
}

/* --- storage --- */

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

/* Slow tuning is followed; a jump is not, until the clock is back. */
static void clock_that_jumps (void **state)
{
    timekeeper_t t;
    uint64_t wall = 1000000 * SEC, boot = 50 * SEC;

    (void)state;
    timekeeper_start (&t, wall, boot);
    for (int i = 0; i < 100; i++) {
        wall += SEC + SEC / 10; /* a second too fast every ten */
        boot += SEC;
        assert_false (timekeeper_look (&t, wall, boot));
        assert_int_equal (t.off, 0);
        assert_int_equal (timekeeper_now (&t, wall, boot), wall);
    }
    uint64_t true_wall = wall;
    wall += 86400 * SEC;
    assert_true (timekeeper_look (&t, wall, boot));
    assert_int_equal (t.off, 86400 * SEC);
    wall += 10 * SEC;
    boot += 10 * SEC;
    true_wall += 10 * SEC;
    assert_false (timekeeper_look (&t, wall, boot));
    assert_int_equal (timekeeper_now (&t, wall, boot), true_wall);
    wall = true_wall - 3600 * SEC;
    assert_false (timekeeper_look (&t, wall, boot));
    assert_int_equal (timekeeper_now (&t, wall, boot), true_wall);
    assert_true (timekeeper_look (&t, true_wall + SEC, boot));
    assert_int_equal (t.off, 0);
}

static void sessions_end (void **state)
{
    clients_t *clients = clients_new ();
    session_t *out[4], *live = clients_add (clients, 100);
    conn_t conn = {0};

    (void)state;
    live->conn = &conn;
    for (uint64_t i = 1; i <= 6; i++)
        clients_add (clients, i)->gone_at = i <= 5 ? SEC : 1000 * SEC;
    size_t n = clients_expired (clients, 1001 * SEC, out, 4);
    assert_int_equal (n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_in_range (out[i]->id, 1, 5);
        clients_remove (clients, &out[i]);
    }
    n = clients_expired (clients, 1001 * SEC, out, 4);
    assert_int_equal (n, 1);
    clients_remove (clients, &out[0]);
    assert_int_equal (clients_expired (clients, 1001 * SEC, out, 4), 0);
    assert_non_null (clients_get (clients, 6));
    assert_non_null (clients_get (clients, 100));
    assert_false (clients_full (clients));
    clients_destroy (&clients);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (sessions_end),     cmocka_unit_test (ids),
        cmocka_unit_test (clock_that_jumps), cmocka_unit_test (who_is_who),
        cmocka_unit_test (slow_peer),        cmocka_unit_test (storage),
        cmocka_unit_test (listings_wait),    cmocka_unit_test (installed_states),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_parts", tests, NULL, NULL);
}
