/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/witness.h"

#include <string.h>

static bool same (const uint8_t a[16], const uint8_t b[16])
{
    return memcmp (a, b, 16) == 0;
}

void witness_add (witness_t *self, uint64_t index, const uint8_t own[16],
                  const uint8_t said[16])
{
    witness_word_t *word = &self->own[self->n_own++ % WITNESS_WORDS];

    word->index = index;
    memcpy (word->hash, own, sizeof word->hash);
    if (!same (own, said))
        self->doubted = index;
}

/* How many of OTHERS say HASH after INDEX. */
static size_t count (const witness_word_t *others, size_t n, uint64_t index,
                     const uint8_t hash[16])
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += others[i].index == index && same (others[i].hash, hash);
    return sum;
}

enum witness_verdict witness_judge (witness_t *self, const witness_word_t *others,
                                    size_t n)
{
    size_t majority = (n + 1) / 2 + 1;
    size_t kept = self->n_own < WITNESS_WORDS ? self->n_own : WITNESS_WORDS;

    for (size_t back = 1; back <= kept; back++) {
        const witness_word_t *own = &self->own[(self->n_own - back) % WITNESS_WORDS];

        if (1 + count (others, n, own->index, own->hash) >= majority) {
            if (own->index >= self->doubted)
                self->doubted = 0;
            break;
        }
        for (size_t i = 0; i < n; i++) {
            if (others[i].index == own->index &&
                count (others, n, own->index, others[i].hash) >= majority)
                return WITNESS_ODD;
        }
    }
    return self->doubted ? WITNESS_DOUBT : WITNESS_SOUND;
}

bool witness_differs (const witness_t *self, const witness_word_t *word)
{
    for (size_t i = 0; word->index && i < WITNESS_WORDS; i++) {
        if (self->own[i].index == word->index)
            return !same (self->own[i].hash, word->hash);
    }
    return false;
}
