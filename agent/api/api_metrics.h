/* PURE. The text format of Prometheus. Every sample has the labels scope and name of this node. */
#ifndef AGENT_API_METRICS_H
#define AGENT_API_METRICS_H

#include "base/buf.h"
#include "base/histogram.h"

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

/* A metric of several samples, told apart by a label or two: the head once, then each of them. */
struct api_label {
    const char *name;
    const char *value;
};
void api_metrics_head(struct api_metrics *metrics, const char *name, const char *type,
                      const char *help);
void api_metrics_sample(struct api_metrics *metrics, const char *name,
                        const struct api_label *labels, size_t label_count, double value);

/* In seconds, whatever the histogram counts in. */
void api_metrics_add_histogram(struct api_metrics *metrics, const char *name, const char *help,
                               const struct histogram *histogram);

/* Number of Patroni's state (metric patroni_postgres_state); -1 = it has none. */
int api_metrics_state(const char *state);
/* "Values: 0=initdb, 1=..., -1=unknown" */
#define API_METRICS_STATES_BYTES 512
void api_metrics_states(char ret_text[API_METRICS_STATES_BYTES]);

/* Hands the text over (mem_free) and frees the rest. */
char *api_metrics_take(struct api_metrics *metrics);

#endif
