/* Views made of what the replicated store holds below a base path. Inside agent/dcs. */
#ifndef AGENT_DCS_RAFT_VIEW_H
#define AGENT_DCS_RAFT_VIEW_H

#include "agent/dcs/dcs.h"
#include "raft/store.h"

struct dcs_view *dcs_raft_view_of_store(const struct store *store, uint64_t cluster,
                                        const char *base);
/* `kvs` in key order, all below `base`. */
struct dcs_view *dcs_raft_view_of_kvs(const struct store_kv *kvs, size_t count, uint64_t cluster,
                                      int64_t revision, const char *base);

#endif
