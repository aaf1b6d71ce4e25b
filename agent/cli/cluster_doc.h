/* PURE. The keys below the base path -> what GET /cluster, `list` and `topology` show. Any valid
 * JSON is tolerated, and a value that is none counts as absent. */
#ifndef AGENT_CLI_CLUSTER_DOC_H
#define AGENT_CLI_CLUSTER_DOC_H

#include "agent/dcs/dcs.h"

#include <jansson.h>

/* {"members": [...], "scope": ..., "pause": true?, "scheduled_switchover": {...}?}; members sorted
 * by name. `view` may be NULL (nothing stored). A new reference. */
json_t *cluster_doc(const struct dcs_view *view, const char *scope);

/* Value of a key as JSON, or NULL: absent, or no JSON. A new reference. */
json_t *cluster_doc_key(const struct dcs_view *view, const char *key);

/* Text of a key that is no JSON (leader, initialize); NULL if absent. Borrowed from the view. */
const char *cluster_doc_text(const struct dcs_view *view, const char *key);

#endif
