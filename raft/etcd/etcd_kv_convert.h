/* PURE. Requests of etcd's KV service as the store takes them, and what the store gave as answers.
 *
 * Everything is borrowed: a converted request from the message and the arena, an answer from the
 * store's output and the arena. */
#ifndef RAFT_ETCD_ETCD_KV_CONVERT_H
#define RAFT_ETCD_ETCD_KV_CONVERT_H

#include "base/arena.h"
#include "raft/etcd/etcd_error.h"
#include "raft/etcd/etcd_message.h"
#include "raft/store_client.h"

/* Of all keys and values of an answer, each with its frame. The whole store fits; a transaction
 * that reads it many times over does not. */
#define ETCD_KV_ANSWER_BYTES_MAX ((size_t)48 * 1024 * 1024)

struct store_range etcd_kv_range_of(const struct etcd_range_request *request);
struct store_client_op etcd_kv_op_of_put(const struct etcd_put_request *request);
struct store_client_op etcd_kv_op_of_delete(const struct etcd_delete_range_request *request);
/* False: `ret_error` says what etcd refuses in it before it looks at any state. */
bool etcd_kv_txn_of(const struct etcd_txn_request *request, struct arena *arena,
                    struct store_client_txn *ret_txn, enum etcd_error *ret_error);
/* All that it reads may be read from the present state of any member. */
bool etcd_kv_txn_is_serializable(const struct etcd_txn_request *request);

/* Answers without their header. False: it is too large. */
struct etcd_kv_answer {
    struct arena arena;
    size_t bytes;
};
void etcd_kv_answer_init(struct etcd_kv_answer *answer);
void etcd_kv_answer_free(struct etcd_kv_answer *answer);
/* What it keeps in memory: of the store, and of its own. */
size_t etcd_kv_answer_held(const struct etcd_kv_answer *answer);
bool etcd_kv_answer_range(struct etcd_kv_answer *answer, const struct store_range_result *result,
                          struct etcd_range_response *ret_response);
/* The same in parts: up to `keys_max` further keys. That was all when the response has as many as
 * the result. */
bool etcd_kv_answer_range_part(struct etcd_kv_answer *answer,
                               const struct store_range_result *result, size_t keys_max,
                               struct etcd_range_response *ret_response);
bool etcd_kv_answer_put(struct etcd_kv_answer *answer, const struct store_op_output *output,
                        struct etcd_put_response *ret_response);
bool etcd_kv_answer_delete(struct etcd_kv_answer *answer, const struct store_op_output *output,
                           struct etcd_delete_range_response *ret_response);
/* The keys alone, of whatever they were found by. */
bool etcd_kv_answer_keys(struct etcd_kv_answer *answer, const struct store_kvs *kvs,
                         struct span **ret_keys, size_t *ret_count);
bool etcd_kv_answer_txn(struct etcd_kv_answer *answer, const struct store_op_output *output,
                        struct etcd_txn_response *ret_response);

#endif
