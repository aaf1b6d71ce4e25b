/* Asks other members' REST servers (GET /patroni) who is alive and how far, where no Raft group
 * tells: all of them with an etcd as the store and on a client of the group, with our own store
 * Patroni's and the group's clients. Only while it matters:
 * nobody leads, a failover is requested, or this node neither serves nor streams. Answers are facts
 * (struct ha_peer); they promise nothing. */
#ifndef AGENT_LOOP_PEERS_H
#define AGENT_LOOP_PEERS_H

struct agent;

#define PEERS_AGAIN_MS   500  /* between two questions to one member */
#define PEERS_TIMEOUT_MS 1000 /* as long as reports are waited for */
#define PEERS_SILENT_MS  2000 /* who has not answered for so long is not heard */

void peers_start(struct agent *agent);
void peers_stop(struct agent *agent); /* also if it was never started */
/* There is another view of the store, or the instance has changed its state. */
void peers_look(struct agent *agent);

#endif
