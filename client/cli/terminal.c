/* SPDX-License-Identifier: MPL-2.0 */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* For signal handlers: they may only give back, take again and go. */
static struct termios saved, changed;
static volatile sig_atomic_t wanted, taken, ended;
static const char enter[] = "\033[?1049h\033[?25l", leave[] = "\033[?25h\033[?1049l";

static char keys[64]; /* read, not looked at yet */
static size_t n_keys;

static void give_back (void)
{
    if (!taken)
        return;
    taken = 0;
    if (write (STDOUT_FILENO, leave, sizeof leave - 1) < 0)
        return;
    tcsetattr (STDIN_FILENO, TCSANOW, &saved);
}

static void take_again (void)
{
    /* In the background this stops us, until we are called to the front. */
    tcsetattr (STDIN_FILENO, TCSANOW, &changed);
    taken = 1;
    if (write (STDOUT_FILENO, enter, sizeof enter - 1) < 0)
        ended = SIGPIPE;
}

/* The loop ends at once; asked twice, the program goes. */
static void on_signal (int sig)
{
    if (ended) {
        give_back ();
        _exit (128 + sig);
    }
    ended = sig;
}

static void on_fault (int sig)
{
    give_back ();
    signal (sig, SIG_DFL);
    raise (sig);
}

/* Ctrl-Z: the shell gets its terminal as it was. */
static void on_stop (int sig)
{
    int keep = errno;

    (void)sig;
    give_back ();
    raise (SIGSTOP);
    errno = keep;
}

static void on_continue (int sig)
{
    int keep = errno;

    (void)sig;
    if (wanted)
        take_again ();
    errno = keep;
}

static void handle (int sig, void (*handler) (int))
{
    struct sigaction action = {.sa_handler = handler};

    sigaction (sig, &action, NULL);
}

bool terminal_take (void)
{
    handle (SIGINT, on_signal);
    handle (SIGTERM, on_signal);
    handle (SIGHUP, on_signal);
    handle (SIGQUIT, on_signal);
    if (!isatty (STDOUT_FILENO) || tcgetattr (STDIN_FILENO, &saved) < 0)
        return false;
    changed = saved;
    changed.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    wanted = 1;
    handle (SIGSEGV, on_fault);
    handle (SIGABRT, on_fault);
    handle (SIGTSTP, on_stop);
    handle (SIGCONT, on_continue);
    atexit (terminal_restore);
    take_again ();
    return true;
}

void terminal_restore (void)
{
    wanted = 0;
    give_back ();
}

bool terminal_ended (void)
{
    return ended != 0;
}

void terminal_size (int *columns, int *rows)
{
    struct winsize size;

    *columns = 80;
    *rows = 24;
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 0) {
        *columns = size.ws_col;
        *rows = size.ws_row;
    }
}

/* The first of the keys read; an arrow is a sequence of bytes. */
static enum terminal_key next_key (void)
{
    static const struct {
        const char *bytes;
        enum terminal_key key;
    } known[] = {
        {"q", TERMINAL_QUIT},      {"Q", TERMINAL_QUIT},
        {"j", TERMINAL_DOWN},      {"\033[B", TERMINAL_DOWN},
        {"\033OB", TERMINAL_DOWN}, {"k", TERMINAL_UP},
        {"\033[A", TERMINAL_UP},   {"\033OA", TERMINAL_UP},
        {" ", TERMINAL_PAGE_DOWN}, {"\033[6~", TERMINAL_PAGE_DOWN},
        {"b", TERMINAL_PAGE_UP},   {"\033[5~", TERMINAL_PAGE_UP},
        {"g", TERMINAL_TOP},       {"\033[H", TERMINAL_TOP},
        {"\x04", TERMINAL_QUIT},
    };
    enum terminal_key key = TERMINAL_NOTHING;

    while (n_keys > 0 && key == TERMINAL_NOTHING) {
        size_t len = 1;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            size_t n = strlen (known[i].bytes);
            if (n <= n_keys && memcmp (keys, known[i].bytes, n) == 0) {
                key = known[i].key;
                len = n;
                break;
            }
        }
        /* What is no key of ours goes as a whole. */
        if (key == TERMINAL_NOTHING && keys[0] == '\033')
            len = n_keys;
        n_keys -= len;
        memmove (keys, keys + len, n_keys);
    }
    return key;
}

enum terminal_key terminal_wait (int fd, int ms)
{
    struct pollfd items[] = {{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    enum terminal_key key = next_key ();

    if (key != TERMINAL_NOTHING || ended)
        return key;
    if (poll (items, wanted ? 2 : 1, ms) <= 0 || !items[1].revents)
        return TERMINAL_NOTHING;
    ssize_t n = read (STDIN_FILENO, keys, sizeof keys);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return TERMINAL_NOTHING;
    if (n <= 0)
        return TERMINAL_QUIT; /* the terminal is gone */
    n_keys = (size_t)n;
    return next_key ();
}

int terminal_write (const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write (STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return 0;
}
