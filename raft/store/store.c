/* The state machine: one committed command in, one result out, the same on every member.
 *
 * store_apply: decode -> session (answered before?) -> the chapter of the command -> session keeps
 * the result. Nothing here fails for a reason of this machine: an allocation that fails aborts the
 * process, because a member that skipped a command would differ from the others for ever. */
#include "raft/store.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"
#include "raft/store_read.h"

void store_state_init(struct store *store)
{
    *store = (struct store){.revision = 1, .format = 1};
    watch_history_init(&store->history, store->revision);
}

void store_state_close(struct store *store)
{
    watch_history_close(&store->history);
    kv_map_close(&store->kvs);
    kv_map_close(&store->dirs);
    kv_map_close(&store->graves);
    lease_map_close(&store->leases);
    session_map_close(&store->sessions);
    member_map_close(&store->members);
    buf_free(&store->left_leases);
    buf_free(&store->arena);
}

struct store *store_new(void)
{
    struct store *store = mem_new(struct store);
    store_state_init(store);
    return store;
}

void store_free(struct store *store)
{
    if (store == NULL) {
        return;
    }
    store_state_close(store);
    mem_free(store);
}

int64_t store_revision(const struct store *store)
{
    return store->revision;
}

uint64_t store_applied(const struct store *store)
{
    return store->applied;
}

unsigned store_format(const struct store *store)
{
    return store->format;
}

bool store_get(const struct store *store, struct span key, struct store_kv *ret_kv)
{
    const struct kv_record *record = kv_map_find(&store->kvs, key);
    if (record == NULL) {
        return false;
    }
    kv_record_view(record, ret_kv);
    return true;
}

void store_each(const struct store *store, struct span prefix,
                bool (*visit)(void *arg, const struct store_kv *kv), void *arg)
{
    for (size_t i = kv_map_seek(&store->kvs, prefix); i < store->kvs.count; i++) {
        struct store_kv view;
        kv_record_view(store->kvs.records[i], &view);
        if (!span_starts_with(view.key, prefix) || !visit(arg, &view)) {
            return;
        }
    }
}

void store_usage(const struct store *store, struct store_usage *ret_usage)
{
    *ret_usage = (struct store_usage){.keys = store->kvs.count + store->dirs.count,
                                      .bytes = store->kvs.bytes + store->dirs.bytes,
                                      .old_bytes = store->history.old_bytes,
                                      .leases = store->leases.count};
}

/* --- leases ----------------------------------------------------------------------------------- */

static int apply_grant(struct store *store, const struct store_command *command)
{
    if (lease_map_find(&store->leases, command->lease) != NULL) {
        return ERR_EXISTS;
    }
    struct change_need need = {.leases = 1,
                               .of_client = change_is_of_client(store, command->actor)};
    if (!change_fits(store, &need)) {
        return ERR_LIMIT;
    }
    struct lease *lease =
        lease_map_add(&store->leases, command->lease, lease_first_number(store), command->actor);
    lease->ttl_ms = command->ttl_ms;
    lease->stamp = command->stamp;
    lease->flags = command->flags;
    return 0;
}

/* The stamp is the holder's clock at the send. One that does not rise belongs to a renewal that was
 * overtaken: applied, it would make the others wait for a holder who no longer counts from it. */
static int apply_renew(struct store *store, const struct store_command *command)
{
    struct lease *lease = lease_map_find(&store->leases, command->lease);
    if (lease == NULL) {
        return ERR_NOT_FOUND;
    }
    if (!lease_allows(lease, command->actor)) {
        return ERR_REFUSED;
    }
    if ((lease->flags & STORE_LEASE_HOLDER) != 0) {
        if (command->stamp <= lease->stamp) {
            return ERR_NOT_FOUND;
        }
        lease->stamp = command->stamp;
    }
    lease->ttl_ms = command->ttl_ms;
    lease->number++;
    lease_map_touch(&store->leases, lease);
    return 0;
}

/* A client's: the ttl stays what it is. */
static int apply_keepalive(struct store *store, const struct store_command *command,
                           struct store_output *output)
{
    struct lease *lease = lease_map_find(&store->leases, command->lease);
    if (lease == NULL) {
        return ERR_NOT_FOUND;
    }
    if ((lease->flags & STORE_LEASE_HOLDER) != 0) {
        return ERR_REFUSED; /* a holder's renewal has a stamp */
    }
    lease->number++;
    lease_map_touch(&store->leases, lease);
    if (output != NULL) {
        output->ttl_ms = lease->ttl_ms;
    }
    return 0;
}

/* Deletes the keys of the lease, at one new revision if there are any, then the lease. */
static void end_lease(struct store *store, struct lease *lease, enum store_action action)
{
    if (change_lease_end(store, lease, store->revision + 1, action) > 0) {
        store->revision++;
    }
}

static int apply_expire(struct store *store, const struct store_command *command)
{
    struct lease *lease = lease_map_find(&store->leases, command->lease);
    if (lease == NULL || lease->number != command->number) {
        return ERR_NOT_FOUND;
    }
    end_lease(store, lease, STORE_ACTION_EXPIRE);
    return 0;
}

static int apply_revoke(struct store *store, const struct store_command *command)
{
    struct lease *lease = lease_map_find(&store->leases, command->lease);
    if (lease == NULL) {
        return ERR_NOT_FOUND;
    }
    if (!lease_allows(lease, command->actor)) {
        return ERR_REFUSED;
    }
    end_lease(store, lease, STORE_ACTION_DELETE);
    return 0;
}

/* --- apply ------------------------------------------------------------------------------------ */

static void apply_compact(struct store *store, const struct store_command *command,
                          struct store_result *ret_result)
{
    if (command->number > (uint64_t)store->revision) {
        ret_result->code = ERR_INVALID;
        ret_result->reason = STORE_FUTURE;
    } else if (command->number <= (uint64_t)store->history.compacted) {
        ret_result->code = ERR_NOT_FOUND;
        ret_result->reason = STORE_COMPACTED;
    } else {
        mvcc_compact(store, (int64_t)command->number);
    }
}

static void apply_format_1(struct store *store, const struct store_command *command,
                           struct store_result *ret_result)
{
    switch (command->type) {
    case STORE_TXN: store_txn_apply(store, command, ret_result); return;
    case STORE_LEASE_GRANT: ret_result->code = apply_grant(store, command); return;
    case STORE_LEASE_RENEW: ret_result->code = apply_renew(store, command); return;
    case STORE_LEASE_EXPIRE: ret_result->code = apply_expire(store, command); return;
    case STORE_LEASE_REVOKE: ret_result->code = apply_revoke(store, command); return;
    case STORE_MEMBER_SET:
        ret_result->code = member_map_set(&store->members, &command->member);
        return;
    case STORE_MEMBER_REMOVE:
        ret_result->code = member_map_remove(&store->members, command->member.id);
        return;
    default: break;
    }
    ASSERT(false); /* the decoder lets no other type through */
}

static void apply_command(struct store *store, const struct store_command *command,
                          struct store_result *ret_result, struct store_output *output)
{
    switch (command->type) {
    case STORE_CLIENT_TXN: store_client_txn_apply(store, command, ret_result, output); return;
    case STORE_COMPACT: apply_compact(store, command, ret_result); return;
    case STORE_LEASE_KEEPALIVE: ret_result->code = apply_keepalive(store, command, output); return;
    case STORE_V2: store_v2_apply(store, command, ret_result, output); return;
    case STORE_FORMAT: return;
    case STORE_DEPOSE: store_depose_apply(store, command, ret_result); return;
    case STORE_MEMBER_CLIENTS:
        ret_result->code = member_map_set_clients(&store->members, command->member.id,
                                                  command->member.client_urls);
        return;
    default: break;
    }
    apply_format_1(store, command, ret_result);
}

void store_apply(struct store *store, uint64_t index, struct span command,
                 struct store_result *ret_result, struct store_output *output)
{
    struct store_command decoded;
    store_skip(store, index);
    *ret_result = (struct store_result){.code = ERR_INVALID, .revision = store->revision};
    if (store_command_decode(command, &decoded, &store->arena, NULL) != 0) {
        return;
    }
    if (decoded.type > STORE_COMMAND_FORMAT_1_LAST && store->format == 1) {
        mvcc_open_format_2(store);
    }
    *ret_result = (struct store_result){.revision = store->revision};
    if (session_begin(&store->sessions, &decoded, ret_result) == SESSION_ANSWERED) {
        return;
    }
    apply_command(store, &decoded, ret_result, output);
    mvcc_settle(store);
    ret_result->revision = store->revision;
    ret_result->output = output;
    session_finish(&store->sessions, &decoded, ret_result);
}

void store_skip(struct store *store, uint64_t index)
{
    ASSERT(index > store->applied);
    store->applied = index;
}

/* --- invariants ------------------------------------------------------------------------------- */

static size_t check_attached(const struct store *store, const struct kv_map *map)
{
    size_t attached = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct kv_record *record = map->records[i];
        ASSERT((record->lease == 0) == list_empty(&record->in_lease));
        ASSERT(record->lease == 0 || lease_map_find(&store->leases, record->lease) != NULL);
        attached += record->lease == 0 ? 0 : 1;
    }
    return attached;
}

static void check_leases(const struct store *store)
{
    size_t attached = check_attached(store, &store->kvs) + check_attached(store, &store->dirs);
    for (size_t i = 0; i < store->leases.count; i++) {
        const struct lease *lease = store->leases.leases[i];
        ASSERT((lease->flags & STORE_LEASE_OWN) == 0 || !list_empty(&lease->keys));
        LIST_EACH(item, &lease->keys)
        {
            const struct kv_record *record = LIST_OWNER(item, const struct kv_record, in_lease);
            ASSERT(record->lease == lease->id && attached > 0);
            attached--;
        }
    }
    ASSERT(attached == 0);
}

static void check_format(const struct store *store)
{
    ASSERT(store->format == 1 || store->format == 2);
    ASSERT(store->format == 2 || store->dirs.count == 0);
    ASSERT(store->history.compacted <= store->revision + (store->format == 1 ? 1 : 0));
    ASSERT(store->left_leases.len == 0);
}

void store_check(const struct store *store)
{
    mvcc_check(store);
    lease_map_check(&store->leases, store->applied);
    session_map_check(&store->sessions);
    member_map_check(&store->members);
    check_leases(store);
    check_format(store);
    ASSERT(store->leases.count <= STORE_LEASES_MAX);
}
