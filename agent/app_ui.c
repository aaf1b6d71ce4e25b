/* See the header. */
#include "agent/app_ui.h"

#include "agent/app_json.h"
#include "agent/cli/cluster_doc.h"
#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "agent/version.h"
#include "base/mem.h"
#include "raft/group.h"
#include "raft/node.h"
#include "raft/store_read.h"

#include <string.h>

static void set_time(json_t *object, const char *key, bool known, int64_t value_ms)
{
    (void)json_object_set_new(object, key, known ? json_integer(value_ms) : json_null());
}

/* As this member counts the lease of the leader key, in the log that it has a copy of; an etcd does
 * not tell. -1 = not known. */
static int64_t counted_ms(const struct agent *agent)
{
    struct raft_node *node = agent->group == NULL ? NULL : raft_group_node(agent->group);
    const struct dcs_kv *leader =
        agent->facts.view == NULL ? NULL : dcs_view_get(agent->facts.view, "leader");
    return node == NULL || leader == NULL
               ? -1
               : store_lease_remaining_ms(raft_node_store(node), leader->lease,
                                          agent_lease_ms(agent));
}

static int64_t held_ms(const struct agent *agent)
{
    int64_t left_ms = agent->lease.soft_ms - agent_lease_ms(agent);
    return left_ms > 0 ? left_ms : 0;
}

/* The holder tells until when its PostgreSQL may write, everybody else until when nobody else may
 * take the key. */
static json_t *lease(const struct agent *agent, const struct ha_snapshot *s)
{
    json_t *object = json_object();
    bool mine = agent->lease.held && agent->lease.soft_ms > 0;
    int64_t left_ms = mine ? held_ms(agent) : counted_ms(agent);
    const char *holder = mine ? agent->config->name : s->cluster.leader;

    if (holder[0] != '\0') {
        app_json_set_text(object, "holder", holder);
    } else {
        (void)json_object_set_new(object, "holder", json_null());
    }
    (void)json_object_set_new(object, "mine", json_boolean(mine));
    app_json_set_number(object, "ttl_ms", mine ? agent->lease.ttl_ms : s->settings.ttl_ms);
    set_time(object, "left_ms", left_ms >= 0 && holder[0] != '\0', left_ms);
    return object;
}

/* The newest comes first. */
static json_t *decisions(const struct agent *agent)
{
    json_t *list = json_array();
    size_t count =
        agent->decision_count < APP_UI_DECISIONS_MAX ? agent->decision_count : APP_UI_DECISIONS_MAX;

    for (size_t i = 1; i <= count; i++) {
        const struct loop_decision *decision =
            &agent->decisions[(agent->decision_count - i) % LOOP_DECISIONS_MAX];
        json_t *item = json_object();
        app_json_set_number(item, "time_ms", decision->wall_ms);
        app_json_set_decision(item, decision, false);
        (void)json_array_append_new(list, item);
    }
    return list;
}

char *app_ui_render(const struct agent *agent, const struct ha_snapshot *s)
{
    json_t *document = json_object();
    int64_t read_ms = agent->facts.cluster.read_mono_ms;
    bool read = agent->facts.view != NULL && read_ms != HA_NEVER;

    app_json_set_text(document, "name", agent->config->name);
    app_json_set_text(document, "scope", agent->config->scope);
    app_json_set_text(document, "version", PGQUORUM_VERSION);
    app_json_set_number(document, "time_ms", clock_wall_ms(agent->clock));
    set_time(document, "store_age_ms", read, agent_mono_ms(agent) - read_ms);
    (void)json_object_set_new(document, "lease", lease(agent, s));
    (void)json_object_set_new(document, "cluster",
                              agent->facts.view == NULL
                                  ? json_null()
                                  : cluster_doc(agent->facts.view, agent->config->scope));
    (void)json_object_set_new(document, "decisions", decisions(agent));
    char *text = json_dumps(document, APP_JSON_TEXT);
    json_decref(document);
    return text;
}
