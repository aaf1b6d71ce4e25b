/* PURE. What the rules ask of a snapshot, each question answered in one place. */
#ifndef AGENT_HA_FACTS_H
#define AGENT_HA_FACTS_H

#include "agent/ha/ha_snapshot.h"

/* The race: for this long a candidate waits for reports of members that are alive ... */
#define HA_COLLECT_MS 1000
/* ... and for this long for somebody who has the better claim (a named candidate, a better report,
 * the others when we gave up) to use it. */
#define HA_YIELD_MS 3000
/* A failed job or start is tried again after 1, 2, 4, 8, 10, 10 ... s. */
#define HA_BACKOFF_MS_MIN      1000
#define HA_BACKOFF_MS_MAX      10000
#define HA_REWIND_FAILURES_MAX 3 /* then it is not tried again for this epoch */
#define HA_START_FAILURES_MAX \
    3 /* then a crashed primary is given up, if somebody else can take over */
/* A standby that does not stream for so long looks whether it has diverged. */
#define HA_NOT_STREAMING_MS 5000
/* Who was left for the leader is tried again after that: whoever cannot stay is not to come and go
 * all the time. */
#define HA_CASCADE_AGAIN_MS 10000
/* So many looks in a row have to find the primary behind its standby before that is acted upon. */
#define HA_LOST_LOOKS_MIN 3

bool ha_is_me(const struct ha_snapshot *s, const char *name);
/* The view is older than an epoch that this node took part in: a store that has just started and
 * has not caught up. Nothing can be read from it. */
bool ha_view_is_old(const struct ha_snapshot *s);
bool ha_unlocked(const struct ha_snapshot *s); /* the leader key is absent */
/* It names us, and its epoch is this agent's and not that of another one of our name: it is on our
 * page or in our hand, or `epoch` says that this agent has acquired it, or does not say who has. */
bool ha_key_is_ours(const struct ha_snapshot *s);
bool ha_key_is_others(const struct ha_snapshot *s); /* it is there, and not ours */
/* Likewise of the last epoch, whether its key is still there or not. */
bool ha_last_holder_is_me(const struct ha_snapshot *s);
/* Another agent has our name. Not where the key has the epoch of our page, or the one that we hold:
 * then the name is ours, whoever has written its record. */
bool ha_name_is_taken(const struct ha_snapshot *s);
/* We hold the key's epoch in this run of the agent, whatever the clock says ... */
bool ha_holds_key(const struct ha_snapshot *s);
/* ... and it is before S. */
bool ha_lease_is_valid(const struct ha_snapshot *s);
/* The page has the key's epoch, armed, not over, not fired. */
bool ha_armed_for_key(const struct ha_snapshot *s);
/* The page, or a fence that has begun to act, says that nothing may run for its epoch. */
bool ha_page_is_over(const struct ha_snapshot *s);
/* A deadline stands, and the fence will act on it: one that has acted does not look again at what
 * is started by hand after that, and one that has never started the instance would not find it. */
bool ha_deadline_binds(const struct ha_snapshot *s);
/* The page has an epoch and no deadline: the fence is disarmed. */
bool ha_page_is_open(const struct ha_snapshot *s);
/* And it is the key's epoch. */
bool ha_open_for_key(const struct ha_snapshot *s);
/* `unfenced` stands and speaks of this node. */
bool ha_unfenced_is_own(const struct ha_snapshot *s);
/* The operator has ordered a failover over the instance that `unfenced` speaks of: in favour of
 * anybody, and in favour of us. */
bool ha_unfenced_is_passed_over(const struct ha_snapshot *s);
bool ha_passes_unfenced(const struct ha_snapshot *s);
/* It stands, and keeps us from acquiring. */
bool ha_unfenced_binds(const struct ha_snapshot *s);
/* No later epoch than our own exists, as far as anybody can know: the last one was ours, and nobody
 * has been on a later timeline than it had. */
bool ha_last_epoch_is_ours(const struct ha_snapshot *s);
/* Nobody has ever led, as far as anybody can know. */
bool ha_no_epoch(const struct ha_snapshot *s);
/* The stopped instance was a primary here (shut down or died as one), not a copy and not a standby.
 */
bool ha_was_primary(const struct ha_snapshot *s);
bool ha_runs_as(const struct ha_snapshot *s, enum pg_role role);
/* The running standby may become writable at any time: a promotion was sent to it, or an earlier
 * run of the agent armed the page (which comes right before), and nobody knows how far that run
 * got. */
bool ha_may_be_promoted(const struct ha_snapshot *s);
bool ha_is_down(const struct ha_snapshot *s);        /* stopped or crashed */
bool ha_is_initialized(const struct ha_snapshot *s); /* `initialize` holds a system identifier */
bool ha_is_foreign(const struct ha_snapshot *s);     /* and it is not that of our data directory */

/* The leader's member record if another member leads and its PostgreSQL can be connected to; else
 * NULL. */
const struct ha_member *ha_leader_member(const struct ha_snapshot *s);
/* The same, and it says that it is a running primary (it may be asked, cloned from, rewound to); in
 * a standby cluster, that it leads and runs. */
const struct ha_member *ha_leader_primary(const struct ha_snapshot *s);
/* Whom this standby is to receive from while another member leads: the one that tag replicatefrom
 * names, where it runs as a standby on the leader's timeline and is not in a circle with us, else
 * the leader; NULL = nobody (tag nostream), or there is no leader to connect to. */
const struct ha_member *ha_wanted_upstream(const struct ha_snapshot *s);
/* It was told so already, in this epoch; NULL: it receives from nobody. */
bool ha_follows(const struct ha_snapshot *s, const struct ha_member *wanted);

const struct ha_peer *ha_peer(const struct ha_snapshot *s, const char *name); /* or NULL */
/* Heard from within one election timeout. */
bool ha_is_heard(const struct ha_snapshot *s, const char *name);
/* When it is no longer heard from, if nothing comes from it; HA_NEVER = it is not now. */
int64_t ha_heard_until(const struct ha_snapshot *s, const char *name);
/* The report counts for the race that ends the last epoch. */
bool ha_report_is_current(const struct ha_snapshot *s, const struct ha_report *report);
/* Mono time before which the job is not to be tried again; HA_NEVER = may be tried. */
int64_t ha_job_backoff_until(const struct ha_snapshot *s, enum ha_job_kind kind);
/* The same for looks at the divergence, also for those that were answered and decided nothing. */
int64_t ha_check_backoff_until(const struct ha_snapshot *s);
/* The present leader has lost WAL that we have: seen often enough to be acted upon. */
bool ha_leader_has_lost(const struct ha_snapshot *s);
/* One look has shown it, of whoever led on the leader's timeline: proof, that is told, and enough
 * to keep what is here. */
bool ha_leader_was_behind(const struct ha_snapshot *s);
/* For standbys: what one of them alone has may have been acknowledged for that. */
bool ha_commits_may_have_waited(const struct ha_snapshot *s);
/* The key `sync` names us, or nobody can tell: our report counts. Whatever the mode: the key stands
 * until a primary has taken it away. */
bool ha_is_counted_on(const struct ha_snapshot *s);
/* It streams from us, and has flushed up to there. */
bool ha_is_replicating(const struct ha_snapshot *s, const char *name, uint64_t *ret_lsn);
int64_t ha_start_backoff_until(const struct ha_snapshot *s);
/* A standby that gave its promise for the leader's epoch has to take it back first. */
bool ha_must_withdraw(const struct ha_snapshot *s);

#endif
