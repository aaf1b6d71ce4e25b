/* What etcd_service.c and etcd_service_requests.c share. */
#ifndef RAFT_ETCD_ETCD_SERVICE_IMPL_H
#define RAFT_ETCD_ETCD_SERVICE_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "raft/etcd/etcd_service.h"
#include "raft/etcd/etcd_v2_state.h"

enum {
    SERVICE_READS_MAX = RAFT_NODE_PENDING_MAX / 2, /* the rest is for the member's own */
    SERVICE_TICK_MS = 50,       /* how often deadlines are looked at while something waits */
    SERVICE_LOOK_MS = 500,      /* between two attempts to open format 2 */
    SERVICE_WARNING_MS = 60000, /* an identical warning comes at most that often */
    SERVICE_OPEN_MS = 2000,     /* so long it is the ordinary start that clients are not served */
    SERVICE_WARNING_BYTES = ERROR_TEXT_BYTES + 64
};

/* One command, read, or move of the leadership.
 *
 *   held --> given to the member --> it calls back: told
 *     |            |
 *     |            +-- no leader for too long: told, an orphan until the member calls back
 *     +-- no leader for too long, too late, too much: decided, told in the next turn */
struct service_request {
    struct list link;
    struct etcd_service *service; /* NULL: an orphan of a service that is gone */
    bool writes;
    bool reads;         /* given, and counted */
    uint64_t moves_to;  /* a move: the member that is to lead */
    struct buf command; /* of one that was held: encoded */
    int64_t asked_ms;
    int64_t deadline_ms;
    int rc; /* decided */
    enum etcd_error error;
    etcd_service_done done; /* NULL: nobody waits any more */
    void *arg;
};

struct etcd_service {
    struct etcd_service_config config; /* client_urls is our copy */
    uv_timer_t timer;
    /* Who we are, as last seen. The term is that of the last known leader, and never falls. */
    uint64_t cluster;
    uint64_t member;
    uint64_t term;
    bool has_leader;
    uint64_t leader_changes;
    int64_t leaderless_since_ms;
    bool serves; /* there is a leader, and format 2 is open */
    int64_t unserved_since_ms;
    struct list held;
    struct list given;
    struct list moves;
    struct list decided;
    struct list orphans;
    size_t pending; /* in all of them */
    size_t held_bytes;
    size_t given_reads;
    bool asking;             /* an attempt to open format 2 is under way */
    int64_t look_ms;         /* the next one, not before */
    int64_t closed_since_ms; /* format 2 could not be opened since then; 0 = nobody has tried */
    char warning[SERVICE_WARNING_BYTES];
    int64_t warning_ms;
    struct etcd_listener listeners; /* head */
    struct etcd_listener *next_listener;
    struct etcd_watch_hub *watch_hub; /* the watchers' */
    struct list calls;
    struct etcd_portions *portions;
    struct etcd_ranges *ranges;
    struct etcd_v2_state v2;
    bool closed; /* nothing is asked of the member any more */
    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

int64_t service_now_ms(const struct etcd_service *service);
struct raft_node *service_node(const struct etcd_service *service);
/* Sees who leads, and tells whether requests can be given to the member. */
bool service_look(struct etcd_service *service);
void service_arm(struct etcd_service *service);

struct service_request *service_request_new(struct etcd_service *service, etcd_service_done done,
                                            void *arg);
/* Never given, and not in any list. */
void service_request_free(struct service_request *request);
/* The member has it, and will call service_request_done. */
void service_request_given(struct service_request *request);
void service_request_done(void *arg, int rc, const struct store_result *result);

/* Gives to the member what it takes. */
void service_requests_give(struct etcd_service *service);
/* Ends what has waited too long, and tells what is decided. */
void service_requests_look(struct etcd_service *service);
void service_requests_tell(struct etcd_service *service);
void service_requests_stop(struct etcd_service *service);
bool service_requests_wait(const struct etcd_service *service);

#endif
