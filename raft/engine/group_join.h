/* Membership as the Raft leader drives it: a member that asks to be taken in becomes a standby,
 * catches up, its predecessor of the same name is removed, and then it votes. One change at a time.
 * Every step looks at the configuration as it is now, so that another leader goes on where this one
 * stopped. */
#ifndef RAFT_ENGINE_GROUP_JOIN_H
#define RAFT_ENGINE_GROUP_JOIN_H

#include "raft/engine/handshake.h"
#include "raft/node.h"

#define GROUP_JOINS_MAX 8
/* The joiner repeats itself each second while it is there; a standby that neither asks nor can be
 * reached for so long is removed again. */
#define GROUP_JOIN_FORGET_MS 5000
/* So long we try to call it back before we say that we cannot. */
#define GROUP_JOIN_CALL_MS 3000

struct group_join_item {
    uint64_t id;
    char name[RAFT_NODE_NAME_BYTES];
    char address[RAFT_NODE_ADDRESS_BYTES];
    uint8_t group_size;  /* as its file has it: partners and itself */
    int64_t callable_ms; /* when we could call it last, or when it first asked */
    int64_t heard_ms;
};

struct group_join {
    struct group_join_item items[GROUP_JOINS_MAX];
    size_t count;
    bool busy;         /* a change is under way */
    uint64_t catching; /* the standby that caught up at the last step; 0 = none */
    /* A standby that neither asks nor can be reached, since `silent_ms`; 0 = none. */
    uint64_t silent;
    int64_t silent_ms;
    struct raft_node *node;
    void (*on_warning)(void *arg, const char *text);
    void *arg;
    /* In either direction: a predecessor that is there is not removed. */
    bool (*reachable)(void *arg, uint64_t id);
    /* We can send to it: who only calls us could never follow. */
    bool (*callable)(void *arg, uint64_t id);
};

/* `peer` asks to be taken in; asked of every member, heard by the leader. */
void group_join_ask(struct group_join *join, const struct handshake_identity *peer, int64_t now_ms);
/* Takes the next step if it can be taken. Call it a few times a second. */
void group_join_step(struct group_join *join, int64_t now_ms);

#endif
