/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/agree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "common/digest.h"

#define TELL_EVERY (2 * SEC)

/* --- the namespace --- */

void agree_say (links_t *links)
{
    agree_t *self = &links->agree;
    journal_word_t word = {.unfit = self->unfit, .hangs = links->stall.hangs};

    if (self->witness.n_own > 0) {
        const witness_word_t *own =
            &self->witness.own[(self->witness.n_own - 1) % WITNESS_WORDS];
        word.index = own->index;
        memcpy (word.hash, own->hash, sizeof word.hash);
    }
    journal_say (links->journal, &word);
}

/* A broker alone has nobody who would know better: it goes on, and says so. */
static void decide (links_t *links)
{
    agree_t *self = &links->agree;
    bool unfit = links->voters > 1 && (self->altered || self->odd || self->doubt);

    if (unfit == self->unfit)
        return;
    self->unfit = unfit;
    if (unfit)
        log_error ("namespace_differs",
                   "index=%" PRIu64 " why=\"%s\" err=\"this broker neither leads nor "
                   "answers; replace it\"",
                   links->log_index,
                   self->altered ? "records were altered on the disk"
                   : self->odd   ? "a majority of the brokers has another"
                                 : "the log says another");
    else
        log_info ("namespace_agrees", "index=%" PRIu64, links->log_index);
    storage_doubt (links->storage, unfit);
    agree_say (links);
    links_role_now (links);
}

void agree_applied (links_t *links, const mail_applied_t *mail)
{
    agree_t *self = &links->agree;
    const namespace_check_t *check = &mail->check;

    self->index = mail->index;
    memcpy (self->hash, mail->hash, sizeof self->hash);
    if (check->index == 0)
        return;
    witness_add (&self->witness, check->index, check->own, check->said);
    if (memcmp (check->own, check->said, sizeof check->own) != 0) {
        char own[33], said[33];
        digest_hex (check->own, 16, own);
        digest_hex (check->said, 16, said);
        log_warn ("hash_differs", "index=%" PRIu64 " hash=%s log=%s", check->index, own,
                  said);
    }
    agree_say (links);
    agree_tick (links);
}

void agree_told (links_t *links, uint64_t index)
{
    links->agree.telling = false;
    if (index)
        links->agree.told_index = index;
}

void agree_checked (links_t *links, const mail_checked_t *mail)
{
    agree_t *self = &links->agree;

    if (mail->replaced) {
        memset (&self->witness, 0, sizeof self->witness);
        self->altered = self->odd = self->doubt = false;
    } else if (mail->altered) {
        if (!self->altered)
            log_error ("namespace_altered",
                       "err=\"records are not what was written: 'dfs-broker --fsck' "
                       "names them\"");
        self->altered = true;
    }
    decide (links);
}

/* A hash of what nobody has changed since the last is no news. */
static void tell (links_t *links)
{
    agree_t *self = &links->agree;

    if (!links_serves (links) || links->voters < 2 || self->telling ||
        self->index <= self->told_index || links->now - self->told_at < TELL_EVERY)
        return;
    self->telling = true;
    self->told_at = links->now;
    pending_hash (links, self->index, self->hash);
}

/* --- time --- */

static void compare_clocks (links_t *links, const journal_stats_t *journal)
{
    int64_t offsets[JOURNAL_MEMBERS];
    size_t n = 0, voters = 0;

    for (size_t i = 0; i < journal->n_members; i++) {
        const journal_member_t *m = &journal->members[i];

        voters += m->part == JOURNAL_VOTER;
        if (m->part == JOURNAL_VOTER && !m->self && m->clock_known)
            offsets[n++] = m->clock_off_ns;
    }
    /* The journal has just begun: nothing is known yet. */
    if (voters == 0 || !timekeeper_compare (&links->time, offsets, n, voters))
        return;
    if (links->time.ahead)
        log_error ("clock_differs", "seconds=%lld",
                   (long long)(links->time.ahead / (int64_t)SEC));
    else
        log_info ("clock_agrees", "seconds=0");
}

void agree_clocks (links_t *links)
{
    journal_stats_t journal;

    journal_stats (links->journal, &journal);
    compare_clocks (links, &journal);
}

void agree_tick (links_t *links)
{
    agree_t *self = &links->agree;
    witness_word_t others[JOURNAL_MEMBERS] = {0};
    journal_stats_t journal;
    size_t n = 0;
    bool votes = false;

    journal_stats (links->journal, &journal);
    compare_clocks (links, &journal);
    for (size_t i = 0; i < journal.n_members; i++) {
        const journal_member_t *m = &journal.members[i];

        if (m->part != JOURNAL_VOTER)
            continue;
        votes |= m->self;
        if (m->self)
            continue;
        /* One that knows itself that it is wrong is no witness. */
        others[n].index = m->word.unfit ? 0 : m->word.index;
        memcpy (others[n].hash, m->word.hash, sizeof others[n].hash);
        n++;
    }
    if (votes) {
        enum witness_verdict verdict = witness_judge (&self->witness, others, n);
        self->odd |= verdict == WITNESS_ODD;
        self->doubt = verdict == WITNESS_DOUBT;
        decide (links);
    }
    tell (links);
}

/* --- what others see --- */

bool agree_fit (const links_t *links)
{
    return !links->agree.unfit;
}

bool agree_holds (const links_t *links)
{
    return timekeeper_doubted (&links->time) || links->agree.altered;
}

bool agree_trouble (const links_t *links, const journal_member_t *m, char *text,
                    size_t cap)
{
    const agree_t *self = &links->agree;
    witness_word_t word = {.index = m->word.index};

    memcpy (word.hash, m->word.hash, sizeof word.hash);
    if (m->self && self->altered && !self->unfit)
        snprintf (text, cap,
                  "records of the namespace of broker %s were altered on its disk: "
                  "nothing is pruned or expired ('dfs-broker --fsck' names them)",
                  links->config.broker->name);
    else if (m->self ? self->unfit : m->word.unfit)
        snprintf (text, cap,
                  "the namespace of broker %s is not that of the others: it neither "
                  "leads nor answers, and has to be replaced",
                  m->name);
    else if (!m->self && witness_differs (&self->witness, &word))
        snprintf (text, cap, "the namespace of broker %s differs after entry %" PRIu64,
                  m->name, word.index);
    else
        return false;
    return true;
}

bool agree_clock (const links_t *links, char *text, size_t cap)
{
    int64_t ahead = links->time.ahead / (int64_t)SEC;

    if (links->time.ahead == 0)
        return false;
    snprintf (text, cap,
              "the clock of broker %s is %lld s %s the others': nothing is pruned or "
              "expired until they agree",
              links->config.broker->name, (long long)(ahead < 0 ? -ahead : ahead),
              ahead < 0 ? "behind" : "ahead of");
    return true;
}
