#include "agent/app_group.h"

#include "agent/api/api_metrics.h"
#include "agent/app_start.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

static void on_waiting(void *arg, const char *text)
{
    (void)arg;
    log_info("waiting for the Raft group: %s", text);
}

static void on_warning(void *arg, const char *text)
{
    (void)arg;
    log_warning("raft: %s", text);
}

static void on_note(void *arg, const char *text)
{
    (void)arg;
    log_info("raft: %s", text);
}

static void on_fatal(void *arg, const struct error *err)
{
    (void)arg;
    log_error("raft: %s; exiting, the fence ends PostgreSQL if the lease runs out", err->text);
    app_start_exit_now(
        1); /* nothing may be written or answered after this: not even an orderly end */
}

int app_group_open(struct uv_loop_s *loop, const struct config *config,
                   const struct app_group *options, struct raft_group **ret_group,
                   struct error *err)
{
    const struct config_raft *raft = &config->raft;
    const char *partners[CONFIG_PARTNERS_MAX];
    struct raft_group_config group = {.data_dir = raft->data_dir,
                                      .name = config->name,
                                      .self_addr = raft->self.text,
                                      .bind_addr = raft->bind.text,
                                      .client_urls = config->etcd_server.advertise,
                                      .partner_addrs = partners,
                                      .partner_count = raft->partner_count,
                                      .password = raft->password.hidden,
                                      .certfile = raft->certfile,
                                      .keyfile = raft->keyfile,
                                      .cafile = raft->cafile,
                                      .witness = options->witness,
                                      .armed_page = options->armed_page};
    struct raft_group_callbacks callbacks = {.on_ready = options->on_ready,
                                             .on_change = options->on_change,
                                             .on_waiting = on_waiting,
                                             .on_warning = on_warning,
                                             .on_note = on_note,
                                             .on_fatal = on_fatal,
                                             .arg = options->arg};
    for (size_t i = 0; i < raft->partner_count; i++) {
        partners[i] = raft->partners[i].text;
    }
    config_raft_timeouts(raft, options->ttl_ms, &group.election_timeout_ms, &group.heartbeat_ms);
    return raft_group_open(loop, &group, &callbacks, ret_group, err);
}

/* A member that has lost its directory comes back under its name with another id. */
static void put_peer(struct api_metrics *metrics, const char *metric,
                     const struct raft_member_status *member, double value)
{
    char id[17];
    (void)snprintf(id, sizeof id, "%016" PRIx64, member->id);
    struct api_label labels[] = {{"peer", member->name}, {"id", id}};
    api_metrics_sample(metrics, metric, labels, 2, value);
}

static void put_peers(struct api_metrics *metrics, const struct raft_status *status)
{
    static const char connected[] = "pgquorum_raft_peer_connected";
    static const char lag[] = "pgquorum_raft_peer_lag_entries";

    api_metrics_head(metrics, connected, "gauge",
                     "Value is 1 if this node has a connection to that member.");
    for (size_t i = 0; i < status->member_count; i++) {
        const struct raft_member_status *member = &status->members[i];
        if (member->id != status->id) {
            put_peer(metrics, connected, member, member->connected);
        }
    }
    api_metrics_head(metrics, lag, "gauge",
                     "Entries of this leader's log that a member has not stored yet.");
    for (size_t i = 0; i < status->member_count && status->role == RAFT_ROLE_LEADER; i++) {
        const struct raft_member_status *member = &status->members[i];
        uint64_t stored =
            member->match_index < status->last_index ? member->match_index : status->last_index;
        if (member->id != status->id) {
            put_peer(metrics, lag, member, (double)(status->last_index - stored));
        }
    }
}

static void put_counters(struct api_metrics *metrics, const struct raft_group_counters *counters)
{
    api_metrics_add(metrics, "pgquorum_raft_corrupt_frames_total", "counter",
                    "Frames of the Raft port that were damaged on their way, and refused.",
                    (double)counters->frames_corrupt);
    api_metrics_add(metrics, "pgquorum_raft_refused_frames_total", "counter",
                    "Frames of the Raft port that were not for this member.",
                    (double)counters->frames_refused);
    api_metrics_add(metrics, "pgquorum_raft_dropped_frames_total", "counter",
                    "Frames to members that were not connected or took nothing more.",
                    (double)counters->frames_dropped);
    api_metrics_add(metrics, "pgquorum_raft_refused_handshakes_total", "counter",
                    "Connections to the Raft port with a wrong password, certificate or cluster, "
                    "or from an address that is no member's.",
                    (double)counters->handshakes_refused);
    api_metrics_add(metrics, "pgquorum_raft_refused_clients_total", "counter",
                    "Clients of the Raft port above its limits.",
                    (double)counters->clients_refused);
}

void app_group_metrics(struct raft_group *group, struct api_metrics *metrics)
{
    struct raft_node *node = group == NULL ? NULL : raft_group_node(group);
    struct raft_group_counters counters = {0};
    if (node != NULL) {
        struct raft_status status;
        raft_node_status(node, &status);
        api_metrics_add(metrics, "pgquorum_raft_leader", "gauge",
                        "Value is 1 if this node leads the Raft group.",
                        status.role == RAFT_ROLE_LEADER);
        api_metrics_add(metrics, "pgquorum_raft_has_leader", "gauge",
                        "Value is 1 if this node knows a Raft leader.", status.leader != 0);
        api_metrics_add(metrics, "pgquorum_raft_term", "counter", "Raft term.",
                        (double)status.term);
        api_metrics_add(metrics, "pgquorum_raft_commit_index", "counter",
                        "Highest committed Raft index.", (double)status.commit_index);
        api_metrics_add(metrics, "pgquorum_raft_applied_index", "counter",
                        "Highest applied Raft index.", (double)status.applied_index);
        api_metrics_add(metrics, "pgquorum_raft_last_index", "counter",
                        "Last index of this member's log.", (double)status.last_index);
        api_metrics_add(metrics, "pgquorum_store_revision", "counter",
                        "Revision of the store as this member has it.", (double)status.revision);
        api_metrics_add(metrics, "pgquorum_raft_members", "gauge", "Members of the Raft group.",
                        (double)status.member_count);
        put_peers(metrics, &status);
    }
    if (group != NULL) {
        raft_group_counters(group, &counters);
    }
    put_counters(metrics, &counters);
}
