/* SPDX-License-Identifier: MPL-2.0 */
/* Fuzzer of everything that reads volumes: the codec, and the walk over a volume file
 * whose bytes are the input. Built with libFuzzer it searches; as an ordinary program
 * it mutates good volumes N times (default 3000) and shows how often the decoders were
 * reached. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/rng.h"
#include "worker/store/batch.h"
#include "worker/store/entry.h"
#include "worker/store/scan.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const uint8_t disk_id[16] = "fuzz-disk-16byte";
static uint64_t seen_extents, seen_batches, seen_records, seen_found;

static void walk (int fd, size_t size)
{
    scan_batch_t batch = {0};
    for (uint64_t at = VOLUME_HEAD_LEN; at < size;) {
        scan_item_t item;
        if (scan_at (fd, disk_id, 1, at, &item, NULL) < 0)
            break;
        assert (item.next > at);
        if (item.kind == SCAN_EXTENT)
            seen_extents++;
        if (item.kind == SCAN_BATCH && scan_load (&batch, fd, &item.batch, NULL) == 0) {
            seen_batches++;
            record_t rec;
            uint64_t where;
            while (scan_record (&batch, &item.batch, &rec, &where) == 1) {
                seen_records++;
                assert (where + rec.head_len + record_payload (&rec) <= batch.len);
                for (size_t i = 0; i < rec.n_crcs; i++)
                    (void)record_crc (&rec, i);
                (void)record_check_payload (&rec, batch.data + where + rec.head_len);
            }
        }
        scan_item_t found;
        if (item.kind == SCAN_BAD &&
            scan_find_batch (fd, disk_id, 1, at, 1, &found, NULL) == 1)
            seen_found++;
        at = item.next;
    }
    scan_free (&batch);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    volume_head_t volume;
    extent_head_t extent;
    batch_head_t batch;
    record_t rec;
    entry_t entry;
    (void)volume_head_unpack (data, size, &volume);
    (void)extent_head_unpack (data, size, &extent);
    (void)batch_head_unpack (data, size, &batch);
    (void)record_unpack (data, size, record_seed (disk_id), &rec);
    if (size > COPYKEY_LEN)
        (void)entry_unpack (data + COPYKEY_LEN, size - COPYKEY_LEN, data, &entry);
    int fd = memfd_create ("volume", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    if (write (fd, data, size) == (ssize_t)size)
        walk (fd, size);
    close (fd);
    return 0;
}

/* A volume as the store writes it: two batches with an extent between them. */
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max, unsigned seed);

static size_t put_batch (uint8_t *out, uint64_t offset, uint64_t number, rng_t *rng)
{
    batch_t batch;
    batch_init (&batch, record_seed (disk_id));
    static uint8_t bytes[PACK_MAX];
    uint64_t n = 1 + rng_below (rng, 6);
    for (uint64_t i = 0; i < n; i++) {
        record_t head = {.type = (uint8_t)(1 + rng_below (rng, 6)), .birth = i};
        uint32_t crcs[4] = {0};
        if (head.type == RECORD_CHUNK)
            head.stored_len = (uint32_t)rng_below (rng, 3000);
        if (head.type == RECORD_SEAL)
            head.stored_len = (uint32_t)(3 * DIGEST_BLOCK + 5);
        if (head.type <= RECORD_SEAL)
            head.n_crcs = (uint32_t)chunk_blocks (head.stored_len);
        batch_add (&batch, &head, crcs, bytes);
    }
    batch_head_t head = {.volume = 1,
                         .offset = offset,
                         .length = batch.len,
                         .count = (uint32_t)batch.n,
                         .number = number,
                         .first_seq = 1};
    head.next_seq = batch_number (&batch, 1);
    memcpy (head.disk_id, disk_id, 16);
    batch_head_pack (&head, batch.buf);
    size_t len = (size_t)volume_align (batch.len);
    memset (out, 0, len);
    memcpy (out, batch.buf, batch.len);
    batch_free (&batch);
    return len;
}

static size_t good_volume (uint8_t *out, rng_t *rng)
{
    volume_head_t volume = {.number = 1, .first_batch = 1, .first_seq = 1};
    memcpy (volume.disk_id, disk_id, 16);
    memset (out, 0, VOLUME_HEAD_LEN);
    volume_head_pack (&volume, out);
    size_t at = VOLUME_HEAD_LEN;
    at += put_batch (out + at, at, 1, rng);
    extent_head_t extent = {.state = EXTENT_RESERVED,
                            .volume = 1,
                            .offset = at,
                            .stored_len = 5000,
                            .true_len = 5000};
    extent.length = extent_length (extent.stored_len);
    memcpy (extent.disk_id, disk_id, 16);
    memset (out + at, 0, (size_t)extent.length);
    extent_head_pack (&extent, out + at);
    at += (size_t)extent.length;
    return at + put_batch (out + at, at, 2, rng);
}

#define INPUT_MAX (256 * 1024)

/* Flips, cuts, copies and zeroes; half the time the checksums are made good again, so
 * that the fields behind them are reached. */
static size_t mutate (uint8_t *data, size_t size, rng_t *rng)
{
    for (uint64_t n = 1 + rng_below (rng, 8); n; n--) {
        size_t at = (size_t)rng_below (rng, size);
        size_t len = 1 + (size_t)rng_below (rng, 64);
        len = len < size - at ? len : size - at;
        switch (rng_below (rng, 5)) {
        case 0:
            data[at] ^= (uint8_t)(1 << rng_below (rng, 8));
            break;
        case 1:
            memset (data + at, 0, len);
            break;
        case 2:
            memmove (data + at, data + rng_below (rng, size - len + 1), len);
            break;
        case 3:
            for (size_t i = 0; i < len; i++)
                data[at + i] = (uint8_t)rng_next (rng);
            break;
        default:
            size = at > VOLUME_HEAD_LEN ? at : size;
            break;
        }
    }
    for (size_t at = 0; at + 128 <= size && rng_below (rng, 2); at += VOLUME_ALIGN) {
        size_t len = data[at + 10] | (size_t)data[at + 11] << 8;
        if (len < 16 || at + len > size)
            continue;
        memset (data + at + 12, 0, 4);
        uint32_t crc = digest_crc32c (0, data + at, len);
        memcpy (data + at + 12, &crc, 4);
    }
    return size;
}

size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max, unsigned seed)
{
    rng_t rng;
    rng_seed (&rng, seed);
    static uint8_t fresh[INPUT_MAX];
    if (size < 2 * VOLUME_HEAD_LEN || rng_below (&rng, 4) == 0) {
        size = good_volume (fresh, &rng);
        size = size < max ? size : max;
        memcpy (data, fresh, size);
    }
    return size ? mutate (data, size, &rng) : 0;
}

#ifndef DFS_LIBFUZZER
int main (int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull (argv[1], NULL, 10) : 3000;
    uint8_t *data = malloc (INPUT_MAX);
    assert (data);
    rng_t rng;
    rng_seed (&rng, 77);
    for (uint64_t i = 0; i < n; i++) {
        size_t size = good_volume (data, &rng);
        size = mutate (data, size, &rng);
        /* No byte behind the input may be read: give it a block of its own. */
        uint8_t *exact = malloc (size);
        assert (exact);
        memcpy (exact, data, size);
        LLVMFuzzerTestOneInput (exact, size);
        free (exact);
    }
    free (data);
    bool reached = seen_extents > n / 4 && seen_batches > n / 2 && seen_records > n &&
                   seen_found > n / 50;
    printf ("1..1\n# %llu inputs: %llu extents, %llu batches, %llu records, %llu found "
            "behind damage\n%s 1 - decoders survive mutated volumes\n",
            (unsigned long long)n, (unsigned long long)seen_extents,
            (unsigned long long)seen_batches, (unsigned long long)seen_records,
            (unsigned long long)seen_found, reached ? "ok" : "not ok");
    return reached ? 0 : 1;
}
#endif
