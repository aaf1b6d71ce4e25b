#include "agent/loop/destruction.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/loop.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <string.h>

static bool has_data(const struct pg_inspection *found)
{
    bool ours = found->kind == PG_DIR_UNFINISHED && found->unfinished != PG_UNFINISHED_REWIND;
    return found->kind != PG_DIR_MISSING && found->kind != PG_DIR_EMPTY && !ours;
}

void destruction_begins(const struct agent *agent, const char *what, const char *allowed)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    const struct pg_inspection *found = &agent->facts.inspection;
    const struct pg_local_position local = pg_local_position_of(&found->control);
    char epoch[HA_EPOCH_BYTES];
    char leader_epoch[HA_EPOCH_BYTES];
    char lsn[PG_LSN_BYTES];
    bool own = strcmp(ha_cluster_last_holder(cluster), agent->config->name) == 0;

    ha_epoch_print(ha_cluster_epoch(cluster), epoch);
    ha_epoch_print(cluster->leader_epoch, leader_epoch);
    log_info("data directory: %s begins: data=%d system=%" PRIu64 " timeline=%" PRIu32
             " lsn=%s epoch=%s own=%d holds=%d leader=%s leader_epoch=%s cluster=%s allowed=%s",
             what, has_data(found), found->control.system_identifier, local.timeline,
             pg_lsn_format(local.lsn, lsn), epoch, own, agent->lease.held,
             cluster->leader[0] == '\0' ? "-" : cluster->leader, leader_epoch,
             cluster->initialize[0] == '\0' ? "-" : cluster->initialize,
             allowed[0] == '\0' ? "-" : allowed);
}

void destruction_ended(const char *what, int rc)
{
    log_info("data directory: %s has ended: %s", what, rc == 0 ? "done" : "failed");
}
