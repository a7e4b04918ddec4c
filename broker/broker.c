/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/broker.h"

#include <assert.h>
#include <endian.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/journal/journal.h"
#include "broker/links/links.h"
#include "broker/namespace/fsck.h"
#include "broker/peerlist.h"
#include "broker/state/storage.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "msgs/keys.h"
#include "msgs/mark.h"
#include "msgs/sock.h"
#include "msgs/zap.h"

struct broker {
    const cluster_t *cluster;
    const cluster_node_t *node;
    int level;    /* of the log, as asked for; -1: as the config says */
    int fatal_fd; /* eventfd: a thread gave up */
    int lock_fd;
    void *zmq;
    sock_identity_t id;
    zap_t *zap;
    uint8_t grant_key[32];
    uint8_t handle_key[32];
    mailbox_t *mail; /* the reactor's */
    storage_t *storage;
    journal_t *journal;
    pthread_mutex_t sync; /* the journal is not closed while it is synced */
    links_t *links;
    uint64_t disk; /* id of the data directory's disk */
    peerlist_t *peers;
    char ready[128];
};

broker_t *broker_new (void *zmq, const cluster_t *cluster, const cluster_node_t *node,
                      int level)
{
    broker_t *self = calloc (1, sizeof *self);

    assert (self);
    self->zmq = zmq;
    self->cluster = cluster;
    self->node = node;
    self->level = level;
    self->lock_fd = -1;
    self->fatal_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init (&self->sync, NULL);
    return self;
}

void broker_destroy (broker_t **self_p)
{
    broker_t *self = *self_p;

    if (!self)
        return;
    close (self->fatal_fd);
    pthread_mutex_destroy (&self->sync);
    free (self);
    *self_p = NULL;
}

/* --- what the parts call when something happened --- */

static void give_up (const dfs_error_t *err, void *arg)
{
    broker_t *self = arg;
    uint64_t one = 1;
    char quoted[600];

    log_error ("fatal", "err=%s", log_quote (quoted, sizeof quoted, err->text));
    ssize_t rc = write (self->fatal_fd, &one, sizeof one);
    (void)rc;
}

static void on_committed (const journal_entry_t *entries, size_t n, void *arg)
{
    broker_t *self = arg;

    storage_push (self->storage, &mail_entries_new (entries, n)->head);
}

static void on_dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    broker_t *self = arg;

    links_journal_dropped (cookies, n, code, self->mail);
}

static void on_role (enum journal_role role, uint64_t term, const char *leader,
                     void *arg)
{
    broker_t *self = arg;

    links_journal_role (role, term, leader, self->mail);
}

static void on_read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    broker_t *self = arg;

    links_journal_read_point (cookie, code, index, self->mail);
}

static void on_answered (uint64_t cookie, int code, const char *text, void *arg)
{
    links_journal_answered (cookie, code, text, ((broker_t *)arg)->mail);
}

static void on_members (void *arg)
{
    links_journal_members (((broker_t *)arg)->mail);
}

static int on_copy_state (const char *path, uint64_t *index, void *arg,
                          dfs_error_t *err)
{
    return storage_copy (((broker_t *)arg)->storage, path, index, err);
}

static int on_check_state (const char *path, uint64_t index, void *arg,
                           dfs_error_t *err)
{
    return storage_check (((broker_t *)arg)->storage, path, index, err);
}

static int on_take_state (const char *path, uint64_t index, void *arg, dfs_error_t *err)
{
    return storage_install (((broker_t *)arg)->storage, path, index, err);
}

/* With memory_durability only this keeps a namespace from being ahead of its log. */
static int on_before_commit (void *arg, dfs_error_t *err)
{
    broker_t *self = arg;

    pthread_mutex_lock (&self->sync);
    int rc = self->journal ? journal_sync (self->journal, err) : DFS_OK;
    pthread_mutex_unlock (&self->sync);
    return rc;
}

static int on_address (const char *name, char *host, size_t cap, uint16_t *port,
                       void *arg, dfs_error_t *err)
{
    return peerlist_address (((broker_t *)arg)->peers, name, host, cap, port, err);
}

/* --- modules --- */

/* The data directory must be this broker's, and no other process may use it. Returns
 * the descriptor that keeps others out. */
static int take_directory (const cluster_t *cluster, const cluster_node_t *node,
                           mark_t *mark, dfs_error_t *err)
{
    const char *dir = node->data[0];
    char path[4200];

    int rc = mark_expect (dir, cluster->id, "broker", node->name, mark, err);
    if (rc < 0)
        return rc;
    snprintf (path, sizeof path, "%s/lock", dir);
    return io_lock (path, err);
}

/* A key that is not where the configuration says is an error of that. */
static int load_keys (const cluster_t *cluster, const char *name, uint8_t master[32],
                      keypair_t *keys, dfs_error_t *err)
{
    int rc = keys_hmac_load (cluster->keys_dir, master, err);
    if (rc == DFS_OK && cluster->secure)
        rc = keys_load_secret (cluster->keys_dir, "broker", name, keys, err);
    if (rc == DFS_ENOENT)
        rc = err->code = DFS_ECONFIG;
    return rc;
}

int broker_check (const cluster_t *cluster, const cluster_node_t *node,
                  dfs_error_t *err)
{
    uint8_t master[32];
    keypair_t keys;
    mark_t mark;

    if (access (node->data[0], F_OK) < 0)
        return DFS_OK;
    int rc = load_keys (cluster, node->name, master, &keys, err);
    OPENSSL_cleanse (master, sizeof master);
    OPENSSL_cleanse (&keys, sizeof keys);
    if (rc < 0)
        return rc;
    return mark_expect (node->data[0], cluster->id, "broker", node->name, &mark, err);
}

static int start_node (void *ctx, dfs_error_t *err)
{
    broker_t *self = ctx;
    const cluster_t *cluster = self->cluster;
    mark_t mark;

    self->lock_fd = take_directory (cluster, self->node, &mark, err);
    if (self->lock_fd < 0)
        return self->lock_fd;
    memcpy (&self->disk, mark.disk_id, sizeof self->disk);
    self->disk = le64toh (self->disk) & INT64_MAX;
    uint8_t master[32];
    int rc = load_keys (cluster, self->node->name, master, &self->id.keys, err);
    if (rc < 0)
        return rc;
    keys_derive (master, KEYS_GRANT, self->grant_key);
    keys_derive (master, KEYS_HANDLE, self->handle_key);
    OPENSSL_cleanse (master, sizeof master);
    self->id.secure = cluster->secure;
    if (cluster->secure) {
        self->zap = zap_new (self->zmq, err);
        if (!self->zap)
            return err->code;
    }
    self->mail = mailbox_new ();
    return DFS_OK;
}

static void free_mail (void *item)
{
    mail_free (item);
}

static void stop_node (void *ctx)
{
    broker_t *self = ctx;

    mailbox_destroy (&self->mail, free_mail);
    zap_destroy (&self->zap);
    if (self->lock_fd >= 0)
        close (self->lock_fd);
}

static int start_storage (void *ctx, dfs_error_t *err)
{
    broker_t *self = ctx;
    storage_config_t config = {.dir = self->node->data[0],
                               .out = self->mail,
                               .before_commit = on_before_commit,
                               .failed = give_up,
                               .arg = self};

    memcpy (config.cluster_id, self->cluster->id, sizeof config.cluster_id);
    memcpy (config.handle_key, self->handle_key, sizeof config.handle_key);
    self->storage = storage_open (&config, err);
    return self->storage ? DFS_OK : err->code;
}

static void stop_storage (void *ctx)
{
    storage_close (&((broker_t *)ctx)->storage);
}

static int start_links (void *ctx, dfs_error_t *err)
{
    broker_t *self = ctx;
    links_config_t config = {.zmq = self->zmq,
                             .cluster = self->cluster,
                             .broker = self->node,
                             .id = &self->id,
                             .zap = self->zap,
                             .mail = self->mail,
                             .fatal_fd = self->fatal_fd};

    memcpy (config.grant_key, self->grant_key, sizeof config.grant_key);
    memcpy (config.handle_key, self->handle_key, sizeof config.handle_key);
    self->links = links_new (&config, err);
    return self->links ? DFS_OK : err->code;
}

static void stop_links (void *ctx)
{
    links_destroy (&((broker_t *)ctx)->links);
}

static int start_journal (void *ctx, dfs_error_t *err)
{
    broker_t *self = ctx;
    journal_broker_t brokers[JOURNAL_MEMBERS];

    self->peers = peerlist_new (self->cluster->path, err);
    if (!self->peers)
        return err->code;
    size_t n = peerlist_get (self->peers, brokers);
    journal_config_t config = {.dir = self->node->data[0],
                               .applied = storage_applied (self->storage),
                               .id = self->disk ? self->disk : 1,
                               .name = self->node->name,
                               .memory_durability = self->cluster->memory_durability,
                               .events = {.committed = on_committed,
                                          .dropped = on_dropped,
                                          .role = on_role,
                                          .read_point = on_read_point,
                                          .answered = on_answered,
                                          .members = on_members,
                                          .failed = give_up,
                                          .arg = self}};

    if (n > 1)
        config.peers = (journal_peers_t){
            .zmq = self->zmq,
            .secret = &self->id,
            .zap = self->zap,
            .bind = self->node->bind,
            .port = self->node->port ? (uint16_t)(self->node->port + 4) : 0,
            .brokers = brokers,
            .n = n,
            .address = on_address,
            .copy_state = on_copy_state,
            .check_state = on_check_state,
            .take_state = on_take_state,
            .arg = self};
    pthread_mutex_lock (&self->sync);
    self->journal = journal_open (&config, err);
    pthread_mutex_unlock (&self->sync);
    if (!self->journal)
        peerlist_destroy (&self->peers);
    return self->journal ? DFS_OK : err->code;
}

static void stop_journal (void *ctx)
{
    broker_t *self = ctx;

    pthread_mutex_lock (&self->sync);
    journal_t *journal = self->journal;
    self->journal = NULL;
    pthread_mutex_unlock (&self->sync);
    journal_close (&journal);
    peerlist_destroy (&self->peers);
}

static int start_serving (void *ctx, dfs_error_t *err)
{
    broker_t *self = ctx;

    return links_start (self->links, self->journal, self->storage, err);
}

static void stop_serving (void *ctx)
{
    links_stop (((broker_t *)ctx)->links);
}

/* What storage still answers while it ends goes into the mailbox, which outlives it;
 * the sockets are bound only when the tables could be opened. */
const daemon_module_t broker_modules[] = {
    {"node", start_node, stop_node},          {"storage", start_storage, stop_storage},
    {"links", start_links, stop_links},       {"journal", start_journal, stop_journal},
    {"serving", start_serving, stop_serving}, {NULL, NULL, NULL},
};

/* The port for other brokers is named only where the configuration fixes it: alone,
 * this one does not listen there. */
const char *broker_ready (void *ctx)
{
    broker_t *self = ctx;
    uint16_t p[5];
    char peers[16] = "";

    links_ports (self->links, p);
    if (self->node->port)
        snprintf (peers, sizeof peers, " %u", self->node->port + 4u);
    else if (journal_port (self->journal))
        snprintf (peers, sizeof peers, " %u", journal_port (self->journal));
    snprintf (self->ready, sizeof self->ready, "pid %d\nports %u %u %u %u%s\n",
              (int)getpid (), p[0], p[1], p[2], p[3], peers);
    return self->ready;
}

void broker_reload (void *ctx)
{
    broker_t *self = ctx;
    dfs_error_t err;
    cluster_t *cluster = cluster_load (self->cluster->path, &err);
    if (!cluster) {
        log_error ("reload_failed", "err=\"%s\"", err.text);
        return;
    }
    if (self->level < 0)
        log_set_level (cluster->log_level);
    log_set_slow (cluster->slow_ns);
    links_reload (self->links, cluster);
    if (peerlist_reload (self->peers, &err) < 0)
        log_error ("reload_failed", "err=\"%s\"", err.text);
    else if (journal_port (self->journal)) {
        journal_broker_t brokers[JOURNAL_MEMBERS];
        size_t n = peerlist_get (self->peers, brokers);
        journal_brokers (self->journal, brokers, n);
    }
}

int broker_fatal_fd (const broker_t *self)
{
    return self->fatal_fd;
}

/* --- a broker that does not run --- */

static void print_fault (const char *text, void *arg)
{
    (void)arg;
    printf ("%s\n", text);
}

int broker_fsck (const cluster_t *cluster, const cluster_node_t *node, dfs_error_t *err)
{
    mark_t mark;

    int lock_fd = take_directory (cluster, node, &mark, err);
    if (lock_fd < 0)
        return lock_fd;
    int rc = namespace_fsck (node->data[0], print_fault, NULL, err);
    close (lock_fd);
    return rc;
}
