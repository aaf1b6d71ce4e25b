/* PURE. The answer to a read of a directory, as it was when asked for, encoded in portions: the
 * store may go on in between. Children stand in the order of their names. */
#ifndef RAFT_ETCD_ETCD_V2_TREE_H
#define RAFT_ETCD_ETCD_V2_TREE_H

#include "raft/etcd/etcd_v2_node.h"

struct etcd_v2_tree;

/* `node` is a directory that store_v2_get found. `recursive`: all the way down, else one level. */
struct etcd_v2_tree *etcd_v2_tree_new(const struct store *store, const struct store_v2_node *node,
                                      const struct etcd_v2_now *now, bool recursive);
void etcd_v2_tree_free(struct etcd_v2_tree *tree); /* NULL is accepted */
/* What it holds at most, about: of the store, which may have other versions by now, and for itself.
 */
size_t etcd_v2_tree_held(const struct etcd_v2_tree *tree);
/* Appends to `out` until that has `bytes` or more; true: that was all. */
bool etcd_v2_tree_encode(struct etcd_v2_tree *tree, size_t bytes, struct buf *out);

#endif
