#include "agent/loop/follow.h"

#include "agent/loop/loop.h"
#include "base/log.h"
#include "raft/node.h"

#include <string.h>

static const struct raft_member_status *target_of(const struct raft_status *status,
                                                  const char *primary)
{
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (strcmp(member->name, primary) == 0 && member->id != status->id && member->voter &&
            member->connected) {
            return member;
        }
    }
    return NULL;
}

void follow_primary(struct follow *follow, struct raft_node *node, const struct raft_status *status,
                    const char *primary, int64_t now_mono_ms)
{
    if (status->role != RAFT_ROLE_LEADER || primary[0] == '\0' ||
        now_mono_ms - follow->begun_mono_ms < LOOP_TRANSFER_MS ||
        (follow->refused_mono_ms != 0 && now_mono_ms - follow->refused_mono_ms < FOLLOW_BUSY_MS)) {
        return;
    }
    const struct raft_member_status *target = target_of(status, primary);
    if (target == NULL) {
        return;
    }
    if (raft_node_transfer(node, target->id, NULL) == 0) {
        follow->begun_mono_ms = now_mono_ms;
        log_info("moving Raft leadership to '%s', where the primary is", primary);
    } else {
        follow->refused_mono_ms = now_mono_ms;
    }
}
