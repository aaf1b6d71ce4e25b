/* Drawing setups and scripts, and their text. */
#include "sim_script.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BOOTSTRAP_PERMILLE = 150,
    ADOPTION_PERMILLE = 200,
    ADOPTIONS_MAX = 12,
    SILENCE_PERMILLE = 900,
    SILENCES_MAX = 4,
    MAINTAINED_PERMILLE = 250, /* much of what happens is the operators' */
    EARLY_PERMILLE = 500,      /* of the clusters that can have it */
    CASCADE_PERMILLE = 300,
    FIRST_MS = 2000,
    FIRST_UNFENCED_MS = 12000,
    CALM_PERMILLE = 30,
    KIND_PERMILLE = 350,
    WEIGHT_MAX = 8
};

static const struct {
    const char *name;
    char where;
} kinds[SIM_FAULT_KINDS] = {
#define KIND(constant, name, function, where) {name, where},
    SIM_FAULTS(KIND)
#undef KIND
};

static const char *const replications[SIM_REPLICATIONS] = {"async", "sync", "sync-strict", "quorum",
                                                           "quorum-strict"};

const char *sim_fault_name(enum sim_fault_kind kind)
{
    return kinds[kind].name;
}

/* --- dice (splitmix64) ------------------------------------------------------------------------ */

static uint64_t dice_next(struct sim_dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_dice_below(struct sim_dice *dice, uint64_t bound)
{
    ASSERT(bound > 0);
    return dice_next(dice) % bound;
}

int64_t sim_dice_between(struct sim_dice *dice, int64_t low, int64_t high)
{
    return low + (int64_t)sim_dice_below(dice, (uint64_t)(high - low + 1));
}

bool sim_dice_chance(struct sim_dice *dice, unsigned permille)
{
    return sim_dice_below(dice, 1000) < permille;
}

#define PICK(dice, values) ((values)[sim_dice_below((dice), sizeof(values) / sizeof((values)[0]))])

/* --- drawing ---------------------------------------------------------------------------------- */

static struct sim_dice dice_of(const struct sim_options *options, uint64_t purpose)
{
    return (struct sim_dice){options->seed * 8 + purpose * 2 + (options->mode == SIM_CLUSTER)};
}

void sim_setup_draw(const struct sim_options *options, struct sim_setup *ret_setup)
{
    static const enum sim_replication modes[] = {SIM_ASYNC,        SIM_ASYNC,  SIM_SYNC,
                                                 SIM_SYNC_STRICT,  SIM_QUORUM, SIM_QUORUM_STRICT,
                                                 SIM_QUORUM_STRICT};
    static const int64_t ttls[] = {3000, 5000, 10000};
    static const unsigned losses[] = {0, 5, 20, 100, 300};
    static const unsigned doubles[] = {0, 20, 100};
    static const unsigned stragglers[] = {0, 10, 100};
    static const unsigned straggles[] = {50, 400, 1500};
    static const int64_t hangs[] = {0, 3000, 3000, 6000};
    struct sim_dice dice = dice_of(options, 1);
    struct sim_dice limits = dice_of(options, 3);
    bool cluster = options->mode == SIM_CLUSTER;

    *ret_setup =
        (struct sim_setup){.nodes = cluster || sim_dice_chance(&dice, 750) ? 3 : 5,
                           .ttl_ms = cluster ? PICK(&dice, ttls) : ttls[0],
                           .loss_permille = PICK(&dice, losses),
                           .duplicate_permille = PICK(&dice, doubles),
                           .straggler_permille = PICK(&dice, stragglers),
                           .straggle_ms = PICK(&dice, straggles),
                           .snapshot_entries = 20 + 60 * (unsigned)sim_dice_below(&dice, 5),
                           .replication = cluster ? PICK(&dice, modes) : SIM_ASYNC,
                           .sync_nodes = 1 + (unsigned)sim_dice_below(&dice, 2),
                           .hang_ms = cluster ? PICK(&limits, hangs) : 0,
                           .one_writer = sim_dice_chance(&dice, 700),
                           .fence = true};
    if (cluster && !ret_setup->one_writer) {
        ret_setup->fence = sim_dice_chance(&dice, 400);
    }
    bool strict =
        ret_setup->replication == SIM_SYNC_STRICT || ret_setup->replication == SIM_QUORUM_STRICT;
    ret_setup->early_failover = strict && sim_dice_chance(&limits, EARLY_PERMILLE);
    if (cluster && sim_dice_chance(&limits, CASCADE_PERMILLE)) {
        ret_setup->cascade = 1 + (unsigned)sim_dice_below(&limits, SIM_CASCADES);
    }
}

static bool is_possible(const struct sim_options *options, const struct sim_setup *setup,
                        enum sim_fault_kind kind)
{
    switch (kinds[kind].where) {
    case 'b':
    case 'o': return false;
    case 'c': return options->mode == SIM_CLUSTER;
    case 's': return options->mode == SIM_CLUSTER && setup->replication != SIM_ASYNC;
    case 'w': return !setup->one_writer;
    default: return true;
    }
}

/* At its place in time. */
static void script_insert(struct sim_script *script, struct sim_fault fault)
{
    if (script->count == SIM_SCRIPT_MAX) {
        return;
    }
    size_t at = script->count++;
    while (at > 0 && script->faults[at - 1].at_ms > fault.at_ms) {
        script->faults[at] = script->faults[at - 1];
        at--;
    }
    script->faults[at] = fault;
}

/* Between one and `most` of that kind. */
static void draw_apart(enum sim_fault_kind kind, uint64_t most, int64_t first_ms, int64_t end_ms,
                       struct sim_dice *dice, struct sim_script *script)
{
    uint64_t count = 1 + sim_dice_below(dice, most);
    for (uint64_t i = 0; i < count && first_ms < end_ms; i++) {
        int64_t at_ms = sim_dice_between(dice, first_ms, end_ms);
        script_insert(script,
                      (struct sim_fault){.at_ms = at_ms, .kind = kind, .dice = dice_next(dice)});
    }
}

void sim_script_draw(const struct sim_options *options, const struct sim_setup *setup,
                     struct sim_script *ret_script)
{
    static const int64_t gaps[] = {400, 1200, 3000, 8000};
    struct sim_dice dice = dice_of(options, 2);
    unsigned weights[SIM_FAULT_KINDS] = {0};
    unsigned sum = 0;

    ret_script->count = 0;
    for (size_t i = 0; i < SIM_FAULT_KINDS; i++) {
        if (kinds[i].where == 'o') {
            continue;
        }
        bool on = sim_dice_chance(&dice, KIND_PERMILLE);
        unsigned weight = 1 + (unsigned)sim_dice_below(&dice, WEIGHT_MAX);
        if (on && is_possible(options, setup, (enum sim_fault_kind)i)) {
            sum += weights[i] = weight;
        }
    }
    struct sim_dice early = dice_of(options, 0);
    if (sum > 0 && options->mode == SIM_CLUSTER && sim_dice_chance(&early, MAINTAINED_PERMILLE)) {
        unsigned share = sum / 8 + 1;
        sum += 2 * share - weights[SIM_MAINTENANCE] - weights[SIM_BY_HAND];
        weights[SIM_MAINTENANCE] = weights[SIM_BY_HAND] = share;
    }
    int64_t gap = PICK(&dice, gaps);
    if (sum == 0 || sim_dice_chance(&dice, CALM_PERMILLE)) {
        return;
    }
    /* Without a fence nobody stops a primary that was made beside the cluster's first. */
    int64_t first = !setup->fence                 ? FIRST_UNFENCED_MS
                    : sim_dice_chance(&dice, 250) ? sim_dice_between(&dice, 0, FIRST_MS)
                                                  : FIRST_MS;
    if (options->mode == SIM_CLUSTER && setup->fence &&
        sim_dice_chance(&early, BOOTSTRAP_PERMILLE)) {
        ret_script->faults[ret_script->count++] =
            (struct sim_fault){.kind = SIM_CRASH_BOOTSTRAP, .dice = dice_next(&early)};
    }
    for (int64_t at = first; at < options->fault_ms && ret_script->count < SIM_SCRIPT_MAX;
         at += sim_dice_between(&dice, 50, 2 * gap)) {
        uint64_t number = sim_dice_below(&dice, sum);
        unsigned kind = 0;
        while (number >= weights[kind]) {
            number -= weights[kind++];
        }
        ret_script->faults[ret_script->count++] = (struct sim_fault){
            .at_ms = at, .kind = (enum sim_fault_kind)kind, .dice = dice_next(&dice)};
    }
    if (options->mode == SIM_CLUSTER && setup->fence &&
        sim_dice_chance(&early, ADOPTION_PERMILLE)) {
        draw_apart(SIM_ADOPTION, ADOPTIONS_MAX, first, options->fault_ms - 1, &early, ret_script);
    }
    /* One whose agent is stopped, or dies, too, ends nothing: not where I1 is checked. */
    if (options->mode == SIM_CLUSTER && setup->fence && !setup->one_writer &&
        sim_dice_chance(&early, SILENCE_PERMILLE)) {
        draw_apart(SIM_SILENT_FENCE, SILENCES_MAX, first, options->fault_ms - 1, &early,
                   ret_script);
    }
}

/* --- text ------------------------------------------------------------------------------------- */

void sim_trace_write(FILE *out, const struct sim_options *options, const struct sim_setup *setup,
                     const struct sim_script *script)
{
    fprintf(out, "seed %" PRIu64 "\nmode %s\nfault_ms %" PRId64 "\n", options->seed,
            options->mode == SIM_STORE ? "store" : "cluster", options->fault_ms);
    fprintf(out, "nodes %u\nttl_ms %" PRId64 "\nreplication %s\nsync_nodes %u\n", setup->nodes,
            setup->ttl_ms, replications[setup->replication], setup->sync_nodes);
    fprintf(out, "one_writer %d\nfence %d\nloss %u\nduplicates %u\nstragglers %u\nstraggle_ms %u\n",
            setup->one_writer, setup->fence, setup->loss_permille, setup->duplicate_permille,
            setup->straggler_permille, setup->straggle_ms);
    fprintf(out, "snapshot_entries %u\nhang_ms %" PRId64 "\nearly_failover %d\ncascade %u\n",
            setup->snapshot_entries, setup->hang_ms, setup->early_failover, setup->cascade);
    for (size_t i = 0; i < script->count; i++) {
        const struct sim_fault *fault = &script->faults[i];
        fprintf(out, "at %" PRId64 " %s %016" PRIx64 "\n", fault->at_ms,
                sim_fault_name(fault->kind), fault->dice);
    }
}

static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool read_fault(const char *line, struct sim_script *script)
{
    char name[64];
    struct sim_fault fault;
    if (sscanf(line, "at %" SCNd64 " %63s %" SCNx64, &fault.at_ms, name, &fault.dice) != 3 ||
        script->count == SIM_SCRIPT_MAX) {
        return false;
    }
    for (size_t i = 0; i < SIM_FAULT_KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            fault.kind = (enum sim_fault_kind)i;
            script->faults[script->count++] = fault;
            return true;
        }
    }
    return false;
}

static bool read_setting(const char *line, struct sim_options *options, struct sim_setup *setup)
{
    static const char *const modes[] = {"store", "cluster"};
    char name[64];
    char value[64];
    uint64_t number = 0;
    if (sscanf(line, "%63s %63s", name, value) != 2) {
        return false;
    }
    bool is_number = sscanf(value, "%" SCNu64, &number) == 1;
    if (strcmp(name, "mode") == 0) {
        int mode = find(modes, 2, value);
        options->mode = mode < 0 ? SIM_STORE : (enum sim_mode)mode;
        return mode >= 0;
    }
    if (strcmp(name, "replication") == 0) {
        int mode = find(replications, SIM_REPLICATIONS, value);
        setup->replication = mode < 0 ? SIM_ASYNC : (enum sim_replication)mode;
        return mode >= 0;
    }
    const struct {
        const char *name;
        unsigned *number;
    } small[] = {{"nodes", &setup->nodes},
                 {"sync_nodes", &setup->sync_nodes},
                 {"cascade", &setup->cascade},
                 {"loss", &setup->loss_permille},
                 {"duplicates", &setup->duplicate_permille},
                 {"stragglers", &setup->straggler_permille},
                 {"straggle_ms", &setup->straggle_ms},
                 {"snapshot_entries", &setup->snapshot_entries}};
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        if (is_number && strcmp(name, small[i].name) == 0) {
            *small[i].number = (unsigned)number;
            return true;
        }
    }
    if (strcmp(name, "seed") == 0) {
        options->seed = number;
    } else if (strcmp(name, "fault_ms") == 0) {
        options->fault_ms = (int64_t)number;
    } else if (strcmp(name, "ttl_ms") == 0) {
        setup->ttl_ms = (int64_t)number;
    } else if (strcmp(name, "hang_ms") == 0) {
        setup->hang_ms = (int64_t)number;
    } else if (strcmp(name, "one_writer") == 0) {
        setup->one_writer = number != 0;
    } else if (strcmp(name, "fence") == 0) {
        setup->fence = number != 0;
    } else if (strcmp(name, "early_failover") == 0) {
        setup->early_failover = number != 0;
    } else {
        return false;
    }
    return is_number;
}

int sim_trace_read(const char *path, struct sim_options *ret_options, struct sim_setup *ret_setup,
                   struct sim_script *ret_script, struct error *err)
{
    char line[256];
    int number = 0;
    bool good = true;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return error_set(err, ERR_NOT_FOUND, "'%s' cannot be opened", path);
    }
    sim_setup_draw(ret_options, ret_setup);
    ret_script->count = 0;
    while (good && fgets(line, sizeof(line), file) != NULL) {
        number++;
        good = line[0] == '#' || line[0] == '\n' ||
               (strncmp(line, "at ", 3) == 0 ? read_fault(line, ret_script)
                                             : read_setting(line, ret_options, ret_setup));
    }
    (void)fclose(file);
    if (!good || ret_setup->nodes < 3 || ret_setup->nodes > SIM_NODES_MAX) {
        return error_set(err, ERR_INVALID, "'%s', line %d: not one of a trace", path, number);
    }
    return 0;
}
