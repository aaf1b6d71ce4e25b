/* For each joiner that is still asking, in turn, until a change is under way:
 *
 *   we cannot call it          -> wait
 *   not in the configuration   -> add it (standby)
 *   standby, not caught up     -> wait (the node runs the catch-up)
 *   not known by name yet      -> wait (it publishes its own record)
 *   its predecessor is there   -> not reachable: remove it
 *                                 reachable: two members of one name, wait
 *   a voter without a name is there, for whom it must have come -> the same
 *                                             for whom it may have come -> wait
 *   else                       -> promote; done
 *
 * The predecessor goes before the promotion: with one of three dead, adding a fourth voter first
 * would need three of four. A refused or busy step is simply tried again: the node knows the rules
 * (docs/consensus.md).
 *
 * Only one standby catches up at a time, and one that never gets there is given up after some
 * seconds. Whose catch-up has begun goes to the end of the queue, so that the next one is not his
 * again. */
#include "raft/engine/group_join.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static struct group_join_item *item_of(struct group_join *join, uint64_t id)
{
    for (size_t i = 0; i < join->count; i++) {
        if (join->items[i].id == id) {
            return &join->items[i];
        }
    }
    return NULL;
}

static void item_drop(struct group_join *join, size_t at)
{
    join->count--;
    memmove(&join->items[at], &join->items[at + 1], (join->count - at) * sizeof join->items[0]);
}

void group_join_ask(struct group_join *join, const struct handshake_identity *peer, int64_t now_ms)
{
    struct group_join_item *item = item_of(join, peer->id);
    if (item == NULL) {
        if (join->count == GROUP_JOINS_MAX) {
            return; /* it asks again */
        }
        item = &join->items[join->count++];
        item->id = peer->id;
        item->callable_ms = now_ms;
    }
    memcpy(item->name, peer->name, sizeof item->name);
    memcpy(item->address, peer->address, sizeof item->address);
    item->group_size = peer->group_size;
    item->heard_ms = now_ms;
}

static void join_warn(struct group_join *join, const struct group_join_item *item, const char *why)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "member '%s' at %s (%016llx) waits to be taken in: %s",
                   item->name, item->address, (unsigned long long)item->id, why);
    join->on_warning(join->arg, text);
}

static void on_changed(void *arg, int rc, const struct store_result *result)
{
    struct group_join *join = arg;
    (void)rc; /* the next step looks at what is, and tries again */
    (void)result;
    join->busy = false;
}

static const struct raft_member_status *member_of(const struct raft_status *status, uint64_t id)
{
    for (size_t i = 0; i < status->member_count; i++) {
        if (status->members[i].id == id) {
            return &status->members[i];
        }
    }
    return NULL;
}

static const struct raft_member_status *predecessor_of(const struct raft_status *status,
                                                       const struct group_join_item *item)
{
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (member->id != item->id && strcmp(member->name, item->name) == 0) {
            return member;
        }
    }
    return NULL;
}

/* A first member may die for good before it ever told its name. Where the joiner's file says that
 * the group is full already, somebody goes for it, and everybody else has a name that is not the
 * joiner's. If there is any doubt, nobody goes, and nobody comes: of a voter that nobody knows and
 * nobody misses the group would never be rid. ERR_BUSY: who has no name yet is there, and will tell
 * it. */
static int nameless_of(const struct group_join *join, const struct raft_status *status,
                       const struct group_join_item *item,
                       const struct raft_member_status **ret_nameless, struct error *err)
{
    const struct raft_member_status *nameless = NULL;
    size_t voters = 0;
    size_t doubts = 0;
    bool telling = false;
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        voters += member->voter;
        if (!member->voter || member->name[0] != '\0') {
            continue;
        }
        doubts++;
        telling = telling || join->reachable(join->arg, member->id);
        nameless = member;
    }
    bool full = voters >= item->group_size;
    *ret_nameless = NULL;
    if (full && telling) {
        return error_set(err, ERR_BUSY, "somebody has not told his name to the group yet");
    }
    if (full && doubts > 1) {
        return error_set(err, ERR_REFUSED,
                         "it may be the successor of any of %zu voters that are not there and have "
                         "never told their names; where one of them does not come back: pgquorum "
                         "raft remove",
                         doubts);
    }
    *ret_nameless = full ? nameless : NULL;
    return 0;
}

/* Of two that are dead none is replaced: the operator has to say which one is gone for good. */
static const struct raft_member_status *missing_voter(const struct raft_status *status,
                                                      uint64_t but)
{
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (member->voter && !member->connected && member->id != but) {
            return member;
        }
    }
    return NULL;
}

static int step_standby(struct group_join *join, const struct raft_status *status,
                        const struct group_join_item *item, struct error *err)
{
    int rc = raft_node_caught_up(join->node, item->id);
    if (rc != 0) {
        return error_set(err, ERR_BUSY, "it has not caught up yet");
    }
    if (member_of(status, item->id)->name[0] == '\0') {
        return error_set(err, ERR_BUSY, "it has not told its name to the group yet");
    }
    const struct raft_member_status *predecessor = predecessor_of(status, item);
    if (predecessor == NULL) {
        rc = nameless_of(join, status, item, &predecessor, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (predecessor == NULL) {
        return raft_node_promote(join->node, item->id, on_changed, join, err);
    }
    if (predecessor->id == status->id || predecessor->leader ||
        join->reachable(join->arg, predecessor->id)) {
        return error_set(err, ERR_EXISTS,
                         "a member of the same name is running: names must differ");
    }
    const struct raft_member_status *missing = missing_voter(status, predecessor->id);
    if (missing != NULL) {
        return error_set(err, ERR_REFUSED,
                         "its predecessor is removed when all other voters are there, and '%s' at "
                         "%s is not; where that one does not come back: pgquorum raft remove",
                         missing->name, missing->address);
    }
    return raft_node_remove(join->node, predecessor->id, on_changed, join, err);
}

/* True: the item is done with. */
static bool step_item(struct group_join *join, const struct raft_status *status,
                      struct group_join_item *item, int64_t now_ms)
{
    const struct raft_member_status *member = member_of(status, item->id);
    if (member != NULL && member->voter) {
        return true;
    }
    if (!join->callable(join->arg, item->id)) {
        if (now_ms - item->callable_ms > GROUP_JOIN_CALL_MS) {
            join_warn(join, item, "it cannot be reached at that address");
        }
        return false;
    }
    item->callable_ms = now_ms;
    struct error err = {0};
    int rc = member == NULL ? raft_node_add(join->node, item->id, on_changed, join, &err)
                            : step_standby(join, status, item, &err);
    if (rc == 0) {
        join->busy = true;
    } else if (rc != ERR_BUSY && rc != ERR_UNAVAILABLE) {
        join_warn(join, item, err.text);
    }
    return false;
}

/* It died while it was being taken in. Nobody else would ever remove it, and without a record it is
 * nobody's predecessor. If it comes back after all it asks again, under the same id and with its
 * log. */
static void step_silent(struct group_join *join, const struct raft_status *status, int64_t now_ms)
{
    uint64_t silent = 0;
    for (size_t i = 0; i < status->member_count && silent == 0; i++) {
        uint64_t id = status->members[i].id;
        bool there =
            status->members[i].voter || item_of(join, id) != NULL || join->reachable(join->arg, id);
        silent = there ? 0 : id;
    }
    if (silent != join->silent) {
        join->silent = silent;
        join->silent_ms = now_ms;
    } else if (silent != 0 && now_ms - join->silent_ms > GROUP_JOIN_FORGET_MS) {
        join->busy = raft_node_remove(join->node, silent, on_changed, join, NULL) == 0;
    }
}

/* Whoever is told a warning may close the group: then there is no node any more. */
static void step_items(struct group_join *join, const struct raft_status *status, int64_t now_ms)
{
    for (size_t i = 0; i < join->count && !join->busy && join->node != NULL;) {
        if (step_item(join, status, &join->items[i], now_ms)) {
            item_drop(join, i);
        } else {
            i++;
        }
    }
}

static void queue_again(struct group_join *join)
{
    uint64_t catching = raft_node_catching_up(join->node);
    struct group_join_item *item = item_of(join, catching);
    if (catching != join->catching && item != NULL) {
        struct group_join_item last = *item;
        item_drop(join, (size_t)(item - join->items));
        join->items[join->count++] = last;
    }
    join->catching = catching;
}

void group_join_step(struct group_join *join, int64_t now_ms)
{
    ASSERT(join->node != NULL);
    struct raft_status status;
    raft_node_status(join->node, &status);
    for (size_t i = join->count; i > 0; i--) {
        if (now_ms - join->items[i - 1].heard_ms > GROUP_JOIN_FORGET_MS) {
            item_drop(join, i - 1);
        }
    }
    if (status.role != RAFT_ROLE_LEADER || join->busy) {
        return;
    }
    step_silent(join, &status, now_ms);
    step_items(join, &status, now_ms);
    if (join->node != NULL) {
        queue_again(join);
    }
}
