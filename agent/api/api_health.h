/* PURE. What a health check answers, from a picture of the node and the clock. */
#ifndef AGENT_API_HEALTH_H
#define AGENT_API_HEALTH_H

#include "agent/api/api_status.h"

struct api_now {
    int64_t lease_ms;
    int64_t mono_ms;
};

/* The code of a health check. `path` is the request's without the query. */
int api_health_code(const struct api_status *status, const char *path, const char *query,
                    struct api_now now);
int api_liveness_code(const struct api_status *status, int64_t mono_now_ms);
int api_readiness_code(const struct api_status *status, const char *query, int64_t lease_now_ms);
bool api_is_leader(const struct api_status *status, int64_t lease_now_ms);
/* "<n>[B,kB,MB,GB,TB]"; false if it is none. */
bool api_parse_lag(const char *text, uint64_t *ret_bytes);

#endif
