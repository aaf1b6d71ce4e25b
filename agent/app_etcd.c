#include "agent/app_etcd.h"

#include "base/log.h"
#include "raft/group.h"

#include <stddef.h>

static struct raft_node *node_of(void *arg)
{
    struct raft_group **group = arg;
    return *group == NULL ? NULL : raft_group_node(*group);
}

static void on_warning(void *arg, const char *text)
{
    (void)arg;
    log_warning("etcd_server: %s", text);
}

static void on_note(void *arg, const char *text)
{
    (void)arg;
    log_info("etcd_server: %s", text);
}

int app_etcd_start(struct uv_loop_s *loop, const struct config *config, int election_timeout_ms,
                   struct raft_group **group, struct etcd_server **ret_server, struct error *err)
{
    const struct config_etcd_server *section = &config->etcd_server;
    struct etcd_server_config server = {.listen = section->listen.text,
                                        .advertise = section->advertise,
                                        .peers_use_tls = config->raft.certfile != NULL,
                                        .certfile = section->certfile,
                                        .keyfile = section->keyfile,
                                        .cafile = section->cafile,
                                        .client_cert_auth = section->client_cert_auth,
                                        .username = section->username,
                                        .password = section->password.hidden,
                                        .election_timeout_ms = election_timeout_ms,
                                        .clock = clock_real(),
                                        .random = random_real(),
                                        .node = node_of,
                                        .on_warning = on_warning,
                                        .on_note = on_note,
                                        .arg = group};
    *ret_server = NULL;
    if (!section->given) {
        return 0;
    }
    int rc = etcd_server_start(loop, &server, ret_server, err);
    if (rc == 0) {
        log_info("etcd's API listens on %s, advertised as %s", section->listen.text,
                 section->advertise);
    }
    return rc;
}

void app_etcd_on_change(struct etcd_server *server)
{
    if (server != NULL) {
        etcd_server_on_change(server);
    }
}

bool app_reload_certificates(const struct config *config, struct raft_group *group,
                             struct etcd_server *server)
{
    bool raft = group != NULL && config->raft.certfile != NULL;
    bool etcd = server != NULL && config->etcd_server.certfile != NULL;
    if (raft || etcd) {
        log_info("SIGHUP: reading the certificates again");
    }
    if (raft) {
        raft_group_reload(group);
    }
    if (etcd) {
        etcd_server_reload(server);
    }
    return raft || etcd;
}

void app_etcd_stop(struct etcd_server *server, void (*stopped)(void *arg), void *arg)
{
    if (server != NULL) {
        etcd_server_stop(server, stopped, arg);
    } else {
        stopped(arg);
    }
}
