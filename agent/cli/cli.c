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
    const char *name; /* in cli_grammar too */
    int (*run)(struct cli *cli, int argc, char **argv);
};

static const struct verb verbs[] = {
    {"run", cli_run},
    {"witness", cli_witness},
    {"list", cli_list},
    {"topology", cli_topology},
    {"switchover", cli_switchover},
    {"failover", cli_failover},
    {"restart", cli_restart},
    {"reinit", cli_reinit},
    {"flush", cli_flush},
    {"pause", cli_pause},
    {"resume", cli_resume},
    {"demote-cluster", cli_demote_cluster},
    {"promote-cluster", cli_promote_cluster},
    {"show-config", cli_show_config},
    {"edit-config", cli_edit_config},
    {"reload", cli_reload},
    {"reexec", cli_reexec},
    {"history", cli_history},
    {"dsn", cli_dsn},
    {"query", cli_query},
    {"remove", cli_remove},
    {"raft", cli_raft},
    {"import-etcd", cli_import_etcd},
    {"explain", cli_explain},
    {"version", cli_version},
    {"completion", cli_completion},
    {"help", cli_help},
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
    (void)fflush(stdout);
    (void)fprintf(stderr, "Error: %s; pgquorum %s --help tells what it takes\n", text, name);
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
    cli_session_group(cli->session, cli->group);
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

int cli_print_members(const struct cli *cli, const struct dcs_view *view, const char *cluster,
                      bool extended, bool topology, enum cli_format format)
{
    struct members_print print = {.cluster = cluster,
                                  .citus = cli->group >= 0,
                                  .group = cli->group,
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

int cli_print_some(const struct cli *cli, const struct dcs_view *view, const json_t *doc,
                   const char *cluster)
{
    if (json_array_size(json_object_get(doc, "members")) == 0) {
        return cli_fail("%s cluster doesn't have any members", cluster);
    }
    return cli_print_members(cli, view, cluster, false, false, CLI_PRETTY);
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
static bool has_configuration(struct cli *cli, int argc, char **argv)
{
    if (cli_option(cli, argc, argv) != -1) {
        return false;
    }
    argc -= optind;
    if (argc == 1 || (argc == 0 && config_environment_given())) {
        return true;
    }
    (void)cli_wrong_usage(argv[0], argc == 0 ? "give one configuration file, or PATRONI_* in the "
                                               "environment"
                                             : "give one configuration file");
    return false;
}

static int cli_run(struct cli *cli, int argc, char **argv)
{
    return has_configuration(cli, argc, argv) ? run_agent(cli->program, argv[optind]) : CLI_USAGE;
}

static int cli_witness(struct cli *cli, int argc, char **argv)
{
    return has_configuration(cli, argc, argv) ? witness_run(argv[optind]) : CLI_USAGE;
}

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: pgquorum FILE                      runs the agent on a configuration file\n"
        "       pgquorum [-c FILE] COMMAND ...     asks or changes a cluster\n"
        "       pgquorum --validate-config FILE    all that is wrong with it; --help tells more\n"
        "       pgquorum --generate-sample-config  a file to begin with (--generate-config: "
        "of a PostgreSQL that runs)\n\n");
    struct buf options = BUF_INIT;
    cli_grammar_options(cli_grammar[0].options, &options);
    (void)fprintf(out, "%s\nCommands:\n", buf_str(&options));
    buf_free(&options);
    for (size_t i = 1; i < cli_grammar_count; i++) {
        (void)fprintf(out, "  %-15s %s\n", cli_grammar[i].verb, cli_grammar[i].what);
    }
    (void)fprintf(out, "\npgquorum COMMAND --help tells its options.\n");
}

static int cli_help(struct cli *cli, int argc, char **argv)
{
    if (cli_option(cli, argc, argv) != -1) {
        return CLI_USAGE;
    }
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

static void print_verb_help(const struct cli_grammar *grammar)
{
    struct buf text = BUF_INIT;
    buf_put_str(&text, "Usage: pgquorum [-c FILE] ");
    cli_grammar_usage(grammar, &text);
    buf_printf(&text, "\n\n  %s\n%s", grammar->what, grammar->options[0].id != 0 ? "\n" : "");
    cli_grammar_options(grammar->options, &text);
    (void)printf("%s", buf_str(&text));
    buf_free(&text);
}

static int run_verb(struct cli *cli, const struct verb *verb, int argc, char **argv)
{
    if (asks_for_help(argc, argv)) {
        print_verb_help(cli_grammar_of(verb->name));
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
        (void)fprintf(stderr, "Error: no command '%s': pgquorum help lists them\n", word);
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

bool cli_is_client_of_postgresql(int argc, char **argv)
{
    char fault[160];
    optind = 0;
    while (cli_option_next(cli_grammar[0].options, "+:", argc, argv, fault, sizeof(fault)) != -1) {
        /* on to the verb */
    }
    return optind < argc && strcmp(argv[optind], "query") == 0;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {.program = argv[0],
                      .group = -1,
                      .config_path = variable("PATRONICTL_CONFIG_FILE"),
                      .dcs_url = variable("DCS_URL")};
    bool verbs_only = strcmp(base_name(argv[0]), "patronictl") == 0;
    bool agent_only = strcmp(base_name(argv[0]), "patroni") == 0;
    bool insecure = false;
    char fault[160];
    int option = 0;
    if (!verbs_only && cli_setup_asked(argc, argv)) {
        return cli_setup(argc, argv);
    }
    optind = 0; /* glibc: start afresh, whoever read arguments before */
    while ((option = cli_option_next(cli_grammar[0].options, "+:", argc, argv, fault,
                                     sizeof(fault))) != -1) {
        switch (option) {
        case 'c': cli.config_path = optarg; break;
        case 'd': cli.dcs_url = optarg; break;
        case 'k': insecure = true; break;
        case 'h': print_help(stdout); return CLI_OK;
        case 'V': (void)printf("pgquorum %s\n", PGQUORUM_VERSION); return CLI_OK;
        default:
            (void)fprintf(stderr, "Error: %s; pgquorum --help tells what there is\n", fault);
            return CLI_USAGE;
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
