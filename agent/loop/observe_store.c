/* Looks at the store, and puts what it saw into the facts with its time; what the next start of
 * the agent has to know of it is noted beside the data directory. Decides nothing: whatever changed
 * asks for a cycle. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_values.h"
#include "agent/loop/namesake.h"
#include "agent/loop/peers.h"
#include "agent/loop/silence.h"
#include "agent/loop/slots.h"
#include "agent/loop/sync.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a bootstrap of ours ---------------------------------------------------------------------- */

static void on_announced(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    agent->announcing = false;
    if (rc == 0) {
        agent->facts.inspection.unannounced_system_id = 0;
    } else if (rc != ERR_CANCELED) {
        log_warning("%s, retrying at the next look", err->text);
    }
}

/* The store has named the cluster that was made here. */
static void look_announced(struct agent *agent)
{
    uint64_t made = agent->facts.inspection.unannounced_system_id;
    struct error err = {0};

    if (made == 0 || agent->announcing || agent->pg == NULL || agent->stopping ||
        strtoull(agent->facts.cluster.initialize, NULL, 10) != made) {
        return;
    }
    agent->announcing =
        pg_instance_announced(agent->pg, LOOP_INSPECT_MS, on_announced, agent, &err) == 0;
}

/* --- a note of the pause ---------------------------------------------------------------------- */

static void look_pause_noted(struct agent *agent);

static void on_pause_noted(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    agent->noting_pause = false;
    if (rc == 0) {
        agent->facts.inspection.noted_pause = agent->pause_to_note;
        look_pause_noted(agent); /* it may have ended meanwhile */
    } else if (rc != ERR_CANCELED) {
        log_warning("%s, retrying at the next look", err->text);
    }
}

/* For the next start of the agent: it may hear nobody. */
static void look_pause_noted(struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    struct error err = {0};

    if (agent->noting_pause || agent->pg == NULL || agent->stopping || !facts->inspected ||
        facts->config_revision < 0 || facts->inspection.noted_pause == agent_is_paused(agent)) {
        return;
    }
    agent->pause_to_note = agent_is_paused(agent);
    agent->noting_pause = pg_instance_note_pause(agent->pg, agent->pause_to_note, LOOP_INSPECT_MS,
                                                 on_pause_noted, agent, &err) == 0;
}

void observe_notes(struct agent *agent)
{
    look_announced(agent);
    look_pause_noted(agent);
}

/* --- a new view ------------------------------------------------------------------------------- */

static void take_pause(struct agent *agent, bool paused)
{
    struct loop_facts *facts = &agent->facts;
    log_info("the cluster is %s",
             paused ? "paused: PostgreSQL is left to the operator" : "paused no more");
    if (!paused && facts->crash_since_mono_ms != HA_NEVER) {
        /* primary_start_timeout is for what nobody had wanted. */
        facts->crash_since_mono_ms = agent_mono_ms(agent);
    }
}

/* Nothing was in force yet: of what cannot be used as a whole, whether the cluster is paused is
 * taken all the same. Nothing is stopped or started by what a defect elsewhere has hidden. */
static void take_pause_alone(struct agent *agent, const json_t *document)
{
    if (!agent->unconfigured) {
        return;
    }
    json_t *pause = json_object_get(document, "pause");
    agent->pause_unknown = !json_is_object(document);
    agent->dynamic.paused = false;
    if (pause != NULL) {
        struct dynamic_config alone;
        char warning[DYNAMIC_WARNING_BYTES] = "";
        struct error err = {0};
        json_t *rest = json_pack("{s:O}", "pause", pause);
        if (dynamic_config_parse(rest, config_ttl_min_ms(agent->config), &alone, warning, &err) ==
            0) {
            agent->dynamic.paused = alone.paused;
            dynamic_config_free(&alone);
        }
        json_decref(rest);
    }
    if (agent->pause_unknown) {
        log_error("key config in the store: whether the cluster is paused cannot be read; it is "
                  "taken for paused while the key unfenced stands or a member says so");
    }
}

static void take_config(struct agent *agent)
{
    const struct dcs_kv *kv = dcs_view_get(agent->facts.view, "config");
    struct dynamic_config parsed;
    char warning[DYNAMIC_WARNING_BYTES] = "";
    struct error err = {0};

    if (kv == NULL || kv->mod_revision == agent->facts.config_revision) {
        return;
    }
    bool first = agent->facts.config_revision < 0;
    agent->facts.config_revision = kv->mod_revision;
    json_t *document = json_loadb(kv->value, kv->value_len, 0, NULL);
    int rc =
        dynamic_config_parse(document, config_ttl_min_ms(agent->config), &parsed, warning, &err);
    if (rc != 0) {
        agent->unconfigured = agent->unconfigured || first;
        log_error("key config in the store: %s; what was in force stays", err.text);
        (void)snprintf(agent->refused, sizeof agent->refused, "%s",
                       rc == ERR_UNSUPPORTED ? err.text : "");
        take_pause_alone(agent, document);
        json_decref(document);
        return;
    }
    json_decref(document);
    agent->pause_unknown = false;
    agent->refused[0] = '\0';
    agent->unconfigured = false;
    if (warning[0] != '\0') {
        log_warning("key config in the store: %s", warning);
    }
    if (parsed.failsafe_mode && !agent->dynamic.failsafe_mode && agent->failsafe == NULL) {
        log_info("failsafe_mode has no effect with raft: whom it would ask are the store's own "
                 "members");
    }
    if (parsed.paused != agent->dynamic.paused) {
        take_pause(agent, parsed.paused);
    }
    dynamic_config_free(&agent->dynamic);
    agent->dynamic = parsed;
    keeper_kick(agent);
    parameters_changed(agent);
    disk_limits_changed(agent);
}

/* Of what is new since the last view. */
static void tell_unreadable(const struct ha_cluster *before, uint64_t cluster,
                            const struct ha_kv *kvs, size_t count)
{
    int64_t seen = before->known && before->cluster_id == cluster ? before->revision : 0;
    for (size_t i = 0; i < count; i++) {
        const char *wanted = kvs[i].mod_revision > seen ? ha_value_wanted(&kvs[i]) : NULL;
        if (wanted != NULL) {
            log_warning("key %s in the store: '%.60s' is not %s, ignoring it", kvs[i].key,
                        kvs[i].value, wanted);
        }
    }
}

static void tell_left_out(struct agent *agent, size_t left_out)
{
    if (left_out > 0 && left_out != agent->left_out) {
        log_warning(
            "store: keys of members and reports left out: %zu; %d of each are looked at, with "
            "names of less than %d bytes, the other members take no part",
            left_out, HA_MEMBERS_MAX, HA_NAME_BYTES);
    } else if (left_out == 0 && agent->left_out > 0) {
        log_info("store: no key of a member or report is left out any more");
    }
    agent->left_out = left_out;
}

/* Whether a request can be served hangs on who streams from here at this moment. */
static void take_failover(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    const struct ha_failover *failover = &facts->cluster.failover;
    int64_t revision = failover->present ? failover->revision : 0;

    if (revision == facts->failover_revision) {
        return;
    }
    facts->failover_revision = revision;
    facts->failover_mono_ms = agent_mono_ms(agent);
    if (revision != 0 && facts->run == HA_RUN_RUNNING) {
        observe_probe_soon(agent);
    }
}

/* Who had data up to now, and has them no more or is not there: the last of them. */
static void take_owner(struct agent *agent, const struct ha_cluster *before)
{
    struct loop_facts *facts = &agent->facts;
    for (size_t i = 0; i < before->member_count; i++) {
        const struct ha_member *owner = &before->members[i];
        const struct ha_member *now = ha_cluster_member(&facts->cluster, owner->name);
        if (strcmp(owner->name, agent->config->name) != 0 && owner->data == HA_DATA_VALID &&
            (now == NULL || now->data != HA_DATA_VALID)) {
            memcpy(facts->owner.name, owner->name, sizeof facts->owner.name);
            facts->owner.seen_mono_ms = agent_mono_ms(agent);
        }
    }
}

static void take_view(struct agent *agent, struct dcs_view *view)
{
    struct loop_facts *facts = &agent->facts;
    struct ha_kv *kvs = mem_new_array(struct ha_kv, view->count);

    for (size_t i = 0; i < view->count; i++) {
        kvs[i] = (struct ha_kv){.key = view->kvs[i].key,
                                .value = view->kvs[i].value,
                                .create_revision = view->kvs[i].create_revision,
                                .mod_revision = view->kvs[i].mod_revision};
    }
    tell_unreadable(&facts->cluster, view->cluster, kvs, view->count);
    slots_note(agent); /* who is not in the new view any more was there up to now */
    char leader_before[HA_NAME_BYTES];
    memcpy(leader_before, facts->cluster.leader, sizeof leader_before);
    struct ha_cluster *before = mem_memdup(&facts->cluster, sizeof facts->cluster);
    tell_left_out(
        agent, ha_cluster_read(view->cluster, view->revision, kvs, view->count, &facts->cluster));
    ha_cluster_remember(before, &facts->cluster);
    take_owner(agent, before);
    mem_free(before);
    mem_free(kvs);
    if (facts->cluster.leader[0] != '\0') {
        facts->unlocked_since_mono_ms = HA_NEVER;
    } else if (facts->unlocked_since_mono_ms == HA_NEVER) {
        facts->unlocked_since_mono_ms = agent_mono_ms(agent);
    }
    if (strcmp(leader_before, facts->cluster.leader) != 0) {
        log_info("the leader key %s%s", facts->cluster.leader[0] == '\0' ? "is gone" : "names ",
                 facts->cluster.leader);
    }
    slots_note(agent);
    slots_take_status(agent);
    disk_take_view(agent);
    take_failover(agent);
    look_announced(agent);
    take_config(agent);
    look_pause_noted(agent);
}

static void take_contact(struct agent *agent)
{
    int64_t contact_ms = agent->dcs->ops->contact_mono_ms(agent->dcs);
    if (contact_ms != HA_NEVER && contact_ms != agent->facts.cluster.read_mono_ms) {
        agent->facts.cluster.read_mono_ms = contact_ms;
        agent->dcs_seen_wall_ms = clock_wall_ms(agent->clock);
    }
}

/* Of a group that has just been made not all have said their names; they are members all the same.
 * No name of a member has a space. */
static void name_peer(const struct raft_member_status *member, struct ha_peer *peer)
{
    if (member->name[0] != '\0') {
        (void)snprintf(peer->name, sizeof peer->name, "%s", member->name);
    } else {
        (void)snprintf(peer->name, sizeof peer->name, "member %016" PRIx64, member->id);
    }
}

static void take_raft(struct agent *agent)
{
    struct raft_node *node = agent->group == NULL ? NULL : raft_group_node(agent->group);
    struct loop_facts *facts = &agent->facts;
    struct raft_status status;

    if (node == NULL) {
        return;
    }
    raft_node_status(node, &status);
    int64_t now = agent_mono_ms(agent);
    struct ha_peer heard[HA_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < status.member_count && count < HA_MEMBERS_MAX; i++) {
        const struct raft_member_status *member = &status.members[i];
        if (member->id == status.id) {
            continue;
        }
        struct ha_peer *peer = &heard[count++];
        *peer = (struct ha_peer){.heard_mono_ms = HA_NEVER,
                                 .witness = member->witness,
                                 .unnamed = member->name[0] == '\0'};
        name_peer(member, peer);
        for (size_t j = 0; j < facts->heard_count; j++) {
            if (strcmp(facts->heard[j].name, peer->name) == 0) {
                peer->heard_mono_ms = facts->heard[j].heard_mono_ms;
            }
        }
        if (member->connected) {
            peer->heard_mono_ms = now;
        }
    }
    memcpy(facts->heard, heard, count * sizeof heard[0]);
    facts->heard_count = count;
    /* Only what runs PostgreSQL has a member key: a witness that a stray leader key names has none.
     */
    bool is_member = ha_cluster_member(&facts->cluster, facts->cluster.leader) != NULL;
    follow_primary(&agent->follow, node, &status, is_member ? facts->cluster.leader : "", now);
    if (status.leader != 0 && status.leader != agent->raft_leader_seen) {
        agent->raft_leader_seen = status.leader;
        ha_lease_hurry(&agent->lease, agent_lease_ms(agent));
        keeper_kick(agent);
    }
}

void observe_store_changed(struct agent *agent)
{
    struct dcs_view *view = agent->dcs->ops->view(agent->dcs);
    struct dcs_view *before = agent->facts.view;

    if (view != NULL && (before == NULL || before->revision != view->revision ||
                         before->cluster != view->cluster)) {
        agent->facts.view = view;
        take_view(agent, view);
        dcs_view_unref(before);
        namesake_look(agent);
        cycle_request(agent);
        publish_request(agent);
    } else {
        dcs_view_unref(view);
    }
    take_contact(agent);
    take_raft(agent);
    peers_look(agent);
    silence_look(agent);
    sync_kick(agent);
}
