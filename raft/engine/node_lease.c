/* What a member does about leases: notes when it applied them, counts them on its own lease clock,
 * and proposes the end of those whose full ttl it has counted. Any member may; the first proposal
 * with the right renewal number wins.
 *
 * And what it does about its own record: name, address and client URLs of each member are
 * replicated state, set by the member itself when they differ, and removed by the leader when the
 * member has left the group. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"

#define NODE_LEASE_LOOK_MS_MAX 1000

/* The clock is read after the apply: reading it before would shorten the wait of whoever is behind.
 */
void node_leases_note(struct raft_node *node)
{
    store_leases_note(node->store, clock_lease_ms(node->env.clock));
    node->lease_look_ms = node->now_ms; /* an earlier end may be in sight */
}

void node_leases_restart(struct raft_node *node)
{
    store_leases_restart(node->store, clock_lease_ms(node->env.clock));
    node->lease_look_ms = node->now_ms;
}

static void expire_done(void *arg, int rc, const struct store_result *result)
{
    struct node_expire *expire = arg;
    (void)rc; /* whatever came of it: the next look sees whether the lease is still there */
    (void)result;
    expire->lease = 0;
}

/* The end of a lease comes as its renewals do: as an agent's command it would go into the log
 * before a renewal of an etcd client's that waits there, and end what lives. */
static int expire_send(struct raft_node *node, const struct store_command *command,
                       struct node_expire *slot, bool plain)
{
    int64_t timeout_ms = 2 * (int64_t)node->config.election_timeout_ms;
    return plain ? raft_node_propose_plain(node, command, timeout_ms, expire_done, slot, NULL)
                 : raft_node_propose(node, command, timeout_ms, 0, expire_done, slot, NULL);
}

static bool is_plain(const struct raft_node *node, uint64_t lease)
{
    struct store_lease found;
    return store_lease_get(node->store, lease, &found) && found.owner.len == 0;
}

static void propose_expire(void *arg, uint64_t lease, uint64_t number)
{
    struct raft_node *node = arg;
    struct node_expire *slot = NULL;
    size_t plain_count = 0;
    for (size_t i = 0; i < NODE_EXPIRES_MAX; i++) {
        struct node_expire *expire = &node->expires[i];
        if (expire->lease == lease && expire->number == number) {
            return; /* under way */
        }
        if (expire->lease == 0 && slot == NULL) {
            slot = expire;
        }
        plain_count += expire->lease != 0 && expire->plain;
    }
    bool plain = is_plain(node, lease);
    struct store_command command = {.type = STORE_LEASE_EXPIRE, .lease = lease, .number = number};
    if (slot == NULL || (plain && plain_count >= NODE_EXPIRES_PLAIN_MAX) ||
        expire_send(node, &command, slot, plain) != 0) {
        return; /* at the next look */
    }
    *slot = (struct node_expire){.node = node, .lease = lease, .number = number, .plain = plain};
}

static void member_done(void *arg, int rc, const struct store_result *result)
{
    struct raft_node *node = arg;
    (void)rc;
    (void)result;
    node->member_pending = false;
}

static void propose_member(struct raft_node *node, const struct store_command *command)
{
    int64_t timeout_ms = 4 * (int64_t)node->config.election_timeout_ms;
    if (raft_node_propose(node, command, timeout_ms, 0, member_done, node, NULL) == 0) {
        node->member_pending = true;
    }
}

/* False: what the others know is right. */
static bool publish_own_record(struct raft_node *node, const struct store_member *members,
                               size_t count)
{
    const struct raft_node_config *config = &node->config;
    struct store_command command = {.type = STORE_MEMBER_SET,
                                    .member = {.id = node->id,
                                               .name = span_str(config->name),
                                               .address = span_str(config->address),
                                               .client_urls = span_str(config->client_urls)}};
    for (size_t i = 0; i < count; i++) {
        const struct store_member *own = &members[i];
        if (own->id != node->id || !span_equal_str(own->name, config->name) ||
            !span_equal_str(own->address, config->address)) {
            continue;
        }
        if (store_format(node->store) == 1 ||
            span_equal_str(own->client_urls, config->client_urls)) {
            return false;
        }
        command.type = STORE_MEMBER_CLIENTS;
    }
    propose_member(node, &command);
    return true;
}

static void look_at_members(struct raft_node *node)
{
    struct store_member members[STORE_MEMBERS_MAX];
    struct store_command command = {0};
    size_t count = store_members(node->store, members, STORE_MEMBERS_MAX);
    bool in_group = configuration_find(&node->configuration, node->id) < node->configuration.count;
    if (in_group && publish_own_record(node, members, count)) {
        return;
    }
    if (!node_is_leader(node) || node->guards.change_open || !node_own_term_committed(node)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (configuration_find(&node->configuration, members[i].id) == node->configuration.count) {
            command.type = STORE_MEMBER_REMOVE;
            command.member.id = members[i].id;
            propose_member(node, &command);
            return;
        }
    }
}

void node_leases_pump(struct raft_node *node)
{
    if (node->now_ms >= node->lease_look_ms) {
        int64_t next =
            store_leases_due(node->store, clock_lease_ms(node->env.clock), propose_expire, node);
        /* No timer runs on the lease clock: sleep half of what remains and look again. */
        int64_t sleep =
            next < 0 || next / 2 > NODE_LEASE_LOOK_MS_MAX ? NODE_LEASE_LOOK_MS_MAX : next / 2;
        if (sleep < NODE_LEASE_SLEEP_MS_MIN) {
            sleep = NODE_LEASE_SLEEP_MS_MIN;
        }
        node->lease_look_ms = node->now_ms + sleep;
    }
    if (node->now_ms >= node->member_look_ms) {
        node->member_look_ms = node->now_ms + node->config.election_timeout_ms;
        if (!node->member_pending && node_leader(node) != 0) {
            look_at_members(node);
        }
    }
}

int64_t node_leases_delay(const struct raft_node *node)
{
    int64_t due =
        node->lease_look_ms < node->member_look_ms ? node->lease_look_ms : node->member_look_ms;
    return due > node->now_ms ? due - node->now_ms : 0;
}
