/* Raft leadership goes to the primary's node when the group is quiet: then the loss of any other
 * costs no election. For the Raft leader, be it an agent or a witness. */
#ifndef AGENT_LOOP_FOLLOW_H
#define AGENT_LOOP_FOLLOW_H

#include <stdint.h>

struct raft_node;
struct raft_status;

struct follow {
    int64_t asked_mono_ms; /* the last time; 0 = never */
};

/* `primary`: name of the member that holds the leader key and has a member key; "" = nobody, then
 * leadership stays where it is. Asked for again now and then; a busy group says no. */
void follow_primary(struct follow *follow, struct raft_node *node, const struct raft_status *status,
                    const char *primary, int64_t now_mono_ms);

#endif
