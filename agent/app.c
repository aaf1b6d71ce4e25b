/* Start and stop order, signals, and the real effects behind the loop.
 *
 * Start (rule 13 of docs/consensus.md): lock file, fence and its page, then the Raft group; nothing
 * is promoted, started or stopped before the first decision, which needs all of them. Stop: the HA
 * rules end PostgreSQL and the lease (SIGTERM), Raft leadership is handed over, then everything is
 * closed from the outside in. No part of it is waited for without end: the stop of PostgreSQL by
 * `stop_timer`, the closing by `close_timer`. Killed: the fence carries on, see there. */
#include "agent/app.h"

#include "agent/app_api.h"
#include "agent/app_client.h"
#include "agent/app_etcd.h"
#include "agent/app_group.h"
#include "agent/app_instance.h"
#include "agent/app_reexec.h"
#include "agent/app_reload.h"
#include "agent/app_rest.h"
#include "agent/app_start.h"
#include "agent/cli/store_etcd.h"
#include "agent/dcs/dcs_raft.h"
#include "agent/loop/commands.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/loop.h"
#include "agent/loop/peers.h"
#include "agent/loop/silence.h"
#include "agent/loop/sync.h"
#include "agent/notify.h"
#include "agent/rest_tls.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/tls.h"
#include "base/random.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Checkpoint and fast shutdown have 60 s each (agent/loop/execute_pg.c). Added: the lease, the
     * longest that a release is tried for; and what the operator lets his commands take. */
    APP_STOP_MS = 130000,
    APP_CLOSE_MS = 5000,
    APP_QUIT_MS = 20,
    APP_QUIT_TRIES = 50,
    APP_LOCK_WAIT_MS = 2000
};

struct app {
    struct agent agent;
    struct config config;
    struct etcd_server *etcd_server; /* NULL: not asked for */
    uv_loop_t loop;
    struct app_signals signals;
    struct app_reload reload;
    struct app_rest rest;
    struct notify notify;
    struct app_reexec reexec;
    uv_timer_t stop_timer; /* from SIGTERM until everything is closed */
    uv_timer_t close_timer;
    uv_timer_t quit_timer;
    int quit_tries;
    int early_signal; /* to stop, before it was known what runs here; 0 = none */
    int lock_fd;
    int status;
    char run_dir[PG_PATH_BYTES];
    char state_dir[PG_PATH_BYTES];
    char self_exe[PG_PATH_BYTES];
    char fence_path[PG_PATH_BYTES];
    struct dynamic_parameters parameters;
};

/* --- stopping --------------------------------------------------------------------------------- */

static void on_group_closed(void *arg)
{
    struct app *app = arg;
    if (app->agent.dcs != NULL) {
        app->agent.dcs->ops->free(app->agent.dcs);
        app->agent.dcs = NULL;
    }
    uv_close((uv_handle_t *)&app->close_timer, NULL);
}

static void close_group(struct app *app)
{
    if (app->agent.group != NULL) {
        dcs_raft_set_node(app->agent.dcs, NULL);
        raft_group_close(app->agent.group, on_group_closed, app);
        app->agent.group = NULL;
    } else {
        on_group_closed(app);
    }
}

static void on_quit_timer(uv_timer_t *timer);

static void on_fence_quit(void *arg, int rc, const struct fence_status *status,
                          const struct error *err)
{
    struct app *app = arg;
    (void)status;
    if (rc == ERR_BUSY && app->quit_tries++ < APP_QUIT_TRIES) {
        (void)uv_timer_start(&app->quit_timer, on_quit_timer, APP_QUIT_MS,
                             0); /* the last processes are ending */
        return;
    }
    if (rc != 0 && rc != ERR_CLOSED && rc != ERR_CANCELED) {
        log_info("the fence stays: %s", err->text);
    }
    uv_close((uv_handle_t *)&app->quit_timer, NULL);
    fence_client_free(app->agent.fence, NULL, NULL);
    app->agent.fence = NULL;
    close_group(app);
}

/* In pause the page is kept for what is started by hand. */
static bool leaves_fence(const struct app *app)
{
    struct fence_lease page;
    const struct fence_page *mapped = fence_client_page(app->agent.fence);
    bool open = mapped != NULL && fence_page_read(mapped, &page) && fence_lease_open(&page);
    return agent_is_paused(&app->agent) || agent_was_paused(&app->agent) || open;
}

static void quit_fence(struct app *app)
{
    struct error err = {0};
    int rc = ERR_CLOSED;
    if (app->agent.fence != NULL && !leaves_fence(app)) {
        rc = fence_client_quit(app->agent.fence, on_fence_quit, app, &err);
    }
    if (rc != 0) {
        on_fence_quit(app, ERR_CLOSED, NULL, &err);
    }
}

static void on_quit_timer(uv_timer_t *timer)
{
    quit_fence(timer->data);
}

static void on_pg_freed(void *arg)
{
    struct app *app = arg;
    app->quit_timer.data = app;
    (void)uv_timer_init(&app->loop, &app->quit_timer);
    quit_fence(app);
}

static void free_instance(struct app *app)
{
    struct pg_instance *pg = app->agent.pg;
    app->agent.pg = NULL;
    if (pg != NULL) {
        pg_instance_free(pg, on_pg_freed, app);
    } else {
        on_pg_freed(app);
    }
}

static void on_retired(void *arg, int rc, const struct store_result *result)
{
    struct app *app = arg;
    (void)result;
    if (rc != 0) {
        log_warning("no other member took over the Raft leadership in time, going on");
    }
    free_instance(app);
}

/* An orderly end: the others are not left without a Raft leader, nor in doubt about the last write,
 * which gives the leader key away. */
static void retire(struct app *app)
{
    struct agent *agent = &app->agent;
    struct raft_node *node = agent->group == NULL ? NULL : raft_group_node(agent->group);
    int election_ms = 0;
    int heartbeat_ms = 0;

    if (node == NULL || app->status != 0) {
        free_instance(app);
        return;
    }
    config_raft_timeouts(&app->config.raft, agent->dynamic.ttl_ms, &election_ms, &heartbeat_ms);
    app_start_close_within(&app->close_timer, APP_CLOSE_MS + (uint64_t)election_ms);
    if (!reexec_hands_over(&app->reexec.reexec, on_retired, app)) {
        raft_node_retire(node, election_ms, on_retired, app);
    }
}

static void on_etcd_stopped(void *arg)
{
    struct app *app = arg;
    app->etcd_server = NULL;
    retire(app);
}

static void close_all(struct agent *agent, int status)
{
    struct app *app = (struct app *)(void *)((char *)agent - offsetof(struct app, agent));

    if (agent->stopping) {
        return;
    }
    agent->stopping = true;
    app->status = status;
    notify_stopping(&app->notify);
    notify_close(&app->notify); /* what is left has a limit of its own: close_timer */
    (void)uv_timer_init(&app->loop, &app->close_timer);
    app_start_close_within(&app->close_timer, APP_CLOSE_MS);
    uv_close((uv_handle_t *)&app->stop_timer, NULL);
    app_reexec_close(&app->reexec);
    app_start_signals_close(&app->signals);
    agent->executing = false;
    publish_stop(agent);
    cycle_stop(agent);
    keeper_stop(agent);
    observe_stop(agent);
    pg_disk_stop(agent->disk);
    agent->disk = NULL;
    sync_stop(agent);
    silence_stop(agent);
    failsafe_stop(agent);
    peers_stop(agent);
    app_rest_stop(&app->rest);
    app_api_stop(agent);
    app_etcd_stop(app->etcd_server, on_etcd_stopped, app);
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct app *app = timer->data;
    log_error("PostgreSQL could not be stopped or the leader key not be given away in time, "
              "exiting all the same: the fence ends a primary that is left with its lease");
    close_all(&app->agent, 1);
}

/* SIGHUP, or POST /reload. */
static void on_reload(struct agent *agent)
{
    struct app *app = (struct app *)(void *)((char *)agent - offsetof(struct app, agent));
    if (agent->stopping) {
        return;
    }
    (void)app_reload_certificates(&app->config, agent->group, app->etcd_server);
    app_client_reload(&app->config, agent->dcs);
    if (agent->cycle_timer.data == NULL) {
        app->reload.again = true; /* nothing is there yet to give a change to: start_loop */
    } else {
        app_reload_ask(&app->reload);
    }
}

/* POST /reexec */
static int on_reexec(struct agent *agent, bool dry_run, struct error *err)
{
    struct app *app = (struct app *)(void *)((char *)agent - offsetof(struct app, agent));
    return app_reexec_ask(&app->reexec, dry_run, err);
}

static void begin_stop(struct app *app, int number)
{
    struct agent *agent = &app->agent;
    log_info("signal %d: %s", number,
             agent_is_paused(agent) ? "the cluster is paused, leaving PostgreSQL and the leader key"
             : agent_was_paused(agent)
                 ? "the cluster was paused when it was last heard of, leaving "
                   "PostgreSQL if it is a standby"
                 : "stopping PostgreSQL and giving up the leader key");
    notify_stopping(&app->notify);
    agent->facts.request = HA_REQUEST_SHUTDOWN;
    agent->facts.request_mono_ms = agent_mono_ms(agent);
    int64_t stop_ms = APP_STOP_MS + agent->dynamic.ttl_ms + commands_stop_ms(agent);
    (void)uv_timer_start(&app->stop_timer, on_stop_timer, (uint64_t)stop_ms, 0);
    cycle_request(agent);
}

/* The fence has not said yet what it has. PostgreSQL may run below it, as after an agent that was
 * killed, or has executed itself anew: it is to be stopped, not left to the end of its lease. */
static bool is_early(const struct app *app)
{
    return app->agent.fence != NULL && app->agent.cycle_timer.data == NULL &&
           app->early_signal == 0;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct app *app = signal->data;
    struct agent *agent = &app->agent;

    if (number == SIGHUP) {
        on_reload(agent);
        return;
    }
    if (number == SIGUSR2) {
        app_reexec_signal(&app->reexec);
        return;
    }
    if (is_early(app)) {
        log_info("signal %d: waiting for the fence first", number);
        app->early_signal = number;
        return;
    }
    if (agent->facts.request == HA_REQUEST_SHUTDOWN || agent->pg == NULL ||
        agent->cycle_timer.data == NULL) {
        log_warning("signal %d: exiting at once", number);
        close_all(agent, agent->facts.request == HA_REQUEST_SHUTDOWN ? 1 : 0);
        return;
    }
    begin_stop(app, number);
}

/* --- starting --------------------------------------------------------------------------------- */

static void on_store_change(void *arg)
{
    struct app *app = arg;
    if (!app->agent.stopping) {
        observe_store_changed(&app->agent);
    }
}

static void on_group_ready(void *arg)
{
    struct app *app = arg;
    if (app->agent.stopping) {
        return;
    }
    log_info("the Raft member is running");
    app_etcd_on_change(app->etcd_server);
    dcs_raft_set_node(app->agent.dcs, raft_group_node(app->agent.group));
    dcs_raft_changed(app->agent.dcs);
    observe_store_changed(&app->agent);
    cycle_request(&app->agent);
    publish_request(&app->agent);
}

static void on_group_change(void *arg)
{
    struct app *app = arg;
    if (!app->agent.stopping) {
        app_etcd_on_change(app->etcd_server);
        dcs_raft_changed(app->agent.dcs);
        observe_store_changed(&app->agent);
    }
}

static int open_group(struct app *app, struct error *err)
{
    struct fence_lease page;
    struct app_group group = {.ttl_ms = app->agent.dynamic.ttl_ms,
                              .on_ready = on_group_ready,
                              .on_change = on_group_change,
                              .arg = app};
    int election_ms = 0;
    int heartbeat_ms = 0;
    group.armed_page =
        fence_page_read(fence_client_page(app->agent.fence), &page) && fence_lease_armed(&page);
    config_raft_timeouts(&app->config.raft, group.ttl_ms, &election_ms, &heartbeat_ms);
    int rc = app_group_open(&app->loop, &app->config, &group, &app->agent.group, err);
    return rc != 0 ? rc
                   : app_etcd_start(&app->loop, &app->config, election_ms, &app->agent.group,
                                    &app->etcd_server, err);
}

static void on_store_note(void *arg, enum log_level level, const char *text)
{
    (void)arg;
    log_write(level, "%s", text);
}

static int open_etcd(struct app *app, struct error *err)
{
    struct agent *agent = &app->agent;
    struct dcs_etcd_config config = {.base = app->config.prefix,
                                     .name = app->config.name,
                                     .etcd = {.idle_ms = agent->dynamic.loop_wait_ms,
                                              .clock = agent->clock,
                                              .random = random_real()},
                                     .heartbeat_ms = LOOP_HEARTBEAT_MS,
                                     .on_note = on_store_note};
    return store_etcd_open(&app->loop, &app->config, &config, &agent->dcs, err);
}

static void on_disks(void *arg, const struct pg_disk_state *state)
{
    struct app *app = arg;
    if (!app->agent.stopping) {
        disk_take(&app->agent, state);
    }
}

/* The store's disk is looked at too: the engine copes by itself, and the operator is told. */
static void watch_disks(struct app *app)
{
    char *more = mem_printf("Raft directory=%s", app->config.raft.data_dir);
    struct pg_disk_config config = {
        .self_exe = app->self_exe,
        .data_dir = app->config.postgresql.data_dir,
        .more = config_is_raft_member(&app->config) ? more : NULL,
        .clock = app->agent.clock,
        .limits = disk_limits(&app->agent),
        .on_state = on_disks,
        .arg = app,
    };
    app->agent.disk = pg_disk_start(&app->loop, &config);
    mem_free(more);
}

static int start_loop(struct app *app, struct error *err)
{
    struct agent *agent = &app->agent;
    bool member = config_is_raft_member(&app->config);
    int rc = member ? open_group(app, err) : 0;
    if (rc != 0) {
        return rc;
    }
    if (!member) { /* the group tells by itself: on_group_change */
        agent->dcs->on_change = on_store_change;
        agent->dcs->on_change_arg = app;
    }
    if (keeper_start(agent) != 0 || observe_start(agent) != 0 || cycle_start(agent) != 0 ||
        publish_start(agent) != 0 || sync_start(agent) != 0 || silence_start(agent) != 0) {
        return error_set(err, ERR_IO, "making timers failed");
    }
    watch_disks(app);
    if (app->reload.again) {
        app->reload.again = false;
        app_reload_ask(&app->reload);
    }
    return 0;
}

static void on_fence_event(void *arg, enum fence_event event, const struct fence_status *status)
{
    struct app *app = arg;
    if (!app->agent.stopping) {
        observe_fence_event(&app->agent, event, status);
    }
}

/* The parent of PostgreSQL cannot be exchanged under it. */
static void look_at_fence(struct app *app, int pid)
{
    char exe[32];
    struct stat runs;
    struct stat there;
    (void)snprintf(exe, sizeof exe, "/proc/%d/exe", pid);
    app->agent.fence_is_old = stat(exe, &runs) == 0 && stat(app->fence_path, &there) == 0 &&
                              (runs.st_dev != there.st_dev || runs.st_ino != there.st_ino);
    if (app->agent.fence_is_old) {
        log_info("the fence runs on with the program of before, which this one understands: it is "
                 "exchanged when the agent is stopped with PostgreSQL");
    }
}

static void on_fence(void *arg, int rc, const struct fence_status *status, const struct error *err)
{
    struct app *app = arg;
    struct error own = {0};

    if (rc == ERR_CANCELED) {
        return;
    }
    if (rc != 0) {
        log_error("fence: %s", err->text);
        close_all(&app->agent, 1);
        return;
    }
    if (fence_client_found_running(app->agent.fence)) {
        log_info("found the fence of an earlier run, pid %d, PostgreSQL %s", status->fence_pid,
                 status->running ? "is running" : "is not running");
        app->agent.facts.ever_ran = status->running;
        look_at_fence(app, status->fence_pid);
    }
    if (app->early_signal != 0 && !fence_client_found_running(app->agent.fence)) {
        log_info("signal %d: nothing was begun yet", app->early_signal);
        close_all(&app->agent, 0);
        return;
    }
    pg_instance_set_fence(app->agent.pg, app->agent.fence);
    if (start_loop(app, &own) != 0) {
        log_error("%s", own.text);
        close_all(&app->agent, 1);
        return;
    }
    /* Waits for no partner: in a new group each would have to be started before the first is up. */
    notify_ready(&app->notify, &app->loop);
    if (app->early_signal != 0) {
        begin_stop(app, app->early_signal);
    }
}

static int make_instance(struct app *app, struct error *err)
{
    const struct config *config = &app->config;
    char warning[DYNAMIC_WARNING_BYTES] = "";
    parameters_merge(&app->agent);
    const struct config_postgresql *pg = agent_postgresql(&app->agent);
    int rc = dynamic_parameters_merge(&app->agent.dynamic, pg->parameters, &app->parameters,
                                      warning, err);
    if (rc != 0) {
        return rc;
    }
    if (warning[0] != '\0') {
        log_warning("PostgreSQL parameters: %s", warning);
    }
    struct pg_instance_config instance = {
        .name = config->name,
        .scope = config->scope,
        .data_dir = pg->data_dir,
        .config_dir = pg->config_dir,
        .base_name = pg->config_base_name,
        .state_dir = app->state_dir,
        .bin_dir = pg->bin_dir,
        .programs = pg->programs,
        .self_exe = app->self_exe,
        .fence_log = NULL,
        .listen = pg->listen.host,
        .port = pg->listen.port,
        .connect_host = pg->connect.host,
        .pgpass = pg->pgpass,
        .database = pg->database,
        .local_way = pg->local_way,
        .local_repl_way = pg->local_repl_way,
        .superuser = pg->superuser,
        .replication = pg->replication,
        .rewind = pg->rewind,
        .parameters = app->parameters.view,
        .pg_hba = pg->pg_hba,
        .pg_ident = pg->pg_ident,
        .recovery_conf = pg->recovery_conf,
        .basebackup = pg->basebackup,
        .custom_conf = pg->custom_conf,
        .replica_methods = pg->replica_methods,
        .replica_method_count = pg->replica_method_count,
        .use_pg_rewind =
            pg->use_pg_rewind_given ? pg->use_pg_rewind : app->agent.dynamic.use_pg_rewind,
        .guard = pg->guard,
        .use_slots = app->agent.dynamic.use_slots,
        .keeps_logical = dynamic_slots_has_logical(&app->agent.dynamic),
        .nostream = config->tags.nostream,
        .kill_way = FENCE_KILL_AUTO,
        .probe_timeout_ms = LOOP_PROBE_TIMEOUT_MS,
        .clock = NULL,
        .on_command = commands_tell,
    };
    return pg_instance_new(&app->loop, &instance, &app->agent.pg, err);
}

static void start_dynamic(struct app *app)
{
    char warning[DYNAMIC_WARNING_BYTES] = "";
    struct dynamic_config parsed;
    struct error err = {0};

    dynamic_config_init(&app->agent.dynamic);
    if (dynamic_config_parse(app->config.bootstrap.dcs, config_ttl_min_ms(&app->config), &parsed,
                             warning, &err) == 0) {
        dynamic_config_free(&app->agent.dynamic);
        app->agent.dynamic = parsed;
    }
}

/* It listens from the next turn on: nobody is served before he can be refused. */
static int start_rest(struct app *app, struct error *err)
{
    struct tls_context *tls = NULL;
    int rc = rest_tls_read(&app->config.restapi, &tls, err);
    rc = rc != 0 ? rc : app_api_start(&app->agent, err);
    if (rc == 0) {
        app_rest_apply(&app->rest, &app->agent, &app->config, tls);
    }
    tls_context_free(tls);
    return rc;
}

/* Nothing is open yet, and the loop does not run. */
static int take_lock(struct app *app, struct error *err)
{
    int rc = fence_lock_agent(app->run_dir, 0, &app->lock_fd, err);
    if (rc == ERR_BUSY) {
        log_info("%s: it may be about to end, waiting for up to %d s", err->text,
                 APP_LOCK_WAIT_MS / 1000);
        rc = fence_lock_agent(app->run_dir, APP_LOCK_WAIT_MS, &app->lock_fd, err);
    }
    return rc;
}

static int prepare(struct app *app, struct error *err)
{
    struct agent *agent = &app->agent;
    struct fence_client_config fence = {.runtime_dir = app->run_dir,
                                        .fence_path = app->fence_path,
                                        .on_event = on_fence_event,
                                        .arg = app};
    (void)snprintf(app->run_dir, sizeof app->run_dir, "%s/run", app->config.state_dir);
    (void)snprintf(app->state_dir, sizeof app->state_dir, "%s/state", app->config.state_dir);
    int rc = app_start_programs(app->self_exe, app->fence_path, err);
    const char *key = config_state_in_raft(&app->config) ? "raft.data_dir" : "state_dir";
    rc = rc != 0 ? rc : app_start_directory(key, app->config.state_dir, err);
    rc = rc != 0 ? rc : app_start_directory(key, app->state_dir, err);
    rc = rc != 0 ? rc : fence_runtime_prepare(app->run_dir, err);
    rc = rc != 0 ? rc : take_lock(app, err);
    rc = rc != 0 ? rc : app_instance_open(app->state_dir, random_real(), agent->instance, err);
    if (rc != 0) {
        return rc;
    }
    start_dynamic(app);
    rc = make_instance(app, err);
    if (rc != 0) {
        return rc;
    }
    if (app->config.raft.client) {
        rc = app_client_open(&app->loop, &app->config, agent->clock, &agent->dcs, err);
    } else if (app->config.store == CONFIG_STORE_RAFT) {
        struct dcs_raft_config dcs = {.base = app->config.prefix,
                                      .name = app->config.name,
                                      .clock = agent->clock,
                                      .random = random_real()};
        agent->dcs = dcs_raft_new(NULL, &dcs);
    } else {
        rc = open_etcd(app, err);
        rc = rc != 0 ? rc : failsafe_start(agent, err);
    }
    if (rc == 0) {
        peers_start(agent);
    }
    rc = rc != 0 ? rc : start_rest(app, err);
    return rc != 0 ? rc
                   : fence_client_connect(&app->loop, &fence, on_fence, app, &agent->fence, err);
}

static int check(const char *path)
{
    char self[PG_PATH_BYTES];
    char fence[PG_PATH_BYTES];
    struct config config;
    struct tls_context *tls = NULL;
    struct error err = {0};
    if (app_start_check(config_load, path, &config) != 0) {
        return 1;
    }
    int rc = app_start_programs(self, fence, &err);
    rc = rc != 0 ? rc : rest_tls_read(&config.restapi, &tls, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    tls_context_free(tls);
    config_free(&config);
    return rc != 0 ? 1 : 0;
}

int agent_run(const char *path)
{
    if (reexec_check_asked()) {
        return check(path);
    }
    struct app *app = mem_new(struct app);
    struct agent *agent = &app->agent;
    struct error err = {0};

    app->lock_fd = -1;
    app->status = 1;
    if (app_start_load(config_load, path, &app->config) == 0 && uv_loop_init(&app->loop) == 0) {
        agent->loop = &app->loop;
        agent->clock = clock_real();
        agent->started_wall_ms = clock_wall_ms(agent->clock);
        agent->config = &app->config;
        agent->on_exit = close_all;
        agent->on_reload = on_reload;
        agent->on_reexec = on_reexec;
        app_reload_init(&app->reload, agent, &app->config, path);
        app->reload.rest = &app->rest;
        app->stop_timer.data = app;
        (void)uv_timer_init(&app->loop, &app->stop_timer);
        app_start_signals(&app->loop, &app->signals, on_signal, app);
        if (app_reexec_open(&app->reexec, agent, &app->notify, &app->lock_fd, &err) != 0 ||
            prepare(app, &err) != 0) {
            log_error("%s", err.text);
            close_all(agent, 1);
        } else {
            log_info("agent '%s' of cluster '%s' started", app->config.name, app->config.scope);
        }
        app_start_turn(&app->loop);
    }
    app_reexec_free(&app->reexec);
    dynamic_parameters_free(&app->parameters);
    dynamic_config_free(&agent->dynamic);
    config_effective_free(&agent->effective);
    if (app->reload.agent != NULL) {
        app_reload_free(&app->reload);
    } else {
        config_free(&app->config);
    }
    if (app->lock_fd >= 0) {
        (void)close(app->lock_fd);
    }
    int status = app->status;
    mem_free(app);
    return status;
}
