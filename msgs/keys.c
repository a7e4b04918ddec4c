/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "common/digest.h"
#include "common/io.h"
#include "common/rng.h"
#include "keys.h"

#define FILE_MAX 4096

int keys_generate (keypair_t *pair)
{
    if (zmq_curve_keypair (pair->public_text, pair->secret_text) < 0)
        return DFS_ESYS;
    zmq_z85_decode (pair->public_key, pair->public_text);
    zmq_z85_decode (pair->secret_key, pair->secret_text);
    return DFS_OK;
}

int keys_text_to_raw (const char *text, uint8_t raw[32])
{
    if (strlen (text) != KEY_TEXT - 1)
        return DFS_EINVAL;
    return zmq_z85_decode (raw, text) ? DFS_OK : DFS_EINVAL;
}

void keys_raw_to_text (const uint8_t raw[32], char text[KEY_TEXT])
{
    zmq_z85_encode (text, raw, 32);
}

static int path_of (char *out, size_t cap, const char *dir, const char *role,
                    const char *name, const char *suffix, dfs_error_t *err)
{
    if (snprintf (out, cap, "%s/%s-%s%s", dir, role, name, suffix) >= (int)cap)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", dir);
    return DFS_OK;
}

/* The text that zcert_save writes: readable by CZMQ as well. */
int keys_save (const char *dir, const char *role, const char *name,
               const keypair_t *pair, dfs_error_t *err)
{
    char path[512];
    char text[512];
    int n = snprintf (text, sizeof text,
                      "#   CURVE public certificate of dfs %s %s\n"
                      "metadata\ncurve\n    public-key = \"%s\"\n",
                      role, name, pair->public_text);
    int rc = path_of (path, sizeof path, dir, role, name, "", err);
    if (rc == 0)
        rc = io_replace (path, text, (size_t)n, 0644, err);
    if (rc < 0)
        return rc;
    n = snprintf (text, sizeof text,
                  "#   CURVE **secret** certificate of dfs %s %s: keep it to yourself\n"
                  "metadata\ncurve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
                  role, name, pair->public_text, pair->secret_text);
    rc = path_of (path, sizeof path, dir, role, name, "_secret", err);
    if (rc == 0)
        rc = io_replace (path, text, (size_t)n, 0600, err);
    memset (text, 0, sizeof text);
    return rc;
}

/* Finds `NAME = "value"` in the certificate; VALUE gets KEY_TEXT bytes. */
static int find_key (const char *text, const char *name, char value[KEY_TEXT])
{
    size_t len = strlen (name);
    for (const char *p = text; p; p = strchr (p, '\n')) {
        while (*p == '\n' || *p == ' ' || *p == '\t')
            p++;
        if (strncmp (p, name, len) != 0)
            continue;
        const char *q = strchr (p, '"');
        const char *end = strchr (p, '\n');
        if (!q || (end && q > end))
            return -1;
        const char *close = strchr (q + 1, '"');
        if (!close || close - q - 1 != KEY_TEXT - 1)
            return -1;
        memcpy (value, q + 1, KEY_TEXT - 1);
        value[KEY_TEXT - 1] = 0;
        return 0;
    }
    return -1;
}

static int load (const char *path, bool secret, keypair_t *pair, dfs_error_t *err)
{
    memset (pair, 0, sizeof *pair);
    struct stat st;
    if (stat (path, &st) < 0)
        return fail_errno (err, "key %s", path);
    if (secret && (st.st_mode & 077))
        return fail (err, DFS_EAUTH, "key %s: others may read it; chmod 600 it", path);
    void *data;
    size_t len;
    int rc = io_slurp (path, FILE_MAX, &data, &len, err);
    if (rc < 0)
        return rc;
    if (find_key (data, "public-key", pair->public_text) < 0 ||
        keys_text_to_raw (pair->public_text, pair->public_key) < 0)
        rc = fail (err, DFS_ECONFIG, "key %s: no public-key in it", path);
    if (rc == 0 && secret &&
        (find_key (data, "secret-key", pair->secret_text) < 0 ||
         keys_text_to_raw (pair->secret_text, pair->secret_key) < 0))
        rc = fail (err, DFS_ECONFIG, "key %s: no secret-key in it", path);
    char derived[KEY_TEXT];
    if (rc == 0 && secret &&
        (zmq_curve_public (derived, pair->secret_text) < 0 ||
         strcmp (derived, pair->public_text) != 0))
        rc = fail (err, DFS_ECONFIG, "key %s: its two keys do not belong together",
                   path);
    memset (data, 0, len);
    free (data);
    return rc;
}

int keys_load_secret (const char *dir, const char *role, const char *name,
                      keypair_t *pair, dfs_error_t *err)
{
    char path[512];
    int rc = path_of (path, sizeof path, dir, role, name, "_secret", err);
    return rc < 0 ? rc : load (path, true, pair, err);
}

int keys_load_public (const char *dir, const char *role, const char *name,
                      keypair_t *pair, dfs_error_t *err)
{
    char path[512];
    int rc = path_of (path, sizeof path, dir, role, name, "", err);
    return rc < 0 ? rc : load (path, false, pair, err);
}

int keys_hmac_save (const char *dir, const uint8_t key[32], dfs_error_t *err)
{
    char path[512];
    char hex[66];
    if (snprintf (path, sizeof path, "%s/cluster-hmac", dir) >= (int)sizeof path)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", dir);
    digest_hex (key, 32, hex);
    hex[64] = '\n';
    int rc = io_replace (path, hex, 65, 0600, err);
    memset (hex, 0, sizeof hex);
    return rc;
}

int keys_hmac_load (const char *dir, uint8_t key[32], dfs_error_t *err)
{
    char path[512];
    struct stat st;
    if (snprintf (path, sizeof path, "%s/cluster-hmac", dir) >= (int)sizeof path)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", dir);
    if (stat (path, &st) < 0)
        return fail_errno (err, "key %s", path);
    if (st.st_mode & 077)
        return fail (err, DFS_EAUTH, "key %s: others may read it; chmod 600 it", path);
    void *data;
    size_t len;
    int rc = io_slurp (path, 128, &data, &len, err);
    if (rc < 0)
        return rc;
    char *text = data;
    text[strcspn (text, "\r\n")] = 0;
    if (strlen (text) != 64 || digest_unhex (text, key, 32) < 0)
        rc = fail (err, DFS_ECONFIG, "key %s: not 64 hex digits", path);
    memset (data, 0, len);
    free (data);
    return rc;
}

void keys_derive (const uint8_t master[32], const char *purpose, uint8_t key[32])
{
    digest_hmac (master, 32, purpose, strlen (purpose), key);
}
