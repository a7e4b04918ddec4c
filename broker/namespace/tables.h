/* SPDX-License-Identifier: MPL-2.0 */
/* Records of the namespace by table and key. Every change goes through table_store and
 * table_del, which keep the state hash. Keys are big-endian, so that they sort. */
#ifndef BROKER_NAMESPACE_TABLES_H
#define BROKER_NAMESPACE_TABLES_H

#include "broker/namespace/state.h"

/* Writes V big-endian and returns the byte behind it. */
uint8_t *put32 (uint8_t *p, uint32_t v);
uint8_t *put64 (uint8_t *p, uint64_t v);
uint32_t get32 (const uint8_t *p);
uint64_t get64 (const uint8_t *p);

/* Returns 1, 0 or negative; the value is borrowed until the next change. */
int table_fetch (view_t *view, enum table table, const void *key, size_t key_len,
                 const void **value, size_t *len, dfs_error_t *err);
/* As table_fetch, unpacked into ARENA; a value that does not unpack breaks the view. */
int table_read (view_t *view, enum table table, const void *key, size_t key_len,
                const ProtobufCMessageDescriptor *type, arena_t *arena, void *out,
                dfs_error_t *err);
/* First record with key >= KEY, or the last one < KEY. Returns 1, 0 or negative. */
int table_seek (view_t *view, enum table table, const void *key, size_t key_len,
                MDB_val *found, MDB_val *value, dfs_error_t *err);
int table_before (view_t *view, enum table table, const void *key, size_t key_len,
                  MDB_val *found, MDB_val *value, dfs_error_t *err);
/* Number of records. */
size_t table_size (view_t *view, enum table table);
MDB_cursor *table_cursor (view_t *view, enum table table, dfs_error_t *err);

enum put_how {
    PUT_ANY,
    PUT_NEW,  /* it is an error of ours if the key exists */
    PUT_LAST, /* as PUT_NEW, and the key is the highest of its table */
};
int table_store (op_t *op, enum table table, const void *key, size_t key_len,
                 const void *value, size_t len, enum put_how how, dfs_error_t *err);
int table_write (op_t *op, enum table table, const void *key, size_t key_len,
                 const ProtobufCMessage *message, enum put_how how, dfs_error_t *err);
/* The record must exist. */
int table_del (op_t *op, enum table table, const void *key, size_t key_len,
               dfs_error_t *err);

/* Keys. Each returns the length. */
size_t key_id (uint8_t key[KEY_MAX], uint64_t id);
size_t key_pair (uint8_t key[KEY_MAX], uint64_t a, uint64_t b);
size_t key_dentry (uint8_t key[KEY_MAX], uint64_t parent, const void *name, size_t len);

#endif
