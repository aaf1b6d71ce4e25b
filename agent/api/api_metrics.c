/* PURE. See the header. A label's value may have any byte but three that are escaped; a number is
 * printed without an exponent where it is whole: positions in the WAL are compared by eye. */
#include "agent/api/api_metrics.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: above it not every whole number is a double */

static const struct {
    const char *metric;
    const char *state;
} states[] = {
    {"initdb", "initializing new cluster"},
    {"initdb_failed", "initdb failed"},
    {"custom_bootstrap", "running custom bootstrap script"},
    {"custom_bootstrap_failed", "custom bootstrap failed"},
    {"creating_replica", "creating replica"},
    {"running", "running"},
    {"starting", "starting"},
    {"bootstrap_starting", "starting after custom bootstrap"},
    {"start_failed", "start failed"},
    {"restarting", "restarting"},
    {"restart_failed", "restart failed"},
    {"stopping", "stopping"},
    {"stopped", "stopped"},
    {"stop_failed", "stop failed"},
    {"crashed", "crashed"},
};

int api_metrics_state(const char *state)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (strcmp(states[i].state, state) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void api_metrics_states(char ret_text[API_METRICS_STATES_BYTES])
{
    size_t len = (size_t)snprintf(ret_text, API_METRICS_STATES_BYTES, "Values: ");
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        len += (size_t)snprintf(ret_text + len, API_METRICS_STATES_BYTES - len, "%zu=%s, ", i,
                                states[i].metric);
    }
    (void)snprintf(ret_text + len, API_METRICS_STATES_BYTES - len, "-1=unknown");
}

static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        switch (*value) {
        case '\\': buf_put_str(out, "\\\\"); break;
        case '"': buf_put_str(out, "\\\""); break;
        case '\n': buf_put_str(out, "\\n"); break;
        default: buf_put_u8(out, (uint8_t)*value); break;
        }
    }
    buf_put_str(out, "\"");
}

void api_metrics_init(struct api_metrics *metrics, const char *scope, const char *name)
{
    struct buf labels = BUF_INIT;
    put_label(&labels, "scope", scope);
    buf_put_str(&labels, ",");
    put_label(&labels, "name", name);
    *metrics = (struct api_metrics){.labels = buf_take(&labels)};
}

static void put_head(struct api_metrics *metrics, const char *name, const char *type,
                     const char *help, const char *comment)
{
    struct buf *out = &metrics->out;
    buf_printf(out, "# HELP %s %s\n", name, help);
    if (comment != NULL) {
        buf_printf(out, "# %s\n", comment);
    }
    buf_printf(out, "# TYPE %s %s\n", name, type);
}

static void put_number(struct buf *out, double value)
{
    bool whole = fabs(value) < WHOLE_MAX && trunc(value) == value;
    buf_printf(out, whole ? "%.0f\n" : "%.15g\n", value);
}

void api_metrics_head(struct api_metrics *metrics, const char *name, const char *type,
                      const char *help)
{
    put_head(metrics, name, type, help, NULL);
}

void api_metrics_sample(struct api_metrics *metrics, const char *name,
                        const struct api_label *labels, size_t label_count, double value)
{
    struct buf *out = &metrics->out;
    buf_printf(out, "%s{%s", name, metrics->labels);
    for (size_t i = 0; i < label_count; i++) {
        buf_put_str(out, ",");
        put_label(out, labels[i].name, labels[i].value);
    }
    buf_put_str(out, "} ");
    put_number(out, value);
}

void api_metrics_add(struct api_metrics *metrics, const char *name, const char *type,
                     const char *help, double value)
{
    put_head(metrics, name, type, help, NULL);
    api_metrics_sample(metrics, name, NULL, 0, value);
}

void api_metrics_add_text(struct api_metrics *metrics, const char *name, const char *help,
                          const char *comment, const char *value)
{
    put_head(metrics, name, "gauge", help, comment);
    buf_printf(&metrics->out, "%s{%s} %s\n", name, metrics->labels, value);
}

void api_metrics_add_histogram(struct api_metrics *metrics, const char *name, const char *help,
                               const struct histogram *histogram)
{
    char part[128];
    char bound[32];
    uint64_t count = 0;

    put_head(metrics, name, "histogram", help, NULL);
    (void)snprintf(part, sizeof part, "%s_bucket", name);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += histogram->counts[i];
        if (i < HISTOGRAM_BOUNDS) {
            (void)snprintf(bound, sizeof bound, "%.3g", (double)histogram_bounds_ms[i] / 1000.0);
        } else {
            (void)snprintf(bound, sizeof bound, "+Inf");
        }
        api_metrics_sample(metrics, part, &(struct api_label){"le", bound}, 1, (double)count);
    }
    (void)snprintf(part, sizeof part, "%s_sum", name);
    api_metrics_sample(metrics, part, NULL, 0, (double)histogram->sum_ms / 1000.0);
    (void)snprintf(part, sizeof part, "%s_count", name);
    api_metrics_sample(metrics, part, NULL, 0, (double)count);
}

char *api_metrics_take(struct api_metrics *metrics)
{
    mem_free(metrics->labels);
    metrics->labels = NULL;
    return buf_take(&metrics->out);
}
