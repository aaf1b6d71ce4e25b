/* Runs seeds: a safety phase with faults, then healing and convergence.
 *
 *   sim [--seeds N] [--first S] [--minutes M]     N seeds from S, M simulated minutes of faults
 * each sim --seed S [--trace]                        one seed again, with what happened sim --store
 * | --cluster                       only that part of each seed sim --without-fence |
 * --expire-early | --amnesia [--must-fail]    a bent rule: the checkers have to catch it
 *
 * Each seed runs twice: the store (engine, store, clients, lease) and the cluster (HA loop, fence
 * and PostgreSQL model on top). Exit status 0 if every run passed. */
#include "sim.h"

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
    PROMOTION_MS = 3000
};

struct arguments {
    uint64_t first;
    uint64_t count;
    double minutes;
    bool trace;
    bool only_store;
    bool only_cluster;
    bool must_fail;
    struct sim_mutation mutation;
};

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

static void run_phases(struct sim_world *world)
{
    sim_member_found(world);
    for (size_t i = 0; i < world->node_count; i++) {
        sim_member_start(&world->nodes[i]);
    }
    sim_faults_start(world);
    sim_run_until(world, world->options.fault_ms);
    if (world->failure != NULL) {
        return;
    }
    sim_faults_heal(world);
    sim_load_healed(world);
    run_until(world, progressed, CONVERGENCE_MS, "commands are answered again");
    if (world->options.mode == SIM_CLUSTER) {
        /* L4: the rest of the lease, an election of Raft, the promotion; all processes began anew
         * just now. */
        run_until(world, sim_agents_serve, sim_ttl_ms(world) + ELECTION_MS + PROMOTION_MS,
                  "a primary serves again");
        run_until(world, sim_agents_settled, CONVERGENCE_MS,
                  "one primary, and everybody streams from it");
        sim_run_until(world, world->now + CALM_MS);
    }
    sim_load_stop(world);
    sim_agents_stop(world);
    run_until(world, applied_alike, CONVERGENCE_MS, "all members apply everything");
    if (world->failure == NULL) {
        sim_log_finish(world);
    }
}

/* Returns the simulated ms; `ret_failed` tells whether a rule was broken. */
static int64_t run_seed(const struct arguments *arguments, uint64_t seed, enum sim_mode mode,
                        bool *ret_failed)
{
    struct sim_options options = {
        .seed = seed, .mode = mode, .trace = arguments->trace, .mutation = arguments->mutation};
    static struct sim_world world;
    options.fault_ms = (int64_t)(arguments->minutes * 60000);
    sim_world_init(&world, &options);
    sim_log_open(&world);
    sim_load_open(&world);
    sim_agents_open(&world);
    run_phases(&world);
    *ret_failed = world.failure != NULL;
    if (world.failure != NULL && !arguments->must_fail) {
        printf("FAILED seed %llu (%s) at %.3f s: %s: %s\n  again: sim --seed %llu --%s --minutes "
               "%g --trace\n",
               (unsigned long long)seed, mode == SIM_STORE ? "store" : "cluster",
               (double)world.now / 1000, world.failure, world.failure_text,
               (unsigned long long)seed, mode == SIM_STORE ? "store" : "cluster",
               arguments->minutes);
    }
    int64_t simulated = world.now;
    sim_world_close(&world);
    sim_agents_close(&world);
    sim_load_close(&world);
    sim_log_close(&world);
    return simulated;
}

static bool parse_flag(struct arguments *arguments, const char *flag)
{
    bool *target = strcmp(flag, "--trace") == 0           ? &arguments->trace
                   : strcmp(flag, "--store") == 0         ? &arguments->only_store
                   : strcmp(flag, "--cluster") == 0       ? &arguments->only_cluster
                   : strcmp(flag, "--must-fail") == 0     ? &arguments->must_fail
                   : strcmp(flag, "--without-fence") == 0 ? &arguments->mutation.without_fence
                   : strcmp(flag, "--expire-early") == 0  ? &arguments->mutation.expire_early
                   : strcmp(flag, "--amnesia") == 0       ? &arguments->mutation.amnesia
                                                          : NULL;
    if (target == NULL) {
        return false;
    }
    *target = true;
    return true;
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
        } else {
            return false;
        }
        i++;
    }
    return arguments->minutes > 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.first = 1, .count = 20, .minutes = 1};
    unsigned long passed = 0;
    unsigned long failed = 0;
    int64_t simulated = 0;
    if (!parse(&arguments, argc, argv)) {
        fprintf(stderr, "usage: sim [--seeds N] [--first S] [--seed S] [--minutes M] "
                        "[--store|--cluster] [--trace]\n"
                        "           [--without-fence|--expire-early|--amnesia] [--must-fail]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    clock_t begin = clock();
    for (uint64_t i = 0; i < arguments.count; i++) {
        for (int mode = SIM_STORE; mode <= SIM_CLUSTER; mode++) {
            bool failure = false;
            if ((mode == SIM_STORE && arguments.only_cluster) ||
                (mode == SIM_CLUSTER && arguments.only_store)) {
                continue;
            }
            simulated += run_seed(&arguments, arguments.first + i, (enum sim_mode)mode, &failure);
            failed += failure ? 1 : 0;
            passed += failure ? 0 : 1;
        }
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    printf("seeds %llu..%llu, %.1f simulated minutes, %.1f per CPU second\n",
           (unsigned long long)arguments.first,
           (unsigned long long)(arguments.first + arguments.count - 1), (double)simulated / 60000,
           (double)simulated / 60000 / (seconds > 0 ? seconds : 1e-9));
    if (arguments.must_fail) { /* one seed that shows the bent rule is enough, and is needed */
        printf("%lu of %lu runs broke a rule, as they have to\n", failed, passed + failed);
        passed = failed > 0 ? 1 : 0;
        failed = 1 - passed;
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
