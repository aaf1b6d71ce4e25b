/* PURE. The text format of Prometheus, one sample a metric, all with the same labels. */
#ifndef AGENT_API_METRICS_H
#define AGENT_API_METRICS_H

#include "base/buf.h"

struct api_metrics {
    struct buf out;
    char *labels; /* scope="...",name="...", escaped; owned */
};

void api_metrics_init(struct api_metrics *metrics, const char *scope, const char *name);

/* `type` is gauge or counter. `help` is one line without backslash. Each name once. */
void api_metrics_add(struct api_metrics *metrics, const char *name, const char *type,
                     const char *help, double value);

/* The same for a value that is printed as text; `comment` (may be NULL) is a line between HELP and
 * TYPE. */
void api_metrics_add_text(struct api_metrics *metrics, const char *name, const char *help,
                          const char *comment, const char *value);

/* Number of Patroni's state (metric patroni_postgres_state); -1 = it has none. */
int api_metrics_state(const char *state);
/* "Values: 0=initdb, 1=..., -1=unknown" */
#define API_METRICS_STATES_BYTES 512
void api_metrics_states(char ret_text[API_METRICS_STATES_BYTES]);

/* Hands the text over (mem_free) and frees the rest. */
char *api_metrics_take(struct api_metrics *metrics);

#endif
