/* Ids of clusters, and which one takes the place of which. PURE.
 *
 *   bits 63..32  root: random; kept by a recovery
 *   bits 31..24  generation: one more with each recovery (after 255 comes 0)
 *   bits 23..0   random
 *
 * After the loss of its majority a group is recovered under a new id (recover.h). A member of the
 * old one that meets a member of the new one can tell from the two ids alone that it is left
 * behind, and has to stop: two such would be the old majority. Two recoveries of one group have the
 * same generation: neither takes the other's place. */
#ifndef RAFT_ENGINE_CLUSTER_ID_H
#define RAFT_ENGINE_CLUSTER_ID_H

#include <stdbool.h>
#include <stdint.h>

/* The id that takes the place of `cluster`; never 0. `bits` are random. */
uint64_t cluster_id_recovered(uint64_t cluster, uint64_t bits);
/* `later` was recovered from `earlier`, by one recovery or several (fewer than 128). */
bool cluster_id_replaces(uint64_t later, uint64_t earlier);
/* Both are ids of clusters, and neither is the other's, or takes its place. */
bool cluster_id_is_foreign(uint64_t a, uint64_t b);

#endif
