/* SPDX-License-Identifier: MPL-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <assert.h>

#include "common/io.h"
#include "msgs/mark.h"
#include "worker/store/scan.h"
#include "worker/store/store.h"

static void dump_record (FILE *out, const record_t *rec, uint64_t at,
                         const uint8_t *payload)
{
    char text[COPYKEY_TEXT];
    fprintf (out,
             "  %-8s seq=%" PRIu64 "%s at=%" PRIu64 " birth=%" PRIu64
             " length=%" PRIu32,
             record_type_name (rec->type), rec->seq,
             rec->bits & RECORD_MOVED ? " moved" : "", at, rec->birth, rec->stored_len);
    if (rec->type != RECORD_CHUNK)
        fprintf (out, " place=%08" PRIx32 ":%" PRIu64, rec->place_volume,
                 rec->place_offset);
    if (rec->flags || rec->encoding)
        fprintf (out, " flags=%u encoding=%u", rec->flags, rec->encoding);
    fprintf (out, " chunk=%s", copykey_text (&rec->key, text));
    if (rec->type == RECORD_CHUNK && record_check_payload (rec, payload) < 0)
        fputs (" BAD-CRC", out);
    fputc ('\n', out);
}

static int dump_batch (FILE *out, int fd, const batch_head_t *head, scan_batch_t *batch,
                       dfs_error_t *err)
{
    fprintf (out,
             " %12" PRIu64 " batch %" PRIu64 " records=%" PRIu32 " bytes=%" PRIu64
             " seq=%" PRIu64 "..%" PRIu64 " mark=%08" PRIx32 ":%" PRIu64 "\n",
             head->offset, head->number, head->count, head->length, head->first_seq,
             head->next_seq, head->mark_volume, head->mark_end);
    int rc = scan_load (batch, fd, head, err);
    record_t rec;
    uint64_t at;
    while (rc == 0 && scan_record (batch, head, &rec, &at) == 1)
        dump_record (out, &rec, head->offset + at, batch->data + at + rec.head_len);
    if (batch->lost)
        fprintf (out, "  BAD: %" PRIu32 " places in this batch cannot be read\n",
                 batch->lost);
    return rc;
}

static void dump_extent (FILE *out, const extent_head_t *head)
{
    char text[COPYKEY_TEXT];
    fprintf (out,
             " %12" PRIu64 " extent %s bytes=%" PRIu64 " length=%" PRIu32 " chunk=%s\n",
             head->offset, head->state == EXTENT_FREED ? "freed" : "reserved",
             head->length, head->stored_len, copykey_text (&head->key, text));
}

static int dump_volume (FILE *out, const char *path, const uint8_t id[16],
                        dfs_error_t *err)
{
    int fd = io_open (path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    uint8_t packed[VOLUME_HEAD_PACKED];
    volume_head_t head = {0};
    uint64_t size = 0;
    int rc = io_size (fd, &size, err);
    ssize_t n = rc == 0 ? io_pread_some (fd, packed, sizeof packed, 0, err) : -1;
    if (n < 0) {
        io_close (fd);
        return DFS_EIO;
    }
    if (volume_head_unpack (packed, (size_t)n, &head) < 0) {
        const char *name = strrchr (path, '/');
        head.number = (uint32_t)strtoul (name ? name + 1 : path, NULL, 16);
        fprintf (out, "volume %08" PRIx32 " bytes=%" PRIu64 " BAD-HEADER\n",
                 head.number, size);
    } else {
        fprintf (out,
                 "volume %08" PRIx32 " bytes=%" PRIu64 " first-batch=%" PRIu64
                 " first-seq=%" PRIu64 "\n",
                 head.number, size, head.first_batch, head.first_seq);
    }
    scan_batch_t batch = {0};
    uint64_t bad = 0;
    for (uint64_t at = VOLUME_HEAD_LEN; rc == 0 && at < size;) {
        scan_item_t item;
        rc = scan_at (fd, id, head.number, at, &item, err);
        if (rc == 0 && item.kind != SCAN_BAD && bad)
            fprintf (out, " %12" PRIu64 " nothing readable up to %" PRIu64 "\n", bad,
                     at);
        if (item.kind == SCAN_BAD && !bad)
            bad = at;
        else if (item.kind != SCAN_BAD)
            bad = 0;
        if (rc == 0 && item.kind == SCAN_EXTENT)
            dump_extent (out, &item.extent);
        if (rc == 0 && item.kind == SCAN_BATCH)
            rc = dump_batch (out, fd, &item.batch, &batch, err);
        at = item.next;
    }
    if (bad)
        fprintf (out, " %12" PRIu64 " nothing readable up to the end\n", bad);
    scan_free (&batch);
    io_close (fd);
    return rc;
}

static int is_volume (const struct dirent *de)
{
    size_t len = strlen (de->d_name);
    return len == 12 && strcmp (de->d_name + 8, ".vol") == 0;
}

int store_dump (const char *dir, FILE *out, dfs_error_t *err)
{
    mark_t mark;
    int rc = mark_read (dir, &mark, err);
    if (rc < 0)
        return rc;
    char hex[33];
    digest_hex (mark.disk_id, 16, hex);
    fprintf (out, "disk %s node=%s format=%" PRIu32 "\n", hex, mark.node, mark.format);
    char path[4096];
    snprintf (path, sizeof path, "%s/volumes", dir);
    struct dirent **names;
    int n = scandir (path, &names, is_volume, alphasort);
    if (n < 0)
        return fail_errno (err, "list %s", path);
    for (int i = 0; i < n; i++) {
        snprintf (path, sizeof path, "%s/volumes/%s", dir, names[i]->d_name);
        if (rc == 0)
            rc = dump_volume (out, path, mark.disk_id, err);
        free (names[i]);
    }
    free (names);
    return rc;
}
