/* SPDX-License-Identifier: MPL-2.0 */
/* Files through the daemon as far as no worker is needed: inline contents, handles,
 * what a commit of chunks that nobody has is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_rig.h"
#include "common/digest.h"
#include "msgs/handle.h"
#include "msgs/keys.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static uint8_t content[] = "a small file, kept beside its name";

/* Commits one extent; the message that answers. */
static Dfs__Envelope *commit (peer_t *peer, uint64_t request, const char *path,
                              Dfs__ExtentKind kind)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Change change = DFS__CHANGE__INIT;
    Dfs__Request row = DFS__REQUEST__INIT;
    Dfs__Request *rows = &row;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpCommit body = DFS__OP_COMMIT__INIT;
    Dfs__Extent extent = DFS__EXTENT__INIT;
    Dfs__Extent *extents = &extent;
    Dfs__InlineData data = DFS__INLINE_DATA__INIT;
    Dfs__InlineData *list = &data;
    uint8_t name[64], digest[32];

    digest_sha256 (content, sizeof content, digest);
    body.path.len = strlen (path);
    memcpy (name, path, body.path.len);
    body.path.data = name;
    body.has_create = body.create = true;
    body.size = sizeof content;
    extent.length = sizeof content;
    extent.kind = kind;
    extent.has_digest = extent.has_chunk_length = true;
    extent.digest.data = digest;
    extent.digest.len = sizeof digest;
    extent.chunk_length = sizeof content;
    body.extents = &extents;
    body.n_extents = 1;
    if (kind == DFS__EXTENT_KIND__EXTENT_INLINE) {
        data.digest = extent.digest;
        data.data.data = content;
        data.data.len = sizeof content;
        body.inline_ = &list;
        body.n_inline_ = 1;
    }
    op.op_case = DFS__OP__OP_COMMIT;
    op.commit = &body;
    row.request = request;
    row.op = &op;
    change.requests = &rows;
    change.n_requests = 1;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &change;
    return peer_ask (peer, &env);
}

static const Dfs__OpResult *result_of (const Dfs__Envelope *answer)
{
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_CHANGED);
    assert_int_equal (answer->changed->n_results, 1);
    return answer->changed->results[0]->result;
}

static Dfs__OpenResult *open_path (peer_t *peer, const char *path)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open ask = DFS__OPEN__INIT;
    ProtobufCBinaryData data;
    uint8_t name[64];

    data.len = strlen (path);
    memcpy (name, path, data.len);
    data.data = name;
    ask.paths = &data;
    ask.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &ask;
    Dfs__Envelope *answer = peer_ask (peer, &env);
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_OPENED);
    assert_int_equal (answer->opened->n_results, 1);
    return answer->opened->results[0];
}

static Dfs__Envelope *ask_extents (peer_t *peer, uint8_t *handle, size_t len)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Extents ask = DFS__EXTENTS__INIT;

    ask.handle.data = handle;
    ask.handle.len = len;
    env.body_case = DFS__ENVELOPE__BODY_EXTENTS;
    env.extents = &ask;
    return peer_ask (peer, &env);
}

static void inlined (void **state)
{
    rig_t *rig = rig_new (true, 1, 1);
    uint8_t handle[256];

    (void)state;
    rig_start (rig);
    peer_t *peer = peer_new (rig, "user", "admin");
    peer_hello (peer, 0);
    Dfs__Envelope *answer = commit (peer, 1, "/f", DFS__EXTENT_KIND__EXTENT_INLINE);
    assert_int_equal (result_of (answer)->code, 0);

    Dfs__OpenResult *opened = open_path (peer, "/f");
    assert_int_equal (opened->code, 0);
    assert_int_equal (opened->attr->size, sizeof content);
    assert_int_equal (opened->n_extents, 1);
    assert_int_equal (opened->n_inline_, 1);
    assert_int_equal (opened->inline_[0]->data.len, sizeof content);
    assert_memory_equal (opened->inline_[0]->data.data, content, sizeof content);
    size_t len = opened->handle.len;
    assert_in_range (len, 1, sizeof handle);
    memcpy (handle, opened->handle.data, len);
    /* No worker could have made it. */
    uint8_t master[32], key[32];
    handle_t h;
    assert_int_equal (keys_hmac_load (peer->rig->cluster->keys_dir, master, NULL), 0);
    keys_derive (master, KEYS_HANDLE, key);
    assert_int_equal (handle_unpack (handle, len, key, &h, NULL), 0);
    keys_derive (master, KEYS_GRANT, key);
    assert_int_equal (handle_unpack (handle, len, key, &h, NULL), DFS_EAUTH);
    assert_int_equal (handle_unpack (handle, len, master, &h, NULL), DFS_EAUTH);

    answer = ask_extents (peer, handle, len);
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_EXTENTS_REPLY);
    assert_int_equal (answer->extents_reply->n_extents, 1);
    assert_int_equal (answer->extents_reply->n_inline_, 1);

    /* Nobody else's, not altered, not cut. */
    peer_t *other = peer_new (rig, "user", "other");
    assert_int_equal (peer_hello_code (other, rig->cluster->id, 1,
                                       DFS__ROLE__ROLE_CLIENT, "other", 0),
                      0);
    answer = ask_extents (other, handle, len);
    assert_non_null (answer->status);
    assert_int_equal (answer->status->code, DFS_EPERM);
    handle[20] ^= 1;
    answer = ask_extents (peer, handle, len);
    assert_non_null (answer->status);
    assert_int_equal (answer->status->code, DFS_EAUTH);
    answer = ask_extents (peer, handle, len - 1);
    assert_non_null (answer->status);

    assert_int_equal (open_path (peer, "/")->code, DFS_EISDIR);
    assert_int_equal (open_path (peer, "/none")->code, DFS_ENOENT);
    peer_destroy (&other);
    peer_destroy (&peer);
    rig_destroy (&rig);
}

static void missing (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    uint8_t digest[32];

    (void)state;
    digest_sha256 (content, sizeof content, digest);
    rig_start (rig);
    peer_t *peer = peer_new (rig, "user", "admin");
    peer_hello (peer, 0);
    Dfs__Envelope *answer = commit (peer, 1, "/f", DFS__EXTENT_KIND__EXTENT_CHUNK);
    const Dfs__OpResult *result = result_of (answer);
    assert_int_equal (result->code, DFS_EMISSING);
    assert_int_equal (result->n_missing, 1);
    assert_int_equal (result->missing[0].len, 32);
    assert_memory_equal (result->missing[0].data, digest, 32);
    assert_int_equal (peer_stat (peer, "/f"), DFS_ENOENT);
    peer_destroy (&peer);
    rig_destroy (&rig);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (inlined, rig_cleanup),
        cmocka_unit_test_teardown (missing, rig_cleanup),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_files", tests, NULL, NULL);
}
