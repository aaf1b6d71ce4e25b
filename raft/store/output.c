/* Results hold references to records, never copies: a record is immutable, and counted. */
#include "raft/store/output.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/kv.h"

enum { KVS_FIRST_CAPACITY = 8 };

void kvs_add(struct store_kvs *kvs, struct kv_record *record)
{
    if (kvs->count == kvs->capacity) {
        kvs->capacity = kvs->capacity == 0 ? KVS_FIRST_CAPACITY : kvs->capacity * 2;
        kvs->records = mem_resize(kvs->records, kvs->capacity * sizeof(struct kv_record *));
    }
    kvs->records[kvs->count++] = record == NULL ? NULL : kv_record_ref(record);
}

void store_kvs_get(const struct store_kvs *kvs, size_t at, struct store_kv *ret_kv)
{
    ASSERT(at < kvs->count && kvs->records[at] != NULL);
    kv_record_view(kvs->records[at], ret_kv);
    if (kvs->keys_only) {
        ret_kv->value = span_of(NULL, 0);
    }
}

void store_kvs_close(struct store_kvs *kvs)
{
    for (size_t i = 0; i < kvs->count; i++) {
        kv_record_unref(kvs->records[i]);
    }
    mem_free(kvs->records);
    *kvs = (struct store_kvs){0};
}

/* As deep as transactions nest: STORE_CLIENT_DEPTH_MAX. */
void op_output_close(struct store_op_output *output)
{
    for (size_t i = 0; i < output->op_count; i++) {
        op_output_close(&output->ops[i]);
    }
    mem_free(output->ops);
    store_kvs_close(&output->kvs);
    *output = (struct store_op_output){0};
}

struct store_output *store_output_new(void)
{
    struct store_output *output = mem_new(struct store_output);
    output->refs = 1;
    output->txn.type = STORE_CLIENT_NESTED;
    return output;
}

struct store_output *store_output_ref(struct store_output *output)
{
    ASSERT(output->refs > 0);
    output->refs++;
    return output;
}

void store_output_unref(struct store_output *output)
{
    if (output == NULL) {
        return;
    }
    ASSERT(output->refs > 0);
    if (--output->refs > 0) {
        return;
    }
    op_output_close(&output->txn);
    store_kvs_close(&output->pinned);
    buf_free(&output->cause);
    buf_free(&output->path);
    mem_free(output);
}
