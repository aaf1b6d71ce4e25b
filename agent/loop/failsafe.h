/* failsafe_mode, with an etcd as the store (docs/etcd.md): when the lease cannot be renewed, a
 * round of POST /failsafe goes to every other member of the key `failsafe`; if all accept, the
 * deadlines count from before the first of these was sent. The other half answers such a question:
 * yes is a promise not to take the leader key for one ttl (agent/ha/ha_failsafe.h). */
#ifndef AGENT_LOOP_FAILSAFE_H
#define AGENT_LOOP_FAILSAFE_H

#include "agent/ha/ha_snapshot.h"
#include "base/err.h"

#include <jansson.h>

struct agent;

#define FAILSAFE_TIMEOUT_MS_MAX 2000 /* of one question; ttl/6 where that is less */
#define FAILSAFE_AGAIN_MS       400  /* between the beginnings of two rounds, at least */

int failsafe_start(struct agent *agent, struct error *err);
void failsafe_stop(struct agent *agent); /* also if it was never started */

/* A renewal got no answer in its time, or a late one: begins a round unless one runs, or
 * failsafe_mode is off.
 */
void failsafe_round(struct agent *agent);
/* A renewal was answered, or an acquisition: the store is back. */
void failsafe_renewed(struct agent *agent);
/* Does the lease stand by the word of the members, and not of the store? */
bool failsafe_is_active(const struct agent *agent);

/* What the key is to be, as JSON, from the members of the decision's view ({} where failsafe_mode
 * is off); it is about to be written over `revision`. NULL: not now, the lease stands by the
 * members of the old one. Free with mem_free. */
char *failsafe_value(struct agent *agent, int64_t revision);
void failsafe_fill(const struct agent *agent, struct ha_failsafe *ret_failsafe);

/* The body of a POST /failsafe of another member. 0: promised, and `ret_lsn` is how far we are (0 =
 * not known). ERR_REFUSED: this node is a primary, or may be one soon. ERR_UNSUPPORTED:
 * failsafe_mode is off here. ERR_INVALID. */
int failsafe_answer(struct agent *agent, const json_t *question, uint64_t *ret_lsn,
                    struct error *err) MUST_CHECK;

#endif
