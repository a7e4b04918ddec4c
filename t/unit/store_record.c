/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/rng.h"
#include "worker/store/entry.h"
#include "worker/store/record.h"

static copykey_t some_key (uint8_t b)
{
    copykey_t key = {.domain = 3, .part = 2};
    memset (key.digest, b, sizeof key.digest);
    return key;
}

static void volume_head_round_trip (void **state)
{
    (void)state;
    volume_head_t in = {.number = 9,
                        .incarnation = 77,
                        .first_batch = 5,
                        .first_seq = 6,
                        .created = 12345};
    memset (in.disk_id, 4, 16);
    uint8_t packed[VOLUME_HEAD_PACKED];
    volume_head_pack (&in, packed);
    volume_head_t out;
    assert_int_equal (volume_head_unpack (packed, sizeof packed, &out), 0);
    assert_memory_equal (&in.disk_id, &out.disk_id, 16);
    assert_int_equal (out.number, 9);
    assert_int_equal (out.first_batch, 5);
    assert_int_equal (out.first_seq, 6);
    assert_int_equal (out.incarnation, 77);
    for (size_t i = 0; i < 8 * sizeof packed; i++) {
        packed[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal (volume_head_unpack (packed, sizeof packed, &out),
                          DFS_EDAMAGED);
        packed[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal (volume_head_unpack (packed, 95, &out), DFS_EDAMAGED);
}

static void extent_and_batch_heads (void **state)
{
    (void)state;
    extent_head_t in = {.state = EXTENT_RESERVED,
                        .volume = 3,
                        .offset = 8192,
                        .length = extent_length (100000),
                        .key = some_key (1),
                        .stored_len = 100000,
                        .true_len = 100000,
                        .birth = 44};
    uint8_t packed[EXTENT_HEAD_PACKED];
    extent_head_pack (&in, packed);
    extent_head_t out;
    assert_int_equal (extent_head_unpack (packed, sizeof packed, &out), 0);
    assert_int_equal (copykey_cmp (&in.key, &out.key), 0);
    assert_int_equal (out.length, in.length);
    in.length += 4096; /* not what the stored length says */
    extent_head_pack (&in, packed);
    assert_int_equal (extent_head_unpack (packed, sizeof packed, &out), DFS_EDAMAGED);

    batch_head_t b = {.volume = 3,
                      .offset = 4096,
                      .length = BATCH_HEAD_PACKED + 2 * RECORD_HEAD_MIN,
                      .count = 2,
                      .number = 10,
                      .first_seq = 100,
                      .next_seq = 102,
                      .mark_volume = 2,
                      .mark_end = 777};
    uint8_t bp[BATCH_HEAD_PACKED];
    batch_head_t b2;
    batch_head_pack (&b, bp);
    assert_int_equal (batch_head_unpack (bp, sizeof bp, &b2), 0);
    assert_int_equal (b2.mark_end, 777);
    assert_int_equal (b2.number, 10);
    b.count = 3; /* does not fit */
    batch_head_pack (&b, bp);
    assert_int_equal (batch_head_unpack (bp, sizeof bp, &b2), DFS_EDAMAGED);
    b.count = 2;
    b.next_seq = 104; /* more numbers than records */
    batch_head_pack (&b, bp);
    assert_int_equal (batch_head_unpack (bp, sizeof bp, &b2), DFS_EDAMAGED);
}

static void record_round_trip (void **state)
{
    (void)state;
    record_t in = {.type = RECORD_SEAL,
                   .bits = RECORD_MOVED,
                   .encoding = 1,
                   .flags = 2,
                   .key = some_key (9),
                   .stored_len = 3 * DIGEST_BLOCK - 5,
                   .true_len = 500,
                   .birth = 12,
                   .seq = 13,
                   .place_volume = 14,
                   .place_offset = 15,
                   .time = 16,
                   .n_crcs = 3};
    uint32_t crcs[3] = {1, 2, 0xffffffff};
    uint8_t packed[RECORD_HEAD_MIN + 12];
    assert_int_equal (record_pack (&in, crcs, 5, packed), sizeof packed);
    record_t out;
    assert_int_equal (record_unpack (packed, sizeof packed, 5, &out), 0);
    assert_int_equal (out.seq, 13);
    assert_int_equal (out.time, 16);
    assert_int_equal (out.place_offset, 15);
    assert_int_equal (record_crc (&out, 2), 0xffffffff);
    assert_int_equal (record_unpack (packed, sizeof packed, 6, &out), DFS_EDAMAGED);
    record_set_seq (packed, 99, 5);
    assert_int_equal (record_unpack (packed, sizeof packed, 5, &out), 0);
    assert_int_equal (out.seq, 99);
    for (size_t i = 0; i < 8 * sizeof packed; i++) {
        packed[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal (record_unpack (packed, sizeof packed, 5, &out), DFS_EDAMAGED);
        packed[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    for (size_t n = 0; n < sizeof packed; n++)
        assert_int_equal (record_unpack (packed, n, 5, &out), DFS_EDAMAGED);
}

static void entries_carry_a_crc (void **state)
{
    (void)state;
    copykey_t key = some_key (5);
    uint8_t k[COPYKEY_LEN];
    copykey_pack (&key, k);
    entry_t in = {
        .state = ENTRY_LIVE, .volume = 1, .offset = 2, .stored_len = 3, .seq = 4};
    uint8_t v[ENTRY_PACKED];
    entry_t out;
    entry_pack (&in, k, v);
    assert_int_equal (entry_unpack (v, sizeof v, k, &out), 0);
    assert_int_equal (out.seq, 4);
    v[50] ^= 1;
    assert_int_equal (entry_unpack (v, sizeof v, k, &out), DFS_EDAMAGED);
    v[50] ^= 1;
    k[7] ^= 1;
    assert_int_equal (entry_unpack (v, sizeof v, k, &out), DFS_EDAMAGED);
}

static void table_keeps_what_it_is_given (void **state)
{
    (void)state;
    table_t *table = table_new ();
    rng_t rng;
    rng_seed (&rng, 1);
    enum { N = 3000 };
    static copykey_t keys[N];
    static bool in[N];
    for (size_t i = 0; i < N; i++) {
        keys[i] = (copykey_t){.part = (uint16_t)i};
        uint64_t v = rng_next (&rng) & 0x3f; /* many collisions */
        memcpy (keys[i].digest, &v, 8);
    }
    for (int round = 0; round < 20000; round++) {
        size_t i = (size_t)rng_below (&rng, N);
        entry_t entry = {.seq = i};
        if (rng_below (&rng, 2)) {
            table_put (table, &keys[i], &entry);
            in[i] = true;
        } else {
            table_del (table, &keys[i]);
            in[i] = false;
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        const entry_t *entry = table_get (table, &keys[i]);
        assert_int_equal (entry != NULL, in[i]);
        if (entry)
            assert_int_equal (entry->seq, i);
        n += in[i];
    }
    assert_int_equal (table_size (table), n);
    table_destroy (&table);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (volume_head_round_trip),
        cmocka_unit_test (extent_and_batch_heads),
        cmocka_unit_test (record_round_trip),
        cmocka_unit_test (entries_carry_a_crc),
        cmocka_unit_test (table_keeps_what_it_is_given),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_record", tests, NULL, NULL);
}
