/* SPDX-License-Identifier: MPL-2.0 */
/* Shared by lane.c (giving) and lane_get.c (getting). */
#ifndef BROKER_JOURNAL_LANE_PRIVATE_H
#define BROKER_JOURNAL_LANE_PRIVATE_H

#include <limits.h>
#include <pthread.h>

#include "common/mailbox.h"

#include "lane.h"

#define LANE_VERSION 1
#define LANE_ASK     32 /* version, 0, index, token, offset */
#define LANE_HEAD    48 /* version, code, token, index, size, offset, CRCs */
#define LANE_PIECE   (512 * 1024)

typedef struct lane_copy {
    uint64_t token; /* 0: none */
    uint64_t index;
    uint64_t size;
    uint32_t crc; /* of all of it */
    int fd;
    uint64_t used; /* monotonic */
} lane_copy_t;

typedef struct lane_given {
    char name[JOURNAL_NAME];
    uint64_t sent;
    uint64_t total;
    uint64_t at;
} lane_given_t;

struct lane {
    lane_config_t config;
    char copy_path[PATH_MAX];
    char part_path[PATH_MAX];
    mailbox_t *asks;
    pthread_t giver;
    pthread_t getter;
    bool giving;
    bool getting;
    uint32_t part_crc; /* of the getter's file so far */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    bool stop;
    bool copying;
    lane_copy_t copy; /* written by the giver under the lock */
    lane_given_t given[JOURNAL_MEMBERS];
    size_t n_given;
    bool wanted;
    bool unwanted; /* what is being fetched */
    size_t n_asks; /* that wait */
    raft_point_t point;
    char from[JOURNAL_NAME];
    uint8_t key[32];
};

void lane_free_ask (void *item);
int lane_checksum (int fd, uint64_t size, uint32_t *crc, dfs_error_t *err);
void *lane_get_main (void *lane);

#endif
