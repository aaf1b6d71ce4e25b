/* Format 2 of the store (docs/store.md): members of the release before stop at its commands, so the
 * first one may be proposed only when every member knows it. A member tells that in its handshake.
 * Once it is open, one that does not know it (it joins, or was started with the old program again)
 * is not talked to: it gets no entry that it cannot apply, and no vote. */
#include "raft/engine/node_impl.h"

bool node_format_is_open(const struct raft_node *node)
{
    return node->format_asked || store_format(node->store) > 1;
}

bool node_format_is_known_by(const struct raft_node *node, uint64_t id)
{
    return !node_format_is_open(node) || node->env.peers->knows_format_2(node->env.peers_arg, id);
}

int node_format_check(const struct raft_node *node, uint64_t id, int code, struct error *err)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(node->store, members, STORE_MEMBERS_MAX);
    struct span name = span_of(NULL, 0); /* one that joins has no record yet */
    if (id == node->id || node->env.peers->knows_format_2(node->env.peers_arg, id)) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        name = members[i].id == id ? members[i].name : name;
    }
    return error_set(err, code,
                     "member '%.*s' (%llx) is not connected, or of a release that does not know "
                     "format 2 of the store: start it, with a release that does",
                     (int)name.len, name.len == 0 ? "" : (const char *)name.data,
                     (unsigned long long)id);
}

static int check_members(const struct raft_node *node, struct error *err)
{
    for (size_t i = 0; i < node->configuration.count; i++) {
        int rc = node_format_check(node, node->configuration.servers[i].id, ERR_UNAVAILABLE, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (configuration_find(&node->configuration, node->id) == node->configuration.count) {
        return error_set(err, ERR_UNAVAILABLE, "this member is not in the group yet");
    }
    return 0;
}

int raft_node_open_format_2(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg,
                            struct error *err)
{
    struct store_command command = {.type = STORE_FORMAT};
    int rc = node_format_is_open(node) ? 0 : check_members(node, err);
    if (rc != 0) {
        return rc;
    }
    bool before = node->format_asked;
    node->format_asked = true;
    rc = raft_node_propose(node, &command, timeout_ms, 0, done, arg, err);
    node->format_asked = before || rc == 0;
    return rc;
}
