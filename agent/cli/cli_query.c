/* query: SQL on one member, by libpq in its waiting form: each round has a connection of its own,
 * so that the next one goes to whoever has the role then. What PostgreSQL or the network refuse is
 * a row with the time, as with patronictl: the verb goes on, and ends with 0. */
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/cli/query_result.h"
#include "base/buf.h"
#include "base/mem.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_BYTES_MAX     ((size_t)16 * 1024 * 1024)
#define READ_CHUNK        65536
#define CONNECT_TIMEOUT_S "5"
#define CONN_WORDS        11

struct query {
    struct cli *cli;
    const char *cluster;
    const char *command; /* one of these two */
    const char *file;
    const char *username;
    const char *dbname;
    const char *role;
    const char *member;
    const char *delimiter;
    bool ask_password;
    double watch_s; /* 0 = once */
    enum cli_format format;
    char *sql;      /* owned, as the next */
    char *password; /* NULL = none was asked for */
};

/* --- printing --------------------------------------------------------------------------------- */

/* A row that tells of a failure: in tsv and in a table it has no header that would be its own. */
static int print_failure(const struct query *q, const char *text)
{
    static const struct cli_column columns[] = {{"Time", "Time", false, false},
                                                {"Message", "Message", false, false}};
    char now[CLI_TIME_BYTES];
    char *line = mem_strdup(text);
    for (char *at = line; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at;
    }
    size_t len = strlen(line);
    while (len > 0 && line[len - 1] == ' ') {
        line[--len] = '\0';
    }
    struct cli_table table = {.columns = columns,
                              .column_count = 2,
                              .rows = json_pack("[[s, s]]", cli_timestamp(0, now), line),
                              .delimiter = q->delimiter,
                              .no_header = true};
    mem_free(line);
    if (table.rows == NULL) {
        table.rows = json_pack("[[s, s]]", now, "the message is no UTF-8");
    }
    return cli_say_table_take(&table, q->format);
}

static int print_rows(const struct query *q, const PGresult *result)
{
    int width = PQnfields(result);
    struct cli_column *columns = mem_new_array(struct cli_column, (size_t)width + 1);
    json_t *rows = json_array();
    bool typed = q->format == CLI_JSON || q->format == CLI_YAML;
    for (int c = 0; c < width; c++) {
        columns[c] = (struct cli_column){.key = PQfname(result, c), .title = PQfname(result, c)};
    }
    for (int r = 0; r < PQntuples(result); r++) {
        json_t *row = json_array();
        for (int c = 0; c < width; c++) {
            const char *text = PQgetisnull(result, r, c) ? NULL : PQgetvalue(result, r, c);
            (void)json_array_append_new(row, query_cell(text, PQftype(result, c), typed));
        }
        (void)json_array_append_new(rows, row);
    }
    struct cli_table table = {
        .columns = columns, .column_count = (size_t)width, .rows = rows, .delimiter = q->delimiter};
    int status = cli_say_table_take(&table, q->format);
    mem_free(columns);
    return status;
}

static int print_result(const struct query *q, const PGresult *result, const PGconn *conn)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK: return print_rows(q, result);
    case PGRES_COMMAND_OK: return print_failure(q, PQcmdStatus((PGresult *)(uintptr_t)result));
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH: return print_failure(q, "ERROR: COPY from or to here: give it to psql");
    default: break;
    }
    char *text = mem_printf(
        "ERROR, SQLSTATE: %s%s%s", code != NULL ? code : "", code != NULL ? " " : "",
        result != NULL && PQresultErrorMessage(result)[0] != '\0' ? PQresultErrorMessage(result)
                                                                  : PQerrorMessage(conn));
    int status = print_failure(q, text);
    mem_free(text);
    return status;
}

/* --- connecting ------------------------------------------------------------------------------- */

/* NULL: nobody of that name, or role, has an address. */
static const json_t *find_member(const struct query *q, const json_t *doc)
{
    const json_t *members = json_object_get(doc, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *name = json_string_value(json_object_get(member, "name"));
        bool matches =
            q->member != NULL
                ? strcmp(name, q->member) == 0
                : cli_role_matches(json_string_value(json_object_get(member, "role")), q->role);
        if (matches && json_string_value(json_object_get(member, "host")) != NULL) {
            return member;
        }
    }
    return NULL;
}

static PGconn *connect_to(const struct query *q, const json_t *member)
{
    char port[24];
    const char *names[CONN_WORDS + 1] = {"host",
                                         "port",
                                         "user",
                                         "password",
                                         "dbname",
                                         "fallback_application_name",
                                         "connect_timeout",
                                         "keepalives_idle",
                                         "keepalives_interval",
                                         "keepalives_count",
                                         "tcp_user_timeout"};
    const char *values[CONN_WORDS + 1] = {json_string_value(json_object_get(member, "host")),
                                          port,
                                          q->username,
                                          q->password,
                                          q->dbname,
                                          "pgquorum query",
                                          CONNECT_TIMEOUT_S,
                                          "5", /* a host that is lost is noticed within 20 s */
                                          "5",
                                          "3",
                                          "15000"};
    (void)snprintf(port, sizeof(port), "%lld",
                   (long long)json_integer_value(json_object_get(member, "port")));
    return PQconnectdbParams(names, values, 0);
}

/* The key may say that somebody leads who does not any more. */
static bool has_role(const struct query *q, PGconn *conn)
{
    if (q->member != NULL || strcmp(q->role, "any") == 0 || strcmp(q->role, "leader") == 0) {
        return true;
    }
    PGresult *result = PQexec(conn, "SELECT pg_catalog.pg_is_in_recovery()");
    bool known = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    bool in_recovery = known && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return known && in_recovery == (strcmp(q->role, "primary") != 0);
}

static int print_nobody(const struct query *q)
{
    char *text = q->member != NULL
                     ? mem_printf("No connection to member %s is available", q->member)
                     : mem_printf("No connection to role '%s' is available", q->role);
    int status = print_failure(q, text);
    mem_free(text);
    return status;
}

static int query_member(const struct query *q, const json_t *member)
{
    PGconn *conn = connect_to(q, member);
    int status = CLI_OK;
    if (PQstatus(conn) != CONNECTION_OK) {
        char *text = mem_printf("ERROR, SQLSTATE: %s", PQerrorMessage(conn));
        status = print_failure(q, text);
        mem_free(text);
    } else if (!has_role(q, conn)) {
        status = print_nobody(q);
    } else {
        (void)PQsetClientEncoding(conn, "UTF8");
        PGresult *result = PQexec(conn, q->sql);
        status = print_result(q, result, conn);
        PQclear(result);
    }
    PQfinish(conn);
    return status;
}

static int query_once(const struct query *q)
{
    struct dcs_view *view = NULL;
    struct error err = {0};
    if (cli_session_read(q->cli->session, q->cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    json_t *doc = cluster_doc(view, q->cluster);
    const json_t *member = find_member(q, doc);
    int status = member != NULL ? query_member(q, member) : print_nobody(q);
    json_decref(doc);
    dcs_view_unref(view);
    return status;
}

static int query_until(struct query *q)
{
    for (;;) {
        int status = query_once(q);
        (void)fflush(stdout);
        if (status != CLI_OK || q->watch_s <= 0) {
            return status;
        }
        cli_session_wait(q->cli->session, (int64_t)(q->watch_s * 1000));
    }
}

/* --- the arguments ---------------------------------------------------------------------------- */

static int read_sql(struct query *q)
{
    struct buf text = BUF_INIT;
    bool is_stdin = q->file != NULL && strcmp(q->file, "-") == 0;
    if (q->file == NULL) {
        q->sql = mem_strdup(q->command);
        return CLI_OK;
    }
    FILE *file = is_stdin ? stdin : fopen(q->file, "re");
    if (file == NULL) {
        return cli_wrong_usage("query", "the file of --file cannot be read");
    }
    while (!feof(file) && !ferror(file) && text.len <= SQL_BYTES_MAX) {
        buf_reserve(&text, READ_CHUNK);
        text.len += fread(text.data + text.len, 1, READ_CHUNK, file);
    }
    bool failed = ferror(file) != 0;
    if (!is_stdin) {
        (void)fclose(file);
    }
    (void)buf_str(&text);
    bool whole = !failed && text.len <= SQL_BYTES_MAX && strlen((char *)text.data) == text.len;
    q->sql = buf_take(&text);
    return whole ? CLI_OK
                 : cli_fail("%s: cannot be read, or is no SQL: a text of at most %zu bytes, "
                            "without bytes of zero",
                            q->file, SQL_BYTES_MAX);
}

static int check(struct query *q)
{
    if (q->role != NULL && q->member != NULL) {
        return cli_fail("--role and --member are mutually exclusive options");
    }
    if (q->command != NULL && q->file != NULL) {
        return cli_fail("--file and --command are mutually exclusive options");
    }
    if (q->command == NULL && q->file == NULL) {
        return cli_fail("You need to specify either --command or --file");
    }
    q->role = q->role == NULL ? "leader" : q->role;
    return CLI_OK;
}

/* CLI_USAGE: it was told. */
static int take_option(struct query *q, int option)
{
    switch (option) {
    case 'c': q->command = optarg; return CLI_OK;
    case 'f': q->file = optarg; return CLI_OK;
    case 'U': q->username = optarg; return CLI_OK;
    case 'd': q->dbname = optarg; return CLI_OK;
    case 'm': q->member = optarg; return CLI_OK;
    case 'D': q->delimiter = optarg; return CLI_OK;
    case 'P': q->ask_password = true; return CLI_OK;
    case 'W': q->watch_s = q->watch_s > 0 ? q->watch_s : CLI_WATCH_DEFAULT_S; return CLI_OK;
    case 'w': return cli_watch_arg("query", optarg, &q->watch_s) ? CLI_OK : CLI_USAGE;
    case 'o': return cli_format_arg("query", optarg, &q->format) ? CLI_OK : CLI_USAGE;
    case 'r':
        q->role = optarg;
        return cli_role_is_known(optarg) ? CLI_OK : cli_wrong_usage("query", "no such role");
    default: return CLI_USAGE;
    }
}

static int prepare_and_run(struct query *q, int argc, char **argv)
{
    int status = check(q);
    if (status == CLI_OK && q->ask_password) {
        q->password = cli_prompt_hidden("Password");
        status = q->password != NULL ? CLI_OK : CLI_ERROR;
    }
    status = status != CLI_OK ? status : read_sql(q);
    if (status != CLI_OK || !cli_open(q->cli)) {
        return status != CLI_OK ? status : CLI_ERROR;
    }
    q->cluster = cli_cluster(q->cli, argc, argv, optind);
    /* These would lead elsewhere than to the member that was found. */
    (void)unsetenv("PGHOSTADDR");
    (void)unsetenv("PGSERVICE");
    return query_until(q);
}

int cli_query(struct cli *cli, int argc, char **argv)
{
    struct query q = {.cli = cli, .format = CLI_TSV};
    int option = 0;
    int status = CLI_OK;
    while (status == CLI_OK && (option = cli_option(cli, argc, argv)) != -1) {
        status = take_option(&q, option);
    }
    if (status == CLI_OK && cli_arguments(argc, argv, optind, 1)) {
        status = prepare_and_run(&q, argc, argv);
    } else {
        status = CLI_USAGE;
    }
    mem_free(q.password);
    mem_free(q.sql);
    return status;
}
