#include "agent/dcs/dcs_raft_txn.h"

#include "agent/dcs/dcs_raft.h"
#include "agent/ha/ha_cluster.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* --- keys ------------------------------------------------------------------------------------- */

char *dcs_base_path(const char *namespace_, const char *scope)
{
    char *raw = mem_printf("/%s/%s/", namespace_, scope);
    size_t used = 0;
    for (const char *c = raw; *c != '\0'; c++) {
        if (*c != '/' || used == 0 || raw[used - 1] != '/') {
            raw[used++] = *c;
        }
    }
    raw[used] = '\0';
    return raw;
}

int raft_key_check(const char *base, const char *key, struct error *err)
{
    if (key[0] == '\0' || strlen(base) + strlen(key) > STORE_KEY_BYTES_MAX) {
        return error_set(err, ERR_INVALID,
                         "key '%.64s': empty, or longer than %d bytes with its path", key,
                         STORE_KEY_BYTES_MAX);
    }
    return 0;
}

/* --- parts of a transaction ------------------------------------------------------------------- */

void raft_txn_init(struct raft_txn *txn, const char *base)
{
    *txn = (struct raft_txn){.base = base};
}

void raft_txn_free(struct raft_txn *txn)
{
    for (size_t i = 0; i < txn->key_count; i++) {
        mem_free(txn->keys[i]);
    }
    for (size_t i = 0; i < txn->value_count; i++) {
        mem_free(txn->values[i]);
    }
}

struct store_command raft_txn_command(const struct raft_txn *txn)
{
    return (struct store_command){.type = STORE_TXN,
                                  .compares = txn->compares,
                                  .compare_count = txn->compare_count,
                                  .success = txn->ops,
                                  .success_count = txn->op_count};
}

static struct span full_key(struct raft_txn *txn, const char *key)
{
    ASSERT(txn->key_count < sizeof txn->keys / sizeof txn->keys[0]);
    char *full = mem_printf("%s%s", txn->base, key);
    txn->keys[txn->key_count++] = full;
    return span_str(full);
}

static const char *keep_value(struct raft_txn *txn, const char *value)
{
    ASSERT(txn->value_count < sizeof txn->values / sizeof txn->values[0]);
    char *kept = mem_strdup(value);
    txn->values[txn->value_count++] = kept;
    return kept;
}

static void compare(struct raft_txn *txn, const char *key, enum store_compare_target target,
                    int64_t number)
{
    ASSERT(txn->compare_count < RAFT_TXN_COMPARES_MAX);
    txn->compares[txn->compare_count++] = (struct store_compare){
        .target = target, .relation = STORE_EQUAL, .key = full_key(txn, key), .number = number};
}

static struct store_op *add(struct raft_txn *txn, enum store_op_type type)
{
    ASSERT(txn->op_count < RAFT_TXN_OPS_MAX);
    struct store_op *op = &txn->ops[txn->op_count++];
    *op = (struct store_op){.type = type};
    return op;
}

static void put(struct raft_txn *txn, const char *key, const char *value, uint64_t lease)
{
    struct store_op *op = add(txn, STORE_OP_PUT);
    op->key = full_key(txn, key);
    op->value = span_str(value);
    op->lease = lease;
}

static void drop(struct raft_txn *txn, const char *key)
{
    add(txn, STORE_OP_DELETE)->key = full_key(txn, key);
}

static void put_or_drop(struct raft_txn *txn, const char *key, const char *value)
{
    if (value != NULL) {
        put(txn, key, value, 0);
    } else {
        drop(txn, key);
    }
}

static void put_epoch(struct raft_txn *txn, const char *key, uint64_t cluster, int64_t revision)
{
    char value[HA_EPOCH_BYTES];
    ha_epoch_print((struct ha_epoch){cluster, revision}, value);
    put(txn, key, keep_value(txn, value), 0);
}

/* --- transactions ----------------------------------------------------------------------------- */

int raft_txn_acquire(struct raft_txn *txn, const struct dcs_acquire *acquire, uint64_t cluster,
                     uint64_t lease, int64_t stamp, struct error *err)
{
    if (acquire->report_count > DCS_REPORTS_MAX || acquire->ttl_ms <= 0) {
        return error_set(err, ERR_INVALID, "acquisition with %zu reports and a ttl of %lld ms",
                         acquire->report_count, (long long)acquire->ttl_ms);
    }
    struct buf epoch = BUF_INIT;
    ha_epoch_value(acquire->holder, acquire->instance, (uint32_t)acquire->timeline, &epoch);
    compare(txn, "leader", STORE_CMP_CREATE, acquire->deposes);
    compare(txn, "epoch", STORE_CMP_MOD, acquire->epoch_revision);
    compare(txn, "config", STORE_CMP_MOD, acquire->config_revision);
    compare(txn, "sync", STORE_CMP_MOD, acquire->sync_revision);
    compare(txn, "unfenced", STORE_CMP_MOD, acquire->unfenced_revision);
    compare(txn, "recovered", STORE_CMP_MOD, acquire->recovered_revision);
    if (acquire->recovered_revision != 0) {
        drop(txn, "recovered");
    }
    for (size_t i = 0; i < acquire->report_count; i++) {
        char *key = mem_printf("reports/%s", acquire->reports[i].member);
        compare(txn, key, STORE_CMP_MOD, acquire->reports[i].revision);
        mem_free(key);
    }
    struct store_op *grant = add(txn, STORE_OP_LEASE_GRANT);
    grant->lease = lease;
    grant->ttl_ms = acquire->ttl_ms;
    grant->flags = STORE_LEASE_HOLDER;
    grant->stamp = stamp;
    put(txn, "leader", acquire->holder, lease);
    put(txn, "epoch", keep_value(txn, buf_str(&epoch)), 0);
    buf_free(&epoch);
    switch (acquire->unfenced) {
    case DCS_UNFENCED_LEAVE: break;
    case DCS_UNFENCED_PUT: put_epoch(txn, "unfenced", cluster, 0); break;
    case DCS_UNFENCED_REMOVE: drop(txn, "unfenced"); break;
    }
    return 0;
}

void raft_txn_release(struct raft_txn *txn, int64_t epoch, uint64_t lease, const char *status)
{
    compare(txn, "leader", STORE_CMP_CREATE, epoch);
    add(txn, STORE_OP_LEASE_END)->lease = lease;
    if (status != NULL) {
        put(txn, "status", status, 0);
    }
}

void raft_txn_status(struct raft_txn *txn, int64_t epoch, const char *status)
{
    compare(txn, "leader", STORE_CMP_CREATE, epoch);
    put(txn, "status", status, 0);
}

void raft_txn_sync(struct raft_txn *txn, int64_t epoch, const char *value, int64_t revision)
{
    compare(txn, "leader", STORE_CMP_CREATE, epoch);
    compare(txn, "sync", STORE_CMP_MOD, revision);
    put_or_drop(txn, "sync", value);
}

void raft_txn_unfenced(struct raft_txn *txn, int64_t epoch, uint64_t cluster)
{
    compare(txn, "leader", STORE_CMP_CREATE, epoch);
    put_epoch(txn, "unfenced", cluster, epoch);
}

int raft_txn_key(struct raft_txn *txn, const char *key, const char *value, int64_t revision,
                 struct error *err)
{
    int rc = raft_key_check(txn->base, key, err);
    if (rc != 0) {
        return rc;
    }
    if (revision != DCS_ANY) {
        compare(txn, key, STORE_CMP_MOD, revision);
    }
    put_or_drop(txn, key, value);
    return 0;
}

/* `none` over the report rather than no report: one that is still on its way is then refused. */
int raft_txn_withdraw(struct raft_txn *txn, const char *name, int64_t report_revision,
                      int64_t epoch, struct error *err)
{
    char key[STORE_KEY_BYTES_MAX];
    int need = snprintf(key, sizeof key, "reports/%s", name);
    if (need < 0 || (size_t)need >= sizeof key) {
        return error_set(err, ERR_LIMIT, "the member's name is too long");
    }
    compare(txn, key, STORE_CMP_MOD, report_revision);
    compare(txn, "leader", STORE_CMP_CREATE, epoch);
    put(txn, key, "none", 0);
    return 0;
}

void raft_txn_member(struct raft_txn *txn, const char *key, const char *value, uint64_t lease,
                     uint64_t old, int64_t ttl_ms)
{
    struct store_op *grant = add(txn, STORE_OP_LEASE_GRANT);
    grant->lease = lease;
    grant->ttl_ms = ttl_ms;
    put(txn, key, value, lease);
    if (old != 0) {
        add(txn, STORE_OP_LEASE_END)->lease = old;
    }
}

/* --- numbers and outcomes --------------------------------------------------------------------- */

uint64_t raft_lease_id_new(const struct random *random)
{
    uint64_t id = 0;
    while (id == 0) {
        id = random_next(random);
    }
    return id;
}

int64_t raft_stamp_next(const struct clock *clock, int64_t *last)
{
    int64_t now_ms = clock_lease_ms(clock);
    *last = now_ms > *last ? now_ms : *last + 1;
    return *last;
}

int raft_outcome(int rc, const struct store_result *result, struct error *err)
{
    if (rc != 0) {
        return error_set(err, rc, "%s",
                         rc == ERR_UNKNOWN
                             ? "no answer of the group in time: it may be applied later"
                             : err_name(rc));
    }
    switch (result->code) {
    case 0: return 0;
    case ERR_CONFLICT: return error_set(err, ERR_CONFLICT, "the store has changed meanwhile");
    case ERR_NOT_FOUND:
        return error_set(err, ERR_CONFLICT, "the lease is gone, or was renewed with a later stamp");
    case ERR_REFUSED: return error_set(err, ERR_REFUSED, "it belongs to another member's lease");
    default:
        return error_set(err, result->code, "the store refused the command: %s",
                         err_name(result->code));
    }
}
