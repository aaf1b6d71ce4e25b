/* The replicated store: one keyspace in etcd v3's data model (revisions, leases, watches,
 * transactions), as a PURE state machine. No clock, no files, no randomness: the same commands give
 * the same state and the same snapshot bytes on every member.
 *
 * A command is encoded once, goes through the Raft log, and is applied by every member with
 * store_apply. Exactly once: it carries (client, sequence, floor); the store keeps the results of
 * each client's sequences >= floor (bounded) and answers a repeat with the first result. A sequence
 * below the floor is a late copy of something that nobody waits for: refused. A session begins with
 * whatever command of a client is applied first: several may be under way and come in any order,
 * and the very first may have been given up, so that the floor is above 1 already. (Refusing an
 * unknown client with a higher floor would be no safer: a copy of the refused command could be
 * applied after an older one has begun the session.) The least recently used session is dropped
 * when there are STORE_CLIENTS_MAX. A client is one start of one process, so a repeat could be
 * applied twice only if that many processes start and write between two sends of one command, which
 * its deadline of seconds ends. A sequence STORE_CLIENT_RESULTS_MAX or more above its floor:
 * ERR_LIMIT, every copy.
 *
 * Leases are renewed and ended in the log (docs/consensus.md): Renew raises the lease's renewal
 * number, Expire names the number it has seen. A lease that is granted in format 2 has none of the
 * numbers that earlier ones of its id had: what is late for them does not end it. A lease with
 * STORE_LEASE_HOLDER is a leader key's: it has an owner (an actor), its renewals carry a stamp that
 * must rise, and keys attached to it can only be touched by commands of that actor, by Expire and
 * by Depose (failure of this rule would let a second primary in before the first is fenced).
 *
 * Formats. Commands up to STORE_MEMBER_REMOVE are of format 1, the later ones of format 2. The
 * first command of format 2 that is applied opens the state's format 2 (docs/store.md): from then
 * on the versions before the present one are replicated state and stand in the snapshot. What
 * clients of etcd's API need beside this header: store_read.h, store_client.h. */
#ifndef RAFT_STORE_H
#define RAFT_STORE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_BYTES_MAX     1024
#define STORE_VALUE_BYTES_MAX   ((size_t)1536 * 1024)
#define STORE_COMMAND_BYTES_MAX ((size_t)2 * 1024 * 1024)
/* First byte of a command: the highest that store_command_decode knows. A member that meets a
 * higher one has to stop: to pass it over would make its state another than the others'. */
#define STORE_COMMAND_VERSION_MAX 2
#define STORE_ACTOR_BYTES_MAX     64
#define STORE_TXN_ITEMS_MAX       128
#define STORE_CLIENTS_MAX         1024 /* sessions; the least recently applied one goes first */
#define STORE_CLIENT_RESULTS_MAX                                    \
    1024 /* commands of one client that are not yet below its floor \
          */
#define STORE_SEQUENCE_MAX ((uint64_t)1 << 62)
/* Versions that are not the present ones: kept while they are within both, and while they fit into
 * STORE_BYTES_MAX beside the present ones; the oldest whole revisions go first. The newest revision
 * always stays whole. */
#define STORE_HISTORY_EVENTS_MAX       4096
#define STORE_HISTORY_BYTES_MAX        ((size_t)8 * 1024 * 1024)
#define STORE_MEMBERS_MAX              16
#define STORE_MEMBER_NAME_BYTES_MAX    64
#define STORE_MEMBER_ADDRESS_BYTES_MAX 256
#define STORE_MEMBER_CLIENTS_BYTES_MAX 512
/* Limits of the replicated state are part of the format: members with other ones would apply
 * otherwise. */
#define STORE_KEYS_MAX   65536
#define STORE_BYTES_MAX  ((size_t)32 * 1024 * 1024) /* of all keys and values, old ones too */
#define STORE_LEASES_MAX 65536
/* Clients of etcd's API leave a 32nd of each: a store that they have filled must not keep the
 * leader key where it is. */
#define STORE_CLIENT_KEYS_MAX   (STORE_KEYS_MAX - STORE_KEYS_MAX / 32)
#define STORE_CLIENT_BYTES_MAX  (STORE_BYTES_MAX - STORE_BYTES_MAX / 32)
#define STORE_CLIENT_LEASES_MAX (STORE_LEASES_MAX - STORE_LEASES_MAX / 32)
#define STORE_LEASE_TTL_MS_MAX  ((int64_t)10 * 365 * 86400 * 1000)
/* One command may make and delete keys in turn: what that adds beyond STORE_BYTES_MAX. */
#define STORE_HISTORY_SLACK_RECORDS 1024
#define STORE_HISTORY_SLACK_BYTES   ((size_t)STORE_HISTORY_SLACK_RECORDS * STORE_KEY_BYTES_MAX)
/* Beside the present keys a snapshot has at most: the tombstones of one revision (as many as there
 * can be keys), or the window's events and one version below each of them. */
#define STORE_HISTORY_RECORDS_MAX                                    \
    ((size_t)STORE_KEYS_MAX + 2 * (size_t)STORE_HISTORY_EVENTS_MAX + \
     2 * (size_t)STORE_HISTORY_SLACK_RECORDS)
/* No snapshot is longer: the limits above, each element with its frame of numbers (snapshot.c). */
#define STORE_SNAPSHOT_BYTES_MAX                                                                \
    (STORE_BYTES_MAX + STORE_HISTORY_SLACK_BYTES + (size_t)STORE_KEYS_MAX * 54 +                \
     STORE_HISTORY_RECORDS_MAX * 50 + (size_t)STORE_LEASES_MAX * (40 + STORE_ACTOR_BYTES_MAX) + \
     (size_t)STORE_CLIENTS_MAX * (20 + (size_t)STORE_CLIENT_RESULTS_MAX * 23) +                 \
     (size_t)STORE_MEMBERS_MAX *                                                                \
         (20 + STORE_MEMBER_NAME_BYTES_MAX + STORE_MEMBER_ADDRESS_BYTES_MAX +                   \
          STORE_MEMBER_CLIENTS_BYTES_MAX) +                                                     \
     96)

struct store;

/* --- reading ---------------------------------------------------------------------------------- */

/* Borrowed from the store: valid until the next apply or restore. */
struct store_kv {
    struct span key;
    struct span value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version; /* 1 at creation */
    uint64_t lease;  /* 0 = none */
    bool directory;  /* a directory of the v2 dialect, which only that one shows */
};

struct store_lease {
    uint64_t id;
    int64_t ttl_ms;
    uint64_t renewal_number; /* rises by one with each applied Renew; at the grant: its index, in
                                format 1 it is 1 */
    int64_t stamp;           /* holder leases: of the last applied renewal */
    uint32_t flags;          /* enum store_lease_flag */
    struct span owner;       /* actor of the grant; empty = anybody's */
    int64_t
        applied_at_ms; /* local: this member's lease clock after it applied; -1 = count afresh */
};

/* One member of the Raft group as replicated state; the label in libraft's configuration is only
 * the id. */
struct store_member {
    uint64_t id;
    struct span name;
    struct span address; /* host:port of its Raft port */
    struct span
        client_urls; /* where it serves etcd's clients: full URLs, with commas; empty: not */
};

struct store *store_new(void);
void store_free(struct store *store);

int64_t
store_revision(const struct store *store); /* of the last change; 1 when empty, as in etcd */
uint64_t store_applied(const struct store *store); /* index of the last applied log entry */
unsigned store_format(const struct store *store);  /* of the state: 1 or 2 */
bool store_get(const struct store *store, struct span key, struct store_kv *ret_kv);
/* Calls `visit` for each key that starts with `prefix`, in key order, until it returns false. */
void store_each(const struct store *store, struct span prefix,
                bool (*visit)(void *arg, const struct store_kv *kv), void *arg);
bool store_lease_get(const struct store *store, uint64_t lease, struct store_lease *ret_lease);
void store_lease_each(const struct store *store,
                      bool (*visit)(void *arg, const struct store_lease *lease), void *arg);
size_t store_members(const struct store *store, struct store_member *members, size_t count_max);

/* --- commands --------------------------------------------------------------------------------- */

enum store_lease_flag {
    STORE_LEASE_HOLDER = 1,
    STORE_LEASE_OWN = 2 /* made by a v2 write for its key alone: it goes when the key leaves it */
};

enum store_command_type {
    STORE_TXN = 1,
    STORE_LEASE_GRANT = 2, /* lease (not 0), ttl_ms, flags, stamp; owner = actor */
    STORE_LEASE_RENEW =
        3, /* lease, ttl_ms: in force from now on; stamp: holder leases, above the last one */
    STORE_LEASE_EXPIRE =
        4, /* lease, number: ends the lease and deletes its keys if the number matches */
    STORE_LEASE_REVOKE = 5,  /* lease: by its owner (holder leases) or anybody */
    STORE_MEMBER_SET = 6,    /* member.{id,name,address}; its client_urls stay */
    STORE_MEMBER_REMOVE = 7, /* member.id */
    /* Format 2. */
    STORE_CLIENT_TXN = 8, /* client_txn: etcd's Txn, and Put, Range and DeleteRange as one of one
                             operation */
    STORE_COMPACT = 9,    /* number: revisions below it go */
    STORE_LEASE_KEEPALIVE = 10, /* lease: renewed by the ttl that it has */
    STORE_V2 = 11,              /* v2: one write of the v2 dialect */
    STORE_FORMAT = 12,          /* nothing but opening format 2 */
    STORE_MEMBER_CLIENTS = 13,  /* member.{id,client_urls} */
    /* Ends `lease`, another member's holder lease, whatever time it still has, and gives its key to
     * the actor. As STORE_TXN without `failure`; compares and success have the shape of raft/store/
     * depose.c. ERR_CONFLICT: something that it names is not so any more; ERR_REFUSED: no other
     * member's lease. */
    STORE_DEPOSE = 14
};
#define STORE_COMMAND_FORMAT_1_LAST STORE_MEMBER_REMOVE

enum store_compare_target {
    STORE_CMP_CREATE = 1, /* number: create revision; 0 compares "absent" */
    STORE_CMP_MOD = 2,    /* number: mod revision; 0 compares "absent" */
    STORE_CMP_VERSION = 3,
    STORE_CMP_LEASE = 4,
    STORE_CMP_VALUE = 5 /* bytes */
};

enum store_compare_relation {
    STORE_EQUAL = 1,
    STORE_NOT_EQUAL = 2,
    STORE_LESS = 3,
    STORE_GREATER = 4
};

struct store_compare {
    enum store_compare_target target;
    enum store_compare_relation relation;
    struct span key;
    int64_t number;
    struct span bytes;
    struct span range_end; /* STORE_CLIENT_TXN: all keys of [key, range_end) */
};

enum store_op_type {
    STORE_OP_PUT = 1,    /* key, value, lease (0 = none) */
    STORE_OP_DELETE = 2, /* key; absent is no error */
    STORE_OP_DELETE_PREFIX = 3,
    STORE_OP_LEASE_GRANT =
        4, /* lease, ttl_ms, flags, stamp: granted before the later ops of the same branch */
    STORE_OP_LEASE_END = 5 /* lease: ends it and deletes its keys (release by the owner) */
};

struct store_op {
    enum store_op_type type;
    struct span key;
    struct span value;
    uint64_t lease;
    int64_t ttl_ms;
    int64_t stamp;
    uint32_t flags;
};

struct store_command {
    /* Filled by the node that proposes: */
    uint64_t client;   /* random per process start; 0 = not deduplicated */
    uint64_t sequence; /* 1, 2, 3, ... */
    uint64_t floor;    /* all sequences below it have been answered; their results may go */
    struct span actor; /* name of the member that proposes; empty for a plain client */
    /* Filled by the caller: */
    enum store_command_type type;
    const struct store_compare *compares; /* STORE_TXN: all must hold ... */
    size_t compare_count;
    const struct store_op
        *success; /* ... then these, else `failure`, each branch whole or not at all */
    size_t success_count;
    const struct store_op *failure;
    size_t failure_count;
    uint64_t lease;
    int64_t ttl_ms;
    int64_t stamp;
    uint32_t flags;
    uint64_t number;
    struct store_member member;
    const struct store_client_txn *client_txn; /* store_client.h */
    const struct store_v2 *v2;                 /* store_client.h */
};

/* Why a command of format 2 was refused, finer than the code. Numbers from 100 on are etcd v2's. */
enum store_reason {
    STORE_NO_REASON = 0,
    STORE_COMPACTED = 1,       /* ERR_NOT_FOUND: a revision that is not there any more */
    STORE_FUTURE = 2,          /* ERR_INVALID: a revision that is not there yet */
    STORE_KEY_NOT_FOUND = 3,   /* ERR_NOT_FOUND: ignore_value or ignore_lease of an absent key */
    STORE_LEASE_NOT_FOUND = 4, /* ERR_NOT_FOUND */
    STORE_HOLDERS = 5,         /* ERR_REFUSED: touches what hangs on a member's lease */
    STORE_FULL = 6,            /* ERR_LIMIT */
    STORE_KEY_MISSING = 7,     /* ERR_INVALID: "key is not provided"; this and the next: see */
    STORE_VALUE_PROVIDED = 8,  /* store_client_txn_reason */
    STORE_LEASE_PROVIDED = 9,
    STORE_DUPLICATE_KEY = 10,
    STORE_TOO_MANY_OPS = 11, /* ERR_LIMIT */
    STORE_V2_KEY_NOT_FOUND = 100,
    STORE_V2_TEST_FAILED = 101,
    STORE_V2_NOT_FILE = 102,
    STORE_V2_NOT_DIR = 104,
    STORE_V2_NODE_EXIST = 105,
    STORE_V2_ROOT_READ_ONLY = 107,
    STORE_V2_DIR_NOT_EMPTY = 108,
    STORE_V2_UNAUTHORIZED = 110
};

struct store_output;

/* What a command gave, the same on every member. */
struct store_result {
    int code;       /* 0; ERR_CONFLICT: the compares failed and there was no failure branch;
                     * ERR_REFUSED: rule of holder leases, or a sequence below the floor;
                     * ERR_NOT_FOUND: no such lease or member, or a renewal number/stamp that is not
                     * current; ERR_EXISTS: a lease with that id; ERR_INVALID; ERR_LIMIT.
                     * Other than 0 means that nothing was changed. */
    bool succeeded; /* STORE_TXN: the compares held; else the failure branch ran, if there is one */
    bool repeated;  /* answered from the session, not applied again: without `output` */
    int64_t revision; /* store revision after the command */
    enum store_reason reason;
    /* What each operation gave (store_client.h); NULL where nobody collected it, and for a repeat.
     * Borrowed from who collected: store_output_ref keeps it. */
    struct store_output *output;
};

/* Encodes with a version byte, 1 or 2 by the type; golden bytes in the tests. Fails with
 * ERR_INVALID or ERR_LIMIT. */
int store_command_encode(const struct store_command *command, struct buf *out,
                         struct error *err) MUST_CHECK;
/* Decoded command borrows from `bytes` and, for its arrays, from `ret_arena` (buf_free it). */
int store_command_decode(struct span bytes, struct store_command *ret_command,
                         struct buf *ret_arena, struct error *err) MUST_CHECK;

/* Of encoded bytes; empty for a plain client, and where they cannot be read so far. */
struct span store_command_actor(struct span bytes);

/* Applies entry `index` (must be store_applied + 1 or later: entries that are no commands are
 * skipped by store_skip). Malformed bytes are a no-op with result code ERR_INVALID on every member
 * alike. `output` collects what the operations give, for the member that proposed it; NULL
 * everywhere else. The state is the same either way. */
void store_apply(struct store *store, uint64_t index, struct span command,
                 struct store_result *ret_result, struct store_output *output);
void store_skip(struct store *store, uint64_t index);
/* Can the encoded command give an output? Told from its first byte. */
bool store_command_has_output(struct span command);
bool store_command_is_renewal(struct span command); /* STORE_LEASE_RENEW, by its second byte */

/* --- time of leases: local, never replicated -------------------------------------------------- */

/* Leases granted or renewed by the last store_apply calls and not noted yet get `now_ms` (the lease
 * clock, read after the apply). */
void store_leases_note(struct store *store, int64_t now_ms);
/* Every lease is counted afresh from now: after start, snapshot installation, or a suspended host.
 */
void store_leases_restart(struct store *store, int64_t now_ms);
/* Calls `expired` for each lease whose full ttl has been counted here, and returns the ms until the
 * next of the others ends (-1 = no other). Does not end any: the caller proposes STORE_LEASE_EXPIRE
 * with the number; until that is applied the lease is named at each call. `expired` must not apply
 * anything. */
int64_t store_leases_due(const struct store *store, int64_t now_ms,
                         void (*expired)(void *arg, uint64_t lease, uint64_t number), void *arg);

/* --- watches ---------------------------------------------------------------------------------- */

enum store_event_type { STORE_EVENT_PUT = 1, STORE_EVENT_DELETE = 2 };

/* Who made it, as the v2 dialect tells its watchers. Operations of v3 and of the agent have none.
 */
enum store_action {
    STORE_ACTION_NONE = 0,
    STORE_ACTION_SET = 1,
    STORE_ACTION_CREATE = 2,
    STORE_ACTION_UPDATE = 3,
    STORE_ACTION_SWAP = 4, /* compareAndSwap */
    STORE_ACTION_DELETE = 5,
    STORE_ACTION_COMPARE_DELETE = 6,
    STORE_ACTION_EXPIRE = 7,  /* the lease ran out */
    STORE_ACTION_REFRESH = 8, /* only the ttl is new: v2 watchers do not hear of it */
    STORE_ACTION_BELOW = 9    /* went with the directory above: its event stands for all of them */
};

struct store_event {
    enum store_event_type type;
    struct store_kv kv; /* of a delete: key and mod_revision only */
    enum store_action action;
};

/* The compact revision, in etcd's sense: reads and watches from it on are served, older ones not.
 * In format 1 the window is local: after store_restore it begins at the next revision. */
int64_t store_compacted(const struct store *store);
/* Events with revision >= from, key starting with prefix, oldest first; no directories.
 * ERR_NOT_FOUND if compacted. */
int store_history_each(const struct store *store, int64_t from_revision, struct span prefix,
                       bool (*visit)(void *arg, const struct store_event *event),
                       void *arg) MUST_CHECK;

/* --- snapshots -------------------------------------------------------------------------------- */

void store_snapshot(const struct store *store,
                    struct buf *out); /* deterministic bytes, with a version */
/* Replaces the whole state, or leaves it untouched on error. Leases must be restarted afterwards.
 */
int store_restore(struct store *store, struct span bytes, struct error *err) MUST_CHECK;

/* Asserts every invariant of the structure (tests, simulator, debug builds). */
void store_check(const struct store *store);

#endif
