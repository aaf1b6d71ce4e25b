/* What REST may ask the node to do. Filled by the loop; every call ends in one answer, later. */
#ifndef AGENT_API_PORTS_H
#define AGENT_API_PORTS_H

#include "base/clock.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

/* rc as dcs.h; `revision` is the write's if rc is 0. Once, and never inside the call that asked. */
typedef void (*api_written)(void *ctx, int rc, int64_t revision, const struct error *err);

/* Of the configuration, alone and after a merge. It is looked through key by key on the loop's
 * thread, and a part of every picture. */
#define API_CONFIG_BYTES_MAX ((size_t)128 * 1024)

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
    /* POST /failsafe of another member (agent/loop/failsafe.h). 0: promised. */
    int (*failsafe)(void *arg, const json_t *question, uint64_t *ret_lsn, struct error *err);
    /* The last decisions as JSON; rendered on request, they are long. Free with mem_free. */
    char *(*explain)(void *arg);
    void *arg;
};

#endif
