/* References to versions for who reads, and what a command gave. */
#ifndef RAFT_STORE_OUTPUT_H
#define RAFT_STORE_OUTPUT_H

#include "raft/store_client.h"

struct kv_record;

/* Takes a reference of its own; NULL is kept as a gap. */
void kvs_add(struct store_kvs *kvs, struct kv_record *record);
void op_output_close(struct store_op_output *output);

#endif
