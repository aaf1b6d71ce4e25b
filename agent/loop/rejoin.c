#include "agent/loop/rejoin.h"

#include "agent/ha/ha_facts.h"
#include "agent/loop/destruction.h"
#include "agent/loop/job.h"
#include "agent/loop/remote.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ASK_PEER_MS = 3000 };

static struct pg_local_position local_position(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    if (facts->run == HA_RUN_RUNNING && facts->probe.role == PG_STANDBY) {
        const struct pg_probe_result *probe = &facts->probe;
        return (struct pg_local_position){
            .timeline = probe->timeline,
            .lsn = probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn : probe->replay_lsn};
    }
    return pg_local_position_of(&facts->inspection.control);
}

/* While a standby replays what an archive brings, nothing tells on which timeline it is: it may be
 * further by a number than was seen. Soon it waits for more, and can be asked. */
static bool is_timeline_open(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    return facts->run == HA_RUN_RUNNING && facts->probe.role == PG_STANDBY &&
           !facts->probe.timeline_exact;
}

/* What the primary says afterwards can be held against it. */
static struct pg_local_position certain_position(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool running = facts->run == HA_RUN_RUNNING;
    bool stopped = facts->run == HA_RUN_STOPPED || facts->run == HA_RUN_CRASHED;
    bool certain = running ? facts->probe.role == PG_STANDBY && facts->probe.timeline_exact
                           : stopped && facts->inspected;
    return certain ? local_position(agent) : (struct pg_local_position){0};
}

/* One look is proof, and told; what cannot be undone waits for more of them. Once there were
 * enough, it stays so on this timeline: the primary writes on, and may be further by now, but not
 * with what is here. */
static enum ha_divergence look_lost(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    char words[PG_VALUE_BYTES] = "";
    bool known = rejoin->lost_timeline == peer->timeline;

    if (known && rejoin->lost_looks >= HA_LOST_LOOKS_MIN) {
        return HA_DIVERGENCE_LOST;
    }
    if (!pg_divergence_is_lost(&agent->facts.asked_from, peer->timeline, peer->lsn, words)) {
        rejoin->lost_timeline = known ? peer->timeline : 0;
        rejoin->lost_looks = 0;
        return HA_DIVERGENCE_NONE;
    }
    if (!known) {
        log_error("the primary '%s' has lost WAL that was synced, look at its disk: this member is "
                  "%s; commits that were acknowledged may be here alone, so keep its data "
                  "directory, or empty it, with the agent stopped, to have it copied anew",
                  rejoin->remote[0] != '\0' ? rejoin->remote : agent->facts.cluster.leader, words);
    }
    rejoin->lost_timeline = peer->timeline;
    rejoin->lost_looks = known ? rejoin->lost_looks + 1 : 1;
    return rejoin->lost_looks >= HA_LOST_LOOKS_MIN ? HA_DIVERGENCE_LOST : HA_DIVERGENCE_UNKNOWN;
}

/* Of a primary on another timeline, or one that was not reached. */
static void forget_lost(struct ha_rejoin *rejoin, const struct pg_peer_facts *peer)
{
    if (peer != NULL && peer->timeline != rejoin->lost_timeline) {
        rejoin->lost_timeline = 0;
        rejoin->lost_looks = 0;
    } else if (rejoin->lost_looks < HA_LOST_LOOKS_MIN) {
        rejoin->lost_looks = 0;
    }
}

/* One that has to be asked for again until all is replayed is asked for each second: told once. */
static void tell_comparison(struct agent *agent, bool open, const char *reason)
{
    struct loop_facts *facts = &agent->facts;
    bool told = open && ha_epoch_equal(facts->open_told_epoch, facts->rejoin.epoch);
    if (told) {
        log_debug("compared our WAL with the primary's: %s", reason);
    } else {
        log_info("compared our WAL with the primary's: %s%s", reason,
                 open ? "; not certain while it is being replayed" : "");
    }
    facts->open_told_epoch = open ? facts->rejoin.epoch : (struct ha_epoch){0};
}

/* pg_rewind finds where two histories part, but not where both end with one number. */
static void on_forked(struct agent *agent, bool forked)
{
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    bool same = agent->remote_timeline == local_position(agent).timeline;
    if (forked) {
        rejoin->divergence = same ? HA_DIVERGENCE_FORKED : HA_DIVERGENCE_REWIND;
        log_error(
            "'%s' has made timelines of the same numbers as this cluster, at other positions%s",
            rejoin->remote, same ? ": its data has to be copied anew, or the other one's" : "");
    }
    job_end(agent, 0, NULL);
}

/* True: the job ends with that look. */
static bool looks_forked(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct error err = {0};
    const struct ha_rejoin *rejoin = &agent->facts.rejoin;
    uint32_t timeline = local_position(agent).timeline;
    if (rejoin->remote[0] == '\0' || rejoin->divergence != HA_DIVERGENCE_NONE || timeline < 2 ||
        peer->history.count == 0) {
        return false;
    }
    agent->remote_timeline = peer->timeline;
    return remote_look_forked(agent, timeline, &peer->history, on_forked, &err) == 0;
}

static void on_divergence(void *arg, int rc, const struct pg_peer_facts *peer,
                          const struct error *err)
{
    struct agent *agent = arg;
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    struct error own = {0};
    char reason[PG_VALUE_BYTES] = "";

    rejoin->checked_mono_ms = agent_mono_ms(agent);
    rejoin->divergence = HA_DIVERGENCE_UNKNOWN;
    const char *whose = rejoin->remote[0] != '\0' ? "the other cluster's" : "the leader's";
    if (rc == 0 && peer->role != PG_PRIMARY) {
        rc = error_set(&own, ERR_UNAVAILABLE, "%s PostgreSQL is not a primary yet", whose);
        err = &own;
    } else if (rc == 0 && peer->system_identifier != job_system_id(agent)) {
        rc = error_set(&own, ERR_REFUSED, "%s PostgreSQL has another system identifier", whose);
        err = &own;
    }
    if (rc != 0 && rejoin->remote[0] != '\0') {
        remote_next_host(agent);
    }
    if (rc == 0) {
        struct pg_local_position local = local_position(agent);
        bool open = false;
        switch (pg_divergence_decide(&local, peer->timeline, &peer->history, reason)) {
        case PG_DIVERGENCE_NONE: rejoin->divergence = look_lost(agent, peer); break;
        case PG_DIVERGENCE_REWIND:
            open = is_timeline_open(agent);
            rejoin->divergence = open ? HA_DIVERGENCE_UNKNOWN : HA_DIVERGENCE_REWIND;
            forget_lost(rejoin, peer);
            break;
        case PG_DIVERGENCE_UNKNOWN: forget_lost(rejoin, NULL); break;
        }
        tell_comparison(agent, open, reason);
        if (looks_forked(agent, peer)) {
            return;
        }
    } else {
        forget_lost(rejoin, NULL);
    }
    job_end(agent, rc, err);
}

int rejoin_check(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    uint16_t port = 0;
    int rc = action->remote ? remote_host(agent, host, &port, err)
                            : job_find_peer(agent, action->member, host, &port, err);
    if (rc == 0) {
        rc = pg_instance_ask_peer(agent->pg, host, port, ASK_PEER_MS, on_divergence, agent, err);
    }
    if (rc == 0) {
        struct ha_rejoin *rejoin = &agent->facts.rejoin;
        *rejoin = (struct ha_rejoin){.epoch = action->epoch,
                                     .checked_mono_ms = HA_NEVER,
                                     .lost_timeline = rejoin->lost_timeline,
                                     .lost_looks = rejoin->lost_looks};
        if (action->remote) {
            memcpy(rejoin->remote, agent->snapshot.settings.remote, sizeof rejoin->remote);
        }
        agent->facts.asked_from = certain_position(agent);
    }
    return job_begin(agent, HA_JOB_CHECK_DIVERGENCE, rc);
}

/* Invariant I10, of the member for which data of ours is about to go. */
static bool still_leads(void *arg)
{
    const struct agent *agent = arg;
    const struct ha_action *action = &agent->facts.destruction;
    const struct ha_cluster *cluster = &agent->facts.cluster;
    return ha_epoch_equal(cluster->leader_epoch, action->epoch) &&
           strcmp(cluster->leader, action->member) == 0 && !agent->lease.held;
}

/* The same, of the other cluster: it is still to be followed, in the term that it was compared in,
 * and that goes on if it is ours. */
static bool still_follows(struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    struct ha_settings now = {0};
    bool ours = strcmp(cluster->leader, agent->config->name) == 0;
    remote_fill(agent, &now);
    return ha_epoch_equal(cluster->leader_epoch, agent->facts.destruction.epoch) &&
           now.standby_cluster && strcmp(now.remote, agent->facts.rejoin.remote) == 0 &&
           (!ours || ha_lease_valid(&agent->lease, agent_lease_ms(agent)));
}

static bool may_rewind_to_remote(void *arg)
{
    struct agent *agent = arg;
    bool may = still_follows(agent);
    if (may) {
        struct pg_local_position local = pg_local_position_of(&agent->facts.inspection.control);
        log_warning(
            "rewinding to the history of '%s', as standby_cluster asks for: the data "
            "directory ended on timeline %u at %" PRIX64 "/%" PRIX64 "; what is not there is lost",
            agent->facts.rejoin.remote, local.timeline, local.lsn >> 32, local.lsn & UINT32_MAX);
        destruction_begins(agent, "rewind", "standby_cluster");
    }
    return may;
}

/* Asked twice, the second time right before the first byte is written. */
static bool may_rewind(void *arg)
{
    bool may = still_leads(arg);
    if (may) {
        destruction_begins(arg, "rewind", "use_pg_rewind");
    }
    return may;
}

int rejoin_rewind(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct pg_rewind request = {.host = host,
                                .system_identifier = job_system_id(agent),
                                .still_allowed = action->remote ? may_rewind_to_remote : may_rewind,
                                .still_allowed_arg = agent};
    int rc = action->remote ? remote_host(agent, host, &request.port, err)
                            : job_find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_rewind(agent->pg, &request, JOB_MS_MAX, job_done, agent, err);
    }
    if (rc == 0) {
        agent->facts.destruction = *action;
        remote_note_rewind(agent, action);
    }
    return job_begin(agent, HA_JOB_REWIND, rc);
}

/* Where the data that are about to go end: as the server last said, if it has run as a standby, for
 * its control file is behind that after a stop that was not in order. */
static struct pg_local_position ended_at(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    struct pg_local_position at = pg_local_position_of(&agent->facts.inspection.control);
    if (probe->asked_ms == 0 || probe->role != PG_STANDBY || !probe->timeline_exact) {
        return at;
    }
    struct pg_local_position said = {
        .timeline = probe->timeline,
        .lsn = probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn : probe->replay_lsn};
    bool further = at.timeline == said.timeline && !at.was_primary && at.lsn > said.lsn;
    return further ? at : said;
}

/* The primary that is to be copied has lost WAL of its own that is here, and commits may have been
 * acknowledged because of it. One look is proof, and the last one may be of before this epoch. */
static bool may_be_only_copy(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct ha_snapshot *now = mem_new(struct ha_snapshot); /* large */
    facts_snapshot(agent, now);
    bool waited = ha_commits_may_have_waited(now);
    mem_free(now);
    if (!waited || agent->facts.inspection.kind != PG_DIR_VALID) { /* else half rewound */
        return false;
    }
    agent->facts.asked_from = ended_at(agent);
    (void)look_lost(agent, peer);
    return agent->facts.rejoin.lost_timeline == peer->timeline;
}

/* Invariant I10: the primary of that epoch is asked again right before anything is destroyed. */
static void on_remove_asked(void *arg, int rc, const struct pg_peer_facts *peer,
                            const struct error *err)
{
    struct agent *agent = arg;
    const struct ha_action *action = &agent->facts.destruction;
    struct error own = {0};

    enum pg_role wanted = agent->dynamic.standby_cluster ? PG_STANDBY : PG_PRIMARY;
    if (rc == 0 && (peer->role != wanted || peer->system_identifier != job_system_id(agent) ||
                    !still_leads(agent))) {
        rc = error_set(&own, ERR_REFUSED,
                       "'%s' does not lead this cluster any more: nothing is removed",
                       action->member);
        err = &own;
    }
    if (rc == 0 && may_be_only_copy(agent, peer)) {
        rc = error_set(&own, ERR_REFUSED,
                       "'%s' has lost WAL that is here, and acknowledged commits may be nowhere "
                       "else: nothing is removed",
                       action->member);
        err = &own;
    }
    if (rc == 0) {
        struct pg_local_position local = pg_local_position_of(&agent->facts.inspection.control);
        log_warning("removing the data directory: it ended on timeline %u at %" PRIX64 "/%" PRIX64
                    "; what '%s' does not have of it is lost",
                    local.timeline, local.lsn >> 32, local.lsn & UINT32_MAX, action->member);
        bool asked = agent->reinit.now.phase == HA_REINIT_ORDERED;
        destruction_begins(agent, "remove", asked ? "reinitialize" : "remove_data_directory");
        rc = pg_instance_remove(agent->pg,
                                asked ? "it was asked to be made anew"
                                      : "it cannot follow the primary and the configuration allows "
                                        "it",
                                JOB_MS_MAX, job_done, agent, &own);
        err = &own;
    }
    if (rc != 0) {
        job_end(agent, rc, err);
    }
}

int rejoin_remove_data(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    uint16_t port = 0;
    int rc = job_find_peer(agent, action->member, host, &port, err);
    if (rc == 0) {
        agent->facts.destruction = *action;
        rc = pg_instance_ask_peer(agent->pg, host, port, ASK_PEER_MS, on_remove_asked, agent, err);
    }
    return job_begin(agent, HA_JOB_REMOVE_DATA, rc);
}

int rejoin_move_aside(struct agent *agent, const struct ha_action *action, struct error *err)
{
    bool ended = agent->facts.inspection.kind == PG_DIR_VALID;
    (void)action;
    if (ended) {
        log_warning("a cluster that was made here and never announced goes to %s.failed: if "
                    "clients wrote into it, it is there",
                    agent->config->postgresql.data_dir);
    }
    return job_begin(agent, HA_JOB_REMOVE_DATA,
                     pg_instance_move_aside(agent->pg,
                                            ended ? "its bootstrap was never announced"
                                                  : "its bootstrap did not end",
                                            JOB_MS_MAX, job_done, agent, err));
}
