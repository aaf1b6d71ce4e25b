/* What the page at /ui shows of the cluster (agent/api/ui): rendered when it is asked for, since a
 * lease is renewed without a new picture. */
#ifndef AGENT_APP_UI_H
#define AGENT_APP_UI_H

struct agent;
struct ha_snapshot;

#define APP_UI_DECISIONS_MAX 20 /* of those that /explain has */

/* A JSON document, described in docs/rest-api.md; free with mem_free. */
char *app_ui_render(const struct agent *agent, const struct ha_snapshot *s);

#endif
