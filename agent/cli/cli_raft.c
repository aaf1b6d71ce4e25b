/* `raft status`: every member in the file is asked itself, so that the table shows what each one
 * believes; that it is a witness, nobody else knows. Members that only the group knows (added later
 * than the file) come from the answer of the Raft leader, or of whoever answered. */
#include "agent/cli/cli_raft_verbs.h"
#include "agent/cli/cli_verbs.h"
#include "base/mem.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct asked {
    const char *address;
    bool answered;
    struct raft_status status;
    struct error err;
};

static const struct cli_column columns[] = {
    {"Member", "Member", false, false},
    {"Address", "Address", false, false},
    {"Id", "Id", false, false},
    {"Role", "Role", false, false},
    {"State", "State", false, false},
    {"Term", "Term", true, false},
    {"Leader", "Leader", false, false},
    {"Last", "Last", true, false},
    {"Committed", "Committed", true, false},
    {"Applied", "Applied", true, false},
    {"Revision", "Revision", true, false},
    {"Match", "Match", true, false},
    {"Kind", "Kind", false, false}, /* the last, and there if one of them is a witness */
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static const struct raft_member_status *member_by_id(const struct raft_status *status, uint64_t id)
{
    for (size_t i = 0; i < status->member_count; i++) {
        if (status->members[i].id == id) {
            return &status->members[i];
        }
    }
    return NULL;
}

/* The group that most of those who answer are in; of two, that of the address that comes first. */
static uint64_t group_of_most(const struct asked *asked, size_t count)
{
    uint64_t group = 0;
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t members = 0;
        for (size_t j = 0; asked[i].answered && j < count; j++) {
            members += asked[j].answered && asked[j].status.cluster == asked[i].status.cluster;
        }
        if (members > most) {
            most = members;
            group = asked[i].status.cluster;
        }
    }
    return group;
}

/* The answer that the table's view of the group is taken from: the leader's, else the one of the
 * highest term. */
static const struct asked *best_answer(const struct asked *asked, size_t count)
{
    const struct asked *best = NULL;
    uint64_t group = group_of_most(asked, count);
    for (size_t i = 0; i < count; i++) {
        if (!asked[i].answered || asked[i].status.cluster != group) {
            continue;
        }
        bool leads = asked[i].status.role == RAFT_ROLE_LEADER;
        bool best_leads = best != NULL && best->status.role == RAFT_ROLE_LEADER;
        if (best == NULL || asked[i].status.term > best->status.term ||
            (asked[i].status.term == best->status.term && leads && !best_leads)) {
            best = &asked[i];
        }
    }
    return best;
}

static const struct asked *answer_of(const struct asked *asked, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (asked[i].answered && asked[i].status.id == id) {
            return &asked[i];
        }
    }
    return NULL;
}

static const char *role_text(const struct raft_member_status *member, const struct asked *answer,
                             bool leads)
{
    if (!member->voter) {
        return "Non-voter";
    }
    if (answer == NULL) {
        return leads ? "Leader" : "Voter"; /* it does not say what it is just now */
    }
    switch (answer->status.role) {
    case RAFT_ROLE_FOLLOWER: return "Follower";
    case RAFT_ROLE_CANDIDATE: return "Candidate";
    case RAFT_ROLE_LEADER: return "Leader";
    }
    return "";
}

static bool is_witness(const struct asked *answer)
{
    const struct raft_member_status *self =
        answer->answered ? member_by_id(&answer->status, answer->status.id) : NULL;
    return self != NULL && self->witness;
}

static size_t witness_count(const struct asked *asked, size_t count)
{
    size_t witnesses = 0;
    for (size_t i = 0; i < count; i++) {
        witnesses += is_witness(&asked[i]);
    }
    return witnesses;
}

static void add_number(json_t *row, const struct asked *answer, uint64_t value)
{
    (void)json_array_append_new(row,
                                answer != NULL ? json_integer((json_int_t)value) : json_string(""));
}

static void add_text(json_t *row, const char *text)
{
    (void)json_array_append_new(row, json_string(text));
}

static json_t *member_row(const struct raft_status *group, const struct raft_member_status *member,
                          const struct asked *answer)
{
    char id[24];
    json_t *row = json_array();
    const struct raft_member_status *leader =
        answer != NULL ? member_by_id(&answer->status, answer->status.leader) : NULL;
    (void)snprintf(id, sizeof(id), "%016" PRIx64, member->id);
    add_text(row, member->name);
    add_text(row, member->address);
    add_text(row, id);
    add_text(row, role_text(member, answer, member->id == group->leader));
    add_text(row, answer != NULL ? "running" : member->connected ? "connected" : "unreachable");
    add_number(row, answer, answer != NULL ? answer->status.term : 0);
    add_text(row, leader != NULL ? leader->name : "");
    add_number(row, answer, answer != NULL ? answer->status.last_index : 0);
    add_number(row, answer, answer != NULL ? answer->status.commit_index : 0);
    add_number(row, answer, answer != NULL ? answer->status.applied_index : 0);
    add_number(row, answer, answer != NULL ? (uint64_t)answer->status.revision : 0);
    (void)json_array_append_new(row, member->match_index > 0
                                         ? json_integer((json_int_t)member->match_index)
                                         : json_string(""));
    add_text(row, answer != NULL && is_witness(answer) ? "witness" : "");
    return row;
}

static int print_status(const struct asked *asked, size_t count, enum cli_format format)
{
    const struct asked *best = best_answer(asked, count);
    if (best == NULL) {
        return cli_fail("no member answers: %s: %s", asked[0].address, asked[0].err.text);
    }
    char *title = mem_printf(" Raft group: %016" PRIx64 " ", best->status.cluster);
    struct cli_table table = {.columns = columns,
                              .column_count = COLUMN_COUNT - (witness_count(asked, count) == 0),
                              .rows = json_array(),
                              .title = title,
                              .omit_empty = true};
    for (size_t i = 0; i < best->status.member_count; i++) {
        const struct raft_member_status *member = &best->status.members[i];
        (void)json_array_append_new(
            table.rows, member_row(&best->status, member, answer_of(asked, count, member->id)));
    }
    int rc = cli_say_table_take(&table, format);
    mem_free(title);
    return rc;
}

/* What the table has no row for: who does not answer, and who is somewhere else. */
static void print_others(const struct asked *asked, size_t count)
{
    const struct asked *best = best_answer(asked, count);
    for (size_t i = 0; i < count; i++) {
        const struct raft_status *status = &asked[i].status;
        if (!asked[i].answered) {
            (void)printf(" %s does not answer: %s\n", asked[i].address, asked[i].err.text);
        } else if (member_by_id(&best->status, status->id) == NULL) {
            (void)printf(" %s answers, and is no member of this group: it is in group %016" PRIx64
                         "\n",
                         asked[i].address, status->cluster);
        }
    }
}

/* The file is one of a node that runs PostgreSQL and is in no row above. */
static void print_client(const struct config *config)
{
    if (config->raft.self.text == NULL && config->name != NULL) {
        (void)printf(" %s is a client of this group (no raft.self_addr): no vote, no Raft "
                     "directory\n",
                     config->name);
    }
}

static int raft_status_verb(struct cli *cli, enum cli_format format)
{
    const char *addresses[CLI_ADDRESSES_MAX];
    size_t count = cli_session_addresses(cli->session, addresses);
    struct asked *asked = mem_new_array(struct asked, count);
    for (size_t i = 0; i < count; i++) {
        asked[i].address = addresses[i];
        asked[i].answered =
            cli_session_status(cli->session, addresses[i], &asked[i].status, &asked[i].err) == 0;
    }
    int status = print_status(asked, count, format);
    if (format == CLI_PRETTY && status == CLI_OK) {
        print_others(asked, count);
        print_client(cli_session_config(cli->session));
    }
    mem_free(asked);
    return status;
}

/* --- which one -------------------------------------------------------------------------------- */

struct arguments {
    enum cli_format format;
    bool force;
    bool dry_run;
};

static int do_status(struct cli *cli, const struct arguments *arguments, const char *name)
{
    (void)name;
    return raft_status_verb(cli, arguments->format);
}

static int do_members(struct cli *cli, const struct arguments *arguments, const char *name)
{
    (void)name;
    return cli_raft_members(cli, arguments->format);
}

static int do_remove(struct cli *cli, const struct arguments *arguments, const char *name)
{
    return cli_raft_remove(cli, name, arguments->force, arguments->dry_run);
}

static int do_recover(struct cli *cli, const struct arguments *arguments, const char *name)
{
    (void)name;
    return cli_raft_recover(cli, arguments->dry_run);
}

static const struct {
    const char *name;
    bool takes_name;
    bool takes_format;
    bool changes;
    int (*run)(struct cli *cli, const struct arguments *arguments, const char *name);
} verbs[] = {
    {"status", false, true, false, do_status},
    {"members", false, true, false, do_members},
    {"remove", true, false, true, do_remove},
    {"recover", false, false, true, do_recover},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static size_t verb_of(const char *name)
{
    size_t at = 0;
    while (at < VERB_COUNT && (name == NULL || strcmp(verbs[at].name, name) != 0)) {
        at++;
    }
    return at;
}

/* False: wrong usage, and it was told. */
static bool parse(struct cli *cli, int argc, char **argv, struct arguments *arguments,
                  bool *ret_format)
{
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (option == 'F') {
            arguments->force = true;
            continue;
        }
        if (option == 'n') {
            arguments->dry_run = true;
            continue;
        }
        *ret_format = true;
        if (option != 'f' || !cli_format_arg("raft", optarg, &arguments->format)) {
            return false;
        }
    }
    return true;
}

int cli_raft(struct cli *cli, int argc, char **argv)
{
    struct arguments arguments = {.format = CLI_PRETTY};
    bool has_format = false;
    if (!parse(cli, argc, argv, &arguments, &has_format)) {
        return CLI_USAGE;
    }
    size_t at = verb_of(optind < argc ? argv[optind] : NULL);
    if (at == VERB_COUNT) {
        return cli_wrong_usage("raft", "give one of status, members, remove, recover");
    }
    int words = verbs[at].takes_name ? 2 : 1;
    if (argc - optind != words) {
        return cli_wrong_usage("raft", verbs[at].takes_name ? "give one member's name, or its id"
                                                            : "too many arguments");
    }
    if ((has_format && !verbs[at].takes_format) || (arguments.force && !verbs[at].takes_name)) {
        return cli_wrong_usage("raft", has_format ? "--format goes with status and members"
                                                  : "--force goes with remove");
    }
    if (arguments.dry_run && !verbs[at].changes) {
        return cli_wrong_usage("raft", "--dry-run goes with remove and recover");
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    if (cli_session_config(cli->session)->store != CONFIG_STORE_RAFT) {
        return cli_fail("the store of this cluster is etcd, there is no Raft group: ask etcdctl "
                        "endpoint status");
    }
    return verbs[at].run(cli, &arguments, verbs[at].takes_name ? argv[optind + 1] : NULL);
}
