/* SPDX-License-Identifier: MPL-2.0 */
/* Bugs that a simulation plants to see that it finds them. Only in a core that was
 * compiled for that: in the broker PLANTED is false. */
#ifndef BROKER_CORE_PLANTED_H
#define BROKER_CORE_PLANTED_H

enum planted_bug {
    BUG_NONE,
    BUG_TRIM_UNHASHED,     /* copies count as whole that nobody looked at */
    BUG_TRIM_ONE_TOO_MANY, /* one copy fewer than asked for is thought enough */
    BUG_NO_GRACE,          /* condemned chunks are dropped at once */
    BUG_STUCK,             /* a copy order that failed is never tried again */
    BUG_NO_CONFIRMATION,   /* what was ordered counts as done */
    BUG_BALANCE_EVER,      /* workers are evened out without end */
    BUG_LIMIT_TOO_HIGH,    /* an order to drop takes younger copies too */
    BUG_CLOCK,             /* a clock in doubt does not stop reclaim */
    BUG_DISK_KEPT,         /* copies of a disk that is gone still count */
    BUG_STALE,             /* what an old location table says counts as it is */
    BUG_LEAK,              /* chunks stay in memory */
    BUG_GRANT_EVER,        /* a grant that nothing comes of has no end */
    BUG_PASSED_OVER,       /* what waited for a worker waits on when it is back */
    BUG_PAGE_MISSING,      /* a listing counts as whole without one of its pages */
    BUGS,
};

#ifdef CORE_PLANT
extern int core_planted; /* enum planted_bug */
#define PLANTED(bug) (core_planted == (bug))
#else
#define PLANTED(bug) false
#endif

#endif
