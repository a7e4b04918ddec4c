/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/units.h"
#include "worker/links/pulse.h"

struct pulse {
    char disk[64]; /* its stat file in sysfs; empty: none (tmpfs, overlay) */
    uint64_t busy; /* CPU, of the last sample */
    uint64_t total;
    uint64_t disk_ms;
    uint64_t disk_at;
};

pulse_t *pulse_new (const char *data_dir)
{
    pulse_t *self = calloc (1, sizeof *self);
    assert (self);
    struct stat st;
    if (stat (data_dir, &st) == 0 && major (st.st_dev) != 0)
        snprintf (self->disk, sizeof self->disk, "/sys/dev/block/%u:%u/stat",
                  major (st.st_dev), minor (st.st_dev));
    return self;
}

void pulse_destroy (pulse_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

/* Numbers at the start of a file, after WORD if it is not NULL; returns how many. */
static int read_numbers (const char *path, const char *word, uint64_t *out, int max)
{
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    char line[1024];
    int n = 0;
    if (fgets (line, sizeof line, file)) {
        char *p = line;
        if (word && strncmp (p, word, strlen (word)) == 0)
            p += strlen (word);
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

static uint32_t sample_cpu (pulse_t *self)
{
    uint64_t v[8]; /* user nice system idle iowait irq softirq steal */
    if (read_numbers ("/proc/stat", "cpu ", v, 8) < 5)
        return 0;
    uint64_t total = 0;
    for (int i = 0; i < 8; i++)
        total += v[i];
    uint64_t busy = total - v[3] - v[4];
    uint32_t load = self->total && total > self->total && busy >= self->busy
                        ? permille (busy - self->busy, total - self->total)
                        : 0;
    self->busy = busy;
    self->total = total;
    return load;
}

static uint32_t sample_disk (pulse_t *self, uint64_t now)
{
    uint64_t v[10]; /* the tenth: milliseconds with requests in flight */
    if (!self->disk[0] || read_numbers (self->disk, NULL, v, 10) < 10)
        return 0;
    uint32_t load = self->disk_at && now > self->disk_at && v[9] >= self->disk_ms
                        ? permille ((v[9] - self->disk_ms) * MS, now - self->disk_at)
                        : 0;
    self->disk_ms = v[9];
    self->disk_at = now;
    return load;
}

void pulse_sample (pulse_t *self, uint64_t now, pulse_load_t *load)
{
    uint64_t pages[2] = {0, 0};
    read_numbers ("/proc/self/statm", NULL, pages, 2);
    load->memory = pages[1] * (uint64_t)sysconf (_SC_PAGESIZE);
    load->cpu_permille = sample_cpu (self);
    load->disk_permille = sample_disk (self, now);
}
