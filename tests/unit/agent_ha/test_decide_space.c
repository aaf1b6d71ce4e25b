/* Every situation that can be told apart, enumerated: ha_decide always answers, and never plans
 * what ha_check forbids (it asserts that itself: a failure here is an abort). The check's own eyes
 * are tested in test_check.c. */
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER 0xabcULL
#define OLD     7 /* an epoch of before */
#define LAST    9 /* the last epoch */

enum key { KEY_UNKNOWN, KEY_ABSENT, KEY_OURS, KEY_OTHERS, KEYS };
enum hold { HOLD_NONE, HOLD_VALID, HOLD_UNANSWERED, HOLD_PAST, HOLD_OLD, HOLDS };
enum page {
    PAGE_STANDBY,
    PAGE_LAST,
    PAGE_OLD,
    PAGE_OVER,
    PAGE_FIRED,
    PAGES,
    PAGE_OPEN = PAGES, /* in pause only */
    PAGE_OPEN_OLD,
    PAUSE_PAGES
};
enum unfenced { UNFENCED_NOT, UNFENCED_LAST, UNFENCED_ORDERED, UNFENCED_UNREADABLE, UNFENCEDS };
enum hand { HAND_NOT, HAND_STOP_ORDERED, HAND_ADOPTED, HANDS };
enum run {
    RUN_UNKNOWN,
    RUN_STOPPED,
    RUN_CRASHED,
    RUN_STARTING_PRIMARY,
    RUN_STARTING_STANDBY,
    RUN_PRIMARY,
    RUN_STANDBY,
    RUN_PROMOTING,
    RUN_STOPPING,
    RUNS
};
enum data {
    DATA_MISSING,
    DATA_PRIMARY,
    DATA_STANDBY,
    DATA_COPY,
    DATA_HALF_BOOTSTRAP,
    DATA_HALF_CLONE,
    DATA_HALF_REWIND,
    DATA_FOREIGN,
    DATA_OTHER_CLUSTER,
    DATAS
};
enum init { INIT_ABSENT, INIT_EMPTY, INIT_VALID, INITS };
enum last { LAST_NONE, LAST_OURS, LAST_OTHERS, LASTS };
enum wish {
    WISH_NONE,
    WISH_AWAY,
    WISH_TO_US,
    WISH_TO_OTHER,
    WISH_REFUSED,
    WISH_SHUTDOWN,
    WISH_START_0,
    WISH_RESTART,
    WISH_RESTART_UNDER_WAY,
    WISH_REINIT,
    WISH_REINIT_COPYING,
    WISH_STALLED, /* no wish: a disk, a hung server */
    WISH_FULL,
    WISH_HUNG,
    WISHES
};
enum join { JOIN_UNKNOWN, JOIN_SAME, JOIN_DIVERGED, JOIN_REWIND_FAILED, JOIN_REMOVABLE, JOINS };
enum promise { PROMISE_NONE, PROMISE_GIVEN, PROMISE_REPORTED, PROMISE_WITHDRAWN, PROMISES };

static struct ha_epoch epoch(int64_t revision)
{
    return (struct ha_epoch){CLUSTER, revision};
}

static void set(char *to, const char *text)
{
    (void)strcpy(to, text);
}

static void base(struct ha_snapshot *s)
{
    ha_snapshot_init(s);
    s->now_lease_ms = 100000;
    s->now_mono_ms = 100000;
    s->now_wall_ms = 1000000;
    s->unlocked_since_mono_ms = 99000;
    set(s->self.name, "n1");
    s->self.directory_known = true;
    s->self.run_since_mono_ms = 50000;
    s->self.timeline = 2;
    s->self.control_timeline = 2;
    s->self.lsn = 0x5000;
    s->self.position_known = true;
    s->self.probe_fresh = true;
    s->self.upstream.known = true;
    s->self.upstream.service_in_force = true;
    s->fence.connected = true;
    s->settings.may_bootstrap = true;
    s->cluster.cluster_id = CLUSTER;
    s->cluster.revision = 60;
    s->cluster.config_revision = 4;
    for (int i = 1; i <= 3; i++) {
        struct ha_member *member = &s->cluster.members[s->cluster.member_count++];
        (void)snprintf(member->name, sizeof member->name, "n%d", i);
        set(member->conn_url, "postgres://10.0.0.1:5432/postgres");
        set(member->state, "running");
        set(member->role, i == 2 ? "primary" : "replica");
        member->lsn = 0x5000;
        member->data = HA_DATA_NONE; /* as long as no cluster is named, only */
        member->tags.failover_priority = 1;
        if (i > 1) {
            set(s->self.replicas[s->self.replica_count].name, member->name);
            s->self.replicas[s->self.replica_count++].lsn = 0x5000;
            set(s->peers[s->peer_count].name, member->name);
            s->peers[s->peer_count++].heard_mono_ms = 99900;
        }
    }
}

static void set_key(struct ha_snapshot *s, enum key key, enum last last, enum init init)
{
    s->cluster.known = key != KEY_UNKNOWN;
    if (last != LAST_NONE) {
        s->cluster.epoch_revision = LAST;
        s->cluster.epoch_timeline = 3;
        set(s->cluster.epoch_holder, last == LAST_OURS ? "n1" : "n2");
    }
    if (key == KEY_OURS || key == KEY_OTHERS) {
        set(s->cluster.leader, key == KEY_OURS ? "n1" : "n2");
        s->cluster.leader_epoch = epoch(LAST);
    }
    s->cluster.initialize_revision = init == INIT_ABSENT ? 0 : 3;
    set(s->cluster.initialize, init == INIT_VALID ? "7000000000000000001" : "");
}

static void set_hold(struct ha_snapshot *s, enum hold hold)
{
    s->holding.held = hold != HOLD_NONE;
    s->holding.epoch = epoch(hold == HOLD_OLD ? OLD : LAST);
    s->holding.renewed = hold != HOLD_UNANSWERED;
    /* Acquired, or resumed from the page of an earlier run. */
    s->holding.acquired = epoch(hold == HOLD_VALID || hold == HOLD_PAST ? LAST : 0);
    s->holding.soft_lease_ms = hold == HOLD_VALID || hold == HOLD_OLD ? 101000
                               : hold == HOLD_PAST                    ? 99000
                                                                      : 0;
    s->holding.deadline_lease_ms = s->holding.soft_lease_ms + 200;
}

static void set_page(struct ha_snapshot *s, enum page page)
{
    if (page == PAGE_STANDBY) {
        return;
    }
    s->fence.page_epoch = epoch(page == PAGE_OLD || page == PAGE_OPEN_OLD ? OLD : LAST);
    s->fence.armed = page != PAGE_OVER && page != PAGE_OPEN && page != PAGE_OPEN_OLD;
    s->fence.over = page == PAGE_OVER;
    s->fence.fired = page == PAGE_FIRED;
}

static void set_run(struct ha_snapshot *s, enum run run)
{
    static const enum ha_run runs[RUNS] = {HA_RUN_UNKNOWN,  HA_RUN_STOPPED,  HA_RUN_CRASHED,
                                           HA_RUN_STARTING, HA_RUN_STARTING, HA_RUN_RUNNING,
                                           HA_RUN_RUNNING,  HA_RUN_RUNNING,  HA_RUN_STOPPING};
    s->self.run = runs[run];
    s->self.role = run == RUN_PRIMARY || run == RUN_STARTING_PRIMARY ? PG_PRIMARY : PG_STANDBY;
    s->self.promote_sent = run == RUN_PROMOTING;
    s->self.crash_since_mono_ms = run == RUN_CRASHED ? 99500 : HA_NEVER;
    s->fence.all_gone = run == RUN_STOPPED || run == RUN_CRASHED;
}

static void set_data(struct ha_snapshot *s, enum data data)
{
    static const enum pg_dir_kind kinds[DATAS] = {
        PG_DIR_MISSING,    PG_DIR_VALID,      PG_DIR_VALID,   PG_DIR_VALID, PG_DIR_UNFINISHED,
        PG_DIR_UNFINISHED, PG_DIR_UNFINISHED, PG_DIR_FOREIGN, PG_DIR_VALID};
    s->self.directory = kinds[data];
    s->self.unfinished = data == DATA_HALF_BOOTSTRAP ? PG_UNFINISHED_BOOTSTRAP
                         : data == DATA_HALF_CLONE   ? PG_UNFINISHED_CLONE
                         : data == DATA_HALF_REWIND  ? PG_UNFINISHED_REWIND
                                                     : PG_UNFINISHED_NONE;
    s->self.standby_signal = data == DATA_STANDBY;
    s->self.backup_label = data == DATA_COPY;
    s->self.control_state =
        data == DATA_STANDBY ? PG_CONTROL_SHUT_DOWN_IN_RECOVERY : PG_CONTROL_IN_PRODUCTION;
    set(s->self.system_id, data == DATA_MISSING         ? ""
                           : data == DATA_OTHER_CLUSTER ? "7000000000000000002"
                                                        : "7000000000000000001");
}

static void set_wish(struct ha_snapshot *s, enum wish wish)
{
    struct ha_failover *failover = &s->cluster.failover;
    failover->present = wish == WISH_AWAY || wish == WISH_TO_US || wish == WISH_TO_OTHER;
    set(failover->leader, wish == WISH_AWAY ? "n1" : "");
    set(failover->candidate, wish == WISH_TO_US ? "n1" : wish == WISH_TO_OTHER ? "n3" : "");
    set(s->settings.refused, wish == WISH_REFUSED ? "citus" : "");
    s->request = wish == WISH_SHUTDOWN ? HA_REQUEST_SHUTDOWN : HA_REQUEST_NONE;
    s->restart.phase = wish == WISH_RESTART             ? HA_RESTART_ORDERED
                       : wish == WISH_RESTART_UNDER_WAY ? HA_RESTART_UNDER_WAY
                                                        : HA_RESTART_NONE;
    s->restart.ordered_mono_ms = s->restart.phase == HA_RESTART_NONE ? HA_NEVER : s->now_mono_ms;
    s->restart.down_mono_ms = wish == WISH_RESTART_UNDER_WAY ? 0 : HA_NEVER;
    s->reinit.phase = wish == WISH_REINIT           ? HA_REINIT_ORDERED
                      : wish == WISH_REINIT_COPYING ? HA_REINIT_COPYING
                                                    : HA_REINIT_NONE;
    s->reinit.ordered_mono_ms = s->reinit.phase == HA_REINIT_NONE ? HA_NEVER : s->now_mono_ms;
    s->reinit.cancels = wish == WISH_REINIT;
    s->settings.primary_start_timeout_ms = wish == WISH_START_0 ? 0 : 300000;
    s->self.disk = wish == WISH_STALLED ? PG_DISK_STALLED
                   : wish == WISH_FULL  ? PG_DISK_FULL
                                        : PG_DISK_GOOD;
    s->self.disk_since_mono_ms = 50000;
    s->self.silent_since_mono_ms = wish == WISH_HUNG ? 50000 : HA_NEVER;
}

static void set_join(struct ha_snapshot *s, enum join join)
{
    struct ha_rejoin *rejoin = &s->self.rejoin;
    rejoin->epoch = epoch(join == JOIN_UNKNOWN ? 0 : LAST);
    rejoin->divergence = join == JOIN_UNKNOWN ? HA_DIVERGENCE_UNKNOWN
                         : join == JOIN_SAME  ? HA_DIVERGENCE_NONE
                                              : HA_DIVERGENCE_REWIND;
    rejoin->rewind = join >= JOIN_REWIND_FAILED ? HA_REWIND_FAILED : HA_REWIND_NOT_TRIED;
    s->settings.rewind_possible = join != JOIN_REMOVABLE;
    s->settings.remove_on_diverged = join == JOIN_REMOVABLE;
}

static void set_promise(struct ha_snapshot *s, enum promise promise)
{
    s->self.upstream.detached = promise != PROMISE_NONE;
    s->self.upstream.epoch = epoch(s->cluster.epoch_revision);
    s->self.withdrawn_epoch = epoch(promise == PROMISE_WITHDRAWN ? LAST : 0);
    s->cluster.report_count = 0;
    if (promise == PROMISE_REPORTED) {
        struct ha_report *report = &s->cluster.reports[s->cluster.report_count++];
        memset(report, 0, sizeof *report);
        set(report->name, "n1");
        report->valid = true;
        report->revision = 12;
        report->epoch = epoch(s->cluster.epoch_revision);
        report->timeline = s->self.timeline;
        report->lsn = s->self.lsn;
    }
}

/* Facts that cannot be true together (the key names an epoch that does not exist) are left out. */
static bool is_possible(enum key key, enum hold hold, enum last last)
{
    if (key == KEY_OURS && last != LAST_OURS) {
        return false;
    }
    if (key == KEY_OTHERS && last != LAST_OTHERS) {
        return false;
    }
    return !(hold != HOLD_NONE && hold != HOLD_OLD && last != LAST_OURS);
}

/* A situation is a number; what it consists of are its digits, each to a base of its own. */
static int digit(int *rest, int radix)
{
    int found = *rest % radix;
    *rest /= radix;
    return found;
}

/* By the first digits; false where these are not possible together. */
static bool begin(struct ha_snapshot *s, int *rest, enum key *ret_key, enum last *ret_last)
{
    enum key key = (enum key)digit(rest, KEYS);
    enum hold hold = (enum hold)digit(rest, HOLDS);
    enum last last = (enum last)digit(rest, LASTS);
    if (!is_possible(key, hold, last)) {
        return false;
    }
    base(s);
    set_hold(s, hold);
    *ret_key = key;
    *ret_last = last;
    return true;
}

static uint64_t decided;

static void decide_all_wishes(struct ha_snapshot *s, struct ha_plan *plan)
{
    for (int wish = 0; wish < WISHES; wish++) {
        set_wish(s, (enum wish)wish);
        for (int join = 0; join < JOINS; join++) {
            set_join(s, (enum join)join);
            for (int promise = 0; promise < PROMISES; promise++) {
                set_promise(s, (enum promise)promise);
                ha_decide(s, plan);
                assert_non_null(plan->rule);
                assert_true(plan->reason[0] != '\0');
                decided++;
            }
        }
    }
}

static void every_situation_has_a_permitted_plan(void **state)
{
    static struct ha_snapshot s;
    static struct ha_plan plan;
    (void)state;
    for (int i = 0; i < KEYS * HOLDS * LASTS * INITS * PAGES * RUNS * DATAS; i++) {
        int rest = i;
        enum key key;
        enum last last;
        if (!begin(&s, &rest, &key, &last)) {
            continue;
        }
        set_key(&s, key, last, (enum init)digit(&rest, INITS));
        set_page(&s, (enum page)digit(&rest, PAGES));
        set_run(&s, (enum run)digit(&rest, RUNS));
        set_data(&s, (enum data)digit(&rest, DATAS));
        decide_all_wishes(&s, &plan);
    }
    assert_true(decided > 1000000);
}

static bool acts(const struct ha_plan *plan)
{
    static const enum ha_action_type types[] = {
        HA_STOP_FAST, HA_STOP_IMMEDIATE, HA_START_PRIMARY, HA_START_STANDBY,
        HA_PROMOTE,   HA_REWIND,         HA_REMOVE_DATA,   HA_CLONE,
        HA_BOOTSTRAP, HA_MOVE_ASIDE,     HA_STOP_RESTART};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (ha_plan_has(plan, types[i])) {
            return true;
        }
    }
    return false;
}

/* A promotion that was under way when the pause began is not left half done. */
static bool is_promoting(const struct ha_snapshot *s)
{
    return ha_runs_as(s, PG_STANDBY) &&
           (ha_key_is_ours(s) || s->self.promote_sent || s->fence.page_epoch.revision != 0);
}

static void decide_in_pause(struct ha_snapshot *s, struct ha_plan *plan, bool paused)
{
    static const enum wish wishes[] = {WISH_NONE,     WISH_AWAY,          WISH_TO_US,
                                       WISH_TO_OTHER, WISH_SHUTDOWN,      WISH_RESTART,
                                       WISH_REINIT,   WISH_REINIT_COPYING};
    static const enum join joins[] = {JOIN_SAME, JOIN_DIVERGED};
    static const enum promise promises[] = {PROMISE_NONE, PROMISE_REPORTED};
    s->settings.paused = paused;
    for (size_t i = 0; i < 8 * 2 * 2; i++) {
        set_wish(s, wishes[i % 8]);
        set_join(s, joins[i / 8 % 2]);
        set_promise(s, promises[i / 16]);
        s->cluster.failover.revision = 50;
        ha_decide(s, plan);
        bool unasked = paused && !s->cluster.failover.present && !s->self.stop_ordered &&
                       s->restart.phase == HA_RESTART_NONE && s->reinit.phase == HA_REINIT_NONE;
        if (unasked && !is_promoting(s) && acts(plan)) {
            fail_msg("in pause: %s/%s, %s", plan->situation, plan->rule, plan->reason);
        }
        decided++;
    }
}

static void set_unfenced(struct ha_snapshot *s, enum unfenced unfenced, enum hand hand)
{
    bool told = unfenced == UNFENCED_LAST || unfenced == UNFENCED_ORDERED;
    s->cluster.unfenced_revision = unfenced == UNFENCED_NOT ? 0 : 20;
    s->cluster.unfenced = told ? epoch(LAST) : (struct ha_epoch){0};
    s->cluster.failover.over_unfenced =
        unfenced == UNFENCED_ORDERED ? s->cluster.unfenced : (struct ha_epoch){0};
    s->self.stop_ordered = hand == HAND_STOP_ORDERED;
    s->fence.adopted = hand == HAND_ADOPTED && !ha_is_down(s);
}

/* Paused or not, with an open page, with `unfenced`: always a permitted plan; and in pause none
 * that touches PostgreSQL without an order. */
static void every_situation_in_pause_has_a_permitted_plan(void **state)
{
    static const enum data datas[] = {DATA_MISSING, DATA_PRIMARY, DATA_STANDBY, DATA_HALF_REWIND,
                                      DATA_OTHER_CLUSTER};
    static struct ha_snapshot s;
    static struct ha_plan plan;
    (void)state;
    decided = 0;
    for (int i = 0; i < KEYS * HOLDS * LASTS * PAUSE_PAGES * RUNS * 5 * UNFENCEDS * HANDS * 2;
         i++) {
        int rest = i;
        enum key key;
        enum last last;
        if (!begin(&s, &rest, &key, &last)) {
            continue;
        }
        set_page(&s, (enum page)digit(&rest, PAUSE_PAGES));
        set_run(&s, (enum run)digit(&rest, RUNS));
        set_data(&s, datas[digit(&rest, 5)]);
        enum unfenced unfenced = (enum unfenced)digit(&rest, UNFENCEDS);
        set_unfenced(&s, unfenced, (enum hand)digit(&rest, HANDS));
        set_key(&s, key, last, rest == 0 ? INIT_VALID : INIT_ABSENT); /* keys were wiped */
        decide_in_pause(&s, &plan, true);
        decide_in_pause(&s, &plan, false);
    }
    assert_true(decided > 1000000);
}

enum instance { INSTANCE_NOT_SAID, INSTANCE_OURS, INSTANCE_OTHERS, INSTANCES };

static void set_names(struct ha_snapshot *s, enum instance instance, bool namesake)
{
    set(s->self.instance, "aa");
    set(s->cluster.epoch_instance, instance == INSTANCE_NOT_SAID ? ""
                                   : instance == INSTANCE_OURS   ? "aa"
                                                                 : "bb");
    set(s->self.namesake, namesake ? "there" : "");
}

/* What goes by the name is left to whoever has it; a primary that nobody's deadline binds ends. */
static void decide_under_a_name(struct ha_snapshot *s, struct ha_plan *plan)
{
    static const enum wish wishes[] = {WISH_NONE, WISH_TO_US, WISH_SHUTDOWN, WISH_RESTART,
                                       WISH_REINIT};
    static const enum promise promises[] = {PROMISE_NONE, PROMISE_REPORTED};
    for (size_t i = 0; i < 5 * 2; i++) {
        set_wish(s, wishes[i % 5]);
        set_join(s, JOIN_DIVERGED);
        set_promise(s, promises[i / 5]);
        ha_decide(s, plan);
        decided++;
        bool unbound = wishes[i % 5] == WISH_NONE && ha_runs_as(s, PG_PRIMARY) &&
                       !ha_deadline_binds(s) && !ha_page_is_open(s) && !s->settings.paused &&
                       !ha_is_foreign(s);
        if (s->cluster.known && ha_name_is_taken(s) && unbound && !acts(plan)) {
            fail_msg("a primary without a limit: %s/%s, %s", plan->situation, plan->rule,
                     plan->reason);
        }
        if (!ha_name_is_taken(s) && !ha_is_me(s, s->cluster.leader) &&
            strcmp(plan->rule, "name_taken") == 0) {
            fail_msg("nobody has the name: %s", plan->reason);
        }
    }
}

/* Two agents of one name: whose the last epoch is, and whose the record. */
static void every_situation_of_a_name_has_a_permitted_plan(void **state)
{
    static const enum data datas[] = {DATA_MISSING, DATA_PRIMARY, DATA_STANDBY, DATA_HALF_REWIND,
                                      DATA_OTHER_CLUSTER};
    static struct ha_snapshot s;
    static struct ha_plan plan;
    (void)state;
    decided = 0;
    for (int i = 0; i < KEYS * HOLDS * LASTS * PAUSE_PAGES * RUNS * 5 * INSTANCES * 2 * 2 * HANDS;
         i++) {
        int rest = i;
        enum key key;
        enum last last;
        if (!begin(&s, &rest, &key, &last)) {
            continue;
        }
        set_page(&s, (enum page)digit(&rest, PAUSE_PAGES));
        set_run(&s, (enum run)digit(&rest, RUNS));
        set_data(&s, datas[digit(&rest, 5)]);
        set_key(&s, key, last, INIT_VALID);
        enum instance instance = (enum instance)digit(&rest, INSTANCES);
        set_names(&s, instance, digit(&rest, 2) == 1);
        s.settings.paused = digit(&rest, 2) == 1;
        set_unfenced(&s, UNFENCED_NOT, (enum hand)rest);
        decide_under_a_name(&s, &plan);
    }
    assert_true(decided > 1000000);
}

enum section { SECTION_HOSTS, SECTION_ARCHIVE, SECTION_GONE, SECTIONS };

/* What is known of the other cluster; followed or not, compared or not. */
static void set_section(struct ha_snapshot *s, enum section section, bool followed)
{
    s->settings.standby_cluster = section != SECTION_GONE;
    s->settings.remote_streams = section == SECTION_HOSTS;
    set(s->settings.remote, section == SECTION_GONE    ? ""
                            : section == SECTION_HOSTS ? "10.9.0.1:5432"
                                                       : "archive");
    s->cluster.config_revision = 40; /* changed in this term, or before the next one */
    set(s->self.rejoin.remote, s->settings.remote);
    s->self.upstream.remote = followed && !s->self.upstream.detached;
    set(s->self.upstream.conn_url, s->self.upstream.remote ? s->settings.remote : "");
    s->self.upstream.streaming = s->self.upstream.remote;
    s->cluster.sync_revision = followed ? 15 : 0;
    set(s->cluster.members[1].role, section == SECTION_GONE ? "primary" : "standby_leader");
}

static void decide_in_section(struct ha_snapshot *s, struct ha_plan *plan, enum section section)
{
    static const enum wish wishes[] = {WISH_NONE,     WISH_AWAY,    WISH_TO_US,
                                       WISH_SHUTDOWN, WISH_RESTART, WISH_STALLED};
    static const enum join joins[] = {JOIN_UNKNOWN, JOIN_SAME, JOIN_DIVERGED, JOIN_REWIND_FAILED};
    static const enum promise promises[] = {PROMISE_NONE, PROMISE_REPORTED};
    for (size_t i = 0; i < 6 * 4 * 2 * 2 * 2; i++) {
        set_wish(s, wishes[i % 6]);
        set_join(s, joins[i / 6 % 4]);
        set_promise(s, promises[i / 24 % 2]);
        set_section(s, section, i / 48 % 2 == 0);
        s->settings.paused = i / 96 == 1;
        s->cluster.failover.revision = 50;
        bool armed = s->fence.armed && s->fence.page_epoch.revision == LAST;
        ha_decide(s, plan);
        bool promotes = ha_plan_has(plan, HA_PROMOTE);
        bool writes = promotes || ha_plan_has(plan, HA_BOOTSTRAP) ||
                      (ha_plan_has(plan, HA_START_PRIMARY) && !s->settings.paused);
        if ((section != SECTION_GONE && writes) || (promotes && !armed)) {
            fail_msg("becomes writable: %s/%s, %s", plan->situation, plan->rule, plan->reason);
        }
        decided++;
    }
}

/* While the section is there nobody becomes a primary, whatever else is so; and when it has gone,
 * nobody does in a term that had begun before. */
static void every_situation_of_a_standby_cluster_has_a_permitted_plan(void **state)
{
    static struct ha_snapshot s;
    static struct ha_plan plan;
    (void)state;
    decided = 0;
    for (int i = 0; i < KEYS * HOLDS * LASTS * INITS * PAUSE_PAGES * RUNS * DATAS * SECTIONS * 2;
         i++) {
        int rest = i;
        enum key key;
        enum last last;
        if (!begin(&s, &rest, &key, &last)) {
            continue;
        }
        set_key(&s, key, last, (enum init)digit(&rest, INITS));
        set_page(&s, (enum page)digit(&rest, PAUSE_PAGES));
        set_run(&s, (enum run)digit(&rest, RUNS));
        set_data(&s, (enum data)digit(&rest, DATAS));
        enum section section = (enum section)digit(&rest, SECTIONS);
        set_unfenced(&s, rest == 0 ? UNFENCED_NOT : UNFENCED_LAST, HAND_NOT);
        decide_in_section(&s, &plan, section);
    }
    assert_true(decided > 1000000);
}

static void decide_with_watchdogs(struct ha_snapshot *s, struct ha_plan *plan)
{
    static const enum wish wishes[] = {WISH_NONE, WISH_AWAY, WISH_TO_US, WISH_RESTART_UNDER_WAY};
    static const enum promise promises[] = {PROMISE_NONE, PROMISE_REPORTED};
    for (int i = 0; i < 5 * 2 * 2 * 4 * 2; i++) {
        s->watchdog.state = (enum ha_watchdog_state)(i % 5);
        s->watchdog.required = i / 5 % 2 == 1;
        s->watchdog.failed_mono_ms = i / 10 % 2 == 1 ? 95000 : HA_NEVER;
        set_wish(s, wishes[i / 20 % 4]);
        set_promise(s, promises[i / 80]);
        ha_decide(s, plan);
        bool armed = s->watchdog.state == HA_WATCHDOG_ARMED;
        bool settled = armed || s->watchdog.state == HA_WATCHDOG_FAILED ||
                       s->watchdog.state == HA_WATCHDOG_NONE;
        bool writable = ha_plan_has(plan, HA_PROMOTE) || ha_plan_has(plan, HA_START_PRIMARY) ||
                        ha_plan_has(plan, HA_BOOTSTRAP);
        if (writable && (s->watchdog.required ? !armed : !settled)) {
            fail_msg("%s/%s, %s", plan->situation, plan->rule, plan->reason);
        }
        decided++;
    }
}

enum partners { PARTNERS_SILENT, PARTNERS_EMPTY, PARTNERS_UNUSABLE, PARTNERS_HAVE_DATA };

/* n3 says what it has; or it has no record yet, and n4 never had one. */
static void set_partners(struct ha_snapshot *s, enum partners partners, bool late)
{
    static const enum ha_data datas[] = {HA_DATA_NOT_TOLD, HA_DATA_NONE, HA_DATA_UNUSABLE,
                                         HA_DATA_VALID};
    s->cluster.members[2].data = datas[partners];
    s->peer_count = partners == PARTNERS_SILENT ? 3 : 2;
    set(s->peers[2].name, "n4");
    s->peers[2].heard_mono_ms = HA_NEVER;
    s->unlocked_since_mono_ms = late ? s->now_mono_ms - 2 * s->settings.ttl_ms : 99000;
}

static uint64_t raced;

/* Without data, nobody having ever led: a cluster is made when all have told that they have none,
 * or those who have not had their time; never beside one that has. */
static void decide_beside_partners(struct ha_snapshot *s, struct ha_plan *plan)
{
    for (int i = 0; i < 4 * 2; i++) {
        enum partners partners = (enum partners)(i % 4);
        bool late = i / 4 == 1;
        set_wish(s, WISH_NONE);
        set_promise(s, PROMISE_NONE);
        set_partners(s, partners, late);
        ha_decide(s, plan);
        decided++;
        bool begins =
            s->self.directory == PG_DIR_MISSING && ha_no_epoch(s) && ha_plan_has(plan, HA_ACQUIRE);
        bool awaited = partners == PARTNERS_HAVE_DATA || (partners == PARTNERS_SILENT && !late);
        if (begins && awaited) {
            fail_msg("partners %d: %s/%s, %s", i, plan->situation, plan->rule, plan->reason);
        }
        if (!awaited && strcmp(plan->rule, "partners") == 0) {
            fail_msg("waits for nobody: partners %d, %s", i, plan->reason);
        }
        raced += begins ? 1 : 0;
    }
    s->peer_count = 2;
    s->unlocked_since_mono_ms = 99000;
    s->cluster.members[2].data = HA_DATA_NONE;
}

/* `decide` in every situation that bears on who may become a primary. */
static void each_before_a_promotion(void (*decide)(struct ha_snapshot *, struct ha_plan *))
{
    static const enum data datas[] = {DATA_MISSING, DATA_PRIMARY, DATA_STANDBY,
                                      DATA_HALF_BOOTSTRAP};
    static struct ha_snapshot s;
    static struct ha_plan plan;
    decided = 0;
    for (int i = 0; i < KEYS * HOLDS * LASTS * INITS * PAGES * RUNS * 4; i++) {
        int rest = i;
        enum key key;
        enum last last;
        if (!begin(&s, &rest, &key, &last)) {
            continue;
        }
        set_key(&s, key, last, (enum init)digit(&rest, INITS));
        set_page(&s, (enum page)digit(&rest, PAGES));
        set_run(&s, (enum run)digit(&rest, RUNS));
        set_data(&s, datas[digit(&rest, 4)]);
        set_join(&s, JOIN_SAME);
        decide(&s, &plan);
    }
}

/* Whatever the watchdog does: always a permitted plan, and none that makes a primary before it is
 * known how things are with it, or without one that is required. */
static void every_situation_with_a_watchdog_has_a_permitted_plan(void **state)
{
    (void)state;
    each_before_a_promotion(decide_with_watchdogs);
    assert_true(decided > 500000);
}

static void decide_with_a_silent_fence(struct ha_snapshot *s, struct ha_plan *plan)
{
    static const enum wish wishes[] = {WISH_NONE, WISH_AWAY, WISH_TO_US, WISH_RESTART_UNDER_WAY};
    static const enum promise promises[] = {PROMISE_NONE, PROMISE_REPORTED};
    static const int64_t sinces_ms[] = {99000, 60000, 10000};
    for (int i = 0; i < 4 * 2 * 3; i++) {
        s->fence.silent = true;
        s->fence.silent_since_mono_ms = sinces_ms[i / 8];
        set_wish(s, wishes[i % 4]);
        set_promise(s, promises[i / 4 % 2]);
        ha_decide(s, plan);
        if (ha_plan_has(plan, HA_START_PRIMARY) ||
            (ha_is_down(s) && ha_plan_has(plan, HA_START_STANDBY))) {
            fail_msg("starts: %s/%s, %s", plan->situation, plan->rule, plan->reason);
        }
        bool standby = s->self.run == HA_RUN_RUNNING && s->self.role == PG_STANDBY;
        bool promotes = ha_plan_has(plan, HA_PROMOTE) && !ha_may_be_promoted(s);
        if (promotes || (standby && ha_plan_has(plan, HA_ACQUIRE))) {
            fail_msg("%s/%s, %s", plan->situation, plan->rule, plan->reason);
        }
        decided++;
    }
}

/* Always a permitted plan, and none that makes a standby a primary whom nothing would end. */
static void every_situation_with_a_silent_fence_has_a_permitted_plan(void **state)
{
    (void)state;
    each_before_a_promotion(decide_with_a_silent_fence);
    assert_true(decided > 150000);
}

/* Always a permitted plan, and nobody makes a cluster who might have one copied. */
static void every_situation_beside_partners_has_a_permitted_plan(void **state)
{
    (void)state;
    raced = 0;
    each_before_a_promotion(decide_beside_partners);
    assert_true(decided > 50000);
    assert_true(raced > 0);
}

/* The first promise of the room: nothing known, nothing done. */
static void unknown_world_means_wait(void **state)
{
    static struct ha_snapshot s;
    static struct ha_plan plan;
    (void)state;
    ha_snapshot_init(&s);
    ha_decide(&s, &plan);
    assert_string_equal(plan.rule, "look_first");
    assert_int_equal(plan.action_count, 1);
    assert_int_equal(plan.actions[0].type, HA_WAIT);
    memset(&s, 0, sizeof s);
    ha_decide(&s, &plan);
    assert_int_equal(plan.actions[0].type, HA_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_world_means_wait),
        cmocka_unit_test(every_situation_has_a_permitted_plan),
        cmocka_unit_test(every_situation_in_pause_has_a_permitted_plan),
        cmocka_unit_test(every_situation_of_a_name_has_a_permitted_plan),
        cmocka_unit_test(every_situation_with_a_watchdog_has_a_permitted_plan),
        cmocka_unit_test(every_situation_with_a_silent_fence_has_a_permitted_plan),
        cmocka_unit_test(every_situation_beside_partners_has_a_permitted_plan),
        cmocka_unit_test(every_situation_of_a_standby_cluster_has_a_permitted_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
