/* The keyspace as v2's tree. */
#ifndef RAFT_STORE_V2_TREE_H
#define RAFT_STORE_V2_TREE_H

#include "raft/store_client.h"

struct kv_record;

/* As store_v2_get. */
bool v2_is_directory(const struct store *store, struct span path);
/* May something be made at `path`? STORE_V2_NOT_DIR if a file is in the way, `ret_cause`. */
enum store_reason v2_check_parents(const struct store *store, struct span path,
                                   struct span *ret_cause);
/* Is nothing below the directory? */
bool v2_is_empty(const struct store *store, struct span path);
void v2_view(const struct store *store, const struct kv_record *record,
             struct store_v2_node *ret_node);

#endif
