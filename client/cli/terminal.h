/* SPDX-License-Identifier: MPL-2.0 */
/* The terminal of a full-screen program: keys as they are pressed and a screen of its
 * own, given back whatever ends or stops the program (keys, signals, faults). State of
 * the process; main thread. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

enum terminal_key {
    TERMINAL_NOTHING,
    TERMINAL_QUIT,
    TERMINAL_DOWN,
    TERMINAL_UP,
    TERMINAL_PAGE_DOWN,
    TERMINAL_PAGE_UP,
    TERMINAL_TOP,
};

/* Takes the terminal, if there is one: false when not. Signals that end programs are
 * only noted from now on (terminal_ended), a second one ends it. */
bool terminal_take (void);
/* Gives it back; does nothing when it is not taken. */
void terminal_restore (void);
/* Somebody asked by a signal that the program ends. */
bool terminal_ended (void);
void terminal_size (int *columns, int *rows);
/* Waits at most MS for a key, a signal, or until FD is readable. */
enum terminal_key terminal_wait (int fd, int ms);
/* Writes all of TEXT to standard output; -1: it is gone. */
int terminal_write (const char *text, size_t len);

#endif
