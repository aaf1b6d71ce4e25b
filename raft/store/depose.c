/* Depose (rule 7 of docs/consensus.md): the one command by which a member ends a lease that another
 * one still renews, and takes the leader key that hangs on it, in one revision.
 *
 * It is the sharpest of all commands, so it has one shape only, and who decodes another one has a
 * malformed command: it names the epoch that it ends, the configuration and the synchronous set
 * that were decided on, the reports that were counted, its proposer's own among them, that no
 * `unfenced` stands, and what it puts is the proposer's own name on a lease of its own. What the
 * reports say is judged before (agent/ha); here they only have to be there still. */
#include "base/assert.h"
#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/store_internal.h"

#include <string.h>

enum { OP_GRANT, OP_LEADER, OP_EPOCH, OP_COUNT };

/* --- shape ------------------------------------------------------------------------------------ */

/* The path of the cluster's keys, of its leader key; empty: that is none. */
static struct span base_of(struct span leader)
{
    static const char name[] = "/leader";
    size_t len = sizeof name - 1;
    if (leader.len < len || memcmp(leader.data + leader.len - len, name, len) != 0) {
        return span_of(NULL, 0);
    }
    return span_of(leader.data, leader.len - len + 1);
}

static bool is_key(struct span key, struct span base, const char *name)
{
    size_t len = strlen(name);
    return key.len == base.len + len && span_starts_with(key, base) &&
           memcmp(key.data + base.len, name, len) == 0;
}

/* `least`: of the revision that it names. */
static bool compares_revision(const struct store_command *command, struct span base,
                              const char *name, int64_t least)
{
    for (size_t i = 0; i < command->compare_count; i++) {
        const struct store_compare *compare = &command->compares[i];
        if (compare->target == STORE_CMP_MOD && compare->relation == STORE_EQUAL &&
            is_key(compare->key, base, name) && compare->number >= least) {
            return true;
        }
    }
    return false;
}

/* That there is none: in pause, or since one, the holder may run with nothing that ends it. */
static bool compares_unfenced(const struct store_command *command, struct span base)
{
    for (size_t i = 0; i < command->compare_count; i++) {
        const struct store_compare *compare = &command->compares[i];
        bool revision = compare->target == STORE_CMP_CREATE || compare->target == STORE_CMP_MOD;
        if (revision && compare->relation == STORE_EQUAL &&
            is_key(compare->key, base, "unfenced") && compare->number == 0) {
            return true;
        }
    }
    return false;
}

static bool compares_own_report(const struct store_command *command, struct span base)
{
    char name[sizeof "reports/" + STORE_ACTOR_BYTES_MAX] = "reports/";
    size_t len = strlen(name);
    if (command->actor.len == 0 || memchr(command->actor.data, '\0', command->actor.len) != NULL) {
        return false;
    }
    memcpy(name + len, command->actor.data, command->actor.len);
    return compares_revision(command, base, name, 1);
}

static bool puts_own_term(const struct store_command *command, struct span base)
{
    if (command->success_count != OP_COUNT || command->failure_count != 0) {
        return false;
    }
    const struct store_op *grant = &command->success[OP_GRANT];
    const struct store_op *leader = &command->success[OP_LEADER];
    const struct store_op *epoch = &command->success[OP_EPOCH];
    return grant->type == STORE_OP_LEASE_GRANT && grant->flags == STORE_LEASE_HOLDER &&
           grant->lease != command->lease && leader->type == STORE_OP_PUT &&
           span_equal(leader->key, command->compares[0].key) && leader->lease == grant->lease &&
           span_equal(leader->value, command->actor) && epoch->type == STORE_OP_PUT &&
           is_key(epoch->key, base, "epoch") && epoch->lease == 0;
}

int store_depose_validate(const struct store_command *command, struct error *err)
{
    const struct store_compare *leader = command->compare_count > 0 ? &command->compares[0] : NULL;
    struct span base = leader == NULL ? span_of(NULL, 0) : base_of(leader->key);
    if (command->lease == 0 || command->actor.len == 0 || base.len == 0 ||
        leader->target != STORE_CMP_CREATE || leader->relation != STORE_EQUAL ||
        leader->number <= 0) {
        return error_set(err, ERR_INVALID,
                         "depose: without a lease, a member, or the leader key of an epoch");
    }
    if (!compares_revision(command, base, "epoch", leader->number) ||
        !compares_revision(command, base, "config", 0) ||
        !compares_revision(command, base, "sync", 1) || !compares_unfenced(command, base) ||
        !compares_own_report(command, base)) {
        return error_set(err, ERR_INVALID,
                         "depose: without a compare of epoch, config, sync, unfenced or the own "
                         "report");
    }
    return puts_own_term(command, base)
               ? 0
               : error_set(err, ERR_INVALID,
                           "depose: puts something else than an epoch of its proposer");
}

/* --- apply ------------------------------------------------------------------------------------ */

static int check(const struct store *store, const struct store_command *command)
{
    const struct store_op *ops = command->success;
    for (size_t i = 0; i < command->compare_count; i++) {
        if (!store_compare_holds(store, &command->compares[i])) {
            return ERR_CONFLICT;
        }
    }
    const struct lease *lease = lease_map_find(&store->leases, command->lease);
    const struct kv_record *leader = kv_map_find(&store->kvs, ops[OP_LEADER].key);
    if (lease == NULL || leader == NULL || leader->lease != lease->id) {
        return ERR_CONFLICT;
    }
    if ((lease->flags & STORE_LEASE_HOLDER) == 0 || lease_allows(lease, command->actor) ||
        !change_allows(store, command->actor, kv_map_find(&store->kvs, ops[OP_EPOCH].key))) {
        return ERR_REFUSED;
    }
    if (lease_map_find(&store->leases, ops[OP_GRANT].lease) != NULL) {
        return ERR_EXISTS;
    }
    struct change_need need = {.keys = 2, .leases = 1};
    for (size_t i = OP_LEADER; i < OP_COUNT; i++) {
        need.bytes += ops[i].key.len + ops[i].value.len;
    }
    return change_fits(store, &need) ? 0 : ERR_LIMIT;
}

void store_depose_apply(struct store *store, const struct store_command *command,
                        struct store_result *ret_result)
{
    const struct store_op *ops = command->success;
    int64_t revision = store->revision + 1;
    ret_result->code = check(store, command);
    ret_result->succeeded = ret_result->code == 0;
    if (ret_result->code != 0) {
        return;
    }
    (void)change_lease_end(store, lease_map_find(&store->leases, command->lease), revision,
                           STORE_ACTION_EXPIRE);
    struct lease *lease = lease_map_add(&store->leases, ops[OP_GRANT].lease,
                                        lease_first_number(store), command->actor);
    lease->ttl_ms = ops[OP_GRANT].ttl_ms;
    lease->stamp = ops[OP_GRANT].stamp;
    lease->flags = ops[OP_GRANT].flags;
    for (size_t i = OP_LEADER; i < OP_COUNT; i++) {
        (void)mvcc_put(store, &(struct mvcc_put){.key = ops[i].key,
                                                 .value = ops[i].value,
                                                 .lease = ops[i].lease,
                                                 .revision = revision});
    }
    store->revision = revision;
}
