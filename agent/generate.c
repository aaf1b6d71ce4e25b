/* The file is made as a document, read once as the agent would read it, and written with a few
 * lines of comment before it. Where a value has to be chosen by the operator it says "change-me".
 */
#include "agent/generate.h"

#include "agent/config/config.h"
#include "agent/config/dynamic.h"
#include "agent/config/yaml.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/pg_programs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <libpq-fe.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGE_ME  "change-me"
#define HOST_BYTES 256

static const char sample_header[] =
    "# A member of a cluster of three, to be changed: name and addresses on each node, "
    "partner_addrs\n"
    "# (the raft.self_addr of the other two), passwords. Every key: docs/configuration.md.\n"
    "# pgquorum --validate-config FILE says what is not right yet; pgquorum FILE starts the "
    "member.\n";
static const char instance_header[] =
    "# Made from a PostgreSQL that runs. To be changed: passwords, and partner_addrs (the\n"
    "# raft.self_addr of the others). The role in authentication.replication has to be there, "
    "with\n"
    "# LOGIN and REPLICATION, and pg_hba has to let it in from all members. Every key:\n"
    "# docs/configuration.md. pgquorum --validate-config -i FILE says what is not right yet.\n";

struct place {
    char host[HOST_BYTES]; /* of this host */
    char ip[INET_ADDRSTRLEN];
};

static void find_place(struct place *ret_place)
{
    struct ifaddrs *all = NULL;
    (void)snprintf(ret_place->ip, sizeof(ret_place->ip), "10.0.0.1");
    if (gethostname(ret_place->host, sizeof(ret_place->host)) != 0) {
        (void)snprintf(ret_place->host, sizeof(ret_place->host), "node1");
    }
    ret_place->host[sizeof(ret_place->host) - 1] = '\0';
    ret_place->host[strcspn(ret_place->host, ".")] = '\0';
    if (strlen(ret_place->host) > CONFIG_NAME_BYTES_MAX) {
        ret_place->host[CONFIG_NAME_BYTES_MAX] = '\0';
    }
    if (getifaddrs(&all) != 0) {
        return;
    }
    for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET &&
            (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0) {
            const struct sockaddr_in *address = (const void *)at->ifa_addr;
            (void)inet_ntop(AF_INET, &address->sin_addr, ret_place->ip, sizeof(ret_place->ip));
            break;
        }
    }
    freeifaddrs(all);
}

static void set_text(json_t *object, const char *key, char *text_take)
{
    (void)json_object_set_new(object, key, json_string(text_take));
    mem_free(text_take);
}

/* One v6 address is told from its port by brackets; a list ends with the port. */
static void set_address(json_t *object, const char *key, const char *host, const char *port)
{
    bool bare = strchr(host, ':') != NULL && strchr(host, ',') == NULL;
    set_text(object, key, mem_printf(bare ? "[%s]:%s" : "%s:%s", host, port));
}

/* What is the same in both. */
static json_t *make_base(const struct place *place, const char *scope, const char *raft_dir)
{
    json_t *tree = json_pack(
        "{s:s, s:s, s:{}, s:{s:s, s:[]}, s:{s:{s:i, s:i, s:i, s:i, s:{s:b, s:b, s:{}}}},"
        " s:{s:b, s:b, s:b, s:b}}",
        "scope", scope, "name", place->host, "restapi", "raft", "data_dir", raft_dir,
        "partner_addrs", "bootstrap", "dcs", "ttl", 30, "loop_wait", 10, "retry_timeout", 10,
        "maximum_lag_on_failover", 1048576, "postgresql", "use_pg_rewind", 1, "use_slots", 1,
        "parameters", "tags", "nofailover", 0, "noloadbalance", 0, "clonefrom", 0, "nosync", 0);
    json_t *restapi = json_object_get(tree, "restapi");
    set_text(restapi, "listen", mem_printf("%s:8008", place->ip));
    set_text(restapi, "connect_address", mem_printf("%s:8008", place->ip));
    set_text(json_object_get(tree, "raft"), "self_addr", mem_printf("%s:2222", place->ip));
    return tree;
}

static json_t *dynamic_parameters_of(json_t *tree)
{
    json_t *dcs = json_object_get(json_object_get(tree, "bootstrap"), "dcs");
    return json_object_get(json_object_get(dcs, "postgresql"), "parameters");
}

/* --- out -------------------------------------------------------------------------------------- */

/* What we write ourselves is right, or it is not written. */
static int check(json_t *tree, struct error *err)
{
    struct config config;
    struct config_source source = {.path = "the configuration made", .cwd = "/", .home = "/"};
    int rc = config_from_json(&source, tree, &config, NULL, err);
    if (rc == 0) {
        config_free(&config);
    }
    return rc;
}

static int put(const char *path, const struct buf *text, struct error *err)
{
    int fd = path == NULL ? dup(STDOUT_FILENO)
                          : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        return error_set(err, err_from_errno(errno),
                         "%s: cannot be made: %s: give the path of a file that is not there yet",
                         path != NULL ? path : "standard output", strerror(errno));
    }
    bool written = fwrite(text->data, 1, text->len, file) == text->len;
    int failed = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        failed = errno;
    }
    if (!written && path != NULL) {
        (void)unlink(path); /* half a file would be in the way of the next try */
    }
    return written ? 0
                   : error_set(err, ERR_IO, "%s: cannot be written: %s: make room there",
                               path != NULL ? path : "standard output", strerror(failed));
}

static int finish(const char *path, const char *header, json_t *tree_take)
{
    struct buf text = BUF_INIT;
    struct error err = {0};
    buf_put_str(&text, header);
    int rc = check(tree_take, &err);
    rc = rc != 0 ? rc : yaml_write(tree_take, &text, &err);
    rc = rc != 0 ? rc : put(path, &text, &err);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    buf_free(&text);
    json_decref(tree_take);
    return rc == 0 ? 0 : 1;
}

int generate_sample(const char *path)
{
    struct place place = {.host = ""};
    struct pg_programs programs;
    struct error err = {0};
    find_place(&place);
    json_t *tree = make_base(&place, "cluster", "/var/lib/pgquorum/raft");
    json_t *parameters = dynamic_parameters_of(tree);
    const char *fallback = NULL;
    const char *name = NULL;
    for (size_t i = 0; (name = dynamic_parameters_controlled(i, &fallback)) != NULL; i++) {
        (void)json_object_set_new(parameters, name, json_string(fallback));
    }
    json_t *bootstrap = json_object_get(tree, "bootstrap");
    (void)json_object_set_new(bootstrap, "initdb",
                              json_pack("[{s:s}, s]", "encoding", "UTF8", "data-checksums"));
    (void)json_object_set_new(bootstrap, "pg_hba",
                              json_pack("[s, s]", "host all all 0.0.0.0/0 scram-sha-256",
                                        "host replication replicator 0.0.0.0/0 scram-sha-256"));
    json_t *postgresql =
        json_pack("{s:s, s:{s:{s:s, s:s}, s:{s:s, s:s}}, s:{s:s}}", "data_dir",
                  "/var/lib/pgquorum/data", "authentication", "superuser", "username", "postgres",
                  "password", CHANGE_ME, "replication", "username", "replicator", "password",
                  CHANGE_ME, "parameters", "password_encryption", "scram-sha-256");
    set_text(postgresql, "listen", mem_printf("%s:5432", place.ip));
    set_text(postgresql, "connect_address", mem_printf("%s:5432", place.ip));
    if (pg_programs_find(NULL, NULL, &programs, &err) == 0) {
        (void)json_object_set_new(postgresql, "bin_dir", json_string(programs.dir));
    }
    (void)json_object_set_new(tree, "postgresql", postgresql);
    return finish(path, sample_header, tree);
}

/* --- from an instance ------------------------------------------------------------------------- */

/* What the file, the command line and the environment of the server say; what we give it ourselves
 * stays out. */
static const char settings_sql[] =
    "SELECT name, current_setting(name) FROM pg_catalog.pg_settings"
    " WHERE source IN ('configuration file', 'command line', 'environment variable')"
    " AND context <> 'internal' AND name NOT LIKE 'recovery\\_target%' AND name NOT IN"
    " ('listen_addresses', 'port', 'cluster_name', 'data_directory', 'config_file', 'hba_file',"
    " 'ident_file', 'external_pid_file', 'primary_conninfo', 'primary_slot_name',"
    " 'promote_trigger_file', 'synchronous_standby_names', 'restore_command',"
    " 'archive_cleanup_command', 'recovery_end_command', 'recovery_min_apply_delay',"
    " 'wal_keep_segments') ORDER BY name";
static const char user_sql[] = "SELECT session_user, current_setting('is_superuser')";
/* Of which a superuser alone may see some. */
static const char facts_sql[] =
    "SELECT current_setting('data_directory') AS data_directory,"
    " current_setting('config_file') AS config_file, current_setting('port'),"
    " current_setting('listen_addresses') AS listen_addresses,"
    " current_setting('cluster_name') AS cluster_name,"
    " (SELECT setting FROM pg_catalog.pg_config() WHERE name = 'BINDIR') AS bindir, session_user,"
    " (SELECT rolname FROM pg_catalog.pg_roles WHERE rolreplication AND rolcanlogin"
    "  AND NOT rolsuper ORDER BY 1 LIMIT 1) AS replication";
enum fact {
    FACT_DATA_DIR,
    FACT_CONFIG_FILE,
    FACT_PORT,
    FACT_LISTEN,
    FACT_CLUSTER,
    FACT_BIN_DIR,
    FACT_USER,
    FACT_REPLICATION,
    FACT_COUNT
};

/* Files and settings are bytes to PostgreSQL, whatever the encoding of the database is: they come
 * as they are. What is no UTF-8 cannot stand in our file, and is not left out: a line of pg_hba may
 * be what keeps somebody out. */
static int text_of(const char *bytes, const char *what, const char *which, json_t **ret_text,
                   struct error *err)
{
    *ret_text = json_string(bytes);
    return *ret_text != NULL ? 0
                             : error_set(err, ERR_INVALID,
                                         "%s %s is no UTF-8, which a configuration has to be: "
                                         "change it in PostgreSQL's own files first",
                                         what, which);
}

/* NULL: `err` says why. */
static PGresult *ask(PGconn *conn, const char *sql, struct error *err)
{
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        return result;
    }
    const char *why = PQerrorMessage(conn);
    (void)error_set(err, ERR_IO, "asking PostgreSQL: %.*s", (int)strcspn(why, "\n"), why);
    PQclear(result);
    return NULL;
}

static int connect_to(const char *dsn, PGconn **ret_conn, struct error *err)
{
    const char *const names[] = {"dbname",          "connect_timeout", "application_name",
                                 "client_encoding", "options",         NULL};
    const char *const values[] = {dsn != NULL ? dsn : "dbname=postgres",
                                  "5",
                                  "pgquorum",
                                  "SQL_ASCII", /* nothing is converted: text_of */
                                  "-c search_path=pg_catalog -c statement_timeout=10000",
                                  NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);
    if (PQstatus(conn) == CONNECTION_OK) {
        *ret_conn = conn;
        return 0;
    }
    const char *why = PQerrorMessage(conn);
    int rc = error_set(err, ERR_IO,
                       "connecting to PostgreSQL: %.*s: give a superuser's connection in --dsn, "
                       "such as 'host=10.0.0.1 user=postgres password=...'",
                       (int)strcspn(why, "\n"), why);
    PQfinish(conn);
    return rc;
}

/* The lines that say something, of a file that is named by a setting. */
static int add_lines(PGconn *conn, const char *setting, const char *key, json_t *postgresql,
                     struct error *err)
{
    char *sql = mem_printf("SELECT line, 'line ' || number FROM pg_catalog.regexp_split_to_table("
                           "pg_catalog.pg_read_file(current_setting('%s')), E'\\r?\\n')"
                           " WITH ORDINALITY lines(line, number) WHERE line !~ '^\\s*(#|$)'",
                           setting);
    PGresult *result = ask(conn, sql, err);
    mem_free(sql);
    if (result == NULL) {
        return ERR_IO;
    }
    json_t *lines = json_array();
    int rc = 0;
    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        json_t *line = NULL;
        rc = text_of(PQgetvalue(result, i, 0), setting, PQgetvalue(result, i, 1), &line, err);
        (void)json_array_append_new(lines, line);
    }
    if (json_array_size(lines) > 0) {
        (void)json_object_set(postgresql, key, lines);
    }
    json_decref(lines);
    PQclear(result);
    return rc;
}

static bool is_controlled(const char *name)
{
    const char *fallback = NULL;
    const char *at = NULL;
    size_t i = 0;
    do {
        at = dynamic_parameters_controlled(i++, &fallback);
    } while (at != NULL && strcmp(at, name) != 0);
    return at != NULL;
}

/* One that PATCH /config would refuse (wal_level minimal) is told, and left to its default. */
static void add_controlled(json_t *parameters, const char *name, json_t *value)
{
    struct error err = {0};
    json_t *one = json_pack("{s:O}", name, value);
    if (dynamic_parameters_check(one, NULL, &err) == 0) {
        (void)json_object_update(parameters, one);
    } else {
        (void)fprintf(stderr, "warning: %s: left out\n", err.text);
    }
    json_decref(one);
}

static int add_settings(PGconn *conn, json_t *tree, json_t *local, struct error *err)
{
    PGresult *result = ask(conn, settings_sql, err);
    json_t *dynamic = dynamic_parameters_of(tree);
    if (result == NULL) {
        return ERR_IO;
    }
    int rc = 0;
    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        const char *name = PQgetvalue(result, i, 0);
        json_t *value = NULL;
        rc = text_of(PQgetvalue(result, i, 1), "the setting", name, &value, err);
        if (rc == 0 && is_controlled(name)) {
            add_controlled(dynamic, name, value);
        } else if (rc == 0) {
            (void)json_object_set(local, name, value);
        }
        json_decref(value);
    }
    PQclear(result);
    return rc;
}

static bool is_own(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

void generate_addresses(const char *ip, const char *addresses, const char *port, json_t *postgresql)
{
    char *all = mem_strdup(addresses);
    char *rest = NULL;
    struct buf listen = BUF_INIT;
    const char *reached = NULL;
    bool every = false;
    for (char *host = strtok_r(all, ", ", &rest); host != NULL;
         host = strtok_r(NULL, ", ", &rest)) {
        bool any =
            strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
        buf_printf(&listen, "%s%s", listen.len > 0 ? "," : "", any ? "*" : host);
        reached = reached == NULL && !any && !is_own(host) ? host : reached;
        every = every || any;
    }
    if (reached == NULL && !every) {
        (void)fprintf(stderr,
                      "warning: postgresql.listen: it listens where no other host reaches it "
                      "('%s'): %s is put there\n",
                      addresses, ip);
        buf_printf(&listen, "%s%s", listen.len > 0 ? "," : "", ip);
    }
    set_address(postgresql, "listen", every ? "*" : buf_str(&listen), port);
    set_address(postgresql, "connect_address", reached != NULL && !every ? reached : ip, port);
    buf_free(&listen);
    mem_free(all);
}

static json_t *make_accounts(const char *password, const PGresult *facts)
{
    bool known = PQgetisnull(facts, 0, FACT_REPLICATION) == 0;
    return json_pack(
        "{s:{s:s, s:s}, s:{s:s, s:s}}", "superuser", "username", PQgetvalue(facts, 0, FACT_USER),
        "password", password[0] != '\0' ? password : CHANGE_ME, "replication", "username",
        known ? PQgetvalue(facts, 0, FACT_REPLICATION) : "replicator", "password", CHANGE_ME);
}

/* NULL: `err` says why. */
static PGresult *ask_facts(PGconn *conn, struct error *err)
{
    PGresult *user = ask(conn, user_sql, err);
    PGresult *facts = NULL;
    int rc = 0;
    if (user != NULL && strcmp(PQgetvalue(user, 0, 1), "on") != 0) {
        (void)error_set(err, ERR_PERMISSION,
                        "'%s' is no superuser: give the connection of one in --dsn",
                        PQgetvalue(user, 0, 0));
    } else if (user != NULL) {
        facts = ask(conn, facts_sql, err);
    }
    for (int i = 0; facts != NULL && rc == 0 && i < FACT_COUNT; i++) {
        json_t *text = NULL;
        rc = text_of(PQgetvalue(facts, 0, i), "the value of", PQfname(facts, i), &text, err);
        json_decref(text);
    }
    if (rc != 0) {
        PQclear(facts);
        facts = NULL;
    }
    PQclear(user);
    return facts;
}

/* "<config_dir>/<config_base_name>.conf", where they are not what they are by default. */
static void add_config_places(const char *config_file, const char *data_dir, json_t *postgresql)
{
    const char *slash = strrchr(config_file, '/');
    const char *end = slash == NULL ? NULL : strstr(slash, ".conf");
    if (end == NULL || end[strlen(".conf")] != '\0') {
        return;
    }
    char *dir = mem_strndup(config_file, (size_t)(slash - config_file));
    char *name = mem_strndup(slash + 1, (size_t)(end - slash - 1));
    if (strcmp(dir, data_dir) != 0) {
        (void)json_object_set_new(postgresql, "config_dir", json_string(dir));
    }
    if (strcmp(name, "postgresql") != 0) {
        (void)json_object_set_new(postgresql, "config_base_name", json_string(name));
    }
    mem_free(dir);
    mem_free(name);
}

static int build(PGconn *conn, const PGresult *facts, json_t **ret_tree, struct error *err)
{
    struct place place = {.host = ""};
    const char *password = PQpass(conn) != NULL ? PQpass(conn) : "";
    json_t *text = NULL;
    int rc = text_of(password, "the password of", PQgetvalue(facts, 0, FACT_USER), &text, err);
    json_decref(text);
    if (rc != 0) {
        return rc;
    }
    find_place(&place);
    const char *cluster = PQgetvalue(facts, 0, FACT_CLUSTER);
    const char *data_dir = PQgetvalue(facts, 0, FACT_DATA_DIR);
    char *raft_dir = mem_printf("%s.raft", data_dir);
    json_t *tree = make_base(&place, cluster[0] != '\0' ? cluster : "cluster", raft_dir);
    json_t *local = json_object();
    json_t *postgresql = json_pack("{s:s, s:s, s:o, s:o}", "data_dir", data_dir, "bin_dir",
                                   PQgetvalue(facts, 0, FACT_BIN_DIR), "authentication",
                                   make_accounts(password, facts), "parameters", local);
    mem_free(raft_dir);
    (void)json_object_set_new(tree, "postgresql", postgresql);
    add_config_places(PQgetvalue(facts, 0, FACT_CONFIG_FILE), data_dir, postgresql);
    generate_addresses(place.ip, PQgetvalue(facts, 0, FACT_LISTEN), PQgetvalue(facts, 0, FACT_PORT),
                       postgresql);
    rc = add_settings(conn, tree, local, err);
    rc = rc != 0 ? rc : add_lines(conn, "hba_file", "pg_hba", postgresql, err);
    rc = rc != 0 ? rc : add_lines(conn, "ident_file", "pg_ident", postgresql, err);
    if (rc == 0) {
        *ret_tree = tree;
    } else {
        json_decref(tree);
    }
    return rc;
}

int generate_from_instance(const char *path, const char *dsn)
{
    struct error err = {0};
    PGconn *conn = NULL;
    json_t *tree = NULL;
    int rc = connect_to(dsn, &conn, &err);
    PGresult *facts = rc == 0 ? ask_facts(conn, &err) : NULL;
    if (facts != NULL) {
        rc = build(conn, facts, &tree, &err);
    } else {
        rc = err.code;
    }
    PQclear(facts);
    PQfinish(conn);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return finish(path, instance_header, tree);
}
