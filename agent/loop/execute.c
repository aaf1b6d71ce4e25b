/* Carries a plan out: actions in order, stops at the first failure. An action of the store is
 * waited for; what takes long is begun, and the plan goes on. Every action is idempotent, so a plan
 * that stops half-way is no harm: the next decision looks at the world again. */
#include "agent/loop/commands.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/loop.h"
#include "agent/loop/reinit.h"
#include "agent/loop/restart.h"

#include "agent/ha/ha_cluster.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgctl/pg_parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void finish(struct agent *agent, const struct ha_action *action, int rc,
                   const struct error *err)
{
    char failure[ERROR_TEXT_BYTES + 64];
    if (rc == 0) {
        cycle_plan_done(agent, NULL);
        return;
    }
    (void)snprintf(failure, sizeof failure, "%s: %s", ha_action_name(action->type),
                   err == NULL || err->text[0] == '\0' ? err_name(rc) : err->text);
    if (rc == ERR_CONFLICT) {
        /* Another one was first, or a view was behind (as after a start): nothing was written. */
        log_info("%s, deciding anew", failure);
    } else if (rc != ERR_BUSY && rc != ERR_CANCELED) {
        log_warning("%s, deciding anew", failure);
    }
    cycle_plan_done(agent, failure);
}

void execute_continue(struct agent *agent, int rc, const struct error *err)
{
    if (!agent->executing) {
        return; /* the loop is being closed */
    }
    if (rc != 0) {
        finish(agent, &agent->plan.actions[agent->action_index], rc, err);
        return;
    }
    agent->action_index++;
    execute_plan(agent);
}

/* --- writes to the store ---------------------------------------------------------------------- */

static void on_written(void *arg, const struct dcs_result *result, const struct error *err)
{
    execute_continue(arg, result->rc, err);
}

static int put(struct agent *agent, const char *key, const char *value, int64_t compare,
               struct error *err)
{
    int rc =
        agent->dcs->ops->put(agent->dcs, key, value, compare, LOOP_DCS_MS, on_written, agent, err);
    return rc == 0 ? 1 : rc;
}

static int do_write_initialize(struct agent *agent, const struct ha_action *action,
                               struct error *err)
{
    return put(agent, "initialize", action->text, action->revision, err);
}

static int do_write_config(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char warning[DYNAMIC_WARNING_BYTES] = "";
    json_t *adjusted = NULL;
    const json_t *source =
        agent->facts.config_revision >= 0 ? agent->dynamic.document : agent->config->bootstrap.dcs;
    int rc =
        dynamic_config_adjusted(source, config_ttl_min_ms(agent->config), &adjusted, warning, err);
    if (rc != 0) {
        return rc;
    }
    if (warning[0] != '\0') {
        log_warning("bootstrap.dcs: %s", warning);
    }
    char *text = json_dumps(adjusted, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(adjusted);
    ASSERT(text != NULL);
    rc = put(agent, "config", text, action->revision, err);
    mem_free(text); /* jansson allocates with mem.h's functions: agent/app.c sets them */
    return rc;
}

static int do_write_failsafe(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char *value = failsafe_value(agent, action->revision);
    if (value == NULL) {
        return error_set(err, ERR_BUSY, "in failsafe mode the list stays as it is");
    }
    int rc = put(agent, "failsafe", value, action->revision, err);
    mem_free(value);
    return rc;
}

struct history_job {
    uv_work_t work;
    struct agent *agent;
    char path[PG_PATH_BYTES];
    uint32_t timeline;
    int rc;
    struct pg_history history;
    struct error err;
};

/* In a thread of the pool: a stalled disk must not stop the renewals. */
static void read_history(uv_work_t *work)
{
    struct history_job *job = work->data;
    char *text = NULL;
    size_t len = 0;

    if (job->timeline > 1) {
        FILE *file = fopen(job->path, "re");
        if (file == NULL) {
            job->rc = error_set(&job->err, ERR_NOT_FOUND, "%s: %s", job->path, strerror(errno));
            return;
        }
        text = mem_alloc(PG_HISTORY_BYTES_MAX + 1); /* one more: a longer one is refused */
        len = fread(text, 1, PG_HISTORY_BYTES_MAX + 1, file);
        (void)fclose(file);
    }
    job->rc = pg_history_parse(job->timeline, span_of(text, len), &job->history, &job->err);
    mem_free(text);
}

/* The leader's upkeep does not hang on it: what fails is said once, and tried again with a later
 * look. A conflict is no failure: somebody has written, and the next decision sees it. */
static void history_done(struct agent *agent, int rc, const struct error *err)
{
    bool failed = rc != 0 && rc != ERR_CONFLICT && rc != ERR_CANCELED;
    if (failed && agent->executing) {
        int64_t wait_ms = agent->dynamic.loop_wait_ms;
        agent->history_again_mono_ms = agent_mono_ms(agent) + wait_ms;
        log_warning("writing the timeline history: %s, retrying in %" PRId64 " s",
                    err == NULL || err->text[0] == '\0' ? err_name(rc) : err->text, wait_ms / 1000);
    }
    execute_continue(agent, failed ? 0 : rc, err);
}

static void on_history_written(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;
    if (result->rc == 0) {
        agent->history_told_revision = result->revision;
    }
    history_done(agent, result->rc, err);
}

static void on_history_read(uv_work_t *work, int status)
{
    struct history_job *job = work->data;
    struct agent *agent = job->agent;
    struct error err = job->err;
    bool read = status == 0 && job->rc == 0;
    int rc = status != 0 ? ERR_CANCELED : job->rc;

    if (read && agent->executing) { /* else the loop is being closed: there is no view any more */
        char *value = publish_history_value(agent, &job->history);
        agent->history_told_timeline = job->timeline;
        agent->history_told_revision = 0;
        rc = agent->dcs->ops->put(agent->dcs, "history", value,
                                  agent->facts.cluster.history_revision, LOOP_DCS_MS,
                                  on_history_written, agent, &err);
        mem_free(value);
    }
    pg_history_free(&job->history);
    mem_free(job);
    if (!read || rc != 0) {
        history_done(agent, rc, &err);
    }
}

static int do_write_history(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    if (agent_mono_ms(agent) < agent->history_again_mono_ms) {
        return 0;
    }
    struct history_job *job = mem_new(struct history_job);
    job->work.data = job;
    job->agent = agent;
    job->timeline = agent->facts.probe.timeline;
    (void)snprintf(job->path, sizeof job->path, "%s/pg_wal/%08X.history",
                   agent->config->postgresql.data_dir, job->timeline);
    if (uv_queue_work(agent->loop, &job->work, read_history, on_history_read) != 0) {
        mem_free(job);
        return error_set(err, ERR_LIMIT, "no thread for reading the timeline history");
    }
    return 1;
}

static void on_status(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;
    (void)err;
    if (result->rc != 0) {
        mem_free(agent->status_written);
        agent->status_written = NULL; /* written again with the next one */
    }
}

/* Not waited for: a position that is a second old is what readers reckon with. */
static int do_write_status(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char *value = publish_status_value(agent, action->lsn, false);
    if (value == NULL) {
        return 0;
    }
    int rc = agent->dcs->ops->put_status(agent->dcs, agent->lease.epoch.revision, value,
                                         LOOP_DCS_MS, on_status, agent, err);
    mem_free(value);
    return rc;
}

static int do_clear_failover(struct agent *agent, const struct ha_action *action, struct error *err)
{
    return put(agent, "failover", "{}", action->revision, err);
}

static void report_key(const struct agent *agent, char *ret_key, size_t size)
{
    (void)snprintf(ret_key, size, "reports/%s", agent->config->name);
}

static int do_write_report(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct ha_report report = {.valid = true,
                               .epoch = action->epoch,
                               .timeline = action->timeline,
                               .lsn = action->lsn,
                               .yields = action->yields,
                               .unfit = action->unfit,
                               .primary_silent_ms = action->primary_silent_ms,
                               .raft_silent_ms = action->raft_silent_ms};
    struct buf value = BUF_INIT;
    char key[HA_NAME_BYTES + 16];

    memcpy(report.system_id, agent->snapshot.self.system_id, sizeof report.system_id);
    ha_report_value(&report, &value);
    report_key(agent, key, sizeof key);
    int rc = put(agent, key, buf_str(&value), action->revision, err);
    buf_free(&value);
    agent->facts.withdrawn_epoch =
        (struct ha_epoch){0}; /* only what is taken back after it counts */
    return rc;
}

static void on_withdrawn(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;
    if (result->rc == 0 && agent->executing) {
        agent->facts.withdrawn_epoch = agent->plan.actions[agent->action_index].epoch;
    }
    execute_continue(agent, result->rc, err);
}

static int do_withdraw_report(struct agent *agent, const struct ha_action *action,
                              struct error *err)
{
    int rc =
        agent->dcs->ops->withdraw(agent->dcs, agent->config->name, action->revision,
                                  action->epoch.revision, LOOP_DCS_MS, on_withdrawn, agent, err);
    return rc == 0 ? 1 : rc;
}

/* --- the lease -------------------------------------------------------------------------------- */

static void on_acquired(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;

    agent->acquiring = false;
    if (result->rc == 0) {
        struct ha_epoch epoch = {agent->facts.view == NULL ? 0 : agent->facts.view->cluster,
                                 result->revision};
        if (ha_lease_acquired(&agent->lease, epoch, result->sent_ms, agent->acquire_ttl_ms,
                              agent_lease_ms(agent))) {
            agent->facts.term_since_mono_ms = agent_mono_ms(agent);
            failsafe_renewed(agent);
        } else {
            log_warning("the leader key was acquired, but the answer came too late to use it");
        }
        keeper_kick(agent);
    }
    execute_continue(agent, result->rc, err);
}

static enum dcs_unfenced unfenced_of(enum ha_unfenced unfenced)
{
    switch (unfenced) {
    case HA_UNFENCED_LEAVE: break;
    case HA_UNFENCED_PUT: return DCS_UNFENCED_PUT;
    case HA_UNFENCED_REMOVE: return DCS_UNFENCED_REMOVE;
    }
    return DCS_UNFENCED_LEAVE;
}

/* `deposes`: the epoch that is ended with it; 0 = the key is absent. */
static int acquire_key(struct agent *agent, int64_t deposes, int64_t timeout_ms, struct error *err)
{
    const struct ha_acquire *wanted = &agent->plan.acquire;
    struct dcs_acquire acquire = {.holder = agent->config->name,
                                  .instance = agent->instance,
                                  .ttl_ms = agent->dynamic.ttl_ms,
                                  .epoch_revision = wanted->epoch_revision,
                                  .config_revision = wanted->config_revision,
                                  .sync_revision = wanted->sync_revision,
                                  .recovered_revision = wanted->recovered_revision,
                                  .timeline = wanted->timeline,
                                  .unfenced_revision = wanted->unfenced_revision,
                                  .unfenced = unfenced_of(wanted->unfenced),
                                  .deposes = deposes,
                                  .report_count = wanted->report_count};
    struct ha_failsafe failsafe = {0};
    failsafe_fill(agent, &failsafe);
    if (agent_lease_ms(agent) < failsafe.until_lease_ms) { /* since the decision */
        return error_set(err, ERR_BUSY, "'%s' was promised to be left alone", failsafe.primary);
    }
    for (size_t i = 0; i < wanted->report_count && i < DCS_REPORTS_MAX; i++) {
        acquire.reports[i].member = wanted->reports[i].member;
        acquire.reports[i].revision = wanted->reports[i].revision;
    }
    int rc = agent->dcs->ops->acquire(agent->dcs, &acquire, timeout_ms, on_acquired, agent, err);
    if (rc != 0) {
        return rc;
    }
    agent->acquiring = true;
    agent->acquire_ttl_ms = acquire.ttl_ms;
    return 1;
}

static int do_acquire(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    return acquire_key(agent, 0, agent->dynamic.retry_timeout_ms, err);
}

/* Not waited for longer than the silence that it goes by: a sign of life must be heard. */
static int do_depose(struct agent *agent, const struct ha_action *action, struct error *err)
{
    const struct ha_acquire *wanted = &agent->plan.acquire;
    if (!ha_epoch_equal(agent->depose_told, action->epoch)) {
        log_warning("ending the lease of '%s', which gives no sign of life, by %zu reports",
                    agent->snapshot.cluster.leader, wanted->report_count);
        agent->depose_told = action->epoch;
    }
    return acquire_key(agent, action->epoch.revision,
                       2 * agent->snapshot.settings.election_timeout_ms, err);
}

static int do_resume(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct fence_lease page = fence_lease_standby();
    struct fence_page *mapped = fence_client_page(agent->fence);
    bool ours = mapped != NULL && fence_page_read(mapped, &page) && fence_lease_armed(&page) &&
                page.epoch.cluster == action->epoch.cluster &&
                page.epoch.revision == action->epoch.revision;
    if (!ha_lease_resume(&agent->lease, action->epoch, ours ? page.soft_ms : 0,
                         ours ? page.deadline_ms : 0, ours ? page.watchdog_ms : 0,
                         agent_lease_ms(agent))) {
        return error_set(err, ERR_REFUSED, "that epoch is over for this node");
    }
    agent->facts.term_since_mono_ms = agent_mono_ms(agent);
    keeper_kick(agent);
    return 0;
}

static int do_arm(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct ha_lease_page lease;
    struct fence_page *mapped = fence_client_page(agent->fence);
    (void)action;
    if (mapped == NULL || !ha_lease_page(&agent->lease, &lease) ||
        !ha_lease_valid(&agent->lease, agent_lease_ms(agent))) {
        return error_set(err, ERR_REFUSED, "the lease ran out before the fence was armed");
    }
    struct fence_lease page = {.epoch = {lease.epoch.cluster, lease.epoch.revision},
                               .soft_ms = lease.soft_ms,
                               .deadline_ms = lease.deadline_ms,
                               .watchdog_ms = lease.watchdog_ms};
    fence_page_write(mapped, &page);
    watchdog_hurry(agent);
    return 0;
}

static int do_put_unfenced(struct agent *agent, const struct ha_action *action, struct error *err)
{
    int rc = agent->dcs->ops->put_unfenced(agent->dcs, action->epoch.revision, LOOP_DCS_MS,
                                           on_written, agent, err);
    return rc == 0 ? 1 : rc;
}

/* The put before it was answered, in this plan: nobody else acquires from now on. A lease that has
 * run out meanwhile is the fence's: it may have begun to act. */
static int do_unfence(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct fence_page *mapped = fence_client_page(agent->fence);
    struct fence_lease page = {.epoch = {action->epoch.cluster, action->epoch.revision},
                               .soft_ms = FENCE_NO_DEADLINE,
                               .deadline_ms = FENCE_NO_DEADLINE,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    if (mapped == NULL || !ha_epoch_equal(agent->lease.epoch, action->epoch) ||
        !ha_lease_valid(&agent->lease, agent_lease_ms(agent))) {
        return error_set(err, ERR_REFUSED, "the lease ran out before the fence was disarmed");
    }
    fence_page_write(mapped, &page);
    return 0;
}

static int do_remove_unfenced(struct agent *agent, const struct ha_action *action,
                              struct error *err)
{
    int rc = agent->dcs->ops->remove(agent->dcs, "unfenced", action->revision, LOOP_DCS_MS,
                                     on_written, agent, err);
    return rc == 0 ? 1 : rc;
}

static int do_remove_sync(struct agent *agent, const struct ha_action *action, struct error *err)
{
    int rc = agent->dcs->ops->remove(agent->dcs, "sync", action->revision, LOOP_DCS_MS, on_written,
                                     agent, err);
    return rc == 0 ? 1 : rc;
}

static int do_disarm(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct fence_lease page = fence_lease_standby();
    struct fence_page *mapped = fence_client_page(agent->fence);
    (void)action;
    if (mapped == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "the fence's page is not here");
    }
    fence_page_write(mapped, &page);
    return 0;
}

static int do_fence_over(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct fence_page *mapped = fence_client_page(agent->fence);
    struct fence_lease page = {.epoch = {action->epoch.cluster, action->epoch.revision},
                               .soft_ms = FENCE_OVER,
                               .deadline_ms = FENCE_OVER,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    if (mapped == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "the fence's page is not here");
    }
    fence_page_write(mapped, &page);
    ha_lease_fired(&agent->lease, action->epoch);
    return 0;
}

/* As if the fence had fired: it kills, again and again while something is left, and nothing here
 * can make the epoch live again. */
static int do_abandon(struct agent *agent, const struct ha_action *action, struct error *err)
{
    int rc = do_fence_over(agent, action, err);
    if (rc == 0) {
        log_error("giving up the term: %s", agent->plan.reason);
        agent->facts.stop_ordered = true;
        keeper_kick(agent);
        observe_run(agent);
    }
    return rc;
}

/* Its end is an event, and ours: the next agent starts another one. One that hangs in the kernel
 * stays, and is told once. */
static int do_end_fence(struct agent *agent, const struct ha_action *action, struct error *err)
{
    int32_t pid = fence_client_status(agent->fence)->fence_pid;
    (void)action;
    int rc = fence_client_end(agent->fence, err);
    if (rc == 0 && agent->fence_ended_pid != pid) {
        agent->fence_ended_pid = pid;
        log_error("ending the fence (process %" PRId32 "), which stands still: nothing of "
                  "PostgreSQL is left, and another one is to take its place",
                  pid);
    }
    return rc;
}

static void on_released(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;
    if (result->rc == 0 || result->rc == ERR_CONFLICT) {
        ha_lease_drop(&agent->lease);
        keeper_kick(agent);
    }
    execute_continue(agent, result->rc, err);
}

static int do_release(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char *status = action->lsn == 0 ? NULL : publish_status_value(agent, action->lsn, true);
    /* Once sent it may be applied at any later time, whatever its answer is: nothing is done in
     * this epoch any more, also where a standby goes on running and the page cannot say that it is
     * over.
     */
    ha_lease_fired(&agent->lease, action->epoch);
    keeper_kick(agent);
    int rc = agent->dcs->ops->release(agent->dcs, action->epoch.revision, status, LOOP_DCS_MS,
                                      on_released, agent, err);
    mem_free(status);
    return rc == 0 ? 1 : rc;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int do_wait(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)agent;
    (void)action;
    (void)err;
    return 0; /* cycle_plan_done arms the timer */
}

static int do_order_restart(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    (void)err;
    restart_due(agent);
    return 0;
}

/* Both: the plan's reason is what whoever asked is told. */
static int do_drop_restart(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    (void)err;
    restart_drop(agent, agent->plan.reason);
    return 0;
}

static int do_drop_reinit(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    (void)err;
    reinit_drop(agent, agent->plan.reason);
    return 0;
}

static int do_exit(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    if (!commands_let_exit(agent)) {
        return error_set(err, ERR_BUSY, "a callback runs");
    }
    agent->on_exit(agent, 0);
    return 0;
}

typedef int (*do_action)(struct agent *agent, const struct ha_action *action, struct error *err);

static const do_action actions[HA_EXIT + 1] = {
    [HA_WAIT] = do_wait,
    [HA_WRITE_INITIALIZE] = do_write_initialize,
    [HA_WRITE_CONFIG] = do_write_config,
    [HA_WRITE_FAILSAFE] = do_write_failsafe,
    [HA_WRITE_HISTORY] = do_write_history,
    [HA_WRITE_STATUS] = do_write_status,
    [HA_REMOVE_SYNC] = do_remove_sync,
    [HA_CLEAR_FAILOVER] = do_clear_failover,
    [HA_WRITE_REPORT] = do_write_report,
    [HA_WITHDRAW_REPORT] = do_withdraw_report,
    [HA_ACQUIRE] = do_acquire,
    [HA_DEPOSE] = do_depose,
    [HA_RESUME] = do_resume,
    [HA_ARM] = do_arm,
    [HA_DISARM] = do_disarm,
    [HA_FENCE_OVER] = do_fence_over,
    [HA_PUT_UNFENCED] = do_put_unfenced,
    [HA_UNFENCE] = do_unfence,
    [HA_REMOVE_UNFENCED] = do_remove_unfenced,
    [HA_RELEASE] = do_release,
    [HA_ABANDON] = do_abandon,
    [HA_END_FENCE] = do_end_fence,
    [HA_ORDER_RESTART] = do_order_restart,
    [HA_DROP_RESTART] = do_drop_restart,
    [HA_DROP_SCHEDULED] = do_drop_restart,
    [HA_DROP_REINIT] = do_drop_reinit,
    [HA_EXIT] = do_exit,
};

void execute_plan(struct agent *agent)
{
    while (agent->action_index < agent->plan.action_count) {
        const struct ha_action *action = &agent->plan.actions[agent->action_index];
        struct error err = {0};
        int rc = execute_is_pg(action->type) ? execute_pg(agent, action, &err)
                                             : actions[action->type](agent, action, &err);
        if (rc == 1) {
            return; /* execute_continue comes */
        }
        if (rc < 0) {
            finish(agent, action, rc, &err);
            return;
        }
        if (action->type == HA_EXIT) {
            return;
        }
        agent->action_index++;
    }
    finish(agent, NULL, 0, NULL);
}
