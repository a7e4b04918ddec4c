/* SPDX-License-Identifier: MPL-2.0 */
/* What brokers have told this worker: its member id, the other workers, the keys of
 * grants, log time. Written by the link, read by whoever needs it. Threads: any. */
#ifndef WORKER_LINKS_DIRECTORY_H
#define WORKER_LINKS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRECTORY_MEMBERS 4096 /* workers at most */
#define DIRECTORY_KEYS    4    /* grant keys valid at a time, at most */

typedef struct directory directory_t;

typedef struct member {
    uint32_t id;
    char name[64];
    char host[256];   /* as advertised */
    char address[64]; /* numeric; empty until it is resolved */
    uint16_t port;    /* ingest */
    bool has_key;
    uint8_t key[32];
} member_t;

typedef struct grant_key {
    uint32_t id;
    uint8_t key[32];
} grant_key_t;

directory_t *directory_new (void);
void directory_destroy (directory_t **self_p);

/* Own member id (0: not welcomed yet), and the session under which credits for what
 * this worker sends come back. */
void directory_set_self (directory_t *self, uint32_t worker, uint64_t session);
uint32_t directory_self (directory_t *self);
uint64_t directory_session (directory_t *self);

/* Replaces all keys (at most DIRECTORY_KEYS are kept). */
void directory_set_keys (directory_t *self, const grant_key_t *keys, size_t n);
bool directory_key (directory_t *self, uint32_t id, uint8_t key[32]);
size_t directory_n_keys (directory_t *self);

/* Replaces all members; addresses known for the same host are kept. */
void directory_set_members (directory_t *self, const member_t *members, size_t n);
bool directory_member (directory_t *self, uint32_t id, member_t *out);
/* Copies all members into OUT (MAX), returns their number. */
size_t directory_members (directory_t *self, member_t *out, size_t max);
/* HOST was found to be ADDRESS. */
void directory_set_address (directory_t *self, const char *host, const char *address);
/* Member ID cannot be reached at ADDRESS: its name is to be looked up again. */
void directory_forget_address (directory_t *self, uint32_t id, const char *address);
/* The first member from place FROM on that has no address: its place, and its host in
 * HOST; -1 when there is none. */
int directory_unresolved (directory_t *self, size_t from, char host[256]);

/* Log time as last heard, going on with the monotonic clock NOW; 0 when never heard. It
 * never goes back. */
void directory_set_log_time (directory_t *self, uint64_t log_time_ns, uint64_t now);
uint64_t directory_log_time (directory_t *self, uint64_t now);

#endif
