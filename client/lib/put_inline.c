/* SPDX-License-Identifier: MPL-2.0 */
/* Small files whose bytes go with the commit, and their way to the workers when the
 * namespace takes no more of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/put.h"

/* The voters hold it: they are enough for the default policy, not for a stricter one.
 */
bool put_inline_fits (const put_file_t *file, uint64_t length)
{
    const conn_facts_t *facts = conn_facts (file->put->dfs->conn);

    return !file->put->inline_full && length <= facts->inline_max &&
           file->policy.replicas > 0 && file->policy.replicas <= facts->replicas;
}

void put_inline_keep (put_file_t *file, put_chunk_t *chunk)
{
    put_page_t *page = put_page_extent (file, 0, chunk->length, true);

    page->extents[0].hole = false;
    memcpy (page->extents[0].digest, chunk->sha, 32);
    file->inline_data = malloc (chunk->length);
    assert (file->inline_data);
    memcpy (file->inline_data, chunk->slices[0]->data, chunk->length);
    file->put->progress.bytes += chunk->length;
    put_chunk_free (chunk);
}

bool put_inline_refused (put_file_t *file, int code)
{
    put_t *put = file->put;
    put_page_t *page = TAILQ_FIRST (&file->pages);

    if (!file->inline_data || (code != DFS_EQUOTA && code != DFS_ETOOBIG))
        return false;
    put->inline_full = true; /* no need to be told so for each of the others */
    free (file->inline_data);
    file->inline_data = NULL;
    put_chunk_t *chunk = put_chunk_new (put, file);
    chunk->page = page;
    chunk->length = page->extents[0].length;
    memcpy (chunk->key.digest, page->extents[0].digest, 32);
    page->open++;
    put->progress.bytes -= chunk->length;
    put_chunk_hashed (chunk);
    return true;
}
