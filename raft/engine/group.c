/* The production assembly round one raft_node.
 *
 *   LOOKING --(partner has a group: join) --+
 *      |                                    v
 *      +--(all there and empty: create)--> RUNNING --> a voter
 *      |                                    ^    \--> not yet: asks the leader each second
 *      +--(FIRST of the group's maker) -----+
 *
 * A directory that knows its cluster goes to RUNNING at once. FAILED is reached from anywhere and
 * is silent: the node sends and takes nothing, no tick comes; the process is to end. All work is
 * done from a timer, from frames and from the node's own callbacks; nothing calls the owner from
 * inside raft_group_open. */
#include "raft/group.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/bootstrap.h"
#include "raft/engine/client_server.h"
#include "raft/engine/group_address.h"
#include "raft/engine/group_join.h"
#include "raft/engine/group_outsider.h"
#include "raft/engine/group_warnings.h"
#include "raft/engine/peer.h"
#include "raft/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define STEP_INTERVAL_MS    200
#define LEADERLESS_TIMEOUTS 10
#define JOIN_INTERVAL_MS    1000
#define WAITING_REPEAT_MS   10000
#define MARK_INTERVAL_MS    1000
/* A disk that takes nothing for so long: the member cannot vote and does not know it. */
#define STORAGE_AGE_MAX_MS 10000

enum group_state { GROUP_LOOKING, GROUP_RUNNING, GROUP_FAILED, GROUP_CLOSING };

struct raft_group {
    enum group_state state;
    uv_loop_t *loop;
    struct raft_group_callbacks callbacks;
    struct raft_node_config node_config;
    struct raft_env env;
    struct raft_storage *storage;
    struct peers *peers;
    struct raft_node *node;
    struct client_server *server;
    struct group_join join;
    struct group_outsider outsider;
    uv_timer_t step_timer;
    uv_timer_t node_timer;
    uv_timer_t watch_timer; /* of what clients watch */
    bool step_due;          /* the step timer fires at once */
    bool has_proof;         /* a password or certificates are asked for */
    bool open_told;         /* the warning that there is neither */
    int64_t join_asked_ms;
    int64_t led_ms; /* when a leader was known last */
    int64_t mark_told_ms;
    char waiting[BOOTSTRAP_TEXT_BYTES];
    int64_t waiting_told_ms;
    struct group_warnings warnings;
    struct group_addresses addresses;
    int parts; /* timers, peers, storage that still have to close */
    void (*closed)(void *arg);
    void *closed_arg;
};

static int64_t now_ms(const struct raft_group *group)
{
    return clock_mono_ms(group->env.clock);
}

static void group_step_soon(struct raft_group *group);

/* --- telling ---------------------------------------------------------------------------------- */

static void group_warn(void *arg, const char *text)
{
    struct raft_group *group = arg;
    if (group->state != GROUP_CLOSING &&
        group_warnings_tell(&group->warnings, text, now_ms(group))) {
        group->callbacks.on_warning(group->callbacks.arg, text);
    }
}

static void group_note(void *arg, const char *text)
{
    struct raft_group *group = arg;
    if (group->state != GROUP_CLOSING && group->callbacks.on_note != NULL) {
        group->callbacks.on_note(group->callbacks.arg, text);
    }
}

static void group_wait(struct raft_group *group, const char *text)
{
    int64_t now = now_ms(group);
    if (strcmp(group->waiting, text) == 0 && now - group->waiting_told_ms < WAITING_REPEAT_MS) {
        return;
    }
    (void)snprintf(group->waiting, sizeof group->waiting, "%s", text);
    group->waiting_told_ms = now;
    group->callbacks.on_waiting(group->callbacks.arg, text);
}

static void group_fail(void *arg, const struct error *err)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_FAILED || group->state == GROUP_CLOSING) {
        return;
    }
    group->state = GROUP_FAILED;
    (void)uv_timer_stop(&group->step_timer);
    (void)uv_timer_stop(&group->node_timer);
    (void)uv_timer_stop(&group->watch_timer);
    group->callbacks.on_fatal(group->callbacks.arg, err);
}

/* --- effects of the node ---------------------------------------------------------------------- */

static void node_send(void *arg, uint64_t to, struct span frame)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_RUNNING) {
        peers_send(group->peers, to, PEER_FRAME_RAFT, frame);
    }
}

static bool node_connected(void *arg, uint64_t id)
{
    struct raft_group *group = arg;
    return peers_connected(group->peers, id);
}

static bool node_knows_format_2(void *arg, uint64_t id)
{
    const struct raft_group *group = arg;
    const struct handshake_identity *peer = peers_peer(group->peers, id);
    return peer != NULL && (peer->flags & HANDSHAKE_FORMAT_2) != 0;
}

static bool node_snapshot_is_under_way(void *arg, uint64_t id)
{
    const struct raft_group *group = arg;
    return peers_snapshot_is_under_way(group->peers, id);
}

static bool node_is_witness(void *arg, uint64_t id)
{
    const struct raft_group *group = arg;
    const struct handshake_identity *peer = peers_peer(group->peers, id);
    return peer != NULL && (peer->flags & HANDSHAKE_WITNESS) != 0;
}

static const struct raft_peer_ops peer_ops = {.send = node_send,
                                              .connected = node_connected,
                                              .knows_format_2 = node_knows_format_2,
                                              .is_witness = node_is_witness,
                                              .snapshot_is_under_way = node_snapshot_is_under_way};

static void on_node_timer(uv_timer_t *timer)
{
    struct raft_group *group = timer->data;
    if (group->state == GROUP_RUNNING && group->node != NULL) {
        raft_node_tick(group->node);
    }
}

static void node_arm(void *arg, int64_t delay_ms)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_FAILED || group->state == GROUP_CLOSING) {
        return;
    }
    int rc =
        uv_timer_start(&group->node_timer, on_node_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
    ASSERT(rc == 0);
}

static void on_watch_timer(uv_timer_t *timer);

static void watches_look(struct raft_group *group)
{
    int64_t wait_ms = client_server_look(group->server, now_ms(group));
    int rc = wait_ms < 0
                 ? uv_timer_stop(&group->watch_timer)
                 : uv_timer_start(&group->watch_timer, on_watch_timer, (uint64_t)wait_ms, 0);
    ASSERT(rc == 0);
}

static void on_watch_timer(uv_timer_t *timer)
{
    struct raft_group *group = timer->data;
    if (group->state == GROUP_RUNNING) {
        watches_look(group);
    }
}

static void node_changed(void *arg)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_RUNNING) {
        watches_look(group);
    }
    if (group->state == GROUP_RUNNING && group->callbacks.on_change != NULL) {
        group->callbacks.on_change(group->callbacks.arg);
    }
}

static void storage_full(void *arg, bool full)
{
    struct raft_group *group = arg;
    if (group->node != NULL) {
        raft_node_storage_full(group->node, full);
    }
    group_warn(group,
               full ? "the disk of raft.data_dir is full: this member neither leads nor votes "
                      "until there is "
                      "space, retrying each second"
                    : "the disk of raft.data_dir has space again: this member takes part again");
}

/* --- start of the node ------------------------------------------------------------------------ */

static uint8_t identity_flags(const struct raft_group *group, bool voter)
{
    const struct raft_boot *boot = group->node == NULL ? raft_storage_boot(group->storage) : NULL;
    bool empty = boot != NULL && boot->cluster == 0 && raft_storage_is_empty(group->storage);
    uint8_t kept = peers_identity(group->peers)->flags & (HANDSHAKE_ARMED_PAGE | HANDSHAKE_WITNESS);
    return (uint8_t)(HANDSHAKE_FORMAT_2 | HANDSHAKE_PIECES | kept | (empty ? HANDSHAKE_EMPTY : 0) |
                     (voter ? 0 : HANDSHAKE_WAITING));
}

static void identity_tell(struct raft_group *group, uint64_t cluster, bool voter)
{
    struct handshake_identity identity = *peers_identity(group->peers);
    uint8_t flags = identity_flags(group, voter);
    if (identity.cluster == cluster && identity.flags == flags) {
        return;
    }
    identity.cluster = cluster;
    identity.flags = flags;
    peers_identity_set(group->peers, &identity);
}

static void tell_mark(struct raft_group *group)
{
    struct raft_mark mark;
    int64_t now = now_ms(group);
    bool due = group->mark_told_ms == 0 || now - group->mark_told_ms >= MARK_INTERVAL_MS;
    if (due && raft_node_mark(group->node, &mark)) {
        group->mark_told_ms = now;
        peers_mark_set(group->peers, &mark);
    }
}

static void node_start(struct raft_group *group)
{
    const struct raft_boot *boot = raft_storage_boot(group->storage);
    ASSERT(boot->cluster != 0 && group->node == NULL);
    uint64_t cluster = boot->cluster;
    group->state = GROUP_RUNNING;
    struct error err = {0};
    int rc = raft_node_start(&group->node_config, &group->env, boot, &group->node, &err);
    if (rc != 0) {
        group->node = NULL;
        error_wrap(&err, "starting the Raft member '%s'", group->node_config.name);
        group_fail(group, &err);
        return;
    }
    raft_storage_boot_release(group->storage);
    group->join.node = group->node;
    group->outsider.node = group->node;
    client_server_node(group->server, group->node);
    identity_tell(group, cluster, false);
    tell_mark(group);
    group->callbacks.on_ready(group->callbacks.arg);
}

/* --- first start ------------------------------------------------------------------------------ */

static void first_store(struct raft_group *group, const struct bootstrap_first *first)
{
    struct buf configuration = BUF_INIT;
    struct error err = {0};
    int rc = raft_first_configuration(first->ids, first->id_count, &configuration, &err);
    if (rc == 0) {
        rc = raft_storage_create(group->storage, first->cluster, buf_span(&configuration), &err);
    }
    buf_free(&configuration);
    if (rc != 0) {
        error_wrap(&err, "storing the first configuration");
        group_fail(group, &err);
        return;
    }
    node_start(group);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Stored here before anybody hears of it: after a crash at any point this member still has the only
 * group. */
static void group_create(struct raft_group *group, const struct bootstrap_decision *decision)
{
    struct bootstrap_first first = {.id_count = decision->id_count};
    memcpy(first.ids, decision->ids, sizeof first.ids);
    qsort(first.ids, first.id_count, sizeof first.ids[0], compare_ids);
    while (first.cluster == 0) {
        first.cluster = random_next(group->env.random);
    }
    if (first.id_count == 1) {
        group_warn(group, "partner_addrs is empty: this member makes a group of its own, and its "
                          "loss is the loss of "
                          "the group");
    }
    if (group->state == GROUP_LOOKING) { /* not closed by whom it was told to */
        first_store(group, &first);
    }
    if (group->state != GROUP_RUNNING) {
        return;
    }
    struct buf payload = BUF_INIT;
    bootstrap_first_encode(&first, &payload);
    for (size_t i = 0; i < first.id_count; i++) {
        if (first.ids[i] != peers_identity(group->peers)->id) {
            peers_send(group->peers, first.ids[i], PEER_FRAME_FIRST, buf_span(&payload));
        }
    }
    buf_free(&payload);
}

static void group_adopt(struct raft_group *group, uint64_t cluster)
{
    struct error err = {0};
    int rc = raft_storage_join(group->storage, cluster, &err);
    if (rc != 0) {
        error_wrap(&err, "joining the group %016llx", (unsigned long long)cluster);
        group_fail(group, &err);
        return;
    }
    node_start(group);
}

static void on_first(struct raft_group *group, struct span payload)
{
    struct bootstrap_first first;
    struct error err = {0};
    if (group->state != GROUP_LOOKING) {
        return; /* already in: it is sent once to everybody, and may cross with what STATE told */
    }
    int rc = bootstrap_first_decode(payload, &first, &err);
    if (rc == 0) {
        rc = bootstrap_first_check(&first, peers_identity(group->peers), &err);
    }
    if (rc != 0) {
        error_wrap(&err, "first configuration refused");
        group_warn(group, err.text);
        return;
    }
    first_store(group, &first);
}

struct peer_views {
    struct peer_view views[PEER_LINKS_MAX];
    size_t count;
};

static void collect_view(void *arg, const struct peer_view *view)
{
    struct peer_views *views = arg;
    if (views->count < PEER_LINKS_MAX) {
        views->views[views->count++] = *view;
    }
}

static void step_looking(struct raft_group *group)
{
    const struct raft_boot *boot = raft_storage_boot(group->storage);
    if (boot->cluster != 0) {
        node_start(group);
        return;
    }
    struct peer_views views = {.count = 0};
    peers_each(group->peers, collect_view, &views);
    struct bootstrap_decision decision;
    bootstrap_decide(peers_identity(group->peers), views.views, views.count, &decision);
    switch (decision.action) {
    case BOOTSTRAP_WAIT: group_wait(group, decision.text); return;
    case BOOTSTRAP_CREATE: group_create(group, &decision); return;
    case BOOTSTRAP_JOIN: group_adopt(group, decision.cluster); return;
    }
}

/* --- running ---------------------------------------------------------------------------------- */

static void send_join(void *arg, const struct peer_view *view)
{
    struct raft_group *group = arg;
    if (view->connected && view->identity->cluster == peers_identity(group->peers)->cluster) {
        peers_send(group->peers, view->identity->id, PEER_FRAME_JOIN, span_of(NULL, 0));
    }
}

static void ask_to_vote(struct raft_group *group)
{
    struct raft_status status;
    raft_node_status(group->node, &status);
    bool voter = false;
    for (size_t i = 0; i < status.member_count; i++) {
        voter = voter || (status.members[i].id == status.id && status.members[i].voter);
    }
    identity_tell(group, status.cluster, voter);
    int64_t now = now_ms(group);
    if (voter || now - group->join_asked_ms < JOIN_INTERVAL_MS) {
        return;
    }
    group->join_asked_ms = now;
    peers_each(group->peers, send_join, group);
    group_wait(group, "for the leader of the group to take this member in as a voter");
}

static void storage_watch(struct raft_group *group)
{
    int64_t age_ms = raft_storage_age_ms(group->storage);
    if (age_ms > STORAGE_AGE_MAX_MS) {
        struct error err = {0};
        error_set(&err, ERR_IO, "the disk of raft.data_dir has taken nothing for %lld ms",
                  (long long)age_ms);
        group_fail(group, &err);
    } else if (age_ms > 2 * (int64_t)group->node_config.election_timeout_ms) {
        group_warn(group, "the disk of raft.data_dir is slower than two election timeouts");
    }
}

/* The voters that are there should have elected somebody long ago: an operator wants to know who is
 * missing. */
static void leader_watch(struct raft_group *group)
{
    struct raft_status status;
    raft_node_status(group->node, &status);
    int64_t now = now_ms(group);
    if (status.leader != 0 || group->led_ms == 0) {
        group->led_ms = now;
        return;
    }
    if (now - group->led_ms <
        LEADERLESS_TIMEOUTS * (int64_t)group->node_config.election_timeout_ms) {
        return;
    }
    struct buf text = BUF_INIT;
    buf_printf(&text, "the Raft group has had no leader for %d election timeouts; not connected:",
               LEADERLESS_TIMEOUTS);
    for (size_t i = 0; i < status.member_count; i++) {
        const struct raft_member_status *member = &status.members[i];
        if (member->voter && !member->connected) {
            buf_printf(&text, " '%s' at %s", member->name, member->address);
        }
    }
    group_warn(group, buf_str(&text));
    buf_free(&text);
}

static void follow_addresses(struct raft_group *group)
{
    group_addresses_follow(&group->addresses, raft_node_store(group->node), group->peers);
}

static void step_join(struct raft_group *group)
{
    group_join_step(&group->join, now_ms(group));
}

static void step_outsider(struct raft_group *group)
{
    group_outsider_step(&group->outsider);
}

static void step_running(struct raft_group *group)
{
    static void (*const parts[])(struct raft_group * group) = {
        follow_addresses, tell_mark,     ask_to_vote,  step_join,
        step_outsider,    storage_watch, leader_watch,
    };
    /* Each may tell the owner something, who may close the group. */
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && group->state == GROUP_RUNNING; i++) {
        parts[i](group);
    }
}

static void on_step_timer(uv_timer_t *timer)
{
    struct raft_group *group = timer->data;
    group->step_due = false;
    if (!group->has_proof && !group->open_told) {
        group->open_told = true;
        group_warn(group, "neither raft.password nor raft.certfile is set: whoever can use a "
                          "member's address may take "
                          "part in the group");
    }
    if (group->state == GROUP_LOOKING) {
        step_looking(group);
    } else if (group->state == GROUP_RUNNING) {
        step_running(group);
    }
    if ((group->state == GROUP_LOOKING || group->state == GROUP_RUNNING) && !group->step_due) {
        int rc = uv_timer_start(&group->step_timer, on_step_timer, STEP_INTERVAL_MS, 0);
        ASSERT(rc == 0);
    }
}

static void group_step_soon(struct raft_group *group)
{
    if (!group->step_due && (group->state == GROUP_LOOKING || group->state == GROUP_RUNNING)) {
        group->step_due = true;
        int rc = uv_timer_start(&group->step_timer, on_step_timer, 0, 0);
        ASSERT(rc == 0);
    }
}

/* --- events of the peers ---------------------------------------------------------------------- */

static void on_raft(void *arg, uint64_t from, struct span frame)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_RUNNING && group->node != NULL) {
        group_outsider_heard(&group->outsider, from);
        raft_node_receive(group->node, from, frame);
    }
}

static void on_removed(struct raft_group *group, const char *by)
{
    struct error err = {0};
    error_set(
        &err, ERR_REFUSED,
        "'%s' says that this member was removed from the group: move raft.db* out of raft.data_dir "
        "and start again, to join it as a new one",
        by);
    group_fail(group, &err);
}

static void on_control(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct raft_group *group = arg;
    if (frame->type == PEER_FRAME_FIRST) {
        on_first(group, frame->payload);
    } else if (group->state == GROUP_RUNNING && frame->type == PEER_FRAME_REMOVED) {
        on_removed(group, peer_session_peer(session)->name);
    } else if (group->state == GROUP_RUNNING) {
        group_join_ask(&group->join, peer_session_peer(session), now_ms(group));
        group_step_soon(group);
    }
}

static void on_peer(void *arg)
{
    group_step_soon(arg);
}

static void on_request(void *arg, struct peer_session *client, const struct peer_frame *frame)
{
    struct raft_group *group = arg;
    if (group->state == GROUP_LOOKING || group->state == GROUP_RUNNING) {
        client_server_request(group->server, client, frame->payload, peers_identity(group->peers),
                              now_ms(group));
    }
    if (group->state == GROUP_RUNNING) {
        watches_look(group);
    }
}

static void on_client_end(void *arg, struct peer_session *client)
{
    struct raft_group *group = arg;
    client_server_forget(group->server, client);
}

static bool group_reachable(void *arg, uint64_t id)
{
    struct raft_group *group = arg;
    return peers_reachable(group->peers, id);
}

/* --- life ------------------------------------------------------------------------------------- */

static void part_closed(void *arg)
{
    struct raft_group *group = arg;
    ASSERT(group->parts > 0);
    group->parts--;
    if (group->parts > 0) {
        return;
    }
    void (*closed)(void *arg) = group->closed;
    void *closed_arg = group->closed_arg;
    group_warnings_free(&group->warnings);
    mem_free(group);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

/* From the loop: nothing of the group is on the stack, and the node is gone. */
static void on_close_timer(uv_timer_t *timer)
{
    struct raft_group *group = timer->data;
    uv_close((uv_handle_t *)&group->step_timer, on_timer_closed);
    uv_close((uv_handle_t *)&group->node_timer, on_timer_closed);
    uv_close((uv_handle_t *)&group->watch_timer, on_timer_closed);
    group->parts = 3;
    if (group->peers != NULL) {
        group->parts++;
        peers_close(group->peers, part_closed, group);
    }
    client_server_free(group->server);
    group->server = NULL;
    if (group->storage != NULL) {
        group->parts++;
        raft_storage_close(group->storage, part_closed, group);
    }
}

/* The node goes now, or when it has called back; whatever else may be calling us, a connection or
 * the storage, goes in the next turn of the loop. */
void raft_group_close(struct raft_group *group, void (*closed)(void *arg), void *arg)
{
    ASSERT(group->state != GROUP_CLOSING);
    group->state = GROUP_CLOSING;
    group->closed = closed;
    group->closed_arg = arg;
    struct raft_node *node = group->node;
    group->node = NULL;
    group->join.node = NULL;
    group->outsider.node = NULL;
    client_server_node(group->server, NULL);
    (void)uv_timer_stop(&group->node_timer);
    (void)uv_timer_stop(&group->watch_timer);
    int rc = uv_timer_start(&group->step_timer, on_close_timer, 0, 0);
    ASSERT(rc == 0);
    raft_node_stop(node);
}

static int config_check(const struct raft_group_config *config, struct error *err)
{
    if (config->name == NULL || config->name[0] == '\0' ||
        strlen(config->name) >= RAFT_NODE_NAME_BYTES) {
        return error_set(err, ERR_INVALID, "the member's name has to have 1 to %d bytes",
                         RAFT_NODE_NAME_BYTES - 1);
    }
    if (config->self_addr == NULL || strlen(config->self_addr) >= RAFT_NODE_ADDRESS_BYTES) {
        return error_set(err, ERR_INVALID, "raft.self_addr is needed, as host:port");
    }
    if (config->client_urls != NULL &&
        strlen(config->client_urls) > STORE_MEMBER_CLIENTS_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "the URLs for etcd's clients are longer than %d bytes",
                         STORE_MEMBER_CLIENTS_BYTES_MAX);
    }
    if (config->partner_count > RAFT_GROUP_PARTNERS_MAX) {
        return error_set(err, ERR_LIMIT, "raft.partner_addrs has %zu addresses, %d are allowed",
                         config->partner_count, RAFT_GROUP_PARTNERS_MAX);
    }
    if (config->password != NULL && strlen(config->password) > HANDSHAKE_PASSWORD_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "raft.password is longer than %d bytes",
                         HANDSHAKE_PASSWORD_BYTES_MAX);
    }
    if (config->election_timeout_ms < 10 || config->heartbeat_ms < 1 ||
        config->heartbeat_ms * 2 > config->election_timeout_ms) {
        return error_set(err, ERR_INVALID,
                         "raft.heartbeat (%d ms) has to be at most half of raft.election_timeout "
                         "(%d ms)",
                         config->heartbeat_ms, config->election_timeout_ms);
    }
    return 0;
}

/* self_addr may stand in partner_addrs too, in one file for all members. */
static uint8_t group_size(const struct raft_group_config *config)
{
    size_t size = 1;
    for (size_t i = 0; i < config->partner_count; i++) {
        size += strcmp(config->partner_addrs[i], config->self_addr) != 0;
    }
    return (uint8_t)size;
}

static int open_peers(struct raft_group *group, const struct raft_group_config *config,
                      struct error *err)
{
    const struct raft_boot *boot = raft_storage_boot(group->storage);
    struct handshake_identity identity = {.id = boot->id,
                                          .cluster = boot->cluster,
                                          .incarnation = random_next(group->env.random),
                                          .group_size = group_size(config)};
    bool empty = boot->cluster == 0 && raft_storage_is_empty(group->storage);
    identity.flags =
        (uint8_t)((config->armed_page ? HANDSHAKE_ARMED_PAGE : 0) | (empty ? HANDSHAKE_EMPTY : 0) |
                  (config->witness ? HANDSHAKE_WITNESS : 0) | HANDSHAKE_WAITING |
                  HANDSHAKE_FORMAT_2 | HANDSHAKE_PIECES);
    (void)snprintf(identity.name, sizeof identity.name, "%s", config->name);
    (void)snprintf(identity.address, sizeof identity.address, "%s", config->self_addr);
    struct peers_config peers = {.loop = group->loop,
                                 .self_addr = config->self_addr,
                                 .bind_addr = config->bind_addr,
                                 .partner_addrs = config->partner_addrs,
                                 .partner_count = config->partner_count,
                                 .password = config->password,
                                 .certfile = config->certfile,
                                 .keyfile = config->keyfile,
                                 .cafile = config->cafile,
                                 .election_timeout_ms = config->election_timeout_ms,
                                 .random = group->env.random,
                                 .identity = &identity};
    struct peers_events events = {.on_raft = on_raft,
                                  .on_control = on_control,
                                  .on_peer = on_peer,
                                  .on_request = on_request,
                                  .on_client_end = on_client_end,
                                  .on_warning = group_warn,
                                  .on_note = group_note,
                                  .on_unfit = group_fail,
                                  .arg = group};
    int rc = peers_open(&peers, &events, &group->peers, err);
    group->outsider.peers = group->peers;
    return rc;
}

static void group_init(struct raft_group *group, uv_loop_t *loop,
                       const struct raft_group_config *config,
                       const struct raft_group_callbacks *callbacks)
{
    group->loop = loop;
    group->callbacks = *callbacks;
    (void)snprintf(group->node_config.name, sizeof group->node_config.name, "%s", config->name);
    (void)snprintf(group->node_config.address, sizeof group->node_config.address, "%s",
                   config->self_addr);
    (void)snprintf(group->node_config.client_urls, sizeof group->node_config.client_urls, "%s",
                   config->client_urls == NULL ? "" : config->client_urls);
    group->node_config.election_timeout_ms = config->election_timeout_ms;
    group->node_config.heartbeat_ms = config->heartbeat_ms;
    group->node_config.witness = config->witness;
    group->env = (struct raft_env){.storage = &raft_storage_sqlite_ops,
                                   .peers = &peer_ops,
                                   .peers_arg = group,
                                   .clock = clock_real(),
                                   .random = random_real(),
                                   .arm = node_arm,
                                   .on_change = node_changed,
                                   .on_warning = group_warn,
                                   .on_fatal = group_fail,
                                   .arg = group};
    group->has_proof =
        (config->password != NULL && config->password[0] != '\0') || config->certfile != NULL;
    group->join.on_warning = group_warn;
    group->join.reachable = group_reachable;
    group->join.callable = node_connected;
    group->join.arg = group;
    group->server = client_server_new();
    int rc = uv_timer_init(loop, &group->step_timer);
    ASSERT(rc == 0);
    rc = uv_timer_init(loop, &group->node_timer);
    ASSERT(rc == 0);
    rc = uv_timer_init(loop, &group->watch_timer);
    ASSERT(rc == 0);
    group->watch_timer.data = group;
    group->step_timer.data = group;
    group->node_timer.data = group;
}

int raft_group_open(struct uv_loop_s *loop, const struct raft_group_config *config,
                    const struct raft_group_callbacks *callbacks, struct raft_group **ret_group,
                    struct error *err)
{
    int rc = config_check(config, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_group *group = mem_new(struct raft_group);
    group_init(group, loop, config, callbacks);
    struct raft_storage_callbacks storage = {
        .on_full = storage_full, .on_fatal = group_fail, .arg = group};
    rc = raft_storage_open(loop, config->data_dir, config->name, group->env.random, &storage,
                           &group->storage, err);
    if (rc == 0) {
        group->env.storage_arg = group->storage;
        rc = open_peers(group, config, err);
    } else {
        group->storage = NULL;
    }
    if (rc != 0) {
        raft_group_close(group, NULL, NULL);
        return rc;
    }
    group_step_soon(group);
    *ret_group = group;
    return 0;
}

struct raft_node *raft_group_node(struct raft_group *group)
{
    return group->node;
}

void raft_group_reload(struct raft_group *group)
{
    if (group->state != GROUP_CLOSING) {
        peers_reload(group->peers);
    }
}

uint64_t raft_group_cluster(const struct raft_group *group)
{
    return group->peers == NULL ? 0 : peers_identity(group->peers)->cluster;
}

int raft_group_port(const struct raft_group *group)
{
    return peers_port(group->peers);
}

void raft_group_counters(const struct raft_group *group, struct raft_group_counters *ret_counters)
{
    peers_counters(group->peers, ret_counters);
}
