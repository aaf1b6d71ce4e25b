/* The steps of ha_sync.h on seeded dice, against a model of everything that can come between them:
 * walsenders that take a reload one by one, answers of the store that come late or never, agents
 * that start again, standbys that come and go, leaders that are followed by others while they run
 * on for ever (there is no clock here, and no fence). What a client was told to be committed has to
 * be in the log of every later leader, in non-strict mode too, from the moment on at which /sync is
 * there; and where it was first written in strict mode, another node has it when the client is
 * told. And then with the rules bent one by one: each has to lose something. SYNC_SEEDS=n runs that
 * many seeds. */
#include "agent/ha/ha_sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES       3
#define RECORDS_MAX 200
#define WRITTEN_MAX (RECORDS_MAX - EPOCHS_MAX) /* the rest is for promotions */
#define EPOCHS_MAX  40
#define WRITES_MAX  4
#define STEPS       4000
#define SEEDS       2000
#define BENT_SEEDS  20000 /* in so many a bent rule has to show */

enum bent {
    BENT_NOT,
    BENT_SET_FIRST,       /* the setting is changed before more reports are asked for */
    BENT_NO_CONFIRM,      /* nobody has to confirm */
    BENT_MARK_EARLY,      /* the position of the moment at which the setting is written */
    BENT_ONE_STEP,        /* a number is taken to be everywhere at once */
    BENT_OWN_ALREADY,     /* an agent that starts again takes /sync for its own */
    BENT_UNKNOWN_IS_NO,   /* a write without an answer is taken for refused */
    BENT_SET_MEANWHILE,   /* the setting changes while a write is not answered */
    BENT_FORMER_DROPPED,  /* a new leader begins without the former one */
    BENT_RUNNING_REPORTS, /* a primary reports, and runs on */
    BENT_STILL_RECEIVES,  /* a standby reports, and receives on */
    BENT_ONE_REPORT_LESS, /* quorum reports are enough */
    BENT_KEY_FIRST,       /* strict mode is published before commits wait */
    BENT_COUNT
};

static enum bent bent;

/* --- dice ------------------------------------------------------------------------------------- */

static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)((dice_state >> 16) % sides);
}

/* --- the world -------------------------------------------------------------------------------- */

struct log { /* a record is the run of a primary that wrote it, at its place */
    unsigned char records[RECORDS_MAX];
    unsigned length;
};

struct walsender {
    bool alive;
    bool counts;      /* sync_priority: all see it */
    unsigned numsync; /* its own copy: only it sees it */
    bool reload;      /* SIGHUP is pending */
    bool streaming;
    unsigned flushed;
    int forked; /* version of the setting that it was forked with */
};

struct node {
    struct log log;
    bool down;
    unsigned slow;    /* once it streams, one in so many chances to receive is used */
    int receives;     /* from this node's primary; -1 = from nobody */
    bool reported;    /* for the epoch after the last */
    unsigned primary; /* number of its run as a primary; 0 = a standby */
    struct ha_sync_setting file;
    struct ha_sync_setting taken; /* by the postmaster, and all that it forks from now on */
    int file_version;
    int taken_version;
    bool waits; /* commits wait for somebody: the checkpointer says so, in its time */
    struct walsender walsenders[NODES];
};

struct write {
    bool used;
    bool lost; /* nobody waits for its answer */
    unsigned epoch;
    int64_t compare;
    bool deletes;
    bool strict;
    uint32_t voters;
    unsigned quorum;
};

static struct node nodes[NODES];
static struct { /* /sync */
    bool present;
    int64_t revision;
    int leader;
    uint32_t standbys;
    unsigned quorum;
    bool strict; /* was written first in strict mode, which has not ended since */
    unsigned by; /* run of the primary that wrote it first: those of before promise nothing */
} key;
static int64_t revision;
static struct write writes[WRITES_MAX];
static unsigned epoch; /* the last */
static bool held;      /* and its leader key is there */
static int holder[EPOCHS_MAX + 1];
static unsigned run_of[EPOCHS_MAX + 1];     /* the run in which the holder of an epoch leads */
static struct log began[EPOCHS_MAX + 1];    /* the log with which it began */
static unsigned runs;                       /* of primaries */
static struct log answered[EPOCHS_MAX + 1]; /* by run: what clients were told to be committed */
static struct ha_sync sync;                 /* of the holder's agent */
static int set_version;
static struct ha_sync_target target;
static struct ha_sync_wishes wishes;
static uint32_t nosync;
static unsigned lazy; /* a walsender uses one in so many chances to take a reload */
static bool lost;     /* the checker's verdict */
static struct {
    unsigned elections, publications, settings, terminations, steadies, answers;
} count;

static uint32_t bit_of(int node)
{
    return UINT32_C(1) << (node + 1);
}

static bool contains(const struct log *log, const struct log *part)
{
    return log->length >= part->length && memcmp(log->records, part->records, part->length) == 0;
}

static bool runs_as_leader(void)
{
    return held && nodes[holder[epoch]].primary == run_of[epoch];
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

static bool another_has(const struct node *node, const struct log *log)
{
    bool has = false;
    for (int i = 0; i < NODES; i++) {
        has = has || (&nodes[i] != node && contains(&nodes[i].log, log));
    }
    return has;
}

/* A client of the primary is told that what it wrote up to `position` is committed. */
static void tell(struct node *node, unsigned position)
{
    struct log *told = &answered[node->primary];
    if (position <= told->length || !key.present || node->primary < key.by) {
        return; /* nothing is promised */
    }
    *told = node->log;
    told->length = position;
    count.answers++;
    lost = lost || (key.strict && !another_has(node, told));
    for (unsigned later = 1; later <= epoch; later++) {
        if (run_of[later] > node->primary && !contains(&began[later], told)) {
            lost = true;
        }
    }
}

/* SyncRepReleaseWaiters: whose walsender it is asks by its own number, and counts all that count.
 */
static void release(struct node *node, const struct walsender *by)
{
    unsigned positions[NODES];
    unsigned found = 0;
    if (!by->counts || !by->streaming) {
        return;
    }
    for (int i = 0; i < NODES; i++) {
        const struct walsender *one = &node->walsenders[i];
        if (!one->alive || !one->counts || !one->streaming) {
            continue;
        }
        unsigned place = found++;
        for (; place > 0 && positions[place - 1] < one->flushed; place--) {
            positions[place] = positions[place - 1];
        }
        positions[place] = one->flushed;
    }
    if (by->numsync >= 1 && found >= by->numsync) {
        tell(node, positions[by->numsync - 1]);
    }
}

static void walsender_takes(struct node *node, int standby, struct walsender *one)
{
    one->reload = false;
    one->counts = (node->taken.names & bit_of(standby)) != 0;
    one->numsync = node->taken.numsync;
}

static void put_setting(struct node *node, struct ha_sync_setting setting)
{
    node->file = setting;
    node->file_version++;
}

static void postmaster_takes(struct node *node)
{
    node->taken = node->file;
    node->taken_version = node->file_version;
    for (int i = 0; i < NODES; i++) {
        node->walsenders[i].reload = true;
    }
}

static void disconnect(int standby)
{
    int from = nodes[standby].receives;
    if (from >= 0) {
        nodes[from].walsenders[standby].alive = false;
        nodes[standby].receives = -1;
    }
}

static void connect_to_leader(int standby)
{
    struct node *node = &nodes[standby];
    struct node *leader = &nodes[holder[epoch]];
    if (!runs_as_leader() || holder[epoch] == standby || node->primary != 0 || node->down ||
        leader->down || node->reported || node->receives == holder[epoch]) {
        return;
    }
    disconnect(standby);
    unsigned common = 0;
    while (common < node->log.length && common < leader->log.length &&
           node->log.records[common] == leader->log.records[common]) {
        common++;
    }
    node->log.length = common; /* rewound */
    node->receives = holder[epoch];
    struct walsender *one = &leader->walsenders[standby];
    *one = (struct walsender){.alive = true, .forked = leader->taken_version};
    walsender_takes(leader, standby, one);
}

static void stop(int number)
{
    struct node *node = &nodes[number];
    node->primary = 0;
    for (int i = 0; i < NODES; i++) {
        if (nodes[i].receives == number) {
            disconnect(i);
        }
    }
}

static void step_postgres(int number)
{
    struct node *node = &nodes[number];
    int standby = (int)dice(NODES);
    struct walsender *one = &node->walsenders[standby];
    bool is_up = node->primary != 0 && one->alive && !node->down && !nodes[standby].down;
    switch (dice(7)) {
    case 0:
        if (node->primary != 0 && node->log.length < WRITTEN_MAX && dice(4) == 0) {
            node->log.records[node->log.length++] = (unsigned char)node->primary;
        }
        break;
    case 1:
        if (node->taken_version != node->file_version) {
            postmaster_takes(node);
        }
        break;
    case 2: /* the checkpointer */
        node->waits = node->taken.names != 0;
        if (node->primary != 0 && !node->waits) {
            tell(node, node->log.length);
        }
        break;
    case 3:
        if (one->alive && one->reload && dice(lazy) == 0) {
            walsender_takes(node, standby, one);
        }
        break;
    case 4:
    case 5:
        if (is_up && nodes[standby].log.length < node->log.length &&
            (!one->streaming || dice(nodes[standby].slow) == 0)) {
            struct log *log = &nodes[standby].log;
            log->records[log->length] = node->log.records[log->length];
            log->length++;
        }
        break;
    default:
        if (is_up) {
            one->flushed = nodes[standby].log.length;
            one->streaming = one->streaming || one->flushed == node->log.length;
            release(node, one);
        }
    }
}

/* --- the store and the agents ----------------------------------------------------------------- */

static void step_store(void)
{
    struct write *write = &writes[dice(WRITES_MAX)];
    if (!write->used || (write->lost && dice(8) != 0)) {
        return; /* those that nobody waits for may be very late */
    }
    write->used = false;
    bool applies = held && write->epoch == epoch && write->compare == key.revision;
    if (applies) {
        revision++;
        key.strict = key.present ? key.strict : write->strict;
        key.by = key.present ? key.by : run_of[epoch];
        key.present = !write->deletes;
        key.revision = write->deletes ? 0 : revision;
        key.leader = holder[epoch];
        key.standbys = write->voters;
        key.quorum = write->quorum;
    }
    if (!write->lost) {
        ha_sync_written(&sync, applies ? key.revision : 0);
    }
}

static void send_write(const struct ha_sync_move *move, int64_t compare)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        if (!writes[i].used) {
            writes[i] = (struct write){.used = true,
                                       .epoch = epoch,
                                       .compare = compare,
                                       .deletes = move->step == HA_SYNC_DELETE,
                                       .strict = target.strict,
                                       .voters = move->voters,
                                       .quorum = move->quorum};
            ha_sync_writing(&sync);
            count.publications++;
            return;
        }
    }
}

static void forget_writes(void)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        writes[i].lost = true;
    }
}

static struct ha_sync_published read_key(int reader)
{
    struct ha_sync_published published = {
        .known = true, .present = key.present, .revision = key.revision, .quorum = key.quorum};
    published.voters = (key.standbys | bit_of(key.leader)) & ~bit_of(reader);
    if (!key.present) {
        published.voters = 0;
        published.quorum = 0;
    }
    return published;
}

static void look_at(const struct node *node, struct ha_sync_look *look)
{
    memset(look, 0, sizeof *look);
    look->fresh = true;
    look->late = dice(12) == 0;
    look->understood = true;
    look->setting = node->taken;
    for (int i = 0; i < NODES; i++) {
        const struct walsender *one = &node->walsenders[i];
        if (one->alive) {
            look->walsenders[look->count++] = (struct ha_sync_walsender){
                .name = (unsigned)i + 1,
                .counts = one->counts,
                .streaming = one->streaming,
                .older = one->forked < set_version && bent != BENT_ONE_STEP,
                .flushed = one->flushed};
        }
    }
    look->position = node->log.length;
}

static void set_by_agent(struct node *node, struct ha_sync_setting setting)
{
    ha_sync_set(&sync, setting);
    put_setting(node, setting);
    set_version = node->file_version;
    count.settings++;
    if (bent == BENT_MARK_EARLY) {
        struct ha_sync_look look = {
            .fresh = true, .understood = true, .setting = setting, .position = node->log.length};
        ha_sync_see(&sync, &look);
    }
}

static void choose(const struct node *node)
{
    struct ha_sync_candidate candidates[NODES];
    size_t found = 0;
    for (int i = 0; i < NODES; i++) {
        const struct walsender *one = &node->walsenders[i];
        if (one->alive && one->streaming && !nodes[i].down && (nosync & bit_of(i)) == 0) {
            candidates[found++] = (struct ha_sync_candidate){
                .name = (unsigned)i + 1, .priority = 1, .chosen = one->counts, .lsn = one->flushed};
        }
    }
    ha_sync_pick(candidates, found, &wishes, &target);
}

static void terminate(const struct ha_sync_look *look, uint32_t places)
{
    for (size_t i = 0; i < look->count; i++) {
        if ((places >> i & 1) != 0) {
            disconnect((int)look->walsenders[i].name - 1);
        }
    }
    count.terminations++;
}

static void step_agent(void)
{
    struct ha_sync_look look;
    struct ha_sync_move move;
    if (!runs_as_leader() || nodes[holder[epoch]].down) {
        return;
    }
    struct node *node = &nodes[holder[epoch]];
    struct ha_sync_published published = read_key(holder[epoch]);
    look_at(node, &look);
    ha_sync_see(&sync, &look);
    choose(node);
    for (size_t i = 0; bent == BENT_NO_CONFIRM && i < look.count; i++) {
        look.walsenders[i].flushed = UINT64_MAX;
        look.walsenders[i].streaming = true;
    }
    bool was_writing = sync.writing;
    struct ha_sync seen = sync;
    if (bent == BENT_SET_MEANWHILE && sync.writing) {
        seen.writing = false;
        seen.revision = key.revision;
    }
    struct ha_sync_target wanted = target;
    wanted.strict = wanted.strict && (key.present || bent != BENT_KEY_FIRST);
    ha_sync_next(&seen, &published, &look, &wanted, &move);
    if (bent == BENT_SET_FIRST && move.step == HA_SYNC_PUBLISH &&
        strstr(move.reason, "more reports") != NULL) {
        move.step = HA_SYNC_SET;
        move.setting = (struct ha_sync_setting){target.names, target.numsync};
    }
    switch (move.step) {
    case HA_SYNC_PUBLISH:
    case HA_SYNC_DELETE:
        if (!sync.writing) {
            send_write(&move, published.revision);
        }
        break;
    case HA_SYNC_SET:
        sync.writing = false;
        set_by_agent(node, move.setting);
        sync.writing = was_writing; /* BENT_SET_MEANWHILE; else it was not */
        break;
    case HA_SYNC_TERMINATE: terminate(&look, move.walsenders); break;
    case HA_SYNC_STEADY: count.steadies++; break;
    case HA_SYNC_WAIT: break;
    }
}

static void start_agent_again(void)
{
    ha_sync_init(&sync);
    set_version = 0;
    forget_writes();
    if (bent == BENT_OWN_ALREADY) {
        sync.revision = key.revision;
    }
}

/* The request has run out: it may still be applied. */
static void lose_answer(void)
{
    if (sync.writing) {
        forget_writes();
        ha_sync_written(&sync, bent == BENT_UNKNOWN_IS_NO ? key.revision : 0);
    }
}

/* --- changes of the leader -------------------------------------------------------------------- */

static void report(int number)
{
    struct node *node = &nodes[number];
    if (held || node->down || node->reported) {
        return;
    }
    if (node->primary != 0 && bent != BENT_RUNNING_REPORTS) {
        stop(number);
    }
    if (bent != BENT_STILL_RECEIVES) {
        disconnect(number);
    }
    node->reported = true;
}

static bool is_further(const struct log *a, const struct log *b)
{
    unsigned char branch_a = a->length > 0 ? a->records[a->length - 1] : 0;
    unsigned char branch_b = b->length > 0 ? b->records[b->length - 1] : 0;
    return branch_a != branch_b ? branch_a > branch_b : a->length > b->length;
}

/* The best of any reports that count and are just enough; -1 = there are not so many. */
static int winner(void)
{
    uint32_t members = key.present ? key.standbys | bit_of(key.leader) : UINT32_MAX;
    unsigned enough = key.present ? key.quorum + (bent == BENT_ONE_REPORT_LESS ? 0 : 1) : 1;
    unsigned reports = 0;
    unsigned first = dice(NODES);
    int best = -1;
    for (unsigned i = 0; i < NODES && reports < enough; i++) {
        int one = (int)((first + i) % NODES);
        if (nodes[one].reported && (members & bit_of(one)) != 0) {
            reports++;
            best = best < 0 || is_further(&nodes[one].log, &nodes[best].log) ? one : best;
        }
    }
    return reports == enough ? best : -1;
}

static void lead(int number, bool goes_on)
{
    struct node *node = &nodes[number];
    epoch++;
    holder[epoch] = number;
    held = true;
    began[epoch] = node->log;
    forget_writes();
    for (int i = 0; i < NODES; i++) {
        nodes[i].reported = false;
    }
    ha_sync_init(&sync);
    set_version = 0;
    count.elections++;
    if (goes_on) {
        run_of[epoch] = node->primary;
        return;
    }
    for (unsigned earlier = 1; earlier <= runs; earlier++) {
        lost = lost || !contains(&node->log, &answered[earlier]);
    }
    struct ha_sync_published published = read_key(number);
    if (bent == BENT_FORMER_DROPPED && key.leader != number) {
        published.voters &= ~bit_of(key.leader);
        published.quorum = published.quorum > 0 ? published.quorum - 1 : 0;
        key.leader = number;
        key.standbys = published.voters;
        key.quorum = published.quorum;
    }
    struct ha_sync_setting first = ha_sync_first(&published, target.strict);
    disconnect(number);
    set_by_agent(node, first);
    postmaster_takes(node);
    node->waits = first.names != 0;
    node->primary = ++runs;
    run_of[epoch] = runs;
    /* PostgreSQL's own, on the new timeline. */
    node->log.records[node->log.length++] = (unsigned char)runs;
}

static void step_leader(void)
{
    int number = (int)dice(NODES);
    if (epoch == EPOCHS_MAX || runs == EPOCHS_MAX) {
        return;
    }
    if (held) {
        held = dice(25) != 0;
        return;
    }
    nodes[number].down = nodes[number].down && dice(3) != 0; /* or the race would last for ever */
    switch (dice(4)) {
    case 0: /* the last holder needs no reports */
        if (number == holder[epoch] && !nodes[number].down && dice(8) == 0) {
            lead(number, nodes[number].primary == run_of[epoch]);
        }
        break;
    case 1:
        number = winner();
        if (number >= 0 && nodes[number].primary == 0) {
            lead(number, false);
        }
        break;
    default: report(number);
    }
}

static void step_operator(void)
{
    int number = (int)dice(NODES);
    switch (dice(6)) {
    case 0:
        nodes[number].down = !nodes[number].down && dice(3) == 0;
        if (nodes[number].down && dice(2) == 0) {
            disconnect(number);
        }
        nodes[number].slow = dice(2) == 0 ? 1 : 60;
        break;
    case 1:
        target.strict = dice(4) != 0;
        key.strict = key.strict && target.strict;
        for (int i = 0; i < WRITES_MAX; i++) {
            writes[i].strict = writes[i].strict && target.strict;
        }
        break;
    case 2: wishes.any = dice(2) == 0; break;
    case 3: wishes.node_count = 1 + dice(2); break;
    case 4: nosync = dice(3) == 0 ? bit_of(number) : 0; break;
    default:
        if (held && dice(2) == 0) {
            start_agent_again();
        }
    }
}

/* --- one world -------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
    memset(nodes, 0, sizeof nodes);
    memset(&key, 0, sizeof key);
    memset(writes, 0, sizeof writes);
    memset(run_of, 0, sizeof run_of);
    memset(answered, 0, sizeof answered);
    dice_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    revision = 1;
    lost = false;
    lazy = dice(2) == 0 ? 2 : 30;
    nosync = 0;
    target = (struct ha_sync_target){.on = true, .strict = dice(2) == 0};
    wishes = (struct ha_sync_wishes){.any = dice(2) == 0, .node_count = 1 + dice(2)};
    for (int i = 0; i < NODES; i++) {
        nodes[i].receives = -1;
        nodes[i].slow = 1;
    }
    epoch = 0;
    runs = 0;
    key.present = dice(2) == 0;
    key.revision = key.present ? revision : 0;
    lead(0, false);
}

/* False = an answered commit is lost. */
static bool run_world(uint64_t seed)
{
    begin(seed);
    for (unsigned i = 0; i < STEPS && !lost; i++) {
        switch (dice(held ? 16 : 8)) {
        case 0:
        case 1: step_agent(); break;
        case 2: step_store(); break;
        case 3: step_leader(); break;
        case 4: connect_to_leader((int)dice(NODES)); break;
        case 5:
            if (dice(8) == 0) {
                lose_answer();
            }
            if (dice(3) == 0) {
                step_operator();
            }
            break;
        default: step_postgres((int)dice(NODES));
        }
    }
    return !lost;
}

static void no_answered_commit_is_lost(void **state)
{
    (void)state;
    const char *wanted = getenv("SYNC_SEEDS");
    uint64_t seeds = wanted == NULL ? SEEDS : strtoull(wanted, NULL, 10);
    memset(&count, 0, sizeof count);
    bent = BENT_NOT;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (!run_world(seed)) {
            fail_msg("seed %u: an answered commit is not in the log of a later leader",
                     (unsigned)seed);
        }
    }
    print_message("%u elections, %u publications, %u settings, %u terminations, %u steady, "
                  "%u answers\n",
                  count.elections, count.publications, count.settings, count.terminations,
                  count.steadies, count.answers);
    assert_true(count.elections > 2 * seeds);
    assert_true(count.publications > 10 * seeds);
    assert_true(count.settings > 10 * seeds);
    assert_true(count.terminations > seeds);
    assert_true(count.steadies > 10 * seeds);
    assert_true(count.answers > 5 * seeds);
}

static void every_bent_rule_loses_something(void **state)
{
    (void)state;
    for (bent = BENT_NOT + 1; bent < BENT_COUNT; bent++) {
        uint64_t seed = 1;
        while (seed <= BENT_SEEDS && run_world(seed)) {
            seed++;
        }
        print_message("bent rule %d: seed %u\n", (int)bent, (unsigned)seed);
        assert_true(seed <= BENT_SEEDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_answered_commit_is_lost),
        cmocka_unit_test(every_bent_rule_loses_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
