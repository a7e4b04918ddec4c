/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/units.h"
#include "msgs/path.h"
#include "progress.h"
#include "tool.h"
#include "trace_print.h"

#define OPTIONS_MAX 40

enum { KEY_CONFIG = 1000, KEY_USER, KEY_TIMEOUT, KEY_TRACE, KEY_JSON, KEY_VERSION };

tool_common_t tool_common;
static const tool_info_t *info;
static const tool_verb_t *verb; /* NULL before it is known */

static const tool_option_t client_options[] = {
    {KEY_CONFIG, "config", "FILE",
     "cluster.cfg (default: $DFS_CONFIG, ~/.config/dfs/cluster.cfg, the system's)"},
    {KEY_USER, "user", "NAME",
     "user whose key is used (default: $DFS_USER, else admin)"},
    {KEY_TIMEOUT, "timeout", "SECONDS", "give up after so long without any progress"},
    {KEY_TRACE, "trace", NULL, "say on stderr where the time went, hop by hop"},
    {0, NULL, NULL, NULL},
};

static const tool_option_t every_option[] = {
    {'q', "quiet", NULL, "no progress, no words but errors"},
    {'v', "verbose", NULL, "say more; the library's log goes to stderr"},
    {'h', "help", NULL, "this text"},
    {KEY_VERSION, "version", NULL, "the version"},
    {0, NULL, NULL, NULL},
};

static const tool_option_t json_option[] = {
    {KEY_JSON, "json", NULL, "print JSON"},
    {0, NULL, NULL, NULL},
};

/* --- usage --- */

static void print_options (FILE *file, const tool_option_t *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf (left, sizeof left, "--%s%s%s", options->name,
                  options->value ? " " : "", options->value ? options->value : "");
        if (options->key < 128)
            fprintf (file, "  -%c, %-20s %s\n", options->key, left, options->help);
        else
            fprintf (file, "      %-20s %s\n", left, options->help);
    }
}

static void print_synopsis (FILE *file)
{
    if (verb)
        fprintf (file, "Usage: %s %s [OPTION…]%s%s\n", info->name, verb->name,
                 *verb->args ? " " : "", verb->args);
    else
        fprintf (file, "Usage: %s VERB [OPTION…] …\n", info->name);
}

static void print_usage (FILE *file)
{
    print_synopsis (file);
    if (verb) {
        fprintf (file, "%c%s.%s%s\n", verb->help[0] - 'a' + 'A', verb->help + 1,
                 verb->alias ? " Alias: " : "", verb->alias ? verb->alias : "");
        print_options (file, verb->options);
        if (verb->json)
            print_options (file, json_option);
    } else {
        fprintf (file, "%s\n\nVerbs:\n", info->summary);
        for (const tool_verb_t *v = info->verbs; v->name; v++) {
            char name[64];
            snprintf (name, sizeof name, "%s%s%s", v->name, v->alias ? ", " : "",
                      v->alias ? v->alias : "");
            fprintf (file, "  %-15s %s\n", name, v->help);
        }
        fprintf (file, "\n'%s VERB --help' tells more about one.\nEvery verb takes:\n",
                 info->name);
    }
    if (info->client)
        print_options (file, client_options);
    print_options (file, every_option);
}

void tool_usage (const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    fprintf (stderr, "%s: ", info->name);
    if (verb)
        fprintf (stderr, "%s: ", verb->name);
    vfprintf (stderr, fmt, ap);
    fputc ('\n', stderr);
    va_end (ap);
    print_synopsis (stderr);
    fprintf (stderr, "Try '%s%s%s --help'.\n", info->name, verb ? " " : "",
             verb ? verb->name : "");
    exit (TOOL_EXIT_USAGE);
}

/* --- options --- */

typedef struct getopt_tables {
    struct option longs[OPTIONS_MAX + 1];
    char shorts[3 * OPTIONS_MAX + 3];
    size_t n, s;
} getopt_tables_t;

static void add_options (getopt_tables_t *t, const tool_option_t *options)
{
    for (; options && options->name; options++) {
        assert (t->n < OPTIONS_MAX);
        t->longs[t->n++] = (struct option){
            options->name, options->value ? required_argument : no_argument, NULL,
            options->key};
        if (options->key < 128) {
            t->shorts[t->s++] = (char)options->key;
            if (options->value)
                t->shorts[t->s++] = ':';
        }
    }
}

/* Handles what every verb takes; false for the verb's own. */
static bool common_option (int key)
{
    switch (key) {
    case 'q':
        tool_common.quiet = true;
        return true;
    case 'v':
        tool_common.verbose = true;
        return true;
    case 'h':
        print_usage (stdout);
        exit (0);
    case KEY_VERSION:
        printf ("%s %s\n", info->name, dfs_version ());
        exit (0);
    case KEY_CONFIG:
        tool_common.config = optarg;
        return true;
    case KEY_USER:
        tool_common.user = optarg;
        return true;
    case KEY_TIMEOUT:
        tool_common.timeout_ms =
            (uint32_t)tool_number ("--timeout", optarg, 1000000) * 1000;
        return true;
    case KEY_TRACE:
        tool_common.trace = true;
        return true;
    case KEY_JSON:
        tool_common.json = true;
        return true;
    default:
        return false;
    }
}

static int next_option (int argc, char **argv, const char **value)
{
    getopt_tables_t t = {0};
    /* '+': the program's own options end at the verb. ':' tells a missing argument. */
    if (!verb)
        t.shorts[t.s++] = '+';
    t.shorts[t.s++] = ':';
    if (verb)
        add_options (&t, verb->options);
    if (verb && verb->json)
        add_options (&t, json_option);
    if (info->client)
        add_options (&t, client_options);
    add_options (&t, every_option);
    opterr = 0;
    for (;;) {
        int at = optind ? optind : 1;
        int key = getopt_long (argc, argv, t.shorts, t.longs, NULL);
        if (key == '?' && optopt && optopt < 128 && argv[at][1] != '-')
            tool_usage ("unknown option '-%c'", optopt);
        if (key == '?')
            tool_usage ("unknown option '%s'", argv[optind > at ? optind - 1 : at]);
        if (key == ':')
            tool_usage ("option '%s' needs an argument", argv[optind - 1]);
        if (key >= 0 && common_option (key))
            continue;
        if (value)
            *value = optarg;
        return key;
    }
}

int tool_next (int argc, char **argv, const char **value)
{
    int key;

    assert (verb);
    while ((key = next_option (argc, argv, value)) == TOOL_STALE)
        tool_common.stale = true;
    return key;
}

void tool_operands (int argc, int min, int max)
{
    int n = argc - optind;
    if (n < min)
        tool_usage ("operand missing");
    if (n > max)
        tool_usage ("too many operands");
}

uint64_t tool_size (const char *option, const char *text)
{
    dfs_error_t err;
    uint64_t size = 0;
    if (units_parse_size (text, &size, &err) < 0)
        tool_usage ("%s: %s", option, err.text);
    return size;
}

uint64_t tool_number (const char *option, const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull (text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        tool_usage ("%s: '%s' is not a number", option, text);
    if (errno || number > max)
        tool_usage ("%s: '%s' is more than %" PRIu64, option, text, max);
    return number;
}

static const tool_verb_t *find_verb (const char *name)
{
    for (const tool_verb_t *v = info->verbs; v->name; v++)
        if (strcmp (v->name, name) == 0 || (v->alias && strcmp (v->alias, name) == 0))
            return v;
    return NULL;
}

int tool_main (const tool_info_t *own, int argc, char **argv)
{
    io_standard ();
    info = own;
    if (next_option (argc, argv, NULL) != -1)
        tool_usage ("wrong option");
    if (optind >= argc)
        tool_usage ("which verb?");
    const char *name = argv[optind];
    if (strcmp (name, "help") == 0) {
        if (optind + 1 < argc)
            verb = find_verb (argv[optind + 1]);
        print_usage (stdout);
        return 0;
    }
    verb = find_verb (name);
    if (!verb)
        tool_usage ("unknown verb '%s'", name);
    argc -= optind;
    argv += optind;
    optind = 0; /* starts over, with the verb as argv[0] */
    int status = verb->run (argc, argv);
    if (fflush (stdout) || ferror (stdout)) {
        tool_error (NULL, "standard output: %s", strerror (errno));
        tool_worst (&status, TOOL_EXIT_FAILED);
    }
    return status;
}

/* --- messages --- */

char *tool_shown (const char *path)
{
    size_t len = strlen (path), cap = 4 * len + 1;
    char *out = malloc (cap);
    assert (out);
    return path_escape (path, len, out, cap);
}

char *tool_quoted (const char *text)
{
    size_t plain = strspn (text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789/._-+,:@%");
    char *out = malloc (4 * strlen (text) + 3), *to = out;
    assert (out);
    if (*text && !text[plain])
        return strcpy (out, text);
    *to++ = '\'';
    for (; *text; text++)
        if (*text == '\'')
            to = stpcpy (to, "'\\''");
        else
            *to++ = *text;
    strcpy (to, "'");
    return out;
}

void tool_error (const char *path, const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    progress_clear ();
    fflush (stdout);
    fprintf (stderr, "%s: ", info->name);
    if (verb)
        fprintf (stderr, "%s: ", verb->name);
    if (path) {
        char *shown = tool_shown (path);
        fprintf (stderr, "%s: ", shown);
        free (shown);
    }
    vfprintf (stderr, fmt, ap);
    fputc ('\n', stderr);
    va_end (ap);
}

int tool_fail (const char *path, const dfs_error_t *err)
{
    const char *text = *err->text ? err->text : dfs_error_text (err->code);
    /* The library names the path first as well: once is enough. */
    size_t len = path ? strlen (path) : 0;
    if (len && strncmp (text, path, len) == 0 && strncmp (text + len, ": ", 2) == 0)
        text += len + 2;
    tool_error (path, "%s", text);
    return dfs_error_status (err->code);
}

void tool_say (const char *fmt, ...)
{
    if (tool_common.quiet)
        return;
    va_list ap;
    va_start (ap, fmt);
    vprintf (fmt, ap);
    va_end (ap);
}

void tool_worst (int *status, int new_status)
{
    if (*status == 0)
        *status = new_status;
}

static void library_log (int level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    progress_clear ();
    fprintf (stderr, "%s\n", line);
}

dfs_t *tool_try (uint32_t timeout_ms, bool stale, dfs_error_t *err)
{
    dfs_options_t options = {
        .config = tool_common.config,
        .user = tool_common.user,
        .timeout_ms = timeout_ms,
        .log = tool_common.verbose ? library_log : NULL,
        .trace = tool_common.trace ? trace_print : NULL,
        .stale = stale,
    };
    return dfs_open (&options, err);
}

dfs_t *tool_open (void)
{
    dfs_error_t err = {0};
    dfs_t *dfs = tool_try (tool_common.timeout_ms, tool_common.stale, &err);
    if (!dfs)
        exit (tool_fail (NULL, &err));
    return dfs;
}
