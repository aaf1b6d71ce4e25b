/* A store as simple as can be: few names, a whole copy of the state for each revision, every answer
 * by looking at all of it. What the real one does is compared with it, command by command. */
#ifndef TESTS_NAIVE_STORE_H
#define TESTS_NAIVE_STORE_H

#include "client_fixture.h"

#include <stdlib.h>

/* In byte order. Each may be a key and a directory that v2 made. */
static const char *const naive_names[] = {"/a",    "/a!",   "/a/b", "/a/b/c", "/a/d",   "/e",
                                          "/e//f", "/e/_h", "/g",   "/g/h",   "/g/h/i", "/n",
                                          "k",     "k1",    "k2",   "l"};

enum { NAMES = COUNT(naive_names), NAIVE_LEASES = 256, NAIVE_DIRTY = 6, NAIVE_SLASHED = 12 };

struct naive_version {
    bool there;
    int value;
    int64_t create;
    int64_t mod;
    int64_t version;
    uint64_t lease;
};

struct naive_state {
    struct naive_version kv[2][NAMES]; /* keys, directories */
};

struct naive_event {
    int64_t revision;
    bool directory;
    int name;
    bool deleted;
    enum store_action action;
    struct naive_version version;
};

struct naive_lease {
    uint64_t id; /* 0 = free */
    int64_t ttl_ms;
    uint64_t number;
    bool own;
    bool holder; /* of "n1" */
};

struct naive {
    int64_t revision;
    int64_t compacted;
    struct naive_state now;
    struct naive_state *history; /* by revision */
    size_t history_capacity;
    struct naive_event *events;
    size_t event_count;
    size_t event_capacity;
    struct naive_lease leases[NAIVE_LEASES];
    uint64_t index; /* of the present command */
    bool changed;   /* by it */
};

static inline struct naive *naive_new(void)
{
    struct naive *naive = mem_new(struct naive);
    naive->revision = 2; /* format 2 is open */
    naive->compacted = 2;
    naive->history_capacity = 4096;
    naive->history = mem_alloc_array(naive->history_capacity, sizeof(struct naive_state));
    return naive;
}

static inline void naive_free(struct naive *naive)
{
    mem_free(naive->history);
    mem_free(naive->events);
    mem_free(naive);
}

/* --- names ------------------------------------------------------------------------------------ */

static inline int naive_find(const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(naive_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static inline bool naive_shown(int name)
{
    return name < NAIVE_SLASHED && name != NAIVE_DIRTY;
}

static inline bool naive_below(const char *name, const char *directory)
{
    size_t len = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    return strncmp(name, directory, len) == 0 && name[len] == '/' && name[len + 1] != '\0';
}

static inline bool naive_in_range(int name, struct span key, struct span end)
{
    struct span found = span_str(naive_names[name]);
    if (end.len == 0) {
        return span_equal(found, key);
    }
    bool open = end.len == 1 && end.data[0] == 0;
    return span_compare(found, key) >= 0 && (open || span_compare(found, end) < 0);
}

/* --- changes ---------------------------------------------------------------------------------- */

static inline struct naive_lease *naive_lease(struct naive *naive, uint64_t id)
{
    for (int i = 0; i < NAIVE_LEASES && id != 0; i++) {
        if (naive->leases[i].id == id) {
            return &naive->leases[i];
        }
    }
    return NULL;
}

static inline void naive_grant(struct naive *naive, uint64_t id, int64_t ttl_ms, bool own,
                               bool holder)
{
    for (int i = 0; i < NAIVE_LEASES; i++) {
        if (naive->leases[i].id == 0) {
            naive->leases[i] = (struct naive_lease){
                .id = id, .ttl_ms = ttl_ms, .number = naive->index, .own = own, .holder = holder};
            return;
        }
    }
    fail_msg("too many leases for the naive store");
}

static inline void naive_event(struct naive *naive, bool directory, int name, bool deleted,
                               enum store_action action)
{
    if (naive->event_count == naive->event_capacity) {
        naive->event_capacity = naive->event_capacity == 0 ? 1024 : naive->event_capacity * 2;
        naive->events =
            mem_resize(naive->events, naive->event_capacity * sizeof(struct naive_event));
    }
    naive->events[naive->event_count++] =
        (struct naive_event){.revision = naive->revision + 1,
                             .directory = directory,
                             .name = name,
                             .deleted = deleted,
                             .action = action,
                             .version = naive->now.kv[directory][name]};
    naive->changed = true;
}

static inline void naive_put(struct naive *naive, bool directory, int name, int value,
                             uint64_t lease, enum store_action action)
{
    struct naive_version *version = &naive->now.kv[directory][name];
    int64_t revision = naive->revision + 1;
    *version = (struct naive_version){.there = true,
                                      .value = value,
                                      .create = version->there ? version->create : revision,
                                      .mod = revision,
                                      .version = version->there ? version->version + 1 : 1,
                                      .lease = lease};
    naive_event(naive, directory, name, false, action);
}

static inline void naive_delete(struct naive *naive, bool directory, int name,
                                enum store_action action)
{
    naive->now.kv[directory][name] = (struct naive_version){.there = false};
    naive_event(naive, directory, name, true, action);
}

static inline bool naive_held(struct naive *naive, int name)
{
    struct naive_lease *lease = naive_lease(naive, naive->now.kv[0][name].lease);
    return naive->now.kv[0][name].there && lease != NULL && lease->holder;
}

static inline size_t naive_window(const struct naive *naive, int64_t *ret_oldest)
{
    size_t count = 0;
    for (size_t i = naive->event_count; i > 0 && naive->events[i - 1].revision >= naive->compacted;
         i--) {
        *ret_oldest = naive->events[i - 1].revision;
        count++;
    }
    return count;
}

/* After each command. */
static inline void naive_settle(struct naive *naive)
{
    for (int i = 0; i < NAIVE_LEASES; i++) {
        bool used = false;
        for (int j = 0; j < 2 * NAMES; j++) {
            const struct naive_version *version = &naive->now.kv[j % 2][j / 2];
            used = used || (version->there && version->lease == naive->leases[i].id);
        }
        if (naive->leases[i].own && !used) {
            naive->leases[i] = (struct naive_lease){.id = 0};
        }
    }
    naive->revision += naive->changed ? 1 : 0;
    naive->changed = false;
    if ((size_t)naive->revision >= naive->history_capacity) {
        naive->history_capacity *= 2;
        naive->history =
            mem_resize(naive->history, naive->history_capacity * sizeof(struct naive_state));
    }
    naive->history[naive->revision] = naive->now;
    int64_t oldest = 0;
    while (naive_window(naive, &oldest) > STORE_HISTORY_EVENTS_MAX &&
           naive->compacted < naive->revision) {
        naive->compacted = naive->compacted < oldest ? oldest : oldest + 1;
    }
}

/* Values are numbers, or empty. */
enum { NAIVE_EMPTY = -1 };

static inline int naive_value(struct span value)
{
    char text[16] = "";
    if (value.len > 0) {
        memcpy(text, value.data, value.len);
    }
    return value.len == 0 ? NAIVE_EMPTY : (int)strtol(text, NULL, 10);
}

static inline void naive_text(int value, char ret_text[16])
{
    (void)snprintf(ret_text, 16, value == NAIVE_EMPTY ? "" : "%d", value);
}

/* --- text ------------------------------------------------------------------------------------- */

static inline void naive_put_kv(struct buf *out, int name, const struct naive_version *version)
{
    char text[16];
    naive_text(version->value, text);
    buf_printf(out, "%s%s%s(%lld,%lld,%lld", naive_names[name], text[0] == '\0' ? "" : "=", text,
               (long long)version->create, (long long)version->mod, (long long)version->version);
    if (version->lease != 0) {
        buf_printf(out, ",%llu", (unsigned long long)version->lease);
    }
    buf_put_str(out, ") ");
}

/* All events of the window, as put_events writes them. */
static inline void naive_put_events(const struct naive *naive, struct buf *out)
{
    int64_t oldest = 0;
    size_t count = naive_window(naive, &oldest);
    for (size_t i = naive->event_count - count; i < naive->event_count; i++) {
        const struct naive_event *event = &naive->events[i];
        buf_printf(out, "%s%s%lld ", event->deleted ? "delete" : "put",
                   event->directory ? "-dir@" : "@", (long long)event->revision);
        if (event->deleted) {
            buf_printf(out, "%s ", naive_names[event->name]);
        } else if (event->directory) {
            buf_printf(out, "%s(%lld,%lld,%lld%s", naive_names[event->name],
                       (long long)event->version.create, (long long)event->version.mod,
                       (long long)event->version.version, event->version.lease != 0 ? "," : ") ");
            if (event->version.lease != 0) {
                buf_printf(out, "%llu) ", (unsigned long long)event->version.lease);
            }
        } else {
            naive_put_kv(out, event->name, &event->version);
        }
        if (event->revision - 1 >= naive->compacted && !event->directory) {
            const struct naive_version *before =
                &naive->history[event->revision - 1].kv[0][event->name];
            if (before->there) {
                buf_put_str(out, "was ");
                naive_put_kv(out, event->name, before);
            }
        }
    }
}

#endif
