/* SPDX-License-Identifier: MPL-2.0 */
/* Drives the consensus core of cowsql raft (raft_step) with the guards around it:
 * events go in by calls, orders come out by callbacks. No socket, file, clock or
 * thread: the journal runs it on real ones, the simulator on virtual ones.
 *
 * Threads: one owner. Callbacks must not call back into the driver. Times are
 * milliseconds of a clock that never goes back. */
#ifndef BROKER_JOURNAL_RAFT_DRIVER_H
#define BROKER_JOURNAL_RAFT_DRIVER_H

#include "common/error.h"

#include "journal.h"
#include "raft_wire.h"
#include "wal.h"

typedef struct raft_driver raft_driver_t;

#define POINT_CONF_MAX 2048

/* A snapshot: everything up to INDEX of TERM, and who the voters were then. The state
 * itself travels on a lane of its own. */
typedef struct raft_point {
    uint64_t index; /* 0: none */
    uint64_t term;
    uint64_t founding; /* of the log it is of */
    uint64_t conf_index;
    size_t conf_len;
    uint8_t conf[POINT_CONF_MAX];
} raft_point_t;

/* Orders. What returns int is done, and durable, on return; a negative code is final
 * (raft_driver_failed). */
typedef struct raft_driver_ops {
    int (*save_vote) (uint64_t term, uint64_t voted_for, void *arg);
    /* The log from the index of the first entry on becomes these (borrowed during the
     * call). Call raft_driver_persisted when they are durable, in the order of appends.
     */
    void (*append) (const wal_entry_t *entries, size_t n, void *arg);
    /* Durable entries of the log; as wal_read. Unless WAIT it may be DFS_EAGAIN: they
     * are on their way from the disk, then call raft_driver_go_on. */
    int (*read) (uint64_t from, uint64_t to, size_t max_bytes, bool wait,
                 wal_entries_t *out, void *arg);
    /* Term and type of a durable entry, without any wait; false: it is not there. */
    bool (*look) (uint64_t index, uint64_t *term, enum record_type *type, void *arg);
    /* Own snapshot POINT is to be kept for the next start: call raft_driver_point_saved
     * when it is durable. */
    void (*save_point) (const raft_point_t *point, void *arg);
    /* It counts now: entries up to TRIM are not needed any more. */
    void (*point_taken) (const raft_point_t *point, uint64_t trim, void *arg);
    void (*send) (uint64_t to, const void *bytes, size_t len, void *arg);
    /* Fetch the state of POINT from broker FROM, make state, POINT and an empty log
     * behind it durable, then call raft_driver_installed. */
    void (*install) (const raft_point_t *point, uint64_t from, void *arg);
    void (*committed) (const journal_entry_t *entries, size_t n, void *arg);
    void (*dropped) (const uint64_t *cookies, size_t n, int code, void *arg);
    void (*role) (enum journal_role role, uint64_t term, uint64_t leader,
                  const char *address, void *arg);
    void (*read_point) (uint64_t cookie, int code, uint64_t index, void *arg);
    void *arg;
} raft_driver_ops_t;

typedef struct raft_driver_config {
    uint64_t id;
    const char *address;
    uint64_t boot; /* higher than in any run before: the epoch of the log */
    unsigned seed;
    unsigned election_ms;  /* 0: 300 */
    unsigned heartbeat_ms; /* 0: 50 */
    unsigned install_ms;   /* a snapshot is sent again after this; 0: 30000 */
    unsigned in_flight;    /* entries to one follower; 0: 1024 */
    size_t flight_bytes;   /* of them, beside the first packet; 0: 32 MiB */
    size_t cache_bytes;    /* of durable entries kept in memory; 0: 16 MiB */
    size_t window_bytes;   /* delivered and not yet applied; 0: 64 MiB */
    size_t step_bytes;     /* delivered at one time; 0: 4 MiB */
    unsigned hang_ms;      /* without any write that ends: stuck; 0: 5000 */
    bool no_pre_vote;
    /* What is durable: */
    uint64_t term;
    uint64_t voted_for;
    raft_point_t point;
    uint64_t first; /* of the log; last = first - 1 when it is empty */
    uint64_t last;
    uint64_t applied; /* deliver committed entries behind this one */
    raft_driver_ops_t ops;
} raft_driver_config_t;

/* Encodes the first entry of a new log, a change: N brokers with IDS and ADDRESSES, all
 * voters. Returns owned. */
uint8_t *raft_driver_bootstrap (const uint64_t *ids, const char *const *addresses,
                                size_t n, size_t *len);

/* The number of a log that begins with ENTRY: logs of different foundings, which look
 * alike by indexes and terms, never meet. Not 0. */
uint64_t raft_driver_founding_of (const void *entry, size_t len);

/* True when the change ENTRY has broker ID in it. */
bool raft_driver_names (const uint8_t *entry, size_t len, uint64_t id);

/* True when a log FIRST to LAST, with TERM at the index of POINT (0: not known), goes
 * on from POINT; otherwise it must be emptied before the start. */
bool raft_driver_log_fits (const raft_point_t *point, uint64_t first, uint64_t last,
                           uint64_t term);

raft_driver_t *raft_driver_new (const raft_driver_config_t *config, uint64_t now,
                                dfs_error_t *err);
void raft_driver_destroy (raft_driver_t **self_p);

/* From now on it never asks for votes, or does again. It keeps the log, and votes. */
void raft_driver_abstain (raft_driver_t *self, bool abstains);
/* When to call raft_driver_tick next. */
uint64_t raft_driver_deadline (const raft_driver_t *self);
void raft_driver_tick (raft_driver_t *self, uint64_t now);
/* A packet of broker FROM, as the transport knows it. Negative: nothing was done;
 * DFS_EDAMAGED: there are two leaders of one term. */
int raft_driver_receive (raft_driver_t *self, uint64_t now, uint64_t from,
                         const void *bytes, size_t len, dfs_error_t *err);
/* Proposes N commands. DFS_ENOTLEADER. */
int raft_driver_submit (raft_driver_t *self, uint64_t now,
                        const journal_proposal_t *proposals, size_t n,
                        dfs_error_t *err);
void raft_driver_read (raft_driver_t *self, uint64_t now, uint64_t cookie);
void raft_driver_persisted (raft_driver_t *self, uint64_t now);
/* The state machine knows everything up to INDEX by other means than the log: entries
 * up to there are not delivered. */
void raft_driver_skip (raft_driver_t *self, uint64_t index);
/* Only after all appends before it are durable. */
void raft_driver_installed (raft_driver_t *self, uint64_t now);
/* The state could not be fetched; all is as before, the log on disk is FIRST to LAST.
 */
void raft_driver_not_installed (raft_driver_t *self, uint64_t now, uint64_t first,
                                uint64_t last);
/* The state machine is durable up to INDEX: more may be delivered. */
void raft_driver_applied (raft_driver_t *self, uint64_t now, uint64_t index);
/* Announces a snapshot at INDEX, up to where the state machine is durable, if it may;
 * the KEEP entries before it stay in the log. */
void raft_driver_snapshot (raft_driver_t *self, uint64_t now, uint64_t index,
                           uint64_t keep);
/* The snapshot that was given to save_point is durable, or (not SAVED) there was no
 * room for it. */
void raft_driver_point_saved (raft_driver_t *self, uint64_t now, bool saved);
/* Goes on with what waited for a read, or was too much for one time. */
void raft_driver_go_on (raft_driver_t *self, uint64_t now);
/* True when there is more to deliver at once. */
bool raft_driver_more (const raft_driver_t *self);
/* True while nothing is delivered because too much waits to be applied. */
bool raft_driver_full (const raft_driver_t *self);

/* What the disk does: NO_ROOM while writes wait for some; the state machine HANGS. One
 * that does not come to an end of its writes is stuck: a leader with others hands the
 * lead on, and nobody is elected here until that is over. Call it now and then. */
bool raft_driver_watch_disk (raft_driver_t *self, uint64_t now, bool no_room,
                             bool hangs);

/* One broker joins as a standby, becomes a voter (once it has everything), a standby
 * again, or leaves (ROLE -1). DFS_EAGAIN: not now. */
enum raft_member { MEMBER_STANDBY = 0, MEMBER_VOTER = 1, MEMBER_GONE = -1 };
int raft_driver_change (raft_driver_t *self, uint64_t now, uint64_t id,
                        const char *address, enum raft_member role, dfs_error_t *err);
/* Hands leadership to ID (0: who has most). */
int raft_driver_transfer (raft_driver_t *self, uint64_t now, uint64_t id,
                          dfs_error_t *err);
/* That goes on: it is given up after an election timeout, and may be asked for again.
 */
bool raft_driver_transferring (const raft_driver_t *self);

/* NULL while all is well. */
const dfs_error_t *raft_driver_failed (const raft_driver_t *self);
enum journal_role raft_driver_role (const raft_driver_t *self);
uint64_t raft_driver_term (const raft_driver_t *self);
uint64_t raft_driver_committed (const raft_driver_t *self);
uint64_t raft_driver_last (const raft_driver_t *self);
/* Leads, and an entry of its own term is committed and delivered. */
bool raft_driver_leads (const raft_driver_t *self);
/* When a leader was last heard; 0: never. */
uint64_t raft_driver_heard (const raft_driver_t *self);
/* Number of this log's founding; 0: it has no entry yet. */
uint64_t raft_driver_founding (const raft_driver_t *self);
/* Id of the leader, 0 when none is known. */
uint64_t raft_driver_leader (const raft_driver_t *self);
/* Bytes of proposals made here and not yet committed or dropped. */
size_t raft_driver_in_flight (const raft_driver_t *self);
size_t raft_driver_proposals (const raft_driver_t *self);
/* Forgets them: they are dropped with DFS_ENOTLEADER, and may commit all the same. */
void raft_driver_drop (raft_driver_t *self);
/* Voters of the present configuration. */
size_t raft_driver_voters (const raft_driver_t *self);
/* Last snapshot announced. */
uint64_t raft_driver_point (const raft_driver_t *self);

typedef struct raft_server_info {
    uint64_t id;
    char address[WIRE_ADDRESS_MAX + 1];
    enum raft_member role;
    uint64_t match; /* at the leader: durable there */
} raft_server_info_t;
/* The present configuration, at most MAX servers of it. */
size_t raft_driver_servers (const raft_driver_t *self, raft_server_info_t *out,
                            size_t max);
/* Index of the configuration above while it is not committed, else 0. */
uint64_t raft_driver_changing (const raft_driver_t *self);

#endif
