/* Writes of the v2 dialect: one function of the state and the request, evaluated by every member,
 * because what etcd decides here (is a parent a file, is a directory empty, which name does a POST
 * get) no list of compares can say. The decisions are those of etcd's v2store, in its order.
 *
 * A `set` of a file that is there deletes and creates it in one revision: its createdIndex changes,
 * and to v3 a create revision may only change through a delete. A ttl is a lease of the key's own,
 * made by the write and gone with the next one. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"
#include "raft/store/v2_path.h"
#include "raft/store/v2_tree.h"

#include <stdio.h>
#include <string.h>

struct v2_run {
    struct store *store;
    const struct store_v2 *request;
    struct span path; /* of the node: a POST's with its name */
    struct span actor;
    int64_t revision;
    struct store_output *output; /* NULL: nobody here asked */
    struct store_v2_node found;  /* what is at the path */
    enum store_reason missing;   /* why nothing is; its cause: */
    struct span missing_cause;
};

/* --- refusals --------------------------------------------------------------------------------- */

static enum store_reason refuse(struct v2_run *run, enum store_reason reason, struct span cause)
{
    if (run->output != NULL) {
        buf_clear(&run->output->cause);
        buf_put_span(&run->output->cause, cause);
    }
    return reason;
}

static enum store_reason refuse_path(struct v2_run *run, enum store_reason reason)
{
    return refuse(run, reason, run->path);
}

static int code_of(enum store_reason reason)
{
    switch (reason) {
    case STORE_NO_REASON: return 0;
    case STORE_V2_KEY_NOT_FOUND: return ERR_NOT_FOUND;
    case STORE_V2_TEST_FAILED: return ERR_CONFLICT;
    case STORE_V2_NODE_EXIST:
    case STORE_LEASE_PROVIDED: return ERR_EXISTS;
    case STORE_V2_UNAUTHORIZED: return ERR_REFUSED;
    case STORE_FULL: return ERR_LIMIT;
    default: return ERR_INVALID;
    }
}

/* --- what is told about a node ---------------------------------------------------------------- */

static void pin(struct v2_run *run, struct kv_record *record)
{
    if (run->output != NULL && record != NULL) {
        kvs_add(&run->output->pinned, record);
    }
}

/* Before anything is changed: what the views borrow stays alive with the output. */
static void tell_prev(struct v2_run *run)
{
    if (run->output == NULL || !run->found.there) {
        return;
    }
    pin(run, mvcc_find(run->store, run->path, run->found.directory));
    buf_clear(&run->output->path);
    buf_put_span(&run->output->path, run->path);
    run->output->prev = run->found;
    run->output->prev.path = buf_span(&run->output->path);
}

static void tell_node(struct v2_run *run, struct kv_record *record)
{
    if (run->output != NULL) {
        pin(run, record);
        v2_view(run->store, record, &run->output->node);
    }
}

static void tell_deleted(struct v2_run *run)
{
    if (run->output != NULL) {
        run->output->node = (struct store_v2_node){.there = true,
                                                   .directory = run->found.directory,
                                                   .path = run->output->prev.path,
                                                   .created = run->found.created,
                                                   .modified = run->revision};
    }
}

/* --- writing one node ------------------------------------------------------------------------- */

static struct kv_record *file_of(const struct v2_run *run)
{
    return run->found.there && !run->found.directory ? mvcc_find(run->store, run->path, false)
                                                     : NULL;
}

static enum store_reason check_write(struct v2_run *run, size_t value_len)
{
    const struct store_v2 *request = run->request;
    if (!change_allows(run->store, run->actor, file_of(run))) {
        return refuse_path(run, STORE_V2_UNAUTHORIZED);
    }
    struct change_need need = {.keys = 1,
                               .bytes = run->path.len + value_len,
                               .leases = request->ttl_ms > 0 ? 1 : 0,
                               .of_client = change_is_of_client(run->store, run->actor)};
    if (!change_fits(run->store, &need)) {
        return STORE_FULL;
    }
    /* The proposer picked an id at random that was free there. */
    bool taken = lease_map_find(&run->store->leases, request->lease) != NULL;
    return taken ? STORE_LEASE_PROVIDED : STORE_NO_REASON;
}

static void grant_ttl(const struct v2_run *run)
{
    if (run->request->ttl_ms > 0) {
        struct lease *lease = lease_map_add(&run->store->leases, run->request->lease,
                                            lease_first_number(run->store), span_of(NULL, 0));
        lease->ttl_ms = run->request->ttl_ms;
        lease->flags = STORE_LEASE_OWN;
    }
}

static enum store_reason write_node(struct v2_run *run, bool directory, bool anew,
                                    enum store_action action)
{
    struct kv_record *file = file_of(run);
    struct span value = run->request->value;
    if (directory) {
        value = span_of(NULL, 0);
    } else if (run->request->refresh && file != NULL) {
        value = kv_record_value(file);
    }
    enum store_reason reason = check_write(run, value.len);
    if (reason != STORE_NO_REASON) {
        return reason;
    }
    tell_prev(run);
    grant_ttl(run);
    if (file != NULL && anew) {
        mvcc_delete(run->store, &file, 1, run->revision, STORE_ACTION_SET);
    }
    struct mvcc_put put = {.key = run->path,
                           .value = value,
                           .lease = run->request->lease,
                           .revision = run->revision,
                           .action = run->request->refresh ? STORE_ACTION_REFRESH : action,
                           .directory = directory};
    tell_node(run, mvcc_put(run->store, &put));
    run->store->revision = run->revision;
    return STORE_NO_REASON;
}

/* --- the writes ------------------------------------------------------------------------------- */

static enum store_reason set(struct v2_run *run)
{
    if (!run->found.there && (run->missing == STORE_V2_NOT_DIR || run->request->refresh)) {
        return refuse(run, run->missing, run->missing_cause);
    }
    if (run->path.len == 1) {
        return refuse_path(run, STORE_V2_ROOT_READ_ONLY);
    }
    if (run->found.directory) {
        return refuse_path(run, STORE_V2_NOT_FILE);
    }
    return write_node(run, run->request->directory, true, STORE_ACTION_SET);
}

static enum store_reason create(struct v2_run *run)
{
    struct span cause;
    if (run->path.len == 1) {
        return refuse_path(run, STORE_V2_ROOT_READ_ONLY);
    }
    if (v2_check_parents(run->store, run->path, &cause) != STORE_NO_REASON) {
        return refuse(run, STORE_V2_NOT_DIR, cause);
    }
    if (run->found.there) {
        return refuse_path(run, STORE_V2_NODE_EXIST);
    }
    return write_node(run, run->request->directory, false, STORE_ACTION_CREATE);
}

static enum store_reason update(struct v2_run *run)
{
    if (run->path.len == 1) {
        return refuse_path(run, STORE_V2_ROOT_READ_ONLY);
    }
    if (!run->found.there) {
        return refuse(run, run->missing, run->missing_cause);
    }
    if (run->found.directory && run->request->value.len > 0) {
        return refuse_path(run, STORE_V2_NOT_FILE);
    }
    return write_node(run, run->found.directory, false, STORE_ACTION_UPDATE);
}

static void put_mismatch(struct v2_run *run, bool value_matches, bool index_matches)
{
    const struct store_v2 *request = run->request;
    struct buf *cause = &run->output->cause;
    buf_clear(cause);
    if (!value_matches) {
        buf_put_str(cause, "[");
        buf_put_span(cause, request->prev_value);
        buf_put_str(cause, " != ");
        buf_put_span(cause, run->found.value);
        buf_put_str(cause, "]");
    }
    if (!index_matches) {
        buf_printf(cause, "%s[%llu != %lld]", value_matches ? "" : " ",
                   (unsigned long long)request->prev_index, (long long)run->found.modified);
    }
}

/* Value and index, as far as given. The root is a directory like any other here. */
static enum store_reason compare(struct v2_run *run)
{
    const struct store_v2 *request = run->request;
    if (!run->found.there) {
        return refuse(run, run->missing, run->missing_cause);
    }
    if (run->found.directory) {
        return refuse_path(run, STORE_V2_NOT_FILE);
    }
    bool value_matches =
        request->prev_value.len == 0 || span_equal(request->prev_value, run->found.value);
    bool index_matches =
        request->prev_index == 0 || request->prev_index == (uint64_t)run->found.modified;
    if (value_matches && index_matches) {
        return STORE_NO_REASON;
    }
    if (run->output != NULL) {
        put_mismatch(run, value_matches, index_matches);
    }
    return STORE_V2_TEST_FAILED;
}

static enum store_reason swap(struct v2_run *run)
{
    if (run->path.len == 1) {
        return refuse_path(run, STORE_V2_ROOT_READ_ONLY);
    }
    enum store_reason reason = compare(run);
    return reason != STORE_NO_REASON ? reason : write_node(run, false, false, STORE_ACTION_SWAP);
}

static enum store_reason delete_file(struct v2_run *run, enum store_action action)
{
    struct kv_record *file = file_of(run);
    if (!change_allows(run->store, run->actor, file)) {
        return refuse_path(run, STORE_V2_UNAUTHORIZED);
    }
    tell_prev(run);
    mvcc_delete(run->store, &file, 1, run->revision, action);
    tell_deleted(run);
    run->store->revision = run->revision;
    return STORE_NO_REASON;
}

static bool may_delete_below(const struct v2_run *run)
{
    const struct kv_map *kvs = &run->store->kvs;
    size_t at = 0;
    size_t end = 0;
    change_below(kvs, run->path, &at, &end);
    for (; at < end; at++) {
        if (!change_allows(run->store, run->actor, kvs->records[at])) {
            return false;
        }
    }
    return change_allows(run->store, run->actor, kv_map_find(kvs, run->path));
}

static enum store_reason delete_directory(struct v2_run *run)
{
    const struct store_v2 *request = run->request;
    if (!request->directory && !request->recursive) {
        return refuse_path(run, STORE_V2_NOT_FILE);
    }
    if (!request->recursive && !v2_is_empty(run->store, run->path)) {
        return refuse_path(run, STORE_V2_DIR_NOT_EMPTY);
    }
    if (!may_delete_below(run)) {
        return refuse_path(run, STORE_V2_UNAUTHORIZED);
    }
    tell_prev(run);
    change_delete_directory(run->store, run->path, false, run->revision, STORE_ACTION_DELETE);
    tell_deleted(run);
    run->store->revision = run->revision;
    return STORE_NO_REASON;
}

static enum store_reason delete_node(struct v2_run *run)
{
    if (run->path.len == 1) {
        return refuse_path(run, STORE_V2_ROOT_READ_ONLY);
    }
    if (!run->found.there) {
        return refuse(run, run->missing, run->missing_cause);
    }
    return run->found.directory ? delete_directory(run) : delete_file(run, STORE_ACTION_DELETE);
}

static enum store_reason compare_delete(struct v2_run *run)
{
    enum store_reason reason = compare(run);
    return reason != STORE_NO_REASON ? reason : delete_file(run, STORE_ACTION_COMPARE_DELETE);
}

/* --- one request ------------------------------------------------------------------------------ */

static enum store_reason write(struct v2_run *run)
{
    switch (run->request->type) {
    case STORE_V2_SET: return set(run);
    case STORE_V2_CREATE:
    case STORE_V2_POST: return create(run);
    case STORE_V2_UPDATE: return update(run);
    case STORE_V2_SWAP: return swap(run);
    case STORE_V2_DELETE: return delete_node(run);
    case STORE_V2_COMPARE_DELETE: return compare_delete(run);
    }
    ASSERT(false);
    return STORE_NO_REASON;
}

/* A POST is named by the revision it makes, which only the one who applies it knows. */
static struct span post_path(const struct store_v2 *request, int64_t revision,
                             char bytes[STORE_KEY_BYTES_MAX + 1])
{
    size_t len = request->path.len == 1 ? 0 : request->path.len;
    memcpy(bytes, request->path.data, len);
    int more = snprintf(bytes + len, STORE_KEY_BYTES_MAX + 1 - len, "/%020llu",
                        (unsigned long long)revision);
    ASSERT(more > 0 && len + (size_t)more <= STORE_KEY_BYTES_MAX); /* the codec leaves room */
    return span_of(bytes, len + (size_t)more);
}

void store_v2_apply(struct store *store, const struct store_command *command,
                    struct store_result *ret_result, struct store_output *output)
{
    char bytes[STORE_KEY_BYTES_MAX + 1];
    struct v2_run run = {.store = store,
                         .request = command->v2,
                         .path = command->v2->path,
                         .actor = command->actor,
                         .revision = store->revision + 1,
                         .output = output};
    if (command->v2->type == STORE_V2_POST) {
        run.path = post_path(command->v2, run.revision, bytes);
    }
    run.missing = store_v2_get(store, run.path, &run.found, &run.missing_cause);
    ret_result->reason = write(&run);
    ret_result->code = code_of(ret_result->reason);
    ret_result->succeeded = ret_result->code == 0;
}
