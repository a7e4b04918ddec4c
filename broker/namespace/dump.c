/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <string.h>

#include "broker/namespace/dump.h"
#include "broker/namespace/tables.h"
#include "msgs/path.h"

static const ProtobufCMessageDescriptor *const types[T_COUNT] = {
    [T_INODE] = &dfs__rec_inode__descriptor,
    [T_DENTRY] = &dfs__rec_dentry__descriptor,
    [T_PAGE] = &dfs__rec_page__descriptor,
    [T_PAGE_REFS] = &dfs__rec_count__descriptor,
    [T_CHUNK] = &dfs__rec_chunk__descriptor,
    [T_INLINE] = &dfs__rec_inline__descriptor,
    [T_POLICY] = &dfs__policy__descriptor,
    [T_MEMBER] = &dfs__member__descriptor,
    [T_USER] = &dfs__user__descriptor,
    [T_UPLOAD] = &dfs__rec_upload__descriptor,
    [T_STAGED] = &dfs__rec_staged__descriptor,
    [T_SESSION] = &dfs__rec_session__descriptor,
    [T_REQUEST] = &dfs__op_result__descriptor,
    [T_JOB] = &dfs__rec_job__descriptor,
    [T_PAST_INODE] = &dfs__rec_inode__descriptor,
    [T_PAST_DENTRY] = &dfs__rec_dentry__descriptor,
    [T_PAST_LOG] = &dfs__rec_past__descriptor,
    [T_FREE] = &dfs__rec_free__descriptor,
    [T_CONDEMNED] = &dfs__rec_free__descriptor,
    [T_DROP] = &dfs__rec_drop__descriptor,
};

static void print_text (FILE *file, const void *text, size_t len)
{
    char out[1100];
    if (len > 255)
        len = 255;
    fprintf (file, "\"%s\"", path_escape (text, len, out, sizeof out));
}

static void print_hex (FILE *file, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len && i < 64; i++)
        fprintf (file, "%02x", data[i]);
    if (len > 64)
        fprintf (file, "… (%zu bytes)", len);
}

static void print_message_text (FILE *file, const ProtobufCMessage *message);

static void print_value (FILE *file, const ProtobufCFieldDescriptor *field,
                         const void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
        fprintf (file, "%" PRIu32, *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
        fprintf (file, "%" PRId32, *(const int32_t *)value);
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *name = protobuf_c_enum_descriptor_get_value (
            field->descriptor, *(const int *)value);
        fprintf (file, "%s", name ? name->name : "?");
        break;
    }
    case PROTOBUF_C_TYPE_BOOL:
        fprintf (file, "%s", *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_FIXED64:
        fprintf (file, "%016" PRIx64, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        fprintf (file, "%" PRIu64, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(char *const *)value;
        print_text (file, text, strlen (text));
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = value;
        if (strcmp (field->name, "target") == 0)
            print_text (file, bytes->data, bytes->len);
        else
            print_hex (file, bytes->data, bytes->len);
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        fputs ("{", file);
        print_message_text (file, *(ProtobufCMessage *const *)value);
        fputs (" }", file);
        break;
    default:
        fputs ("?", file);
    }
}

static size_t size_of (const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof (uint64_t);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof (void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof (ProtobufCBinaryData);
    default:
        return sizeof (uint32_t);
    }
}

/* Whether an optional field is set: pointers by not being the default, others by their
 * quantifier. */
static bool is_set (const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    if (field->label != PROTOBUF_C_LABEL_OPTIONAL)
        return true;
    if (field->type == PROTOBUF_C_TYPE_STRING ||
        field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *p;
        memcpy (&p, base + field->offset, sizeof p);
        return p && p != field->default_value;
    }
    protobuf_c_boolean has;
    memcpy (&has, base + field->quantifier_offset, sizeof has);
    return has;
}

static void print_message_text (FILE *file, const ProtobufCMessage *message)
{
    const uint8_t *base = (const uint8_t *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n;
            const uint8_t *list;
            memcpy (&n, base + field->quantifier_offset, sizeof n);
            memcpy (&list, base + field->offset, sizeof list);
            if (n == 0)
                continue;
            fprintf (file, " %s=[", field->name);
            for (size_t j = 0; j < n; j++) {
                fputs (j ? " " : "", file);
                print_value (file, field, list + j * size_of (field));
            }
            fputs ("]", file);
        } else if (is_set (field, base)) {
            fprintf (file, " %s=", field->name);
            print_value (file, field, base + field->offset);
        }
    }
}

static void print_key (FILE *file, enum table table, const uint8_t *key, size_t len)
{
    switch (table) {
    case T_META:
        print_text (file, key, len);
        return;
    case T_DENTRY:
        fprintf (file, "%" PRIu64 "/", get64 (key));
        print_text (file, key + 8, len - 8);
        return;
    case T_PAST_DENTRY:
        fprintf (file, "%" PRIu64 "/", get64 (key));
        print_text (file, key + 8, len - 17);
        fprintf (file, " until=%" PRIu64, ~get64 (key + len - 8));
        return;
    case T_PAST_INODE:
        fprintf (file, "%" PRIu64 " until=%" PRIu64, get64 (key), ~get64 (key + 8));
        return;
    case T_PAST_LOG:
        fprintf (file, "%" PRIu64 " %s ", get64 (key),
                 key[8] < T_COUNT ? table_names[key[8]] : "?");
        fprintf (file, "%" PRIu64 "/", get64 (key + 9));
        print_text (file, key + 17, len - 17);
        return;
    case T_FREE:
    case T_CONDEMNED:
        fprintf (file, "%" PRIu64 " ", get64 (key));
        print_hex (file, key + 8, len - 8);
        return;
    case T_CHUNK:
    case T_DROP:
    case T_INLINE:
        print_hex (file, key, len);
        return;
    case T_UPLOAD:
    case T_STAGED:
    case T_SESSION:
    case T_REQUEST:
        fprintf (file, "%016" PRIx64, get64 (key));
        if (len >= 16)
            fprintf (file, " %" PRIu64, get64 (key + 8));
        if (len == 20)
            fprintf (file, " %" PRIu32, get32 (key + 16));
        return;
    default:
        fprintf (file, "%" PRIu64, len == 4 ? get32 (key) : get64 (key));
    }
}

/* Keys are at least as long as print_key reads. */
static bool key_fits (enum table table, size_t len)
{
    static const size_t least[T_COUNT] = {
        [T_META] = 1,        [T_POLICY] = 4,       [T_MEMBER] = 4,    [T_USER] = 4,
        [T_PAST_INODE] = 16, [T_PAST_DENTRY] = 17, [T_PAST_LOG] = 17,
    };
    return len >= (least[table] ? least[table] : 8);
}

static int dump_table (view_t *view, enum table table, FILE *file, dfs_error_t *err)
{
    MDB_cursor *cursor = table_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) == 0) {
        fprintf (file, "%s ", table_names[table]);
        if (key_fits (table, k.mv_size))
            print_key (file, table, k.mv_data, k.mv_size);
        else
            print_hex (file, k.mv_data, k.mv_size);
        const ProtobufCMessageDescriptor *type = types[table];
        if (table == T_META)
            type = k.mv_size == 5   ? &dfs__rec_state__descriptor
                   : k.mv_size == 7 ? &dfs__rec_reclaim__descriptor
                   : k.mv_size == 8 ? &dfs__rec_count__descriptor
                                    : &dfs__rec_seed__descriptor;
        if (type) {
            ProtobufCMessage *rec =
                protobuf_c_message_unpack (type, NULL, v.mv_size, v.mv_data);
            fputs (":", file);
            if (rec)
                print_message_text (file, rec);
            else
                fputs (" does not unpack", file);
            protobuf_c_message_free_unpacked (rec, NULL);
        }
        fputs ("\n", file);
    }
    mdb_cursor_close (cursor);
    return rc == MDB_NOTFOUND ? 0 : kv_fail (err, rc, table_names[table]);
}

int namespace_dump (const char *dir, FILE *file, dfs_error_t *err)
{
    view_t view = {0};
    char path[4096];
    snprintf (path, sizeof path, "%s/namespace", dir);
    view.kv = kv_open (path, table_names, T_COUNT, 1ULL << 40, KV_READONLY, err);
    if (!view.kv)
        return err ? err->code : DFS_EINTERNAL;
    view.txn = kv_begin (view.kv, false, err);
    int rc = view.txn ? 0 : err ? err->code : DFS_EINTERNAL;
    for (int table = 0; rc == 0 && table < T_COUNT; table++)
        rc = dump_table (&view, (enum table)table, file, err);
    kv_abort (&view.txn);
    kv_close (&view.kv);
    if (rc == 0 && ferror (file))
        return fail (err, DFS_EIO, "dump could not be written");
    return rc;
}
