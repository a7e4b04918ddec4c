/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "worker/store/scan.h"

#define WINDOW (1024 * 1024)

static bool sound_extent (const extent_head_t *head, const uint8_t id[16],
                          uint32_t volume, uint64_t offset)
{
    return head->volume == volume && head->offset == offset &&
           memcmp (head->disk_id, id, 16) == 0;
}

static bool sound_batch (const batch_head_t *head, const uint8_t id[16],
                         uint32_t volume, uint64_t offset)
{
    return head->volume == volume && head->offset == offset &&
           memcmp (head->disk_id, id, 16) == 0;
}

int scan_at (int fd, const uint8_t id[16], uint32_t volume, uint64_t offset,
             scan_item_t *item, dfs_error_t *err)
{
    uint8_t head[BATCH_HEAD_PACKED];
    *item = (scan_item_t){.offset = offset, .next = offset + VOLUME_ALIGN};
    ssize_t n = io_pread_some (fd, head, sizeof head, offset, err);
    if (n < 0)
        return DFS_EIO;
    if (extent_head_unpack (head, (size_t)n, &item->extent) == DFS_OK &&
        sound_extent (&item->extent, id, volume, offset)) {
        item->kind = SCAN_EXTENT;
        item->next = offset + item->extent.length;
    } else if (batch_head_unpack (head, (size_t)n, &item->batch) == DFS_OK &&
               sound_batch (&item->batch, id, volume, offset)) {
        item->kind = SCAN_BATCH;
        item->next = offset + volume_align (item->batch.length);
    }
    return DFS_OK;
}

int scan_find_batch (int fd, const uint8_t id[16], uint32_t volume, uint64_t offset,
                     uint64_t min, scan_item_t *item, dfs_error_t *err)
{
    uint8_t *window = malloc (WINDOW);
    assert (window);
    int found = 0;
    for (;;) {
        ssize_t n = io_pread_some (fd, window, WINDOW, offset, err);
        if (n < 0)
            found = DFS_EIO;
        if (n <= 0)
            break;
        for (size_t i = 0; i + BATCH_HEAD_PACKED <= (size_t)n; i += VOLUME_ALIGN) {
            batch_head_t *head = &item->batch;
            if (batch_head_unpack (window + i, (size_t)n - i, head) < 0 ||
                !sound_batch (head, id, volume, offset + i) || head->number < min)
                continue;
            item->kind = SCAN_BATCH;
            item->offset = offset + i;
            item->next = item->offset + volume_align (head->length);
            found = 1;
            break;
        }
        if (found)
            break;
        offset += WINDOW;
    }
    free (window);
    return found;
}

int scan_load (scan_batch_t *self, int fd, const batch_head_t *head, dfs_error_t *err)
{
    size_t len = (size_t)head->length; /* at most BATCH_MAX: unpack checked */
    if (len > self->cap) {
        free (self->data);
        self->data = malloc (len);
        assert (self->data);
        self->cap = len;
    }
    ssize_t n = io_pread_some (fd, self->data, len, head->offset, err);
    if (n < 0)
        return DFS_EIO;
    memset (self->data + n, 0, len - (size_t)n);
    self->seed = record_seed (head->disk_id);
    self->len = len;
    self->at = BATCH_HEAD_PACKED;
    self->seen = 0;
    self->lost = 0;
    self->zeroed = 0;
    return DFS_OK;
}

/* Length of the run of zero bytes at AT when it reaches a page boundary: space that was
 * given back. */
static size_t zero_run (const scan_batch_t *self, size_t at)
{
    size_t end = at;
    while (end < self->len && self->data[end] == 0)
        end++;
    if (end < self->len)
        end &= ~(size_t)(VOLUME_ALIGN - 1);
    return end > at ? end - at : 0;
}

int scan_record (scan_batch_t *self, const batch_head_t *head, record_t *rec,
                 uint64_t *at)
{
    bool skipped = false;
    while (self->seen < head->count && self->at + RECORD_HEAD_MIN <= self->len) {
        if (record_unpack (self->data + self->at, self->len - self->at, self->seed,
                           rec) == DFS_OK) {
            *at = self->at;
            self->at += rec->head_len + record_payload (rec);
            self->seen++;
            self->lost += skipped;
            return 1;
        }
        size_t zero = self->data[self->at] ? 0 : zero_run (self, self->at);
        if (zero >= RECORD_HEAD_MIN) {
            self->zeroed += zero;
            self->at += zero;
        } else {
            skipped = true;
            self->at++;
        }
    }
    self->lost += skipped || (self->seen < head->count && self->zeroed == 0);
    self->seen = head->count;
    return 0;
}

void scan_free (scan_batch_t *self)
{
    free (self->data);
    *self = (scan_batch_t){0};
}
