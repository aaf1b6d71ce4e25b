/* Requests to etcd's v3 JSON gateway, and what comes back, as plain data. No sockets, no clock.
 *
 * Keys and values travel in base64, 64-bit integers as JSON strings; zero values are left out of
 * answers, unknown fields are skipped, white space is free (etcd 3.6 adds it at random). Integers
 * are read as numbers or strings and never through a double. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD3_CODEC_H
#define AGENT_DCS_ETCD3_CODEC_H

#include "agent/dcs/dcs.h"
#include "base/buf.h"

#include <jansson.h>

/* --- requests: JSON appended to `out` --------------------------------------------------------- */

/* Linearizable range over everything that starts with `prefix`. */
void etcd3_range_prefix(struct buf *out, const char *prefix);
/* The same of one key. */
void etcd3_range_key(struct buf *out, const char *key);
void etcd3_lease_grant(struct buf *out, int64_t ttl_s);
void etcd3_lease_id(struct buf *out, uint64_t lease); /* keepalive, revoke */
void etcd3_watch(struct buf *out, const char *prefix, int64_t start_revision);
void etcd3_authenticate(struct buf *out, const char *name, const char *password);

enum etcd3_target { ETCD3_CREATE, ETCD3_MOD };

/* One transaction being put together; zeroed at first, etcd3_txn_free at the end. All compares are
 * "equal". */
struct etcd3_txn {
    json_t *compares;
    json_t *success;
};
void etcd3_txn_compare(struct etcd3_txn *txn, const char *key, enum etcd3_target target,
                       int64_t revision);
void etcd3_txn_put(struct etcd3_txn *txn, const char *key, struct span value, uint64_t lease);
void etcd3_txn_delete(struct etcd3_txn *txn, const char *key);
void etcd3_txn_print(struct etcd3_txn *txn, struct buf *out);
void etcd3_txn_free(struct etcd3_txn *txn);

/* --- answers ---------------------------------------------------------------------------------- */

struct etcd3_header {
    uint64_t cluster;
    uint64_t member;
    int64_t revision;
    uint64_t term;
};

/* What the store meant, whatever the HTTP status was: versions of etcd differ in it. */
enum etcd3_failure {
    ETCD3_OK,
    ETCD3_LEASE_NOT_FOUND,
    ETCD3_COMPACTED,
    ETCD3_AUTHENTICATE, /* token missing, unknown or old: nothing was done, authenticate and repeat
                         */
    ETCD3_AUTH_OFF,     /* "authentication is not enabled" */
    ETCD3_DENIED,       /* wrong password, no permission: an operator has to look */
    ETCD3_ELSEWHERE,    /* no leader, stopped, timed out, broken, or no answer of etcd's at all:
                         * another    member may do; a write may be applied */
    ETCD3_FULL,         /* no space, or too many requests: nothing was done */
    ETCD3_ABSENT,       /* the path is not served: no v3 gateway under this prefix */
    ETCD3_BAD,          /* any other definite refusal */
};

/* `status` of HTTP and the body. `ret_text` (ERROR_TEXT_BYTES) gets etcd's words; "" if there are
 * none. */
enum etcd3_failure etcd3_failure_of(int status, const json_t *body, char *ret_text);

bool etcd3_header_read(const json_t *body, struct etcd3_header *ret_header);
/* "kvs" of a range answer below `base` as a view; NULL with `err` if it is none. */
struct dcs_view *etcd3_view_read(const json_t *body, const char *base, struct error *err);
/* The first of "kvs"; false if there is none, or it cannot be read. Only the numbers, and whether
 * its value is `value`. */
bool etcd3_kv_read(const json_t *body, const char *value, struct dcs_kv *ret_kv,
                   bool *ret_same_value);
bool etcd3_txn_succeeded(const json_t *body);
/* ID and TTL (s; 0 = the lease is gone) of a grant, or of the "result" of a keepalive. */
bool etcd3_lease_read(const json_t *body, uint64_t *ret_lease, int64_t *ret_ttl_s);
/* Client URLs of all members into an array of strings; NULL if there are none. decref. */
json_t *etcd3_members_read(const json_t *body);
/* "/v3" or "/v3beta" from the body of GET /version; NULL: too old, or not etcd. */
const char *etcd3_prefix_of(const json_t *body, char ret_version[32]);

struct etcd3_event {
    bool deleted;
    struct dcs_kv kv; /* key relative to the base; only key and mod_revision if deleted */
};
typedef void (*etcd3_on_event)(void *arg, const struct etcd3_event *event);

struct etcd3_watch_answer {
    struct etcd3_header header;
    bool created;
    bool canceled;
    int64_t compact_revision;
};
/* The answer round the events of one object of a watch's stream; then the events, in order. Keys
 * outside `base` are skipped. */
enum etcd3_failure etcd3_watch_read(const json_t *object, struct etcd3_watch_answer *ret_answer,
                                    char *ret_text);
/* False at the first one that cannot be read; those before were told. */
bool etcd3_watch_events(const json_t *object, const char *base, etcd3_on_event on_event, void *arg);

#endif
