/* SPDX-License-Identifier: MPL-2.0 */
/* Space kept allocated in a file. The store leaves some of a disk free, but others may
 * take that; without a page for a drop, or for the index, nothing could come back. It
 * is given when there is no other, and taken again when there is plenty. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "worker/store/disk.h"

#define SPARE_MIN   MIB
#define SPARE_MAX   (64 * MIB)
#define SPARE_SHARE 256 /* of the capacity */

static void path_of (const disk_t *disk, char out[512])
{
    snprintf (out, 512, "%s/spare", disk->dir);
}

void spare_look (disk_t *disk)
{
    char path[512];
    path_of (disk, path);
    disk->spare = access (path, F_OK) == 0;
}

bool spare_give (disk_t *disk)
{
    char path[512];
    path_of (disk, path);
    if (!atomic_exchange (&disk->spare, false) || io_unlink (path, NULL) < 0)
        return false;
    log_warn ("spare_given", "disk=%s why=no-space", disk->dir);
    return true;
}

void spare_keep (disk_t *disk)
{
    if (atomic_load (&disk->spare))
        return;
    pthread_mutex_lock (&disk->lock);
    uint64_t size = disk_capacity (disk) / SPARE_SHARE;
    size = volume_align (size < SPARE_MIN   ? SPARE_MIN
                         : size > SPARE_MAX ? SPARE_MAX
                                            : size);
    bool plenty = disk_writable (disk, NULL) == 0 &&
                  disk_room (disk, 2 * size, false, NULL) == DFS_OK;
    disk->space_at = 0;
    pthread_mutex_unlock (&disk->lock);
    if (!plenty)
        return;
    char path[512];
    path_of (disk, path);
    int fd = io_open (path, O_RDWR | O_CREAT, 0600, NULL);
    bool kept = fd >= 0 && io_fallocate (fd, 0, size, NULL) == DFS_OK;
    if (fd >= 0)
        io_close (fd);
    if (fd >= 0 && !kept)
        io_unlink (path, NULL);
    atomic_store (&disk->spare, kept);
}
