/* `raft members` and `raft remove`: what the leader of the group says of all of them, and one taken
 * out by it. Any member that answers says who leads; only the leader hears everybody and knows how
 * far each is. */
#include "agent/cli/cli_raft_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMOVE_LIMIT_MS 20000 /* a leader that hands over, a member that catches up */
#define REMOVE_AGAIN_MS 300
#define ID_BYTES        24

static const struct cli_column columns[] = {
    {"Member", "Member", false, false},        {"Id", "Id", false, false},
    {"Address", "Address", false, false},      {"Role", "Role", false, false},
    {"Leader", "Leader", false, false},        {"Match", "Match", true, false},
    {"Last heard", "Last heard", true, false},
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static const struct raft_member_status *leader_of(const struct raft_status *status)
{
    for (size_t i = 0; i < status->member_count; i++) {
        if (status->leader != 0 && status->members[i].id == status->leader) {
            return &status->members[i];
        }
    }
    return NULL;
}

/* What the leader says; else what anybody says (*ret_from_leader false). `err`: nobody answers. */
static int ask_group(struct cli *cli, struct raft_status *ret_status, bool *ret_from_leader,
                     struct error *err)
{
    const char *addresses[CLI_ADDRESSES_MAX];
    size_t count = cli_session_addresses(cli->session, addresses);
    struct raft_status *status = mem_new(struct raft_status);
    int rc = error_set(err, ERR_UNAVAILABLE, "no member answers");
    *ret_from_leader = false;
    for (size_t i = 0; i < count && !*ret_from_leader; i++) {
        struct error own = {0};
        if (cli_session_status(cli->session, addresses[i], status, &own) != 0) {
            if (rc != 0) {
                (void)error_set(err, ERR_UNAVAILABLE, "no member answers: %s: %s", addresses[i],
                                own.text);
            }
            continue;
        }
        const struct raft_member_status *leader = leader_of(status);
        if (rc != 0 || status->role == RAFT_ROLE_LEADER) {
            *ret_status = *status;
            rc = 0;
        }
        if (status->role == RAFT_ROLE_LEADER) {
            *ret_from_leader = true;
        } else if (leader != NULL && leader->address[0] != '\0') {
            char address[RAFT_NODE_ADDRESS_BYTES];
            (void)snprintf(address, sizeof(address), "%s", leader->address);
            *ret_from_leader = cli_session_status(cli->session, address, status, &own) == 0 &&
                               status->role == RAFT_ROLE_LEADER;
            *ret_status = *ret_from_leader ? *status : *ret_status;
        }
    }
    mem_free(status);
    return rc;
}

static const char *role_text(const struct raft_member_status *member)
{
    return !member->voter ? "joiner" : member->witness ? "witness" : "voter";
}

static void add_text(json_t *row, const char *text)
{
    (void)json_array_append_new(row, json_string(text));
}

static json_t *member_row(const struct raft_member_status *member, bool from_leader)
{
    char id[ID_BYTES];
    char heard[ID_BYTES];
    json_t *row = json_array();
    (void)snprintf(id, sizeof(id), "%016" PRIx64, member->id);
    (void)snprintf(heard, sizeof(heard), "%.1f s", (double)member->heard_ms / 1000);
    add_text(row, member->name);
    add_text(row, id);
    add_text(row, member->address);
    add_text(row, role_text(member));
    add_text(row, member->leader ? "*" : "");
    (void)json_array_append_new(row, from_leader ? json_integer((json_int_t)member->match_index)
                                                 : json_string(""));
    add_text(row, !from_leader ? "" : member->heard_ms < 0 ? "never" : heard);
    return row;
}

static int print_members(const struct raft_status *status, bool from_leader, enum cli_format format)
{
    char *title = mem_printf(" Raft group: %016" PRIx64 " ", status->cluster);
    struct cli_table table = {
        .columns = columns, .column_count = COLUMN_COUNT, .rows = json_array(), .title = title};
    for (size_t i = 0; i < status->member_count; i++) {
        (void)json_array_append_new(table.rows, member_row(&status->members[i], from_leader));
    }
    int rc = cli_say_table_take(&table, format);
    mem_free(title);
    return rc;
}

int cli_raft_members(struct cli *cli, enum cli_format format)
{
    struct error err = {0};
    bool from_leader = false;
    struct raft_status *status = mem_new(struct raft_status);
    int result = CLI_ERROR;
    if (ask_group(cli, status, &from_leader, &err) != 0) {
        result = cli_fail("%s", err.text);
    } else {
        result = print_members(status, from_leader, format);
    }
    if (result == CLI_OK && !from_leader) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "no leader answers: these are the members that one of them knows\n");
    }
    mem_free(status);
    return result;
}

/* --- remove ----------------------------------------------------------------------------------- */

/* The member of that name, or of that id; NULL, and why, if it is none or not one alone. */
static const struct raft_member_status *member_named(const struct raft_status *status,
                                                     const char *name, struct error *err)
{
    const struct raft_member_status *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < status->member_count; i++) {
        char id[ID_BYTES];
        (void)snprintf(id, sizeof(id), "%016" PRIx64, status->members[i].id);
        if (strcmp(id, name) == 0) {
            return &status->members[i];
        }
        if (strcmp(status->members[i].name, name) == 0) {
            found = &status->members[i];
            count++;
        }
    }
    if (count == 1) {
        return found;
    }
    (void)error_set(err, ERR_NOT_FOUND,
                    count == 0 ? "'%s' is no member of the Raft group: raft members lists them"
                               : "two members bear the name '%s': give the id (raft members)",
                    name);
    return NULL;
}

/* An agent that is removed ends, and its primary with it: the cluster is to have another one first.
 */
static int check_primary(struct cli *cli, const struct raft_member_status *member)
{
    struct dcs_view *view = NULL;
    struct error err = {0};
    const char *cluster = cli_session_config(cli->session)->scope;
    if (cli_session_read(cli->session, cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    const char *primary = cluster_doc_text(view, "leader");
    bool leads = primary != NULL && strcmp(primary, member->name) == 0 && member->name[0] != '\0';
    dcs_view_unref(view);
    return !leads ? CLI_OK
                  : cli_fail("'%s' holds the leader key of cluster %s: a switchover first, or stop "
                             "its agent",
                             member->name, cluster);
}

static int confirm(const struct raft_member_status *member, bool force)
{
    if (force) {
        return CLI_OK;
    }
    char *text = mem_printf("Are you sure you want to remove member '%s' (%016" PRIx64
                            ") from the Raft group?",
                            member->name, member->id);
    enum cli_answer answer = cli_confirm(text);
    mem_free(text);
    return answer == CLI_YES  ? CLI_OK
           : answer == CLI_NO ? cli_fail("Aborting the removal")
                              : CLI_ERROR;
}

static bool is_member(const struct raft_status *status, uint64_t id)
{
    for (size_t i = 0; i < status->member_count; i++) {
        if (status->members[i].id == id) {
            return true;
        }
    }
    return false;
}

/* Asked of who leads just now; again while it is not possible yet. Repeating it does no harm: it
 * names an id. */
static int remove_until(struct cli *cli, uint64_t id, struct error *err)
{
    int64_t left_ms = REMOVE_LIMIT_MS;
    struct raft_status *status = mem_new(struct raft_status);
    int rc = ERR_UNAVAILABLE;
    for (bool again = true; again; left_ms -= REMOVE_AGAIN_MS) {
        bool from_leader = false;
        rc = ask_group(cli, status, &from_leader, err);
        const struct raft_member_status *leader = rc == 0 ? leader_of(status) : NULL;
        if (rc == 0 && from_leader && !is_member(status, id)) {
            break;
        }
        if (leader == NULL || !from_leader) {
            rc = rc != 0 ? rc : error_set(err, ERR_UNAVAILABLE, "the group has no leader");
        } else {
            rc = cli_session_remove(cli->session, leader->address, id, err);
        }
        /* after ERR_UNKNOWN the next look tells */
        again = left_ms > 0 && (rc == ERR_BUSY || rc == ERR_UNAVAILABLE || rc == ERR_UNKNOWN);
        if (again) {
            cli_session_wait(cli->session, REMOVE_AGAIN_MS);
        }
    }
    mem_free(status);
    return rc;
}

/* Who is not heard from stands in the table above. */
static void tell_dry_run(const struct raft_status *status, const struct raft_member_status *member)
{
    size_t voters = 0;
    for (size_t i = 0; i < status->member_count; i++) {
        voters += status->members[i].voter && status->members[i].id != member->id;
    }
    (void)printf("Dry run: nothing was sent. The leader would be asked to remove '%s' (%016" PRIx64
                 "); %zu voters would be left, of which %zu have to be there\n",
                 member->name, member->id, voters, voters / 2 + 1);
}

int cli_raft_remove(struct cli *cli, const char *name, bool force, bool dry_run)
{
    struct error err = {0};
    bool from_leader = false;
    struct raft_status *status = mem_new(struct raft_status);
    int rc = ask_group(cli, status, &from_leader, &err);
    if (rc == 0 && !from_leader) {
        rc = error_set(&err, ERR_UNAVAILABLE,
                       "the group has no leader, so nothing can be changed: start the agents that "
                       "are down, or, if the majority is lost for good, see raft recover");
    }
    const struct raft_member_status *member = rc == 0 ? member_named(status, name, &err) : NULL;
    int result = member == NULL ? cli_fail("%s", err.text) : CLI_OK;
    result = result == CLI_OK ? print_members(status, from_leader, CLI_PRETTY) : result;
    result = result == CLI_OK ? check_primary(cli, member) : result;
    if (result == CLI_OK && dry_run) {
        tell_dry_run(status, member);
        mem_free(status);
        return result;
    }
    result = result == CLI_OK ? confirm(member, force) : result;
    if (result == CLI_OK && remove_until(cli, member->id, &err) != 0) {
        result = cli_fail("'%s' was not removed: %s", member->name, err.text);
    }
    if (result == CLI_OK) {
        (void)printf("Removed '%s' from the Raft group. An agent of it that runs, or is started "
                     "again, is told so and ends; with raft.db* moved out of its raft.data_dir it "
                     "joins as a new member.\n",
                     member->name);
    }
    mem_free(status);
    return result;
}
