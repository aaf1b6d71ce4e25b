/* The rules among themselves: three members, a store, instances and fences as small models in ticks
 * of 10 ms, seeded. First a phase of faults in which there is never more than one writer and no
 * timeline is made twice; then everything is healed, and one primary with two streaming standbys
 * has to come of it. (tests/sim does this with the shipping loop, store and engine; here a rule
 * that hangs shows in a second.)
 *
 * WORLD_SEED=n runs one seed and prints every change of rule; WORLD_SEEDS=n runs that many. */
#include "tests/unit/agent_ha/world.h"

#define FAULT_TICKS 6000 /* a minute of faults ... */
#define HEAL_TICKS  6000 /* ... and at most a minute until all is well */

/* --- the agent -------------------------------------------------------------------------------- */

static void agent_started(struct node *node)
{
    node->agent_up = true;
    ha_lease_init(&node->lease);
    ha_snapshot_init(&node->snapshot);
    (void)strcpy(node->snapshot.self.name, node->name);
    node->promote_sent = false; /* as far as it knows */
    node->acquiring = false;
    node->executing = false;
    node->waits_for = -1;
    node->view = node->old_view;
    node->has_view = node->view.revision > 0;
    node->last_rule = "";
    node->plan_again_ms = 0;
}

static void agent_died(struct node *node)
{
    node->agent_up = false;
    node->agent_back_ms = now_ms + TICK_MS * dice(500);
    /* Its jobs die with it (a promotion that was sent goes on); what it sent may still be applied.
     */
    if (node->snapshot.job.running) {
        if (node->snapshot.job.kind == HA_JOB_BOOTSTRAP) {
            node->directory = PG_DIR_UNFINISHED;
            node->unfinished = PG_UNFINISHED_BOOTSTRAP;
        } else if (node->snapshot.job.kind == HA_JOB_REWIND) {
            node->directory = PG_DIR_UNFINISHED;
            node->unfinished = PG_UNFINISHED_REWIND;
        }
        node->snapshot.job.running = false;
    }
    for (int i = 0; i < REQUESTS_MAX; i++) {
        if (requests[i].used && request_owner[i] == (int)(node - nodes)) {
            requests[i].lost = true;
        }
    }
}

static unsigned world_count; /* of how many worlds this is: revisions begin anew in each */

/* What the keys of a revision mean: read once, because most of the time of this test went there. */
static const struct ha_cluster *cluster_of(const struct store *view)
{
    static struct ha_cluster cluster;
    static unsigned world;
    struct ha_kv kvs[KEYS_MAX];
    if (cluster.known && cluster.revision == view->revision && world == world_count) {
        return &cluster;
    }
    for (size_t i = 0; i < view->count; i++) {
        const struct key *key = &view->keys[i];
        kvs[i] = (struct ha_kv){key->name, key->value, key->create, key->mod};
    }
    assert_int_equal(ha_cluster_read(1, view->revision, kvs, view->count, &cluster), 0);
    world = world_count;
    return &cluster;
}

static void fill_cluster(struct node *node)
{
    struct ha_cluster *cluster = &node->snapshot.cluster;
    if (!cluster->known || cluster->revision != node->view.revision) {
        *cluster = *cluster_of(&node->view);
    }
    if (node->snapshot.cluster.leader[0] != '\0') {
        node->snapshot.unlocked_since_mono_ms = HA_NEVER;
    } else if (node->snapshot.unlocked_since_mono_ms == HA_NEVER) {
        node->snapshot.unlocked_since_mono_ms = now_ms;
    }
}

static void fill_self(struct node *node, struct ha_self *self)
{
    self->directory_known = true;
    self->directory = node->directory;
    self->unfinished = node->directory == PG_DIR_UNFINISHED ? node->unfinished : PG_UNFINISHED_NONE;
    (void)strcpy(self->system_id, node->directory == PG_DIR_VALID ? SYSTEM_ID : "");
    self->run = node->run;
    self->role = node->role;
    self->standby_signal = node->standby_signal;
    self->backup_label = node->backup_label;
    self->control_state = node->standby_signal ? PG_CONTROL_IN_ARCHIVE_RECOVERY
                          : node->clean        ? PG_CONTROL_SHUT_DOWN
                                               : PG_CONTROL_IN_PRODUCTION;
    self->timeline = timeline(&node->wal);
    self->control_timeline = timeline(&node->wal);
    self->checkpoint_timeline = timeline(&node->wal);
    self->lsn = node->wal.lsn;
    self->shutdown_lsn = node->clean && !node->standby_signal ? node->wal.lsn : 0;
    self->position_known = true;
    self->probe_fresh = true;
    self->promote_sent = node->promote_sent;
    self->upstream.service_in_force = true;
    self->upstream.streaming = node->upstream >= 0 &&
                               is_prefix(&node->wal, &nodes[node->upstream].wal) &&
                               nodes[node->upstream].run == HA_RUN_RUNNING;
    if (self->upstream.streaming) {
        self->upstream.streaming_lost_mono_ms = HA_NEVER;
    } else if (self->upstream.streaming_lost_mono_ms == HA_NEVER) {
        self->upstream.streaming_lost_mono_ms = now_ms;
    }
    self->replica_count = 0;
    for (int i = 0; i < NODES; i++) {
        const struct node *other = &nodes[i];
        if (other->run == HA_RUN_RUNNING && other->upstream == (int)(node - nodes) &&
            is_prefix(&other->wal, &node->wal)) {
            struct ha_replica *replica = &self->replicas[self->replica_count++];
            (void)strcpy(replica->name, other->name);
            replica->lsn = other->wal.lsn;
        }
    }
}

static void observe(struct node *node)
{
    struct ha_snapshot *s = &node->snapshot;
    s->now_mono_ms = now_ms;
    s->now_lease_ms = now_ms;
    s->now_wall_ms = now_ms;
    s->settings.ttl_ms = TTL_MS;
    s->settings.loop_wait_ms = 1000;
    s->settings.retry_timeout_ms = 1000;
    s->settings.election_timeout_ms = ELECTION_MS;
    s->settings.maximum_lag_bytes = INT64_MAX;
    s->settings.rewind_possible = node != &nodes[2]; /* that one has to copy */
    s->settings.remove_on_diverged = true;
    s->settings.may_bootstrap = true;
    if (node->has_view) {
        fill_cluster(node);
    }
    fill_self(node, &s->self);
    s->fence.connected = true;
    s->fence.page_epoch = node->page.epoch;
    s->fence.armed = page_armed(node);
    s->fence.over = node->page_over;
    s->fence.fired = node->page_fired;
    s->fence.all_gone = node->run == HA_RUN_STOPPED || node->run == HA_RUN_CRASHED;
    ha_lease_holding(&node->lease, node->acquiring, &s->holding);
    s->peer_count = 0;
    for (int i = 0; i < NODES; i++) {
        if (&nodes[i] == node) {
            continue;
        }
        struct ha_peer *peer = NULL;
        for (size_t j = 0; j < HA_MEMBERS_MAX && peer == NULL; j++) {
            if (strcmp(s->peers[j].name, nodes[i].name) == 0 || s->peers[j].name[0] == '\0') {
                peer = &s->peers[j];
            }
        }
        (void)strcpy(peer->name, nodes[i].name);
        if (nodes[i].agent_up && nodes[i].host_up && !nodes[i].cut && !node->cut) {
            peer->heard_mono_ms = now_ms;
        }
        s->peer_count++;
    }
}

static void set_upstream(struct node *node, const struct ha_action *action)
{
    struct ha_upstream *upstream = &node->snapshot.self.upstream;
    const struct ha_member *member = ha_cluster_member(&node->snapshot.cluster, action->member);
    *upstream = (struct ha_upstream){.known = true,
                                     .detached = action->member[0] == '\0',
                                     .epoch = action->epoch,
                                     .service_in_force = true,
                                     .streaming_lost_mono_ms = now_ms};
    (void)snprintf(upstream->name, sizeof upstream->name, "%s", action->member);
    if (member != NULL) {
        memcpy(upstream->conn_url, member->conn_url, sizeof upstream->conn_url);
    }
    node->upstream = node_of(action->member);
}

static void begin_job(struct node *node, enum ha_job_kind kind, const char *peer, unsigned ticks)
{
    struct ha_job *job = &node->snapshot.job;
    assert_false(job->running);
    *job = (struct ha_job){.kind = kind,
                           .running = true,
                           .failures = job->kind == kind ? job->failures : 0,
                           .since_mono_ms = now_ms,
                           .ended_mono_ms = HA_NEVER};
    node->job_peer = node_of(peer);
    node->ready_ms = now_ms + TICK_MS * (1 + dice(ticks));
}

static void stop(struct node *node, bool fast)
{
    if (node->snapshot.job.running) {
        job_done(node, false);
    }
    if (node->run == HA_RUN_STOPPED || node->run == HA_RUN_CRASHED) {
        return;
    }
    if (fast) {
        node->run = HA_RUN_STOPPING;
        node->ready_ms = now_ms + TICK_MS * dice(50);
    } else {
        instance_died(node, HA_RUN_STOPPED);
        node->clean = false;
    }
}

/* Actions on the store. Returns the request to wait for; -1 = none. */
static int execute_store(struct node *node, const struct ha_action *action)
{
    char key[HA_NAME_BYTES + 16];
    char value[VALUE_BYTES] = "";
    struct buf text = BUF_INIT;
    int i = -1;
    (void)snprintf(key, sizeof key, "reports/%s", node->name);
    switch (action->type) {
    case HA_WRITE_INITIALIZE: return put(node, "initialize", action->text, action->revision);
    case HA_WRITE_CONFIG: return put(node, "config", "{\"ttl\":3}", action->revision);
    case HA_CLEAR_FAILOVER: return put(node, "failover", "{}", action->revision);
    case HA_WRITE_HISTORY:
        (void)snprintf(value, sizeof value, "[[%" PRIu32 ",1,\"x\",\"t\",\"n\"]]",
                       action->timeline - 1);
        return put(node, "history", action->timeline == 1 ? "[]" : value, action->revision);
    case HA_WRITE_STATUS:
        (void)snprintf(value, sizeof value, "{\"optime\":%" PRIu64 "}", action->lsn);
        if (now_ms % 200 == 0) {
            requests[put(node, "status", value, -1)].lost = true;
        }
        return -1;
    case HA_WRITE_REPORT:
        ha_report_value(&(struct ha_report){.epoch = action->epoch,
                                            .timeline = action->timeline,
                                            .lsn = action->lsn,
                                            .yields = action->yields,
                                            .system_id = SYSTEM_ID},
                        &text);
        i = put(node, key, buf_str(&text), action->revision);
        buf_free(&text);
        return i;
    case HA_WITHDRAW_REPORT:
        i = send_request(node, OP_WITHDRAW);
        (void)snprintf(requests[i].key, sizeof requests[i].key, "%s", key);
        requests[i].compare = action->revision;
        requests[i].epoch = action->epoch.revision;
        break;
    case HA_ACQUIRE:
        i = send_request(node, OP_ACQUIRE);
        requests[i].acquire = node->plan.acquire;
        node->acquiring = true;
        break;
    case HA_RELEASE:
        ha_lease_fired(&node->lease, action->epoch);
        i = send_request(node, OP_RELEASE);
        requests[i].epoch = action->epoch.revision;
        if (action->lsn != 0) {
            (void)snprintf(requests[i].value, VALUE_BYTES, "{\"optime\":%" PRIu64 "}", action->lsn);
        }
        break;
    default: fail_msg("action %s is not modelled", ha_action_name(action->type));
    }
    request_owner[i] = (int)(node - nodes);
    return i;
}

static bool execute_page(struct node *node, const struct ha_action *action)
{
    switch (action->type) {
    case HA_ARM:
        if (!ha_lease_valid(&node->lease, now_ms) || !ha_lease_page(&node->lease, &node->page)) {
            node->executing = false;
        } else {
            node->page_over = false;
            node->page_fired = false;
        }
        return true;
    case HA_DISARM:
        node->page = (struct ha_lease_page){0};
        node->page_over = false;
        node->page_fired = false;
        return true;
    case HA_ABANDON: stop(node, false); /* fallthrough */
    case HA_FENCE_OVER:
        node->page_over = true;
        ha_lease_fired(&node->lease, action->epoch);
        return true;
    case HA_RESUME: {
        bool page = page_armed(node) && ha_epoch_equal(node->page.epoch, action->epoch);
        (void)ha_lease_resume(&node->lease, action->epoch, page ? node->page.soft_ms : 0,
                              page ? node->page.deadline_ms : 0, page ? node->page.watchdog_ms : 0,
                              now_ms);
        return true;
    }
    default: return false;
    }
}

static bool may_write(const struct node *node)
{
    return page_armed(node) && !node->page_fired &&
           ha_epoch_equal(node->page.epoch, node->lease.epoch) &&
           ha_lease_valid(&node->lease, now_ms);
}

/* One that an earlier run has sent may have got so far that PostgreSQL has the history file of the
 * new timeline: then this one is refused. */
static void promote(struct node *node, uint32_t to)
{
    begin_job(node, HA_JOB_PROMOTE, "", 30);
    if (node->promoted_ms != 0 && once_in(2)) {
        job_done(node, false);
        node->snapshot.self.promote_failed_mono_ms = now_ms;
        return;
    }
    node->promotes_to = to;
    node->promote_sent = true;
    node->promoted_ms = node->promoted_ms != 0 ? node->promoted_ms : node->ready_ms;
    node->ready_ms = node->promoted_ms;
}

static bool execute_instance(struct node *node, const struct ha_action *action)
{
    struct ha_rejoin *rejoin = &node->snapshot.self.rejoin;
    switch (action->type) {
    case HA_BOOTSTRAP: begin_job(node, HA_JOB_BOOTSTRAP, "", 100); return true;
    case HA_CLONE: begin_job(node, HA_JOB_CLONE, action->member, 200); return true;
    case HA_START_PRIMARY:
        if (may_write(node)) {
            start(node, true, -1);
        }
        return true;
    case HA_START_STANDBY:
        assert_true(node->page.epoch.revision == 0);
        set_upstream(node, action);
        start(node, false, node->upstream);
        return true;
    case HA_STOP_FAST: stop(node, true); return true;
    case HA_STOP_IMMEDIATE:
    case HA_KILL: stop(node, false); return true;
    case HA_DETACH:
    case HA_FOLLOW: set_upstream(node, action); return true;
    case HA_PROMOTE:
        if (may_write(node)) {
            promote(node, action->timeline);
        } else {
            node->snapshot.self.promote_failed_mono_ms = now_ms;
        }
        return true;
    case HA_CHECK_DIVERGENCE:
        *rejoin = (struct ha_rejoin){.epoch = action->epoch, .checked_mono_ms = HA_NEVER};
        begin_job(node, HA_JOB_CHECK_DIVERGENCE, action->member, 20);
        return true;
    case HA_REWIND: begin_job(node, HA_JOB_REWIND, action->member, 100); return true;
    case HA_REMOVE_DATA:
    case HA_MOVE_ASIDE: begin_job(node, HA_JOB_REMOVE_DATA, action->member, 20); return true;
    case HA_WAIT:
    case HA_CHECKPOINT:
    case HA_SYNC_SLOTS: return true;
    default: return false;
    }
}

static void execute(struct node *node)
{
    while (node->executing && node->waits_for < 0) {
        if (node->action == node->plan.action_count) {
            node->executing = false;
            return;
        }
        const struct ha_action *action = &node->plan.actions[node->action];
        if (!execute_page(node, action) && !execute_instance(node, action)) {
            node->waits_for = execute_store(node, action);
            if (node->waits_for >= 0) {
                return;
            }
        }
        node->action++;
    }
}

static void publish(struct node *node)
{
    char name[HA_NAME_BYTES + 16];
    char value[VALUE_BYTES];
    if (node->cut || store.down || now_ms % 100 != 0) {
        return;
    }
    (void)snprintf(name, sizeof name, "members/%s", node->name);
    (void)snprintf(value, sizeof value,
                   "{\"conn_url\":\"postgres://%s:5432/postgres\",\"api_url\":\"http://"
                   "%s\",\"state\":\"%s\",\"role\":\"%s\","
                   "\"timeline\":%" PRIu32 ",\"xlog_location\":%" PRIu64 "}",
                   node->name, node->name, ha_state_name(&node->snapshot),
                   ha_role_name(&node->snapshot), timeline(&node->wal), node->wal.lsn);
    key_put(name, value)->ends_ms = now_ms + TTL_MS;
}

static void agent_tick(struct node *node)
{
    if (!node->host_up || !node->agent_up || now_ms < node->hangs_until_ms) {
        return;
    }
    if (!node->cut && !store.down && !once_in(4)) {
        if (node->view.revision != store.revision) {
            node->view = store;
        }
        node->has_view = true;
        if (once_in(500)) {
            node->old_view = store;
        }
    }
    if (ha_lease_due(&node->lease, now_ms)) {
        int i = send_request(node, OP_RENEW);
        request_owner[i] = (int)(node - nodes);
        requests[i].epoch = node->lease.epoch.revision;
        requests[i].number = ha_lease_sent(&node->lease, TTL_MS, 1000, now_ms);
    }
    if (!node->executing && now_ms >= node->plan_again_ms) {
        observe(node);
        ha_decide(&node->snapshot, &node->plan);
        if (verbose && strcmp(node->last_rule, node->plan.rule) != 0) {
            printf("%7.2f %s %s/%s: %s\n", (double)now_ms / 1000, node->name, node->plan.situation,
                   node->plan.rule, node->plan.reason);
        }
        node->last_rule = node->plan.rule;
        node->executing = true;
        node->action = 0;
        publish(node);
    }
    execute(node);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void host_crash(struct node *node)
{
    agent_died(node);
    instance_died(node, HA_RUN_STOPPED);
    node->host_up = false;
    node->host_back_ms = now_ms + TICK_MS * dice(1000);
    node->page = (struct ha_lease_page){0};
    node->page_over = false;
    node->page_fired = false;
    node->clean = false;
}

static void say(const struct node *node, const char *what)
{
    if (verbose) {
        printf("%7.2f %s *** %s\n", (double)now_ms / 1000, node->name, what);
    }
}

static void ask_failover(const struct node *node)
{
    char value[VALUE_BYTES];
    const struct key *leader = key_find(&store, "leader");
    if (leader == NULL) {
        return;
    }
    if (once_in(2)) {
        (void)snprintf(value, sizeof value, "{\"leader\":\"%s\",\"member\":\"%s\"}", leader->value,
                       node->name);
    } else {
        (void)snprintf(value, sizeof value,
                       once_in(2) ? "{\"member\":\"%s\"}" : "{\"leader\":\"%s\"}",
                       once_in(2) ? node->name : leader->value);
    }
    (void)key_put("failover", value);
    say(node, value);
}

static void faults_tick(void)
{
    struct node *node = &nodes[dice(NODES)];
    if (once_in(1200)) {
        say(node, "host crash");
        host_crash(node);
    } else if (once_in(800) && node->agent_up) {
        say(node, "agent killed");
        agent_died(node);
    } else if (once_in(800) && (node->run == HA_RUN_RUNNING || node->run == HA_RUN_STARTING)) {
        say(node, "postmaster killed");
        instance_died(node, HA_RUN_CRASHED);
    } else if (once_in(800)) {
        say(node, "cut off");
        node->cut = true;
        node->cut_until_ms = now_ms + TICK_MS * dice(800);
    } else if (once_in(1200)) {
        say(node, "agent hangs");
        node->hangs_until_ms = now_ms + TICK_MS * dice(600);
    } else if (once_in(3000)) {
        say(node, "store down");
        store.down = true;
    } else if (once_in(600)) {
        ask_failover(node);
    }
    if (store.down && once_in(300)) {
        store.down = false;
    }
}

static void heal_tick(bool all)
{
    for (int i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        if (node->cut && (all || now_ms >= node->cut_until_ms)) {
            node->cut = false;
        }
        if (all) {
            node->hangs_until_ms = 0;
            store.down = false;
        }
        if (!node->host_up && (all || now_ms >= node->host_back_ms)) {
            node->host_up = true;
            node->agent_back_ms = now_ms;
        }
        if (node->host_up && !node->agent_up && (all || now_ms >= node->agent_back_ms)) {
            agent_started(node);
        }
    }
}

/* --- what must hold --------------------------------------------------------------------------- */

static unsigned violations;

static void check_one_writer(void)
{
    int writers = 0;
    for (int i = 0; i < NODES; i++) {
        writers += is_writable(&nodes[i]);
    }
    if (without_fence) {
        violations += writers > 1;
    } else if (writers > 1) {
        fail_msg("seed %" PRIu64 ": two writers at %" PRId64 " ms", world_seed, now_ms);
    }
}

static bool all_is_well(void)
{
    int leader = -1;
    for (int i = 0; i < NODES; i++) {
        if (is_writable(&nodes[i]) && may_write(&nodes[i])) {
            leader = i;
        }
    }
    if (leader < 0) {
        return false;
    }
    for (int i = 0; i < NODES; i++) {
        const struct node *node = &nodes[i];
        if (i != leader && (node->run != HA_RUN_RUNNING || node->upstream != leader ||
                            !is_prefix(&node->wal, &nodes[leader].wal) ||
                            timeline(&node->wal) != timeline(&nodes[leader].wal))) {
            return false;
        }
    }
    return true;
}

static void world_init(uint64_t seed)
{
    world_seed = seed;
    world_count++;
    dice_state = seed * 0x9E3779B97F4A7C15ULL + 1;
    memset(&store, 0, sizeof store);
    memset(nodes, 0, sizeof nodes);
    memset(requests, 0, sizeof requests);
    store.revision = 1;
    now_ms = 1000;
    timeline_highest = 0;
    for (int i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        (void)snprintf(node->name, sizeof node->name, "n%d", i + 1);
        node->host_up = true;
        node->directory = PG_DIR_MISSING;
        node->run = HA_RUN_STOPPED;
        node->upstream = -1;
        agent_started(node);
    }
}

static void world_tick(void)
{
    now_ms += TICK_MS;
    store_tick();
    answers_tick();
    for (int i = 0; i < NODES; i++) {
        fence_tick(&nodes[i]);
        agent_tick(&nodes[i]);
        instance_tick(&nodes[i]);
    }
    check_one_writer();
}

static void run_seed(uint64_t seed)
{
    calm = false;
    world_init(seed);
    for (int tick = 0; tick < FAULT_TICKS; tick++) {
        world_tick();
        faults_tick();
        heal_tick(false);
    }
    int settled = 0; /* ticks in which all was well, in a row */
    for (int tick = 0; tick < HEAL_TICKS && settled < 100; tick++) {
        heal_tick(true);
        world_tick();
        settled = all_is_well() ? settled + 1 : 0;
    }
    if (settled < 100) {
        for (int i = 0; i < NODES; i++) {
            print_error("%s: %s/%s: %s\n", nodes[i].name, nodes[i].plan.situation,
                        nodes[i].plan.rule, nodes[i].plan.reason);
        }
        fail_msg("seed %" PRIu64 " does not settle", seed);
    }
}

static void one_writer_always_and_a_whole_cluster_after_healing(void **state)
{
    (void)state;
    const char *one = getenv("WORLD_SEED");
    const char *many = getenv("WORLD_SEEDS");
    if (one != NULL) {
        verbose = true;
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    uint64_t seeds = many != NULL ? strtoull(many, NULL, 10) : 25;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(seed);
    }
}

/* Nothing happens to it: a new cluster is whole in a few seconds and stays so. */
static void new_cluster_is_whole_soon_and_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int well = 0;
        world_init(seed);
        for (int tick = 0; tick < 3000; tick++) {
            world_tick();
            well = all_is_well() ? well + 1 : 0;
        }
        assert_true(well > 1500);
    }
}

static int primary_of_the_healthy(uint64_t seed)
{
    calm = true;
    world_init(seed);
    for (int tick = 0; tick < 1500 || !all_is_well(); tick++) {
        assert_true(tick < 6000);
        world_tick();
    }
    for (int i = 0; i < NODES; i++) {
        if (is_writable(&nodes[i])) {
            return i;
        }
    }
    return -1;
}

/* Ticks until there is a primary and everybody follows it, at most `ticks_max`. */
static int settle(int ticks_max)
{
    for (int tick = 0; tick < ticks_max; tick++) {
        heal_tick(true);
        world_tick();
        if (all_is_well()) {
            return tick;
        }
    }
    fail_msg("seed %" PRIu64 " does not settle", world_seed);
    return ticks_max;
}

static struct wal history_before;

static void assert_nothing_lost(void)
{
    for (int i = 0; i < NODES; i++) {
        if (is_writable(&nodes[i]) && !is_prefix(&history_before, &nodes[i].wal)) {
            fail_msg("seed %" PRIu64 ": '%s' does not have what the old primary had", world_seed,
                     nodes[i].name);
        }
    }
}

/* All hosts at once: whoever was primary takes the key again before the others compare. */
static void cold_start_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int primary = primary_of_the_healthy(seed);
        history_before = nodes[primary].wal;
        for (int i = 0; i < NODES; i++) {
            host_crash(&nodes[i]);
        }
        (void)settle(1000);
        assert_true(is_writable(&nodes[primary]));
        assert_nothing_lost();
    }
}

static void switchover_loses_nothing_and_reaches_the_candidate(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        char value[VALUE_BYTES];
        int old = primary_of_the_healthy(seed);
        int candidate = (old + 1) % NODES;
        (void)snprintf(value, sizeof value, "{\"leader\":\"%s\",\"member\":\"%s\"}",
                       nodes[old].name, nodes[candidate].name);
        (void)key_put("failover", value);
        for (int tick = 0; is_writable(&nodes[old]) && tick < 1000; tick++) {
            history_before = nodes[old].wal;
            world_tick();
        }
        (void)settle(1000);
        assert_true(is_writable(&nodes[candidate]));
        assert_nothing_lost();
        const struct key *failover = key_find(&store, "failover");
        assert_string_equal(failover->value, "{}");
    }
}

static void killed_postmaster_comes_back_in_place(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int primary = primary_of_the_healthy(seed);
        uint32_t before = timeline(&nodes[primary].wal);
        history_before = nodes[primary].wal;
        instance_died(&nodes[primary], HA_RUN_CRASHED);
        assert_true(settle(1000) * TICK_MS <= 1500);
        assert_true(is_writable(&nodes[primary]));
        assert_int_equal(timeline(&nodes[primary].wal), before);
        assert_nothing_lost();
    }
}

static void restarted_agent_leaves_its_primary_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int primary = primary_of_the_healthy(seed);
        agent_died(&nodes[primary]);
        nodes[primary].agent_back_ms = now_ms + 800;
        for (int tick = 0; tick < 600; tick++) {
            heal_tick(false);
            world_tick();
            assert_true(is_writable(&nodes[primary]));
        }
    }
}

/* Killed at any time between the promotion that it sent and its end, and back at once. */
static void promotion_outlives_the_agent_and_is_never_let_go(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        int primary = primary_of_the_healthy(seed);
        int promoting = -1;
        host_crash(&nodes[primary]);
        nodes[primary].host_back_ms = INT64_MAX;
        while (promoting < 0) {
            world_tick();
            for (int i = 0; i < NODES; i++) {
                promoting = nodes[i].promoted_ms != 0 ? i : promoting;
            }
        }
        for (unsigned ticks = dice(20); ticks > 0; ticks--) {
            world_tick();
        }
        agent_died(&nodes[promoting]);
        nodes[promoting].agent_back_ms = now_ms;
        for (int tick = 0; tick < 300; tick++) {
            heal_tick(false);
            world_tick();
            const struct node *node = &nodes[promoting];
            assert_true(node->promoted_ms == 0 || page_armed(node));
            assert_true(!is_writable(node) || page_armed(node));
        }
        (void)settle(1500);
    }
}

/* The others wait for the end of the lease, and then for nobody. */
static void lost_host_is_replaced_when_its_lease_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        int primary = primary_of_the_healthy(seed);
        host_crash(&nodes[primary]);
        int64_t since_ms = now_ms;
        bool served = false;
        while (!served) {
            world_tick();
            assert_true(now_ms - since_ms < 6000);
            for (int i = 0; i < NODES; i++) {
                served = served || (i != primary && is_writable(&nodes[i]));
            }
        }
        /* ttl, then detach, report, acquire and promote; slow requests of the model included. */
        assert_true(now_ms - since_ms >= TTL_MS - 600);
    }
}

/* The checker is awake: with the fence switched off there are two writers, and it says so. */
static void without_the_fence_two_writers_are_seen(void **state)
{
    (void)state;
    without_fence = true;
    violations = 0;
    for (uint64_t seed = 1; seed <= 20 && violations == 0; seed++) {
        world_init(seed);
        for (int tick = 0; tick < FAULT_TICKS && violations == 0; tick++) {
            world_tick();
            faults_tick();
            heal_tick(false);
        }
    }
    without_fence = false;
    assert_true(violations > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_fence_two_writers_are_seen),
        cmocka_unit_test(new_cluster_is_whole_soon_and_stays),
        cmocka_unit_test(cold_start_loses_nothing),
        cmocka_unit_test(switchover_loses_nothing_and_reaches_the_candidate),
        cmocka_unit_test(killed_postmaster_comes_back_in_place),
        cmocka_unit_test(restarted_agent_leaves_its_primary_alone),
        cmocka_unit_test(promotion_outlives_the_agent_and_is_never_let_go),
        cmocka_unit_test(lost_host_is_replaced_when_its_lease_ends),
        cmocka_unit_test(one_writer_always_and_a_whole_cluster_after_healing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
