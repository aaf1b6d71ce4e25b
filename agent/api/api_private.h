/* Shared inside agent/api. */
#ifndef AGENT_API_PRIVATE_H
#define AGENT_API_PRIVATE_H

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
    int64_t revision; /* of the key as we wrote it; 0 = not seen yet */
    bool failover;    /* else a switchover: for the words */
};

struct api_server {
    uv_loop_t *loop;
    struct http1_server *http;
    struct api_ports ports;
    struct api_status *status;
    uv_timer_t wait_timer;
    struct list waits;
    size_t wait_count;
    unsigned closing;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* Replies. */
void api_reply_text(struct http1_exchange *exchange, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void api_reply_json_text(struct http1_exchange *exchange, int status, const char *text);
void api_reply_error(struct http1_exchange *exchange, int status,
                     const char *text); /* small HTML page */

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
/* Answers what the newest picture decides. */
void api_waits_look(struct api_server *server);
void api_waits_drop(struct api_server *server);
/* Body as a JSON object, or NULL after an error reply. A new reference. */
json_t *api_body(struct http1_exchange *exchange, const struct http1_request *request,
                 bool may_be_empty);

#endif
