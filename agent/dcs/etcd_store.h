/* What the two etcd implementations of dcs.h share: operations as chains of calls, and a view that
 * is kept current. Inside agent/dcs. */
#ifndef AGENT_DCS_ETCD_STORE_H
#define AGENT_DCS_ETCD_STORE_H

#include "agent/dcs/dcs_etcd.h"
#include "agent/dcs/etcd_client.h"
#include "base/buf.h"
#include "base/list.h"

struct etcd_store;
struct etcd_op;

enum etcd_watch_news {
    WATCH_NOTHING,
    WATCH_CHANGED,    /* store->view was replaced */
    WATCH_READ_AGAIN, /* something changed: read everything, then watch on */
    WATCH_BROKEN,     /* start anew, with a read */
};

/* Where the dialects differ. */
struct etcd_face {
    enum etcd_dialect dialect;
    const struct dcs_ops *ops;
    size_t bytes; /* of its own struct, whose first member is the store */
    /* A linearizable read of everything below the base path; `ret_path` is freed by the caller, as
     * `body` is. */
    void (*range)(struct etcd_op *op, struct etcd_call *call, char **ret_path, struct buf *body);
    /* Its answer; NULL with `err` if it failed, or cannot be read. op->anew: see there. */
    struct dcs_view *(*view_of)(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                                struct error *err);
    /* A watch of what comes after the view. */
    void (*watch)(const struct etcd_store *store, struct etcd_call *call, char **ret_path,
                  struct buf *body);
    /* One object of it; `ret_why` (ERROR_TEXT_BYTES) says why it is broken. */
    enum etcd_watch_news (*on_object)(struct etcd_store *store, const json_t *object,
                                      char *ret_why);
    /* The store is another one than before: forget what belonged to it. */
    void (*forget)(struct etcd_store *store);
};

/* A reason for which watches ended. Members may differ in theirs, and take turns. */
#define ETCD_WATCH_ENDS 4
struct etcd_watch_end {
    char why[ERROR_TEXT_BYTES]; /* "" = free */
    int64_t told_ms;            /* mono: when it was told last */
    unsigned untold;            /* that ended so since then */
};

struct etcd_store {
    struct dcs dcs;
    const struct etcd_face *face;
    struct etcd_client *client;
    const struct clock *clock;
    char *base;
    char *name;
    int64_t heartbeat_ms;
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *note_arg;

    struct dcs_view *view; /* NULL before the first */
    unsigned beginnings;   /* how often the store turned out to be another one than before */
    struct etcd_stream *watch;
    bool watching;          /* it has told something */
    bool reading;           /* a range of the sync's own is under way */
    bool read_again;        /* and another one is wanted after it */
    int64_t pause_until_ms; /* mono: after a range or a watch that was good for nothing */
    struct etcd_watch_end watch_ends[ETCD_WATCH_ENDS];
    unsigned watch_behind;   /* ranges that knew more, since the watch last told something */
    int64_t ranged_mono_ms;  /* when everything was last read; of no use before the first view */
    int64_t contact_mono_ms; /* of the last answer that a majority stands behind; -1 before */
    uv_timer_t timer;
    struct list ops;
    bool closing;
};

/* --- etcd_store.c: operations ----------------------------------------------------------------- */

enum etcd_op_kind { ETCD_OP_WRITE, ETCD_OP_READ };

/* One operation of the contract. The fields below the line are the dialect's. */
struct etcd_op {
    struct list in_store;
    struct etcd_store *store;
    enum etcd_op_kind kind;
    dcs_done done; /* NULL: nobody waits */
    dcs_read_done read_done;
    void *arg;
    int64_t until_ms;       /* mono */
    uint64_t known_cluster; /* of the view when its range was sent; 0 = there was none */
    int64_t known_revision;
    unsigned beginnings; /* the store's when its last call was made */
    bool anew;           /* its range itself says that the store is another one than before */
    int64_t sent_ms;     /* lease clock: what a holder counts from */
    int64_t revision;    /* of the write */
    bool answered; /* with yes; told by etcd_ops_visible when the view has come as far as `visible`
                    */
    int64_t visible;
    int64_t visible_until_ms;
    etcd_done unsent; /* a call that could not be made, for the reason in `err` */
    struct error err;
    /* - */
    char *key;
    char *value;
    char *other; /* a second value */
    int64_t epoch;
    int64_t ttl_ms;
    int64_t mod_revision;
    int64_t create_revision;
    uint64_t lease;
    int64_t lease_ttl_s;
    int64_t lease_sent_ms;
    enum dcs_unfenced unfenced;
    unsigned tries;
    json_t *json;          /* decref */
    void *extra;           /* mem_free */
    uint64_t known_member; /* who answered last when its range was sent, and in which term */
    uint64_t known_term;
};

int etcd_store_new(uv_loop_t *loop, const struct dcs_etcd_config *config,
                   const struct etcd_face *face, struct dcs **ret_dcs,
                   struct error *err) MUST_CHECK;
/* dcs_ops.view, .read, .can_depose, .contact_mono_ms and .free of both. */
struct dcs_view *etcd_store_view(struct dcs *dcs);
int etcd_store_read(struct dcs *dcs, int64_t timeout_ms, dcs_read_done done, void *arg,
                    struct error *err);
int etcd_store_can_depose(struct dcs *dcs, struct error *err);
/* What both refuse before they ask anybody. */
int etcd_store_may_acquire(struct dcs *dcs, const struct dcs_acquire *acquire,
                           struct error *err) MUST_CHECK;
int64_t etcd_store_contact(struct dcs *dcs);
void etcd_store_free(struct dcs *dcs);

/* NULL with `err` while the store is being closed. */
struct etcd_op *etcd_op_new(struct etcd_store *store, int64_t timeout_ms, dcs_done done, void *arg,
                            struct error *err);
void etcd_op_free(struct etcd_op *op);
/* Ends it with that outcome. */
void etcd_op_end(struct etcd_op *op, int rc, const struct error *err);
void etcd_op_fail(struct etcd_op *op, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* It was applied as `revision`: told when the view shows it, or after a while all the same.
 * `visible` is what the view's revision will be then. */
void etcd_op_written(struct etcd_op *op, int64_t revision, int64_t visible);
/* A call of `op`, within its time. `body` is freed. For one that cannot be made `done` comes with
 * ERR_UNAVAILABLE. */
void etcd_op_call(struct etcd_op *op, const char *method, const char *path, struct buf *body,
                  bool repeatable, etcd_done done);
/* The same for everything below the base path, read with a majority behind it. */
void etcd_op_range(struct etcd_op *op, etcd_done done);
/* The view that is the answer to that; NULL with `err` if it failed, or cannot be read. */
struct dcs_view *etcd_op_view(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                              struct error *err);
/* The store has turned out to be another one since the last call was made: what is answered now may
 * be the word of the one that is gone. */
bool etcd_op_is_of_before(const struct etcd_op *op);
void etcd_ops_visible(struct etcd_store *store);
int etcd_key_check(const char *key, struct error *err) MUST_CHECK;
/* "<cluster>:<revision>"; revision 0 = that of the key itself. Free with mem_free. */
char *etcd_unfenced_value(const struct etcd_store *store, int64_t revision);

/* --- etcd_sync.c: the view -------------------------------------------------------------------- */

void etcd_sync_start(uv_loop_t *loop, struct etcd_store *store);
void etcd_sync_stop(struct etcd_store *store, uv_close_cb closed);
void etcd_sync_kick(struct etcd_store *store, int64_t in_ms);
/* A majority stands behind an answer that has just come. */
void etcd_sync_contact(struct etcd_store *store);
/* Takes the view that a range of `op` gave, if it is newer, or the store's history begins anew. */
void etcd_sync_install(struct etcd_op *op, struct dcs_view *view);
/* The range was sent when we had a view of that cluster, and it shows less than that: etcd was
 * wiped, or brought back from a backup. A member that has been left behind does not answer a
 * linearizable read. */
bool etcd_sync_began_anew(const struct etcd_op *op, uint64_t cluster, int64_t revision);

#endif
