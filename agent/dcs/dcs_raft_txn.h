/* What the two Raft implementations of dcs.h ask of the store, as its commands: the same words
 * whether they go through a member of this process or over the network. Inside agent/dcs. PURE. */
#ifndef AGENT_DCS_RAFT_TXN_H
#define AGENT_DCS_RAFT_TXN_H

#include "agent/dcs/dcs.h"
#include "base/clock.h"
#include "base/random.h"
#include "raft/store.h"

#define RAFT_TXN_COMPARES_MAX (6 + DCS_REPORTS_MAX)
#define RAFT_TXN_OPS_MAX      5

/* One transaction being put together. Keys are full paths, owned here; values are borrowed. */
struct raft_txn {
    const char *base;
    struct store_compare compares[RAFT_TXN_COMPARES_MAX];
    size_t compare_count;
    struct store_op ops[RAFT_TXN_OPS_MAX];
    size_t op_count;
    char *keys[RAFT_TXN_COMPARES_MAX + RAFT_TXN_OPS_MAX];
    size_t key_count;
    char *values[2];
    size_t value_count;
};

void raft_txn_init(struct raft_txn *txn, const char *base);
void raft_txn_free(struct raft_txn *txn);
/* Borrows from `txn`. */
struct store_command raft_txn_command(const struct raft_txn *txn);

/* `lease` is new, `stamp` the first of it, `cluster` the store's. The command of one that deposes
 * is STORE_DEPOSE, with the lease that is to end. */
int raft_txn_acquire(struct raft_txn *txn, const struct dcs_acquire *acquire, uint64_t cluster,
                     uint64_t lease, int64_t stamp, struct error *err);
/* `lease`: that of the leader key of `epoch`. */
void raft_txn_release(struct raft_txn *txn, int64_t epoch, uint64_t lease, const char *status);
void raft_txn_status(struct raft_txn *txn, int64_t epoch, const char *status);
void raft_txn_sync(struct raft_txn *txn, int64_t epoch, const char *value, int64_t revision);
void raft_txn_unfenced(struct raft_txn *txn, int64_t epoch, uint64_t cluster);
/* `value` NULL: the key is removed. */
int raft_txn_key(struct raft_txn *txn, const char *key, const char *value, int64_t compare,
                 struct error *err);
int raft_txn_withdraw(struct raft_txn *txn, const char *name, int64_t report_revision,
                      int64_t epoch, struct error *err);
/* The key on a new lease, and the end of the `old` one (0 = none): a put alone would not renew, and
 * a renewal and a put are two commands of which the second can be lost. */
void raft_txn_member(struct raft_txn *txn, const char *key, const char *value, uint64_t lease,
                     uint64_t old, int64_t ttl_ms);

int raft_key_check(const char *base, const char *key, struct error *err);
uint64_t raft_lease_id_new(const struct random *random);
/* The lease clock itself, one more on a tie; never counted on from what the store has, because then
 * a restarted agent's late renewal could pass for a new one. */
int64_t raft_stamp_next(const struct clock *clock, int64_t *last);

/* What a command gave, in the contract's words; it knows one for "it is not so any more". `rc` 0:
 * it was applied, with `result`. */
int raft_outcome(int rc, const struct store_result *result, struct error *err);

#endif
