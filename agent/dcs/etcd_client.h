/* Calls of etcd, in either of its HTTP dialects: member by member until one answers or the time is
 * over.
 *
 * Before the first call of the v3 gateway the client asks `GET /version` for its prefix and
 * authenticates if there is a user name (v2: basic authentication with each call). In both it asks
 * the cluster for its members, again every ETCD_DISCOVER_MS and after a member failed; never with
 * use_proxies. Calls made meanwhile wait for that within their own time.
 *
 * A call ends in exactly one callback, never inside the call that asked:
 *   0                etcd answered yes; `answer` is there
 *   ERR_NOT_FOUND    the lease or the key is not there
 *   ERR_CONFLICT     v2: a compare failed
 *   ERR_REFUSED      a definite no: permission, password, a request it does not take
 *   ERR_LIMIT        no space, too many requests; nothing was done
 *   ERR_UNAVAILABLE  nobody could be asked: certainly nothing was done
 *   ERR_UNKNOWN      it was sent, and nobody said what became of it: it may still be applied
 *   ERR_CANCELED     the client was closed
 * A call that is not `repeatable` is sent again only where the first certainly did nothing. A
 * definite no to a later try says nothing of an earlier one that may have been carried out: then it
 * is ERR_UNKNOWN as well. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD_CLIENT_H
#define AGENT_DCS_ETCD_CLIENT_H

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "base/span.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define ETCD_DISCOVER_MS 60000
#define ETCD_CALLS_MAX   64 /* waiting or under way; more are refused with ERR_LIMIT */

enum etcd_dialect { ETCD_V3, ETCD_V2 };

struct etcd_client;
struct etcd_stream;

struct etcd_client_config {
    enum etcd_dialect dialect;
    const char *const *urls; /* "http://10.0.0.4:2379"; copied */
    size_t url_count;        /* may be 0 with srv */
    /* A domain whose SRV records say where etcd is; they come before `urls`, and are looked up
     * again when every member has failed. NULL = none; these are copied, too. */
    const char *srv;
    const char *srv_suffix;
    const struct sockaddr_in *nameserver; /* NULL = those of the system */
    bool use_proxies;
    const char *username; /* NULL = none; this and what follows is copied */
    const char *password;
    const char *cacert;
    const char *cert;
    const char *key;
    int64_t idle_ms; /* a silent connection is probed after that, and dropped after as much again */
    const struct clock *clock;
    const struct random *random;
    /* Another member is asked from now on: streams end by themselves. Not inside a call. */
    void (*on_switch)(void *arg);
    /* What an operator may want to read: nothing here logs. May be NULL. */
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *arg;
};

int etcd_client_new(uv_loop_t *loop, const struct etcd_client_config *config,
                    struct etcd_client **ret_client, struct error *err) MUST_CHECK;
/* Everything under way ends with ERR_CANCELED before `done`. */
void etcd_client_free(struct etcd_client *client, void (*done)(void *arg), void *arg);

struct etcd_answer {
    const json_t
        *body; /* borrowed until the callback returns; v2: also of ERR_NOT_FOUND and ERR_CONFLICT */
    int64_t index;    /* v2: X-Etcd-Index */
    uint64_t cluster; /* v2: X-Etcd-Cluster-Id */
    int64_t sent_ms;  /* lease clock before the send that was answered */
    const char *url;  /* of the member that answered; borrowed likewise */
};
typedef void (*etcd_done)(void *arg, int rc, const struct etcd_answer *answer,
                          const struct error *err);

struct etcd_call {
    const char *method; /* v2; v3 has POST alone */
    const char *path;   /* "/kv/range", "/v2/keys/..." */
    struct span body;   /* copied: JSON, or v2: a form */
    bool repeatable;
    int64_t timeout_ms;
};
int etcd_client_call(struct etcd_client *client, const struct etcd_call *call, etcd_done done,
                     void *arg, struct error *err) MUST_CHECK;

/* A streamed answer of the present member, without an end of its own. `on_object` gets each JSON
 * object; `on_end` comes once, last, whatever the reason. */
typedef void (*etcd_on_object)(void *arg, const json_t *object);
typedef void (*etcd_on_end)(void *arg, int rc, const struct error *err);
int etcd_client_stream(struct etcd_client *client, const struct etcd_call *call,
                       etcd_on_object on_object, etcd_on_end on_end, void *arg,
                       struct etcd_stream **ret_stream, struct error *err) MUST_CHECK;
/* on_end comes with ERR_CANCELED. */
void etcd_stream_cancel(struct etcd_stream *stream);

void etcd_client_note(struct etcd_client *client, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The member at `url` gave stale answers: go to the next one, if it still is the present one. */
void etcd_client_leave(struct etcd_client *client, const char *url, const char *reason);

#endif
