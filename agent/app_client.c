#include "agent/app_client.h"

#include "agent/api/api_metrics.h"
#include "agent/dcs/dcs_raft_remote.h"
#include "agent/loop/loop.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "raft/storage.h"

#include <unistd.h>

static void on_note(void *arg, enum log_level level, const char *text)
{
    (void)arg;
    log_write(level, "%s", text);
}

/* A member whose self_addr was forgotten would be missed by the others, and its vote with it. */
static int check_directory(const struct config *config, struct error *err)
{
    char *path = mem_printf("%s/%s", config->state_dir, RAFT_STORAGE_FILE);
    int rc =
        access(path, F_OK) != 0
            ? 0
            : error_set(err, ERR_INVALID,
                        "%s: raft.self_addr: is not there, and '%s' holds the log and the vote "
                        "of a member of the group: give its address, or, where this node is to "
                        "be a client from now on, 'pgquorum raft remove %s' and another "
                        "state_dir",
                        config->path, path, config->name);
    mem_free(path);
    return rc;
}

int app_client_open(struct uv_loop_s *loop, const struct config *config, const struct clock *clock,
                    struct dcs **ret_dcs, struct error *err)
{
    const struct config_raft *raft = &config->raft;
    const char *addresses[CONFIG_PARTNERS_MAX];
    struct dcs_raft_remote_config remote = {.dcs = {.base = config->prefix,
                                                    .name = config->name,
                                                    .clock = clock,
                                                    .random = random_real()},
                                            .addresses = addresses,
                                            .address_count = raft->partner_count,
                                            .password = raft->password.hidden,
                                            .certfile = raft->certfile,
                                            .keyfile = raft->keyfile,
                                            .cafile = raft->cafile,
                                            .heartbeat_ms = LOOP_HEARTBEAT_MS,
                                            .on_note = on_note};
    int rc = check_directory(config, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < raft->partner_count; i++) {
        addresses[i] = raft->partners[i].text;
    }
    log_info("no raft.self_addr: this node is a client of the Raft group, without a vote");
    return dcs_raft_remote_new(loop, &remote, ret_dcs, err);
}

void app_client_reload(const struct config *config, struct dcs *dcs)
{
    struct error err = {0};
    if (config->raft.client && dcs != NULL && dcs_raft_remote_reload(dcs, &err) != 0) {
        log_warning("certificates: %s; the ones that were read before stay in use", err.text);
    }
}

void app_client_metrics(const struct dcs *dcs, struct api_metrics *metrics)
{
    struct dcs_raft_remote_status status = {.revision = -1};
    if (dcs != NULL) {
        dcs_raft_remote_status(dcs, &status);
    }
    api_metrics_add(
        metrics, "pgquorum_raft_client_connected", "gauge",
        "Value is 1 if this node, a client of the Raft group, is connected to a member.",
        status.address[0] != '\0');
    api_metrics_add(metrics, "pgquorum_raft_client_connections_total", "counter",
                    "Connections that this client has made to members.",
                    (double)status.connections);
    api_metrics_add(metrics, "pgquorum_raft_client_failures_total", "counter",
                    "Questions of this client that no member has answered.",
                    (double)status.failures);
    api_metrics_add(metrics, "pgquorum_store_revision", "counter",
                    "Revision of the store as this client has heard it.",
                    status.revision < 0 ? 0 : (double)status.revision);
}
