/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "worker/store/disk.h"

#define OPEN_MAX_IDLE 256        /* volumes kept open that nobody uses */
#define AHEAD_MAX     (32 * MIB) /* space allocated before it is asked for */
#define AHEAD_SHARE   256        /* … of the capacity */

int volume_path (const disk_t *self, uint32_t number, char *out, size_t cap)
{
    int n = snprintf (out, cap, "%s/volumes/%08x.vol", self->dir, number);
    return n < (int)cap ? 0 : -1;
}

static volume_t *volume_new (uint32_t number)
{
    volume_t *vol = calloc (1, sizeof *vol);
    assert (vol);
    vol->number = number;
    vol->fd = -1;
    vol->direct = -1;
    vol->end = VOLUME_HEAD_LEN;
    return vol;
}

/* Keeps the list ascending. */
static void insert (disk_t *self, volume_t *vol)
{
    self->volumes =
        realloc (self->volumes, (self->n_volumes + 1) * sizeof *self->volumes);
    assert (self->volumes);
    size_t i = self->n_volumes++;
    for (; i > 0 && self->volumes[i - 1]->number > vol->number; i--)
        self->volumes[i] = self->volumes[i - 1];
    self->volumes[i] = vol;
}

volume_t *volume_find (const disk_t *self, uint32_t number)
{
    size_t lo = 0;
    size_t hi = self->n_volumes;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (self->volumes[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < self->n_volumes && self->volumes[lo]->number == number
               ? self->volumes[lo]
               : NULL;
}

static void close_fds (volume_t *vol)
{
    io_close (vol->fd);
    io_close (vol->direct);
    vol->fd = vol->direct = -1;
}

static int open_fds (disk_t *self, volume_t *vol, dfs_error_t *err)
{
    char path[512];
    volume_path (self, vol->number, path, sizeof path);
    vol->fd = io_open (path, O_RDWR, 0, err);
    if (vol->fd == DFS_EROFS || vol->fd == DFS_EPERM)
        vol->fd = io_open (path, O_RDONLY, 0, err);
    return vol->fd < 0 ? vol->fd : DFS_OK;
}

/* Direct writes cost a tenth of the CPU of buffered ones; where the file system has
 * none (tmpfs), the buffered fd does. */
static void open_direct (disk_t *self, volume_t *vol)
{
    if (vol->direct >= 0 || self->config->no_direct)
        return;
    char path[512];
    volume_path (self, vol->number, path, sizeof path);
    vol->direct = io_open (path, O_RDWR | O_DIRECT, 0, NULL);
    if (vol->direct < 0)
        vol->direct = -1;
}

static void close_idle (disk_t *self)
{
    size_t open = 0;
    for (size_t i = 0; i < self->n_volumes; i++)
        open += self->volumes[i]->fd >= 0;
    for (size_t i = 0; open > OPEN_MAX_IDLE && i < self->n_volumes; i++) {
        volume_t *vol = self->volumes[i];
        if (vol->fd >= 0 && vol->refs == 0 && vol != self->active) {
            close_fds (vol);
            open--;
        }
    }
}

volume_t *volume_use (disk_t *self, uint32_t number, dfs_error_t *err)
{
    volume_t *vol = volume_find (self, number);
    if (!vol) {
        fail (err, DFS_ENOENT, "volume %08x is missing", number);
        return NULL;
    }
    if (vol->fd < 0) {
        close_idle (self);
        if (open_fds (self, vol, err) < 0)
            return NULL;
    }
    vol->refs++;
    return vol;
}

void volume_done (disk_t *self, volume_t *vol)
{
    assert (vol->refs > 0);
    vol->refs--;
    if (vol->inflight == 0 && vol->refs == 0 && vol != self->active &&
        vol->direct >= 0) {
        io_close (vol->direct);
        vol->direct = -1;
    }
}

/* --- finding what lies in the directory --- */

static int load (disk_t *self, uint32_t number, bool last, dfs_error_t *err)
{
    volume_t *vol = volume_new (number);
    uint8_t head[VOLUME_HEAD_PACKED];
    volume_head_t vh;
    uint64_t size = 0;
    int rc = open_fds (self, vol, err);
    if (rc < 0) {
        free (vol);
        return rc;
    }
    struct stat st;
    if (fstat (vol->fd, &st) < 0) {
        rc = fail_errno (err, "volume %08x", number);
        goto out;
    }
    size = (uint64_t)st.st_size;
    ssize_t n = io_pread_some (vol->fd, head, sizeof head, 0, err);
    rc = n < 0 ? (int)n : volume_head_unpack (head, (size_t)n, &vh);
    if (rc == DFS_EDAMAGED && last && size <= VOLUME_HEAD_LEN) {
        /* Its making was cut short: nothing was ever in it. */
        char path[512];
        volume_path (self, number, path, sizeof path);
        rc = io_unlink (path, err);
        close_fds (vol);
        free (vol);
        return rc;
    }
    if (rc == DFS_EVERSION) {
        rc = fail (err, DFS_EVERSION, "volume %08x has a newer format", number);
        goto out;
    }
    if (rc == DFS_EIO)
        goto out;
    if (rc < 0 || vh.number != number || memcmp (vh.disk_id, self->id, 16) != 0) {
        /* Its items name disk and place themselves: the volume is still good to read.
         */
        log_error ("volume_header_damaged", "disk=%s volume=%08x", self->dir, number);
        vol->bad = true;
    }
    vol->end = volume_align (size < VOLUME_HEAD_LEN ? VOLUME_HEAD_LEN : size);
    uint64_t held = (uint64_t)st.st_blocks * 512;
    vol->punched = held < vol->end ? (vol->end - held) & ~(uint64_t)4095 : 0;
    self->used += vol->end - vol->punched;
    close_fds (vol);
    insert (self, vol);
    return DFS_OK;
out:
    close_fds (vol);
    free (vol);
    return rc;
}

static int cmp_u32 (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int volume_load_all (disk_t *self, dfs_error_t *err)
{
    char path[512];
    snprintf (path, sizeof path, "%s/volumes", self->dir);
    DIR *dir = opendir (path);
    if (!dir)
        return fail_errno (err, "open %s", path);
    uint32_t *numbers = NULL;
    size_t n = 0;
    for (struct dirent *de; (de = readdir (dir));) {
        unsigned number;
        int end = 0;
        if (sscanf (de->d_name, "%8x.vol%n", &number, &end) != 1 || end != 12 ||
            de->d_name[12] || number == 0)
            continue;
        numbers = realloc (numbers, (n + 1) * sizeof *numbers);
        assert (numbers);
        numbers[n++] = number;
    }
    closedir (dir);
    if (n)
        qsort (numbers, n, sizeof *numbers, cmp_u32);
    int rc = DFS_OK;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = load (self, numbers[i], i + 1 == n, err);
    free (numbers);
    return rc;
}

void volume_close_all (disk_t *self)
{
    for (size_t i = 0; i < self->n_volumes; i++) {
        close_fds (self->volumes[i]);
        free (self->volumes[i]);
    }
    free (self->volumes);
    self->volumes = NULL;
    self->n_volumes = 0;
    self->active = NULL;
}

/* --- making and taking space --- */

static volume_t *create (disk_t *self, dfs_error_t *err)
{
    uint32_t number =
        self->n_volumes ? self->volumes[self->n_volumes - 1]->number + 1 : 1;
    if (number <= self->durable.volume)
        number = self->durable.volume + 1;
    volume_head_t head = {.number = number,
                          .incarnation = self->incarnation,
                          .first_batch = self->next_batch,
                          .first_seq = self->next_seq,
                          .created = clock_wall ()};
    memcpy (head.disk_id, self->id, 16);
    uint8_t page[VOLUME_HEAD_LEN] = {0};
    volume_head_pack (&head, page);
    char path[512];
    char dir[512];
    volume_path (self, number, path, sizeof path);
    snprintf (dir, sizeof dir, "%s/volumes", self->dir);
    volume_t *vol = volume_new (number);
    vol->fd = io_open (path, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    int rc = vol->fd < 0 ? vol->fd : DFS_OK;
    if (rc == 0)
        rc = io_pwrite (vol->fd, page, sizeof page, 0, err);
    /* The header becomes durable with the first batch, by the fdatasync of that. */
    if (rc == 0 && !self->config->memory_durability)
        rc = io_sync_dir (dir, err);
    if (rc < 0) {
        close_fds (vol);
        free (vol);
        unlink (path);
        return NULL;
    }
    insert (self, vol);
    self->used += vol->end;
    return vol;
}

void volume_trim (disk_t *self, volume_t *vol)
{
    if (vol->allocated <= vol->end || disk_writable (self, NULL) < 0 ||
        !volume_use (self, vol->number, NULL))
        return;
    io_ftruncate (vol->fd, vol->end, NULL); /* a hint: a start cuts it, too */
    vol->allocated = 0;
    volume_done (self, vol);
}

int volume_roll (disk_t *self, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    volume_t *old = self->active;
    volume_t *fresh = create (self, &mine);
    if (!fresh)
        return fail (err, mine.code, "new volume: %s", mine.text);
    self->active = fresh;
    if (old) {
        volume_trim (self, old);
        old->refs++; /* volume_done closes what is idle */
        volume_done (self, old);
    }
    return DFS_OK;
}

int volume_take (disk_t *self, uint64_t len, volume_t **out, uint64_t *offset,
                 dfs_error_t *err)
{
    volume_t *vol = self->active;
    if (!vol || (vol->end > VOLUME_HEAD_LEN && vol->end + len > self->volume_size)) {
        int rc = volume_roll (self, err);
        if (rc < 0)
            return rc;
        vol = self->active;
    }
    if (!volume_use (self, vol->number, err))
        return DFS_EIO;
    *out = vol;
    *offset = vol->end;
    vol->end += len;
    self->used += len;
    return DFS_OK;
}

/* How much to allocate at once for LEN bytes at OFFSET: each call waits for the journal
 * of the file system, so a stream of chunks makes few of them. Not more than the volume
 * has taken so far, nor much of the disk. */
static uint64_t ahead (disk_t *self, const volume_t *vol, uint64_t offset, uint64_t len)
{
    uint64_t most = disk_capacity (self) / AHEAD_SHARE;
    most = most < AHEAD_MAX ? most : AHEAD_MAX;
    most = most < vol->end ? most : vol->end;
    uint64_t rest = self->volume_size > offset ? self->volume_size - offset : 0;
    most = volume_align (most < rest ? most : rest);
    return most > len && disk_room (self, most, false, NULL) == DFS_OK ? most : len;
}

/* Writes into space that is there already go to the disk without waiting for each other
 * (and for the journal), and find it full before they begin. */
static int allocate (disk_t *self, volume_t *vol, uint64_t offset, uint64_t len,
                     bool *allocated, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    *allocated = offset + len <= vol->allocated;
    if (*allocated || vol->scattered)
        return DFS_OK;
    uint64_t step = ahead (self, vol, offset, len);
    int rc = step > len ? io_fallocate (vol->fd, offset, step, &mine) : DFS_ENOSPC;
    if (rc < 0) {
        if (step > len && rc == DFS_ENOSPC)
            io_punch (vol->fd, offset, step, NULL); /* what it found before */
        step = len;
        rc = io_fallocate (vol->fd, offset, len, &mine);
    }
    *allocated = rc == DFS_OK;
    if (rc == DFS_OK)
        vol->allocated = offset + step;
    if (rc == DFS_ENOSPC)
        io_punch (vol->fd, offset, len, NULL);
    if (rc == DFS_ENOSPC || rc == DFS_EIO || rc == DFS_EROFS)
        return fail (err, rc, "%s", mine.text);
    vol->scattered = rc < 0;
    return DFS_OK;
}

int volume_reserve (disk_t *self, const record_t *rec, volume_t **vol, uint64_t *offset,
                    uint64_t *promised, dfs_error_t *err)
{
    uint64_t len = extent_length (rec->stored_len);
    int rc = volume_take (self, len, vol, offset, err);
    if (rc < 0)
        return rc;
    extent_head_t head = {.state = EXTENT_RESERVED,
                          .volume = (*vol)->number,
                          .offset = *offset,
                          .length = len,
                          .key = rec->key,
                          .stored_len = rec->stored_len,
                          .true_len = rec->true_len,
                          .birth = rec->birth};
    memcpy (head.disk_id, self->id, 16);
    uint8_t page[VOLUME_ALIGN] = {0};
    extent_head_pack (&head, page);
    /* Under the lock: the header is in the file before anything behind it is, so one
     * fdatasync makes both durable and the scan can step over. */
    bool allocated;
    rc = allocate (self, *vol, *offset, len, &allocated, err);
    if (rc == 0)
        rc = io_pwrite ((*vol)->fd, page, sizeof page, *offset, err);
    if (rc < 0) {
        if ((*vol)->end == *offset + len) {
            (*vol)->end = *offset;
            self->used -= len;
        }
        volume_done (self, *vol);
        *vol = NULL;
        return rc;
    }
    open_direct (self, *vol);
    *promised = allocated ? 0 : len - EXTENT_DATA;
    self->promised += *promised;
    (*vol)->inflight++;
    return DFS_OK;
}

/* The bytes that the file holds. */
static uint64_t held_by (const volume_t *vol)
{
    struct stat st;
    return fstat (vol->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static bool was_freed (const volume_t *vol, const extent_head_t *head)
{
    uint8_t packed[EXTENT_HEAD_PACKED];
    extent_head_t found;
    return io_pread (vol->fd, packed, sizeof packed, head->offset, NULL) == DFS_OK &&
           extent_head_unpack (packed, sizeof packed, &found) == DFS_OK &&
           found.state == EXTENT_FREED;
}

void volume_free_extent (disk_t *self, volume_t *vol, const extent_head_t *head)
{
    if (disk_writable (self, NULL) < 0)
        return;
    /* After a crash this may have been done before: then it counts as what it gives. */
    bool again = was_freed (vol, head);
    uint64_t before = again ? held_by (vol) : 0;
    extent_head_t freed = *head;
    freed.state = EXTENT_FREED;
    uint8_t packed[EXTENT_HEAD_PACKED];
    extent_head_pack (&freed, packed);
    if (io_pwrite (vol->fd, packed, sizeof packed, head->offset, NULL) < 0)
        return; /* the space stays taken until the volume is compacted */
    uint64_t len = head->length - EXTENT_DATA;
    if (len && io_punch (vol->fd, head->offset + EXTENT_DATA, len, NULL) == 0) {
        uint64_t after = again ? held_by (vol) : 0;
        if (again)
            len = before > after && before - after < len ? before - after : 0;
        if (len > vol->end - vol->punched)
            len = vol->end - vol->punched;
        vol->punched += len;
        self->used -= len;
    }
}

int volume_remove (disk_t *self, volume_t *vol, dfs_error_t *err)
{
    assert (vol->refs == 0 && vol->inflight == 0 && vol != self->active);
    char path[512];
    volume_path (self, vol->number, path, sizeof path);
    int rc = io_unlink (path, err);
    if (rc < 0 && rc != DFS_ENOENT)
        return rc;
    self->used -= vol->end - vol->punched;
    size_t i = 0;
    while (self->volumes[i] != vol)
        i++;
    memmove (self->volumes + i, self->volumes + i + 1,
             (--self->n_volumes - i) * sizeof *self->volumes);
    close_fds (vol);
    free (vol);
    return DFS_OK; /* should it come back after a crash, it is empty still */
}

/* --- bytes --- */

int volume_write_data (disk_t *self, volume_t *vol, uint64_t offset, const void *data,
                       size_t len, dfs_error_t *err)
{
    const uint8_t *p = data;
    if (vol->direct < 0) {
        int rc = io_pwrite (vol->fd, data, len, offset, err);
        if (rc == 0)
            io_writeback (vol->fd, offset, len);
        return rc;
    }
    int rc = DFS_OK;
    uint8_t *page = buf_wait (self->staging);
    size_t cap = buf_size (self->staging);
    while (len && rc == 0) {
        size_t n = len < cap ? len : cap;
        size_t padded = (size_t)volume_align (n);
        memcpy (page, p, n);
        memset (page + n, 0, padded - n);
        rc = io_pwrite (vol->direct, page, padded, offset, err);
        p += n;
        offset += n;
        len -= n;
    }
    buf_put (self->staging, page);
    return rc;
}
