/* PURE. etcd's v2 API on the wire: a request about a key as a plain struct, and answers from one.
 *
 * As etcd 3.4 reads them: parameters come from the query and, for PUT and POST, from a form in the
 * body, which wins; the first of equal names counts. A body of another content type is not looked
 * at. What is wrong is said in its words; the order of the checks is its order. */
#ifndef RAFT_ETCD_ETCD_V2_REQUEST_H
#define RAFT_ETCD_ETCD_V2_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "raft/etcd/etcd_error.h"

#include <stdbool.h>
#include <stdint.h>

#define ETCD_V2_PREFIX "/v2/keys"
/* For the arena of a request whose path, query and body have `len` bytes together. */
#define ETCD_V2_ARENA_BUDGET(len) ((size_t)4096 + 8 * (len))

enum etcd_v2_method { ETCD_V2_GET, ETCD_V2_HEAD, ETCD_V2_PUT, ETCD_V2_POST, ETCD_V2_DELETE };

/* As it came over HTTP. */
struct etcd_v2_raw {
    enum etcd_v2_method method;
    struct span path;         /* whole, not decoded: /v2/keys/... */
    struct span query;        /* without the '?' */
    struct span content_type; /* empty = none was given */
    struct span body;
};

enum etcd_v2_op {
    ETCD_V2_OP_GET,
    ETCD_V2_OP_WATCH,
    ETCD_V2_OP_SET,
    ETCD_V2_OP_CREATE,
    ETCD_V2_OP_UPDATE,
    ETCD_V2_OP_COMPARE_AND_SWAP,
    ETCD_V2_OP_CREATE_IN_ORDER,
    ETCD_V2_OP_DELETE,
    ETCD_V2_OP_COMPARE_AND_DELETE
};

struct etcd_v2_request {
    enum etcd_v2_op op;
    struct span key; /* "/" or "/a/b": decoded, cleaned, no '/' at the end */
    struct span value;
    bool has_ttl;
    uint64_t ttl_s;         /* 0 expires at once */
    struct span prev_value; /* empty = not given */
    uint64_t prev_index;    /* 0 = not given */
    uint64_t wait_index;    /* 0 = from now on */
    bool recursive;
    bool sorted;
    bool dir;
    bool quorum;
    bool stream;
    bool refresh;
    bool no_value_on_success;
};

/* Why a request was refused: what etcd_v2_error_body takes, with index 0. */
struct etcd_v2_fault {
    enum etcd_v2_error error;
    struct span cause; /* in the arena, or static */
};

/* Spans of the request are borrowed from `raw` or come from the arena. ERR_NOT_FOUND: no key is
 * asked for (404, not JSON). ERR_INVALID: `ret_fault` says why. ERR_LIMIT: over the arena's budget.
 */
int etcd_v2_request_parse(const struct etcd_v2_raw *raw, struct arena *arena,
                          struct etcd_v2_request *ret_request,
                          struct etcd_v2_fault *ret_fault) MUST_CHECK;

/* --- answers ---------------------------------------------------------------------------------- */

struct etcd_v2_node {
    struct span key; /* empty for the root */
    bool dir;
    bool has_value; /* files, but for deleted and expired ones */
    struct span value;
    bool has_expiration;
    int64_t expiration_ns;   /* since 1970, UTC */
    int64_t ttl_s;           /* 0 is left out */
    uint64_t modified_index; /* 0, of the root, is left out */
    uint64_t created_index;
};

/* What the action of an answer is called. */
const char *etcd_v2_action(enum etcd_v2_op op);
/* Appends {"action":...,"node":...,"prevNode":...} and the line end. `prev_node` may be NULL;
 * `node`, too: what noValueOnSuccess asks for. */
void etcd_v2_answer(const char *action, const struct etcd_v2_node *node,
                    const struct etcd_v2_node *prev_node, struct buf *out);
/* One node in two parts: a directory's nodes stand between them. */
void etcd_v2_node_begin(const struct etcd_v2_node *node, struct buf *out);
void etcd_v2_node_end(const struct etcd_v2_node *node, struct buf *out);
/* RFC 3339 with nanoseconds, zeros at the end left out, as Go writes a time; in quotes. */
void etcd_v2_put_time(int64_t ns, struct buf *out);

#endif
