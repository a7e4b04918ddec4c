/* SPDX-License-Identifier: MPL-2.0 */
/* Alters one record of a stopped broker's namespace behind its back: the mode of the
 * file with the highest inode. `alter DIR` leaves the state's hash as it was, as damage
 * on a disk does; `alter DIR kept` puts it right, as an entry that was applied in
 * another way would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"

static void die (const char *what)
{
    fprintf (stderr, "alter: %s\n", what);
    exit (1);
}

static void amend (kv_t *kv, MDB_txn *txn, unsigned __int128 more)
{
    uint8_t hash[16], packed[4096];
    const void *value;
    size_t len;

    if (kv_get (kv, txn, T_META, "state", 5, &value, &len, NULL) <= 0)
        die ("no state");
    Dfs__RecState *state = dfs__rec_state__unpack (NULL, len, value);
    if (!state || state->hash.len != 16)
        die ("state is malformed");
    unsigned __int128 sum = (unsigned __int128)get64 (state->hash.data) << 64 |
                            get64 (state->hash.data + 8);
    sum += more;
    put64 (put64 (hash, (uint64_t)(sum >> 64)), (uint64_t)sum);
    memcpy (state->hash.data, hash, sizeof hash);
    if (dfs__rec_state__get_packed_size (state) > sizeof packed)
        die ("state is too long");
    len = dfs__rec_state__pack (state, packed);
    if (kv_put (kv, txn, T_META, "state", 5, packed, len, NULL) < 0)
        die ("state was not written");
    dfs__rec_state__free_unpacked (state, NULL);
}

int main (int argc, char **argv)
{
    dfs_error_t err;
    uint8_t key[64], packed[65536];
    char dir[4096];
    MDB_cursor *cursor;
    MDB_val k, v;

    if (argc < 2)
        die ("usage: alter DIRECTORY-OF-A-BROKER [kept]");
    snprintf (dir, sizeof dir, "%s/namespace", argv[1]);
    kv_t *kv = kv_open (dir, table_names, T_COUNT, 1ULL << 40, 0, &err);
    MDB_txn *txn = kv ? kv_begin (kv, true, &err) : NULL;
    if (!txn)
        die (err.text);
    if (mdb_cursor_open (txn, kv_dbi (kv, T_INODE), &cursor) ||
        mdb_cursor_get (cursor, &k, &v, MDB_LAST) || k.mv_size > sizeof key)
        die ("no inode");
    size_t key_len = k.mv_size;
    memcpy (key, k.mv_data, key_len);
    unsigned __int128 old =
        state_hash_record (T_INODE, key, key_len, v.mv_data, v.mv_size);
    Dfs__RecInode *inode = dfs__rec_inode__unpack (NULL, v.mv_size, v.mv_data);
    if (!inode)
        die ("the inode does not unpack");
    inode->mode ^= 1;
    if (dfs__rec_inode__get_packed_size (inode) > sizeof packed)
        die ("the inode is too long");
    size_t len = dfs__rec_inode__pack (inode, packed);
    mdb_cursor_close (cursor);
    dfs__rec_inode__free_unpacked (inode, NULL);
    if (kv_put (kv, txn, T_INODE, key, key_len, packed, len, &err) < 0)
        die (err.text);
    if (argc > 2)
        amend (kv, txn, state_hash_record (T_INODE, key, key_len, packed, len) - old);
    if (kv_commit (kv, &txn, &err) < 0)
        die (err.text);
    kv_close (&kv);
    return 0;
}
