/* SPDX-License-Identifier: MPL-2.0 */
/* Which broker's state machine is not like the others': what each says its hash was
 * after an entry that all have applied. Pure; one thread. */
#ifndef BROKER_LINKS_WITNESS_H
#define BROKER_LINKS_WITNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WITNESS_WORDS  32 /* of this broker, kept for others that come later */
#define WITNESS_OTHERS 16

typedef struct witness_word {
    uint64_t index; /* 0: none */
    uint8_t hash[16];
} witness_word_t;

typedef struct witness {
    witness_word_t own[WITNESS_WORDS]; /* by number modulo WITNESS_WORDS */
    size_t n_own;
    uint64_t doubted; /* the log said another hash after this; 0: nothing like that */
} witness_t;

enum witness_verdict {
    WITNESS_SOUND,
    WITNESS_DOUBT, /* not like the log, and no majority has spoken */
    WITNESS_ODD,   /* a majority agrees on something else */
};

/* An entry said that the hash after INDEX is SAID; here it is OWN. */
void witness_add (witness_t *self, uint64_t index, const uint8_t own[16],
                  const uint8_t said[16]);
/* What the N other voters said last (index 0: nothing) makes of this broker, which is
 * one voter more. */
enum witness_verdict witness_judge (witness_t *self, const witness_word_t *others,
                                    size_t n);
/* True when WORD is not what this broker had after the same entry. */
bool witness_differs (const witness_t *self, const witness_word_t *word);

#endif
