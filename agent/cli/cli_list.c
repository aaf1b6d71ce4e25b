/* Verbs that only look: list, topology, history, dsn, version. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/version.h"
#include "base/mem.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MAX_S     86400.0
#define HISTORY_COLUMNS 5

struct list_options {
    bool extended;
    bool timestamp;
    bool topology;
    enum cli_format format;
    double watch_s; /* 0 = once */
};

static int list_once(struct cli *cli, const struct list_options *options, const char *cluster)
{
    struct error err = {0};
    struct dcs_view *view = NULL;
    if (cli_session_read(cli->session, cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = cli_print_members(cli, view, cluster, options->extended, options->topology,
                                   options->format);
    dcs_view_unref(view);
    return status;
}

static int list_all(struct cli *cli, const struct list_options *options, int argc, char **argv)
{
    char now[CLI_TIME_BYTES];
    int status = CLI_OK;
    if (options->timestamp) {
        (void)printf("%s\n", cli_timestamp(0, now));
    }
    if (argc == 0 && cli_cluster(cli, 0, NULL, 0) == NULL) { /* as patronictl */
        (void)fprintf(stderr, "Listing members: No cluster names were provided\n");
        return CLI_OK;
    }
    if (argc == 0) {
        return list_once(cli, options, cli_cluster(cli, 0, NULL, 0));
    }
    for (int i = 0; i < argc; i++) {
        int one = list_once(cli, options, argv[i]);
        status = status != CLI_OK ? status : one;
    }
    return status;
}

static int list_repeat(struct cli *cli, const struct list_options *options, int argc, char **argv)
{
    for (;;) {
        if (options->watch_s > 0 && isatty(STDOUT_FILENO)) {
            (void)printf("\033[2J\033[1;1H");
        }
        int status = list_all(cli, options, argc, argv);
        (void)fflush(stdout);
        if (options->watch_s <= 0) {
            return status;
        }
        cli_session_wait(cli->session, (int64_t)(options->watch_s * 1000));
    }
}

bool cli_watch_arg(const char *verb, const char *text, double *ret_seconds)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(seconds > 0 && seconds <= WATCH_MAX_S)) {
        (void)cli_wrong_usage(verb, "-w needs a number of seconds");
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

static int list_verb(struct cli *cli, int argc, char **argv)
{
    struct list_options options = {.topology = strcmp(argv[0], "topology") == 0};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'e': options.extended = true; break;
        case 't': options.timestamp = true; break;
        case 'W': options.watch_s = CLI_WATCH_DEFAULT_S; break;
        case 'f':
            if (!cli_format_arg(argv[0], optarg, &options.format)) {
                return CLI_USAGE;
            }
            break;
        case 'w':
            if (!cli_watch_arg(argv[0], optarg, &options.watch_s)) {
                return CLI_USAGE;
            }
            break;
        default: return CLI_USAGE;
        }
    }
    return cli_open(cli) ? list_repeat(cli, &options, argc - optind, argv + optind) : CLI_ERROR;
}

int cli_list(struct cli *cli, int argc, char **argv)
{
    return list_verb(cli, argc, argv);
}

int cli_topology(struct cli *cli, int argc, char **argv)
{
    return list_verb(cli, argc, argv);
}

/* --- history ---------------------------------------------------------------------------------- */

static json_t *history_rows(const struct dcs_view *view)
{
    json_t *rows = json_array();
    json_t *history = cluster_doc_key(view, "history");
    for (size_t i = 0; i < json_array_size(history); i++) {
        json_t *row = json_array();
        for (size_t c = 0; c < HISTORY_COLUMNS; c++) {
            json_t *cell = json_array_get(json_array_get(history, i), c);
            (void)json_array_append_new(row, cell != NULL ? json_incref(cell) : json_string(""));
        }
        (void)json_array_append_new(rows, row);
    }
    json_decref(history);
    return rows;
}

static int history_print(const struct dcs_view *view, enum cli_format format)
{
    static const struct cli_column columns[HISTORY_COLUMNS] = {
        {"TL", "TL", true, false},
        {"LSN", "LSN", true, false},
        {"Reason", "Reason", false, false},
        {"Timestamp", "Timestamp", false, false},
        {"New Leader", "New Leader", false, false}};
    struct cli_table table = {
        .columns = columns, .column_count = HISTORY_COLUMNS, .rows = history_rows(view)};
    return cli_say_table_take(&table, format);
}

int cli_history(struct cli *cli, int argc, char **argv)
{
    enum cli_format format = CLI_PRETTY;
    struct dcs_view *view = NULL;
    struct error err = {0};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        if (option != 'f' || !cli_format_arg("history", optarg, &format)) {
            return CLI_USAGE;
        }
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    if (cli_session_read(cli->session, cli_cluster(cli, argc, argv, optind), &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    int status = history_print(view, format);
    dcs_view_unref(view);
    return status;
}

/* --- dsn -------------------------------------------------------------------------------------- */

bool cli_role_matches(const char *role, const char *wanted)
{
    bool leads = strcmp(role, "leader") == 0 || strcmp(role, "standby_leader") == 0;
    if (strcmp(wanted, "any") == 0) {
        return true;
    }
    if (strcmp(wanted, "leader") == 0) {
        return leads;
    }
    if (strcmp(wanted, "primary") == 0) {
        return strcmp(role, "leader") == 0;
    }
    if (strcmp(wanted, "standby-leader") == 0) {
        return strcmp(role, "standby_leader") == 0;
    }
    return !leads; /* replica, standby */
}

bool cli_role_is_known(const char *role)
{
    static const char *const known[] = {"leader",  "primary", "standby-leader",
                                        "replica", "standby", "any"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(role, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int dsn_print(const json_t *doc, const char *role, const char *name)
{
    const json_t *members = json_object_get(doc, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *host = json_string_value(json_object_get(member, "host"));
        bool matches =
            name != NULL
                ? strcmp(json_string_value(json_object_get(member, "name")), name) == 0
                : cli_role_matches(json_string_value(json_object_get(member, "role")), role);
        if (matches && host != NULL) {
            (void)printf("host=%s port=%" JSON_INTEGER_FORMAT "\n", host,
                         json_integer_value(json_object_get(member, "port")));
            return CLI_OK;
        }
    }
    return cli_fail("Can not find a suitable member");
}

int cli_dsn(struct cli *cli, int argc, char **argv)
{
    const char *role = NULL;
    const char *member = NULL;
    struct dcs_view *view = NULL;
    struct error err = {0};
    int option = 0;
    while ((option = cli_option(cli, argc, argv)) != -1) {
        switch (option) {
        case 'r': role = optarg; break;
        case 'm': member = optarg; break;
        default: return CLI_USAGE;
        }
    }
    if (role != NULL && !cli_role_is_known(role)) {
        return cli_wrong_usage("dsn", "no such role");
    }
    if (role != NULL && member != NULL) {
        return cli_fail("--role and --member are mutually exclusive options");
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    const char *cluster = cli_cluster(cli, argc, argv, optind);
    if (cli_session_read(cli->session, cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    json_t *doc = cluster_doc(view, cluster);
    int status = dsn_print(doc, role != NULL ? role : "leader", member);
    json_decref(doc);
    dcs_view_unref(view);
    return status;
}

/* --- version ---------------------------------------------------------------------------------- */

/* 150004 -> "15.4" */
static void server_version_text(const json_t *value, char *ret_text, size_t bytes)
{
    long long number = json_integer_value(value);
    ret_text[0] = '\0';
    if (number > 0) {
        (void)snprintf(ret_text, bytes, " PostgreSQL %lld.%lld", number / 10000, number % 10000);
    }
}

static void version_of(const json_t *member)
{
    const char *name = json_string_value(json_object_get(member, "name"));
    struct cli_reply reply = {0};
    struct error err = {0};
    char server[40];
    int rc = cli_request(json_string_value(json_object_get(member, "api_url")), "/patroni", NULL,
                         CLI_TIMEOUT_MS, &reply, &err);
    if (rc != 0) {
        (void)printf("%s: failed to get version: %s\n", name, err.text);
        return;
    }
    json_t *status = json_loads(reply.text, 0, NULL);
    const char *version =
        json_string_value(json_object_get(json_object_get(status, "patroni"), "version"));
    server_version_text(json_object_get(status, "server_version"), server, sizeof(server));
    const json_t *program = json_object_get(status, "agent"); /* Patroni has none */
    const char *release = json_string_value(json_object_get(program, "version"));
    bool old = json_is_true(json_object_get(program, "fence_of_before"));
    (void)printf("%s: Patroni %s%s%s%s%s\n", name, version != NULL ? version : "unknown", server,
                 release != NULL ? ", pgquorum " : "", release != NULL ? release : "",
                 old ? ", with the fence of before" : "");
    json_decref(status);
    mem_free(reply.text);
}

static bool is_named(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return true;
        }
    }
    return argc == 0;
}

int cli_version(struct cli *cli, int argc, char **argv)
{
    struct dcs_view *view = NULL;
    struct error err = {0};
    if (cli_option(cli, argc, argv) != -1) {
        return CLI_USAGE;
    }
    argc -= optind;
    argv += optind;
    (void)printf("pgquorum version %s\n", PGQUORUM_VERSION);
    if (argc == 0) {
        return CLI_OK;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    if (cli_session_read(cli->session, argv[0], &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    (void)printf("\n");
    json_t *doc = cluster_doc(view, argv[0]);
    const json_t *members = json_object_get(doc, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        if (is_named(json_string_value(json_object_get(member, "name")), argc - 1, argv + 1)) {
            version_of(member);
        }
    }
    json_decref(doc);
    dcs_view_unref(view);
    return CLI_OK;
}
