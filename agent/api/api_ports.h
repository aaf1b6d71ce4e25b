/* What REST may ask the node to do. Filled by the loop; every call
 * ends in one answer, later, unless it gives its outcome at once. */
#ifndef AGENT_API_PORTS_H
#define AGENT_API_PORTS_H

#include "agent/ha/ha_snapshot.h"
#include "base/clock.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

/* rc as dcs.h; `revision` is the write's if rc is 0. Once, and never inside the call that asked. */
typedef void (*api_written)(void *ctx, int rc, int64_t revision, const struct error *err);

/* Of the configuration, alone and after a merge. It is looked through key by key on the loop's
 * thread, and a part of every picture. */
#define API_CONFIG_BYTES_MAX ((size_t)128 * 1024)

/* A restart of PostgreSQL that was asked for. */
struct api_restart {
    struct ha_restart_filter filter;
    int64_t timeout_ms; /* of its start; 0 = none was given */
    int64_t at_wall_ms; /* 0 = now */
    json_t *object;     /* of a scheduled one: what is shown of it; borrowed */
};

/* What somebody would ask for, of which POST /dry-run tells what would be decided. One of them. */
struct api_supposed {
    struct ha_failover failover;       /* present: a switchover or failover; no revision */
    const struct api_restart *restart; /* NULL = none */
    bool reinit;
    bool force; /* with reinit, as the next */
    bool from_leader;
};

struct api_ports {
    const struct clock *clock;
    /* Merges `patch` into the configuration (or replaces it), validates the whole, and writes it if
     * nobody else did since it was read. *ret_merged (a new reference) is what is being written.
     * ERR_NOT_FOUND: there is none; ERR_INVALID: refused, `err` says why. *ret_unchanged: nothing
     * is written and `written` does not come. */
    int (*change_config)(void *arg, const json_t *patch, bool replace, api_written written,
                         void *ctx, json_t **ret_merged, bool *ret_unchanged, struct error *err);
    /* Writes the key `failover`; `revision` is compared unless it is negative. */
    int (*write_failover)(void *arg, const char *value, int64_t revision, api_written written,
                          void *ctx, struct error *err);
    /* Begins a restart for now, which ends within *ret_wait_ms: its outcome is in the first picture
     * whose restart_ended has reached *ret_number. Not 0: it does not begin, `err` says why. */
    int (*restart)(void *arg, const struct api_restart *restart, unsigned *ret_number,
                   int64_t *ret_wait_ms, struct error *err);
    /* Not 0: one is scheduled already. */
    int (*schedule_restart)(void *arg, const struct api_restart *restart, struct error *err);
    bool (*unschedule_restart)(void *arg); /* false: none was scheduled */
    /* The data directory is to be made anew. Not 0: it is not, `err` says why. */
    int (*reinitialize)(void *arg, bool force, bool from_leader, struct error *err);
    /* POST /failsafe of another member (agent/loop/failsafe.h). 0: promised. */
    int (*failsafe)(void *arg, const json_t *question, uint64_t *ret_lsn, struct error *err);
    /* The file is read again, soon; how that ended the picture says. */
    void (*reload)(void *arg);
    /* The program is exchanged in place, or (`dry_run`) it is only told whether it would be. Not 0:
     * it is not begun, `err` says why; else api_server_reexec_told comes once. */
    int (*reexec)(void *arg, bool dry_run, struct error *err);
    /* Somebody was refused, could not connect, or is let in by a name that is not found, for the
     * log: not for every one of many. May be NULL. */
    void (*refused)(void *arg, const char *text);
    /* The last decisions as JSON; rendered on request, they are long. Free with mem_free. */
    char *(*explain)(void *arg);
    /* What the page at /ui shows, as JSON (docs/rest-api.md), likewise. */
    char *(*ui)(void *arg);
    /* The decision that this node would make next on it, as JSON; nothing is done. Free with
     * mem_free. NULL: it would be refused before, `err` says why. */
    char *(*dry_run)(void *arg, const struct api_supposed *supposed, struct error *err);
    /* The text of /metrics, likewise. */
    char *(*metrics)(void *arg);
    void *arg;
};

#endif
