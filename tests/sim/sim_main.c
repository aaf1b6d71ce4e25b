/* Runs drills and seeds.
 *
 *   sim [--seeds N] [--first S] [--minutes M]   N seeds from S, M simulated minutes of faults each
 *   sim --seed S [--trace]                      one seed again, with what happened
 *   sim --store | --cluster                     only that part of each seed
 *   sim --drills [--drill NAME]                 hand-written sequences, each with several seeds
 *   sim --without-fence | --expire-early | --amnesia | --forget-vote | --stale-read | --slow-clock
 *       [--must-fail]                           a bent rule: the checkers made for it have to catch
 * it
 *
 * A seed is a safety phase with faults, then healing and convergence. It runs twice: the store
 * (engine, store, clients, lease) and the cluster (HA loop, fence and PostgreSQL model on top).
 * Exit status 0 if every run passed. */
#include "sim_drill.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONVERGENCE_MS = 70000,
    CALM_MS = 5000,
    STEP_MS = 100,
    ELECTION_MS = 2500,
    PROMOTION_MS = 3000,
    ROUNDS = 10, /* of each drill */
    SHORT_TTL_MS = 3000,
    LONG_TTL_MS = 10000,
    LONG_TTL_EVERY = 5,
    SEEDS_FOR_ALL = 100, /* from here on every kind of fault has to have been done */
    BREAKS_MAX = 3,
};

struct arguments {
    uint64_t first;
    uint64_t count;
    double minutes;
    bool trace;
    bool only_store;
    bool only_cluster;
    bool drills;
    const char *drill; /* NULL = all */
    bool must_fail;
    struct sim_mutation mutation;
    const char *const *breaks; /* rules, one of which the mutation has to break; NULL = none */
};

struct tally {
    const char *broken; /* the rule that was broken first */
    unsigned long passed;
    unsigned long failed;
    unsigned long otherwise; /* of a bent rule: runs that failed, but not as they have to */
    int64_t simulated_ms;
};

static const char *mode_name(enum sim_mode mode)
{
    return mode == SIM_STORE ? "store" : "cluster";
}

/* --- one seed --------------------------------------------------------------------------------- */

static bool applied_alike(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct raft_status status;
        if (world->nodes[i].raft == NULL) {
            return false;
        }
        raft_node_status(world->nodes[i].raft, &status);
        if (status.leader == 0 || status.applied_index + 1 != sim_log_length(world) ||
            status.applied_index != status.last_index) {
            return false;
        }
    }
    return true;
}

static void run_until(struct sim_world *world, bool (*reached)(struct sim_world *world),
                      int64_t limit_ms, const char *what)
{
    int64_t end = world->now + limit_ms;
    while (world->failure == NULL && !reached(world)) {
        sim_run_until(world, world->now + STEP_MS);
        if (world->now >= end) {
            sim_fail(world, what, "not after %lld ms", (long long)limit_ms);
        }
    }
}

static bool progressed(struct sim_world *world)
{
    return sim_load_progressed(world);
}

static void converge(struct sim_world *world)
{
    sim_faults_heal(world);
    sim_load_healed(world);
    run_until(world, progressed, CONVERGENCE_MS, "commands are answered again");
    if (world->options.mode == SIM_CLUSTER) {
        /* L4: the rest of the lease, an election of Raft, the promotion; all processes run. */
        run_until(world, sim_agents_serve, sim_ttl_ms(world) + ELECTION_MS + PROMOTION_MS,
                  "a primary serves again");
        run_until(world, sim_agents_settled, CONVERGENCE_MS,
                  "one primary, and everybody streams from it");
        sim_run_until(world, world->now + CALM_MS);
    }
    run_until(world, sim_group_whole, CONVERGENCE_MS, "all are voters of one group");
}

static void run_phases(struct sim_world *world)
{
    sim_member_found(world);
    for (size_t i = 0; i < world->node_count; i++) {
        sim_member_start(&world->nodes[i]);
    }
    if (world->options.drill != NULL) {
        sim_drill_run(world);
    } else {
        sim_faults_start(world);
        sim_run_until(world, world->options.fault_ms);
    }
    if (world->failure != NULL) {
        return;
    }
    converge(world);
    sim_load_stop(world);
    sim_agents_stop(world);
    run_until(world, applied_alike, CONVERGENCE_MS, "all members apply everything");
    if (world->failure == NULL) {
        sim_log_finish(world);
    }
}

static void print_failure(const struct arguments *arguments, const struct sim_world *world)
{
    const struct sim_options *options = &world->options;
    printf("FAILED seed %llu (%s) at %.3f s: %s: %s\n  again: sim --seed %llu ",
           (unsigned long long)options->seed,
           options->drill != NULL ? options->drill->name : mode_name(options->mode),
           (double)world->now / 1000, world->failure, world->failure_text,
           (unsigned long long)options->seed);
    if (options->drill != NULL) {
        printf("--drill %s --trace\n", options->drill->name);
    } else {
        printf("--%s --minutes %g --trace\n", mode_name(options->mode), arguments->minutes);
    }
}

/* What a bent rule spoils beside, such as that somebody serves in time, proves no checker. */
static bool is_to_break(const struct arguments *arguments, const char *rule)
{
    for (size_t i = 0; arguments->breaks != NULL && i < BREAKS_MAX; i++) {
        if (arguments->breaks[i] != NULL && strcmp(arguments->breaks[i], rule) == 0) {
            return true;
        }
    }
    return false;
}

/* True if nothing failed; of a bent rule: if nothing failed that it has to break. */
static bool run_seed(const struct arguments *arguments, const struct sim_options *options,
                     struct tally *tally)
{
    static struct sim_world world;
    sim_world_init(&world, options);
    sim_log_open(&world);
    sim_load_open(&world);
    sim_agents_open(&world);
    run_phases(&world);
    bool good = world.failure == NULL;
    if (!good && !arguments->must_fail) {
        print_failure(arguments, &world);
    }
    if (arguments->must_fail && !good) {
        good = !is_to_break(arguments, world.failure);
        tally->otherwise += good;
    }
    if (!good && tally->broken == NULL) {
        tally->broken = world.failure;
    }
    tally->simulated_ms += world.now;
    sim_world_close(&world);
    sim_agents_close(&world);
    sim_load_close(&world);
    sim_log_close(&world);
    return good;
}

static void run_seeds(const struct arguments *arguments, enum sim_mode mode, struct tally *tally)
{
    for (uint64_t i = 0; i < arguments->count; i++) {
        struct sim_options options = {.seed = arguments->first + i,
                                      .mode = mode,
                                      .trace = arguments->trace,
                                      .fault_ms = (int64_t)(arguments->minutes * 60000),
                                      .mutation = arguments->mutation};
        bool good = run_seed(arguments, &options, tally);
        tally->passed += good ? 1 : 0;
        tally->failed += good ? 0 : 1;
    }
}

/* --- drills ----------------------------------------------------------------------------------- */

static int gap_order(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a;
    int64_t second = *(const int64_t *)b;
    return first < second ? -1 : first > second ? 1 : 0;
}

static bool print_drill(const struct arguments *arguments, const struct sim_drill *drill,
                        int64_t *gaps, size_t count, bool good)
{
    char figures[128] = "";
    if (good && count > 0) {
        qsort(gaps, count, sizeof(gaps[0]), gap_order);
        bool slow = drill->budget_ms != DRILL_NO_BUDGET && gaps[count / 2] > drill->budget_ms;
        int used = snprintf(
            figures, sizeof(figures), "  nobody serves for %smedian %lld, most %lld ms",
            drill->by_ttl ? "ttl + " : "", (long long)gaps[count / 2], (long long)gaps[count - 1]);
        if (drill->budget_ms != DRILL_NO_BUDGET) {
            (void)snprintf(figures + used, sizeof(figures) - (size_t)used, "%s %lld",
                           slow ? ", BUDGET" : ", budget", (long long)drill->budget_ms);
        }
        good = !slow;
    }
    printf("  %-38s %s%s\n", drill->name,
           good                   ? "ok"
           : arguments->must_fail ? "breaks a rule"
                                  : "FAILED",
           figures);
    return good;
}

static void run_drill(const struct arguments *arguments, const struct sim_drill *drill,
                      struct tally *tally)
{
    int64_t gaps[ROUNDS];
    size_t gap_count = 0;
    bool good = true;
    uint64_t rounds = arguments->count < ROUNDS ? arguments->count : ROUNDS;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t seed = arguments->first + i;
        struct sim_options options = {.seed = seed,
                                      .mode = drill->mode,
                                      .drill = drill,
                                      .ttl_ms =
                                          seed % LONG_TTL_EVERY == 0 ? LONG_TTL_MS : SHORT_TTL_MS,
                                      .trace = arguments->trace,
                                      .mutation = arguments->mutation};
        good = run_seed(arguments, &options, tally) && good;
        if (sim_drill_gap() != DRILL_NO_GAP) {
            gaps[gap_count++] = sim_drill_gap();
        }
    }
    good = print_drill(arguments, drill, gaps, gap_count, good);
    tally->passed += good ? 1 : 0;
    tally->failed += good ? 0 : 1;
}

static void run_drills(const struct arguments *arguments, struct tally *tally)
{
    const struct {
        const struct sim_drill *drills;
        size_t count;
    } lists[] = {{sim_drills_failover, sim_drills_failover_count},
                 {sim_drills_planned, sim_drills_planned_count},
                 {sim_drills_storage, sim_drills_storage_count}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i].count; j++) {
            const struct sim_drill *drill = &lists[i].drills[j];
            if (arguments->drill == NULL || strcmp(arguments->drill, drill->name) == 0) {
                run_drill(arguments, drill, tally);
            }
        }
    }
}

/* --- command line ----------------------------------------------------------------------------- */

static bool parse_flag(struct arguments *arguments, const char *flag)
{
    static const char *const two_writers[BREAKS_MAX] = {
        "one writable primary", "nobody can write when another acquires the lease",
        "one holder of the lease"};
    static const char *const two_logs[BREAKS_MAX] = {"every member applies the same"};
    static const char *const two_leaders[BREAKS_MAX] = {"one leader a term"};
    static const char *const old_reads[BREAKS_MAX] = {"a read sees what was acknowledged"};
    const struct {
        const char *name;
        bool *target;
        const char *const *breaks;
    } flags[] = {{"--trace", &arguments->trace, NULL},
                 {"--store", &arguments->only_store, NULL},
                 {"--cluster", &arguments->only_cluster, NULL},
                 {"--drills", &arguments->drills, NULL},
                 {"--must-fail", &arguments->must_fail, NULL},
                 {"--without-fence", &arguments->mutation.without_fence, two_writers},
                 {"--expire-early", &arguments->mutation.expire_early, two_writers},
                 {"--amnesia", &arguments->mutation.amnesia, two_logs},
                 {"--forget-vote", &arguments->mutation.forget_vote, two_leaders},
                 {"--stale-read", &arguments->mutation.stale_read, old_reads},
                 {"--slow-clock", &arguments->mutation.slow_clock, two_writers}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(flag, flags[i].name) == 0) {
            *flags[i].target = true;
            arguments->breaks = flags[i].breaks != NULL ? flags[i].breaks : arguments->breaks;
            return true;
        }
    }
    return false;
}

static bool parse(struct arguments *arguments, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (parse_flag(arguments, argv[i])) {
            continue;
        }
        if (i + 1 == argc) {
            return false;
        }
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--seeds") == 0) {
            arguments->count = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            arguments->first = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            arguments->first = strtoull(value, NULL, 10);
            arguments->count = 1;
        } else if (strcmp(argv[i], "--minutes") == 0) {
            arguments->minutes = strtod(value, NULL);
        } else if (strcmp(argv[i], "--drill") == 0) {
            arguments->drills = true;
            arguments->drill = value;
        } else {
            return false;
        }
        i++;
    }
    return arguments->minutes > 0;
}

static void run_timed(const struct arguments *arguments, const char *what, enum sim_mode mode,
                      struct tally *tally)
{
    int64_t simulated = tally->simulated_ms;
    clock_t begin = clock();
    if (arguments->drills) {
        run_drills(arguments, tally);
    } else {
        run_seeds(arguments, mode, tally);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    double minutes = (double)(tally->simulated_ms - simulated) / 60000;
    printf("%s: seeds %llu..%llu, %.1f simulated minutes, %.1f per CPU second\n", what,
           (unsigned long long)arguments->first,
           (unsigned long long)(arguments->first + arguments->count - 1), minutes,
           minutes / (seconds > 0 ? seconds : 1e-9));
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.first = 1, .count = 20, .minutes = 1};
    struct tally tally = {0};
    if (!parse(&arguments, argc, argv)) {
        fprintf(stderr, "usage: sim [--seeds N] [--first S] [--seed S] [--minutes M] "
                        "[--store|--cluster] [--trace]\n"
                        "           [--drills] [--drill NAME] [--without-fence|--expire-early|"
                        "--amnesia|--forget-vote|\n"
                        "           --stale-read|--slow-clock] [--must-fail]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (arguments.drills) {
        run_timed(&arguments, "drills", SIM_CLUSTER, &tally);
    } else {
        for (int mode = SIM_STORE; mode <= SIM_CLUSTER; mode++) {
            if ((mode == SIM_STORE && !arguments.only_cluster) ||
                (mode == SIM_CLUSTER && !arguments.only_store)) {
                run_timed(&arguments, mode_name((enum sim_mode)mode), (enum sim_mode)mode, &tally);
            }
        }
    }
    if (!arguments.drills && !arguments.must_fail && !sim_faults_print() &&
        arguments.count >= SEEDS_FOR_ALL) {
        printf("FAILED a fault was never done\n");
        tally.failed++;
    }
    if (arguments.must_fail) { /* one seed that shows the bent rule is enough, and is needed */
        printf("%lu of %lu runs broke a rule, as they have to: %s; %lu failed otherwise\n",
               tally.failed, tally.passed + tally.failed,
               tally.broken == NULL ? "none did" : tally.broken, tally.otherwise);
        tally.passed = tally.failed > 0 ? 1 : 0;
        tally.failed = 1 - tally.passed;
    }
    printf("%lu passed, %lu failed\n", tally.passed, tally.failed);
    return tally.failed == 0 ? 0 : 1;
}
