/* Runs drills, seeds and traces.
 *
 *   sim [--seeds N] [--first S] [--minutes M]   N seeds from S, M simulated minutes of faults each
 *   sim --hours H [--first S]                   seeds, until H simulated hours are done
 *   sim --seed S [--trace]                      one seed again, with what happened
 *   sim --seed S --shrink                       and the least of its faults that still break the
 * rule, as a trace sim --replay FILE [--trace]                 a trace; a directory: all of its
 * *.trace sim --store | --cluster                     only that part of each seed sim --twice each
 * seed two times: both have to be the same sim --coverage                              with a line
 * for each rule, step, message and state sim --drills [--drill NAME]                 hand-written
 * sequences, each with several seeds sim --<a bent rule> [--must-fail]           the checkers made
 * for it have to catch it sim --until RULE                              ends at the first run that
 * breaks this rule, which alone has failed then
 *
 * A seed is a safety phase with faults, then healing and convergence. It runs twice: the store
 * (engine, store, clients, lease) and the cluster (HA loop, fence and PostgreSQL model on top).
 * Exit status 0 if every run passed. */
#include "sim_drill.h"
#include "sim_run.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROUNDS = 10,         /* of each drill */
    SEEDS_FOR_ALL = 200, /* from here on everything has to have been hit */
    BREAKS_MAX = 3,
    PATH_BYTES = 512,
};

struct arguments {
    uint64_t first;
    uint64_t count;
    double minutes;
    double hours; /* 0 = `count` seeds */
    bool trace;
    bool only_store;
    bool only_cluster;
    bool drills;
    bool twice;
    bool shrink;
    bool coverage;
    const char *drill; /* NULL = all */
    const char *replay;
    const char *until; /* the only rule whose break is a failure, and the first one ends it all */
    bool must_fail;
    struct sim_mutation mutation;
    const char *const *breaks; /* rules, one of which the mutation has to break; NULL = none */
};

struct tally {
    const char *broken; /* the rule that was broken first */
    unsigned long passed;
    unsigned long failed;
    unsigned long otherwise; /* of a bent rule: runs that failed, but not as they have to */
    unsigned long runs;
    int64_t simulated_ms;
};

static const char *mode_name(enum sim_mode mode)
{
    return mode == SIM_STORE ? "store" : "cluster";
}

/* --- one seed --------------------------------------------------------------------------------- */

static void print_failure(const struct arguments *arguments, const struct sim_options *options,
                          const struct sim_outcome *outcome)
{
    printf("FAILED seed %" PRIu64 " (%s) at %.3f s: %s: %s\n", options->seed,
           options->drill != NULL ? options->drill->name : mode_name(options->mode),
           (double)outcome->ended_ms / 1000, outcome->failure, outcome->text);
    if (arguments->replay != NULL) {
        printf("  again: sim --replay %s --trace\n", arguments->replay);
    } else if (options->drill != NULL) {
        printf("  again: sim --seed %" PRIu64 " --drill %s --trace\n", options->seed,
               options->drill->name);
    } else {
        printf("  again: sim --seed %" PRIu64 " --%s --minutes %g --trace (or --shrink)\n",
               options->seed, mode_name(options->mode), arguments->minutes);
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

static void shrink(const struct sim_options *options, const char *rule)
{
    static struct sim_script script;
    struct sim_setup setup;
    sim_setup_draw(options, &setup);
    sim_script_draw(options, &setup, &script);
    size_t before = script.count;
    size_t after = sim_shrink(options, &setup, &script, rule);
    printf("# %s: %zu of %zu faults\n", rule, after, before);
    sim_trace_write(stdout, options, &setup, &script);
}

/* True if nothing failed; of a bent rule: if nothing failed that it has to break. */
static bool judge(const struct arguments *arguments, const struct sim_options *options,
                  const struct sim_outcome *outcome, struct tally *tally)
{
    bool good = outcome->failure == NULL;
    if (!good && arguments->until != NULL) {
        good = strcmp(outcome->failure, arguments->until) != 0;
        tally->otherwise += good;
    }
    if (!good && !arguments->must_fail) {
        print_failure(arguments, options, outcome);
    }
    if (arguments->must_fail && !good) {
        good = !is_to_break(arguments, outcome->failure);
        tally->otherwise += good;
    }
    if (!good && tally->broken == NULL) {
        tally->broken = outcome->failure;
    }
    tally->simulated_ms += outcome->ended_ms;
    tally->runs++;
    return good;
}

/* What it was to run until has happened. */
static bool is_over(const struct arguments *arguments, const struct tally *tally)
{
    return arguments->until != NULL && tally->broken != NULL;
}

static bool run_seed(const struct arguments *arguments, const struct sim_options *options,
                     struct tally *tally)
{
    struct sim_outcome outcome;
    struct sim_outcome again;
    sim_run_drawn(options, &outcome);
    bool good = judge(arguments, options, &outcome, tally);
    if (arguments->twice) {
        sim_run_drawn(options, &again);
        if (again.hash != outcome.hash || again.ended_ms != outcome.ended_ms) {
            printf("FAILED seed %" PRIu64 " (%s): two runs of it are not the same: %016" PRIx64
                   ", %016" PRIx64 "\n",
                   options->seed, mode_name(options->mode), outcome.hash, again.hash);
            good = false;
        }
    }
    if (arguments->shrink && outcome.failure != NULL && options->drill == NULL) {
        shrink(options, outcome.failure);
    }
    return good;
}

static void run_seeds(const struct arguments *arguments, enum sim_mode mode, uint64_t first,
                      uint64_t count, struct tally *tally)
{
    for (uint64_t i = 0; i < count && !is_over(arguments, tally); i++) {
        struct sim_options options = {.seed = first + i,
                                      .mode = mode,
                                      .trace = arguments->trace,
                                      .fault_ms = (int64_t)(arguments->minutes * 60000),
                                      .mutation = arguments->mutation};
        bool good = run_seed(arguments, &options, tally);
        tally->passed += good ? 1 : 0;
        tally->failed += good ? 0 : 1;
    }
}

/* --- traces ----------------------------------------------------------------------------------- */

static void replay_file(const struct arguments *arguments, const char *path, struct tally *tally)
{
    static struct sim_script script;
    struct arguments here = *arguments;
    struct sim_options options = {.trace = arguments->trace, .mutation = arguments->mutation};
    struct sim_setup setup;
    struct sim_outcome outcome;
    struct error err = {0};
    here.replay = path;
    if (sim_trace_read(path, &options, &setup, &script, &err) != 0) {
        printf("FAILED %s\n", err.text);
        tally->failed++;
        return;
    }
    options.trace = arguments->trace;
    sim_run(&options, &setup, &script, &outcome);
    bool good = judge(&here, &options, &outcome, tally);
    tally->passed += good ? 1 : 0;
    tally->failed += good ? 0 : 1;
}

static int is_trace(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".trace") == 0;
}

static void replay(const struct arguments *arguments, struct tally *tally)
{
    struct dirent **entries;
    char path[PATH_BYTES];
    int count = scandir(arguments->replay, &entries, is_trace, alphasort);
    if (count < 0) {
        replay_file(arguments, arguments->replay, tally);
        return;
    }
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", arguments->replay, entries[i]->d_name);
        replay_file(arguments, path, tally);
        free(entries[i]);
    }
    free(entries);
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
    bool few = arguments->until == NULL && arguments->count > ROUNDS;
    uint64_t rounds = few ? ROUNDS : arguments->count;
    for (uint64_t i = 0; i < rounds && !is_over(arguments, tally); i++) {
        struct sim_options options = {.seed = arguments->first + i,
                                      .mode = drill->mode,
                                      .drill = drill,
                                      .trace = arguments->trace,
                                      .mutation = arguments->mutation};
        good = run_seed(arguments, &options, tally) && good;
        if (sim_drill_gap() != DRILL_NO_GAP && gap_count < ROUNDS) {
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
                 {sim_drills_sync, sim_drills_sync_count},
                 {sim_drills_early, sim_drills_early_count},
                 {sim_drills_pause, sim_drills_pause_count},
                 {sim_drills_watchdog, sim_drills_watchdog_count},
                 {sim_drills_fence, sim_drills_fence_count},
                 {sim_drills_storage, sim_drills_storage_count}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i].count && !is_over(arguments, tally); j++) {
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
    static const char *const lost_commits[BREAKS_MAX] = {
        "an answered commit is on every later primary"};
    const struct {
        const char *name;
        bool *target;
        const char *const *breaks;
    } flags[] = {{"--trace", &arguments->trace, NULL},
                 {"--store", &arguments->only_store, NULL},
                 {"--cluster", &arguments->only_cluster, NULL},
                 {"--drills", &arguments->drills, NULL},
                 {"--twice", &arguments->twice, NULL},
                 {"--shrink", &arguments->shrink, NULL},
                 {"--coverage", &arguments->coverage, NULL},
                 {"--must-fail", &arguments->must_fail, NULL},
                 {"--without-fence", &arguments->mutation.without_fence, two_writers},
                 {"--expire-early", &arguments->mutation.expire_early, two_writers},
                 {"--amnesia", &arguments->mutation.amnesia, two_logs},
                 {"--forget-vote", &arguments->mutation.forget_vote, two_leaders},
                 {"--stale-read", &arguments->mutation.stale_read, old_reads},
                 {"--without-watchdog", &arguments->mutation.without_watchdog, two_writers},
                 {"--without-unfenced", &arguments->mutation.without_unfenced, two_writers},
                 {"--slow-clock", &arguments->mutation.slow_clock, two_writers},
                 {"--still-receiving", &arguments->mutation.still_receiving, lost_commits},
                 {"--one-report", &arguments->mutation.one_report, lost_commits},
                 {"--unconfirmed", &arguments->mutation.unconfirmed, lost_commits},
                 {"--set-first", &arguments->mutation.set_first, lost_commits}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(flag, flags[i].name) == 0) {
            *flags[i].target = true;
            arguments->breaks = flags[i].breaks != NULL ? flags[i].breaks : arguments->breaks;
            return true;
        }
    }
    return false;
}

static bool parse_value(struct arguments *arguments, const char *name, const char *value)
{
    if (strcmp(name, "--seeds") == 0) {
        arguments->count = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--first") == 0) {
        arguments->first = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--seed") == 0) {
        arguments->first = strtoull(value, NULL, 10);
        arguments->count = 1;
    } else if (strcmp(name, "--minutes") == 0) {
        arguments->minutes = strtod(value, NULL);
    } else if (strcmp(name, "--hours") == 0) {
        arguments->hours = strtod(value, NULL);
    } else if (strcmp(name, "--replay") == 0) {
        arguments->replay = value;
    } else if (strcmp(name, "--until") == 0) {
        arguments->until = value;
    } else if (strcmp(name, "--drill") == 0) {
        arguments->drills = true;
        arguments->drill = value;
    } else {
        return false;
    }
    return true;
}

static bool parse(struct arguments *arguments, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (parse_flag(arguments, argv[i])) {
            continue;
        }
        if (i + 1 == argc || !parse_value(arguments, argv[i], argv[i + 1])) {
            return false;
        }
        i++;
    }
    return arguments->minutes > 0;
}

/* --- sums ------------------------------------------------------------------------------------- */

static void print_speed(const char *what, const struct tally *before, const struct tally *now,
                        clock_t begin)
{
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    double minutes = (double)(now->simulated_ms - before->simulated_ms) / 60000;
    seconds = seconds > 0 ? seconds : 1e-9;
    printf(
        "%s: %lu runs, %.1f simulated minutes, %.1f s of CPU: %.1f runs and %.1f simulated minutes "
        "per CPU second\n",
        what, now->runs - before->runs, minutes, seconds,
        (double)(now->runs - before->runs) / seconds, minutes / seconds);
}

static bool is_of(const struct arguments *arguments, enum sim_mode mode)
{
    return mode == SIM_STORE ? !arguments->only_cluster : !arguments->only_store;
}

static void run_modes(const struct arguments *arguments, struct tally *tally)
{
    for (int mode = SIM_STORE; mode <= SIM_CLUSTER; mode++) {
        if (is_of(arguments, (enum sim_mode)mode)) {
            struct tally before = *tally;
            clock_t begin = clock();
            run_seeds(arguments, (enum sim_mode)mode, arguments->first, arguments->count, tally);
            print_speed(mode_name((enum sim_mode)mode), &before, tally, begin);
        }
    }
}

/* Both parts of each seed, until so much time has passed there. */
static void run_hours(const struct arguments *arguments, struct tally *tally)
{
    struct tally before = *tally;
    clock_t begin = clock();
    uint64_t seed = arguments->first;
    for (; (double)tally->simulated_ms < arguments->hours * 3600000; seed++) {
        for (int mode = SIM_STORE; mode <= SIM_CLUSTER; mode++) {
            if (is_of(arguments, (enum sim_mode)mode)) {
                run_seeds(arguments, (enum sim_mode)mode, seed, 1, tally);
            }
        }
    }
    printf("seeds %" PRIu64 "..%" PRIu64 "\n", arguments->first, seed - 1);
    print_speed("all", &before, tally, begin);
}

static void run_all(const struct arguments *arguments, struct tally *tally)
{
    struct tally before = *tally;
    clock_t begin = clock();
    if (arguments->replay != NULL) {
        replay(arguments, tally);
        print_speed("traces", &before, tally, begin);
    } else if (arguments->drills) {
        run_drills(arguments, tally);
        print_speed("drills", &before, tally, begin);
    } else if (arguments->hours > 0) {
        run_hours(arguments, tally);
    } else {
        run_modes(arguments, tally);
    }
}

/* Everything has to have been hit, if the seeds were enough, and of both parts. */
static void check_coverage(const struct arguments *arguments, struct tally *tally)
{
    bool enough = tally->runs >= 2 * SEEDS_FOR_ALL && !arguments->only_store &&
                  !arguments->only_cluster && !arguments->trace;
    if (arguments->drills || arguments->must_fail || arguments->until != NULL ||
        arguments->replay != NULL) {
        return;
    }
    bool faults = sim_faults_print();
    if (enough && !faults) {
        printf("FAILED a fault was never done\n");
        tally->failed++;
    }
    if ((enough || arguments->coverage) && !sim_coverage_print(arguments->coverage) && enough) {
        tally->failed++;
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.first = 1, .count = 20, .minutes = 1};
    struct tally tally = {0};
    if (!parse(&arguments, argc, argv)) {
        fprintf(stderr, "usage: sim [--seeds N] [--first S] [--seed S] [--minutes M] [--hours H] "
                        "[--store|--cluster]\n"
                        "           [--trace] [--twice] [--shrink] [--coverage] [--replay FILE] "
                        "[--drills] [--drill NAME] [--until RULE]\n"
                        "           [--without-fence|--expire-early|--amnesia|--forget-vote|"
                        "--stale-read|--slow-clock|\n"
                        "           --still-receiving|--one-report|--unconfirmed|--set-first] "
                        "[--must-fail]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_all(&arguments, &tally);
    check_coverage(&arguments, &tally);
    if (arguments.must_fail) { /* one seed that shows the bent rule is enough, and is needed */
        printf("%lu of %lu runs broke a rule, as they have to: %s; %lu failed otherwise\n",
               tally.failed, tally.passed + tally.failed,
               tally.broken == NULL ? "none did" : tally.broken, tally.otherwise);
        tally.passed = tally.failed > 0 ? 1 : 0;
        tally.failed = 1 - tally.passed;
    }
    if (arguments.until != NULL) {
        printf("%lu runs broke another rule\n", tally.otherwise);
    }
    printf("%lu passed, %lu failed\n", tally.passed, tally.failed);
    return tally.failed == 0 ? 0 : 1;
}
