/* SPDX-License-Identifier: MPL-2.0 */
/* A bad network between two addresses: faultproxy CONTROL LISTEN TARGET PORT|LOW-HIGH…
 *
 * Listens on every port at LISTEN and connects through to the same port at TARGET (both
 * numeric IPv4). What it does to the bytes stands in the file CONTROL, read again ten
 * times a second; what it does not understand changes nothing:
 *
 *   pass            nothing
 *   delay MS        bytes arrive so much later, in order
 *   stall           connections stay open and nothing arrives (new ones are taken, too)
 *   cut             connections are reset, new ones as well
 *   lossy MS        one connection is reset every so often
 *   flip BYTES      one bit is turned in about every so many bytes
 *
 * Tells on stdout "ready" when it listens and at its end what it did. Memory is
 * bounded: HELD_MAX for each direction of a connection. Ends at SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX 512
#define LINKS_MAX 1024
#define PIECE     (64 * 1024)
#define HELD_MAX  (1024 * 1024)
#define LOOK_MS   100

enum mode { PASS, DELAY, STALL, CUT, LOSSY, FLIP };
static const char *const names[] = {"pass", "delay", "stall", "cut", "lossy", "flip"};

typedef struct piece {
    STAILQ_ENTRY (piece) link;
    uint64_t due; /* ms */
    size_t len, sent;
    uint8_t data[];
} piece_t;

/* One direction. */
typedef struct flow {
    STAILQ_HEAD (, piece) held;
    size_t bytes;
    bool ended; /* the source has said all */
    bool shut;  /* and the other side knows */
} flow_t;

typedef struct link {
    int fd[2];      /* of the one that called, and of the one that is called */
    flow_t flow[2]; /* from fd[i] to fd[1 - i] */
} link_t;

static int listeners[PORTS_MAX];
static uint16_t ports[PORTS_MAX];
static size_t n_ports;
static link_t *links[LINKS_MAX];
static size_t n_links;
static const char *control, *target;
static enum mode mode = PASS;
static uint64_t number; /* of the mode */
static uint64_t to_flip, to_lose;
static uint64_t taken, flipped, reset;
static volatile sig_atomic_t ended;

static void on_term (int signo)
{
    (void)signo;
    ended = 1;
}

static void die (const char *what)
{
    fprintf (stderr, "faultproxy: %s: %s\n", what, strerror (errno));
    exit (1);
}

static uint64_t now_ms (void)
{
    struct timespec t;
    clock_gettime (CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t about (uint64_t n)
{
    return n / 2 + (uint64_t)random () % (n + 1);
}

static struct sockaddr_in address (const char *host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons (port)};

    if (inet_pton (AF_INET, host, &a.sin_addr) != 1) {
        fprintf (stderr, "faultproxy: %s is not an IPv4 address\n", host);
        exit (2);
    }
    return a;
}

static void look (uint64_t now)
{
    char word[16] = "";
    unsigned long long n = 0;
    FILE *file = fopen (control, "r");
    if (!file)
        return;
    int got = fscanf (file, "%15s %llu", word, &n);
    fclose (file);
    for (unsigned i = 0; got >= 1 && i < sizeof names / sizeof *names; i++)
        if (strcmp (word, names[i]) == 0 && (mode != i || number != n)) {
            mode = i;
            number = n;
            to_flip = about (n);
            to_lose = now + n;
        }
}

static void listen_on (const char *host, uint16_t port)
{
    struct sockaddr_in a = address (host, port);
    int one = 1;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || n_ports == PORTS_MAX ||
        setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind (fd, (struct sockaddr *)&a, sizeof a) < 0 || listen (fd, 512) < 0)
        die ("listen");
    ports[n_ports] = port;
    listeners[n_ports++] = fd;
}

static void close_hard (int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt (fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close (fd);
}

static void drop (size_t i, bool hard)
{
    link_t *link = links[i];

    for (int k = 0; k < 2; k++) {
        piece_t *piece;
        while ((piece = STAILQ_FIRST (&link->flow[k].held))) {
            STAILQ_REMOVE_HEAD (&link->flow[k].held, link);
            free (piece);
        }
        if (hard)
            close_hard (link->fd[k]);
        else
            close (link->fd[k]);
    }
    reset += hard;
    free (link);
    links[i] = links[--n_links];
}

static void take (size_t port)
{
    struct sockaddr_in a = address (target, ports[port]);
    int one = 1;
    int fd = accept4 (listeners[port], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (mode == CUT || n_links == LINKS_MAX) {
        close_hard (fd);
        return;
    }
    int to = socket (AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (to < 0)
        die ("socket");
    if (connect (to, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS) {
        close (to);
        close_hard (fd);
        return;
    }
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt (to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    link_t *link = calloc (1, sizeof *link);
    if (!link)
        die ("memory");
    link->fd[0] = fd;
    link->fd[1] = to;
    STAILQ_INIT (&link->flow[0].held);
    STAILQ_INIT (&link->flow[1].held);
    links[n_links++] = link;
    taken++;
}

static void flip (uint8_t *data, size_t len)
{
    size_t at = 0;

    while (to_flip < len - at) {
        at += (size_t)to_flip;
        data[at] ^= (uint8_t)(1u << (random () % 8));
        to_flip = about (number) + 1;
        flipped++;
    }
    to_flip -= len - at;
}

/* False: the connection is broken. */
static bool fill (link_t *link, int k, uint64_t now)
{
    flow_t *flow = &link->flow[k];
    piece_t *piece = malloc (sizeof *piece + PIECE);

    if (!piece)
        die ("memory");
    ssize_t n = recv (link->fd[k], piece->data, PIECE, 0);
    if (n <= 0) {
        free (piece);
        flow->ended = n == 0;
        return n == 0 || errno == EAGAIN || errno == EINTR;
    }
    piece->len = (size_t)n;
    piece->sent = 0;
    piece->due = mode == DELAY ? now + number : now;
    if (mode == FLIP)
        flip (piece->data, piece->len);
    STAILQ_INSERT_TAIL (&flow->held, piece, link);
    flow->bytes += piece->len;
    return true;
}

static bool pour (link_t *link, int k, uint64_t now)
{
    flow_t *flow = &link->flow[k];
    piece_t *piece;

    while (mode != STALL && (piece = STAILQ_FIRST (&flow->held)) && piece->due <= now) {
        ssize_t n = send (link->fd[1 - k], piece->data + piece->sent,
                          piece->len - piece->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
        piece->sent += (size_t)n;
        flow->bytes -= (size_t)n;
        if (piece->sent < piece->len)
            return true;
        STAILQ_REMOVE_HEAD (&flow->held, link);
        free (piece);
    }
    if (flow->ended && !flow->shut && STAILQ_EMPTY (&flow->held) && mode != STALL) {
        shutdown (link->fd[1 - k], SHUT_WR);
        flow->shut = true;
    }
    return true;
}

/* What to poll a side of LINK for. */
static short wants (const link_t *link, int k, uint64_t now)
{
    const flow_t *in = &link->flow[k], *out = &link->flow[1 - k];
    const piece_t *first = STAILQ_FIRST (&out->held);
    short events = 0;

    if (mode == STALL)
        return 0;
    if (!in->ended && in->bytes < HELD_MAX)
        events |= POLLIN;
    if (first && first->due <= now)
        events |= POLLOUT;
    return events;
}

static void turn (void)
{
    static struct pollfd items[PORTS_MAX + 2 * LINKS_MAX];
    uint64_t now = now_ms ();
    size_t n = 0, old = n_links;

    for (size_t i = 0; i < n_ports; i++)
        items[n++] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
    for (size_t i = 0; i < n_links; i++)
        for (int k = 0; k < 2; k++) {
            short events = wants (links[i], k, now);
            /* nothing wanted: not even that it was hung up, it would spin */
            items[n++] =
                (struct pollfd){.fd = events ? links[i]->fd[k] : -1, .events = events};
        }
    if (poll (items, n, mode == DELAY ? 1 : LOOK_MS) < 0 && errno != EINTR)
        die ("poll");
    now = now_ms ();
    for (size_t i = old; i-- > 0;) {
        const struct pollfd *item = &items[n_ports + 2 * i];
        bool good = true;
        for (int k = 0; k < 2; k++)
            if (item[k].revents & (POLLIN | POLLHUP | POLLERR))
                good = good && fill (links[i], k, now);
        for (int k = 0; k < 2; k++)
            good = good && pour (links[i], k, now);
        if (!good)
            drop (i, true);
        else if (links[i]->flow[0].shut && links[i]->flow[1].shut)
            drop (i, false);
    }
    for (size_t i = 0; i < n_ports; i++)
        if (items[i].revents)
            take (i);
    if (mode == CUT)
        while (n_links > 0)
            drop (0, true);
    if (mode == LOSSY && now >= to_lose && n_links > 0) {
        drop ((size_t)random () % n_links, true);
        to_lose = now + about (number);
    }
}

int main (int argc, char **argv)
{
    uint64_t looked = 0;

    if (argc < 5) {
        fprintf (stderr, "usage: faultproxy CONTROL LISTEN TARGET PORT|LOW-HIGH…\n");
        return 2;
    }
    control = argv[1];
    target = argv[3];
    for (int i = 4; i < argc; i++) {
        unsigned low = 0, high = 0;
        int got = sscanf (argv[i], "%u-%u", &low, &high);
        if (got == 1)
            high = low;
        if (got < 1 || low == 0 || high < low || high > 65535) {
            fprintf (stderr, "faultproxy: %s is no port\n", argv[i]);
            return 2;
        }
        for (unsigned port = low; port <= high; port++)
            listen_on (argv[2], (uint16_t)port);
    }
    struct sigaction action = {.sa_handler = on_term};
    sigaction (SIGTERM, &action, NULL);
    srandom ((unsigned)getpid ());
    look (now_ms ());
    printf ("ready\n");
    fflush (stdout);
    while (!ended) {
        uint64_t now = now_ms ();
        if (now - looked >= LOOK_MS) {
            look (now);
            looked = now;
        }
        turn ();
    }
    printf ("connections %llu, reset %llu, bits turned %llu\n",
            (unsigned long long)taken, (unsigned long long)reset,
            (unsigned long long)flipped);
    return 0;
}
