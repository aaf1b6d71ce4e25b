/* Orders come from REST; the rules carry them out; here is how far it is. */
#include "agent/loop/reinit.h"

#include "agent/loop/restart.h"
#include "base/log.h"
#include "base/mem.h"

static void end(struct agent *agent)
{
    agent->reinit.now = (struct ha_reinit){.ordered_mono_ms = HA_NEVER};
    publish_request(agent);
}

int reinit_order(struct agent *agent, bool force, bool from_leader, struct error *err)
{
    struct ha_snapshot *s = mem_new(struct ha_snapshot); /* large */
    const char *busy = "";
    facts_snapshot(agent, s);
    const char *why = ha_reinit_hindered(s, &busy);
    mem_free(s);
    if (why != NULL) {
        return error_set(err, ERR_REFUSED, "%s", why);
    }
    if (busy[0] != '\0' && !force) {
        return error_set(err, ERR_BUSY, "%s already in progress", busy);
    }
    log_warning("the data directory is to be made anew: asked for%s%s", force ? ", by force" : "",
                from_leader ? ", from the leader" : "");
    restart_cancel(agent, "the data directory is made anew");
    agent->reinit.now = (struct ha_reinit){.phase = HA_REINIT_ORDERED,
                                           .from_leader = from_leader,
                                           .cancels = force,
                                           .ordered_mono_ms = agent_mono_ms(agent)};
    publish_request(agent); /* that a synchronous standby is to be replaced */
    cycle_request(agent);
    return 0;
}

void reinit_cancels(struct agent *agent)
{
    agent->reinit.now.cancels = false;
}

void reinit_copies(struct agent *agent)
{
    if (agent->reinit.now.phase == HA_REINIT_ORDERED) {
        agent->reinit.now.phase = HA_REINIT_COPYING;
    }
}

void reinit_look(struct agent *agent)
{
    if (agent->reinit.now.phase == HA_REINIT_COPYING && agent->facts.run == HA_RUN_RUNNING) {
        log_info("the data directory was made anew");
        end(agent);
    }
}

void reinit_drop(struct agent *agent, const char *why)
{
    log_error("the data directory is not made anew: %s", why);
    end(agent);
}
