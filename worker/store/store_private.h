/* SPDX-License-Identifier: MPL-2.0 */
/* The store object for the files that implement store.h. */
#ifndef WORKER_STORE_STORE_PRIVATE_H
#define WORKER_STORE_STORE_PRIVATE_H

#include "worker/store/disk.h"

struct store {
    store_config_t config;
    disk_t **disks;
    size_t n;
    cache_t *cache;
};

/* The disk that has a copy to serve: 1 with *DISK and *ENTRY, 0, negative (a disk that
 * could not be asked, when no other has it). */
int store_locate (store_t *self, const copykey_t *key, disk_t **disk, entry_t *entry,
                  dfs_error_t *err);

void store_fill_info (const disk_t *disk, const copykey_t *key, const entry_t *entry,
                      store_info_t *info);

#endif
