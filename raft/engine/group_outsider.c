/* Nobody may be told wrongly, because who is told stops for good. So:
 *   - only who says of itself that it is a voter is meant: it was in a committed configuration;
 *   - the leader first reads linearizably: it leads, and has applied all that is committed;
 *   - then the id has to be in neither the newest configuration nor the records of the members, and
 *     a record goes only after the removal was applied. Ids never come back. */
#include "raft/engine/group_outsider.h"

#include "base/assert.h"

#define READ_TIMEOUT_MS 2000

static bool is_member(const struct group_outsider *outsider, uint64_t id)
{
    for (size_t i = 0; i < outsider->member_count; i++) {
        if (outsider->members[i] == id) {
            return true;
        }
    }
    return false;
}

void group_outsider_heard(struct group_outsider *outsider, uint64_t from)
{
    if (outsider->suspect == 0 && !is_member(outsider, from)) {
        outsider->suspect = from;
    }
}

/* Takes over the ids of the newest configuration; true if this member leads. */
static bool members_refresh(struct group_outsider *outsider)
{
    struct raft_status status;
    raft_node_status(outsider->node, &status);
    outsider->member_count = status.member_count;
    for (size_t i = 0; i < status.member_count; i++) {
        outsider->members[i] = status.members[i].id;
    }
    return status.role == RAFT_ROLE_LEADER;
}

static bool has_record(const struct group_outsider *outsider, uint64_t id)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(raft_node_store(outsider->node), members, STORE_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return true;
        }
    }
    return false;
}

static void on_read(void *arg, int rc, const struct store_result *result)
{
    struct group_outsider *outsider = arg;
    (void)result;
    uint64_t suspect = outsider->suspect;
    outsider->suspect = 0; /* if it is still there it is heard again */
    outsider->reading = false;
    if (rc != 0 || outsider->node == NULL || !members_refresh(outsider)) {
        return;
    }
    const struct handshake_identity *peer = peers_peer(outsider->peers, suspect);
    bool claims_a_vote = peer != NULL && (peer->flags & HANDSHAKE_WAITING) == 0;
    if (claims_a_vote && !is_member(outsider, suspect) && !has_record(outsider, suspect)) {
        peers_tell(outsider->peers, suspect, PEER_FRAME_REMOVED);
    }
}

void group_outsider_step(struct group_outsider *outsider)
{
    ASSERT(outsider->node != NULL);
    bool leads = members_refresh(outsider);
    if (outsider->suspect == 0 || outsider->reading) {
        return;
    }
    if (!leads || is_member(outsider, outsider->suspect) ||
        raft_node_read(outsider->node, READ_TIMEOUT_MS, on_read, outsider, NULL) != 0) {
        outsider->suspect = 0;
        return;
    }
    outsider->reading = true;
}
