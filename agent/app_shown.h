/* What this node shows of itself, the same in the status document, the health checks and the
 * metrics. */
#ifndef AGENT_APP_SHOWN_H
#define AGENT_APP_SHOWN_H

#include "agent/config/dynamic.h"
#include "agent/ha/ha_snapshot.h"

struct agent;

/* Of an instance that has answered. */
const char *app_shown_role(const struct ha_snapshot *s);
bool app_shown_streaming(const struct pg_probe_result *probe);
/* A standby that reads the archive and does not stream. */
bool app_shown_archive(const struct agent *agent);
/* This standby is one that the key sync names, in that mode. */
bool app_shown_synchronous(const struct agent *agent, const struct ha_snapshot *s,
                           enum dynamic_synchronous mode);
/* PostgreSQL runs, and what it has said of itself is young enough to be shown. Other than for a
 * decision, an answer of before the standby was detached will do: Patroni's members take one
 * without a position for a member that is down, and do not wait for it. */
bool app_shown_answered(const struct agent *agent, const struct ha_snapshot *s);
/* The state in Patroni's words; "unknown" where it runs and does not answer. */
const char *app_shown_state(const struct agent *agent, const struct ha_snapshot *s);

#endif
