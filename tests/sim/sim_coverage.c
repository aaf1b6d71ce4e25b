#include "sim_coverage.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_sync.h"
#include "raft/engine/peer_wire.h"
#include "sim.h"

#include <stdio.h>
#include <string.h>

enum { RULES_MAX = 32, LISTS = 9 };

static const struct ha_rule_list *const lists[LISTS] = {
    &ha_rules_common,  &ha_rules_bootstrap, &ha_rules_stopped, &ha_rules_starting, &ha_rules_leader,
    &ha_rules_replica, &ha_rules_unlocked,  &ha_rules_silent,  &ha_rules_pause};

/* "situation/rule": what this world has nothing of. One that is hit all the same is a line too many
 * here. */
static const char *const elsewhere[] = {
    "bootstrap/patroni_initializes", /* Patroni's members */
    "common/disk_stopping",          /* a watch over the data directory's disk, */
    "leader/disk",                   /* ... another one, */
    "starting/disk",                 /* ... a third, */
    "stopped/disk",                  /* ... and a fourth */
    "bootstrap/restore",             /* copies without a leader */
    "bootstrap/directory_lost",      /* a directory that goes from under a server */
    "replica/restart_to_follow",     /* a server that was adopted */
    "replica/do_not_stream",         /* an archive */
    "unlocked/failsafe",             /* etcd */
    "leader/watchdog",               /* a watchdog that is required and fails, */
    "stopped/watchdog",              /* ... there, too */
    "bootstrap/copy_cluster",        /* standby clusters: tests/e2e/standby.py */
    "bootstrap/copy_again",
    "leader/standby_cluster",
    "stopped/half_rewound",
    "starting/starting_remote_look",
    "starting/starting_remote_attach",
    "stopped/standby_resume",
    "stopped/standby_start",
    "pause/recovered",           /* a group that is made anew from one member */
    "pause/restart_under_fence", /* servers that are started by hand */
    "pause/over_standby",
    "pause/standby_without_service",
    "pause/standby_with_key",
};

/* Too rare for the standard seeds: a promotion that is sent and then not wanted, or makes another
 * timeline; a request in a pause; five minutes of a start; a second cluster that was made and is
 * not told of; what is seen only between two events. */
static const char *const rare[] = {
    "common/fence_soft", /* what others wait for outlasts the lease, and the fence stands still */
    "common/fence_stopping", /* what its agent has not ended beside a fence that stands still */
    "common/not_all_gone",
    "common/not_ours",
    "common/reinit_late",
    "common/restart_late",
    "common/stop_failed", /* processes that outlast a kill by seconds */
    "leader/crash_loop",  /* backends that die alone, again and again */
    "leader/retake",
    "leader/timeline_unreserved",
    "pause/diverged",
    "pause/manual",
    "pause/passed_over",
    "pause/step_down",
    "replica/new_term",
    "replica/promotion_failed",
    "replica/disarm",
    "silent/disarm",
    "silent/promotion_orphaned",
    "starting/left_stopping", /* a stop that hangs, and whose agent has gone */
    "starting/start_timeout",
    "starting/starting_standby_attach",
    "stopped/give_up",
    "stopped/not_all_gone",
    "stopped/timeline_unreserved",
    "stopped/unpromoted",
    "unlocked/disarm",
    "unlocked/promotion_orphaned",
};

static const struct {
    int kind;
    const char *name;
} messages[] = {
#define MESSAGE(constant, name, number) {PEER_##constant, #name},
    PEER_MESSAGES(MESSAGE)
#undef MESSAGE
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

static const char *const fates[SIM_MESSAGE_FATES] = {"dropped", "doubled"};
static const char *const steps[] = {"steady", "wait", "publish", "delete", "set", "terminate"};
static const char *const states[SIM_STATE_COUNT] = {
#define STATE(constant, name) name,
    SIM_STATES(STATE)
#undef STATE
};

static unsigned long rule_hits[LISTS][RULES_MAX];
static unsigned long message_hits[SIM_MESSAGE_FATES][MESSAGES];
static unsigned long step_hits[sizeof(steps) / sizeof(steps[0])];
static unsigned long state_hits[SIM_STATE_COUNT];

/* Who said that the holder of the key was silent takes it back in the same term: it lives. */
static bool is_taken_back(const struct ha_snapshot *s, const struct ha_plan *plan)
{
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    bool withdraws = false;
    for (size_t i = 0; i < plan->action_count; i++) {
        withdraws = withdraws || plan->actions[i].type == HA_WITHDRAW_REPORT;
    }
    return withdraws && own != NULL && !own->withdrawn && own->primary_silent_ms > 0 &&
           ha_epoch_equal(own->epoch, s->cluster.leader_epoch);
}

bool __real_ha_rules_run(const struct ha_rule_list *list, const struct ha_snapshot *s,
                         struct ha_plan *plan);
bool __wrap_ha_rules_run(const struct ha_rule_list *list, const struct ha_snapshot *s,
                         struct ha_plan *plan);

bool __wrap_ha_rules_run(const struct ha_rule_list *list, const struct ha_snapshot *s,
                         struct ha_plan *plan)
{
    if (!__real_ha_rules_run(list, s, plan)) {
        return false;
    }
    if (is_taken_back(s, plan)) {
        sim_coverage_state(SIM_STATE_ALARM_TAKEN_BACK);
    }
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t j = 0; lists[i] == list && j < list->count && j < RULES_MAX; j++) {
            rule_hits[i][j] += strcmp(list->rules[j].name, plan->rule) == 0;
        }
    }
    return true;
}

void sim_coverage_state(enum sim_state state)
{
    state_hits[state]++;
}

void sim_coverage_step(unsigned step)
{
    step_hits[step]++;
}

void sim_coverage_message(struct span frame, enum sim_message_fate fate)
{
    for (size_t i = 0; frame.len > 1 && i < MESSAGES; i++) {
        message_hits[fate][i] += frame.data[1] == messages[i].kind;
    }
}

/* --- the sum ---------------------------------------------------------------------------------- */

static unsigned items;
static unsigned missed;
static bool told;

static void item(const char *kind, const char *name, unsigned long hits, bool expected)
{
    bool wrong = (hits == 0) == expected;
    items++;
    missed += wrong;
    if (told) {
        printf("  %-10s %-60s %lu\n", kind, name, hits);
    }
    if (wrong) {
        printf("FAILED %s %s: %s\n",
               expected ? "never hit:" : "hit, though it is said not to be:", kind, name);
    }
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void rule_item(const char *name, unsigned long hits)
{
    bool is_rare = is_among(name, rare, sizeof(rare) / sizeof(rare[0]));
    bool is_elsewhere = is_among(name, elsewhere, sizeof(elsewhere) / sizeof(elsewhere[0]));
    item("rule", name, hits, is_rare ? hits > 0 : !is_elsewhere);
}

bool sim_coverage_print(bool verbose)
{
    char name[128];
    items = missed = 0;
    told = verbose;
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            (void)snprintf(name, sizeof(name), "%s/%s", lists[i]->name, lists[i]->rules[j].name);
            rule_item(name, rule_hits[i][j]);
        }
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        /* The mode is never switched off here. */
        item("sync step", steps[i], step_hits[i], i != HA_SYNC_DELETE);
    }
    for (size_t i = 0; i < SIM_MESSAGE_FATES; i++) {
        for (size_t j = 0; j < MESSAGES; j++) {
            (void)snprintf(name, sizeof(name), "%s %s", messages[j].name, fates[i]);
            item("message", name, message_hits[i][j], true);
        }
    }
    for (size_t i = 0; i < SIM_STATE_COUNT; i++) {
        item("state", states[i], state_hits[i], true);
    }
    printf("coverage: %u of %u rules, steps, messages and states\n", items - missed, items);
    return missed == 0;
}
