/* Commands of clients of etcd's API, and what they give: transactions with etcd's rules, and writes
 * of the v2 dialect. Both are one command each, evaluated by every member when it applies it.
 *
 * They are refused whole if they touch a key or lease of a member (STORE_LEASE_HOLDER), unless the
 * command is that member's own. */
#ifndef RAFT_STORE_CLIENT_H
#define RAFT_STORE_CLIENT_H

#include "raft/store_read.h"

/* --- transactions ----------------------------------------------------------------------------- */

/* Operations, and compares, of one command, all levels together; etcd bounds only each list. */
#define STORE_CLIENT_OPS_MAX   1024
#define STORE_CLIENT_DEPTH_MAX 16
/* Keys that one may look at, by store_client_txn_work: some ten milliseconds on every member, since
 * nothing of it can be put off. */
#define STORE_CLIENT_WORK_MAX ((size_t)4 * STORE_KEYS_MAX)

enum store_client_op_type {
    STORE_CLIENT_RANGE = 1,
    STORE_CLIENT_PUT = 2,
    STORE_CLIENT_DELETE = 3,
    STORE_CLIENT_NESTED = 4
};

struct store_client_op {
    enum store_client_op_type type;
    struct store_range range; /* RANGE: whole; DELETE: key and range_end; PUT: key */
    struct span value;        /* PUT, and the four below */
    uint64_t lease;           /* 0 = none: the key leaves the one it was on */
    bool ignore_value;        /* keeps the value it has: the key must be there */
    bool ignore_lease;
    bool prev_kv; /* DELETE, too */
    const struct store_client_txn *txn;
};

/* All compares, also those of nested transactions, are decided on the state before the command, and
 * everything that runs is checked on it before anything is changed. Reads see the writes before
 * them. What it changes is one revision; if nothing, none. */
struct store_client_txn {
    const struct store_compare *compares;
    size_t compare_count; /* up to STORE_TXN_ITEMS_MAX, as the two below; a nested list may be as
                             long as the longest list above it leaves */
    const struct store_client_op *success;
    size_t success_count;
    const struct store_client_op *failure;
    size_t failure_count;
};

/* What etcd refuses before it looks at any state, in its order; STORE_NO_REASON = nothing. Ask
 * before proposing: a command with a reason is not encoded. */
enum store_reason store_client_txn_reason(const struct store_client_txn *txn);
/* Is there nothing in it that writes? Such a one needs no command: store_client_read. */
bool store_client_txn_reads(const struct store_client_txn *txn);

/* How many keys it would look at, on the present state; each of a range that is sorted counts as
 * many. Ask before proposing, or reading. */
size_t store_client_txn_work(const struct store *store, const struct store_client_txn *txn);

struct store_op_output {
    enum store_client_op_type type;
    int64_t revision;     /* of the answer's header; NESTED has none */
    struct store_kvs kvs; /* RANGE: found; PUT, DELETE: those before, if asked for */
    int64_t count;        /* RANGE: of the range; DELETE: deleted */
    bool more;
    bool succeeded; /* NESTED, and the two below */
    struct store_op_output *ops;
    size_t op_count;
};

/* --- v2 --------------------------------------------------------------------------------------- */

/* Paths are clean: they begin with '/', have no empty, "." or ".." component and no '/' at the end;
 * the root is "/". A key with such a name is a file. A path is a directory if a directory was made
 * there, or if a file is below it; where there is a key as well, the directory hides it.
 * createdIndex and modifiedIndex are revisions. */
enum store_v2_type {
    STORE_V2_SET = 1,
    STORE_V2_CREATE = 2, /* prevExist=false */
    STORE_V2_POST = 3,   /* below path, named by the new revision in 20 digits */
    STORE_V2_UPDATE = 4, /* prevExist=true */
    STORE_V2_SWAP = 5,   /* prev_value, prev_index or both */
    STORE_V2_DELETE = 6,
    STORE_V2_COMPARE_DELETE = 7
};

struct store_v2 {
    enum store_v2_type type;
    struct span path;
    struct span value;
    struct span prev_value; /* empty = not given, as in etcd */
    uint64_t prev_index;    /* 0 = not given */
    int64_t ttl_ms;         /* 0 = none: one that is there goes */
    uint64_t lease;         /* with a ttl: the id of the lease that is made for it, random */
    bool directory;         /* dir=true */
    bool recursive;
    bool refresh; /* the value that is there; v2 watchers do not hear of it */
};

struct store_v2_node {
    bool there;
    bool directory;
    struct span path;
    struct span value;
    int64_t created; /* a directory that nobody made: those of the first file below it */
    int64_t modified;
    uint64_t lease; /* its ttl: store_lease_remaining_ms; 0 = none */
    int64_t ttl_ms; /* as granted */
};

/* The node at `path`: 0, STORE_V2_KEY_NOT_FOUND or STORE_V2_NOT_DIR; then `ret_cause` is the part
 * of `path` that is missing, or the file in the way. All borrowed until the next apply. */
enum store_reason store_v2_get(const struct store *store, struct span path,
                               struct store_v2_node *ret_node, struct span *ret_cause);
/* All that v2 can name below the directory: its files, and the directories that were made, each in
 * the order of keys, held while the store goes on. */
void store_v2_below(const struct store *store, struct span path, struct store_kvs *ret_files,
                    struct store_kvs *ret_directories);

/* Does a watch on `path` hear of the event, and as what? The name of the action, or NULL. (Events
 * of a watch over everything, with directories.) */
const char *store_v2_event_action(const struct store_event *event, struct span path,
                                  bool recursive);

/* --- what a command gave ---------------------------------------------------------------------- */

struct store_output {
    unsigned refs;
    struct store_op_output txn; /* STORE_CLIENT_TXN, as if it were nested: succeeded and ops */
    struct store_v2_node node;  /* STORE_V2 */
    struct store_v2_node prev;
    struct buf cause;        /* STORE_V2: of the refusal, as etcd says it */
    int64_t ttl_ms;          /* STORE_LEASE_KEEPALIVE */
    struct store_kvs pinned; /* what node and prev borrow from */
    struct buf path;         /* the same */
};

struct store_output *store_output_new(void);
struct store_output *store_output_ref(struct store_output *output);
void store_output_unref(struct store_output *output); /* NULL is accepted */

/* Evaluates a transaction that only reads on the present state, without a command. `ret_result` as
 * of a command; `output` is filled. */
void store_client_read(const struct store *store, const struct store_client_txn *txn,
                       struct store_result *ret_result, struct store_output *output);

#endif
