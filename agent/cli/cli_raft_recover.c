/* `raft recover`: after the majority of the Raft group is lost for good, on one node that is left,
 * with its agent stopped. It says what it is about to do, asks whether it really has to be, and has
 * the name of the cluster typed: there is no --force. */
#include "agent/cli/cli_raft_verbs.h"
#include "agent/dcs/dcs_raft.h"
#include "base/mem.h"
#include "base/random.h"
#include "raft/recover.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ASKED_MAX (CLI_ADDRESSES_MAX + STORE_MEMBERS_MAX)

/* Every address that the file or the directory names, but our own. */
static size_t others(struct cli *cli, const struct raft_recovery_facts *facts,
                     const char **addresses)
{
    const char *own = cli_session_config(cli->session)->raft.self.text;
    const char *in_file[CLI_ADDRESSES_MAX];
    size_t file_count = cli_session_addresses(cli->session, in_file);
    size_t count = 0;
    for (size_t i = 0; i < file_count + facts->member_count; i++) {
        const char *address = i < file_count ? in_file[i] : facts->members[i - file_count].address;
        bool known = address[0] == '\0' || (own != NULL && strcmp(address, own) == 0);
        for (size_t j = 0; j < count && !known; j++) {
            known = strcmp(addresses[j], address) == 0;
        }
        if (!known) {
            addresses[count++] = address;
        }
    }
    return count;
}

static bool is_voter(const struct raft_recovery_facts *facts, uint64_t id)
{
    for (size_t i = 0; i < facts->member_count; i++) {
        if (facts->members[i].id == id && facts->members[i].voter) {
            return true;
        }
    }
    return false;
}

/* Those who answer may be a majority, or have a group already: then there is nothing to recover. */
static int check_others(struct cli *cli, const struct raft_recovery_facts *facts)
{
    const char *addresses[ASKED_MAX];
    size_t count = others(cli, facts, addresses);
    struct raft_status *status = mem_new(struct raft_status);
    size_t there = 1;
    int result = CLI_OK;
    for (size_t i = 0; i < count && result == CLI_OK; i++) {
        if (cli_session_status(cli->session, addresses[i], status, NULL) != 0) {
            continue;
        }
        if (raft_recovery_replaces(status->cluster, facts->cluster)) {
            result = cli_fail("%s answers, and is of group %016" PRIx64
                              ", which was recovered from this one: move raft.db* out of "
                              "raft.data_dir and start the agent, to join that",
                              addresses[i], status->cluster);
        } else if (status->cluster == facts->cluster && status->leader != 0) {
            result = cli_fail("%s answers, and the group has a leader: nothing has to be "
                              "recovered, start the agent of this node",
                              addresses[i]);
        } else if (status->cluster == facts->cluster && is_voter(facts, status->id)) {
            there++;
        }
    }
    if (result == CLI_OK && there > facts->voter_count / 2) {
        result =
            cli_fail("%zu of the %zu voters answer, or are this one: that is a majority, start "
                     "the agent of this node",
                     there, facts->voter_count);
    }
    mem_free(status);
    return result;
}

static void print_facts(const struct config *config, const struct raft_recovery_facts *facts)
{
    (void)printf("Raft directory %s of member '%s': group %016" PRIx64 ", term %" PRIu64
                 "\n  last entry %" PRIu64 " of term %" PRIu64 ", store revision %" PRId64
                 "\n  members:",
                 config->raft.data_dir, config->name, facts->cluster, facts->term,
                 facts->last_index, facts->last_term, facts->revision);
    for (size_t i = 0; i < facts->member_count; i++) {
        const struct raft_member_status *member = &facts->members[i];
        (void)printf("%s '%s' (%s)", i > 0 ? "," : "", member->name,
                     member->id == facts->id ? "this one"
                     : member->voter         ? member->address
                                             : "not a voter yet");
    }
    (void)printf(
        "\n\n"
        "This makes it a group of its own, under a new id, with the keys that it has.\n"
        "LOST is what the other members had and this one has not: keys, the configuration, who led "
        "last. In synchronous mode its key 'sync' may be old, so 'nobody lost' cannot be promised: "
        "nobody is promoted before you say who.\n"
        "If another node is left, run this there too and answer nothing: the one with the higher "
        "term of the last entry, then the higher entry, has more. Recover one alone.\n"
        "The other members have to stay away: each stops when it meets a member of the new group, "
        "but two of them that meet none can still form the old one, with a primary of its own. "
        "Move "
        "raft.db* out of their raft.data_dir before their agents are started again.\n\n");
}

/* Whoever `unfenced` speaks of runs under no deadline: the loss of the store does not end it. */
static void warn_of_unfenced(const struct config *config, const struct raft_recovery *recovery)
{
    char *base = dcs_base_path(config->namespace_, config->scope);
    char *unfenced = mem_printf("%sunfenced", base);
    char *epoch = mem_printf("%sepoch", base);
    struct span value;
    if (raft_recovery_key(recovery, span_str(unfenced), &value)) {
        bool known = raft_recovery_key(recovery, span_str(epoch), &value);
        json_t *json =
            known ? json_loadb((const char *)value.data, value.len, 0, NULL) : json_null();
        const char *holder = json_string_value(json_object_get(json, "holder"));
        (void)printf(
            "WARNING: the cluster was paused, and the key 'unfenced' stands: PostgreSQL of "
            "the last primary, '%s', has nothing that ends it. It may run and take writes "
            "though its node is not reached from here. Make sure that it is down before "
            "you order a failover to another one.\n\n",
            holder != NULL ? holder : "not known");
        json_decref(json);
    }
    mem_free(epoch);
    mem_free(unfenced);
    mem_free(base);
}

static int confirm(const struct config *config)
{
    char *typed = cli_prompt("Type the name of the cluster to go on", NULL);
    int result = CLI_OK;
    if (typed == NULL) {
        return CLI_ERROR;
    }
    if (strcmp(typed, config->scope) != 0) {
        result = cli_fail("'%s' is not the name of the cluster: nothing was changed", typed);
    }
    mem_free(typed);
    return result;
}

static int perform(const struct config *config, struct raft_recovery *recovery)
{
    const struct raft_recovery_facts *facts = raft_recovery_facts(recovery);
    struct error err = {0};
    uint64_t cluster = 0;
    char *base = dcs_base_path(config->namespace_, config->scope);
    char *key = mem_printf("%srecovered", base);
    char *value = mem_printf("{\"group\":\"%016" PRIx64 "\",\"entry\":%" PRIu64 "}", facts->cluster,
                             facts->last_index);
    int rc = raft_recovery_write(recovery, span_str(key), span_str(value), random_real(), &cluster,
                                 &err);
    mem_free(value);
    mem_free(key);
    mem_free(base);
    if (rc != 0) {
        return cli_fail("%s", err.text);
    }
    (void)printf("Recovered: group %016" PRIx64 " takes the place of %016" PRIx64 ". Now\n"
                 "  1. start the agent of this node;\n"
                 "  2. on each of the others move raft.db* out of raft.data_dir, then start its "
                 "agent: it joins;\n"
                 "  3. pgquorum list, then pgquorum failover --candidate NAME --force, with the "
                 "name of the member whose database is to go on. Until then nobody is promoted.\n",
                 cluster, facts->cluster);
    return CLI_OK;
}

int cli_raft_recover(struct cli *cli, bool dry_run)
{
    const struct config *config = cli_session_config(cli->session);
    struct raft_recovery *recovery = NULL;
    struct error err = {0};
    if (config->name == NULL || config->raft.data_dir == NULL) {
        return cli_fail("'name' and 'raft.data_dir' are needed: give the file of the agent of this "
                        "node");
    }
    if (raft_recovery_open(config->raft.data_dir, config->name, &recovery, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    print_facts(config, raft_recovery_facts(recovery));
    warn_of_unfenced(config, recovery);
    int result = check_others(cli, raft_recovery_facts(recovery));
    if (result == CLI_OK && dry_run) {
        (void)printf("Dry run: nothing was changed. It would be made a group of its own, after the "
                     "name of the cluster was typed\n");
        raft_recovery_close(recovery);
        return result;
    }
    result = result == CLI_OK ? confirm(config) : result;
    result = result == CLI_OK ? perform(config, recovery) : result;
    raft_recovery_close(recovery);
    return result;
}
