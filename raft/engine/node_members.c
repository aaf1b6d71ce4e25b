/* Membership, transfer of leadership, status. What docs/consensus.md forbids is refused here, in
 * code:
 *
 *   - one change at a time, and the next only when every living voter has the last one
 *   - a new member is a standby first, and becomes a voter only when it has caught up
 *   - a leader neither removes nor demotes itself: it would lead a group that it is not in
 *   - from two voters to one: the one left could not know whether the other still counts */
#include "raft/engine/node_impl.h"

#include "base/assert.h"

#include <string.h>

bool node_own_term_committed(const struct raft_node *node)
{
    return node_term_of(node, node->commit_index) == raft_current_term(&node->raft);
}

static bool is_connected(const struct raft_node *node, uint64_t id)
{
    return id == node->id || node->env.peers->connected(node->env.peers_arg, id);
}

uint64_t node_match_of(const struct raft_node *node, uint64_t id)
{
    raft_index match = 0;
    return raft_match_index(&node->raft, id, &match) == 0 ? match : 0;
}

/* `but`: the member that is about to leave; it may be dead. */
static bool voters_are_current(const struct raft_node *node, uint64_t but)
{
    for (size_t i = 0; i < node->configuration.count; i++) {
        const struct configuration_server *server = &node->configuration.servers[i];
        if (server->voter && server->id != but && server->id != node->id &&
            is_connected(node, server->id) &&
            node_match_of(node, server->id) < node->configuration_index) {
            return false;
        }
    }
    return true;
}

static int change_check(const struct raft_node *node, uint64_t leaving, struct error *err)
{
    if (node->dead || !node_is_leader(node) || node->retire.open) {
        return error_set(err, ERR_UNAVAILABLE, "this member does not lead the Raft group");
    }
    if (node->change.open || node->guards.change_open || raft_transferee(&node->raft) != 0) {
        return error_set(err, ERR_BUSY, "another change of the group is under way");
    }
    if (!node_own_term_committed(node)) {
        return error_set(err, ERR_BUSY, "this leader has committed nothing yet");
    }
    if (!voters_are_current(node, leaving)) {
        return error_set(err, ERR_BUSY, "a voter is behind the last change of the group");
    }
    return 0;
}

/* Whoever is left has to be a majority of itself. */
static int majority_check(const struct raft_node *node, uint64_t leaving, struct error *err)
{
    size_t left = 0;
    size_t there = 0;
    for (size_t i = 0; i < node->configuration.count; i++) {
        const struct configuration_server *server = &node->configuration.servers[i];
        if (server->voter && server->id != leaving) {
            left++;
            there += is_connected(node, server->id);
        }
    }
    return there > left / 2
               ? 0
               : error_set(err, ERR_REFUSED,
                           "the group would lose its majority: of the %zu voters that are left, "
                           "%zu are connected, and %zu are needed",
                           left, there, left / 2 + 1);
}

uint64_t raft_node_catching_up(const struct raft_node *node)
{
    for (size_t i = 0; i < node->configuration.count; i++) {
        int status = RAFT_CATCH_UP_NONE;
        if (raft_catch_up(&node->raft, node->configuration.servers[i].id, &status) == 0 &&
            status == RAFT_CATCH_UP_RUNNING) {
            return node->configuration.servers[i].id;
        }
    }
    return 0;
}

static bool catch_up_runs(const struct raft_node *node)
{
    return raft_node_catching_up(node) != 0;
}

static void change_begin(struct raft_node *node, const struct configuration *to, raft_done done,
                         void *arg)
{
    node->change =
        (struct node_change){.open = true, .configuration = *to, .done = done, .arg = arg};
    node_kick(node);
}

int raft_node_add(struct raft_node *node, uint64_t id, raft_done done, void *arg, struct error *err)
{
    struct configuration to = node->configuration;
    int rc = change_check(node, 0, err);
    if (rc == 0) {
        rc = configuration_append(&to, id, false, err);
    }
    if (rc == 0 && catch_up_runs(node)) {
        rc = error_set(err, ERR_BUSY, "another member is catching up");
    }
    if (rc == 0 && node_format_is_open(node)) {
        rc = node_format_check(node, id, ERR_BUSY, err);
    }
    if (rc == 0) {
        change_begin(node, &to, done, arg);
    }
    return rc;
}

int raft_node_promote(struct raft_node *node, uint64_t id, raft_done done, void *arg,
                      struct error *err)
{
    struct configuration to = node->configuration;
    int rc = change_check(node, 0, err);
    if (rc == 0) {
        rc = configuration_promote(&to, id, err);
    }
    if (rc == 0 && raft_node_caught_up(node, id) != 0) {
        rc = error_set(err, ERR_BUSY, "member %llx has not caught up yet", (unsigned long long)id);
    }
    if (rc == 0) {
        change_begin(node, &to, done, arg);
    }
    return rc;
}

int raft_node_remove(struct raft_node *node, uint64_t id, raft_done done, void *arg,
                     struct error *err)
{
    struct configuration to = node->configuration;
    int rc = change_check(node, id, err);
    if (rc == 0 && id == node->id) {
        rc = error_set(err, ERR_REFUSED,
                       "a leader does not remove itself: transfer the leadership first");
    }
    if (rc == 0) {
        rc = configuration_remove(&to, id, err);
    }
    if (rc == 0 && configuration_is_voter(&node->configuration, id) &&
        configuration_voters(&node->configuration) <= 2) {
        rc =
            error_set(err, ERR_REFUSED,
                      "a group of two voters cannot lose one of them: the other one could not know "
                      "whether it still counts; add a third first");
    }
    if (rc == 0 && configuration_is_voter(&node->configuration, id)) {
        rc = majority_check(node, id, err);
    }
    if (rc == 0 && catch_up_runs(node)) {
        rc = error_set(err, ERR_BUSY, "a member is catching up");
    }
    if (rc == 0) {
        change_begin(node, &to, done, arg);
    }
    return rc;
}

/* The engine corrupts memory when it is asked wrongly: only a leader, only a known standby, only
 * one at a time. */
int raft_node_caught_up(struct raft_node *node, uint64_t id)
{
    int status = RAFT_CATCH_UP_NONE;
    if (node->dead || !node_is_leader(node)) {
        return ERR_UNAVAILABLE;
    }
    size_t at = configuration_find(&node->guards.newest, id);
    if (at == node->guards.newest.count) {
        return ERR_NOT_FOUND;
    }
    if (node->guards.newest.servers[at].voter) {
        return ERR_EXISTS;
    }
    int rv = raft_catch_up(&node->raft, id, &status);
    ASSERT(rv == 0);
    if (status == RAFT_CATCH_UP_FINISHED) {
        return 0;
    }
    if (!catch_up_runs(node) && !node->guards.change_open && !node->running) {
        struct raft_event event = {.type = RAFT_CATCH_UP};
        event.catch_up.server_id = id;
        node_enter(node);
        node_step_must(node, &event, false, "catch up");
        node->barrier_wanted =
            true; /* a standby that has everything already finishes only with a new entry */
        node->running = false;
        node_kick(node);
    }
    return ERR_BUSY;
}

void node_change_pump(struct raft_node *node)
{
    struct node_change *change = &node->change;
    struct buf bytes = BUF_INIT;
    struct raft_event event = {.type = RAFT_SUBMIT};
    if (!change->open || change->submitted) {
        return;
    }
    if (!node_is_leader(node)) {
        node_change_lost(node, ERR_UNAVAILABLE);
        return;
    }
    if (node->storage_full) {
        return;
    }
    if (!guard_change_allowed(&node->guards, &node->raft, node_term_of(node, node->commit_index))) {
        node_want_own_term(node); /* G14 */
        return;
    }
    ASSERT(configuration_is_one_step(&node->configuration, &change->configuration)); /* G11 */
    configuration_encode(&change->configuration, &bytes);
    struct raft_entry entry = {
        .term = raft_current_term(&node->raft),
        .type = RAFT_CHANGE,
        .buf = {.base = bytes.data, .len = bytes.len},
        .batch = bytes.data,
    };
    event.submit.entries = &entry; /* alone: the engine corrupts memory on a CHANGE among others */
    event.submit.n = 1;
    change->submitted = true;
    change->index = log_cache_last(&node->cache) + 1;
    change->term = entry.term;
    if (node_step(node, &event, false) != 0) {
        node_change_lost(node, ERR_BUSY);
    }
    buf_free(&bytes);
}

void node_change_applied(struct raft_node *node, uint64_t index, uint64_t term)
{
    struct node_change *change = &node->change;
    struct store_result result = {0};
    if (!change->open || !change->submitted || change->index != index || change->term != term) {
        return;
    }
    node_call_later(node, change->done, change->arg, 0, &result);
    memset(change, 0, sizeof(*change));
}

void node_change_lost(struct raft_node *node, int rc)
{
    struct node_change *change = &node->change;
    if (!change->open) {
        return;
    }
    if (rc == ERR_UNKNOWN && !change->submitted) {
        rc = ERR_UNAVAILABLE;
    }
    node_call_later(node, change->done, change->arg, rc, NULL);
    memset(change, 0, sizeof(*change));
}

/* --- transfer --------------------------------------------------------------------------------- */

int node_transfer(struct raft_node *node, uint64_t id, struct error *err)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    if (id == node->id || !configuration_is_voter(&node->configuration, id)) {
        return error_set(err, ERR_NOT_FOUND, "member %llx is no other voter",
                         (unsigned long long)id);
    }
    if (!guard_transfer_allowed(&node->guards) || node->change.open ||
        raft_transferee(&node->raft) != 0 || catch_up_runs(node)) {
        return error_set(err, ERR_BUSY, "a change of the group is under way");
    }
    if (node->job_count > 0 || node_match_of(node, id) != log_cache_last(&node->cache) ||
        !is_connected(node, id)) {
        return error_set(err, ERR_BUSY, "the Raft group is not quiet");
    }
    event.transfer.server_id = id;
    int rv = node_step(node, &event, false);
    return rv == 0 ? 0 : error_set(err, ERR_BUSY, "transfer: %s", raft_strerror(rv));
}

int raft_node_transfer(struct raft_node *node, uint64_t id, struct error *err)
{
    if (node->dead || node->running || !node_is_leader(node)) {
        return error_set(err, ERR_BUSY, "this member does not lead the Raft group");
    }
    if (!node_proposals_idle(node)) {
        return error_set(err, ERR_BUSY, "the Raft group is not quiet");
    }
    node_enter(node);
    int rc = node_transfer(node, id, err);
    node->running = false;
    node_kick(node);
    return rc;
}

/* --- status ----------------------------------------------------------------------------------- */

const struct store *raft_node_store(const struct raft_node *node)
{
    return node->store;
}

static enum raft_role role_of(const struct raft_node *node)
{
    switch (raft_state((struct raft *)&node->raft)) {
    case RAFT_LEADER: return RAFT_ROLE_LEADER;
    case RAFT_CANDIDATE: return RAFT_ROLE_CANDIDATE;
    case RAFT_FOLLOWER:
    case RAFT_UNAVAILABLE: break;
    }
    return RAFT_ROLE_FOLLOWER;
}

static void put_text(char *to, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    if (len > 0) {
        memcpy(to, text.data, len);
    }
    to[len] = '\0';
}

/* On a full disk we hear nobody, and no timeout makes the engine forget whom it followed. */
static uint64_t heard_leader(const struct raft_node *node)
{
    return node->storage_full && !node_is_leader(node) ? 0 : node_leader(node);
}

static bool is_witness(const struct raft_node *node, uint64_t id)
{
    if (id == node->id) {
        return node->config.witness;
    }
    return node->env.peers->is_witness != NULL &&
           node->env.peers->is_witness(node->env.peers_arg, id);
}

static int64_t heard_ms(const struct raft_node *node, uint64_t id)
{
    int64_t at_ms = node_heard_ms(node, id);
    int64_t now_ms = clock_mono_ms(node->env.clock);
    if (id == node->id) {
        return 0;
    }
    return at_ms < 0 ? -1 : now_ms > at_ms ? now_ms - at_ms : 0;
}

static void fill_member(const struct raft_node *node, const struct configuration_server *server,
                        const struct store_member *members, size_t count,
                        struct raft_member_status *ret_member)
{
    *ret_member = (struct raft_member_status){
        .id = server->id,
        .voter = server->voter,
        .connected = is_connected(node, server->id),
        .leader = server->id == heard_leader(node),
        .witness = is_witness(node, server->id),
        .match_index = node_match_of(node, server->id),
        .heard_mono_ms = node_heard_ms(node, server->id),
        .heard_ms = heard_ms(node, server->id),
    };
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == server->id) {
            put_text(ret_member->name, sizeof(ret_member->name), members[i].name);
            put_text(ret_member->address, sizeof(ret_member->address), members[i].address);
        }
    }
}

void raft_node_status(const struct raft_node *node, struct raft_status *ret_status)
{
    memset(ret_status, 0, sizeof(*ret_status));
    ret_status->id = node->id;
    ret_status->cluster = node->cluster;
    ret_status->role = role_of(node);
    ret_status->term = raft_current_term(&node->raft);
    ret_status->leader = heard_leader(node);
    ret_status->commit_index = node->commit_index;
    ret_status->applied_index = node->applied_index;
    ret_status->last_index = log_cache_last(&node->cache);
    ret_status->revision = store_revision(node->store);
    ret_status->member_count = node->guards.newest.count;
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(node->store, members, STORE_MEMBERS_MAX);
    for (size_t i = 0; i < node->guards.newest.count; i++) {
        fill_member(node, &node->guards.newest.servers[i], members, count, &ret_status->members[i]);
    }
}

bool raft_node_mark(const struct raft_node *node, struct raft_mark *ret_mark)
{
    uint64_t last = log_cache_last(&node->cache);
    if (node->dead || node->guards.installing) {
        return false;
    }
    LIST_EACH(item, &node->jobs)
    {
        const struct node_job *job = LIST_OWNER(item, struct node_job, link);
        if (job->storage.has_vote) {
            return false;
        }
        if (job->storage.has_entries && job->storage.entries[0].index <= last) {
            last = job->storage.entries[0].index - 1;
        }
    }
    *ret_mark = (struct raft_mark){
        .term = raft_current_term(&node->raft),
        .last = last,
        .committed = node->commit_index < last ? node->commit_index : last,
    };
    return true;
}
