/* A group of raft_nodes on virtual time, memory disks and a network that a test can cut, delay and
 * inspect. Included by the tests of the engine; every function is static, and a test need not use
 * all of them. */
#ifndef TESTS_FAKE_GROUP_H
#define TESTS_FAKE_GROUP_H

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/engine/node_impl.h"
#include "raft/engine/peer_wire.h"
#include "raft/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FAKE_NODES_MAX 6
#define FAKE_ET        200
#define FAKE_HB        20
#define FAKE_LOG_MAX   16384

struct fake_group;

struct fake_job {
    struct list link;
    const struct raft_storage_job *job;
    void (*done)(void *arg);
    void *arg;
    int64_t at;
};

struct fake_disk {
    uint64_t term;
    uint64_t voted_for;
    bool has_snapshot;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t configuration_index;
    struct buf configuration;
    struct buf snapshot;
    struct raft_entry_rec *entries; /* data is owned */
    size_t entry_count;
};

struct fake_node {
    struct fake_group *group;
    uint64_t id;
    struct raft_node *node;
    struct fake_disk disk;
    struct list jobs;
    int64_t arm_at; /* -1 = never */
    bool cut;       /* from everybody */
    bool old;       /* does not know format 2 of the store */
    bool disk_stopped;
    int64_t disk_delay;
    unsigned changes;
    unsigned ticks;
    unsigned guards_off; /* set again at every start */
    struct error fatal;
    char warning[ERROR_TEXT_BYTES]; /* the last one */
    char name[16];
    const char *client_urls; /* NULL = none */
};

struct fake_message {
    struct list link;
    uint64_t from;
    uint64_t to;
    int64_t at;
    struct buf bytes;
};

struct fake_group {
    int64_t now;
    int64_t lease_skew;
    int64_t suspended;
    uint64_t random;
    size_t count;
    struct fake_node nodes[FAKE_NODES_MAX];
    struct list messages;
    int64_t net_delay;
    int64_t snapshot_delay; /* in pieces, which others overtake; 0 = as any other message */
    int64_t snapshot_until;
    int64_t piece_ms; /* what passes between the pieces waits for the end of one; 0 = does not */
    unsigned threshold;
    unsigned threshold_max;
    unsigned trailing;
    /* Drops a message when it says so. */
    bool (*drops)(struct fake_group *group, uint64_t from, uint64_t to,
                  const struct peer_message *message);
    unsigned sent[32]; /* by kind */
};

/* --- environment ------------------------------------------------------------------------------ */

static int64_t fake_mono(void *arg)
{
    return ((struct fake_group *)arg)->now;
}

static int64_t fake_lease(void *arg)
{
    struct fake_group *group = arg;
    return group->now + group->lease_skew + group->suspended;
}

static int64_t fake_suspended(void *arg)
{
    return ((struct fake_group *)arg)->suspended;
}

static uint64_t fake_random(void *arg)
{
    struct fake_group *group = arg;
    group->random += 0x9e3779b97f4a7c15ULL;
    uint64_t z = group->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static void fake_submit(void *arg, const struct raft_storage_job *job, void (*done)(void *),
                        void *job_arg)
{
    struct fake_node *node = arg;
    struct fake_job *fake = mem_new(struct fake_job);
    fake->job = job;
    fake->done = done;
    fake->arg = job_arg;
    fake->at = node->group->now + node->disk_delay;
    list_append(&node->jobs, &fake->link);
}

static struct fake_node *fake_find(struct fake_group *group, uint64_t id)
{
    for (size_t i = 0; i < group->count; i++) {
        if (group->nodes[i].id == id) {
            return &group->nodes[i];
        }
    }
    return NULL;
}

static void fake_send(void *arg, uint64_t to, struct span frame)
{
    struct fake_node *node = arg;
    struct fake_group *group = node->group;
    struct peer_message message;
    struct buf arena = BUF_INIT;
    int rc = peer_wire_decode(frame, &message, &arena, NULL);
    ASSERT(rc == 0); /* whatever we send, we can read */
    group->sent[message.kind]++;
    bool drop = group->drops != NULL && group->drops(group, node->id, to, &message);
    buf_free(&arena);
    if (drop) {
        return;
    }
    struct fake_message *copy = mem_new(struct fake_message);
    copy->from = node->id;
    copy->to = to;
    bool in_pieces = message.kind == PEER_SNAPSHOT && group->snapshot_delay > 0;
    copy->at = group->now + (in_pieces ? group->snapshot_delay : group->net_delay);
    if (group->piece_ms > 0 && group->now < group->snapshot_until) {
        copy->at += group->piece_ms - copy->at % group->piece_ms;
    }
    group->snapshot_until = in_pieces ? copy->at + FAKE_ET : group->snapshot_until;
    buf_put_span(&copy->bytes, frame);
    list_append(&group->messages, &copy->link);
}

static bool fake_connected(void *arg, uint64_t id)
{
    struct fake_node *node = arg;
    struct fake_node *peer = fake_find(node->group, id);
    return peer != NULL && peer->node != NULL && !peer->cut && !node->cut;
}

static bool fake_knows_format_2(void *arg, uint64_t id)
{
    struct fake_node *node = arg;
    return fake_connected(arg, id) && !fake_find(node->group, id)->old;
}

/* To whomever; and as peers_snapshot_is_under_way, for a while after it. */
static bool fake_snapshot_is_under_way(void *arg, uint64_t id)
{
    const struct fake_node *node = arg;
    (void)id;
    return node->group->now < node->group->snapshot_until;
}

static void fake_arm(void *arg, int64_t delay_ms)
{
    struct fake_node *node = arg;
    node->arm_at = node->group->now + delay_ms;
}

static void fake_on_change(void *arg)
{
    ((struct fake_node *)arg)->changes++;
}

static void fake_on_fatal(void *arg, const struct error *err)
{
    ((struct fake_node *)arg)->fatal = *err;
}

static void fake_on_warning(void *arg, const char *text)
{
    struct fake_node *fake = arg;
    (void)snprintf(fake->warning, sizeof fake->warning, "%s", text);
}

/* --- disk ------------------------------------------------------------------------------------- */

static void fake_disk_drop(struct fake_disk *disk, size_t from, size_t until)
{
    if (from >= until) {
        return;
    }
    for (size_t i = from; i < until; i++) {
        mem_free((void *)disk->entries[i].data.data);
    }
    memmove(&disk->entries[from], &disk->entries[until],
            (disk->entry_count - until) * sizeof(disk->entries[0]));
    disk->entry_count -= until - from;
}

static size_t fake_disk_find(const struct fake_disk *disk, uint64_t index)
{
    size_t i = 0;
    while (i < disk->entry_count && disk->entries[i].index < index) {
        i++;
    }
    return i;
}

static void fake_disk_append(struct fake_disk *disk, const struct raft_entry_rec *entry)
{
    ASSERT(disk->entry_count == 0 ||
           disk->entries[disk->entry_count - 1].index + 1 == entry->index);
    ASSERT(disk->entry_count < FAKE_LOG_MAX);
    if (disk->entries == NULL) {
        disk->entries = mem_new_array(struct raft_entry_rec, FAKE_LOG_MAX);
    }
    disk->entries[disk->entry_count] = *entry;
    disk->entries[disk->entry_count++].data = span_of(
        mem_memdup(entry->data.len == 0 ? "" : (const char *)entry->data.data, entry->data.len),
        entry->data.len);
}

static void fake_disk_write(struct fake_disk *disk, const struct raft_storage_job *job)
{
    if (job->has_vote) {
        ASSERT(job->term >= disk->term);
        disk->term = job->term;
        disk->voted_for = job->voted_for;
    }
    if (job->has_entries) {
        if (job->truncate_from != 0) {
            fake_disk_drop(disk, fake_disk_find(disk, job->truncate_from), disk->entry_count);
        }
        for (size_t i = 0; i < job->entry_count; i++) {
            fake_disk_append(disk, &job->entries[i]);
        }
    }
    if (job->has_snapshot) {
        disk->has_snapshot = true;
        disk->snapshot_index = job->snapshot_index;
        disk->snapshot_term = job->snapshot_term;
        disk->configuration_index = job->configuration_index;
        buf_clear(&disk->configuration);
        buf_put_span(&disk->configuration, job->configuration);
        buf_clear(&disk->snapshot);
        buf_put_span(&disk->snapshot, job->snapshot);
        size_t until = job->snapshot_installed ? disk->entry_count
                                               : fake_disk_find(disk, job->delete_until + 1);
        fake_disk_drop(disk, 0, until);
    }
}

static void fake_disk_free(struct fake_disk *disk)
{
    fake_disk_drop(disk, 0, disk->entry_count);
    mem_free(disk->entries);
    buf_free(&disk->configuration);
    buf_free(&disk->snapshot);
    memset(disk, 0, sizeof(*disk));
}

/* --- nodes ------------------------------------------------------------------------------------ */

static const struct raft_storage_ops fake_storage_ops = {.submit = fake_submit};
static const struct raft_peer_ops fake_peer_ops = {
    .send = fake_send,
    .connected = fake_connected,
    .knows_format_2 = fake_knows_format_2,
    .snapshot_is_under_way = fake_snapshot_is_under_way,
};

static void fake_start_node(struct fake_node *fake)
{
    struct fake_group *group = fake->group;
    static struct clock clock;
    static struct random random;
    clock = (struct clock){fake_mono, fake_lease, fake_suspended, fake_mono, group};
    random = (struct random){fake_random, group};
    struct raft_node_config config = {
        .election_timeout_ms = FAKE_ET,
        .heartbeat_ms = FAKE_HB,
        .snapshot_threshold = group->threshold,
        .snapshot_threshold_max = group->threshold_max,
        .snapshot_trailing = group->trailing,
    };
    struct raft_env env = {
        .storage = &fake_storage_ops,
        .storage_arg = fake,
        .peers = &fake_peer_ops,
        .peers_arg = fake,
        .clock = &clock,
        .random = &random,
        .arm = fake_arm,
        .on_change = fake_on_change,
        .on_warning = fake_on_warning,
        .on_fatal = fake_on_fatal,
        .arg = fake,
    };
    struct fake_disk *disk = &fake->disk;
    struct raft_boot boot = {
        .id = fake->id,
        .cluster = 77,
        .term = disk->term,
        .voted_for = disk->voted_for,
        .has_snapshot = disk->has_snapshot,
        .snapshot_index = disk->snapshot_index,
        .snapshot_term = disk->snapshot_term,
        .configuration_index = disk->configuration_index,
        .configuration = buf_span(&disk->configuration),
        .snapshot = buf_span(&disk->snapshot),
        .entries = disk->entries,
        .entry_count = disk->entry_count,
    };
    struct error err = {0};
    (void)snprintf(config.name, sizeof(config.name), "%s", fake->name);
    (void)snprintf(config.address, sizeof(config.address), "127.0.0.1:%d", (int)fake->id);
    if (fake->client_urls != NULL) {
        (void)snprintf(config.client_urls, sizeof(config.client_urls), "%s", fake->client_urls);
    }
    fake->fatal.code = 0;
    int rc = node_start_without(fake->guards_off, &config, &env, &boot, &fake->node, &err);
    if (rc != 0) {
        fail_msg("start of %s: %s", fake->name, err.text);
    }
}

static struct fake_node *fake_add_node(struct fake_group *group)
{
    struct fake_node *fake = &group->nodes[group->count++];
    fake->group = group;
    fake->id = group->count;
    fake->arm_at = -1;
    fake->disk_delay = 1;
    list_init(&fake->jobs);
    (void)snprintf(fake->name, sizeof(fake->name), "n%d", (int)fake->id);
    return fake;
}

static void fake_first_entry(struct fake_group *group, struct fake_node *fake, size_t voters)
{
    struct buf bytes = BUF_INIT;
    uint64_t ids[FAKE_NODES_MAX];
    for (size_t i = 0; i < voters; i++) {
        ids[i] = group->nodes[i].id;
    }
    int rc = raft_first_configuration(ids, voters, &bytes, NULL);
    ASSERT(rc == 0);
    struct raft_entry_rec entry = {
        .index = 1, .term = 1, .type = RAFT_CHANGE, .data = buf_span(&bytes)};
    fake->disk.term = 1;
    fake_disk_append(&fake->disk, &entry);
    buf_free(&bytes);
}

static struct fake_group *fake_group_new(size_t voters, uint64_t seed)
{
    struct fake_group *group = mem_new(struct fake_group);
    group->now = 1000;
    group->random = seed;
    group->net_delay = 1;
    list_init(&group->messages);
    for (size_t i = 0; i < voters; i++) {
        (void)fake_add_node(group);
    }
    for (size_t i = 0; i < voters; i++) {
        fake_first_entry(group, &group->nodes[i], voters);
    }
    return group;
}

static __attribute__((unused)) void fake_start_all(struct fake_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        fake_start_node(&group->nodes[i]);
    }
}

/* The process dies: jobs under way are lost from `durable` on; what was not completed was never
 * told. */
static void fake_crash(struct fake_node *fake, size_t durable)
{
    size_t i = 0;
    LIST_EACH(item, &fake->jobs)
    {
        struct fake_job *job = LIST_OWNER(item, struct fake_job, link);
        if (i++ < durable) {
            fake_disk_write(&fake->disk, job->job);
        }
    }
    raft_node_stop(fake->node);
    fake->node = NULL;
    fake->arm_at = -1;
    LIST_EACH(item, &fake->jobs)
    {
        struct fake_job *job = LIST_OWNER(item, struct fake_job, link);
        list_remove(item);
        job->done(job->arg);
        mem_free(job);
    }
}

static void fake_message_free(struct fake_message *message)
{
    list_remove(&message->link);
    buf_free(&message->bytes);
    mem_free(message);
}

static void fake_group_free(struct fake_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        if (group->nodes[i].node != NULL) {
            fake_crash(&group->nodes[i], 0);
        }
        fake_disk_free(&group->nodes[i].disk);
    }
    LIST_EACH(item, &group->messages)
    {
        fake_message_free(LIST_OWNER(item, struct fake_message, link));
    }
    mem_free(group);
}

/* --- running ---------------------------------------------------------------------------------- */

static bool fake_job_one(struct fake_node *fake)
{
    struct list *first = list_first(&fake->jobs);
    if (first == NULL) {
        return false;
    }
    struct fake_job *job = LIST_OWNER(first, struct fake_job, link);
    list_remove(first);
    fake_disk_write(&fake->disk, job->job);
    job->done(job->arg);
    mem_free(job);
    return true;
}

static bool fake_jobs_due(struct fake_group *group)
{
    bool any = false;
    for (size_t i = 0; i < group->count; i++) {
        struct fake_node *fake = &group->nodes[i];
        struct list *first = list_first(&fake->jobs);
        if (first != NULL && !fake->disk_stopped &&
            LIST_OWNER(first, struct fake_job, link)->at <= group->now) {
            any = fake_job_one(fake) || any;
        }
    }
    return any;
}

static void fake_deliver(struct fake_group *group, struct fake_message *message)
{
    struct fake_node *from = fake_find(group, message->from);
    struct fake_node *to = fake_find(group, message->to);
    bool cut = from == NULL || to == NULL || from->cut || to->cut || to->node == NULL;
    list_remove(&message->link);
    if (!cut) {
        raft_node_receive(to->node, message->from, buf_span(&message->bytes));
    }
    fake_message_free(message);
}

static bool fake_messages_due(struct fake_group *group)
{
    LIST_EACH(item, &group->messages)
    {
        struct fake_message *message = LIST_OWNER(item, struct fake_message, link);
        if (message->at <= group->now) {
            fake_deliver(group, message);
            return true;
        }
        if (group->snapshot_delay == 0) {
            return false; /* none overtakes another */
        }
    }
    return false;
}

static bool fake_timers_due(struct fake_group *group)
{
    bool any = false;
    for (size_t i = 0; i < group->count; i++) {
        struct fake_node *fake = &group->nodes[i];
        if (fake->node != NULL && fake->arm_at >= 0 && fake->arm_at <= group->now) {
            fake->arm_at = -1;
            fake->ticks++;
            raft_node_tick(fake->node);
            any = true;
        }
    }
    return any;
}

static void fake_run(struct fake_group *group, int64_t ms)
{
    int64_t end = group->now + ms;
    for (;;) {
        unsigned rounds = 0;
        while (fake_messages_due(group) || fake_jobs_due(group) || fake_timers_due(group)) {
            ASSERT(++rounds < 1000000); /* busy loop */
        }
        if (group->now >= end) {
            return;
        }
        group->now++;
    }
}

static struct fake_node *fake_leader(struct fake_group *group)
{
    struct fake_node *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct fake_node *fake = &group->nodes[i];
        struct raft_status status;
        if (fake->node == NULL || fake->cut) {
            continue;
        }
        raft_node_status(fake->node, &status);
        if (status.role == RAFT_ROLE_LEADER && status.term > term) {
            leader = fake;
            term = status.term;
        }
    }
    return leader;
}

/* NULL if there is none within `ms`. */
static __attribute__((unused)) struct fake_node *fake_elect(struct fake_group *group, int64_t ms)
{
    int64_t end = group->now + ms;
    while (group->now < end) {
        fake_run(group, 1);
        struct fake_node *leader = fake_leader(group);
        if (leader != NULL && node_own_term_committed(leader->node)) {
            return leader;
        }
    }
    return NULL;
}

/* All start, and one of them leads. */
static __attribute__((unused)) struct fake_node *fake_lead(struct fake_group *group)
{
    fake_start_all(group);
    struct fake_node *leader = fake_elect(group, 4 * FAKE_ET);
    assert_non_null(leader);
    return leader;
}

/* The leader of a new group. */
static __attribute__((unused)) struct fake_node *fake_group_led(size_t voters, uint64_t seed)
{
    return fake_lead(fake_group_new(voters, seed));
}

/* --- calls ------------------------------------------------------------------------------------ */

struct fake_call {
    unsigned times;
    int rc;
    bool has_result;
    struct store_result result;
};

static __attribute__((unused)) void fake_done(void *arg, int rc, const struct store_result *result)
{
    struct fake_call *call = arg;
    call->times++;
    call->rc = rc;
    call->has_result = result != NULL;
    if (result != NULL) {
        call->result = *result;
    }
}

static __attribute__((unused)) void fake_put(struct fake_node *fake, const char *key,
                                             const char *value, int64_t timeout_ms,
                                             unsigned attempts, struct fake_call *call)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    struct error err = {0};
    memset(call, 0, sizeof(*call));
    int rc = raft_node_propose(fake->node, &command, timeout_ms, attempts, fake_done, call, &err);
    if (rc != 0) {
        fail_msg("propose: %s", err.text);
    }
}

static __attribute__((unused)) void fake_put_many(struct fake_node *fake, unsigned count,
                                                  int64_t each_ms)
{
    for (unsigned i = 0; i < count; i++) {
        struct fake_call call;
        fake_put(fake, "a", "1", 1000, 0, &call);
        fake_run(fake->group, each_ms);
        assert_int_equal(call.rc, 0);
    }
}

static __attribute__((unused)) bool fake_has(const struct fake_node *fake, const char *key,
                                             const char *value)
{
    struct store_kv kv;
    return store_get(raft_node_store(fake->node), span_str(key), &kv) &&
           span_equal_str(kv.value, value);
}

/* All running nodes hold the same state. */
static __attribute__((unused)) void fake_check_equal(struct fake_group *group)
{
    struct buf first = BUF_INIT;
    struct buf other = BUF_INIT;
    uint64_t applied = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct raft_node *node = group->nodes[i].node;
        if (node == NULL) {
            continue;
        }
        buf_clear(&other);
        store_snapshot(raft_node_store(node), &other);
        if (applied == 0) {
            buf_put_span(&first, buf_span(&other));
            applied = store_applied(raft_node_store(node));
        }
        assert_int_equal(applied, store_applied(raft_node_store(node)));
        assert_true(span_equal(buf_span(&first), buf_span(&other)));
    }
    buf_free(&first);
    buf_free(&other);
}

#endif
