/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of the scan, shared by scan.c (what is looked at, and when) and scan_look.c
 * (what is found). */
#ifndef BROKER_CORE_SCAN_PRIVATE_H
#define BROKER_CORE_SCAN_PRIVATE_H

#include "broker/core/scan.h"

/* What a pass over all chunks counts. */
typedef struct tally {
    uint64_t surplus;
    uint64_t crowded[DOMAIN_DEPTH];
    uint64_t spread; /* chunks that get a copy elsewhere because of that */
} tally_t;

struct scan {
    /* workers whose copies are to be looked at, the first one is being scanned */
    uint32_t *workers;
    size_t n_workers;
    size_t cap_workers;
    bool all_wanted; /* every chunk; after the workers */
    bool scanning_all;
    bool again; /* chunks were left out because the copier was full */
    bool known; /* everybody had caught up once since this broker leads */
    /* the page in the air */
    uint64_t token;  /* 0: none */
    uint32_t worker; /* of this scan, 0: all */
    bool started;
    bool from_start; /* nothing behind AFTER yet, its first page */
    copykey_t after;
    uint64_t retry_at; /* a page could not be had: asked again then */
    /* single chunks */
    copykey_t *checks;
    size_t n_checks;
    size_t cap_checks;
    uint64_t check_token;
    size_t n_checking; /* in that lookup */
    /* hold */
    bool deaths;  /* in this step */
    bool changes; /* of any worker, in this step */
    bool held;
    uint64_t held_until;
    uint64_t deaths_after; /* earlier ones do not count for a hold */
    tally_t tally;         /* of the pass over all chunks that runs */
    uint64_t pass_began;
    uint64_t pass_took;  /* the last one */
    uint64_t pass_at;    /* the next one, though nothing happened */
    uint64_t recount_at; /* crowded copies may have been added: 0 no */
    tally_t seen;        /* of the last one */
    uint64_t spreads;    /* copies made to stand apart when it began */
    uint64_t made;       /* copies made at all */
};

/* One chunk as storage knows it: asks the copier and the trimmer for what it needs. */
void scan_look (core_t *core, const core_chunk_t *found);

#endif
