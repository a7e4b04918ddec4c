/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_power.h"

#define SECTOR  512
#define FILES   256
#define NAMES   1024
#define PENDING 8192

int power_ignored_op = -1;

typedef struct change {
    uint64_t offset;
    size_t len;
    uint8_t *bytes; /* NULL: the file gets OFFSET bytes at least */
} change_t;

/* A file, whatever its names. */
typedef struct file {
    ino_t ino;
    uint8_t *bytes; /* what is durable */
    size_t len;
    change_t *pending;
    size_t n;
} file_t;

/* A change of the directory: NAME is then FILE (-1: gone). */
typedef struct name {
    char name[64];
    int file;
} name_t;

struct power {
    char dir[PATH_MAX];
    pthread_mutex_t lock;
    file_t files[FILES];
    int n_files;
    name_t durable[NAMES];
    int n_durable;
    name_t pending[NAMES];
    int n_pending;
    int64_t left; /* operations until the cut; < 0: none */
    bool cut;
    bool lose; /* a sync that is the last operation fails */
    bool kill; /* the cut is the death of the process */
};

static void set_name (name_t *names, int *n, const char *name, int file)
{
    for (int i = 0; i < *n; i++)
        if (strcmp (names[i].name, name) == 0) {
            names[i].file = file;
            return;
        }
    assert (*n < NAMES);
    snprintf (names[*n].name, sizeof names[*n].name, "%s", name);
    names[(*n)++].file = file;
}

static void add_pending (power_t *self, const char *name, int file)
{
    assert (self->n_pending < NAMES);
    name_t *p = &self->pending[self->n_pending++];
    snprintf (p->name, sizeof p->name, "%s", name);
    p->file = file;
}

/* What NAME is now. */
static int find_name (power_t *self, const char *name)
{
    for (int i = self->n_pending - 1; i >= 0; i--)
        if (strcmp (self->pending[i].name, name) == 0)
            return self->pending[i].file;
    for (int i = 0; i < self->n_durable; i++)
        if (strcmp (self->durable[i].name, name) == 0)
            return self->durable[i].file;
    return -1;
}

static int find_file (power_t *self, int fd)
{
    struct stat st;
    int rc = fstat (fd, &st);
    assert (rc == 0);
    /* Numbers are used again after a removal: the youngest file has it. */
    for (int i = self->n_files - 1; i >= 0; i--)
        if (self->files[i].ino == st.st_ino)
            return i;
    return -1;
}

static int new_file (power_t *self, ino_t ino)
{
    assert (self->n_files < FILES);
    self->files[self->n_files] = (file_t){.ino = ino};
    return self->n_files++;
}

static void put (file_t *file, uint64_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > file->len) {
        file->bytes = realloc (file->bytes, offset + len);
        memset (file->bytes + file->len, 0, offset + len - file->len);
        file->len = offset + len;
    }
    if (bytes)
        memcpy (file->bytes + offset, bytes, len);
}

static void add_change (file_t *file, uint64_t offset, uint8_t *bytes, size_t len)
{
    if (!file->pending)
        file->pending = calloc (PENDING, sizeof *file->pending);
    assert (file->n < PENDING);
    file->pending[file->n++] = (change_t){offset, len, bytes};
}

static void sync_file (file_t *file)
{
    for (size_t i = 0; i < file->n; i++) {
        change_t *c = &file->pending[i];
        put (file, c->offset, c->bytes, c->len);
        free (c->bytes);
    }
    file->n = 0;
}

static void drop_pending (file_t *file)
{
    for (size_t i = 0; i < file->n; i++)
        free (file->pending[i].bytes);
    file->n = 0;
}

static const char *base (const char *path)
{
    const char *slash = strrchr (path, '/');
    return slash ? slash + 1 : path;
}

static bool inside (power_t *self, const char *path)
{
    return strncmp (path, self->dir, strlen (self->dir)) == 0;
}

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int iovcnt,
                   void *arg)
{
    power_t *self = arg;
    if (op == IO_PREAD || (op == IO_OPEN && !((int)len & O_CREAT)))
        return 0;
    pthread_mutex_lock (&self->lock);
    bool last = self->left > 0 && --self->left == 0;
    self->cut |= last && !self->kill;
    /* The write that the cut meets may still get to the disk in part. */
    if (op == IO_PWRITE && (!self->cut || last)) {
        int i = find_file (self, fd);
        assert (i >= 0);
        uint8_t *bytes = malloc (len), *p = bytes;
        for (int k = 0; k < iovcnt; k++) {
            memcpy (p, iov[k].iov_base, iov[k].iov_len);
            p += iov[k].iov_len;
        }
        add_change (&self->files[i], offset, bytes, len);
    }
    if (!self->cut && op == IO_RENAME && inside (self, path2)) {
        add_pending (self, base (path2), find_name (self, base (path)));
        add_pending (self, base (path), -1);
    }
    int rc = self->cut ? EIO : 0;
    self->cut |= last;
    if (last && self->kill && self->lose && op == IO_FDATASYNC) {
        /* The kernel reports the error once and takes the pages for clean. */
        int i = find_file (self, fd);
        drop_pending (&self->files[i]);
        rc = EIO;
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

static void after (enum io_op op, int fd, const char *path, uint64_t offset,
                   uint64_t len, int result, void *arg)
{
    power_t *self = arg;
    pthread_mutex_lock (&self->lock);
    if (result < 0 || (int)op == power_ignored_op) {
        pthread_mutex_unlock (&self->lock);
        return;
    }
    int i;
    switch (op) {
    case IO_OPEN:
        if (!((int)len & O_CREAT) || !inside (self, path))
            break;
        i = find_name (self, base (path));
        if (i < 0) {
            struct stat st;
            fstat (fd, &st);
            add_pending (self, base (path), new_file (self, st.st_ino));
        }
        break;
    case IO_FDATASYNC:
    case IO_FSYNC:
        i = find_file (self, fd);
        if (i >= 0)
            sync_file (&self->files[i]);
        break;
    case IO_FALLOCATE:
        i = find_file (self, fd);
        add_change (&self->files[i], offset, NULL, len);
        break;
    case IO_UNLINK:
        if (find_name (self, base (path)) >= 0)
            add_pending (self, base (path), -1);
        break;
    case IO_SYNC_DIR:
        if (!inside (self, path))
            break;
        for (i = 0; i < self->n_pending; i++)
            set_name (self->durable, &self->n_durable, self->pending[i].name,
                      self->pending[i].file);
        self->n_pending = 0;
        break;
    default:
        break;
    }
    pthread_mutex_unlock (&self->lock);
}

power_t *power_new (const char *dir)
{
    power_t *self = calloc (1, sizeof *self);
    snprintf (self->dir, sizeof self->dir, "%s", dir);
    pthread_mutex_init (&self->lock, NULL);
    self->left = -1;
    DIR *d = opendir (dir);
    assert (d);
    struct dirent *e;
    while ((e = readdir (d))) {
        if (e->d_name[0] == '.')
            continue;
        char path[PATH_MAX];
        snprintf (path, sizeof path, "%s/%s", dir, e->d_name);
        struct stat st;
        int fd = open (path, O_RDONLY | O_CLOEXEC);
        int rc = fstat (fd, &st);
        assert (fd >= 0 && rc == 0);
        int i = new_file (self, st.st_ino);
        put (&self->files[i], 0, NULL, (size_t)st.st_size);
        ssize_t n = pread (fd, self->files[i].bytes, (size_t)st.st_size, 0);
        assert (n == st.st_size);
        close (fd);
        set_name (self->durable, &self->n_durable, e->d_name, i);
    }
    closedir (d);
    io_set_hook (&(io_hook_t){before, after, self});
    return self;
}

void power_cut_after (power_t *self, uint64_t n)
{
    pthread_mutex_lock (&self->lock);
    self->left = (int64_t)n;
    self->kill = false;
    pthread_mutex_unlock (&self->lock);
}

void power_kill_after (power_t *self, uint64_t n)
{
    power_cut_after (self, n);
    self->kill = true;
    self->lose = n % 2;
}

void power_revive (power_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->left = -1;
    self->cut = false;
    pthread_mutex_unlock (&self->lock);
}

bool power_is_cut (power_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool cut = self->cut;
    pthread_mutex_unlock (&self->lock);
    return cut;
}

/* The sectors of the pending writes each get there or not; in half of the crashes those
 * in order up to some point, as disks mostly do. */
static void crash_file (file_t *file, rng_t *rng)
{
    bool ordered = rng_below (rng, 2);
    size_t sectors = 0, keep;
    for (size_t i = 0; i < file->n; i++)
        sectors += file->pending[i].len / SECTOR + 2;
    keep = rng_below (rng, sectors + 1);
    size_t k = 0;
    for (size_t i = 0; i < file->n; i++) {
        change_t *c = &file->pending[i];
        if (!c->bytes) {
            if (ordered ? k++ < keep : rng_below (rng, 2))
                put (file, c->offset, NULL, c->len);
            continue;
        }
        for (uint64_t at = c->offset; at < c->offset + c->len;) {
            uint64_t end = (at / SECTOR + 1) * SECTOR;
            if (end > c->offset + c->len)
                end = c->offset + c->len;
            if (ordered ? k++ < keep : rng_below (rng, 2))
                put (file, at, c->bytes + (at - c->offset), (size_t)(end - at));
            at = end;
        }
    }
}

void power_restore (power_t *self, rng_t *rng, const char *to)
{
    pthread_mutex_lock (&self->lock);
    for (int i = 0; i < self->n_pending; i++) {
        /* A renaming is one change of the directory. */
        name_t *p = &self->pending[i];
        bool pair = p->file >= 0 && i + 1 < self->n_pending && p[1].file < 0;
        if (rng_below (rng, 2)) {
            set_name (self->durable, &self->n_durable, p->name, p->file);
            if (pair)
                set_name (self->durable, &self->n_durable, p[1].name, -1);
        }
        i += pair;
    }
    for (int i = 0; i < self->n_files; i++)
        crash_file (&self->files[i], rng);
    for (int i = 0; i < self->n_durable; i++) {
        if (self->durable[i].file < 0)
            continue;
        const file_t *file = &self->files[self->durable[i].file];
        char path[PATH_MAX];
        snprintf (path, sizeof path, "%s/%s", to, self->durable[i].name);
        int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert (fd >= 0);
        ssize_t n = file->len ? write (fd, file->bytes, file->len) : 0;
        assert (n == (ssize_t)file->len);
        close (fd);
    }
    pthread_mutex_unlock (&self->lock);
}

void power_destroy (power_t **self_p)
{
    power_t *self = *self_p;
    io_set_hook (NULL);
    for (int i = 0; i < self->n_files; i++) {
        drop_pending (&self->files[i]);
        free (self->files[i].pending);
        free (self->files[i].bytes);
    }
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
