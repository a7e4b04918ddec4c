/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"

unsigned __int128 state_hash_record (enum table table, const void *key, size_t key_len,
                                     const void *value, size_t len)
{
    uint64_t seed = XXH3_64bits_withSeed (key, key_len, (uint64_t)table);
    XXH128_hash_t h = XXH3_128bits_withSeed (value, len, seed);
    return (unsigned __int128)h.high64 << 64 | h.low64;
}

void state_hash_whole (unsigned __int128 sum, const uint64_t counters[C_COUNT],
                       uint8_t hash[16])
{
    uint8_t packed[8 * C_COUNT];
    uint8_t *p = packed;
    for (int i = 0; i < C_COUNT; i++)
        p = put64 (p, counters[i]);
    sum += state_hash_record (T_META, "counters", 8, packed, sizeof packed);
    put64 (put64 (hash, (uint64_t)(sum >> 64)), (uint64_t)sum);
}

void state_hash_remember (namespace_t *ns)
{
    hash_slot_t *slot = &ns->ring[ns->applied % HASH_RING];
    slot->index = ns->applied;
    state_hash_whole (ns->sum, ns->counters, slot->hash);
}

int state_hash_check (const namespace_t *ns, uint64_t index, const uint8_t hash[16],
                      dfs_error_t *err)
{
    const hash_slot_t *slot = &ns->ring[index % HASH_RING];
    if (index == 0 || slot->index != index || memcmp (slot->hash, hash, 16) == 0)
        return 0;
    char mine[33], theirs[33];
    digest_hex (slot->hash, 16, mine);
    digest_hex (hash, 16, theirs);
    return fail (
        err, DFS_EDAMAGED,
        "namespace differs from the leader's after entry %llu: hash %s, not %s",
        (unsigned long long)index, mine, theirs);
}
