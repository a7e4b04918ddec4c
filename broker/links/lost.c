/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/lost.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/links_private.h"

#define PAGE_FILES 4096
#define REST_LEAST (5 * SEC)  /* between two looks */
#define REST_SHARE 5          /* times as long as a look takes */
#define LOOK_AGAIN (60 * SEC) /* files come and go */

/* What a look through all files found, or has found so far. */
typedef struct tally {
    uint64_t files;
    ProtobufCBinaryData paths[LOST_PATHS]; /* owned */
    size_t n_paths;
} tally_t;

struct lost {
    bool asked;       /* a page is on its way */
    bool looking;     /* it is of a look that goes on */
    uint64_t began;   /* monotonic */
    uint64_t next;    /* not before */
    uint64_t changes; /* of the lost chunks, when the last one began */
    bool whole;       /* SHOWN is of a look that came to its end */
    tally_t shown;
    tally_t now; /* of the look under way */
};

static void clear (tally_t *tally)
{
    for (size_t i = 0; i < tally->n_paths; i++)
        free (tally->paths[i].data);
    memset (tally, 0, sizeof *tally);
}

lost_t *lost_new (void)
{
    lost_t *self = calloc (1, sizeof *self);

    assert (self);
    return self;
}

void lost_destroy (lost_t **self_p)
{
    if (!*self_p)
        return;
    clear (&(*self_p)->shown);
    clear (&(*self_p)->now);
    free (*self_p);
    *self_p = NULL;
}

static copykey_t *lost_chunks (links_t *links, size_t *n)
{
    core_status_t core;
    copykey_t *keys;

    core_status (links->core, &core);
    *n = core.lost < LOST_CHUNKS ? (size_t)core.lost : LOST_CHUNKS;
    keys = malloc ((*n + 1) * sizeof *keys);
    assert (keys);
    *n = core_lost (links->core, keys, *n, NULL);
    return keys;
}

void lost_attach (links_t *links, job_t *job)
{
    free (job->lost);
    job->lost = lost_chunks (links, &job->n_lost);
}

static void ask (links_t *links, const Dfs__Listing *page)
{
    static uint8_t root[] = "/";
    mail_lost_t *mail = mail_lost_new ();
    Dfs__List *ask = &mail->ask;

    mail->keys = lost_chunks (links, &mail->n);
    ask->path = (ProtobufCBinaryData){.len = 1, .data = root};
    ask->has_recursive = ask->recursive = true;
    ask->has_brief = ask->brief = true;
    ask->has_lost = ask->lost = true;
    ask->has_limit = true;
    ask->limit = PAGE_FILES;
    if (page) {
        ask->has_cursor = page->cursor.len > 0;
        ask->cursor.len = page->cursor.len;
        ask->cursor.data = arena_dup (mail->arena, page->cursor.data, page->cursor.len);
        assert (ask->cursor.data);
        ask->has_part = page->part > 0;
        ask->part = page->part;
        ask->has_part_lost = page->part_lost > 0;
        ask->part_lost = page->part_lost;
    }
    links->lost_files->asked = true;
    storage_push (links->storage, &mail->head);
}

void lost_tick (links_t *links)
{
    lost_t *self = links->lost_files;
    core_status_t core;
    uint64_t changes;

    core_status (links->core, &core);
    core_lost (links->core, NULL, 0, &changes);
    if (!links_leads (links) || core.lost == 0) {
        self->looking = false;
        self->next = 0;
        self->whole = false;
        clear (&self->shown);
        clear (&self->now);
        return;
    }
    if (self->asked || links->now < self->next ||
        (self->whole && changes == self->changes &&
         links->now < self->began + LOOK_AGAIN))
        return;
    self->looking = true;
    self->began = links->now;
    self->changes = changes;
    clear (&self->now);
    ask (links, NULL);
}

static void add (tally_t *tally, const Dfs__Listing *page)
{
    for (size_t i = 0; i < page->n_entries; i++) {
        const ProtobufCBinaryData *path = &page->entries[i]->path;
        ProtobufCBinaryData *kept = &tally->paths[tally->n_paths];

        tally->files++;
        if (tally->n_paths == LOST_PATHS)
            continue;
        kept->len = path->len + 1;
        kept->data = malloc (kept->len);
        assert (kept->data);
        kept->data[0] = '/';
        memcpy (kept->data + 1, path->data, path->len);
        tally->n_paths++;
    }
}

void lost_found (links_t *links, const mail_lost_t *mail)
{
    lost_t *self = links->lost_files;
    const Dfs__Listing *page = mail->listing;

    self->asked = false;
    if (!self->looking)
        return; /* nothing is lost any more */
    if (mail->code < 0) {
        log_warn ("files_lost", "code=%s", dfs_error_name (mail->code));
        self->looking = false;
        self->next = links->now + REST_LEAST;
        return;
    }
    add (&self->now, page);
    if (page->has_cursor && (page->cursor.len > 0 || page->part > 0)) {
        ask (links, page);
        return;
    }
    clear (&self->shown);
    self->shown = self->now;
    memset (&self->now, 0, sizeof self->now);
    self->whole = true;
    self->looking = false;
    self->next = links->now + REST_LEAST + REST_SHARE * (links->now - self->began);
    log_warn ("files_lost", "files=%llu", (unsigned long long)self->shown.files);
}

void lost_put (links_t *links, Dfs__ClusterStatusReply *out)
{
    lost_t *self = links->lost_files;
    tally_t *from = self->whole ? &self->shown : &self->now;

    out->has_files_lost = out->has_files_lost_known = true;
    out->files_lost = from->files;
    out->files_lost_known = self->whole || out->chunks_lost == 0;
    out->lost_paths = from->paths;
    out->n_lost_paths = from->n_paths;
}
