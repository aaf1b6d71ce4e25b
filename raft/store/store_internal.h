/* What the chapters of the store share. All pointers inside are to heap objects, so that a whole
 * state can be exchanged by assignment (store_restore). */
#ifndef RAFT_STORE_INTERNAL_H
#define RAFT_STORE_INTERNAL_H

#include "raft/store/kv.h"
#include "raft/store/lease.h"
#include "raft/store/member.h"
#include "raft/store/session.h"
#include "raft/store/watch.h"

/* Indexes (which no renewal number is above), revisions and versions of a snapshot: no more, so
 * that counting goes on. */
#define STORE_COUNT_MAX (INT64_MAX / 2)

struct store {
    uint64_t applied;
    int64_t revision;
    unsigned format;
    struct kv_map kvs;
    struct kv_map dirs;   /* directories that v2 made */
    struct kv_map graves; /* mvcc.h */
    struct lease_map leases;
    struct session_map sessions;
    struct member_map members;
    struct watch_history history;
    struct buf left_leases; /* ids of own leases that the present command took a key off */
    struct buf arena;       /* of the command that is being applied; kept to save allocations */
};

void store_state_init(struct store *store);
void store_state_close(struct store *store);

/* Every field within its limits: checked before encoding and after decoding. */
int store_command_validate(const struct store_command *command, struct error *err) MUST_CHECK;

/* Does one compare hold, for all keys that it names? */
bool store_compare_holds(const struct store *store, const struct store_compare *compare);
/* Applies the branch that the compares choose. */
void store_txn_apply(struct store *store, const struct store_command *command,
                     struct store_result *ret_result);
/* depose.c: has it the one shape; what it does. */
int store_depose_validate(const struct store_command *command, struct error *err) MUST_CHECK;
void store_depose_apply(struct store *store, const struct store_command *command,
                        struct store_result *ret_result);
/* The same of a client's (client_txn.c) and a v2 write (v2.c). `output` may be NULL. */
void store_client_txn_apply(struct store *store, const struct store_command *command,
                            struct store_result *ret_result, struct store_output *output);
void store_v2_apply(struct store *store, const struct store_command *command,
                    struct store_result *ret_result, struct store_output *output);

/* client_codec.c: what format 2 adds to store_codec.c. */
int store_client_validate(const struct store_command *command, struct error *err) MUST_CHECK;
void store_client_encode(struct buf *out, const struct store_command *command);
void store_client_decode(struct span_reader *reader, struct store_command *command,
                         struct buf *arena);
/* store_codec.c */
int store_compare_validate(const struct store_compare *compare, struct error *err) MUST_CHECK;
void store_compare_encode(struct buf *out, const struct store_compare *compare);
void store_compare_decode(struct span_reader *reader, struct store_compare *compare);

/* snapshot_history.c: the window, in snapshots of version 2. */
void snapshot_history_encode(const struct store *store, struct buf *out);
int snapshot_history_decode(struct store *store, struct span_reader *reader,
                            struct error *err) MUST_CHECK;

#endif
