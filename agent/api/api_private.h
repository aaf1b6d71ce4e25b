/* Shared inside agent/api. */
#ifndef AGENT_API_PRIVATE_H
#define AGENT_API_PRIVATE_H

#include "agent/api/api_access.h"
#include "agent/api/api_health.h"
#include "agent/api/api_server.h"
#include "base/list.h"
#include "base/net/http1.h"

/* A request for a switchover or failover whose outcome is not known yet. */
struct api_wait {
    struct list link;
    struct http1_exchange *exchange;
    char old_leader[HA_NAME_BYTES];
    char candidate[HA_NAME_BYTES];
    int64_t deadline_mono_ms;
    bool written;     /* the store has taken it; before that nothing is waited for */
    int64_t revision; /* of the key as we wrote it */
    bool failover;    /* else a switchover: for the words */
};

typedef void (*api_handler)(struct api_server *server, struct http1_exchange *exchange,
                            const struct http1_request *request);

#define API_VIEW_WAIT_MS 5000 /* half of what a command waits for an answer */

/* A request that came before this agent had read the store, and waits for that (api_view.c). */
struct api_unviewed {
    struct list link;
    struct http1_exchange *exchange;
    const struct http1_request *request; /* valid until the answer */
    api_handler handler;
    int64_t deadline_mono_ms;
};

/* The restart that is waited for. */
struct api_restart_wait {
    struct http1_exchange *exchange; /* NULL = none is */
    unsigned number;
    int64_t deadline_mono_ms;
};

struct api_server {
    uv_loop_t *loop;
    struct http1_server *http;
    struct api_access *access;
    int64_t refused_mono_ms; /* when one was told of last; 0 = never */
    unsigned refused_count;  /* that were not told of since */
    struct api_ports ports;
    struct api_status *status;
    uv_timer_t wait_timer;
    struct list waits;
    size_t wait_count;
    struct list unviewed;
    size_t unviewed_count;
    struct api_restart_wait restart;
    struct http1_exchange *reexec; /* who waits for the outcome; NULL = nobody does */
    size_t write_count;            /* of the configuration, and deletions: under way */
    char *explained;               /* the last /explain, for as long as it is new; owned */
    char *metrics;                 /* the last /metrics, likewise */
    char *shown;                   /* the last /ui/state, likewise */
    bool without_ui;
    unsigned closing; /* 0 = in service; else the parts that are not closed yet */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* Replies. */
void api_reply_text(struct http1_exchange *exchange, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void api_reply_json_text(struct http1_exchange *exchange, int status, const char *text);
/* Small HTML page; `text` is escaped: it may echo what the client sent. */
void api_reply_error(struct http1_exchange *exchange, int status, const char *text);

/* The page to look at, its files, and what it shows. */
void api_ui_get(struct api_server *server, struct http1_exchange *exchange,
                const struct http1_request *request);
/* What the handlers of the requests proper check, for POST /dry-run as well. 0, or the code that
 * refuses it, with its words. */
int api_switch_read(struct api_server *server, const json_t *body, bool failover,
                    struct ha_failover *ret_failover, char *ret_why, size_t size);
int api_restart_read(struct api_server *server, json_t *body, struct api_restart *restart,
                     char *ret_why, size_t size);
/* False: it has been answered. */
bool api_reinit_read(struct http1_exchange *exchange, json_t *body, bool *ret_force,
                     bool *ret_from_leader);

/* Handlers of unsafe requests. */
void api_config_patch(struct api_server *server, struct http1_exchange *exchange,
                      const struct http1_request *request);
void api_config_put(struct api_server *server, struct http1_exchange *exchange,
                    const struct http1_request *request);
void api_switchover(struct api_server *server, struct http1_exchange *exchange,
                    const struct http1_request *request);
void api_failover(struct api_server *server, struct http1_exchange *exchange,
                  const struct http1_request *request);
void api_switchover_delete(struct api_server *server, struct http1_exchange *exchange,
                           const struct http1_request *request);
void api_restart_post(struct api_server *server, struct http1_exchange *exchange,
                      const struct http1_request *request);
void api_restart_delete(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request);
void api_reinit_post(struct api_server *server, struct http1_exchange *exchange,
                     const struct http1_request *request);
void api_reexec_post(struct api_server *server, struct http1_exchange *exchange,
                     const struct http1_request *request);
void api_reexec_ask(struct api_server *server, struct http1_exchange *exchange, bool dry_run);
void api_reexec_drop(struct api_server *server);
void api_dry_run(struct api_server *server, struct http1_exchange *exchange,
                 const struct http1_request *request);
/* Before a handler that judges on what the store says. False: a view was had, it may go on. True:
 * it is answered, or waits, and the handler is called with the first view. */
bool api_view_wait(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request, api_handler handler);
void api_view_look(struct api_server *server);
void api_view_drop(struct api_server *server);
void api_restart_look(struct api_server *server);
void api_restart_drop(struct api_server *server);
/* A time that only lacks its zone. */
bool api_lacks_zone(const char *at);
/* Answers what the newest picture decides. */
void api_waits_look(struct api_server *server);
void api_waits_drop(struct api_server *server);
/* True if one more write may begin; else it has been answered (503). A write that waits for a store
 * without majority holds its connection: more of them must not take all the places. */
bool api_write_begin(struct api_server *server, struct http1_exchange *exchange);
/* Before the reply: after the last one the server may be gone. */
void api_write_end(struct api_server *server);
/* Body as a JSON object with a key at least, or NULL after an error reply. A new reference. */
json_t *api_body(struct http1_exchange *exchange, const struct http1_request *request);
/* The same where {} will do. */
json_t *api_body_or_empty(struct http1_exchange *exchange, const struct http1_request *request);

#endif
