/* The distributed configuration store as the agent sees it: one contract, four implementations
 * (Raft in this process; Raft over the network; etcd v2; etcd v3). Every operation has a deadline
 * and ends in exactly one callback, never inside the call that asked. Outcomes: 0; ERR_CONFLICT (a
 * compare failed: nothing was written); ERR_REFUSED (not ours to write); ERR_UNAVAILABLE (not sent:
 * nothing was written); ERR_UNKNOWN (sent, no answer: may still be applied); ERR_CANCELED (we are
 * stopping, or the store is: likewise). Neither is ever taken for a refusal. Names of keys are
 * relative to <namespace>/<scope>/. */
#ifndef AGENT_DCS_H
#define AGENT_DCS_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dcs;

/* One key of the view. Strings are zero-terminated and owned by the view. */
struct dcs_kv {
    char *key;   /* relative: "leader", "members/node1" */
    char *value; /* never NULL */
    size_t value_len;
    int64_t create_revision;
    int64_t mod_revision;
    uint64_t lease;
};

/* Everything below the base path at one revision. Immutable; reference counted. */
struct dcs_view {
    int refs;
    uint64_t cluster; /* id of the store's cluster: part of every epoch */
    int64_t revision;
    size_t count;
    struct dcs_kv *kvs; /* sorted by key */
};

struct dcs_view *dcs_view_new(size_t count); /* kvs zeroed */
struct dcs_view *dcs_view_ref(struct dcs_view *view);
void dcs_view_unref(struct dcs_view *view); /* NULL is accepted */
const struct dcs_kv *dcs_view_get(const struct dcs_view *view, const char *key); /* NULL = absent */

struct dcs_result {
    int rc;
    int64_t revision;    /* of the write, for compares that follow */
    int64_t sent_ms;     /* lease clock before the first send: what a holder counts from */
    int64_t answered_ms; /* lease clock after this member applied it */
};

typedef void (*dcs_done)(void *arg, const struct dcs_result *result, const struct error *err);
typedef void (*dcs_read_done)(void *arg, int rc, struct dcs_view *view, const struct error *err);

#define DCS_ANY         (-1) /* no compare */
#define DCS_ABSENT      0    /* the key must not exist */

#define DCS_REPORTS_MAX 16

/* What an acquisition does about the key `unfenced` (rule 12 of docs/consensus.md). */
enum dcs_unfenced {
    DCS_UNFENCED_LEAVE,
    DCS_UNFENCED_PUT, /* the fence stays disarmed: the key names the new epoch, in the same step */
    DCS_UNFENCED_REMOVE, /* the operator has ordered this, over the instance that it speaks of */
};

/* Acquire (rule 1 of docs/consensus.md): one transaction, lease included. */
struct dcs_acquire {
    const char *holder;
    const char *instance; /* which agent of that name: stands in `epoch`; NULL or "" = left out */
    int64_t ttl_ms;
    int64_t epoch_revision;  /* mod revision of `epoch` the decision named; 0 = absent */
    int64_t config_revision; /* likewise `config` and `sync` */
    int64_t sync_revision;
    int64_t timeline;          /* the number the promotion will make */
    int64_t unfenced_revision; /* that `unfenced` must have; 0 = absent */
    enum dcs_unfenced unfenced;
    /* Not 0: the leader key has this create revision and is another's, whose lease is ended in the
     * same transaction (`early_failover`). Raft only; ERR_UNSUPPORTED elsewhere, ERR_UNAVAILABLE
     * before can_depose. */
    int64_t deposes;
    /* `recovered`, which goes with the acquisition; 0 = absent. In Raft mode only is there such a
     * key. */
    int64_t recovered_revision;
    size_t report_count;
    struct {
        const char *member;
        int64_t revision;
    } reports[DCS_REPORTS_MAX];
};

struct dcs_ops {
    /* Latest local view; may be stale (safety comes from compares), but not older than this run of
     * the agent: NULL before something was read that a majority stands behind. */
    struct dcs_view *(*view)(struct dcs *dcs); /* a new reference */
    /* Linearizable read of everything. */
    int (*read)(struct dcs *dcs, int64_t timeout_ms, dcs_read_done done, void *arg,
                struct error *err);
    int (*acquire)(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                   dcs_done done, void *arg, struct error *err);
    /* 0: an acquisition may depose. Otherwise it is made ready as far as it can be, and `err` says
     * what is missing. */
    int (*can_depose)(struct dcs *dcs, struct error *err);
    /* One attempt, never repeated under the same id. `epoch` = create revision of the leader key we
     * hold. */
    int (*renew)(struct dcs *dcs, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms, dcs_done done,
                 void *arg, struct error *err);
    /* Deletes the leader key if it still has `epoch`. `status` (may be NULL) is written with it. */
    int (*release)(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                   dcs_done done, void *arg, struct error *err);
    /* `status`, if the leader key still has `epoch`: one that comes late must not take the place of
     * the position that a release has left, which a switchover goes by. */
    int (*put_status)(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                      dcs_done done, void *arg, struct error *err);
    /* `sync` = `value` (NULL: it is deleted), if the leader key has `epoch` and `sync` is at
     * `revision` (DCS_ABSENT: it is not there): what a holder of before sends late must not take
     * the place of what the next one reckons with. etcd v2 compares the second alone; there an
     * acquisition writes the key anew. */
    int (*put_sync)(struct dcs *dcs, int64_t epoch, const char *value, int64_t revision,
                    int64_t timeout_ms, dcs_done done, void *arg, struct error *err);
    /* `unfenced` = `epoch`, under the leader key of that epoch. 0: whoever acquires by himself from
     * now on finds it, so that the fence may be disarmed. etcd v2: the put, then a read that finds
     * the same `epoch`. */
    int (*put_unfenced)(struct dcs *dcs, int64_t epoch, int64_t timeout_ms, dcs_done done,
                        void *arg, struct error *err);
    /* compare: DCS_ANY, DCS_ABSENT or the mod revision it must have. */
    int (*put)(struct dcs *dcs, const char *key, const char *value, int64_t compare,
               int64_t timeout_ms, dcs_done done, void *arg, struct error *err);
    int (*remove)(struct dcs *dcs, const char *key, int64_t compare, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err);
    /* members/<name> on a lease of its own, made or renewed as needed. */
    int (*put_member)(struct dcs *dcs, const char *name, const char *value, int64_t ttl_ms,
                      int64_t timeout_ms, dcs_done done, void *arg, struct error *err);
    /* reports/<name> = none, if the key is at `report_revision` (DCS_ABSENT: it is not there) and
     * the leader key has create revision `epoch` (rule 7 of docs/consensus.md: withdrawal before
     * that epoch may be followed). */
    int (*withdraw)(struct dcs *dcs, const char *name, int64_t report_revision, int64_t epoch,
                    int64_t timeout_ms, dcs_done done, void *arg, struct error *err);
    /* Monotonic clock: when something was last heard that a majority of the store stands behind. -1
     * = nothing yet. */
    int64_t (*contact_mono_ms)(struct dcs *dcs);
    /* What is under way ends with ERR_CANCELED; handles of the loop may go on closing for a turn or
     * two. */
    void (*free)(struct dcs *dcs);
};

struct dcs {
    const struct dcs_ops *ops;
    /* Something below the base path changed, or the connection to the store came or went. */
    void (*on_change)(void *arg);
    void *on_change_arg;
};

#endif
