/* Who is in the group, as the log says it: libraft's configuration bytes, read by a bounded parser
 * of our own. The library's decoder checks no bounds in the packaged build and frees a malformed
 * one twice, so nothing reaches it that was not read here first. PURE.
 *
 * A server's address in these bytes is only a label, its id in hex; real addresses are replicated
 * state. */
#ifndef RAFT_ENGINE_CONFIGURATION_H
#define RAFT_ENGINE_CONFIGURATION_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "raft/store.h"

#include <raft.h>

#include <stdbool.h>

#define CONFIGURATION_SERVERS_MAX STORE_MEMBERS_MAX
#define CONFIGURATION_VOTERS_MAX  7
#define CONFIGURATION_LABEL_BYTES 24

struct configuration_server {
    uint64_t id;
    bool voter; /* else a standby; spares are never made (guard G12) */
};

struct configuration {
    size_t count;
    struct configuration_server servers[CONFIGURATION_SERVERS_MAX];
};

int configuration_decode(struct span bytes, struct configuration *ret_configuration,
                         struct error *err) MUST_CHECK;
void configuration_encode(const struct configuration *configuration, struct buf *out);

/* Copies into a fresh raft_configuration; the caller or the engine closes it. */
void configuration_to_raft(const struct configuration *configuration,
                           struct raft_configuration *ret_raft);

/* Index of `id`, or `count`. */
size_t configuration_find(const struct configuration *configuration, uint64_t id);
bool configuration_is_voter(const struct configuration *configuration, uint64_t id);
size_t configuration_voters(const struct configuration *configuration);
bool configuration_only_voter(const struct configuration *configuration, uint64_t id);

/* Guard G11: a changed configuration is the current one with exactly one server appended, removed,
 * or given another role. The engine keeps its progress array by position, so swapping or reordering
 * would let one id inherit the match index of another. */
int configuration_append(struct configuration *configuration, uint64_t id, bool voter,
                         struct error *err) MUST_CHECK;
int configuration_remove(struct configuration *configuration, uint64_t id,
                         struct error *err) MUST_CHECK;
int configuration_promote(struct configuration *configuration, uint64_t id,
                          struct error *err) MUST_CHECK;
/* True if `to` comes from `from` by one of these three. */
bool configuration_is_one_step(const struct configuration *from, const struct configuration *to);

#endif
