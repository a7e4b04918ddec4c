/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/tables.h"
#include "broker/namespace/tree.h"

#define PACKED_LEN (1 + 8 + 8 + 8 + 32)

/* SHA-256 of nothing. */
static const uint8_t empty[32] = {
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
    0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
    0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
};

static void hash_extent (digest_t *digest, const Dfs__RecExtent *e)
{
    uint8_t packed[PACKED_LEN] = {0};
    packed[0] = (uint8_t)extent_kind (e);
    uint8_t *p = put64 (packed + 1, e->length);
    if (e->has_digest) {
        p = put64 (p, e->chunk_offset);
        p = put64 (p, extent_chunk_length (e));
        memcpy (p, e->digest.data, 32);
    }
    digest_update (digest, packed, sizeof packed);
}

void tree_start (tree_t *self, digest_t *digest, const ProtobufCBinaryData *chain,
                 uint64_t groups)
{
    self->digest = digest;
    memcpy (self->chain, chain && chain->len == 32 ? chain->data : empty, 32);
    self->groups = groups;
    self->n = 0;
}

static void link_group (const uint8_t chain[32], const uint8_t group[32],
                        uint8_t out[32])
{
    uint8_t both[64];
    memcpy (both, chain, 32);
    memcpy (both + 32, group, 32);
    digest_sha256 (both, sizeof both, out);
}

void tree_add_group (tree_t *self, const uint8_t hash[32])
{
    assert (self->n == 0);
    link_group (self->chain, hash, self->chain);
    self->groups++;
}

void tree_add (tree_t *self, Dfs__RecExtent *const *extents, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (self->n == 0)
            digest_start (self->digest);
        hash_extent (self->digest, extents[i]);
        if (++self->n == TREE_GROUP) {
            uint8_t hash[32];
            digest_finish (self->digest, hash);
            self->n = 0;
            tree_add_group (self, hash);
        }
    }
}

int tree_finish (tree_t *self, arena_t *arena, Dfs__RecInode *rec, dfs_error_t *err)
{
    uint8_t *out = arena_alloc (arena, 64);
    if (!out)
        return refuse (err, DFS_ENOMEM);
    memcpy (out, self->chain, 32);
    memcpy (out + 32, self->chain, 32);
    if (self->n) {
        uint8_t hash[32];
        digest_finish (self->digest, hash);
        link_group (self->chain, hash, out + 32);
    }
    rec->has_chain = self->groups > 0;
    rec->chain.data = out;
    rec->chain.len = self->groups > 0 ? 32 : 0;
    rec->has_tree = 1;
    rec->tree.data = out + 32;
    rec->tree.len = 32;
    return 0;
}

void tree_group (digest_t *digest, Dfs__RecExtent *const *extents, size_t n,
                 uint8_t hash[32])
{
    digest_start (digest);
    for (size_t i = 0; i < n; i++)
        hash_extent (digest, extents[i]);
    digest_finish (digest, hash);
}
