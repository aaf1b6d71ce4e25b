/* Drills of the Raft group: disks, members that come anew, an emptied store, frames and votes of an
 * old term. */
#include "sim_drill.h"

#include "base/assert.h"

enum { JOIN_LIMIT_MS = 15000, ELECT_LIMIT_MS = 20000, BEYOND_MS = 1000 };

/* --- disks and members ------------------------------------------------------------------------ */

/* Its member is as if it were cut off: it cannot renew, and another takes over. With space it takes
 * part again. */
static void disk_of_the_primary_full(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    drill_lead(scene, scene->primary);
    former->node->disk.full = true;
    drill_taken_over(scene, true, BEYOND_MS + 1000);
    drill_expect(scene, sim_leader(scene->world) != former->node,
                 "a member with a full disk leads nobody");
    former->node->disk.full = false;
    drill_settle(scene);
    drill_expect(scene, scene->primary != former, "it comes back as a standby");
}

static void disk_of_a_standby_full(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, sim_chance(scene->world, 500) ? standby : scene->primary);
    standby->node->disk.full = true;
    drill_while(scene, drill_undisturbed, 3 * scene->ttl_ms,
                "a standby's full disk disturbs nobody");
    drill_expect(scene, sim_leader(scene->world) != standby->node,
                 "a member with a full disk leads nobody");
    standby->node->disk.full = false;
    drill_settle(scene);
}

static void disk_of_a_standby_fails(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    uint64_t incarnation = standby->node->incarnation;
    drill_lead(scene, sim_chance(scene->world, 500) ? standby : scene->primary);
    standby->node->disk.failing = true;
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms,
                "a standby's I/O error disturbs nobody");
    drill_expect(scene, standby->node->incarnation != incarnation, "an I/O error ends the process");
    drill_settle(scene);
}

static void renew_member(struct scene *scene, struct sim_machine *machine, bool damage)
{
    uint64_t old = machine->node->id;
    scene->world->membership = true;
    drill_crash(machine);
    if (damage) {
        sim_member_damage(machine->node);
    }
    machine->node->instance = damage ? machine->node->instance : 0;
    sim_member_wipe(machine->node);
    drill_expect(scene, machine->node->id != old, "an empty directory is a new member");
    sim_faults_restart(machine->node, 200 + (int64_t)sim_below(scene->world, 2000));
}

static void wiped_standby_joins_anew(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, sim_chance(scene->world, 500) ? standby : scene->primary);
    drill_power_off(standby);
    sim_machine_erase(standby);
    renew_member(scene, standby, false);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "a new standby disturbs nobody");
    drill_until(scene, drill_whole, JOIN_LIMIT_MS, "it replaces its predecessor as a voter");
    drill_settle(scene);
    drill_expect(scene, drill_undisturbed(scene), "a new standby disturbs nobody");
}

static void wiped_primary_joins_anew(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : former);
    drill_power_off(former);
    sim_machine_erase(former);
    renew_member(scene, former, false);
    /* Another agent by now, it waits for the end of the key; and it has nothing to report. */
    drill_taken_over(scene, true, BEYOND_MS + 1000);
    drill_until(scene, drill_whole, JOIN_LIMIT_MS, "it replaces its predecessor as a voter");
    drill_settle(scene);
    drill_expect(scene, scene->primary != former, "it comes back as a standby");
}

static void damaged_member_is_rebuilt(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    drill_begin(scene);
    renew_member(scene, standby, true);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "damage at a standby disturbs nobody");
    drill_until(scene, drill_whole, JOIN_LIMIT_MS, "it is rebuilt from its peers");
    drill_settle(scene);
}

/* PostgreSQL goes on without an agent, and the agent that comes back is a new member that knows
 * nothing of its lease. */
static void damaged_member_of_the_primary_is_rebuilt(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    renew_member(scene, scene->primary, true);
    drill_until(scene, drill_whole, scene->ttl_ms + JOIN_LIMIT_MS, "it is rebuilt from its peers");
    drill_settle(scene);
}

static void on_removed(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

static void removed_member_comes_back(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    uint64_t old = standby->node->id;
    scene->world->membership = true;
    drill_lead(scene, scene->primary);
    sim_running = scene->primary->node;
    int rc = raft_node_remove(scene->primary->node->raft, old, on_removed, NULL, NULL);
    drill_expect(scene, rc == 0, "a calm group removes a member");
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "a removal disturbs nobody");
    drill_until(scene, drill_whole, JOIN_LIMIT_MS, "a removed member comes back as a new one");
    drill_expect(scene, standby->node->id != old, "a removed member is told, and stops");
    drill_settle(scene);
}

/* --- the group alone -------------------------------------------------------------------------- */

static bool has_leader(const struct scene *scene)
{
    struct sim_node *leader = sim_leader(scene->world);
    struct raft_status status;
    if (leader == NULL) {
        return false;
    }
    raft_node_status(leader->raft, &status);
    return status.commit_index == status.last_index;
}

static bool progressed(const struct scene *scene)
{
    return sim_load_progressed(scene->world);
}

static void elect(struct scene *scene)
{
    drill_until(scene, has_leader, ELECT_LIMIT_MS, "a calm group elects a leader");
    sim_load_healed(scene->world);
    drill_until(scene, progressed, ELECT_LIMIT_MS, "commands are answered");
}

static uint64_t leader_term(struct scene *scene)
{
    struct sim_node *leader = sim_leader(scene->world);
    struct raft_status status = {0};
    if (leader != NULL) {
        raft_node_status(leader->raft, &status);
    }
    return status.term;
}

/* Everything that was sent in some terms is sent again, twice, in a later one. */
static void frames_of_an_old_term_return(struct scene *scene)
{
    elect(scene);
    for (int i = 0; i < 3 && drill_good(scene); i++) {
        uint64_t term = leader_term(scene);
        sim_record(scene->world);
        drill_pass(scene, 1500);
        struct sim_node *leader = sim_leader(scene->world);
        sim_faults_isolate(leader != NULL ? leader : &scene->world->nodes[0]);
        drill_pass(scene, 5 * SIM_ELECTION_MS);
        sim_faults_mend(scene->world);
        elect(scene);
        drill_expect(scene, leader_term(scene) > term, "a new leader has a new term");
        sim_replay(scene->world, 2);
        drill_pass(scene, 500);
        elect(scene);
    }
}

/* A first member is lost before the group has heard its name: nobody can be its predecessor by
 * name, and a fourth voter beside a dead one would need three of four for ever. */
static void founder_lost_before_it_told_its_name(struct scene *scene)
{
    struct sim_node *lost = &scene->world->nodes[2];
    sim_member_crash(lost);
    elect(scene);
    drill_pass(scene, 2000);
    scene->world->membership = true;
    sim_member_wipe(lost);
    sim_faults_restart(lost, (int64_t)sim_below(scene->world, 1000));
    drill_until(scene, drill_whole, JOIN_LIMIT_MS, "it replaces its predecessor as a voter");
}

/* Nodes 0 and 1 run, 2 does not. */
static struct sim_node *candidate;
static struct sim_node *voter;
static uint64_t term_before;

static bool one_has_voted(const struct scene *scene)
{
    for (size_t i = 0; i < 2; i++) {
        struct raft_status mine;
        struct raft_status other;
        candidate = &scene->world->nodes[i];
        voter = &scene->world->nodes[1 - i];
        raft_node_status(candidate->raft, &mine);
        raft_node_status(voter->raft, &other);
        /* The vote is stored with the term, in one job, before it is sent. */
        if (mine.role == RAFT_ROLE_CANDIDATE && mine.term > term_before &&
            other.role == RAFT_ROLE_FOLLOWER && candidate->disk.term == mine.term &&
            voter->disk.term == mine.term) {
            return true;
        }
    }
    return false;
}

static bool other_leads(const struct scene *scene)
{
    const struct sim_node *leader = sim_leader(scene->world);
    return leader != NULL && leader != candidate;
}

static bool candidate_leads(const struct scene *scene)
{
    return sim_leader(scene->world) == candidate;
}

/* The highest of all; a vote in a term that all have seen before would prove nothing. */
static uint64_t terms(const struct sim_world *world)
{
    uint64_t term = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        term = world->nodes[i].disk.term > term ? world->nodes[i].disk.term : term;
    }
    return term;
}

/* A member has voted, dies before it hears of the winner, and is asked again for the same term by
 * another one. */
static void vote_outlives_a_crash(struct scene *scene)
{
    struct sim_world *world = scene->world;
    elect(scene);
    for (unsigned i = 0; i < 3; i++) {
        sim_member_crash(&world->nodes[i]);
    }
    world->nodes[0].disk.term = world->nodes[1].disk.term = term_before = terms(world);
    sim_member_start(&world->nodes[0]);
    sim_member_start(&world->nodes[1]);
    while (drill_good(scene) && !one_has_voted(scene)) {
        drill_pass(scene, 1);
        drill_expect(scene, world->now < ELECT_LIMIT_MS, "one of two votes for the other");
    }
    unsigned third = 2;
    world->cut[candidate->index][voter->index] = true; /* it may win, and nobody hears of it */
    world->cut[candidate->index][third] = world->cut[third][candidate->index] = true;
    drill_until(scene, candidate_leads, 200, "the vote arrives");
    sim_member_crash(voter);
    sim_member_start(voter);
    sim_member_start(&world->nodes[third]);
    drill_until(scene, other_leads, ELECT_LIMIT_MS, "another one is elected, in another term");
    sim_faults_mend(world);
    elect(scene);
}

/* --- an empty store --------------------------------------------------------------------------- */

static bool key_has_ended(const struct scene *scene)
{
    const struct sim_node *leader = sim_leader(scene->world);
    struct store_kv kv;
    return leader != NULL && has_leader(scene) &&
           !store_get(raft_node_store(leader->raft), span_str("/service/sim/leader"), &kv);
}

static void forget_cluster(struct scene *scene)
{
    struct store_op op = {.type = STORE_OP_DELETE_PREFIX, .key = span_str("/service/sim/")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    struct sim_node *leader = sim_leader(scene->world);
    drill_expect(scene, leader != NULL, "a calm group has a leader");
    if (leader != NULL) {
        sim_running = leader;
        int rc = raft_node_propose_plain(leader->raft, &command, 2000, on_removed, NULL, NULL);
        drill_expect(scene, rc == 0, "a calm group takes a command");
    }
}

static void start_empty(struct scene *scene)
{
    for (size_t i = 0; i < 2; i++) {
        drill_power_off(scene->standbys[i]);
        sim_machine_erase(scene->standbys[i]);
        drill_start(scene->standbys[i]);
    }
}

/* The store has lost what it knew of the cluster, and two of three their data: whoever has some
 * comes last, and leads all the same. */
static void data_comes_last_to_an_empty_store(struct scene *scene)
{
    struct sim_machine *owner = scene->primary;
    uint64_t system_id = owner->system_id;
    drill_begin(scene);
    drill_power_off(owner);
    start_empty(scene);
    drill_until(scene, key_has_ended, scene->ttl_ms + ELECT_LIMIT_MS, "the lease ends");
    start_empty(scene); /* what they had begun to copy meanwhile */
    drill_until(scene, has_leader, ELECT_LIMIT_MS, "a calm group elects a leader");
    forget_cluster(scene);
    drill_while(scene, drill_nobody_serves,
                (int64_t)sim_below(scene->world, (uint64_t)scene->ttl_ms),
                "nobody makes a cluster while a member has not told what it has");
    drill_start(owner);
    drill_settle(scene);
    drill_expect(scene, scene->primary == owner && owner->system_id == system_id,
                 "the cluster is that of the data");
}

#define DRILL(mode, by_ttl, fn)                                                       \
    {                                                                                 \
#fn, mode, by_ttl, DRILL_NO_BUDGET, fn, SIM_ASYNC, false, false, false, false \
    }

const struct sim_drill sim_drills_storage[] = {
    DRILL(SIM_CLUSTER, true, disk_of_the_primary_full),
    DRILL(SIM_CLUSTER, false, disk_of_a_standby_full),
    DRILL(SIM_CLUSTER, false, disk_of_a_standby_fails),
    DRILL(SIM_CLUSTER, false, wiped_standby_joins_anew),
    DRILL(SIM_CLUSTER, true, wiped_primary_joins_anew),
    DRILL(SIM_CLUSTER, false, damaged_member_is_rebuilt),
    DRILL(SIM_CLUSTER, false, damaged_member_of_the_primary_is_rebuilt),
    DRILL(SIM_CLUSTER, false, removed_member_comes_back),
    DRILL(SIM_CLUSTER, true, data_comes_last_to_an_empty_store),
    DRILL(SIM_STORE, false, frames_of_an_old_term_return),
    DRILL(SIM_STORE, false, founder_lost_before_it_told_its_name),
    DRILL(SIM_STORE, false, vote_outlives_a_crash),
};
const size_t sim_drills_storage_count = sizeof(sim_drills_storage) / sizeof(sim_drills_storage[0]);
