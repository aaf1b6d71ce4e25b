/* early_failover: watches whether the node that leads gives signs of life (agent/ha/ha_depose.h):
 * WAL that comes, messages of its Raft member, and, once both are missing, answers of its
 * PostgreSQL and its REST server to connections that are made for that. Answers are facts; nothing
 * is decided here.
 *
 * A question is one that needs no account: PostgreSQL answers a request for TLS with one byte, an
 * HTTP server whatever it gets. A connection that is taken and stays mute is the kernel's word, not
 * theirs; one that is refused is nobody's. */
#ifndef AGENT_LOOP_SILENCE_H
#define AGENT_LOOP_SILENCE_H

#include "agent/ha/ha_snapshot.h"
#include "pgctl/pg_types.h"

struct agent;

/* Both are missed for so long, as a part of the election timeout, before anybody is asked. */
#define SILENCE_SUSPECT_PART 5
#define SILENCE_READY_MS     1000 /* between two looks whether the store can depose */

int silence_start(struct agent *agent);
void silence_stop(struct agent *agent); /* also if it was never started */
/* There is another view of the store, or the instance has changed its state. */
void silence_look(struct agent *agent);
/* What the probe says of the walreceiver, before it is taken over into the facts. */
void silence_take_probe(struct agent *agent, const struct pg_probe_result *result);
void silence_fill(const struct agent *agent, struct ha_silence *ret_silence);
/* The configuration asks for it, and it can be had: strict mode, and the Raft group is the store.
 */
bool silence_is_asked_for(const struct agent *agent);

#endif
