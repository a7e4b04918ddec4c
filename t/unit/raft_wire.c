/* SPDX-License-Identifier: MPL-2.0 */
/* What brokers say to each other about the log: nothing that another one sends does
 * harm, whatever is in it (guard G9, and the packets themselves). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/raft_hand.h"

#include <cmocka.h> /* last: it has a macro fail */

static int check (struct raft_message m)
{
    dfs_error_t err;
    m.server_id = 2;
    return guard_message (&m, NULL, &err);
}

static void test_g9 (void **state)
{
    (void)state;
    hand_conf (3);
    struct raft_entry ok[2] = {hand_command (2), hand_command (3)};
    struct raft_entry falls[2] = {hand_command (3), hand_command (2)};
    struct raft_entry high[1] = {hand_command (9)}, zero[1] = {hand_command (0)};
    struct raft_entry type[1] = {hand_command (2)};
    type[0].type = (enum raft_entry_type)4;
    struct raft_entry bad_conf[1] = {
        {2, RAFT_CHANGE, {hand.conf, hand.conf_len - 9}, raft_borrowed}};
    assert_int_equal (check (hand_append (3, 1, 1, 1, ok, 2)), DFS_OK);
    assert_int_equal (check (hand_append (0, 1, 1, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 0, 1, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 0, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 4, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 1, 1, falls, 2)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 1, 1, high, 1)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 0, 0, 1, zero, 1)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 1, 1, type, 1)), DFS_EPROTO);
    assert_int_equal (check (hand_append (3, 1, 1, 1, bad_conf, 1)), DFS_EPROTO);
    assert_int_equal (check (hand_result (0, 0, 1)), DFS_EPROTO);
    assert_int_equal (check (hand_result (1, 0, UINT64_MAX)), DFS_EPROTO);
    assert_int_equal (check (hand_vote (4, 3, 2, true)), DFS_OK);
    assert_int_equal (check (hand_vote (4, 3, 5, true)), DFS_EPROTO);
    assert_int_equal (check (hand_vote (4, 0, 2, true)), DFS_EPROTO);

    /* Configurations: each byte of one changed, and each shorter one. */
    struct raft_buffer buf = {hand.conf, hand.conf_len};
    struct raft_configuration out;
    dfs_error_t err;
    assert_int_equal (guard_configuration (&buf, &out, &err), DFS_OK);
    assert_int_equal (out.n, 3);
    raft_configuration_close (&out);
    uint8_t *copy = malloc (hand.conf_len);
    for (size_t i = 0; i < hand.conf_len; i++) {
        uint8_t *cut = malloc (i + 1);
        memcpy (cut, hand.conf, i);
        buf = (struct raft_buffer){cut, i};
        if (guard_configuration (&buf, &out, &err) == DFS_OK)
            raft_configuration_close (&out);
        free (cut);
        for (int bit = 0; bit < 8; bit++) {
            memcpy (copy, hand.conf, hand.conf_len);
            copy[i] ^= (uint8_t)(1 << bit);
            buf = (struct raft_buffer){copy, hand.conf_len};
            if (guard_configuration (&buf, &out, &err) == DFS_OK)
                raft_configuration_close (&out);
        }
    }
    free (copy);
}

/* Packets: what was said is what is heard; anything changed or cut is refused or at
 * least safe to read. */
static void test_wire (void **state)
{
    (void)state;
    hand_conf (3);
    struct raft_entry entries[3] = {hand_command (2),
                                    {2, RAFT_CHANGE, {hand.conf, hand.conf_len}, NULL},
                                    hand_command (3)};
    struct raft_message snapshot = {.type = RAFT_INSTALL_SNAPSHOT};
    snapshot.install_snapshot = (struct raft_install_snapshot){
        .term = 5, .last_index = 40, .last_term = 4, .conf_index = 1};
    struct raft_message timeout = {.type = RAFT_TIMEOUT_NOW};
    timeout.timeout_now =
        (struct raft_timeout_now){.term = 5, .last_log_index = 9, .last_log_term = 2};
    const struct raft_message messages[] = {hand_append (3, 1, 1, 1, entries, 3),
                                            hand_append (3, 1, 1, 1, NULL, 0),
                                            hand_result (4, 2, 1),
                                            hand_vote (4, 3, 2, true),
                                            snapshot,
                                            timeout};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        wire_packet_t out = {.from = 1,
                             .to = 2,
                             .boot = 7,
                             .seq = 9,
                             .kind = messages[i].type,
                             .message = messages[i]};
        if (messages[i].type == RAFT_INSTALL_SNAPSHOT)
            out.conf = (struct raft_buffer){hand.conf, hand.conf_len};
        size_t len;
        uint8_t *bytes = wire_encode (&out, &len);
        wire_packet_t in;
        dfs_error_t err;
        assert_int_equal (wire_decode (bytes, len, raft_borrowed, &in, &err), DFS_OK);
        assert_int_equal (in.seq, 9);
        assert_int_equal (in.message.server_id, 1);
        if (i == 0) {
            const struct raft_append_entries *a = &in.message.append_entries;
            assert_int_equal (a->n_entries, 3);
            assert_int_equal (a->entries[2].term, 3);
            assert_int_equal (a->entries[1].buf.len, hand.conf_len);
            assert_memory_equal (a->entries[1].buf.base, hand.conf, hand.conf_len);
        }
        if (messages[i].type == RAFT_INSTALL_SNAPSHOT)
            assert_memory_equal (in.conf.base, hand.conf, hand.conf_len);
        wire_release (&in);
        for (size_t k = 0; k < len; k++) {
            uint8_t *cut = malloc (k + 1); /* so that a read behind it is noticed */
            memcpy (cut, bytes, k);
            assert_int_equal (wire_decode (cut, k, raft_borrowed, &in, &err),
                              DFS_EPROTO);
            free (cut);
            for (int bit = 0; bit < 8; bit++) {
                bytes[k] ^= (uint8_t)(1 << bit);
                if (wire_decode (bytes, len, raft_borrowed, &in, &err) == DFS_OK)
                    wire_release (&in);
                bytes[k] ^= (uint8_t)(1 << bit);
            }
        }
        free (bytes);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_g9),
        cmocka_unit_test (test_wire),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("raft_wire", tests, NULL, hand_teardown);
}
