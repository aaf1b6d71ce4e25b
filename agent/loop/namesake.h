/* Two agents must not have one name: member key, report, place in `sync` and leader key go by it.
 * So an agent makes itself known only when no other one of its name does, and which one it is
 * stands in its record and in every epoch that it makes: its instance, a random number of its state
 * directory.
 *
 *   LOOKING  no view of the store yet
 *   WAITING  a record of the name stands that is not ours: of one who lives, or has died lately.
 *            Nothing is written, promoted or given away (self.namesake of the snapshot)
 *   NAMED    there was none, or ours: the name is this agent's
 *
 * WAITING ends with the record: a node that was made anew has its name back when the record of
 * before has ended. A record that outlasts its ttl, counted while the store is heard, is renewed:
 * the agent ends, and says where the other one is. NAMED and another record all the same (an
 * earlier release, a Patroni member, or two that were started at once): who holds the leader key
 * says so and goes on, anybody else ends. The holder goes on also after a restart of its agent: its
 * page has the epoch of the key, and with the first renewal it is NAMED.
 *
 * A record without an instance (Patroni's, an earlier release's) is of this node, and was left by
 * what ran here before, if it has one of our addresses. */
#ifndef AGENT_LOOP_NAMESAKE_H
#define AGENT_LOOP_NAMESAKE_H

#include <stdbool.h>

struct agent;

#define NAMESAKE_AGAIN_MS 60000 /* the holder of the leader key says it once in so long */

/* There is another view of the store, or a second has passed. */
void namesake_look(struct agent *agent);
/* Ends the agent (on_exit) if that was found to be due; from a timer, with nothing else under way.
 */
void namesake_end(struct agent *agent);
/* The name is ours: the record may be written. */
bool namesake_is_free(const struct agent *agent);

#endif
