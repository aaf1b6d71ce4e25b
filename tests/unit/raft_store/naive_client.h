/* Transactions on the naive store. */
#ifndef TESTS_NAIVE_CLIENT_H
#define TESTS_NAIVE_CLIENT_H

#include "naive_store.h"

struct naive_run {
    struct naive *naive;
    bool decided[64];
    size_t next;
};

static inline int64_t naive_number(const struct naive_version *version,
                                   enum store_compare_target target)
{
    switch (target) {
    case STORE_CMP_CREATE: return version->create;
    case STORE_CMP_MOD: return version->mod;
    case STORE_CMP_VERSION: return version->version;
    default: return (int64_t)version->lease;
    }
}

static inline bool naive_compare_one(const struct naive_version *version,
                                     const struct store_compare *compare)
{
    int64_t order = 0;
    if (compare->target == STORE_CMP_VALUE) {
        char text[16];
        naive_text(version->value, text);
        order = version->there ? span_compare(span_str(text), compare->bytes) : 0;
        if (!version->there) {
            return false;
        }
    } else {
        order = naive_number(version, compare->target) - compare->number;
    }
    return compare->relation == STORE_EQUAL       ? order == 0
           : compare->relation == STORE_NOT_EQUAL ? order != 0
           : compare->relation == STORE_LESS      ? order < 0
                                                  : order > 0;
}

static inline bool naive_compare(const struct naive *naive, const struct store_compare *compare)
{
    const struct naive_version absent = {.there = false};
    bool any = false;
    bool holds = true;
    for (int i = 0; i < NAMES; i++) {
        if (naive->now.kv[0][i].there && naive_in_range(i, compare->key, compare->range_end)) {
            any = true;
            holds = holds && naive_compare_one(&naive->now.kv[0][i], compare);
        }
    }
    return any ? holds : naive_compare_one(&absent, compare);
}

static inline void naive_decide(struct naive_run *run, const struct store_client_txn *txn)
{
    bool holds = true;
    for (size_t i = 0; i < txn->compare_count; i++) {
        holds = holds && naive_compare(run->naive, &txn->compares[i]);
    }
    run->decided[run->next++] = holds;
    const struct store_client_op *ops = holds ? txn->success : txn->failure;
    for (size_t i = 0; i < (holds ? txn->success_count : txn->failure_count); i++) {
        if (ops[i].type == STORE_CLIENT_NESTED) {
            naive_decide(run, ops[i].txn);
        }
    }
}

static inline bool naive_may(struct naive_run *run, const struct store_client_op *op)
{
    for (int i = 0; i < NAMES; i++) {
        if (op->type != STORE_CLIENT_RANGE && naive_held(run->naive, i) &&
            naive_in_range(i, op->range.key, op->range.range_end)) {
            return false;
        }
    }
    struct naive_lease *lease = naive_lease(run->naive, op->lease);
    return op->type != STORE_CLIENT_PUT || lease == NULL || !lease->holder;
}

static inline enum store_reason naive_check_put(struct naive_run *run,
                                                const struct store_client_op *op)
{
    bool there = false;
    for (int i = 0; i < NAMES; i++) {
        there = there ||
                (run->naive->now.kv[0][i].there && span_equal_str(op->range.key, naive_names[i]));
    }
    if (op->type != STORE_CLIENT_PUT) {
        return STORE_NO_REASON;
    }
    if ((op->ignore_value || op->ignore_lease) && !there) {
        return STORE_KEY_NOT_FOUND;
    }
    return op->lease != 0 && naive_lease(run->naive, op->lease) == NULL ? STORE_LEASE_NOT_FOUND
                                                                        : STORE_NO_REASON;
}

static inline enum store_reason naive_check_range(struct naive_run *run,
                                                  const struct store_client_op *op)
{
    int64_t revision = op->range.revision;
    if (op->type != STORE_CLIENT_RANGE || revision <= 0) {
        return STORE_NO_REASON;
    }
    return revision > run->naive->revision    ? STORE_FUTURE
           : revision < run->naive->compacted ? STORE_COMPACTED
                                              : STORE_NO_REASON;
}

static inline enum store_reason naive_check(struct naive_run *run,
                                            const struct store_client_txn *txn, int pass)
{
    bool holds = run->decided[run->next++];
    const struct store_client_op *ops = holds ? txn->success : txn->failure;
    enum store_reason reason = STORE_NO_REASON;
    for (size_t i = 0; i < (holds ? txn->success_count : txn->failure_count) && reason == 0; i++) {
        reason = ops[i].type == STORE_CLIENT_NESTED ? naive_check(run, ops[i].txn, pass)
                 : pass == 0 ? (naive_may(run, &ops[i]) ? STORE_NO_REASON : STORE_HOLDERS)
                 : pass == 1 ? naive_check_put(run, &ops[i])
                             : naive_check_range(run, &ops[i]);
    }
    return reason;
}

/* Selection by repeated search for the next one: no sort to be wrong in the same way. */
static inline int64_t naive_rank(const struct naive_state *state, int name,
                                 enum store_sort_target target)
{
    const struct naive_version *version = &state->kv[0][name];
    return target == STORE_SORT_VERSION  ? version->version
           : target == STORE_SORT_CREATE ? version->create
           : target == STORE_SORT_MOD    ? version->mod
                                         : 0;
}

static inline int naive_order(const struct naive_state *state, const struct store_range *range,
                              int a, int b)
{
    int64_t order = naive_rank(state, a, range->target) - naive_rank(state, b, range->target);
    if (range->target == STORE_SORT_VALUE) {
        char first[16];
        char second[16];
        naive_text(state->kv[0][a].value, first);
        naive_text(state->kv[0][b].value, second);
        order = strcmp(first, second);
    }
    if (order == 0 && range->target != STORE_SORT_KEY) {
        return a - b; /* in either direction */
    }
    int by = order != 0 ? (order < 0 ? -1 : 1) : a - b;
    return range->order == STORE_SORT_DESCEND ? -by : by;
}

static inline bool naive_within(const struct store_range *range,
                                const struct naive_version *version)
{
    return (range->min_mod == 0 || version->mod >= range->min_mod) &&
           (range->max_mod == 0 || version->mod <= range->max_mod) &&
           (range->min_create == 0 || version->create >= range->min_create) &&
           (range->max_create == 0 || version->create <= range->max_create);
}

static inline void naive_range(struct naive_run *run, const struct store_client_op *op,
                               struct buf *out)
{
    const struct store_range *range = &op->range;
    int64_t present = run->naive->revision + (run->naive->changed ? 1 : 0);
    const struct naive_state *state = range->revision <= 0 || range->revision == present
                                          ? &run->naive->now
                                          : &run->naive->history[range->revision];
    int found[NAMES];
    int64_t count = 0;
    int64_t filled = 0;
    for (int i = 0; i < NAMES; i++) {
        const struct naive_version *version = &state->kv[0][i];
        bool in = version->there && naive_in_range(i, range->key, range->range_end);
        count += in ? 1 : 0;
        if (in && naive_within(range, version) && !range->count_only) {
            int64_t at = filled++;
            for (; at > 0 && naive_order(state, range, i, found[at - 1]) < 0; at--) {
                found[at] = found[at - 1];
            }
            found[at] = i;
        }
    }
    bool more = range->limit > 0 && filled > range->limit;
    buf_printf(out, "range@%lld#%lld%s: ", (long long)present, (long long)count, more ? "+" : "");
    for (int64_t i = 0; i < (more ? range->limit : filled); i++) {
        naive_put_kv(out, found[i], &state->kv[0][found[i]]);
    }
}

static inline void naive_run_put(struct naive_run *run, const struct store_client_op *op,
                                 struct buf *out)
{
    int name = 0;
    while (!span_equal_str(op->range.key, naive_names[name])) {
        name++;
    }
    struct naive_version before = run->naive->now.kv[0][name];
    buf_printf(out, "put@%lld: ", (long long)run->naive->revision + 1);
    if (op->prev_kv && before.there) {
        naive_put_kv(out, name, &before);
    }
    naive_put(run->naive, false, name, op->ignore_value ? before.value : naive_value(op->value),
              op->ignore_lease ? before.lease : op->lease, STORE_ACTION_NONE);
}

static inline void naive_run_delete(struct naive_run *run, const struct store_client_op *op,
                                    struct buf *out)
{
    struct buf kvs = BUF_INIT;
    int64_t count = 0;
    for (int i = 0; i < NAMES; i++) {
        if (run->naive->now.kv[0][i].there &&
            naive_in_range(i, op->range.key, op->range.range_end)) {
            count++;
            if (op->prev_kv) {
                naive_put_kv(&kvs, i, &run->naive->now.kv[0][i]);
            }
            naive_delete(run->naive, false, i, STORE_ACTION_NONE);
        }
    }
    buf_printf(out, "delete@%lld#%lld: ",
               (long long)run->naive->revision + (run->naive->changed ? 1 : 0), (long long)count);
    buf_put_span(out, buf_span(&kvs));
    buf_free(&kvs);
}

static inline void naive_run_txn(struct naive_run *run, const struct store_client_txn *txn,
                                 struct buf *out)
{
    bool holds = run->decided[run->next++];
    const struct store_client_op *ops = holds ? txn->success : txn->failure;
    size_t count = holds ? txn->success_count : txn->failure_count;
    buf_put_str(out, holds ? "yes{" : "no{");
    for (size_t i = 0; i < count; i++) {
        switch (ops[i].type) {
        case STORE_CLIENT_RANGE: naive_range(run, &ops[i], out); break;
        case STORE_CLIENT_PUT: naive_run_put(run, &ops[i], out); break;
        case STORE_CLIENT_DELETE: naive_run_delete(run, &ops[i], out); break;
        case STORE_CLIENT_NESTED: naive_run_txn(run, ops[i].txn, out); break;
        }
        buf_put_str(out, i + 1 < count ? "; " : "");
    }
    buf_put_str(out, "}");
}

/* Appends what put_result writes. */
static inline void naive_client_txn(struct naive *naive, const struct store_client_txn *txn,
                                    struct buf *out)
{
    static const int codes[] = {[STORE_COMPACTED] = ERR_NOT_FOUND,
                                [STORE_FUTURE] = ERR_INVALID,
                                [STORE_KEY_NOT_FOUND] = ERR_NOT_FOUND,
                                [STORE_LEASE_NOT_FOUND] = ERR_NOT_FOUND,
                                [STORE_HOLDERS] = ERR_REFUSED};
    struct naive_run run = {.naive = naive};
    struct buf text = BUF_INIT;
    enum store_reason reason = STORE_NO_REASON;
    naive_decide(&run, txn);
    for (int pass = 0; pass < 3 && reason == STORE_NO_REASON; pass++) {
        run.next = 0;
        reason = naive_check(&run, txn, pass);
    }
    if (reason != STORE_NO_REASON) {
        buf_printf(out, "%s/%d@%lld", err_name(codes[reason]), (int)reason,
                   (long long)naive->revision);
        return;
    }
    run.next = 0;
    naive_run_txn(&run, txn, &text);
    naive_settle(naive);
    buf_printf(out, "@%lld ", (long long)naive->revision);
    buf_put_span(out, buf_span(&text));
    buf_free(&text);
}

#endif
