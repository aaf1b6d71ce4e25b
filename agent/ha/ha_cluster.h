/* PURE. Keys of the store <-> struct ha_cluster, in Patroni's layout. Any valid JSON is tolerated,
 * unknown keys are skipped, a bad value counts as absent; nothing here fails because of what
 * somebody wrote. */
#ifndef AGENT_HA_CLUSTER_H
#define AGENT_HA_CLUSTER_H

#include "agent/ha/ha_snapshot.h"
#include "base/buf.h"

/* One key, borrowed. Names are relative to the base path: "leader", "members/node1". */
struct ha_kv {
    const char *key;
    const char *value; /* terminated */
    int64_t create_revision;
    int64_t mod_revision;
};

/* Members and reports beyond HA_MEMBERS_MAX are left out (returns how many). `known` becomes true;
 * read_mono_ms is the caller's to set. */
size_t ha_cluster_read(uint64_t cluster_id, int64_t revision, const struct ha_kv *kvs,
                       size_t kv_count, struct ha_cluster *ret_cluster);

const struct ha_member *ha_cluster_member(const struct ha_cluster *cluster,
                                          const char *name); /* or NULL */
/* Member that `name`, with that tag, is to stream from; NULL = the leader: the tag names nobody who
 * is there, or following the tags from one member to the next goes in a circle. */
const struct ha_member *ha_cluster_cascade(const struct ha_cluster *cluster, const char *name,
                                           const char *replicatefrom);
const struct ha_failsafe_member *ha_cluster_failsafe(const struct ha_cluster *cluster,
                                                     const char *name); /* or NULL */
const struct ha_report *ha_cluster_report(const struct ha_cluster *cluster,
                                          const char *name); /* or NULL */
/* Key `sync`: {"leader": name, "quorum": n, "sync_standby": "a,b" or null}. An object without a
 * leader is like no key; what is no such object is unreadable. */
void ha_sync_key_read(const char *value, struct ha_sync_key *ret_sync);
/* Is `name` its leader, or one of its standbys? */
bool ha_sync_key_has(const struct ha_sync_key *sync, const char *name);
/* The last epoch that is known of, and who had it ("" = unknown); revision 0 = there was none. */
struct ha_epoch ha_cluster_epoch(const struct ha_cluster *cluster);
const char *ha_cluster_last_holder(const struct ha_cluster *cluster);
/* Takes over from the view before what the store does not keep: the epoch of a leader that wrote no
 * `epoch`. */
void ha_cluster_remember(const struct ha_cluster *before, struct ha_cluster *cluster);
/* A decimal system identifier of at least ten digits. */
bool ha_initialize_is_valid(const char *initialize);

/* "<cluster id in hex>:<revision>" */
#define HA_EPOCH_BYTES 40
void ha_epoch_print(struct ha_epoch epoch, char ret_text[HA_EPOCH_BYTES]);
bool ha_epoch_parse(const char *text, struct ha_epoch *ret_epoch);

/* Values as they are written: compact JSON. */
void ha_epoch_value(const char *holder, const char *instance, uint32_t timeline, struct buf *out);
void ha_report_value(const struct ha_report *report, struct buf *out); /* `none` if withdrawn */
void ha_sync_key_value(const struct ha_sync_key *sync, struct buf *out);
/* ISO 8601 with offset, as `scheduled_at` has it -> wall clock ms. */
bool ha_time_parse(const char *text, int64_t *ret_wall_ms);
/* Fills tags from the member's `tags` object; NULL gives the defaults. */
struct json_t;
void ha_tags_read(const struct json_t *tags, struct ha_tags *ret_tags);

#endif
