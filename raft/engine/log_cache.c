#include "raft/engine/log_cache.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

#define LOG_CACHE_CAPACITY_FIRST 64

struct log_entry *log_entry_new(uint64_t index, uint64_t term, uint16_t type, struct span data)
{
    struct log_entry *entry = mem_alloc(sizeof(*entry) + data.len);
    entry->refs = 1;
    entry->index = index;
    entry->term = term;
    entry->type = type;
    entry->len = data.len;
    if (data.len > 0) {
        memcpy(entry->data, data.data, data.len);
    }
    return entry;
}

struct log_entry *log_entry_ref(struct log_entry *entry)
{
    entry->refs++;
    return entry;
}

void log_entry_unref(struct log_entry *entry)
{
    if (entry != NULL && --entry->refs == 0) {
        mem_free(entry);
    }
}

void log_cache_init(struct log_cache *cache, uint64_t first)
{
    memset(cache, 0, sizeof(*cache));
    cache->first = first;
}

void log_cache_free(struct log_cache *cache)
{
    log_cache_reset(cache, cache->first);
    mem_free(cache->slots);
    cache->slots = NULL;
    cache->capacity = 0;
}

void log_cache_reset(struct log_cache *cache, uint64_t first)
{
    log_cache_truncate(cache, cache->first);
    cache->first = first;
    cache->front = 0;
}

uint64_t log_cache_last(const struct log_cache *cache)
{
    return cache->first + cache->count - 1;
}

static struct log_entry **slot_of(const struct log_cache *cache, uint64_t index)
{
    return &cache->slots[(cache->front + (size_t)(index - cache->first)) % cache->capacity];
}

struct log_entry *log_cache_get(const struct log_cache *cache, uint64_t index)
{
    if (index < cache->first || index - cache->first >= cache->count) {
        return NULL;
    }
    return *slot_of(cache, index);
}

static void grow(struct log_cache *cache)
{
    size_t capacity = cache->capacity == 0 ? LOG_CACHE_CAPACITY_FIRST : cache->capacity * 2;
    struct log_entry **slots = mem_new_array(struct log_entry *, capacity);
    for (size_t i = 0; i < cache->count; i++) {
        slots[i] = *slot_of(cache, cache->first + i);
    }
    mem_free(cache->slots);
    cache->slots = slots;
    cache->capacity = capacity;
    cache->front = 0;
}

void log_cache_append_take(struct log_cache *cache, struct log_entry *entry)
{
    ASSERT(entry->index == cache->first + cache->count);
    if (cache->count == cache->capacity) {
        grow(cache);
    }
    *slot_of(cache, entry->index) = entry;
    cache->count++;
    cache->bytes += entry->len;
}

void log_cache_truncate(struct log_cache *cache, uint64_t from)
{
    ASSERT(from >= cache->first);
    while (cache->count > 0 && log_cache_last(cache) >= from) {
        struct log_entry *entry = *slot_of(cache, log_cache_last(cache));
        cache->bytes -= entry->len;
        log_entry_unref(entry);
        cache->count--;
    }
}

void log_cache_trim(struct log_cache *cache, uint64_t until)
{
    while (cache->count > 0 && cache->first <= until) {
        struct log_entry *entry = cache->slots[cache->front];
        cache->bytes -= entry->len;
        log_entry_unref(entry);
        cache->front = (cache->front + 1) % cache->capacity;
        cache->first++;
        cache->count--;
    }
}
