/* One table of verbs; a word that is none of them is the path of a configuration file, and the
 * agent runs on it. */
#include "agent/cli/cli.h"

#include "agent/app.h"
#include "agent/cli/cli_setup.h"
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/cli/members_table.h"
#include "agent/config/config.h"
#include "agent/version.h"
#include "agent/witness.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cli_help(struct cli *cli, int argc, char **argv);
static int cli_run(struct cli *cli, int argc, char **argv);
static int cli_witness(struct cli *cli, int argc, char **argv);

struct verb {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *usage;
    const char *what;
};

static const struct verb verbs[] = {
    {"run", cli_run, "[FILE]", "the agent: runs PostgreSQL as a member of the cluster"},
    {"witness", cli_witness, "[FILE]", "a member that only votes, without PostgreSQL"},
    {"list", cli_list, "[CLUSTER...] [-e] [-t] [-f pretty|tsv|json|yaml] [-W] [-w SECONDS]",
     "members of the cluster"},
    {"topology", cli_topology, "[CLUSTER...] [-W] [-w SECONDS]", "members as a tree"},
    {"switchover", cli_switchover,
     "[CLUSTER] [--leader NAME] [--candidate NAME] [--scheduled TIME] [--force]",
     "move the leader on purpose"},
    {"failover", cli_failover, "[CLUSTER] [--candidate NAME] [--force]",
     "make a member the leader though there is none"},
    {"restart", cli_restart,
     "CLUSTER [MEMBER...] [-r leader|primary|standby-leader|replica|standby|any] [--any] "
     "[--scheduled TIME] [--pg-version VERSION] [--pending] [--timeout TIME] [--force]",
     "restart PostgreSQL of members, now or at a time"},
    {"reinit", cli_reinit, "CLUSTER [MEMBER...] [--from-leader] [--wait] [--force]",
     "copy standbys anew: their data directories are removed"},
    {"flush", cli_flush,
     "CLUSTER [MEMBER...] restart|switchover [-r "
     "leader|primary|standby-leader|replica|standby|any] "
     "[--force]",
     "delete what is scheduled"},
    {"pause", cli_pause, "[CLUSTER] [--wait] [--dry-run]",
     "leave PostgreSQL to the operator: nothing is stopped, started or promoted by itself"},
    {"resume", cli_resume, "[CLUSTER] [--wait] [--dry-run]", "end of the pause"},
    {"demote-cluster", cli_demote_cluster,
     "[CLUSTER] [--host HOST] [--port PORT] [--restore-command COMMAND] [--primary-slot-name NAME] "
     "[--force]",
     "make this cluster a standby of another one: it has no primary of its own then"},
    {"promote-cluster", cli_promote_cluster, "[CLUSTER] [--force]",
     "make a standby cluster one of its own again"},
    {"show-config", cli_show_config, "[CLUSTER]", "the dynamic configuration"},
    {"edit-config", cli_edit_config,
     "[CLUSTER] [-q] [-s KEY=VALUE]... [-p PARAMETER=VALUE]... [--apply FILE|-] [--replace FILE|-] "
     "[--force] [--dry-run]",
     "change it"},
    {"reload", cli_reload,
     "CLUSTER [MEMBER...] [-r leader|primary|standby-leader|replica|standby|any] [--force] "
     "[--dry-run]",
     "have members read their configuration files again"},
    {"history", cli_history, "[CLUSTER] [-f pretty|tsv|json|yaml]", "timelines and why they began"},
    {"dsn", cli_dsn, "[CLUSTER] [-r leader|primary|standby-leader|replica|standby|any] [-m MEMBER]",
     "where to connect to"},
    {"raft", cli_raft,
     "status|members [-f pretty|tsv|json|yaml]\n       pgquorum [-c FILE] raft remove NAME|ID "
     "[--force]\n       "
     "pgquorum [-c FILE] raft recover",
     "the Raft group: its members, taking one out, and the way back after a lost majority"},
    {"import-etcd", cli_import_etcd,
     "[CLUSTER] --from URL|FILE [--prefix /NAMESPACE/SCOPE] [--force] [--dry-run]",
     "copy the keys of a paused cluster from its etcd into the store of the file"},
    {"explain", cli_explain, "[MEMBER] [-i] [-f pretty|json]",
     "the last decisions of a member, and why"},
    {"version", cli_version, "[CLUSTER [MEMBER...]]", "of this program, and of the members"},
    {"help", cli_help, "", "this text"},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* --- shared by the verbs ---------------------------------------------------------------------- */

int cli_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fflush(stdout);
    (void)fprintf(stderr, "Error: ");
    (void)vfprintf(stderr, fmt, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    return CLI_ERROR;
}

int cli_say_table_take(struct cli_table *table, enum cli_format format)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    int rc = cli_table_print(table, format, &out, &err);
    if (rc == 0) {
        (void)fwrite(out.data, 1, out.len, stdout);
    }
    json_decref(table->rows);
    buf_free(&out);
    return rc == 0 ? CLI_OK : cli_fail("%s", err.text);
}

int cli_wrong_usage(const char *name, const char *text)
{
    const struct verb *verb = verb_find(name);
    (void)fprintf(stderr, "Usage: pgquorum [-c FILE] %s %s\n", name,
                  verb != NULL ? verb->usage : "");
    if (text != NULL) {
        (void)fprintf(stderr, "Error: %s\n", text);
    }
    return CLI_USAGE;
}

bool cli_arguments(int argc, char **argv, int index, int max)
{
    char message[160];
    if (argc - index <= max) {
        return true;
    }
    (void)snprintf(message, sizeof(message), "unexpected argument '%.100s'", argv[index + max]);
    (void)cli_wrong_usage(argv[0], message);
    return false;
}

bool cli_open(struct cli *cli)
{
    struct error err = {0};
    if (cli->session == NULL &&
        cli_session_open(cli->config_path, cli->dcs_url, &cli->session, &err) != 0) {
        (void)cli_fail("%s", err.text);
        return false;
    }
    return true;
}

const char *cli_cluster(const struct cli *cli, int argc, char **argv, int index)
{
    return index < argc ? argv[index] : cli_session_config(cli->session)->scope;
}

bool cli_format_arg(const char *verb, const char *text, enum cli_format *ret_format)
{
    if (cli_format_parse(text, ret_format)) {
        return true;
    }
    char message[160];
    (void)snprintf(message, sizeof(message), "'%.40s' is no format: give pretty, tsv, json or yaml",
                   text);
    (void)cli_wrong_usage(verb, message);
    return false;
}

int cli_print_members(const struct dcs_view *view, const char *cluster, bool extended,
                      bool topology, enum cli_format format)
{
    struct members_print print = {.cluster = cluster,
                                  .initialize = cluster_doc_text(view, "initialize"),
                                  .extended = extended,
                                  .topology = topology,
                                  .format = format};
    struct buf out = BUF_INIT;
    struct error err = {0};
    json_t *doc = cluster_doc(view, cluster);
    int rc = members_table_print(doc, &print, &out, &err);
    json_decref(doc);
    if (rc != 0) {
        buf_free(&out);
        return cli_fail("%s", err.text);
    }
    (void)fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
    return CLI_OK;
}

/* --- the agent, help, dispatch ---------------------------------------------------------------- */

/* PostgreSQL refuses to run as root, so the agent, its parent, does too: at once, with the command
 * that is right. */
static int refuse_root(const char *program, const char *file)
{
    return cli_fail(
        "the agent does not run as root, because PostgreSQL does not: runuser -u postgres -- %s %s",
        program, file != NULL ? file : "run");
}

static int run_agent(const char *program, const char *file)
{
    return geteuid() == 0 ? refuse_root(program, file) : agent_run(file);
}

/* The one file, or none where the environment has a configuration. */
static bool has_configuration(const char *verb, int argc)
{
    if (argc == 2 || (argc == 1 && config_environment_given())) {
        return true;
    }
    (void)cli_wrong_usage(verb, argc == 1 ? "give one configuration file, or PATRONI_* in the "
                                            "environment"
                                          : "give one configuration file");
    return false;
}

static int cli_run(struct cli *cli, int argc, char **argv)
{
    return has_configuration("run", argc) ? run_agent(cli->program, argc == 2 ? argv[1] : NULL)
                                          : CLI_USAGE;
}

static int cli_witness(struct cli *cli, int argc, char **argv)
{
    (void)cli;
    return has_configuration("witness", argc) ? witness_run(argc == 2 ? argv[1] : NULL) : CLI_USAGE;
}

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: pgquorum FILE                      runs the agent on a configuration file\n"
        "       pgquorum [-c FILE] COMMAND ...     asks or changes a cluster\n"
        "       pgquorum --validate-config FILE    all that is wrong with it; --help tells more\n"
        "       pgquorum --generate-sample-config  a file to begin with (--generate-config: "
        "of a PostgreSQL that runs)\n\n"
        "  -c, --config-file FILE   the same file as the agent's (or "
        "PATRONICTL_CONFIG_FILE)\n"
        "  -d, --dcs-url URL        etcd3://host:port/namespace, or etcd://: in place of the "
        "file's store (or DCS_URL)\n"
        "  -k, --insecure           take any certificate of the members' REST interfaces\n\n"
        "Commands:\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        (void)fprintf(out, "  %-12s %s\n", verbs[i].name, verbs[i].what);
    }
    (void)fprintf(out, "\npgquorum COMMAND --help tells its options.\n");
}

static int cli_help(struct cli *cli, int argc, char **argv)
{
    (void)cli;
    (void)argc;
    (void)argv;
    print_help(stdout);
    return CLI_OK;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
        if (strcmp(argv[i], "--") == 0) {
            return false;
        }
    }
    return false;
}

static int run_verb(struct cli *cli, const struct verb *verb, int argc, char **argv)
{
    if (asks_for_help(argc, argv)) {
        (void)printf("Usage: pgquorum [-c FILE] %s %s\n\n  %s\n", verb->name, verb->usage,
                     verb->what);
        return CLI_OK;
    }
    optind = 0; /* afresh, on the verb's own */
    int status = verb->run(cli, argc, argv);
    if (fflush(stdout) != 0 && status == CLI_OK) {
        status = CLI_ERROR; /* a full disk behind a redirection */
    }
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* A word that is no verb: a file if it looks like one or is there. */
static int run_word(struct cli *cli, int argc, char **argv, bool verbs_only)
{
    const char *word = argv[0];
    bool file = strchr(word, '/') != NULL || strchr(word, '.') != NULL || access(word, F_OK) == 0;
    if (verbs_only || !file) {
        (void)fprintf(stderr,
                      "Usage: pgquorum [-c FILE] COMMAND ...\nError: no command '%s': pgquorum "
                      "help lists them\n",
                      word);
        return CLI_USAGE;
    }
    return argc == 1 ? run_agent(cli->program, word)
                     : cli_wrong_usage("run", "give one configuration file");
}

/* Empty is not given, as for PATRONI_*: compose files have such variables. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

int cli_main(int argc, char **argv)
{
    static const struct option options[] = {{"config-file", required_argument, NULL, 'c'},
                                            {"dcs-url", required_argument, NULL, 'd'},
                                            {"dcs", required_argument, NULL, 'd'},
                                            {"insecure", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    struct cli cli = {.program = argv[0],
                      .config_path = variable("PATRONICTL_CONFIG_FILE"),
                      .dcs_url = variable("DCS_URL")};
    bool verbs_only = strcmp(base_name(argv[0]), "patronictl") == 0;
    bool agent_only = strcmp(base_name(argv[0]), "patroni") == 0;
    bool insecure = false;
    int option = 0;
    if (!verbs_only && cli_setup_asked(argc, argv)) {
        return cli_setup(argc, argv);
    }
    optind = 0; /* glibc: start afresh, whoever read arguments before */
    while ((option = getopt_long(argc, argv, "+c:d:kh", options, NULL)) != -1) {
        switch (option) {
        case 'c': cli.config_path = optarg; break;
        case 'd': cli.dcs_url = optarg; break;
        case 'k': insecure = true; break;
        case 'h': print_help(stdout); return CLI_OK;
        case 'V': (void)printf("pgquorum %s\n", PGQUORUM_VERSION); return CLI_OK;
        default: print_help(stderr); return CLI_USAGE;
        }
    }
    argc -= optind;
    argv += optind;
    if (argc == 0 && !verbs_only && config_environment_given()) {
        return run_agent(cli.program, NULL); /* as Patroni in a container */
    }
    if (argc == 0) {
        print_help(stderr);
        return CLI_USAGE;
    }
    cli_request_insecure(insecure);
    const struct verb *verb = agent_only ? NULL : verb_find(argv[0]);
    int status =
        verb != NULL ? run_verb(&cli, verb, argc, argv) : run_word(&cli, argc, argv, verbs_only);
    cli_session_close(cli.session);
    return status;
}
