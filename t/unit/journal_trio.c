/* SPDX-License-Identifier: MPL-2.0 */
#include "journal_trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "journal_dir.h"
#include "msgs/keys.h"
#include "msgs/zap.h"

#include <cmocka.h> /* last: it has a macro fail */

trio_t trio;

/* --- the state machine --- */

static void committed (const journal_entry_t *entries, size_t n, void *arg)
{
    node_t *node = arg;
    pthread_mutex_lock (&trio.lock);
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        node->wrong |= entries[i].index != node->state.index + 1;
        node->state.index = entries[i].index;
        if (entries[i].len >= sizeof value) {
            memcpy (&value, entries[i].data, sizeof value);
            node->state.n++;
            node->state.sum = node->state.sum * 1099511628211u + value;
        }
        if (entries[i].cookie) {
            node->acked = entries[i].cookie;
            node->n_acked++;
        }
    }
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
}

static void dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    node_t *node = arg;
    (void)cookies;
    pthread_mutex_lock (&trio.lock);
    node->n_dropped += n;
    node->n_final += code == DFS_ENOTLEADER ? 0 : n;
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
}

static void role (enum journal_role new_role, uint64_t term, const char *leader,
                  void *arg)
{
    node_t *node = arg;
    pthread_mutex_lock (&trio.lock);
    node->role = new_role;
    node->term = term;
    snprintf (node->leader, sizeof node->leader, "%s", leader);
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
}

static void read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    node_t *node = arg;
    (void)cookie;
    pthread_mutex_lock (&trio.lock);
    node->read_code = code;
    node->read_index = index;
    node->n_reads++;
    node->held = node->holds;
    pthread_cond_broadcast (&trio.changed);
    while (node->holds)
        pthread_cond_wait (&trio.changed, &trio.lock);
    node->held = false;
    pthread_mutex_unlock (&trio.lock);
}

static void failed (const dfs_error_t *err, void *arg)
{
    node_t *node = arg;
    pthread_mutex_lock (&trio.lock);
    node->failed = err->code;
    snprintf (node->text, sizeof node->text, "%s", err->text);
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
}

static void answered (uint64_t cookie, int code, const char *text, void *arg)
{
    node_t *node = arg;
    (void)cookie;
    pthread_mutex_lock (&trio.lock);
    node->answer = code;
    node->n_answers++;
    snprintf (node->text, sizeof node->text, "%s", text);
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
}

static int address (const char *name, char *host, size_t cap, uint16_t *port, void *arg,
                    dfs_error_t *err)
{
    (void)arg;
    snprintf (host, cap, "127.0.0.1");
    *port = 0;
    pthread_mutex_lock (&trio.lock);
    for (size_t i = 0; i < trio.n; i++)
        if (strcmp (trio.nodes[i].name, name) == 0)
            *port = trio.nodes[i].port;
    pthread_mutex_unlock (&trio.lock);
    if (*port)
        return DFS_OK;
    err->code = DFS_EUNAVAIL;
    snprintf (err->text, sizeof err->text, "%s is down", name);
    return DFS_EUNAVAIL;
}

static int copy_state (const char *path, uint64_t *index, void *arg, dfs_error_t *err)
{
    node_t *node = arg;
    static const char filling[700000]; /* so that it takes several pieces */
    (void)err;
    pthread_mutex_lock (&trio.lock);
    state_t state = node->state;
    pthread_mutex_unlock (&trio.lock);
    *index = state.index;
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    fwrite (&state, sizeof state, 1, f);
    fwrite (filling, sizeof filling, 1, f);
    fwrite (filling, sizeof filling, 1, f);
    assert_int_equal (fclose (f), 0);
    return DFS_OK;
}

static int check_state (const char *path, uint64_t index, void *arg, dfs_error_t *err)
{
    node_t *node = arg;
    (void)path;
    (void)index;
    pthread_mutex_lock (&trio.lock);
    bool refuses = node->refuses;
    node->refused += refuses;
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
    if (!refuses)
        return DFS_OK;
    err->code = DFS_EVERSION;
    snprintf (err->text, sizeof err->text, "a format of tomorrow");
    return DFS_EVERSION;
}

static int take_state (const char *path, uint64_t index, void *arg, dfs_error_t *err)
{
    node_t *node = arg;
    state_t state;
    (void)err;
    FILE *f = fopen (path, "r");
    assert_non_null (f);
    assert_int_equal (fread (&state, sizeof state, 1, f), 1);
    fclose (f);
    assert_int_equal (state.index, index);
    pthread_mutex_lock (&trio.lock);
    node->state = state;
    node->taken++;
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
    return DFS_OK;
}

/* --- brokers --- */

void trio_new (size_t n, bool secure)
{
    memset (&trio, 0, sizeof trio);
    pthread_mutex_init (&trio.lock, NULL);
    pthread_cond_init (&trio.changed, NULL);
    trio.root = dir_make ();
    trio.zmq = zmq_ctx_new ();
    if (secure) {
        trio.zap = zap_new (trio.zmq, NULL);
        assert_non_null (trio.zap);
    }
    trio.n = n;
    for (size_t i = 0; i < n; i++) {
        node_t *node = &trio.nodes[i];
        snprintf (node->name, sizeof node->name, "b%zu", i + 1);
        snprintf (node->dir, sizeof node->dir, "%s/%s", trio.root, node->name);
        assert_int_equal (mkdir (node->dir, 0700), 0);
        node->id = 1000 + i;
        node->secret.secure = secure;
        if (secure)
            assert_int_equal (keys_generate (&node->secret.keys), 0);
    }
}

void trio_destroy (void)
{
    for (size_t i = 0; i < trio.n; i++)
        trio_stop (i);
    zap_destroy (&trio.zap);
    zmq_ctx_term (trio.zmq);
    dir_remove (trio.root);
    pthread_cond_destroy (&trio.changed);
    pthread_mutex_destroy (&trio.lock);
}

static size_t list (journal_broker_t brokers[TRIO_MAX], size_t from, size_t to)
{
    for (size_t k = from; k < to; k++) {
        brokers[k - from].name = trio.nodes[k].name;
        memcpy (brokers[k - from].key, trio.nodes[k].secret.keys.public_key, 32);
    }
    return to - from;
}

void trio_brokers (size_t i, size_t from, size_t to)
{
    journal_broker_t brokers[TRIO_MAX];
    size_t n = list (brokers, from, to);
    journal_brokers (trio.nodes[i].journal, brokers, n);
}

void trio_start (size_t i)
{
    trio_start_with (i, 0, trio.n);
}

void trio_start_all (void)
{
    for (size_t i = 0; i < trio.n; i++)
        trio_start (i);
}

void trio_start_with (size_t i, size_t from, size_t to)
{
    node_t *node = &trio.nodes[i];
    journal_broker_t brokers[TRIO_MAX];
    size_t n = list (brokers, from, to);
    journal_config_t config = {
        .dir = node->dir,
        .applied = node->state.index,
        .segment_size = 64 * 1024,
        .trailing = trio.trailing,
        .id = node->id,
        .name = node->name,
        .election_ms = trio.election_ms,
        .hang_ms = trio.hang_ms,
        .window_bytes = trio.window_bytes,
        .log_bytes = trio.log_bytes,
        .peers = {.zmq = trio.zmq,
                  .secret = &node->secret,
                  .zap = trio.zap,
                  .bind = "127.0.0.1",
                  .brokers = brokers,
                  .n = n,
                  .address = address,
                  .copy_state = copy_state,
                  .check_state = check_state,
                  .take_state = take_state,
                  .arg = node},
        .events = {.committed = committed,
                   .dropped = dropped,
                   .role = role,
                   .read_point = read_point,
                   .failed = failed,
                   .answered = answered,
                   .arg = node},
    };
    dfs_error_t err = {0};
    node->role = JOURNAL_FOLLOWER;
    node->leader[0] = 0;
    journal_t *journal = journal_open (&config, &err);
    if (!journal)
        print_error ("%s\n", err.text);
    assert_non_null (journal);
    pthread_mutex_lock (&trio.lock);
    node->journal = journal;
    node->port = journal_port (journal);
    pthread_mutex_unlock (&trio.lock);
    assert_true (node->port != 0);
}

void trio_stop (size_t i)
{
    node_t *node = &trio.nodes[i];
    pthread_mutex_lock (&trio.lock);
    journal_t *journal = node->journal;
    node->journal = NULL;
    node->port = 0;
    pthread_mutex_unlock (&trio.lock);
    journal_close (&journal);
    node->role = JOURNAL_FOLLOWER;
    node->leader[0] = 0;
}

void trio_wipe (size_t i)
{
    node_t *node = &trio.nodes[i];
    char path[8300];
    assert_null (node->journal);
    snprintf (path, sizeof path, "%s/old-%zu-%llu", trio.root, i,
              (unsigned long long)node->id);
    assert_int_equal (rename (node->dir, path), 0);
    assert_int_equal (mkdir (node->dir, 0700), 0);
    node->id += 100;
    node->state = (state_t){0};
}

/* The one that leads and is followed. The lock is held. */
static node_t *followed (void)
{
    for (size_t i = 0; i < trio.n; i++) {
        node_t *node = &trio.nodes[i];
        size_t n = 0;
        if (!node->journal || node->role != JOURNAL_LEADER)
            continue;
        for (size_t k = 0; k < trio.n; k++)
            n += trio.nodes[k].journal && trio.nodes[k].term == node->term &&
                 strcmp (trio.nodes[k].leader, node->name) == 0;
        if (2 * n > trio.n || trio.n == 1)
            return node;
    }
    return NULL;
}

journal_stats_t trio_stats (size_t i)
{
    journal_stats_t stats;
    journal_stats (trio.nodes[i].journal, &stats);
    return stats;
}

size_t trio_leader (void)
{
    TRIO_WAIT (followed ());
    pthread_mutex_lock (&trio.lock);
    const node_t *node = followed ();
    size_t i = node ? (size_t)(node - trio.nodes) : trio.n;
    pthread_mutex_unlock (&trio.lock);
    return i < trio.n ? i : trio_leader ();
}

/* What is committed is durable in this state machine at once. */
static void tell_applied (void)
{
    for (size_t i = 0; i < trio.n; i++)
        if (trio.nodes[i].journal) {
            pthread_mutex_lock (&trio.lock);
            uint64_t index = trio.nodes[i].state.index;
            pthread_mutex_unlock (&trio.lock);
            journal_applied (trio.nodes[i].journal, index);
        }
}

void trio_commit (uint64_t n)
{
    while (n) {
        node_t *node = &trio.nodes[trio_leader ()];
        uint64_t cookie = ++trio.cookie, value[20] = {cookie};
        journal_proposal_t proposal = {value, sizeof value, cookie};
        dfs_error_t err;
        pthread_mutex_lock (&trio.lock);
        uint64_t lost = node->n_dropped;
        pthread_mutex_unlock (&trio.lock);
        if (journal_propose (node->journal, &proposal, 1, &err))
            continue;
        n--;
        if (n % 50 == 0) {
            TRIO_WAIT (node->acked == cookie || node->n_dropped > lost);
            tell_applied ();
        }
    }
}

static bool same (uint64_t n)
{
    const state_t *first = NULL;
    for (size_t i = 0; i < trio.n; i++) {
        const node_t *node = &trio.nodes[i];
        if (!node->journal)
            continue;
        if (node->state.n < n || (first && memcmp (first, &node->state, sizeof *first)))
            return false;
        first = &node->state;
    }
    return true;
}

void trio_same (uint64_t n)
{
    TRIO_WAIT (same (n));
    for (size_t i = 0; i < trio.n; i++) {
        assert_false (trio.nodes[i].wrong);
        assert_int_equal (trio.nodes[i].failed, 0);
    }
}

void trio_describe (void)
{
    for (size_t i = 0; i < trio.n; i++) {
        const node_t *node = &trio.nodes[i];
        journal_stats_t s = {0};
        if (node->journal)
            journal_stats (node->journal, &s);
        print_error (
            "%s %s role %d term %llu leader %s index %llu n %llu acked %llu "
            "dropped %llu log %llu-%llu committed %llu part %d failed %d %s\n",
            node->name, node->journal ? "up" : "down", (int)node->role,
            (unsigned long long)node->term, node->leader,
            (unsigned long long)node->state.index, (unsigned long long)node->state.n,
            (unsigned long long)node->acked, (unsigned long long)node->n_dropped,
            (unsigned long long)s.first_index, (unsigned long long)s.last_index,
            (unsigned long long)s.committed, (int)s.part, node->failed, node->text);
    }
}
