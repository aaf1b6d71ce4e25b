/* One thing at a time: while a look, a write, a change of the setting or an end of walsenders is
 * under way, nothing else is begun; when it has ended, PostgreSQL is looked at again.
 *
 *   timer -> look -> ha_sync_see, ha_sync_next -> write | set | end -> look ...
 *
 * What this file adds to the decision is what only it can know: whether a look began after the
 * setting was in place, and which walsenders were there then (they may still go by an older
 * number). */
#include "agent/loop/sync.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOK_TIMEOUT_MS = 2000,
    LOOK_FRESH_MS = 2500, /* an older look says nothing of this moment */
    AGAIN_MS = 1000,      /* after a change that failed */
    STRANGER_MS = 1000,   /* between two ends of strangers: the steps go on meanwhile */
    STRANGER_TOLD_MS = 60000,
    RECONNECT_MS = 500, /* standbys come back: wal_retrieve_retry_interval is 100 ms */
    TEXT_BYTES = 1024,
};

struct loop_sync {
    uv_timer_t timer;
    struct sync_names names;
    struct ha_sync state;
    struct ha_epoch epoch; /* in which we lead, that `state` is of */
    bool steady;
    const char *waits_for;    /* the last long wait that was logged */
    struct ha_sync_move step; /* the last step that was logged: a repetition is no news */
    /* looks */
    bool looking;
    bool has_look;
    bool unread; /* `look` is new */
    struct pg_sync_look look;
    bool older_known; /* the first look at the last setting was had; who was seen there: */
    size_t older_count;
    struct pg_walsender older[PG_WALSENDERS_MAX];
    /* the setting */
    bool wanted; /* `value` is to be in place ... */
    bool placed; /* ... and is */
    bool placing;
    bool ours; /* the setting is; else the parameters of the configuration say it, `value` is "" */
    char value[PG_SYNC_VALUE_BYTES];
    int64_t placed_mono_ms;
    int64_t again_mono_ms;
    int64_t run_since_mono_ms;   /* of the standby for which it was placed */
    pg_done_cb done;             /* of a promotion that waits for it */
    bool promotion_refused;      /* while another setting was being placed */
    char told[ERROR_TEXT_BYTES]; /* the last failure, said once */
    /* the key */
    int64_t written_revision; /* the view has to show it first */
    /* walsenders */
    bool ending;
    size_t suspect_count; /* the strangers of the look before: who only begins has its slot by the
                             next one */
    struct process {
        int32_t pid;
        int64_t start_us;
    } suspects[PG_WALSENDERS_MAX];
    int64_t stranger_mono_ms; /* when the last one was ended */
    int64_t stranger_told_mono_ms;
};

bool sync_is_on(const struct agent *agent)
{
    return agent->dynamic.synchronous_mode != DYNAMIC_SYNCHRONOUS_OFF;
}

bool sync_is_quorum(const struct agent *agent)
{
    return agent->dynamic.synchronous_mode == DYNAMIC_SYNCHRONOUS_QUORUM;
}

static void on_timer(uv_timer_t *timer);

static void look_again(struct agent *agent, uint64_t wait_ms)
{
    (void)uv_timer_start(&agent->sync->timer, on_timer, wait_ms, 0);
}

/* --- the setting ------------------------------------------------------------------------------ */

static void tell_failure(struct loop_sync *sync, const struct error *err)
{
    if (strcmp(sync->told, err->text) != 0) {
        log_warning("synchronous replication: %s, retrying", err->text);
        (void)snprintf(sync->told, sizeof sync->told, "%s", err->text);
    }
}

static void on_placed(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_sync *sync = agent->sync;

    if (sync == NULL || agent->stopping) {
        return;
    }
    pg_done_cb done = sync->done;
    sync->placing = false;
    sync->done = NULL;
    sync->placed = rc == 0;
    sync->placed_mono_ms = agent_mono_ms(agent);
    sync->has_look = false;
    sync->older_known = false;
    if (rc != 0) {
        /* What stands elsewhere an operator has to take away; each try is a reload. */
        sync->again_mono_ms = sync->placed_mono_ms + (rc == ERR_CONFLICT ? SYNC_LATE_MS : AGAIN_MS);
        if (rc != ERR_CANCELED && rc != ERR_UNAVAILABLE) {
            tell_failure(sync, err);
        }
    } else {
        sync->told[0] = '\0';
    }
    look_again(agent, rc == 0 ? 0 : AGAIN_MS);
    if (sync->promotion_refused) {
        sync->promotion_refused = false;
        cycle_request(agent);
    }
    if (done != NULL) {
        done(agent, rc, err);
    }
}

/* Takes effect as soon as it can: what is busy now is asked again. */
static int place(struct agent *agent, struct error *err)
{
    struct loop_sync *sync = agent->sync;
    int rc = pg_instance_set_sync(agent->pg, sync->ours ? sync->value : NULL, SYNC_SET_MS,
                                  on_placed, agent, err);
    sync->wanted = true;
    sync->placed = false;
    sync->placing = rc == 0;
    sync->again_mono_ms = rc == 0 ? 0 : agent_mono_ms(agent) + SYNC_LOOK_SOON_MS;
    return rc;
}

static void want(struct loop_sync *sync, const char *value)
{
    sync->ours = value != NULL;
    if (value != sync->value) {
        (void)snprintf(sync->value, sizeof sync->value, "%s", value == NULL ? "" : value);
    }
}

/* NULL: it is not ours any more. */
static void set(struct agent *agent, const char *value)
{
    struct error err = {0};
    want(agent->sync, value);
    if (place(agent, &err) != 0 && err.code != ERR_BUSY && err.code != ERR_CANCELED) {
        tell_failure(agent->sync, &err);
    }
}

static bool is_placed(const struct loop_sync *sync, const char *value)
{
    return sync->placed && sync->ours == (value != NULL) &&
           (value == NULL || strcmp(sync->value, value) == 0);
}

/* --- the key ---------------------------------------------------------------------------------- */

static void on_written(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_sync *sync = agent->sync;

    if (sync == NULL) {
        return;
    }
    ha_sync_written(&sync->state, result->rc == 0 ? result->revision : 0);
    if (result->rc == 0) {
        sync->written_revision = result->revision;
        sync->told[0] = '\0';
    } else if (result->rc != ERR_CONFLICT && result->rc != ERR_CANCELED) {
        tell_failure(sync, err);
    }
    if (!agent->stopping) {
        look_again(agent, result->rc == 0 ? 0 : SYNC_LOOK_SOON_MS);
    }
}

static void write_key(struct agent *agent, const struct ha_sync_move *move, int64_t revision)
{
    struct loop_sync *sync = agent->sync;
    struct buf value = BUF_INIT;
    struct ha_sync_key key;
    struct error err = {0};
    bool deletes = move->step == HA_SYNC_DELETE;

    sync_names_key(&sync->names, agent->config->name, move->voters, move->quorum, &key);
    ha_sync_key_value(&key, &value);
    ha_sync_writing(&sync->state);
    int rc = agent->dcs->ops->put_sync(agent->dcs, sync->epoch.revision,
                                       deletes ? NULL : buf_str(&value), revision, LOOP_DCS_MS,
                                       on_written, agent, &err);
    if (rc != 0) { /* not sent */
        ha_sync_written(&sync->state, 0);
        if (rc != ERR_CONFLICT) {
            tell_failure(sync, &err);
        }
    }
    buf_free(&value);
}

/* --- walsenders ------------------------------------------------------------------------------- */

static void on_walsenders_ended(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    if (agent->sync == NULL || agent->stopping) {
        return;
    }
    agent->sync->ending = false;
    agent->sync->has_look = false;
    if (rc != 0 && rc != ERR_CANCELED) {
        tell_failure(agent->sync, err);
    }
    look_again(agent, RECONNECT_MS);
}

static void end_walsenders(struct agent *agent, const struct pg_walsender *walsenders, size_t count)
{
    struct error err = {0};
    agent->sync->ending =
        count > 0 && pg_instance_end_walsenders(agent->pg, walsenders, count, LOOK_TIMEOUT_MS,
                                                on_walsenders_ended, agent, &err) == 0;
}

/* --- looks ------------------------------------------------------------------------------------ */

static bool is_same_process(const struct pg_walsender *walsender, int32_t pid, int64_t start_us)
{
    return walsender->pid == pid && walsender->start_us == start_us;
}

static bool is_older(const struct loop_sync *sync, const struct pg_walsender *walsender)
{
    for (size_t i = 0; i < sync->older_count; i++) {
        if (is_same_process(walsender, sync->older[i].pid, sync->older[i].start_us)) {
            return true;
        }
    }
    return false;
}

static bool is_suspect(const struct loop_sync *sync, const struct pg_walsender *walsender)
{
    for (size_t i = 0; i < sync->suspect_count; i++) {
        if (is_same_process(walsender, sync->suspects[i].pid, sync->suspects[i].start_us)) {
            return true;
        }
    }
    return false;
}

/* PostgreSQL takes a stranger's word for a member's. True: some are being ended. */
static bool ends_strangers(struct agent *agent)
{
    struct loop_sync *sync = agent->sync;
    int64_t now_ms = agent_mono_ms(agent);
    struct process found[PG_WALSENDERS_MAX] = {{0, 0}};
    struct pg_walsender ended[PG_WALSENDERS_MAX];
    size_t found_count = 0;
    size_t count = 0;

    for (size_t i = 0; i < sync->look.count; i++) {
        const struct pg_walsender *walsender = &sync->look.walsenders[i];
        if (walsender->counts && sync_is_stranger(agent, walsender)) {
            found[found_count++] = (struct process){walsender->pid, walsender->start_us};
            if (is_suspect(sync, walsender)) {
                ended[count++] = *walsender;
            }
        }
    }
    memcpy(sync->suspects, found, found_count * sizeof found[0]);
    sync->suspect_count = found_count;
    if (found_count > 0) {
        look_again(agent, SYNC_LOOK_SOON_MS);
    }
    if (count == 0 || now_ms - sync->stranger_mono_ms < STRANGER_MS) {
        return false;
    }
    if (now_ms - sync->stranger_told_mono_ms >= STRANGER_TOLD_MS) {
        sync->stranger_told_mono_ms = now_ms;
        log_warning("synchronous replication: somebody replicates as '%s' without the slot of that "
                    "member (process %d), and would confirm commits in its place: it is ended, "
                    "each time it comes",
                    ended[0].name, (int)ended[0].pid);
    }
    sync->stranger_mono_ms = now_ms;
    end_walsenders(agent, ended, count);
    return sync->ending;
}

/* `ret_raw`: which walsender of the look each of the result's is. */
static void read_look(struct agent *agent, struct ha_sync_look *ret_look, size_t *ret_raw)
{
    struct loop_sync *sync = agent->sync;
    const struct pg_sync_look *look = &sync->look;
    int64_t now_ms = agent_mono_ms(agent);
    bool fits = !look->too_many;

    *ret_look = (struct ha_sync_look){.position = look->position};
    if (!sync->has_look || now_ms - look->asked_ms > LOOK_FRESH_MS) {
        return;
    }
    ret_look->fresh = !sync->state.set || (sync->placed && look->asked_ms >= sync->placed_mono_ms);
    ret_look->late = sync->placed && now_ms - sync->placed_mono_ms > SYNC_LATE_MS;
    ret_look->understood = sync_names_setting(&sync->names, look->setting, &ret_look->setting);
    for (size_t i = 0; i < look->count && fits; i++) {
        const struct pg_walsender *walsender = &look->walsenders[i];
        unsigned name = sync_names_find(&sync->names, walsender->name);
        if (name == HA_SYNC_NAMES_MAX && !walsender->counts) {
            continue; /* a backup, an archiver */
        }
        fits = ret_look->count < HA_SYNC_WALSENDERS_MAX;
        if (fits) {
            ret_raw[ret_look->count] = i;
            ret_look->walsenders[ret_look->count++] =
                (struct ha_sync_walsender){.name = name,
                                           .counts = walsender->counts,
                                           .streaming = walsender->streaming,
                                           .stranger = sync_is_stranger(agent, walsender),
                                           .older = is_older(sync, walsender),
                                           .flushed = walsender->flush_lsn};
        }
    }
    ret_look->fresh = ret_look->fresh && fits;
}

/* --- one step --------------------------------------------------------------------------------- */

static bool waits_long(const struct agent *agent)
{
    const struct loop_sync *sync = agent->sync;
    return sync->placed && agent_mono_ms(agent) - sync->placed_mono_ms > SYNC_LATE_MS;
}

static bool is_same(const struct ha_sync_move *a, const struct ha_sync_move *b)
{
    return a->step == b->step && a->voters == b->voters && a->quorum == b->quorum &&
           a->setting.names == b->setting.names && a->setting.numsync == b->setting.numsync &&
           a->reason == b->reason;
}

static void tell(const struct agent *agent, const struct ha_sync_move *move, const char *value)
{
    char voters[TEXT_BYTES];
    struct loop_sync *sync = agent->sync;
    bool waits = move->step == HA_SYNC_WAIT;
    if (waits && waits_long(agent) && sync->waits_for != move->reason) {
        sync->waits_for = move->reason;
        log_info("synchronous replication: waiting: %s", move->reason);
    }
    if (waits || is_same(move, &sync->step)) {
        return;
    }
    sync->step = *move;
    sync->waits_for = NULL;
    switch (move->step) {
    case HA_SYNC_STEADY:
    case HA_SYNC_WAIT: break;
    case HA_SYNC_PUBLISH:
        sync_names_text(&agent->sync->names, move->voters, voters, sizeof voters);
        log_info("synchronous replication: sync becomes %s, quorum %u: %s", voters, move->quorum,
                 move->reason);
        break;
    case HA_SYNC_DELETE:
        log_info("synchronous replication: sync is deleted: %s", move->reason);
        break;
    case HA_SYNC_SET:
        log_info("synchronous replication: synchronous_standby_names becomes '%s': %s", value,
                 move->reason);
        break;
    case HA_SYNC_TERMINATE:
        log_info("synchronous replication: %d walsenders are ended: %s",
                 __builtin_popcount(move->walsenders), move->reason);
        break;
    }
}

static void carry_out(struct agent *agent, const struct ha_sync_move *move,
                      const struct ha_sync_published *published, const size_t *raw)
{
    struct loop_sync *sync = agent->sync;
    struct pg_walsender ended[HA_SYNC_WALSENDERS_MAX];
    size_t count = 0;
    char *value = sync_names_value(&sync->names, move->setting, sync_is_quorum(agent));

    tell(agent, move, value);
    switch (move->step) {
    case HA_SYNC_STEADY:
    case HA_SYNC_WAIT: break;
    case HA_SYNC_PUBLISH:
    case HA_SYNC_DELETE: write_key(agent, move, published->revision); break;
    case HA_SYNC_SET:
        ha_sync_set(&sync->state, move->setting);
        set(agent, value);
        break;
    case HA_SYNC_TERMINATE:
        for (unsigned i = 0; i < HA_SYNC_WALSENDERS_MAX; i++) {
            if ((move->walsenders >> i & 1) != 0) {
                ended[count++] = sync->look.walsenders[raw[i]];
            }
        }
        end_walsenders(agent, ended, count);
        break;
    }
    mem_free(value);
}

/* The same names and number, written as the other mode would: FIRST or ANY. No commit is answered
 * by it that was not before. */
static void rewrite(struct agent *agent, struct ha_sync_setting setting)
{
    struct pg_sync_names parsed;
    bool any = sync_is_quorum(agent);
    bool one = setting.numsync == (unsigned)__builtin_popcount(setting.names);

    if (setting.names == 0 || one ||
        pg_sync_names_parse(agent->sync->look.setting, &parsed, NULL) != 0 || parsed.any == any) {
        return;
    }
    char *value = sync_names_value(&agent->sync->names, setting, any);
    log_info("synchronous replication: synchronous_standby_names becomes '%s'", value);
    set(agent, value);
    mem_free(value);
}

static void advance(struct agent *agent)
{
    struct loop_sync *sync = agent->sync;
    struct ha_sync_published published;
    struct ha_sync_look look;
    struct ha_sync_target target;
    struct ha_sync_move move;
    size_t raw[HA_SYNC_WALSENDERS_MAX];

    sync_names_keep(&sync->names, sync->state.setting.names);
    sync_names_published(&sync->names, &agent->facts.cluster, agent->config->name, &published);
    if (agent->facts.cluster.revision < sync->written_revision) {
        return; /* the view is from before what we have written; a new one is an event */
    }
    bool unread = sync->unread;
    sync->unread = false;
    if (unread && ends_strangers(agent)) {
        return;
    }
    struct ha_sync_setting now = sync->state.setting;
    (void)sync_names_setting(&sync->names, sync->look.setting, &now);
    sync_target(agent, &sync->names, sync->has_look ? &sync->look : NULL, now,
                &target); /* every name has its bit before walsenders are named */
    read_look(agent, &look, raw);
    if (look.fresh && !sync->older_known) {
        sync->older_known = true;
        sync->older_count = sync->look.count;
        memcpy(sync->older, sync->look.walsenders, sizeof sync->older);
        read_look(agent, &look, raw);
    }
    ha_sync_see(&sync->state, &look);
    ha_sync_next(&sync->state, &published, &look, &target, &move);
    sync->steady = move.step == HA_SYNC_STEADY;
    carry_out(agent, &move, &published, raw);
    if (sync->steady && target.on) {
        rewrite(agent, look.setting);
    } else if (sync->steady) {
        ha_sync_init(&sync->state); /* nobody knows what waits for whom from now on */
        if (!is_placed(sync, NULL)) {
            set(agent, NULL);
        }
    }
}

/* Nothing of the last term is under way: who is busy comes to no term. */
static void begin_term(struct agent *agent)
{
    struct loop_sync *sync = agent->sync;
    sync->epoch = agent->lease.epoch;
    ha_sync_init(&sync->state);
    sync_names_init(&sync->names);
    sync->wanted = false;
    sync->placed = false;
    sync->step = (struct ha_sync_move){0};
    sync->has_look = false;
    sync->older_known = false;
    sync->older_count = 0;
    sync->suspect_count = 0;
    sync->stranger_mono_ms = INT64_MIN / 2;
    sync->stranger_told_mono_ms = INT64_MIN / 2;
    sync->written_revision = 0;
}

static bool leads(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    return facts->run == HA_RUN_RUNNING && facts->probe.role == PG_PRIMARY && !facts->job.running &&
           strcmp(facts->cluster.leader, agent->config->name) == 0 &&
           ha_epoch_equal(facts->cluster.leader_epoch, agent->lease.epoch) && keeper_leads(agent);
}

/* From the moment of its promotion on it waits for somebody, whoever that will be. */
static void prepare_standby(struct agent *agent)
{
    struct loop_sync *sync = agent->sync;
    const struct loop_facts *facts = &agent->facts;
    const char *value = sync_is_on(agent) ? "\"" SYNC_NOBODY_NAME "\"" : NULL;
    bool ours = strcmp(facts->cluster.leader, agent->config->name) == 0;

    if (ours || !parameters_are_for_ours(agent) || facts->job.running || agent->acquiring ||
        pg_instance_promote_sent(agent->pg) || agent_mono_ms(agent) < sync->again_mono_ms ||
        (is_placed(sync, value) && sync->run_since_mono_ms == facts->run_since_mono_ms)) {
        return;
    }
    sync->run_since_mono_ms = facts->run_since_mono_ms;
    set(agent, value);
}

static void on_looked(void *arg, int rc, const struct pg_sync_look *look, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_sync *sync = agent->sync;

    if (sync == NULL || agent->stopping) {
        return;
    }
    sync->looking = false;
    if (rc == 0) {
        sync->look = *look;
        sync->has_look = true;
        sync->unread = true;
    } else if (rc != ERR_CANCELED) {
        log_debug("synchronous replication: %s", err->text);
    }
    sync_kick(agent);
}

static bool is_busy(const struct loop_sync *sync)
{
    return sync->looking || sync->placing || sync->ending || sync->state.writing;
}

static bool is_ready(const struct agent *agent)
{
    return agent->sync != NULL && !agent->stopping && agent->pg != NULL && !agent->unconfigured &&
           agent->facts.config_revision >= 0 && agent->facts.cluster.known &&
           agent->facts.run == HA_RUN_RUNNING && !is_busy(agent->sync);
}

void sync_kick(struct agent *agent)
{
    if (!is_ready(agent)) {
        return;
    }
    struct loop_sync *sync = agent->sync;
    if (agent->facts.probe.role == PG_STANDBY) {
        prepare_standby(agent);
        return;
    }
    /* A primary that is about to become the standby of another cluster waits on for whom it has
     * waited: nothing is released on its way down. */
    if (!leads(agent) || agent->dynamic.standby_cluster) {
        return;
    }
    if (!ha_epoch_equal(sync->epoch, agent->lease.epoch)) {
        begin_term(agent);
    }
    bool lets_go = !sync_is_on(agent) && sync->ours; /* what cannot be set is not wanted any more */
    if (sync->wanted && !sync->placed && !lets_go) {
        if (agent_mono_ms(agent) >= sync->again_mono_ms) {
            set(agent, sync->ours ? sync->value : NULL);
        }
        return;
    }
    advance(agent);
}

static void on_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    struct loop_sync *sync = agent->sync;
    struct error err = {0};

    sync_kick(agent);
    bool wants_look =
        is_ready(agent) && leads(agent) && sync_is_on(agent) && (!sync->wanted || sync->placed);
    sync->looking = wants_look &&
                    pg_instance_look_sync(agent->pg, LOOK_TIMEOUT_MS, on_looked, agent, &err) == 0;
    if (!uv_is_active((uv_handle_t *)timer)) {
        uint64_t wait_ms = sync->steady || waits_long(agent) ? SYNC_LOOK_MS : SYNC_LOOK_SOON_MS;
        (void)uv_timer_start(timer, on_timer, wait_ms, 0);
    }
}

/* --- promotion -------------------------------------------------------------------------------- */

int sync_before_promotion(struct agent *agent, pg_done_cb done, struct error *err)
{
    struct loop_sync *sync = agent->sync;
    struct ha_sync_published published;
    struct ha_sync_setting setting = {0};

    if (sync == NULL) {
        return 0;
    }
    if (sync->placing) {
        sync->promotion_refused = true;
        return error_set(err, ERR_BUSY, "synchronous_standby_names is being set");
    }
    sync_names_init(&sync->names);
    sync_names_published(&sync->names, &agent->facts.cluster, agent->config->name, &published);
    /* The key stands for as long as it is there: when the mode is off, its deletion comes first. */
    bool on = sync_is_on(agent);
    bool ours = on || published.present;
    if (ours) {
        bool strict = on ? agent->dynamic.synchronous_mode_strict : agent->unconfigured;
        setting = ha_sync_first(&published, strict);
    } else if (is_placed(sync, NULL)) {
        return 0;
    }
    char *value = sync_names_value(&sync->names, setting, sync_is_quorum(agent));
    want(sync, ours ? value : NULL);
    mem_free(value);
    int rc = place(agent, err);
    if (rc != 0) {
        return rc;
    }
    log_info("synchronous replication: begins with synchronous_standby_names '%s'", sync->value);
    sync->done = done;
    return 1;
}

/* --- life ------------------------------------------------------------------------------------- */

int sync_start(struct agent *agent)
{
    struct loop_sync *sync = mem_new(struct loop_sync);
    sync_names_init(&sync->names);
    ha_sync_init(&sync->state);
    sync->timer.data = agent;
    int rc = uv_timer_init(agent->loop, &sync->timer);
    if (rc != 0) {
        mem_free(sync);
        return rc;
    }
    agent->sync = sync;
    return uv_timer_start(&sync->timer, on_timer, SYNC_LOOK_MS, 0);
}

static void on_closed(uv_handle_t *handle)
{
    mem_free((char *)handle - offsetof(struct loop_sync, timer));
}

void sync_stop(struct agent *agent)
{
    struct loop_sync *sync = agent->sync;
    if (sync != NULL) {
        agent->sync = NULL;
        uv_close((uv_handle_t *)&sync->timer, on_closed);
    }
}
