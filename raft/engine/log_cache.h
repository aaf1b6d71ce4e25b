/* The content of the log in memory, from the first entry that a follower may still need to the
 * last. The engine knows terms only; what is sent, stored and applied comes from here. Entries are
 * shared with storage jobs by count. */
#ifndef RAFT_ENGINE_LOG_CACHE_H
#define RAFT_ENGINE_LOG_CACHE_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_entry {
    unsigned refs;
    uint64_t index;
    uint64_t term;
    uint16_t type;
    size_t len;
    uint8_t data[];
};

struct log_entry *log_entry_new(uint64_t index, uint64_t term, uint16_t type, struct span data);
struct log_entry *log_entry_ref(struct log_entry *entry);
void log_entry_unref(struct log_entry *entry);

struct log_cache {
    uint64_t first; /* index of entries[front]; the next index to append when empty */
    size_t count;
    size_t bytes; /* of all data */
    /* Ring. */
    struct log_entry **slots;
    size_t capacity;
    size_t front;
};

/* An empty cache whose first entry will be `first`. */
void log_cache_init(struct log_cache *cache, uint64_t first);
void log_cache_free(struct log_cache *cache);
/* Drops everything; the next entry will be `first`. */
void log_cache_reset(struct log_cache *cache, uint64_t first);
uint64_t log_cache_last(const struct log_cache *cache); /* first - 1 when empty */
/* NULL if it is not here. Borrowed. */
struct log_entry *log_cache_get(const struct log_cache *cache, uint64_t index);
/* Takes the reference; its index must be last + 1. */
void log_cache_append_take(struct log_cache *cache, struct log_entry *entry);
void log_cache_truncate(struct log_cache *cache, uint64_t from); /* drops `from` and what follows */
void log_cache_trim(struct log_cache *cache, uint64_t until); /* drops `until` and what precedes */

#endif
