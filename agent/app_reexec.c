#include "agent/app_reexec.h"

#include "agent/api/api_server.h"
#include "agent/config/config_identity.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/loop.h"
#include "agent/notify.h"
#include "agent/reexec_hindrance.h"
#include "base/log.h"
#include "base/mem.h"

static void look(const struct agent *agent, struct reexec_facts *ret_facts)
{
    const struct loop_facts *facts = &agent->facts;
    const struct ha_job *job = &facts->job;
    *ret_facts = (struct reexec_facts){
        .stopping = agent->stopping || facts->request == HA_REQUEST_SHUTDOWN,
        .job = job->running ? job->kind : HA_JOB_NONE,
        .run = facts->run,
        .restart = agent->restart.now.phase != HA_RESTART_NONE,
        .executing = agent->executing,
        .looking = agent->inspecting,
        .callbacks = agent->callbacks_running,
        .primary = facts->run == HA_RUN_RUNNING && facts->probe.role == PG_PRIMARY,
        .paused = agent_is_paused(agent),
        .fence_silent = agent->fence != NULL && fence_client_status(agent->fence)->silent,
        .disk_stalled = facts->disk == PG_DISK_STALLED,
        .acquiring = agent->acquiring,
        .held = agent->lease.held,
        .failsafe = failsafe_is_active(agent),
        .renewed_ago_ms =
            agent->renewed_lease_ms == 0 ? -1 : agent_lease_ms(agent) - agent->renewed_lease_ms,
        .ttl_ms = agent->dynamic.ttl_ms};
}

static const char *hindrance(void *arg, bool leaving)
{
    const struct app_reexec *app = arg;
    struct reexec_facts facts;
    look(app->agent, &facts);
    return reexec_hindrance(&facts, leaving);
}

static struct raft_node *node(void *arg)
{
    const struct app_reexec *app = arg;
    return app->agent->group == NULL ? NULL : raft_group_node(app->agent->group);
}

static int handover_ms(void *arg)
{
    const struct app_reexec *app = arg;
    int election_ms = 0;
    int heartbeat_ms = 0;
    config_raft_timeouts(&app->agent->config->raft, app->agent->dynamic.ttl_ms, &election_ms,
                         &heartbeat_ms);
    return election_ms;
}

static int lock_fd(void *arg)
{
    const struct app_reexec *app = arg;
    return *app->lock_fd;
}

static void leaving(void *arg, bool does)
{
    struct app_reexec *app = arg;
    notify_reloading(app->notify, does);
}

static void told(void *arg, int rc, const char *text)
{
    enum { REFUSED = 412, BUSY = 503, DONE = 202, DRY = 200 };
    struct app_reexec *app = arg;
    int code = rc == ERR_REFUSED ? REFUSED : rc != 0 ? BUSY : app->reexec.dry_run ? DRY : DONE;
    if (app->agent->api != NULL) {
        api_server_reexec_told(app->agent->api, code, text);
    }
}

int app_reexec_open(struct app_reexec *app, struct agent *agent, struct notify *notify,
                    const int *lock_fd_at, struct error *err)
{
    char *identity = config_identity(agent->config);
    struct reexec_ports ports = {.clock = agent->clock,
                                 .identity = identity,
                                 .taken = config_environment_taken(),
                                 .hindrance = hindrance,
                                 .node = node,
                                 .handover_ms = handover_ms,
                                 .lock_fd = lock_fd,
                                 .leaving = leaving,
                                 .told = told,
                                 .arg = app};
    *app = (struct app_reexec){
        .agent = agent, .notify = notify, .identity = identity, .lock_fd = lock_fd_at};
    reexec_children_take(&app->children, agent->loop);
    return reexec_open(&app->reexec, agent->loop, &ports, err);
}

int app_reexec_ask(struct app_reexec *app, bool dry_run, struct error *err)
{
    return reexec_ask(&app->reexec, "POST /reexec", dry_run, err);
}

void app_reexec_signal(struct app_reexec *app)
{
    struct error err = {0};
    if (reexec_ask(&app->reexec, "SIGUSR2", false, &err) != 0) {
        log_warning("SIGUSR2: %s", err.text);
    }
}

void app_reexec_close(struct app_reexec *app)
{
    reexec_children_close(&app->children);
    reexec_close(&app->reexec);
}

void app_reexec_free(struct app_reexec *app)
{
    reexec_free(&app->reexec);
    mem_free(app->identity);
}
