/* Models for test_world.c: store, instance and fence of three members, in ticks of 10 ms, on seeded
 * dice. One store that everybody sees (the Raft group has tests of its own); requests are applied
 * late, answered late, or never. */
#ifndef TESTS_AGENT_HA_WORLD_H
#define TESTS_AGENT_HA_WORLD_H

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_lease.h"
#include "agent/ha/ha_plan.h"
#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES        3
#define TICK_MS      10
#define TTL_MS       3000
#define ELECTION_MS  500
#define KEYS_MAX     32
#define VALUE_BYTES  512
#define SEGMENTS_MAX 256
#define SYSTEM_ID    "7000000000000000001"

/* --- dice ------------------------------------------------------------------------------------- */

static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)(dice_state % sides);
}

static bool once_in(unsigned ticks)
{
    return dice(ticks) == 0;
}

/* --- the store -------------------------------------------------------------------------------- */

struct key {
    char name[64];
    char value[VALUE_BYTES];
    int64_t create;
    int64_t mod;
    int64_t ends_ms; /* member keys and the leader key; 0 = never */
};

struct store {
    struct key keys[KEYS_MAX];
    size_t count;
    int64_t revision;
    bool down;
};

static struct store store;
static int64_t now_ms;
static uint64_t world_seed;
static bool verbose;
static bool calm;          /* no request is slow */
static bool without_fence; /* the checker has to see what then happens */

static struct key *key_find(struct store *in, const char *name)
{
    for (size_t i = 0; i < in->count; i++) {
        if (strcmp(in->keys[i].name, name) == 0) {
            return &in->keys[i];
        }
    }
    return NULL;
}

static int64_t key_mod(const char *name)
{
    const struct key *key = key_find(&store, name);
    return key == NULL ? 0 : key->mod;
}

static struct key *key_put(const char *name, const char *value)
{
    struct key *key = key_find(&store, name);
    store.revision++;
    if (key == NULL) {
        assert_true(store.count < KEYS_MAX);
        key = &store.keys[store.count++];
        memset(key, 0, sizeof *key);
        (void)snprintf(key->name, sizeof key->name, "%s", name);
        key->create = store.revision;
    }
    (void)snprintf(key->value, sizeof key->value, "%s", value);
    key->mod = store.revision;
    return key;
}

static void key_delete(const char *name)
{
    struct key *key = key_find(&store, name);
    if (key != NULL) {
        *key = store.keys[--store.count];
        store.revision++;
    }
}

/* --- members ---------------------------------------------------------------------------------- */

struct wal { /* timelines by the position at which they begin, and how far it goes */
    struct segment {
        uint32_t timeline;
        uint64_t start;
    } segments[SEGMENTS_MAX];
    size_t count;
    uint64_t lsn;
};

enum op { OP_PUT, OP_ACQUIRE, OP_RENEW, OP_RELEASE, OP_WITHDRAW };

struct request {
    bool used;
    enum op op;
    int64_t apply_ms;
    int64_t answer_ms;
    int64_t sent_ms;
    bool lost;  /* the answer */
    bool never; /* is not applied at all */
    bool applied;
    int rc;
    int64_t revision; /* result */
    char key[64];
    char value[VALUE_BYTES];
    int64_t compare;
    int64_t epoch;
    struct ha_acquire acquire;
    uint64_t number;
};

#define REQUESTS_MAX 64

struct node {
    char name[HA_NAME_BYTES];
    /* host */
    bool host_up;
    int64_t host_back_ms;
    bool cut; /* from the store */
    int64_t cut_until_ms;
    /* agent */
    bool agent_up;
    int64_t agent_back_ms;
    int64_t hangs_until_ms;
    struct ha_lease lease;
    bool acquiring;
    struct ha_snapshot snapshot; /* the facts that the agent keeps, and the last snapshot */
    struct ha_plan plan;
    size_t action;
    bool executing;
    int waits_for; /* request that the plan waits for, -1 */
    int64_t plan_again_ms;
    struct store view;
    struct store old_view; /* of some time ago: what a restarted agent's store begins with */
    bool has_view;
    const char *last_rule;
    /* page */
    struct ha_lease_page page;
    bool page_over;
    bool page_fired;
    /* instance */
    enum pg_dir_kind directory;
    enum pg_unfinished unfinished;
    struct wal wal;
    enum ha_run run;
    enum pg_role role;
    bool standby_signal;
    bool backup_label;
    bool clean;
    int64_t promoted_ms; /* a promotion is under way, and done then; 0 = none was sent */
    bool promote_sent;   /* by this run of the agent, to this postmaster */
    int64_t ready_ms;    /* starting, stopping, job: until then */
    int upstream;        /* -1 = detached */
    uint32_t promotes_to;
    int job_peer;
};

static struct node nodes[NODES];
static struct request requests[REQUESTS_MAX];
static uint32_t timeline_highest;

static int node_of(const char *name)
{
    for (int i = 0; i < NODES; i++) {
        if (strcmp(nodes[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_writable(const struct node *node)
{
    return node->run == HA_RUN_RUNNING && node->role == PG_PRIMARY;
}

static uint32_t timeline(const struct wal *wal)
{
    return wal->count == 0 ? 0 : wal->segments[wal->count - 1].timeline;
}

/* Is the WAL of `a` a prefix of that of `b`? */
static bool is_prefix(const struct wal *a, const struct wal *b)
{
    if (a->lsn > b->lsn || a->count > b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->segments[i].timeline != b->segments[i].timeline ||
            a->segments[i].start != b->segments[i].start) {
            return false;
        }
    }
    return a->count == b->count || a->lsn <= b->segments[a->count].start;
}

/* --- requests to the store -------------------------------------------------------------------- */

static int send_request(struct node *node, enum op op)
{
    for (int i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &requests[i];
        if (!request->used) {
            *request =
                (struct request){.used = true, .op = op, .sent_ms = now_ms, .never = node->cut};
            request->apply_ms = now_ms + TICK_MS * dice(4);
            request->answer_ms = request->apply_ms + TICK_MS * dice(4);
            if (!calm && once_in(20)) { /* slow: overtaken by later ones */
                request->apply_ms += TICK_MS * dice(100);
                request->answer_ms = request->apply_ms + TICK_MS * dice(100);
            }
            return i;
        }
    }
    fail_msg("too many requests");
    return -1;
}

static int request_owner[REQUESTS_MAX];

static int put(struct node *node, const char *key, const char *value, int64_t compare)
{
    int i = send_request(node, OP_PUT);
    (void)snprintf(requests[i].key, sizeof requests[i].key, "%s", key);
    (void)snprintf(requests[i].value, sizeof requests[i].value, "%s", value);
    requests[i].compare = compare;
    request_owner[i] = (int)(node - nodes);
    return i;
}

static int apply_acquire(struct request *request, const struct node *node)
{
    const struct ha_acquire *a = &request->acquire;
    if (key_find(&store, "leader") != NULL || key_mod("epoch") != a->epoch_revision ||
        key_mod("config") != a->config_revision || key_mod("sync") != a->sync_revision) {
        return ERR_CONFLICT;
    }
    for (size_t i = 0; i < a->report_count; i++) {
        char name[HA_NAME_BYTES + 16];
        (void)snprintf(name, sizeof name, "reports/%s", a->reports[i].member);
        if (key_mod(name) != a->reports[i].revision) {
            return ERR_CONFLICT;
        }
    }
    struct buf value = BUF_INIT;
    ha_epoch_value(node->name, NULL, a->timeline, &value);
    struct key *leader = key_put("leader", node->name);
    leader->ends_ms = now_ms + TTL_MS;
    key_put("epoch", buf_str(&value))->mod = leader->mod; /* one transaction, one revision */
    store.revision = leader->mod;
    request->revision = leader->mod;
    buf_free(&value);
    return 0;
}

static int apply(struct request *request, const struct node *node)
{
    struct key *leader = key_find(&store, "leader");
    bool ours = leader != NULL && strcmp(leader->value, node->name) == 0 &&
                leader->create == request->epoch;
    switch (request->op) {
    case OP_PUT:
        if (request->compare >= 0 && key_mod(request->key) != request->compare) {
            return ERR_CONFLICT;
        }
        (void)key_put(request->key, request->value);
        return 0;
    case OP_ACQUIRE: return apply_acquire(request, node);
    case OP_RENEW:
        if (!ours) {
            return ERR_NOT_FOUND;
        }
        leader->ends_ms = now_ms + TTL_MS;
        return 0;
    case OP_RELEASE:
        if (!ours) {
            return ERR_CONFLICT;
        }
        key_delete("leader");
        if (request->value[0] != '\0') {
            (void)key_put("status", request->value);
        }
        return 0;
    case OP_WITHDRAW:
        if (key_mod(request->key) != request->compare || leader == NULL ||
            leader->create != request->epoch) {
            return ERR_CONFLICT;
        }
        (void)key_put(request->key, "none");
        return 0;
    }
    return ERR_BUG;
}

static void answered(struct node *node, int i)
{
    struct request *request = &requests[i];
    int rc = request->applied ? request->rc : ERR_UNKNOWN;
    if (request->op == OP_RENEW) {
        (void)ha_lease_answered(&node->lease, request->number, rc, now_ms);
        if (node->page.epoch.revision == node->lease.epoch.revision && node->lease.held &&
            !node->page_over && node->page.deadline_ms != 0) {
            (void)ha_lease_page(&node->lease, &node->page);
        }
    }
    if (request->op == OP_ACQUIRE) {
        node->acquiring = false;
        if (rc == 0) {
            (void)ha_lease_acquired(&node->lease, (struct ha_epoch){1, request->revision},
                                    request->sent_ms, TTL_MS, now_ms);
        }
    }
    if (request->op == OP_RELEASE && (rc == 0 || rc == ERR_CONFLICT)) {
        ha_lease_drop(&node->lease);
    }
    if (request->op == OP_WITHDRAW && rc == 0) {
        node->snapshot.self.withdrawn_epoch = (struct ha_epoch){1, request->epoch};
    }
    if (node->executing && node->waits_for == i) {
        node->waits_for = -1;
        if (rc == 0) {
            node->action++;
        } else {
            node->executing = false;
            node->plan_again_ms = now_ms + 100;
        }
    }
}

static void store_tick(void)
{
    if (store.down) {
        return;
    }
    for (size_t i = store.count; i-- > 0;) {
        if (store.keys[i].ends_ms != 0 && store.keys[i].ends_ms <= now_ms) {
            key_delete(store.keys[i].name);
        }
    }
    for (int i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &requests[i];
        struct node *node = &nodes[request_owner[i]];
        if (!request->used) {
            continue;
        }
        if (!request->applied && !request->never && request->apply_ms <= now_ms) {
            request->rc = apply(request, node);
            request->applied = true;
        }
    }
}

static void answers_tick(void)
{
    for (int i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &requests[i];
        struct node *node = &nodes[request_owner[i]];
        bool timed_out = now_ms >= request->sent_ms + 1000;
        bool answer = request->applied && request->answer_ms <= now_ms && !node->cut;
        if (!request->used || request->lost || !(timed_out || answer)) {
            if (request->used && request->lost &&
                (request->applied || now_ms > request->sent_ms + 5000)) {
                request->used =
                    false; /* nobody waits; what was sent was applied, or never will be */
            }
            continue;
        }
        bool late = timed_out && !answer && !request->applied && !request->never;
        bool known = request->applied;
        request->applied = answer;
        answered(node, i);
        request->applied = known;
        if (late) {
            request->lost = true; /* stays under way: it may be applied at any later time */
        } else {
            request->used = false;
        }
    }
}

/* --- instance --------------------------------------------------------------------------------- */

static void instance_died(struct node *node, enum ha_run run)
{
    struct ha_self *self = &node->snapshot.self;
    node->run = run;
    node->role = PG_ROLE_UNKNOWN;
    node->promoted_ms = 0;
    node->promote_sent = false;
    if (run == HA_RUN_CRASHED && self->crash_since_mono_ms == HA_NEVER) {
        self->crash_since_mono_ms = now_ms;
    }
    if (node->snapshot.job.running) {
        node->snapshot.job.running = false;
        node->snapshot.job.failed = true;
        node->snapshot.job.failures++;
        node->snapshot.job.ended_mono_ms = now_ms;
        if (node->snapshot.job.kind == HA_JOB_PROMOTE) {
            self->promote_failed_mono_ms = now_ms;
        }
    }
}

static void start(struct node *node, bool primary, int upstream)
{
    node->run = HA_RUN_STARTING;
    node->role = primary ? PG_PRIMARY : PG_STANDBY;
    node->standby_signal = !primary;
    node->upstream = upstream;
    node->promoted_ms = 0;
    node->promote_sent = false;
    node->ready_ms = now_ms + 100 + TICK_MS * dice(30);
}

static void wal_switch(struct node *node, uint32_t to)
{
    assert_true(node->wal.count < SEGMENTS_MAX);
    assert_true(to > timeline_highest); /* I6 */
    timeline_highest = to;
    node->wal.segments[node->wal.count++] = (struct segment){to, node->wal.lsn};
}

static void job_done(struct node *node, bool ok)
{
    struct ha_job *job = &node->snapshot.job;
    job->running = false;
    job->failed = !ok;
    job->failures = ok ? 0 : job->failures + 1;
    job->ended_mono_ms = now_ms;
}

static void finish_check(struct node *node, const struct node *peer)
{
    struct ha_rejoin *rejoin = &node->snapshot.self.rejoin;
    rejoin->checked_mono_ms = now_ms;
    bool ok = peer->host_up && is_writable(peer);
    if (ok) {
        struct wal ours = node->wal;
        bool fits = is_prefix(&ours, &peer->wal) || (timeline(&ours) == timeline(&peer->wal));
        rejoin->divergence = fits ? HA_DIVERGENCE_NONE : HA_DIVERGENCE_REWIND;
    }
    job_done(node, ok);
}

static void promoted(struct node *node)
{
    if (node->role == PG_STANDBY) {
        wal_switch(node, node->promotes_to);
        node->role = PG_PRIMARY;
        node->standby_signal = false;
    }
    node->promoted_ms = 0;
}

static void finish_job(struct node *node)
{
    struct ha_job *job = &node->snapshot.job;
    struct node *peer = node->job_peer >= 0 ? &nodes[node->job_peer] : NULL;
    bool peer_serves = peer != NULL && peer->host_up && peer->run == HA_RUN_RUNNING;
    switch (job->kind) {
    case HA_JOB_BOOTSTRAP:
        node->directory = PG_DIR_VALID;
        node->wal = (struct wal){.count = 1, .lsn = 0x1000000};
        node->wal.segments[0] = (struct segment){1, 0};
        timeline_highest = timeline_highest == 0 ? 1 : timeline_highest;
        node->run = HA_RUN_RUNNING;
        node->role = PG_PRIMARY;
        node->standby_signal = false;
        job_done(node, true);
        break;
    case HA_JOB_CLONE:
        if (peer_serves) {
            node->wal = peer->wal;
            node->directory = PG_DIR_VALID;
            node->backup_label = true;
            node->clean = false;
            node->standby_signal = false;
            node->snapshot.self.rejoin = (struct ha_rejoin){.checked_mono_ms = HA_NEVER};
        }
        job_done(node, peer_serves);
        break;
    case HA_JOB_PROMOTE:
        promoted(node);
        job_done(node, true);
        break;
    case HA_JOB_REWIND:
        peer_serves = peer_serves && peer->role == PG_PRIMARY;
        if (peer_serves) {
            node->wal = peer->wal;
            node->directory = PG_DIR_VALID;
            node->backup_label = true;
        }
        node->snapshot.self.rejoin.rewind = peer_serves ? HA_REWIND_DONE : HA_REWIND_FAILED;
        job_done(node, peer_serves);
        break;
    case HA_JOB_CHECK_DIVERGENCE: finish_check(node, peer); break;
    case HA_JOB_REMOVE_DATA:
        node->directory = PG_DIR_EMPTY;
        node->wal = (struct wal){0};
        node->snapshot.self.rejoin = (struct ha_rejoin){.checked_mono_ms = HA_NEVER};
        job_done(node, true);
        break;
    case HA_JOB_NONE: break;
    }
}

static void stream(struct node *node)
{
    if (node->run != HA_RUN_RUNNING || node->role != PG_STANDBY || node->upstream < 0 ||
        node->promoted_ms != 0) {
        return;
    }
    const struct node *from = &nodes[node->upstream];
    if (from->host_up && (from->run == HA_RUN_RUNNING || from->run == HA_RUN_STOPPING) &&
        is_prefix(&node->wal, &from->wal)) {
        node->wal = from->wal;
    }
}

static void instance_tick(struct node *node)
{
    if (!node->host_up) {
        return;
    }
    if (node->run == HA_RUN_STARTING && now_ms >= node->ready_ms) {
        node->run = HA_RUN_RUNNING;
        node->backup_label = false;
        node->snapshot.self.crash_since_mono_ms = HA_NEVER;
    } else if (node->run == HA_RUN_STOPPING && now_ms >= node->ready_ms) {
        node->clean = true;
        /* The walsenders send all before the end to those who are connected. */
        for (int i = 0; i < NODES; i++) {
            if (nodes[i].upstream == (int)(node - nodes)) {
                stream(&nodes[i]);
            }
        }
        instance_died(node, HA_RUN_STOPPED);
    }
    if (node->promoted_ms != 0 && now_ms >= node->promoted_ms) {
        promoted(node); /* whatever has become of the agent that had asked for it */
    }
    if (is_writable(node)) {
        node->wal.lsn += 1 + dice(1000);
        node->clean = false;
    }
    if (!once_in(8)) {
        stream(node);
    }
    if (node->agent_up && node->snapshot.job.running && now_ms >= node->ready_ms) {
        finish_job(node);
    }
}

static bool page_armed(const struct node *node)
{
    return node->page.epoch.revision != 0 && !node->page_over;
}

static void fence_tick(struct node *node)
{
    if (!node->host_up || !page_armed(node) || without_fence) {
        return;
    }
    if (now_ms >= node->page.deadline_ms) {
        node->page_fired = true;
        ha_lease_fired(&node->lease, node->page.epoch);
        if (node->run != HA_RUN_STOPPED && node->run != HA_RUN_CRASHED) {
            instance_died(node, HA_RUN_CRASHED);
            node->clean = false;
        }
    } else if (now_ms >= node->page.soft_ms && !node->page_fired) {
        node->page_fired = true;
        ha_lease_fired(&node->lease, node->page.epoch);
        if (node->run == HA_RUN_RUNNING || node->run == HA_RUN_STARTING) {
            node->run = HA_RUN_STOPPING;
            node->ready_ms = now_ms + TICK_MS * dice(60);
        }
    }
}

#endif
