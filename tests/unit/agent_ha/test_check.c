/* ha_check sees what no plan may do, each of them shown by a plan that does it; and, with the one
 * fact put right, lets it pass. The facts come from the golden scenarios' base files. */
#include "agent/ha/ha_plan.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ha_snapshot s;
static struct ha_plan plan;

static void load(const char *base, const char *more)
{
    char path[512];
    char block[4096];
    size_t len = 0;
    struct buf text = BUF_INIT;
    struct error err = {0};
    const char *dir = getenv("GOLDEN_DIR");
    (void)snprintf(path, sizeof path, "%s/facts/%s", dir != NULL ? dir : "tests/golden/ha", base);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((len = fread(block, 1, sizeof block, file)) > 0) {
        buf_put(&text, block, len);
    }
    (void)fclose(file);
    buf_put_str(&text, more);
    if (ha_snapshot_parse(buf_str(&text), &s, &err) != 0) {
        fail_msg("%s", err.text);
    }
    buf_free(&text);
    memset(&plan, 0, sizeof plan);
}

static struct ha_action *add(enum ha_action_type type)
{
    struct ha_action *action = ha_plan_add(&plan, type);
    action->epoch = (struct ha_epoch){
        0xabc, s.cluster.leader_epoch.revision != 0 ? s.cluster.leader_epoch.revision : 9};
    return action;
}

static void forbidden(const char *expected)
{
    const char *broken = ha_check(&s, &plan);
    assert_non_null(broken);
    assert_string_equal(broken, expected);
}

static void allowed(void)
{
    const char *broken = ha_check(&s, &plan);
    if (broken != NULL) {
        fail_msg("%s", broken);
    }
}

#define WON                                                                                      \
    "cluster leader=n1 leader_epoch=abc:50 epoch_revision=50 epoch_holder=n1 epoch_timeline=2\n" \
    "holding held=yes epoch=abc:50 soft=101900 deadline=102100 renewed=yes\n"

static void promotion_needs_lease_page_and_the_reserved_timeline(void **state)
{
    (void)state;
    load("reported", WON);
    add(HA_ARM);
    add(HA_PROMOTE)->timeline = 2;
    allowed();
    load("reported", WON);
    add(HA_PROMOTE)->timeline = 2;
    forbidden("an instance becomes writable without an armed page");
    load("reported", WON "now lease=101900\nfence epoch=abc:50 armed=yes\n");
    add(HA_PROMOTE)->timeline = 2;
    forbidden("an instance becomes writable without the leader key and a valid lease");
    load("reported", WON "fence epoch=abc:50 armed=yes\nwatchdog required=yes state=ready\n");
    add(HA_PROMOTE)->timeline = 2;
    forbidden("an instance becomes writable without the watchdog that is required");
    load("reported", WON "fence epoch=abc:50 armed=yes\nwatchdog required=yes state=armed\n");
    add(HA_PROMOTE)->timeline = 2;
    allowed();
    load("reported", WON "fence epoch=abc:50 armed=yes\n");
    add(HA_PROMOTE)->timeline = 3;
    forbidden("promotes to a timeline that the acquisition did not reserve");
    load("reported", WON "fence epoch=abc:50 armed=yes\nself promote_sent=yes\n");
    add(HA_PROMOTE)->timeline = 2;
    forbidden("promotes what is no standby, or twice");
    load("reported", WON "fence epoch=abc:50 armed=yes\nsettings refused=citus\n");
    add(HA_PROMOTE)->timeline = 2;
    forbidden("promotes under a configuration that is not served");
    load("reported", WON "fence epoch=abc:50 armed=yes\nself system_id=7000000000000000002\n");
    add(HA_PROMOTE)->timeline = 2;
    forbidden("an instance of another cluster becomes writable");
}

static void start_as_primary_needs_a_primarys_data(void **state)
{
    (void)state;
    load("crashed", "");
    add(HA_START_PRIMARY);
    allowed();
    load("crashed", "self standby_signal=yes\n");
    add(HA_START_PRIMARY);
    forbidden("starts a standby's data as a primary");
    load("crashed", "cluster leader=n2\n");
    add(HA_START_PRIMARY);
    forbidden("an instance becomes writable without the leader key and a valid lease");
    load("crashed", "self control_timeline=3\ncluster epoch_timeline=2\n");
    add(HA_START_PRIMARY);
    forbidden("serves on a timeline that no acquisition reserved");
    load("crashed", "self unfinished=rewind directory=unfinished\n");
    add(HA_START_PRIMARY);
    forbidden("starts a primary from a directory that is not whole");
}

static void page_is_armed_only_for_a_lease_and_ended_only_when_nothing_runs(void **state)
{
    (void)state;
    load("primary", "");
    add(HA_ARM);
    allowed();
    load("primary", "now lease=101900\n");
    add(HA_ARM);
    forbidden("arms a lease that is not valid");
    load("primary", "");
    add(HA_FENCE_OVER);
    forbidden("ends the epoch of what still runs");
    load("primary", "");
    add(HA_DISARM);
    forbidden("disarms what may write");
    load("standby", "self promote_sent=yes\n");
    add(HA_DISARM);
    forbidden("disarms what may write");
    load("standby", "");
    add(HA_DISARM);
    allowed();
    load("standby", "");
    add(HA_RESUME);
    forbidden("goes on with an epoch that is not ours, or of before a recovery");
    load("primary", "cluster recovered_revision=50\n");
    add(HA_RESUME);
    forbidden("goes on with an epoch that is not ours, or of before a recovery");
}

static void release_needs_nothing_that_writes(void **state)
{
    (void)state;
    load("crashed", "");
    add(HA_FENCE_OVER);
    add(HA_RELEASE);
    allowed();
    load("crashed", "");
    add(HA_RELEASE);
    forbidden("releases the key while the page still has an epoch");
    load("crashed", "fence armed=no over=yes\n");
    add(HA_RELEASE);
    allowed();
    load("crashed", "fence all_gone=no\n");
    add(HA_RELEASE);
    forbidden("releases the key while something may still write");
    load("primary", "");
    add(HA_RELEASE);
    forbidden("releases the key while something may still write");
    load("crashed", "");
    add(HA_FENCE_OVER);
    add(HA_RELEASE)->epoch.revision = 8;
    forbidden("releases an epoch that is not the key's, or not ours");
    load("reported", WON);
    add(HA_RELEASE);
    allowed();
    load("reported", WON "self promote_sent=yes\n");
    add(HA_RELEASE);
    forbidden("releases the key while something may still write");
    load("reported", WON "holding acquired=abc:50\nfence epoch=abc:50 armed=yes\n");
    add(HA_DISARM);
    add(HA_RELEASE);
    allowed();
}

/* The page was armed by somebody who knew whether the promotion was sent, and is no more. */
static void page_of_an_earlier_run_is_not_taken_from_a_standby(void **state)
{
    (void)state;
    load("reported", WON "fence epoch=abc:50 armed=yes\n");
    add(HA_DISARM);
    forbidden("disarms what may write");
    load("reported", WON "fence epoch=abc:50 armed=yes\n");
    add(HA_RELEASE);
    forbidden("releases the key while something may still write");
    load("unlocked", "fence epoch=abc:9 armed=yes\n");
    add(HA_WRITE_REPORT)->epoch = s.self.upstream.epoch;
    forbidden("reports a position that can still move");
}

static void acquire_as(const char *base, const char *more, unsigned reports, uint32_t timeline)
{
    load(base, more);
    plan.acquire.epoch_revision = s.cluster.epoch_revision;
    plan.acquire.config_revision = s.cluster.config_revision;
    plan.acquire.sync_revision = s.cluster.sync_revision;
    plan.acquire.report_count = reports;
    plan.acquire.timeline = timeline;
    add(HA_ACQUIRE);
}

static void acquisition_compares_and_has_a_reason(void **state)
{
    (void)state;
    acquire_as("reported", "", 2, 2);
    allowed();
    acquire_as("reported", "", 0, 2);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    acquire_as("reported", "", 2, 1);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    acquire_as("reported", "upstream detached=no\n", 2, 2);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    acquire_as("reported", "self position_known=no\n", 2, 2);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    acquire_as("reported", "holding acquiring=yes\n", 2, 2);
    forbidden("acquires a key that is there, or twice at a time");
    acquire_as("standby", "", 2, 2);
    forbidden("acquires a key that is there, or twice at a time");
    acquire_as("reported", "", 2, 2);
    plan.acquire.epoch_revision = 8;
    forbidden("acquires without comparing what was seen");
    acquire_as("reported", "", 2, 2);
    plan.acquire.config_revision = 1;
    forbidden("acquires without comparing what was seen");
    acquire_as("reported", "cluster recovered_revision=50\n", 2, 2);
    plan.acquire.recovered_revision = 50;
    forbidden("acquires in a recovered store without the operator's order");
    acquire_as("reported",
               "cluster recovered_revision=50\nfailover present=yes revision=51 candidate=n1\n", 2,
               2);
    forbidden("acquires in a recovered store without the operator's order");
    plan.acquire.recovered_revision = 50;
    allowed();
    acquire_as("nothing", "", 0, 1);
    allowed();
    acquire_as("nothing", "cluster initialize=7000000000000000001 initialize_revision=3\n", 0, 1);
    forbidden("acquires without data in a cluster that has some");
    acquire_as("nothing", "member n3 data=valid\n", 0, 1);
    forbidden("makes a cluster beside a member that has data");
    acquire_as("nothing", "member n3 data=unusable\n", 0, 1);
    allowed();
    acquire_as("primary", "cluster leader=\"\" leader_epoch=abc:0\n", 0, 1);
    allowed();
    acquire_as("primary", "cluster leader=\"\" leader_epoch=abc:0 epoch_holder=n2\n", 0, 1);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    static const char *const half_rewound = "cluster leader=\"\" leader_epoch=abc:0\n"
                                            "self unfinished=rewind directory=unfinished\n";
    acquire_as("crashed", "cluster leader=\"\" leader_epoch=abc:0\n", 0, 1);
    allowed();
    acquire_as("crashed", half_rewound, 0, 1);
    forbidden("acquires as a standby that has not reported, or for a timeline that exists");
    s.settings.standby_cluster = true; /* under the key it is rewound */
    allowed();
}

static void fence_is_disarmed_after_a_put_and_unfenced_goes_after_the_arming(void **state)
{
    (void)state;
    load("primary", "settings paused=yes\n");
    add(HA_PUT_UNFENCED);
    add(HA_UNFENCE);
    allowed();
    load("primary", "settings paused=yes\n");
    add(HA_UNFENCE);
    forbidden("disarms what nobody was told of, or unasked");
    load("primary", "");
    add(HA_PUT_UNFENCED);
    add(HA_UNFENCE);
    forbidden("disarms what nobody was told of, or unasked");
    load("primary", "settings paused=yes\nnow lease=101900\n");
    add(HA_PUT_UNFENCED);
    forbidden("disarms without the lease");
    load("primary", "settings paused=yes\n");
    add(HA_PUT_UNFENCED)->epoch.revision = 8;
    forbidden("disarms without the lease");
    load("paused", "settings paused=no\n");
    add(HA_REMOVE_UNFENCED);
    forbidden("removes unfenced while the page is neither armed nor over");
    load("paused", "settings paused=no\nfence armed=yes fired=yes\n");
    add(HA_REMOVE_UNFENCED);
    forbidden("removes unfenced while the page is neither armed nor over");
    load("paused", "settings paused=no\nfence armed=yes adopted=yes\n");
    add(HA_REMOVE_UNFENCED);
    forbidden("removes unfenced while the page is neither armed nor over");
    load("paused", "settings paused=no\nfence armed=yes adopted=yes knows_directory=yes\n");
    add(HA_REMOVE_UNFENCED);
    allowed();
    load("paused", "settings paused=no\n");
    add(HA_ARM);
    add(HA_REMOVE_UNFENCED);
    allowed();
    load("paused", "settings paused=no\nself run=stopped\nfence all_gone=yes\n");
    add(HA_FENCE_OVER);
    add(HA_RELEASE);
    forbidden("releases the key and leaves its own unfenced behind");
    load("paused", "settings paused=no\nself run=stopped\nfence all_gone=yes\n");
    add(HA_FENCE_OVER);
    add(HA_REMOVE_UNFENCED);
    add(HA_RELEASE);
    allowed();
}

#define ENDED "cluster leader=\"\" leader_epoch=abc:0\n"

static void acquisition_passes_over_no_unfenced_but_its_own_or_on_order(void **state)
{
    (void)state;
    acquire_as("paused", ENDED, 0, 1);
    forbidden("acquires without comparing what was seen");
    acquire_as("paused", ENDED, 0, 1);
    plan.acquire.unfenced_revision = 50;
    forbidden("acquires and forgets that its own fence is disarmed");
    plan.acquire.unfenced = HA_UNFENCED_PUT;
    allowed();
    acquire_as("paused",
               ENDED "fence armed=yes fired=yes adopted=yes\n"
                     "cluster unfenced_revision=0 unfenced=abc:0\n",
               0, 1);
    plan.acquire.unfenced_revision = 0;
    forbidden("acquires and forgets that its own fence is disarmed");
    acquire_as("reported", "cluster unfenced_revision=50 unfenced=abc:9\n", 2, 2);
    plan.acquire.unfenced_revision = 50;
    forbidden("acquires past an instance that runs unfenced");
    acquire_as("reported",
               "cluster unfenced_revision=50 unfenced=abc:9\n"
               "failover present=yes revision=55 candidate=n1 over_unfenced=abc:9\n",
               2, 2);
    plan.acquire.unfenced_revision = 50;
    allowed();
    acquire_as("reported", "settings paused=yes\n", 2, 2);
    forbidden("acquires by itself in pause");
    acquire_as("reported", "settings paused=yes\nfailover present=yes revision=55 candidate=n1\n",
               2, 2);
    allowed();
}

/* Invariant I14. */
static void in_pause_nothing_is_touched_without_an_order(void **state)
{
    static const char *const joins =
        "settings paused=yes remove_on_diverged=yes\nself stop_ordered=yes\n";
    (void)state;
    load("paused", "");
    add(HA_STOP_FAST);
    forbidden("stops a primary in pause");
    load("paused", "");
    add(HA_KILL);
    forbidden("kills in pause");
    load("paused", "");
    add(HA_ABANDON)->epoch = (struct ha_epoch){0xabc, 9};
    forbidden("kills in pause");
    load("paused", "failover present=yes leader=n1 candidate=n2\n");
    add(HA_STOP_FAST);
    allowed();
    load("crashed", "settings paused=yes\n");
    add(HA_START_PRIMARY);
    forbidden("starts PostgreSQL in pause");
    load("crashed", "settings paused=yes\nself stop_ordered=yes\n");
    add(HA_START_PRIMARY);
    allowed();
    load("old_primary", joins);
    (void)strcpy(add(HA_REWIND)->member, "n2");
    forbidden("makes or destroys data in pause");
    load("old_primary", joins);
    (void)strcpy(add(HA_REMOVE_DATA)->member, "n2");
    forbidden("makes or destroys data in pause");
}

static void an_order_counts_in_its_own_term(void **state)
{
    (void)state;
    acquire_as("sync_reported", "self name=n3\nfailover present=yes revision=39 candidate=n3\n", 2,
               2);
    allowed();
    acquire_as("sync_reported", "self name=n3\nfailover present=yes revision=8 candidate=n3\n", 2,
               2);
    forbidden("acquires without the reports that synchronous mode asks for");
}

static void depose_with(const char *more, unsigned reports)
{
    load("silent_reported", more);
    plan.acquire.epoch_revision = s.cluster.epoch_revision;
    plan.acquire.config_revision = s.cluster.config_revision;
    plan.acquire.sync_revision = s.cluster.sync_revision;
    plan.acquire.timeline = 2;
    plan.acquire.report_count = reports;
    (void)strcpy(plan.acquire.reports[0].member, "n1");
    plan.acquire.reports[0].revision = 41;
    (void)strcpy(plan.acquire.reports[1].member, "n3");
    plan.acquire.reports[1].revision = 42;
    add(HA_DEPOSE)->timeline = 2;
}

#define UNENDED    "ends a lease that is not to be ended, or twice at a time"
#define UNREPORTED "ends a lease without the reports that it takes"
#define OTHER \
    "report n3 revision=42 valid=yes epoch=abc:9 timeline=1 lsn=5000060 primary_silent=520"

static void a_running_lease_is_ended_only_with_all_that_it_takes(void **state)
{
    static const struct {
        const char *more;
        unsigned reports;
        const char *broken;
    } table[] = {
        {OTHER "\n", 2, NULL},
        {OTHER "\nsettings early_failover=no\n", 2, UNENDED},
        {OTHER "\nsettings synchronous_mode=no\n", 2, UNENDED},
        {OTHER "\nsilence asked=never\n", 2, UNENDED},
        {OTHER "\nsilence wal=99501\n", 2, UNENDED},
        {OTHER "\nsilence raft=99501\n", 2, UNENDED},
        {OTHER "\ncluster epoch_revision=8\n", 2, UNENDED},
        {OTHER "\ncluster leader=\"\"\n", 2, UNENDED},
        {OTHER "\nholding acquiring=yes\n", 2, UNENDED},
        {OTHER "\n", 1, UNREPORTED},
        {OTHER " raft_silent=20\n", 2, UNREPORTED},
        {OTHER " yields=yes\n", 2, UNREPORTED},
        {OTHER " withdrawn=yes\n", 2, UNREPORTED},
        {OTHER "\nreport n3 epoch=abc:8\n", 2, UNREPORTED},
        {OTHER "\nreport n3 revision=43\n", 2, UNREPORTED},
        {OTHER "\nreport n3 primary_silent=0\n", 2, UNREPORTED},
        {OTHER "\nupstream detached=no\n", 2, UNREPORTED},
        {OTHER "\nupstream epoch=abc:8\n", 2, UNREPORTED},
        {OTHER "\nself position_known=no\n", 2, UNREPORTED},
        {OTHER "\nself promote_sent=yes\n", 2, UNREPORTED},
        {OTHER "\nself timeline=2\n", 2, UNREPORTED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        depose_with(table[i].more, table[i].reports);
        if (table[i].broken == NULL) {
            allowed();
        } else {
            forbidden(table[i].broken);
        }
    }
    depose_with(OTHER "\n", 2);
    plan.acquire.sync_revision++;
    forbidden("ends a lease without comparing what was seen");
    depose_with(OTHER "\n", 2);
    plan.acquire.unfenced_revision = 7;
    forbidden("ends a lease without comparing what was seen");
    depose_with(OTHER "\n", 2);
    plan.acquire.unfenced = HA_UNFENCED_REMOVE;
    forbidden("ends a lease without comparing what was seen");
    depose_with(OTHER "\n", 2);
    plan.acquire.config_revision++;
    forbidden("ends a lease without comparing what was seen");
    depose_with(OTHER "\n", 2);
    plan.acquire.epoch_revision++;
    forbidden("ends a lease without comparing what was seen");
    depose_with(OTHER "\n", 2);
    plan.actions[0].epoch.revision--;
    forbidden("ends a lease without comparing what was seen");
}

static void nobody_leaves_a_leader_that_lives(void **state)
{
    (void)state;
    load("standby", "");
    add(HA_DETACH);
    forbidden("stops receiving from who leads");
    load("silent", "");
    add(HA_DETACH);
    allowed();
    load("silent", "silence asked=never\n");
    add(HA_DETACH);
    forbidden("stops receiving from who leads");
    load("silent_reported", "");
    add(HA_WRITE_REPORT)->lsn = 1;
    allowed();
    load("silent_reported", "silence asked=never\n");
    add(HA_WRITE_REPORT)->lsn = 1;
    forbidden("reports against who leads");
    load("unlocked", "");
    add(HA_DETACH);
    allowed();
}

static struct ha_action *destroy(enum ha_action_type type, const char *more)
{
    load("old_primary", more);
    struct ha_action *action = add(type);
    (void)strcpy(action->member, "n2");
    return action;
}

/* Invariant I10, fact by fact. */
static void data_is_destroyed_only_under_i10(void **state)
{
    static const enum ha_action_type types[] = {HA_REWIND, HA_REMOVE_DATA};
    static const char *const more = "settings remove_on_diverged=yes\n";
    char text[256];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        (void)destroy(types[i], more);
        allowed();
        (void)destroy(types[i], "self run=running role=standby\n");
        forbidden("destroys the data of a running instance");
        (void)destroy(types[i], "fence all_gone=no\n");
        forbidden("destroys the data of a running instance");
        (void)destroy(types[i], "cluster epoch_holder=n1\n");
        forbidden("destroys the data of the holder of the newest epoch");
        (void)destroy(types[i], "cluster leader=n1\n");
        forbidden("destroys the data of the holder of the newest epoch");
        (void)destroy(types[i], "member n2 role=replica\n");
        forbidden("destroys data without a primary of now that has it");
        (void)strcpy(destroy(types[i], more)->member, "n3");
        forbidden("destroys data without a primary of now that has it");
        destroy(types[i], more)->epoch.revision = 8;
        forbidden("destroys data without a primary of now that has it");
        (void)destroy(types[i], "self system_id=7000000000000000002\n");
        forbidden("destroys the data of another cluster");
        (void)destroy(types[i], "self system_id=\"\"\n");
        forbidden("destroys the data of another cluster");
        (void)snprintf(text, sizeof text,
                       "%sself system_id=\"\" directory=unfinished unfinished=rewind\n", more);
        (void)destroy(types[i], text);
        allowed();
    }
    (void)destroy(HA_REWIND, "settings rewind_possible=no\n");
    forbidden("rewinds where that is not configured");
    (void)destroy(HA_REMOVE_DATA, "");
    forbidden("removes data that no setting gives up");
}

#define LOST "settings remove_on_diverged=yes\nrejoin epoch=abc:9 divergence=lost\n"

static void what_only_a_standby_has_is_not_removed_where_commits_wait_for_it(void **state)
{
    (void)state;
    (void)destroy(HA_REMOVE_DATA, LOST);
    allowed();
    (void)destroy(HA_REMOVE_DATA, LOST "settings synchronous_mode=yes\n");
    forbidden("removes what may be the only copy of acknowledged commits");
    (void)destroy(HA_REMOVE_DATA, LOST "cluster sync_revision=40\n");
    forbidden("removes what may be the only copy of acknowledged commits");
    (void)destroy(HA_REMOVE_DATA, LOST "cluster sync_revision=40\nrejoin epoch=abc:8\n");
    allowed(); /* it was another leader */
}

static void directories_are_made_only_where_there_is_none(void **state)
{
    static const char *const initialized =
        "cluster initialize=7000000000000000001 initialize_revision=3\n";
    (void)state;
    load("nothing", initialized);
    (void)strcpy(add(HA_CLONE)->member, "n2");
    allowed();
    load("nothing", initialized);
    (void)strcpy(add(HA_CLONE)->member, "n1");
    forbidden("clones over data, or from nobody");
    load("nothing", initialized);
    add(HA_CLONE);
    forbidden("clones over data, or from nobody");
    load("down_standby", "");
    (void)strcpy(add(HA_CLONE)->member, "n2");
    forbidden("clones over data, or from nobody");
    load("nothing", "self directory=unfinished unfinished=bootstrap\n");
    add(HA_MOVE_ASIDE);
    allowed();
    load("down_standby", "");
    add(HA_MOVE_ASIDE);
    forbidden("moves away what is no unfinished bootstrap");
    load("down_standby", "self system_id=7000000000000000002\n");
    add(HA_MOVE_ASIDE);
    forbidden("moves away what is no unfinished bootstrap");
    load("down_standby", "self unannounced=yes\n");
    add(HA_MOVE_ASIDE);
    forbidden("moves away what is no unfinished bootstrap");
    load("down_standby", "self system_id=7000000000000000002 unannounced=yes\n");
    add(HA_MOVE_ASIDE);
    allowed();
    load("down_standby", "self system_id=7000000000000000002 unannounced=yes\n"
                         "fence all_gone=no\n");
    add(HA_MOVE_ASIDE);
    forbidden("moves away what is no unfinished bootstrap");
    load("down_standby", "self system_id=7000000000000000002 unannounced=yes\n"
                         "cluster leader=n1\n");
    add(HA_MOVE_ASIDE);
    forbidden("moves away what is no unfinished bootstrap");
    load("nothing", initialized);
    add(HA_BOOTSTRAP);
    forbidden("bootstraps over data, or a cluster that is there");
    load("nothing", "");
    add(HA_BOOTSTRAP);
    forbidden("an instance becomes writable without the leader key and a valid lease");
    load("nothing", WON);
    add(HA_ARM);
    add(HA_BOOTSTRAP);
    forbidden("bootstraps while the name of another cluster may be under way");
    load("nothing", WON);
    add(HA_ARM);
    add(HA_WRITE_INITIALIZE);
    add(HA_BOOTSTRAP);
    allowed();
}

static void nobody_follows_against_his_promise_or_himself(void **state)
{
    (void)state;
    load("down_standby", "");
    (void)strcpy(add(HA_START_STANDBY)->member, "n2");
    allowed();
    load("down_standby", "");
    (void)strcpy(add(HA_FOLLOW)->member, "n1");
    forbidden("a holder of the key, or its own standby, follows");
    load("reported", "cluster leader=n2 leader_epoch=abc:9\n");
    (void)strcpy(add(HA_FOLLOW)->member, "n2");
    forbidden("follows an epoch for which the promise still stands");
    load("reported", "cluster leader=n2 leader_epoch=abc:9\n");
    add(HA_START_STANDBY);
    allowed();
}

static void the_leader_follows_another_cluster_that_it_was_compared_with(void **state)
{
    static const enum ha_action_type types[] = {HA_FOLLOW, HA_START_STANDBY};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        load("standby_leader", "");
        add(types[i])->remote = true;
        allowed();
        static const char *const not_compared[] = {
            "rejoin epoch=abc:9\n",       "rejoin remote=10.9.0.7:5432\n",
            "rejoin divergence=forked\n", "rejoin divergence=lost\n",
            "rejoin divergence=rewind\n", "rejoin divergence=unknown\n"};
        for (size_t j = 0; j < sizeof not_compared / sizeof not_compared[0]; j++) {
            load("standby_leader", not_compared[j]);
            add(types[i])->remote = true;
            forbidden("follows another cluster, and was not compared");
        }
        load("standby_leader", "rejoin divergence=rewind rewind=done\n");
        add(types[i])->remote = true;
        allowed();
        load("standby_leader", "rejoin epoch=abc:9\nsettings remote_streams=no\n");
        add(types[i])->remote = true;
        allowed();
        load("standby_leader", "cluster leader=n2\n");
        add(types[i])->remote = true;
        forbidden("follows another cluster without leading a standby cluster");
    }
}

static void only_the_epoch_on_the_page_is_abandoned(void **state)
{
    (void)state;
    load("primary", "");
    add(HA_ABANDON)->epoch = (struct ha_epoch){0xabc, 9};
    allowed();
    load("primary", "");
    add(HA_ABANDON)->epoch = (struct ha_epoch){0xabc, 10};
    forbidden("abandons an epoch that the page does not have");
    load("standby", "");
    add(HA_ABANDON);
    forbidden("abandons an epoch that the page does not have");
}

static void only_a_silent_fence_without_an_instance_is_ended(void **state)
{
    static const char *const needed[] = {
        "fence silent=no\n",   "fence all_gone=no\n",   "self run=running role=primary\n",
        "self run=stopping\n", "settings paused=yes\n", "job kind=rewind running=yes\n",
    };
    (void)state;
    load("old_primary", "fence silent=yes\n");
    add(HA_END_FENCE);
    allowed();
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "fence silent=yes\n%s", needed[i]);
        load("old_primary", text);
        add(HA_END_FENCE);
        forbidden("ends a fence that answers, or that may be of use");
    }
}

static void no_primary_is_started_beside_a_silent_fence(void **state)
{
    (void)state;
    load("crashed", "");
    add(HA_START_PRIMARY);
    allowed();
    load("crashed", "fence silent=yes\n");
    add(HA_START_PRIMARY);
    forbidden("starts a primary beside a fence that does not answer");
}

static void report_is_a_position_that_stands_still(void **state)
{
    (void)state;
    load("reported", "");
    add(HA_WRITE_REPORT)->lsn = 1;
    allowed();
    load("unlocked", "");
    add(HA_WRITE_REPORT)->lsn = 1;
    forbidden("reports a position that can still move");
    load("primary", "");
    add(HA_WRITE_REPORT)->lsn = 1;
    forbidden("reports a position that can still move");
    load("primary", "");
    add(HA_WRITE_REPORT)->yields = true;
    forbidden("gives up while something runs");
    load("crashed", "");
    add(HA_WRITE_REPORT)->yields = true;
    allowed();
    load("crashed", "");
    struct ha_action *report = add(HA_WRITE_REPORT);
    report->yields = true;
    report->lsn = 1;
    forbidden("reports the end of an epoch that may still be gone on with");
    load("crashed", "");
    add(HA_FENCE_OVER);
    report = add(HA_WRITE_REPORT);
    report->yields = true;
    report->lsn = 1;
    allowed();
}

static void leaders_keys_are_written_with_the_lease(void **state)
{
    static const enum ha_action_type types[] = {HA_WRITE_CONFIG, HA_WRITE_HISTORY, HA_WRITE_STATUS,
                                                HA_CLEAR_FAILOVER};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        load("primary", "");
        add(types[i]);
        allowed();
        load("standby", "");
        add(types[i]);
        forbidden("writes a leader's key without the lease");
    }
}

/* What is stopped has to come up again by itself, with the role that it had. */
static void a_restart_is_asked_for_and_can_end(void **state)
{
    static const char *const unasked = "restarts unasked, or what does not run";
    static const char *const lost = "restarts a primary that could not be started again";
    static const char *const ordered = "restart phase=ordered ordered=99900\n";
    char facts[256];
    (void)state;
    load("primary", "");
    add(HA_STOP_RESTART);
    forbidden(unasked);
    load("primary", "restart phase=under_way ordered=99000\n");
    add(HA_STOP_RESTART);
    forbidden(unasked);
    load("primary", ordered);
    add(HA_STOP_RESTART);
    allowed();
    load("paused", ordered);
    add(HA_STOP_RESTART);
    allowed();
    load("standby", ordered);
    add(HA_STOP_RESTART);
    allowed();
    static const struct {
        const char *facts;
        const char *broken;
    } cases[] = {{"self run=starting\n", unasked},    {"now lease=101950\n", lost},
                 {"fence armed=no\n", NULL}, /* open: as in pause */
                 {"fence over=yes armed=no\n", lost}, {"fence epoch=abc:8\n", lost},
                 {"self timeline=2\n", lost}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(facts, sizeof facts, "%s%s", ordered, cases[i].facts);
        load("primary", facts);
        add(HA_STOP_RESTART);
        if (cases[i].broken != NULL) {
            forbidden(cases[i].broken);
        } else {
            allowed();
        }
    }
    load("primary", "restart phase=ordered ordered=99900 ordered_role=standby\n");
    add(HA_STOP_RESTART);
    forbidden("restarts what has another role by now");
    (void)snprintf(facts, sizeof facts, "%sself promote_sent=yes\n", ordered);
    load("standby", facts);
    add(HA_STOP_RESTART);
    forbidden("restarts in the middle of a promotion");
}

static void a_scheduled_restart_has_its_time_and_its_conditions(void **state)
{
    static const char *const early = "restarts before its time, or in pause";
    (void)state;
    load("primary", "restart scheduled=1764000000000\n");
    add(HA_ORDER_RESTART);
    allowed();
    load("primary", "");
    add(HA_ORDER_RESTART);
    forbidden(early);
    load("primary", "restart scheduled=1764000000001\n");
    add(HA_ORDER_RESTART);
    forbidden(early);
    load("paused", "restart scheduled=1764000000000\n");
    add(HA_ORDER_RESTART);
    forbidden(early);
    load("primary", "restart phase=ordered ordered=99900 scheduled=1764000000000\n");
    add(HA_ORDER_RESTART);
    forbidden(early);
    load("primary", "restart scheduled=1764000000000 role=replica\n");
    add(HA_ORDER_RESTART);
    forbidden("restarts against its conditions");
}

static void what_harms_nobody_is_always_allowed(void **state)
{
    static const enum ha_action_type types[] = {
        HA_WAIT,         HA_WRITE_INITIALIZE, HA_WITHDRAW_REPORT,
        HA_CHECKPOINT,   HA_STOP_FAST,        HA_STOP_IMMEDIATE,
        HA_KILL,         HA_CHECK_DIVERGENCE, HA_SYNC_SLOTS,
        HA_DROP_RESTART, HA_DROP_SCHEDULED,   HA_EXIT};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        load("standby", "");
        add(types[i]);
        allowed();
    }
    assert_string_equal(ha_action_name((enum ha_action_type)999), "?");
}

static void only_a_promotion_that_waits_is_cancelled(void **state)
{
    (void)state;
    load("reported", "job kind=promote running=yes\n");
    add(HA_CANCEL);
    allowed();
    load("reported", "job kind=promote running=yes\nself promote_sent=yes\n");
    add(HA_CANCEL);
    forbidden("cancels neither a promotion that waits nor what is to be made anew");
    load("reported", "job kind=clone running=yes\n");
    add(HA_CANCEL);
    forbidden("cancels neither a promotion that waits nor what is to be made anew");
    load("reported", "job kind=promote\n");
    add(HA_CANCEL);
    forbidden("cancels neither a promotion that waits nor what is to be made anew");
}

static void nothing_is_done_under_a_name_that_another_agent_has(void **state)
{
    static const enum ha_action_type types[] = {
        HA_ACQUIRE, HA_DEPOSE,        HA_RESUME,       HA_RELEASE,
        HA_PROMOTE, HA_START_PRIMARY, HA_WRITE_REPORT, HA_WITHDRAW_REPORT};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        load("reported", "self namesake=there\n");
        add(types[i]);
        forbidden("acts under a name that another agent has");
    }
    load("reported", "self namesake=there\n");
    add(HA_WAIT);
    allowed();
}

/* Whoever has written its record: the page has the epoch of the key. */
static void the_holder_acts_under_its_name(void **state)
{
    (void)state;
    load("crashed", "self namesake=there\n");
    add(HA_START_PRIMARY);
    allowed();
    load("crashed", "self namesake=there\nholding held=no epoch=abc:0\n");
    add(HA_RESUME);
    allowed();
    load("crashed", "self namesake=there\nholding held=no epoch=abc:0\nfence over=yes\n");
    add(HA_RELEASE);
    plan.actions[0].epoch = s.cluster.leader_epoch;
    allowed();
    load("crashed", "self namesake=there\nholding held=no epoch=abc:0\nfence epoch=abc:7\n");
    add(HA_RESUME);
    forbidden("acts under a name that another agent has");
}

/* The key names us, and `epoch` says that another agent of that name holds it. */
static void the_key_of_a_namesake_is_not_ours_to_release(void **state)
{
    (void)state;
    load("crashed", "self instance=aa\ncluster epoch_instance=aa\nfence epoch=abc:0 armed=no\n"
                    "holding held=no epoch=abc:0\n");
    add(HA_RELEASE);
    allowed();
    load("crashed", "self instance=bb\ncluster epoch_instance=aa\nfence epoch=abc:0 armed=no\n"
                    "holding held=no epoch=abc:0\n");
    add(HA_RELEASE);
    forbidden("releases an epoch that is not the key's, or not ours");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_done_under_a_name_that_another_agent_has),
        cmocka_unit_test(the_holder_acts_under_its_name),
        cmocka_unit_test(the_key_of_a_namesake_is_not_ours_to_release),
        cmocka_unit_test(promotion_needs_lease_page_and_the_reserved_timeline),
        cmocka_unit_test(start_as_primary_needs_a_primarys_data),
        cmocka_unit_test(page_is_armed_only_for_a_lease_and_ended_only_when_nothing_runs),
        cmocka_unit_test(release_needs_nothing_that_writes),
        cmocka_unit_test(only_a_promotion_that_waits_is_cancelled),
        cmocka_unit_test(page_of_an_earlier_run_is_not_taken_from_a_standby),
        cmocka_unit_test(acquisition_compares_and_has_a_reason),
        cmocka_unit_test(fence_is_disarmed_after_a_put_and_unfenced_goes_after_the_arming),
        cmocka_unit_test(acquisition_passes_over_no_unfenced_but_its_own_or_on_order),
        cmocka_unit_test(in_pause_nothing_is_touched_without_an_order),
        cmocka_unit_test(an_order_counts_in_its_own_term),
        cmocka_unit_test(a_running_lease_is_ended_only_with_all_that_it_takes),
        cmocka_unit_test(nobody_leaves_a_leader_that_lives),
        cmocka_unit_test(data_is_destroyed_only_under_i10),
        cmocka_unit_test(what_only_a_standby_has_is_not_removed_where_commits_wait_for_it),
        cmocka_unit_test(directories_are_made_only_where_there_is_none),
        cmocka_unit_test(nobody_follows_against_his_promise_or_himself),
        cmocka_unit_test(the_leader_follows_another_cluster_that_it_was_compared_with),
        cmocka_unit_test(only_the_epoch_on_the_page_is_abandoned),
        cmocka_unit_test(only_a_silent_fence_without_an_instance_is_ended),
        cmocka_unit_test(no_primary_is_started_beside_a_silent_fence),
        cmocka_unit_test(report_is_a_position_that_stands_still),
        cmocka_unit_test(leaders_keys_are_written_with_the_lease),
        cmocka_unit_test(a_restart_is_asked_for_and_can_end),
        cmocka_unit_test(a_scheduled_restart_has_its_time_and_its_conditions),
        cmocka_unit_test(what_harms_nobody_is_always_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
