#include "agent/loop/follow.h"

#include "agent/loop/loop.h"
#include "base/log.h"
#include "raft/node.h"

#include <string.h>

void follow_primary(struct follow *follow, struct raft_node *node, const struct raft_status *status,
                    const char *primary, int64_t now_mono_ms)
{
    if (status->role != RAFT_ROLE_LEADER || primary[0] == '\0' ||
        now_mono_ms - follow->asked_mono_ms < LOOP_TRANSFER_MS) {
        return;
    }
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (strcmp(member->name, primary) != 0 || member->id == status->id) {
            continue;
        }
        follow->asked_mono_ms = now_mono_ms;
        if (member->voter && member->connected && raft_node_transfer(node, member->id, NULL) == 0) {
            log_info("moving Raft leadership to '%s', where the primary is", primary);
        }
    }
}
