/* Jobs on the data directory: one at a time; how one goes is a fact (struct ha_job), its end an
 * event. */
#ifndef AGENT_LOOP_JOB_H
#define AGENT_LOOP_JOB_H

#include "agent/loop/loop.h"

enum {
    JOB_MS_MAX = 24 * 3600 *
                 1000, /* clone and rewind take what they take; progress is in the member's state */
};

/* `rc` says how the order went: 0 = it runs, and that is noted. Returns `rc`. */
int job_begin(struct agent *agent, enum ha_job_kind kind, int rc);
void job_end(struct agent *agent, int rc, const struct error *err);

/* The callback of those that end with nothing but their outcome; `arg` is the agent. */
void job_done(void *arg, int rc, const struct error *err);

/* Where PostgreSQL of a member is; `ret_host` has PG_HOST_BYTES. ERR_NOT_FOUND. */
int job_find_peer(const struct agent *agent, const char *name, char *ret_host, uint16_t *ret_port,
                  struct error *err);

/* The cluster's, as its key `initialize` says; 0 = none. */
uint64_t job_system_id(const struct agent *agent);

#endif
