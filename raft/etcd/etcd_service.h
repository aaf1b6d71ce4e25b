/* What stands between the handlers of etcd's API and the Raft group: who this member is, commands
 * and reads with etcd's outcomes, and the news that watches live on.
 *
 * Nobody waits longer than it makes sense: without a leader a request ends after two election
 * timeouts (design of etcd's clients: the next member may know better), otherwise after
 * ETCD_SERVICE_TIMEOUT_MS. The first thing a service does is to have format 2 of the store opened
 * (raft_node_open_format_2), again and again until it is; before that everything is refused as
 * without a leader. All on the loop's thread; every `done` comes exactly once, never inside the
 * call that asked. */
#ifndef RAFT_ETCD_ETCD_SERVICE_H
#define RAFT_ETCD_ETCD_SERVICE_H

#include "base/clock.h"
#include "base/random.h"
#include "raft/etcd/etcd_error.h"
#include "raft/etcd/etcd_message.h"
#include "raft/node.h"
#include "raft/store_client.h"

#include <uv.h>

#define ETCD_SERVICE_TIMEOUT_MS  7000
#define ETCD_SERVICE_URLS_BYTES  STORE_MEMBER_CLIENTS_BYTES_MAX
#define ETCD_SERVICE_PENDING_MAX 4096 /* commands and reads at once; more: TOO_MANY_REQUESTS */
/* Of commands that wait here for a leader, or for room in the member, and of what waits with reads.
 */
#define ETCD_SERVICE_HELD_BYTES_MAX ((size_t)32 * 1024 * 1024)

/* What we say we are: digits and dots alone, or Patroni's parser raises. */
#define ETCD_VERSION         "3.4.23"
#define ETCD_CLUSTER_VERSION "3.4.0"

struct etcd_auth;
struct etcd_service;
struct list;

struct etcd_service_config {
    uv_loop_t *loop;
    const struct clock *clock;
    const struct random *random;
    struct raft_node *(*node)(void *arg);            /* NULL while there is none */
    void (*on_warning)(void *arg, const char *text); /* may be NULL */
    void *arg;
    int election_timeout_ms;
    const char *client_urls;      /* what this member advertises, with commas; copied */
    bool peers_use_tls;           /* the Raft ports: what peerURLs say */
    const struct etcd_auth *auth; /* NULL: no users; borrowed */
};

struct etcd_service *etcd_service_new(const struct etcd_service_config *config);
/* Ends what is pending (ERR_CANCELED, STOPPED), and whatever is asked from here on: so that those
 * who wait can let go of it before the stop. */
void etcd_service_close(struct etcd_service *service);
/* Ends what is pending (ERR_CANCELED); `stopped` when the loop holds nothing of it. */
void etcd_service_stop(struct etcd_service *service, void (*stopped)(void *arg), void *arg);

/* The store, the leader or the membership changed: watches and the no-leader rule look again. */
void etcd_service_on_change(struct etcd_service *service);

const struct etcd_service_config *etcd_service_config(const struct etcd_service *service);
/* Of the present moment. False: no node yet, or format 2 is not open. */
bool etcd_service_is_ready(const struct etcd_service *service);
bool etcd_service_has_leader(const struct etcd_service *service);
uint64_t etcd_service_leader_changes(const struct etcd_service *service); /* seen here */
/* NULL unless it is ready. Until the loop turns. */
const struct store *etcd_service_store(const struct etcd_service *service);
/* With the present revision; for the revision of an answer set it afterwards. */
void etcd_service_header(const struct etcd_service *service, struct etcd_header *ret_header);

/* rc 0: `result` says what the command gave (it may be a refusal: etcd_service_refusal). Otherwise
 * `error` is what a v3 client is told; ERR_UNAVAILABLE: it was certainly not applied, ERR_UNKNOWN:
 * it may have been. */
typedef void (*etcd_service_done)(void *arg, int rc, enum etcd_error error,
                                  const struct store_result *result);

/* As a plain client of this member: the command has no actor. It is copied. A result without the
 * output that the command should have (it was applied by way of a snapshot, or `repeated`) tells
 * that it was applied, and no more: an answer that needs it is TIMEOUT. */
void etcd_service_propose(struct etcd_service *service, const struct store_command *command,
                          etcd_service_done done, void *arg);
/* Linearizable: when `done` comes with rc 0, the store is as new as at the call (result NULL). */
void etcd_service_read(struct etcd_service *service, etcd_service_done done, void *arg);

/* For a copy of a request that waits with a read: false, there are too many bytes already. */
bool etcd_service_reserve(struct etcd_service *service, size_t bytes);
void etcd_service_release(struct etcd_service *service, size_t bytes);

/* Moves the leadership of the group to `member`; `done` when it leads (result NULL). Refused at
 * once: NOT_LEADER, BAD_LEADER_TRANSFEREE. */
void etcd_service_move_leader(struct etcd_service *service, uint64_t member, etcd_service_done done,
                              void *arg);

/* What a v3 client is told of a result whose code is not 0. */
enum etcd_error etcd_service_refusal(const struct store_result *result);

/* News for who watches: called after each change, until removed. From inside it anything may be
 * added or removed. */
struct etcd_listener {
    struct etcd_listener *next;
    struct etcd_listener *prev;
    void (*on_change)(void *arg);
    void *arg;
};
void etcd_service_listen(struct etcd_service *service, struct etcd_listener *listener);
void etcd_service_unlisten(struct etcd_service *service, struct etcd_listener *listener);
/* What all watchers share (etcd_watcher.c): theirs, NULL at first and again before the stop. */
struct etcd_watch_hub;
struct etcd_watch_hub **etcd_service_watch_hub(struct etcd_service *service);
/* Calls of a carrier that has no other way to find them (etcd_gateway.c); empty before the stop. */
struct list *etcd_service_calls(struct etcd_service *service);
/* Answers that go out in portions (etcd_portions.c): NULL while there are none. */
struct etcd_portions;
struct etcd_portions **etcd_service_portions(struct etcd_service *service);
/* Ranges that are looked up over many turns (etcd_range.c): NULL while there are none. */
struct etcd_ranges;
struct etcd_ranges **etcd_service_ranges(struct etcd_service *service);
/* What the v2 face counts (etcd_v2_state.h). The service tells since when it runs, and whom it
 * knows as leader since when. */
struct etcd_v2_state;
struct etcd_v2_state *etcd_service_v2(struct etcd_service *service);

#endif
