/* SPDX-License-Identifier: MPL-2.0 */
/* A handle of libdfs, the fake cluster that it talks to, and a directory for files:
 * what each test of putting and getting begins with. */
#ifndef T_UNIT_LIB_WORLD_H
#define T_UNIT_LIB_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/lib/dfs.h"
#include "lib_fake.h"

typedef struct world {
    fake_t *fake;
    dfs_t *dfs;
    char dir[64];
    atomic_uint warnings;
} world_t;

int world_setup (void **state);
int world_teardown (void **state);
#define CASE(name) cmocka_unit_test_setup_teardown (name, world_setup, world_teardown)

/* LEN bytes that SEED determines. Returns owned. */
uint8_t *bytes_of (size_t len, uint64_t seed);
void write_file (const char *path, const void *data, size_t len);
/* Valid until four calls later. */
char *path_in (world_t *world, const char *name);

int put_one (world_t *world, const char *source, const char *dest,
             dfs_put_item_t *item);
int get_one (world_t *world, const char *source, const char *dest,
             dfs_get_item_t *item);
/* Puts LEN bytes as /f and looks whether they are there. */
void put_and_compare (world_t *world, size_t len);
/* Puts LEN bytes as DEST. Returns owned. */
uint8_t *store (world_t *world, const char *dest, size_t len);

void assert_stored (world_t *world, const char *dest, const uint8_t *data, size_t len);
void assert_file (const char *path, const uint8_t *data, size_t len);
/* No temporary file is left beside the results. */
void assert_tidy (world_t *world);

#endif
