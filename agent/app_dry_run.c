/* A decision is a pure function of a snapshot: it is made on a copy that has what is supposed, and
 * its plan is told instead of carried out. */
#include "agent/app_dry_run.h"

#include "agent/app_json.h"
#include "agent/ha/ha_reinit.h"
#include "agent/ha/ha_restart.h"
#include "agent/loop/loop.h"
#include "base/mem.h"

#include <jansson.h>

static int suppose_restart(struct ha_snapshot *s, const struct api_restart *restart,
                           struct error *err)
{
    const char *word = "";
    const char *unmet = ha_restart_unmet(s, &restart->filter);
    if (unmet != NULL) {
        return error_set(err, ERR_REFUSED, "restart conditions are not satisfied: %s", unmet);
    }
    switch (ha_restart_hindered(s, &word)) {
    case HA_RESTART_BUSY: return error_set(err, ERR_BUSY, "%s already in progress", word);
    case HA_RESTART_NOT_RUNNING:
        return error_set(err, ERR_UNAVAILABLE, "restart failed: PostgreSQL is %s", word);
    case HA_RESTART_FREE: break;
    }
    s->restart.phase = HA_RESTART_ORDERED;
    s->restart.role = s->self.role;
    s->restart.ordered_mono_ms = s->now_mono_ms;
    s->restart.timeout_ms = restart->timeout_ms;
    return 0;
}

static int suppose_reinit(struct ha_snapshot *s, const struct api_supposed *supposed,
                          struct error *err)
{
    const char *busy = "";
    const char *why = ha_reinit_hindered(s, &busy);
    if (why != NULL) {
        return error_set(err, ERR_REFUSED, "%s", why);
    }
    if (busy[0] != '\0' && !supposed->force) {
        return error_set(err, ERR_BUSY, "%s already in progress", busy);
    }
    s->reinit = (struct ha_reinit){.phase = HA_REINIT_ORDERED,
                                   .from_leader = supposed->from_leader,
                                   .cancels = supposed->force,
                                   .ordered_mono_ms = s->now_mono_ms};
    return 0;
}

static int suppose(struct ha_snapshot *s, const struct api_supposed *supposed, struct error *err)
{
    if (supposed->restart != NULL) {
        return suppose_restart(s, supposed->restart, err);
    }
    if (supposed->reinit) {
        return suppose_reinit(s, supposed, err);
    }
    s->cluster.failover = supposed->failover;
    s->cluster.failover.revision = s->cluster.revision + 1; /* as if it were just written */
    s->self.looks_for_request = false;                      /* and looked for, in vain */
    return 0;
}

static char *tell(const struct ha_plan *plan)
{
    json_t *document = json_object();
    json_t *actions = json_array();
    char *rule = mem_printf("%s/%s", plan->situation, plan->rule);
    for (size_t i = 0; i < plan->action_count; i++) {
        if (plan->actions[i].type != HA_WAIT) {
            (void)json_array_append_new(actions,
                                        json_string(ha_action_name(plan->actions[i].type)));
        }
    }
    app_json_set_text(document, "rule", rule);
    app_json_set_text(document, "reason", plan->reason);
    (void)json_object_set_new(document, "actions", actions);
    char *text = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(document);
    mem_free(rule);
    return text;
}

char *app_dry_run(void *arg, const struct api_supposed *supposed, struct error *err)
{
    struct agent *agent = arg;
    struct ha_snapshot *s = mem_new(struct ha_snapshot); /* large, both */
    struct ha_plan *plan = mem_new(struct ha_plan);
    char *text = NULL;
    facts_snapshot(agent, s);
    if (suppose(s, supposed, err) == 0) {
        const char *broken = ha_decide_supposed(s, plan);
        if (broken == NULL) {
            text = tell(plan);
        } else {
            (void)error_set(err, ERR_BUG, "no plan can be told: %s", broken);
        }
    }
    mem_free(plan);
    mem_free(s);
    return text;
}
