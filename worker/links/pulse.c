/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/units.h"
#include "worker/links/pulse.h"

typedef struct disk {
    dev_t device;
    char path[64]; /* its stat file in sysfs */
    uint64_t busy_ms;
} disk_t;

struct pulse {
    disk_t *disks; /* each device once; none for tmpfs, overlay … */
    size_t n;
    int cores;
    uint64_t cpu_ns; /* of this process, at the last sample */
    uint64_t at;     /* of it, 0: none */
};

static void add_disk (pulse_t *self, const char *dir)
{
    struct stat st;

    if (stat (dir, &st) < 0 || major (st.st_dev) == 0)
        return;
    for (size_t i = 0; i < self->n; i++)
        if (self->disks[i].device == st.st_dev)
            return;
    disk_t *disk = &self->disks[self->n++];
    disk->device = st.st_dev;
    snprintf (disk->path, sizeof disk->path, "/sys/dev/block/%u:%u/stat",
              major (st.st_dev), minor (st.st_dev));
}

/* Those that this process may use. */
static int count_cores (void)
{
    cpu_set_t set;

    if (sched_getaffinity (0, sizeof set, &set) == 0 && CPU_COUNT (&set) > 0)
        return CPU_COUNT (&set);
    long n = sysconf (_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

pulse_t *pulse_new (const char *const *dirs, size_t n)
{
    pulse_t *self = calloc (1, sizeof *self);
    assert (self);
    self->disks = calloc (n + 1, sizeof *self->disks);
    assert (self->disks);
    for (size_t i = 0; i < n; i++)
        add_disk (self, dirs[i]);
    self->cores = count_cores ();
    return self;
}

void pulse_destroy (pulse_t **self_p)
{
    if (*self_p)
        free ((*self_p)->disks);
    free (*self_p);
    *self_p = NULL;
}

/* Numbers at the start of a file; returns how many. */
static int read_numbers (const char *path, uint64_t *out, int max)
{
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    char line[1024];
    int n = 0;
    if (fgets (line, sizeof line, file)) {
        char *p = line;
        for (; n < max; n++) {
            char *end;
            out[n] = strtoull (p, &end, 10);
            if (end == p)
                break;
            p = end;
        }
    }
    fclose (file);
    return n;
}

static uint32_t permille (uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    uint64_t value = part * 1000 / whole;
    return value > 1000 ? 1000 : (uint32_t)value;
}

static uint64_t timeval_ns (const struct timeval *t)
{
    return (uint64_t)t->tv_sec * SEC + (uint64_t)t->tv_usec * 1000;
}

static uint32_t sample_cpu (pulse_t *self, uint64_t passed)
{
    struct rusage usage;

    if (getrusage (RUSAGE_SELF, &usage) < 0)
        return 0;
    uint64_t ns = timeval_ns (&usage.ru_utime) + timeval_ns (&usage.ru_stime);
    uint32_t load = passed > 0 && ns > self->cpu_ns
                        ? permille (ns - self->cpu_ns, passed * (uint64_t)self->cores)
                        : 0;
    self->cpu_ns = ns;
    return load;
}

/* Of the busiest disk: the others wait for it no less. */
static uint32_t sample_disks (pulse_t *self, uint64_t passed)
{
    uint32_t most = 0;

    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = &self->disks[i];
        uint64_t v[10]; /* the tenth: milliseconds with requests in flight */
        if (read_numbers (disk->path, v, 10) < 10)
            continue;
        uint32_t load = passed > 0 && v[9] >= disk->busy_ms
                            ? permille ((v[9] - disk->busy_ms) * MS, passed)
                            : 0;
        disk->busy_ms = v[9];
        if (load > most)
            most = load;
    }
    return most;
}

void pulse_sample (pulse_t *self, uint64_t now, pulse_load_t *load)
{
    uint64_t pages[2] = {0, 0};
    uint64_t passed = self->at && now > self->at ? now - self->at : 0;

    read_numbers ("/proc/self/statm", pages, 2);
    load->memory = pages[1] * (uint64_t)sysconf (_SC_PAGESIZE);
    load->cpu_permille = sample_cpu (self, passed);
    load->disk_permille = sample_disks (self, passed);
    self->at = now;
}
