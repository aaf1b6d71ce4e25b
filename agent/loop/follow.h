/* Raft leadership goes to the primary's node when the group is quiet: then the loss of any other
 * costs no election. For the Raft leader, be it an agent or a witness. */
#ifndef AGENT_LOOP_FOLLOW_H
#define AGENT_LOOP_FOLLOW_H

#include <stdint.h>

struct raft_node;
struct raft_status;

#define FOLLOW_BUSY_MS 50 /* a group that is not quiet is asked again after that */

struct follow {
    int64_t begun_mono_ms;   /* the last transfer, which may fail; 0 = none */
    int64_t refused_mono_ms; /* the last refusal; 0 = none */
};

/* `primary`: name of the member that holds the leader key and has a member key; "" = nobody, then
 * leadership stays where it is. To be called whenever the store or the group has changed. */
void follow_primary(struct follow *follow, struct raft_node *node, const struct raft_status *status,
                    const char *primary, int64_t now_mono_ms);

#endif
