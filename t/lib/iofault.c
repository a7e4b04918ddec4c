/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/kv.h"
#include "common/rng.h"
#include "t/lib/iofault.h"
#include "t/lib/storetest.h"

#define SECTOR    512
#define SITES_MAX 64

/* Bytes as they were before a write, truncate or punch. */
typedef struct undo {
    struct undo *next; /* older */
    uint64_t number;
    uint64_t offset;
    uint64_t len;
    uint64_t old_size;
    uint8_t *old;
} undo_t;

typedef struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    char path[PATH_MAX];
    undo_t *undo; /* newest first */
    uint64_t sync_mark;
} file_t;

/* A change of a directory that a power loss may forget. */
typedef struct dirop {
    struct dirop *next; /* older */
    enum io_op op;
    char dir[PATH_MAX];
    char path[PATH_MAX];
    char from[PATH_MAX];   /* rename */
    char backup[PATH_MAX]; /* what stood at PATH, "" nothing */
} dirop_t;

typedef struct site {
    uint64_t id;
    char name[400];
} site_t;

static struct {
    pthread_mutex_t lock;
    bool on;
    char root[PATH_MAX];
    char backups[PATH_MAX];
    file_t *files;
    dirop_t *dirops;
    uint64_t number;
    uint64_t count;
    uint64_t fire_at;
    int errnum;
    bool power;
    bool fired;
    site_t sites[SITES_MAX];
    size_t n_sites;
    uint64_t muted;
} s = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool sync_muted;

/* --- shadow of files --- */

static file_t *file_of (int fd)
{
    struct stat st;
    if (fstat (fd, &st) < 0)
        return NULL;
    for (file_t *f = s.files; f; f = f->next)
        if (f->dev == st.st_dev && f->ino == st.st_ino)
            return f;
    file_t *f = calloc (1, sizeof *f);
    assert (f);
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    char link[64];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink (link, f->path, sizeof f->path - 1);
    assert (n > 0);
    f->next = s.files;
    s.files = f;
    return f;
}

static void remember (int fd, uint64_t offset, uint64_t len)
{
    file_t *f = file_of (fd);
    struct stat st;
    if (!f || fstat (fd, &st) < 0)
        return;
    undo_t *u = calloc (1, sizeof *u);
    assert (u);
    u->number = ++s.number;
    u->offset = offset & ~(uint64_t)(SECTOR - 1);
    u->len = ((offset + len + SECTOR - 1) & ~(uint64_t)(SECTOR - 1)) - u->offset;
    u->old_size = (uint64_t)st.st_size;
    u->old = calloc (1, u->len + 1);
    assert (u->old);
    char link[64];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    int copy = open (link, O_RDONLY | O_CLOEXEC);
    assert (copy >= 0);
    ssize_t n = pread (copy, u->old, u->len, (off_t)u->offset);
    assert (n >= 0);
    close (copy);
    u->next = f->undo;
    f->undo = u;
}

static void free_undo (undo_t *u)
{
    while (u) {
        undo_t *next = u->next;
        free (u->old);
        free (u);
        u = next;
    }
}

/* All up to MARK is durable. */
static void forget (file_t *f, uint64_t mark)
{
    undo_t **p = &f->undo;
    while (*p && (*p)->number > mark)
        p = &(*p)->next;
    free_undo (*p);
    *p = NULL;
}

/* --- shadow of directories --- */

static void parent_of (const char *path, char *out)
{
    snprintf (out, PATH_MAX, "%s", path);
    char *slash = strrchr (out, '/');
    if (slash)
        *slash = 0;
}

static void remember_dir (enum io_op op, const char *path, const char *from)
{
    dirop_t *d = calloc (1, sizeof *d);
    assert (d);
    d->op = op;
    snprintf (d->path, sizeof d->path, "%s", path);
    snprintf (d->from, sizeof d->from, "%s", from ? from : "");
    parent_of (path, d->dir);
    if (op != IO_MKDIR && access (path, F_OK) == 0) {
        snprintf (d->backup, sizeof d->backup, "%.4000s/%llu", s.backups,
                  (unsigned long long)++s.number);
        if (link (path, d->backup) < 0)
            d->backup[0] = 0;
    }
    d->next = s.dirops;
    s.dirops = d;
}

static void free_dirop (dirop_t *d)
{
    if (d->backup[0])
        unlink (d->backup);
    free (d);
}

static void forget_dir (const char *dir)
{
    dirop_t **p = &s.dirops;
    while (*p) {
        dirop_t *d = *p;
        if (strcmp (d->dir, dir) == 0) {
            *p = d->next;
            free_dirop (d);
        } else {
            p = &d->next;
        }
    }
}

static void undo_dirop (const dirop_t *d)
{
    switch (d->op) {
    case IO_OPEN:
        unlink (d->path);
        break;
    case IO_MKDIR:
        storetest_remove_tree (d->path);
        break;
    case IO_RENAME:
        if (rename (d->path, d->from) == 0 && d->backup[0])
            link (d->backup, d->path);
        break;
    default:
        if (d->backup[0])
            link (d->backup, d->path);
        break;
    }
}

/* --- call sites --- */

/* What addr2line wants. */
static size_t offset_in_program (const void *address)
{
    Dl_info info;
    if (!dladdr (address, &info))
        return (size_t)address;
    return (size_t)address - (size_t)info.dli_fbase;
}

/* A call site is the place that calls SYNC (io_fdatasync …): the frame above the first
 * one that lies in it. */
static site_t *site_here (void (*sync) (void))
{
    enum { FUNCTION_MAX = 8192 };
    void *frames[12];
    int n = backtrace (frames, 12);
    uintptr_t from = (uintptr_t)sync;
    int at = 0;
    while (at < n - 2 && ((uintptr_t)frames[at] < from ||
                          (uintptr_t)frames[at] >= from + FUNCTION_MAX))
        at++;
    at++;
    uint64_t id = (uint64_t)(uintptr_t)frames[at];
    for (size_t i = 0; i < s.n_sites; i++)
        if (s.sites[i].id == id)
            return &s.sites[i];
    assert (s.n_sites < SITES_MAX);
    site_t *site = &s.sites[s.n_sites++];
    site->id = id;
    size_t len = 0;
    for (int i = at; i < n && i < at + 3; i++)
        len += (size_t)snprintf (site->name + len, sizeof site->name - len, " +%#zx",
                                 offset_in_program (frames[i]));
    return site;
}

size_t iofault_sites (uint64_t *out, size_t max)
{
    size_t n = s.n_sites < max ? s.n_sites : max;
    for (size_t i = 0; i < n; i++)
        out[i] = s.sites[i].id;
    return n;
}

const char *iofault_site_name (uint64_t site)
{
    for (size_t i = 0; i < s.n_sites; i++)
        if (s.sites[i].id == site)
            return s.sites[i].name;
    return "?";
}

void iofault_mute (uint64_t site)
{
    s.muted = site;
}

/* --- hooks --- */

static int count_one (void)
{
    s.count++;
    if (s.fired && s.power)
        return s.errnum;
    if (s.fire_at && s.count >= s.fire_at && !s.fired) {
        s.fired = true;
        return s.errnum;
    }
    return 0;
}

static bool inside (const char *path)
{
    return strncmp (path, s.root, strlen (s.root)) == 0;
}

static int shadow (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len)
{
    struct stat st;
    switch (op) {
    case IO_OPEN:
        if ((len & O_CREAT) && access (path, F_OK) < 0)
            remember_dir (op, path, NULL);
        return 0;
    case IO_PWRITE:
    case IO_PUNCH:
    case IO_FALLOCATE:
        remember (fd, offset, len);
        return 0;
    case IO_FTRUNCATE:
        if (fstat (fd, &st) == 0)
            remember (fd, offset < (uint64_t)st.st_size ? offset : (uint64_t)st.st_size,
                      offset < (uint64_t)st.st_size ? (uint64_t)st.st_size - offset
                                                    : 0);
        return 0;
    case IO_MKDIR:
    case IO_UNLINK:
        remember_dir (op, path, NULL);
        return 0;
    case IO_RENAME:
        remember_dir (op, path2, path);
        for (file_t *f = s.files; f; f = f->next)
            if (strcmp (f->path, path) == 0)
                snprintf (f->path, sizeof f->path, "%s", path2);
        return 0;
    case IO_FDATASYNC:
    case IO_FSYNC: {
        file_t *f = file_of (fd);
        if (f)
            f->sync_mark = s.number;
        sync_muted = site_here (op == IO_FSYNC ? (void (*) (void))io_fsync
                                               : (void (*) (void))io_fdatasync)
                         ->id == s.muted;
        return 0;
    }
    case IO_SYNC_DIR:
        sync_muted = site_here ((void (*) (void))io_sync_dir)->id == s.muted;
        return 0;
    default:
        return 0;
    }
}

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                   void *arg)
{
    (void)iov;
    (void)n;
    (void)arg;
    if (op == IO_PREAD || (path && !inside (path)))
        return 0;
    pthread_mutex_lock (&s.lock);
    int rc = 0;
    bool counts = op != IO_OPEN || (len & O_CREAT);
    if (counts)
        rc = count_one ();
    else if (s.fired && s.power)
        rc = s.errnum;
    if (rc == 0)
        shadow (op, fd, path, path2, offset, len);
    pthread_mutex_unlock (&s.lock);
    return rc;
}

static void after (enum io_op op, int fd, const char *path, uint64_t offset,
                   uint64_t len, int result, void *arg)
{
    (void)offset;
    (void)len;
    (void)arg;
    if (result < 0 || sync_muted || (path && !inside (path))) {
        sync_muted = false;
        return;
    }
    pthread_mutex_lock (&s.lock);
    if (op == IO_FDATASYNC || op == IO_FSYNC) {
        file_t *f = file_of (fd);
        if (f)
            forget (f, f->sync_mark);
    } else if (op == IO_SYNC_DIR) {
        forget_dir (path);
    }
    pthread_mutex_unlock (&s.lock);
}

static int before_commit (void *arg)
{
    (void)arg;
    pthread_mutex_lock (&s.lock);
    int rc = count_one ();
    pthread_mutex_unlock (&s.lock);
    return rc;
}

/* --- power loss --- */

/* What happens to unsynced sectors of one file. */
enum fate { ALL_GONE, ALL_KEPT, BY_SECTOR, BY_WRITE };

static void lose_file (file_t *f, rng_t *rng)
{
    int fd = open (f->path, O_RDWR | O_CLOEXEC);
    if (!f->undo || fd < 0) {
        if (fd >= 0)
            close (fd);
        return;
    }
    struct stat st;
    assert (fstat (fd, &st) == 0);
    if (st.st_ino != f->ino) {
        close (fd);
        return;
    }
    uint64_t top = (uint64_t)st.st_size;
    for (undo_t *u = f->undo; u; u = u->next)
        top = u->offset + u->len > top ? u->offset + u->len : top;
    bool *kept = calloc (top / SECTOR + 1, sizeof *kept);
    assert (kept);
    enum fate fate = (enum fate)rng_below (rng, 4);
    uint64_t size = (uint64_t)st.st_size;
    bool size_kept = fate == ALL_KEPT;
    for (undo_t *u = f->undo; u; u = u->next) {
        bool keep_write = rng_below (rng, 2);
        for (uint64_t at = 0; at < u->len; at += SECTOR) {
            uint64_t sector = (u->offset + at) / SECTOR;
            if (kept[sector])
                continue;
            kept[sector] = fate == ALL_KEPT || (fate == BY_WRITE && keep_write) ||
                           (fate == BY_SECTOR && rng_below (rng, 2));
            if (!kept[sector])
                assert (pwrite (fd, u->old + at, SECTOR, (off_t)(u->offset + at)) ==
                        SECTOR);
        }
        size_kept = size_kept || (fate != ALL_GONE && rng_below (rng, 2));
        if (!size_kept)
            size = u->old_size;
    }
    assert (ftruncate (fd, (off_t)size) == 0);
    free (kept);
    close (fd);
}

static void clear (void)
{
    while (s.files) {
        file_t *next = s.files->next;
        free_undo (s.files->undo);
        free (s.files);
        s.files = next;
    }
    while (s.dirops) {
        dirop_t *next = s.dirops->next;
        free_dirop (s.dirops);
        s.dirops = next;
    }
    s.fired = false;
    s.fire_at = 0;
}

void iofault_lose (uint64_t seed)
{
    rng_t rng;
    rng_seed (&rng, seed);
    pthread_mutex_lock (&s.lock);
    for (file_t *f = s.files; f; f = f->next)
        lose_file (f, &rng);
    /* Newest first: a journalled file system forgets the last ones. */
    uint64_t n = 0;
    for (dirop_t *d = s.dirops; d; d = d->next)
        n++;
    uint64_t lost = rng_below (&rng, n + 1);
    for (dirop_t *d = s.dirops; d && lost; d = d->next, lost--)
        undo_dirop (d);
    clear ();
    pthread_mutex_unlock (&s.lock);
}

/* --- control --- */

void iofault_start (const char *root)
{
    pthread_mutex_lock (&s.lock);
    clear ();
    snprintf (s.root, sizeof s.root, "%s/", root);
    snprintf (s.backups, sizeof s.backups, "%.4000s/.shadow", root);
    mkdir (s.backups, 0700);
    s.count = 0;
    s.on = true;
    pthread_mutex_unlock (&s.lock);
    static const io_hook_t hook = {.before = before, .after = after};
    io_set_hook (&hook);
    kv_set_hook (before_commit, NULL);
}

void iofault_stop (void)
{
    io_set_hook (NULL);
    kv_set_hook (NULL, NULL);
    pthread_mutex_lock (&s.lock);
    clear ();
    s.on = false;
    pthread_mutex_unlock (&s.lock);
}

void iofault_arm (uint64_t k, int errnum, bool power)
{
    pthread_mutex_lock (&s.lock);
    s.fire_at = k ? s.count + k : 0;
    s.errnum = errnum;
    s.power = power;
    s.fired = false;
    pthread_mutex_unlock (&s.lock);
}

uint64_t iofault_count (void)
{
    return s.count;
}

bool iofault_fired (void)
{
    return s.fired;
}
