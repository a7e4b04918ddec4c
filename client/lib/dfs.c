/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/dfs.h"

#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/client.h"
#include "client/lib/presence.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/keys.h"

#define TIMEOUT_DEFAULT (30 * SEC)
#define OPEN_DEFAULT    (15 * SEC)  /* no broker that leads has been found by then */
#define LOOK_EVERY      (400 * MS)  /* whether any broker may be there at all */
#define NONE_WAIT       (2500 * MS) /* for one that is known not to run: a restart */
#define REFUSED_WAIT    (5 * SEC)   /* where that cannot be known, unless told */
#define ARENA_BUDGET    (16 * MIB)

const char *dfs_version (void)
{
    return PACKAGE_VERSION;
}

static int load (dfs_t *self, const dfs_options_t *options, dfs_error_t *err)
{
    const char *user = options->user;
    char *path = cluster_find (options->config, err);

    if (!path)
        return err->code;
    self->cluster = cluster_load (path, err);
    free (path);
    if (!self->cluster)
        return err->code;
    if (!user || !user[0])
        user = getenv ("DFS_USER");
    self->user = strdup (user && user[0] ? user : "admin");
    assert (self->user);
    if (strlen (self->user) > 63)
        return fail (err, DFS_EUSAGE, "user name is too long");
    self->id.secure = self->cluster->secure;
    int rc = 0;
    if (self->id.secure)
        rc = keys_load_secret (self->cluster->keys_dir, "user", self->user,
                               &self->id.keys, err);
    if (rc == DFS_ENOENT)
        rc = fail (err, DFS_ECONFIG, "no key of user %s in %s (user-%s_secret)",
                   self->user, self->cluster->keys_dir, self->user);
    return rc;
}

static bool nothing_under_way (void *arg)
{
    const dfs_t *self = arg;

    return !(self->engine && conn_used (self->conn)) && !changes_unsure (self->changes);
}

static bool something_unsure (void *arg)
{
    return changes_unsure (((const dfs_t *)arg)->changes);
}

static int start (dfs_t *self, dfs_error_t *err)
{
    self->ctx = zmq_ctx_new ();
    if (!self->ctx || zmq_ctx_set (self->ctx, ZMQ_MAX_SOCKETS, 4096) != 0)
        return fail (err, DFS_ESYS, "make a ZeroMQ context: %s", zmq_strerror (errno));
    self->arena = arena_new (ARENA_BUDGET);
    self->conn =
        conn_new (self->ctx, self->cluster, &self->id, self->user, self->stale);
    self->requests = requests_new (self->conn);
    requests_set_hops (self->requests, self->trace);
    self->changes = changes_new (self->conn, self->requests);
    conn_set_fresh (self->conn, nothing_under_way, something_unsure, self);
    self->streams = streams_new (self->ctx, &self->id);
    self->uplinks = uplinks_new (self->ctx, &self->id);
    return 0;
}

/* Since when nobody is there to connect to; 0: somebody may be. */
typedef struct absence {
    uint64_t look_at;
    uint64_t none_since, refused_since;
} absence_t;

/* Whether it is no use to wait any longer. */
static bool nobody (const dfs_t *self, absence_t *absence, bool patient)
{
    uint64_t now = clock_mono ();

    if (now < absence->look_at)
        return false;
    enum presence found =
        conn_absent (self->conn) ? presence_look (self->cluster) : PRESENCE_MAYBE;
    if (found != PRESENCE_NONE)
        absence->none_since = 0;
    else if (!absence->none_since)
        absence->none_since = now;
    if (found == PRESENCE_MAYBE)
        absence->refused_since = 0;
    else if (!absence->refused_since)
        absence->refused_since = now;
    absence->look_at = now + LOOK_EVERY;
    return !patient &&
           ((absence->none_since && now - absence->none_since >= NONE_WAIT) ||
            (absence->refused_since && now - absence->refused_since >= REFUSED_WAIT));
}

/* PATIENT: the caller wants a broker that is restarted to be waited for. */
static int connect_first (dfs_t *self, bool patient, dfs_error_t *err)
{
    self->progress_at = clock_mono ();
    absence_t absence = {.look_at = self->progress_at + LOOK_EVERY};
    while (!conn_up (self->conn)) {
        int rc = client_step (self, UINT64_MAX, err);
        if (rc == 0 && !conn_up (self->conn))
            rc = nobody (self, &absence, patient) ? conn_failure (self->conn, err)
                                                  : client_stalled (self, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

dfs_t *dfs_open (const dfs_options_t *options, dfs_error_t *err)
{
    static const dfs_options_t none = {0};
    dfs_error_t local;
    dfs_t *self = calloc (1, sizeof *self);

    assert (self);
    if (!options)
        options = &none;
    if (!err)
        err = &local;
    memset (err, 0, sizeof *err);
    self->pid = getpid ();
    self->log = options->log;
    self->log_arg = options->log_arg;
    self->trace_done = options->trace;
    self->trace_arg = options->trace_arg;
    if (options->trace)
        self->trace = trace_new ();
    self->stale = options->stale;
    self->timeout_ns = options->timeout_ms ? options->timeout_ms * MS : OPEN_DEFAULT;
    if (load (self, options, err) < 0 || start (self, err) < 0 ||
        connect_first (self, options->timeout_ms * MS > OPEN_DEFAULT, err) < 0) {
        dfs_close (&self);
        return NULL;
    }
    if (!options->timeout_ms)
        self->timeout_ns = TIMEOUT_DEFAULT;
    requests_set_patience (self->requests, self->timeout_ns);
    return self;
}

void dfs_close (dfs_t **dfs_p)
{
    dfs_t *self = dfs_p ? *dfs_p : NULL;

    if (!self)
        return;
    *dfs_p = NULL;
    if (self->pid != getpid ())
        return; /* a fork's copy: threads and sockets are the parent's */
    pool_destroy (&self->pool);
    trace_destroy (&self->trace);
    requests_destroy (&self->requests);
    changes_destroy (&self->changes);
    streams_destroy (&self->streams);
    uplinks_destroy (&self->uplinks);
    conn_destroy (&self->conn);
    if (self->ctx)
        zmq_ctx_term (self->ctx);
    slice_pool_destroy (&self->slices); /* the context held some until now */
    arena_destroy (&self->arena);
    cluster_destroy (&self->cluster);
    memset (&self->id, 0, sizeof self->id);
    free (self->user);
    free (self);
}
