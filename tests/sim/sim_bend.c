/* Rules of synchronous replication, bent on purpose: the linker puts these functions before the
 * program's (-Wl,--wrap). Each has to lose a commit that was answered. */
#include "sim_machine.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_sync.h"

void __real_ha_sync_key_read(const char *value, struct ha_sync_key *ret_sync);
void __wrap_ha_sync_key_read(const char *value, struct ha_sync_key *ret_sync);
void __real_ha_sync_next(const struct ha_sync *sync, const struct ha_sync_published *published,
                         const struct ha_sync_look *look, const struct ha_sync_target *target,
                         struct ha_sync_move *ret_move);
void __wrap_ha_sync_next(const struct ha_sync *sync, const struct ha_sync_published *published,
                         const struct ha_sync_look *look, const struct ha_sync_target *target,
                         struct ha_sync_move *ret_move);

static const struct sim_mutation *bent(void)
{
    static const struct sim_mutation none;
    return sim_running == NULL ? &none : &sim_running->world->options.mutation;
}

void __wrap_ha_sync_key_read(const char *value, struct ha_sync_key *ret_sync)
{
    __real_ha_sync_key_read(value, ret_sync);
    /* To whoever runs for the key; a primary changes it by what it says. */
    if (bent()->one_report && sim_machine_of(sim_running)->recovery) {
        ret_sync->quorum = 0;
    }
}

/* Whom it would wait for in the end, at once, whatever is published. */
static void set_first(const struct ha_sync *sync, const struct ha_sync_target *target,
                      struct ha_sync_move *move)
{
    if (move->step == HA_SYNC_PUBLISH && sync->set && target->on && target->names != 0 &&
        (sync->setting.names != target->names || sync->setting.numsync != target->numsync)) {
        *move = (struct ha_sync_move){.step = HA_SYNC_SET,
                                      .setting = {target->names, target->numsync},
                                      .reason = "bent: before it is published"};
    }
}

void __wrap_ha_sync_next(const struct ha_sync *sync, const struct ha_sync_published *published,
                         const struct ha_sync_look *look, const struct ha_sync_target *target,
                         struct ha_sync_move *ret_move)
{
    struct ha_sync_look seen = *look;
    for (size_t i = 0; bent()->unconfirmed && i < seen.count; i++) {
        seen.walsenders[i].flushed = UINT64_MAX;
        seen.walsenders[i].streaming = true;
    }
    __real_ha_sync_next(sync, published, &seen, target, ret_move);
    if (bent()->set_first) {
        set_first(sync, target, ret_move);
    }
    sim_coverage_step(ret_move->step);
}
