/* The shipping HA loop (agent/loop, agent/ha, agent/dcs) on each node, wired as agent/app.c wires
 * it. Timers of libuv become events in virtual time: the functions below bear libuv's names and are
 * found before the library's. */
#include "agent/dcs/dcs_raft.h"
#include "agent/loop/loop.h"
#include "agent/loop/reinit.h"
#include "agent/loop/restart.h"
#include "agent/loop/silence.h"
#include "agent/loop/sync.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "sim_connect.h"
#include "sim_depose.h"
#include "sim_fence.h"
#include "sim_instance.h"
#include "sim_pause.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLE_CLOSED = 1, DIES_MS_MAX = 4000 };
enum { PRE_PROMOTE_EVERY = 8, PRE_PROMOTE_SEED = 3 }; /* of these seeds the agents have one */

struct sim_agent {
    struct agent agent;
    struct config config;
    struct pg_instance pg;
    struct fence_client fence;
    struct raft_group group;
    uv_loop_t loop;
    struct list works; /* struct work: in the thread pool */
    struct list closings;
    json_t *bootstrap;
    json_t *empty;
    json_t *tags;
    char connect[32];
    char rest[32];
    char host[32];
    char data_dir[32];
    bool leaving;
};

/* --- libuv in virtual time -------------------------------------------------------------------- */

/* A handle whose owner frees it when told that it is closed: at the end of the agent. */
struct closing {
    struct list link;
    uv_handle_t *handle;
    uv_close_cb callback;
};

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    void *data = timer->data;
    memset(timer, 0, sizeof(*timer));
    timer->data = data;
    timer->loop = loop;
    return 0;
}

static void timer_fire(void *arg, uint64_t number, uint64_t b)
{
    uv_timer_t *timer = arg;
    (void)b;
    if (timer->start_id != number || timer->timer_cb == NULL) {
        return;
    }
    uv_timer_cb callback = timer->timer_cb;
    timer->timer_cb = NULL;
    callback(timer);
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
    ASSERT(repeat == 0 && timer->flags != HANDLE_CLOSED);
    timer->timer_cb = callback;
    timer->start_id++;
    sim_node_at(timer->loop->data, (int64_t)timeout, timer_fire, timer, timer->start_id, 0);
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    timer->start_id++;
    timer->timer_cb = NULL;
    return 0;
}

int uv_is_active(const uv_handle_t *handle)
{
    return ((const uv_timer_t *)(const void *)handle)->timer_cb != NULL;
}

int uv_is_closing(const uv_handle_t *handle)
{
    return handle->flags == HANDLE_CLOSED;
}

void uv_close(uv_handle_t *handle, uv_close_cb callback)
{
    (void)uv_timer_stop((uv_timer_t *)(void *)handle);
    handle->flags = HANDLE_CLOSED;
    if (callback != NULL) {
        uv_timer_t *timer = (uv_timer_t *)(void *)handle;
        struct closing *closing = mem_new(struct closing);
        *closing = (struct closing){.handle = handle, .callback = callback};
        list_append(&((struct sim_node *)timer->loop->data)->agent->closings, &closing->link);
    }
}

struct work {
    struct list link;
    uv_work_t *request;
    uv_work_cb work;
    uv_after_work_cb after;
};

static void work_done(void *arg, uint64_t a, uint64_t b)
{
    struct work *work = arg;
    struct work copy = *work;
    (void)a;
    (void)b;
    list_remove(&work->link);
    mem_free(work);
    copy.after(copy.request, 0);
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb after)
{
    struct work *queued = mem_new(struct work);
    *queued = (struct work){.request = request, .work = work, .after = after};
    list_append(&((struct sim_node *)loop->data)->agent->works, &queued->link);
    work(request);
    sim_node_at(loop->data, 2, work_done, queued, 0, 0);
    return 0;
}

/* History files: "sim:<node>/pg_wal/<timeline>.history" is made from the model. */
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    static char text[16384];
    if (strncmp(path, "sim:", 4) != 0) {
        return __real_fopen(path, mode);
    }
    struct buf history = BUF_INIT;
    sim_wal_history(&sim_machine_of(sim_running)->wal, &history);
    (void)snprintf(text, sizeof(text), "%s", buf_str(&history));
    buf_free(&history);
    return fmemopen(text, strlen(text) + (text[0] == '\0' ? 1 : 0), "r");
}

/* --- what app.c gives ------------------------------------------------------------------------- */

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;
    char line[512];
    if (sim_running == NULL || !sim_running->world->options.trace) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    sim_trace(sim_running->world, "  %s %s %s", sim_running->name,
              level == LOG_LEVEL_INFO ? "-" : "!", line);
}

struct raft_node *raft_group_node(struct raft_group *group)
{
    return group->node->raft;
}

static void exit_now(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_member_crash(node);
    if (node->world->options.drill == NULL) {
        sim_faults_restart(node, 20 + (int64_t)sim_below(node->world, DIES_MS_MAX));
    }
}

static void on_retired(void *arg, int rc, const struct store_result *result)
{
    struct sim_node *node = arg;
    (void)result;
    if (rc != ERR_CANCELED) {
        sim_node_at(node, 0, exit_now, node, 0, 0);
    }
}

/* An orderly end, as in app.c: a leader of the Raft group hands over before it goes. */
static void on_exit_asked(struct agent *agent, int status)
{
    struct sim_node *node = agent->loop->data;
    (void)status;
    if (!node->agent->leaving) {
        node->agent->leaving = true;
        raft_node_retire(node->raft, SIM_ELECTION_MS, on_retired, node);
    }
}

/* --- start and end ---------------------------------------------------------------------------- */

static void crash_now(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_trace(node->world, "%s: the agent dies in the middle", node->name);
    sim_member_crash(node);
    sim_faults_restart(node, 20 + (int64_t)sim_below(node->world, DIES_MS_MAX));
}

void sim_agent_steps(struct sim_node *node)
{
    if (node->crash_in > 0 && --node->crash_in == 0) {
        sim_at(node->world, 0, crash_now, node, 0, 0);
    }
}

bool sim_agent_acquires(const struct sim_node *node)
{
    return node->agent != NULL && node->agent->agent.acquiring;
}

void sim_agent_terminate(struct sim_node *node)
{
    ASSERT(node->agent != NULL);
    sim_running = node;
    node->agent->agent.facts.request = HA_REQUEST_SHUTDOWN;
    node->agent->agent.facts.request_mono_ms = agent_mono_ms(&node->agent->agent);
    cycle_request(&node->agent->agent);
}

bool sim_agent_reinit(struct sim_node *node, bool force, bool from_leader)
{
    struct error err = {0};
    sim_running = node;
    return reinit_order(&node->agent->agent, force, from_leader, &err) == 0;
}

bool sim_agent_reinits(const struct sim_node *node)
{
    return node->agent != NULL && node->agent->agent.reinit.now.phase != HA_REINIT_NONE;
}

bool sim_agent_resumed(struct sim_node *node)
{
    struct fence_lease lease;
    return node->agent != NULL && fence_page_read(sim_machine_of(node)->page, &lease) &&
           lease.epoch.revision != 0 &&
           lease.epoch.revision != node->agent->agent.lease.acquired.revision;
}

bool sim_agent_restart(struct sim_node *node, int64_t in_ms, int64_t timeout_ms)
{
    struct restart_wish wish = {.timeout_ms = timeout_ms,
                                .at_wall_ms = clock_wall_ms(&node->clock) + in_ms};
    struct agent *agent = &node->agent->agent;
    struct error err = {0};
    int64_t wait_ms = 0;
    unsigned number = 0;

    sim_running = node;
    if (in_ms == 0) {
        bool taken = restart_order(agent, &wish, &number, &wait_ms, &err) == 0;
        node->restart_due_ms = taken ? node->world->now : node->restart_due_ms;
        return taken;
    }
    json_t *object = json_pack("{s:s}", "schedule", "then");
    wish.object = object;
    int rc = restart_schedule(agent, &wish, &err);
    json_decref(object);
    node->restart_at_ms = rc == 0 ? node->world->now + in_ms : node->restart_at_ms;
    return rc == 0;
}

json_t *sim_agent_dynamic(const struct sim_world *world)
{
    enum sim_replication mode = world->setup.replication;
    json_t *document =
        json_pack("{s:i,s:i,s:i,s:i,s:{s:b}}", "ttl", (int)(sim_ttl_ms(world) / 1000), "loop_wait",
                  1, "retry_timeout", 1, "maximum_lag_on_failover", SIM_LAG_BYTES_MAX, "postgresql",
                  "use_pg_rewind", 1);
    ASSERT(document != NULL);
    if (world->maintenance) {
        int rc = json_object_set_new(document, "pause", json_true());
        ASSERT(rc == 0);
    }
    if (world->hang_ms != 0) {
        int rc = json_object_set_new(document, "postmaster_hang_timeout",
                                     json_integer(world->hang_ms / 1000));
        ASSERT(rc == 0);
    }
    if (mode != SIM_ASYNC) {
        bool quorum = mode == SIM_QUORUM || mode == SIM_QUORUM_STRICT;
        bool strict = mode == SIM_SYNC_STRICT || mode == SIM_QUORUM_STRICT;
        int rc = json_object_set_new(document, "synchronous_mode",
                                     quorum ? json_string("quorum") : json_true());
        rc |= json_object_set_new(document, "synchronous_mode_strict", json_boolean(strict));
        rc |= json_object_set_new(document, "synchronous_node_count",
                                  json_integer((json_int_t)world->sync_nodes));
        if (world->setup.early_failover) {
            rc |= json_object_set_new(document, "early_failover", json_true());
        }
        ASSERT(rc == 0);
    }
    return document;
}

/* Whom it is to stream from; also itself, and in a circle. NULL: nobody is named. */
static const char *cascade_of(const struct sim_node *node)
{
    const struct sim_world *world = node->world;
    unsigned drawn = world->setup.cascade;
    unsigned from = (drawn - 1) % 3;
    unsigned to = (drawn - 1) / 3 % 3;
    bool mutual = drawn > SIM_CASCADES / 2;
    if (drawn == 0 || (node->index != from && !(mutual && node->index == to))) {
        return NULL;
    }
    return world->nodes[node->index == from ? to : from].name;
}

static void make_config(struct sim_agent *self, const struct sim_node *node)
{
    struct config *config = &self->config;
    (void)snprintf(self->host, sizeof(self->host), "10.0.0.%u", node->index + 1);
    (void)snprintf(self->connect, sizeof(self->connect), "%s:5432", self->host);
    (void)snprintf(self->rest, sizeof(self->rest), "%s:8008", self->host);
    (void)snprintf(self->data_dir, sizeof(self->data_dir), "sim:%u", node->index);
    self->bootstrap = sim_agent_dynamic(node->world);
    (void)json_object_del(self->bootstrap, "pause"); /* that is said to a cluster, not to a file */
    self->empty = json_object();
    self->tags = json_object();
    config->scope = "sim";
    config->prefix = "/service/sim/";
    config->name = node->name;
    config->restapi_connect =
        (struct config_address){.text = self->rest, .host = self->host, .port = 8008};
    config->bootstrap.dcs = self->bootstrap;
    config->postgresql.connect =
        (struct config_address){.text = self->connect, .host = self->host, .port = 5432};
    config->postgresql.data_dir = self->data_dir;
    config->postgresql.database = "postgres";
    config->postgresql.parameters = self->empty;
    config->postgresql.section = self->empty;
    config->postgresql.pg_ctl_timeout_ms = 60000;
    config->postgresql.remove_data_directory_on_rewind_failure = true;
    config->postgresql.remove_data_directory_on_diverged_timelines = true;
    if (node->world->options.seed % PRE_PROMOTE_EVERY == PRE_PROMOTE_SEED) {
        static const char *const words[] = {"pre_promote"};
        config->postgresql.hooks =
            (struct config_hooks){.pre_promote = {words, 1}, .timeout_ms = 60000};
    }
    config->tags.replicatefrom = cascade_of(node);
    config->tags.published = self->tags;
    if (config->tags.replicatefrom != NULL) {
        (void)json_object_set_new(self->tags, "replicatefrom",
                                  json_string(config->tags.replicatefrom));
    }
    config->tags.failover_priority = 1;
    if (node->world->setup.watchdog) {
        config->watchdog = (struct config_watchdog){.mode = CONFIG_WATCHDOG_REQUIRED,
                                                    .given = true,
                                                    .device = "/dev/watchdog",
                                                    .safety_margin_s = 5};
    }
}

static void start_agent(struct sim_node *node)
{
    struct sim_agent *self = mem_new(struct sim_agent);
    struct agent *agent = &self->agent;
    struct sim_machine *machine = sim_machine_of(node);
    struct error err;
    node->agent = self;
    sim_running = node;
    make_config(self, node);
    self->loop.data = node;
    list_init(&self->works);
    list_init(&self->closings);
    self->fence = (struct fence_client){.machine = machine};
    self->group.node = node;
    sim_instance_init(&self->pg, machine);
    agent->loop = &self->loop;
    agent->clock = &node->clock;
    agent->config = &self->config;
    (void)snprintf(agent->instance, sizeof agent->instance, "%016llx",
                   (unsigned long long)node->instance);
    agent->group = &self->group;
    agent->pg = &self->pg;
    agent->fence = &self->fence;
    agent->on_exit = on_exit_asked;
    agent->facts.ever_ran = sim_fence_heard(machine)->running;
    int rc =
        dynamic_config_parse(self->bootstrap, DYNAMIC_TTL_MS_MIN_RAFT, &agent->dynamic, NULL, &err);
    ASSERT(rc == 0);
    struct dcs_raft_config dcs = {.base = self->config.prefix,
                                  .name = node->name,
                                  .clock = &node->clock,
                                  .random = &node->random};
    agent->dcs = dcs_raft_new(NULL, &dcs);
    rc = keeper_start(agent);
    rc = rc != 0 ? rc : observe_start(agent);
    rc = rc != 0 ? rc : cycle_start(agent);
    rc = rc != 0 ? rc : publish_start(agent);
    rc = rc != 0 ? rc : sync_start(agent);
    rc = rc != 0 ? rc : silence_start(agent);
    ASSERT(rc == 0);
    dcs_raft_set_node(agent->dcs, node->raft);
    dcs_raft_changed(agent->dcs);
    observe_store_changed(agent);
    cycle_request(agent);
    publish_request(agent);
}

void sim_agent_started(struct sim_node *node)
{
    sim_load_started(node);
    if (node->world->options.mode == SIM_CLUSTER) {
        sim_machine_of(node)->off = false;
    }
    if (node->world->options.mode == SIM_CLUSTER && !node->world->agents_off) {
        start_agent(node);
    }
}

/* SIGKILL: nothing it still wanted to do happens. */
void sim_agent_crashed(struct sim_node *node)
{
    struct sim_agent *self = node->agent;
    sim_load_crashed(node);
    if (self == NULL) {
        return;
    }
    sim_pause_agent_died(node);
    sim_running = node;
    self->agent.stopping = true;
    self->agent.executing = false;
    dcs_raft_set_node(self->agent.dcs, NULL);
    while (!list_empty(&self->works)) { /* only frees: nothing is executed, nothing can be sent */
        struct work *work = LIST_OWNER(list_first(&self->works), struct work, link);
        list_remove(&work->link);
        work->after(work->request, 0);
        mem_free(work);
    }
    self->agent.dcs->ops->free(self->agent.dcs);
    sync_stop(&self->agent);
    silence_stop(&self->agent);
    publish_stop(&self->agent);
    cycle_stop(&self->agent);
    keeper_stop(&self->agent);
    observe_stop(&self->agent);
    while (!list_empty(&self->closings)) {
        struct closing *closing = LIST_OWNER(list_first(&self->closings), struct closing, link);
        list_remove(&closing->link);
        closing->callback(closing->handle);
        mem_free(closing);
    }
    sim_connects_drop(node);
    sim_instance_drop(&self->pg);
    dynamic_config_free(&self->agent.dynamic);
    config_effective_free(&self->agent.effective);
    json_decref(self->bootstrap);
    json_decref(self->empty);
    json_decref(self->tags);
    mem_free(self);
    node->agent = NULL;
}

void sim_agent_changed(struct sim_node *node)
{
    if (node->agent != NULL && !node->agent->agent.stopping) {
        sim_running = node;
        dcs_raft_changed(node->agent->agent.dcs);
        observe_store_changed(&node->agent->agent);
        sim_pause_known(node);
    }
}

void sim_agent_watchdog_answer(struct sim_node *node)
{
    struct fence_client *client = &node->agent->fence;
    fence_done_cb done = client->dog_done;
    struct error err = {0};
    if (done != NULL) {
        sim_running = node;
        client->dog_done = NULL;
        done(client->dog_arg, 0, sim_fence_heard(client->machine), &err);
    }
}

/* What it has started itself it does not adopt. */
void sim_agent_adopt_answer(struct sim_node *node)
{
    struct fence_client *client = node->agent == NULL ? NULL : &node->agent->fence;
    fence_done_cb done = client == NULL ? NULL : client->adopt_done;
    struct error err = {0};
    int rc = 0;
    if (done == NULL) {
        return;
    }
    if (sim_fence_stands(client->machine)) {
        rc = error_set(&err, ERR_TIMEOUT, "the fence does not answer");
    } else if (client->machine->status.running) {
        rc = error_set(&err, ERR_BUSY, "an instance that was started here is not stopped");
    } else {
        client->machine->knows_directory = true;
        sim_coverage_state(SIM_STATE_ADOPTED);
        sim_trace(node->world, "%s: the fence is told of the data directory", node->name);
    }
    sim_running = node;
    client->adopt_done = NULL;
    done(client->adopt_arg, rc, sim_fence_heard(client->machine), &err);
}

static void deliver_fence_event(void *arg, uint64_t event, uint64_t b)
{
    struct sim_node *node = arg;
    (void)b;
    if (node->agent != NULL) {
        sim_running = node;
        observe_fence_event(&node->agent->agent, (enum fence_event)event,
                            sim_fence_heard(sim_machine_of(node)));
    }
}

void sim_agent_fence_said(struct sim_node *node, enum fence_event event)
{
    if (node->agent != NULL) {
        sim_node_at(node, 1, deliver_fence_event, node, event, 0);
    }
}

void sim_agent_fence_event(struct sim_node *node, enum fence_event event)
{
    if (!sim_fence_stands(sim_machine_of(node))) {
        sim_agent_fence_said(node, event);
    }
}

bool sim_agent_has_view(const struct sim_node *node)
{
    return node->agent != NULL && node->agent->agent.facts.cluster.known;
}

enum pg_role sim_agent_decided_on(const struct sim_node *node)
{
    return node->agent == NULL ? PG_ROLE_UNKNOWN : node->agent->agent.snapshot.self.role;
}

void sim_agents_open(struct sim_world *world)
{
    sim_commits_open(world);
    sim_depose_open(world);
    if (world->options.mode == SIM_CLUSTER) {
        sim_machines_open(world);
    }
}

void sim_agents_close(struct sim_world *world)
{
    if (world->options.mode == SIM_CLUSTER) {
        sim_machines_close(world);
    }
    sim_depose_close(world);
    sim_commits_close(world);
}

/* Invariant I10: a directory with data goes only if another primary has the cluster when that
 * begins. */
void sim_check_removal(const struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    for (size_t i = 0; i < world->node_count; i++) {
        if (i != machine->node->index && sim_machine_of(&world->nodes[i])->writable) {
            return;
        }
    }
    sim_fail(world, "no data is removed without a primary", "%s", machine->node->name);
}

/* Invariant I5, the sharper half of "one writable primary": when somebody acquires the lease, the
 * fence of everybody else has done its work already. */
void sim_agents_acquired(struct sim_world *world, struct span holder)
{
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (world->setup.one_writer && machine->writable && !sim_depose_excuses(machine) &&
            !span_equal_str(holder, world->nodes[i].name)) {
            sim_fail(world, "nobody can write when another acquires the lease",
                     "%s when %.*s acquires", world->nodes[i].name, (int)holder.len,
                     (const char *)holder.data);
        }
    }
}

void sim_agent_host_lost(struct sim_node *node)
{
    struct sim_machine *machine = sim_machine_of(node);
    bool others = false;
    for (size_t i = 0; i < node->world->node_count; i++) {
        const struct sim_machine *other = sim_machine_of(&node->world->nodes[i]);
        others = others || (other != machine && other->writable && other->phase == SIM_UP);
    }
    sim_machine_power_off(machine);
    if (others && sim_chance(node->world, 500)) {
        sim_trace(node->world, "%s: its data directory is lost, too", node->name);
        sim_machine_erase(machine);
        node->instance = 0; /* of the agent that comes back nothing is of before */
    }
}

bool sim_agents_serve(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->writable && machine->phase == SIM_UP) {
            return true;
        }
    }
    return false;
}

/* Called at a promotion: what the last status said was committed is lost beyond the limit that the
 * user set (I3). */
void sim_check_loss(const struct sim_machine *machine)
{
    struct store_kv kv;
    unsigned long long optime = 0;
    char text[256];
    const struct raft_node *raft = machine->node->raft;
    if (raft == NULL || !store_get(raft_node_store(raft), span_str("/service/sim/status"), &kv)) {
        return;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)kv.value.len, (const char *)kv.value.data);
    if (sscanf(text, "{\"optime\":%llu", &optime) == 1 &&
        machine->wal.end + SIM_LAG_BYTES_MAX < optime) {
        sim_fail(machine->node->world, "no more is lost than maximum_lag_on_failover",
                 "%s at %llu, %llu was published", machine->node->name,
                 (unsigned long long)machine->wal.end, optime);
    }
}

/* From the primary, or by way of others that do. */
static bool is_fed_by(struct sim_world *world, const struct sim_machine *machine,
                      const struct sim_machine *primary)
{
    for (size_t step = 0; step < world->node_count && machine != primary; step++) {
        if (!machine->receiving || machine->upstream == SIM_NO_UPSTREAM) {
            return false;
        }
        machine = sim_machine_of(&world->nodes[machine->upstream]);
    }
    return machine == primary;
}

bool sim_agents_settled(struct sim_world *world)
{
    const struct sim_machine *primary = NULL;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->writable && machine->phase == SIM_UP) {
            primary = machine;
        }
    }
    for (size_t i = 0; primary != NULL && i < world->node_count; i++) {
        if (!is_fed_by(world, sim_machine_of(&world->nodes[i]), primary)) {
            return false;
        }
    }
    return primary != NULL;
}

/* The hard case of a frozen primary: another one has begun meanwhile. */
void sim_agent_thaws(const struct sim_node *node)
{
    struct sim_world *world = node->world;
    for (size_t i = 0; world->options.mode == SIM_CLUSTER && i < world->node_count; i++) {
        if (i != node->index && sim_machine_of(&world->nodes[i])->writable &&
            sim_machine_of(&world->nodes[node->index])->writable) {
            sim_coverage_state(SIM_STATE_LATE_THAW);
        }
    }
}

void sim_agents_trace(struct sim_node *node)
{
    if (node->world->options.mode == SIM_CLUSTER) {
        sim_machine_trace(sim_machine_of(node));
    }
}

/* The HA loops never fall silent, so the last look at the store is taken with every process started
 * anew without. */
void sim_agents_stop(struct sim_world *world)
{
    if (world->options.mode != SIM_CLUSTER) {
        return;
    }
    world->agents_off = true;
    for (size_t i = 0; i < world->node_count; i++) {
        sim_member_crash(&world->nodes[i]);
        sim_member_start(&world->nodes[i]);
    }
}
