/* The text of GET /metrics. */
#ifndef AGENT_APP_METRICS_H
#define AGENT_APP_METRICS_H

#include "agent/ha/ha_snapshot.h"

struct agent;

/* `s` is the last picture's; what runs by the clock is of this moment. Free with mem_free. */
char *app_metrics_render(const struct agent *agent, const struct ha_snapshot *s);

#endif
