/* `postgresql`: where the instance is, how it is reached, and as whom. */
#include "agent/config/sections.h"

#include "agent/config/dynamic.h"
#include "base/mem.h"
#include "pgctl/pg_hba.h"
#include "pgctl/pg_parse.h"

#include <string.h>

#define POSTGRES_PORT        5432
#define HOOK_TIMEOUT_S       60
#define PG_CTL_TIMEOUT_S     60
#define CONFIG_BASE_NAME_MAX 63

static int read_security_key(const struct reader *r, const struct section *s, const char *cwd,
                             enum pg_security_key key, const char **ret_value)
{
    const struct pg_security_row *row = &pg_security_rows[key];
    int rc = reader_text(r, s, row->name, READER_OPTIONAL, ret_value);
    if (rc != 0 || *ret_value == NULL || pg_security_has_word(row, *ret_value)) {
        return rc;
    }
    if (row->kind == PG_SECURITY_WORD) {
        return reader_fail(r, s, row->name, "'%.40s' is none of its values: give one of: %s",
                           *ret_value, row->words);
    }
    return row->kind == PG_SECURITY_FILE
               ? reader_path(r, s, row->name, cwd, READER_OPTIONAL, ret_value)
               : 0;
}

static int read_account(const struct reader *r, const struct config_source *source,
                        const struct section *authentication, const char *key, bool required,
                        struct pg_account *ret_account)
{
    struct section s;
    const char *path = config_keep_text(r->memory, mem_printf("postgresql.authentication.%s", key));
    int rc = reader_section(r, authentication, key, path, &s);
    rc = rc != 0 ? rc
                 : reader_text(r, &s, "username", required ? READER_REQUIRED : READER_OPTIONAL,
                               &ret_account->username);
    rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &ret_account->password);
    if (rc == 0 && ret_account->username != NULL &&
        strlen(ret_account->username) >= PG_NAME_BYTES) {
        return reader_fail(r, &s, "username",
                           "is too long for a role's name: give less than %d bytes", PG_NAME_BYTES);
    }
    for (int i = 0; rc == 0 && i < PG_SECURITY_COUNT; i++) {
        rc = pg_security_rows[i].kind == PG_SECURITY_COMMON
                 ? 0
                 : read_security_key(r, &s, source->cwd, (enum pg_security_key)i,
                                     &ret_account->security.values[i]);
    }
    return rc;
}

/* Without a name the superuser is taken, with what is given there. */
static int check_rewind(const struct reader *r, const struct pg_account *rewind)
{
    const struct section s = {.name = "postgresql.authentication.rewind"};
    for (size_t i = 0; rewind->username == NULL && i < PG_SECURITY_COUNT; i++) {
        bool common = pg_security_rows[i].kind == PG_SECURITY_COMMON;
        if (!common && rewind->security.values[i] != NULL) {
            return reader_fail(r, &s, pg_security_rows[i].name,
                               "stands there without a username: give both, or neither (then the "
                               "superuser is taken)");
        }
    }
    return 0;
}

static int read_authentication(const struct reader *r, const struct config_source *source,
                               const struct section *postgresql, struct config_postgresql *p)
{
    struct section s;
    int rc = reader_section(r, postgresql, "authentication", "postgresql.authentication", &s);
    rc = rc != 0 ? rc : read_account(r, source, &s, "superuser", false, &p->superuser);
    rc = rc != 0 ? rc : read_account(r, source, &s, "replication", true, &p->replication);
    rc = rc != 0 ? rc : read_account(r, source, &s, "rewind", false, &p->rewind);
    return rc != 0 ? rc : check_rewind(r, &p->rewind);
}

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

static int read_parameters(const struct reader *r, const struct section *s,
                           struct config_postgresql *p)
{
    struct section parameters;
    const char *name;
    json_t *value;
    int rc = reader_section(r, s, "parameters", "postgresql.parameters", &parameters);
    if (rc != 0) {
        return rc;
    }
    json_object_foreach((json_t *)(uintptr_t)parameters.object, name, value)
    {
        if (!is_scalar(value)) {
            return reader_fail(
                r, &parameters, name,
                "a list or mapping is no value of a parameter: give a text, a number, "
                "true or false");
        }
    }
    p->parameters =
        parameters.object != NULL ? parameters.object : config_keep_json(r->memory, json_object());
    return 0;
}

int section_recovery_conf(const struct reader *r, const struct section *parent, const char *path,
                          struct pg_parameters *ret_recovery_conf)
{
    struct section s;
    const char *name;
    json_t *value;
    int rc = reader_section(r, parent, "recovery_conf", path, &s);
    if (rc != 0 || s.object == NULL) {
        return rc;
    }
    struct pg_parameter *items =
        config_keep(r->memory, mem_new_array(struct pg_parameter, json_object_size(s.object) + 1));
    size_t count = 0;
    json_object_foreach((json_t *)(uintptr_t)s.object, name, value)
    {
        bool on = false;
        items[count].name = config_keep_text(r->memory, mem_strdup(name));
        if (json_is_boolean(value) && dynamic_bool(value, &on)) {
            items[count].value = on ? "on" : "off";
        } else {
            rc = reader_text(r, &s, name, READER_OPTIONAL, &items[count].value);
        }
        if (rc != 0) {
            return rc;
        }
        count += items[count].value != NULL ? 1 : 0;
    }
    struct error why = {0};
    *ret_recovery_conf = (struct pg_parameters){.items = items, .count = count};
    return pg_parameters_check(ret_recovery_conf, &why) == 0
               ? 0
               : reader_fail(r, &s, NULL, "%s", why.text);
}

/* A line that PostgreSQL cannot read keeps it from starting. It is not shown, nor are its options:
 * passwords may be in it, and what is told goes to the log and to whoever reads the REST API. */
static int read_rules(const struct reader *r, const struct section *s, const char *key,
                      bool everywhere,
                      int (*check)(const char *line, bool everywhere, struct error *err),
                      struct pg_lines *ret_lines)
{
    int rc = reader_lines(r, s, key, ret_lines);
    for (size_t i = 0; rc == 0 && reader_get(s, key) != NULL && i < ret_lines->count; i++) {
        struct error why = {0};
        if (check(ret_lines->items[i], everywhere, &why) != 0) {
            rc = reader_fail(r, s, key, "its item %zu: %s", i + 1, why.text);
        }
    }
    return rc;
}

static int read_switches(const struct reader *r, const struct section *s,
                         struct config_postgresql *p)
{
    int seconds = p->pg_ctl_timeout_ms / 1000;
    int rc = reader_bool(r, s, "remove_data_directory_on_rewind_failure",
                         &p->remove_data_directory_on_rewind_failure);
    rc = rc != 0 ? rc
                 : reader_bool(r, s, "remove_data_directory_on_diverged_timelines",
                               &p->remove_data_directory_on_diverged_timelines);
    rc = rc != 0 ? rc : reader_int(r, s, "pg_ctl_timeout", 1, 86400, &seconds);
    p->pg_ctl_timeout_ms = seconds * 1000;
    return rc;
}

/* What the others can reach when only `listen` is given: its first address, unless that is every
 * address. */
static int default_connect(const struct reader *r, const struct section *s,
                           struct config_postgresql *p)
{
    size_t len = strcspn(p->listen.host, ",");
    char *host = mem_strndup(p->listen.host, len);
    struct error why = {0};
    char *text = mem_printf(strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, p->listen.port);
    int rc = config_address_parse(text, POSTGRES_PORT, &p->connect, &why);
    mem_free(host);
    mem_free(text);
    if (rc != 0) {
        return reader_fail(r, s, "connect_address",
                           "is not there, and 'listen' names no address that the others can "
                           "reach: give one, such as 10.0.0.1:5432");
    }
    (void)config_keep(r->memory, (void *)(uintptr_t)p->connect.text);
    (void)config_keep(r->memory, (void *)(uintptr_t)p->connect.host);
    return 0;
}

static int read_programs(const struct reader *r, const struct section *postgresql,
                         struct pg_program_names *ret_names)
{
    struct section s;
    const struct {
        const char *key;
        const char **name;
    } programs[] = {{"postgres", &ret_names->postgres},
                    {"initdb", &ret_names->initdb},
                    {"pg_controldata", &ret_names->pg_controldata},
                    {"pg_basebackup", &ret_names->pg_basebackup},
                    {"pg_rewind", &ret_names->pg_rewind}};
    int rc = reader_section(r, postgresql, "bin_name", "postgresql.bin_name", &s);
    for (size_t i = 0; rc == 0 && i < sizeof(programs) / sizeof(programs[0]); i++) {
        rc = reader_text(r, &s, programs[i].key, READER_OPTIONAL, programs[i].name);
        if (rc == 0 && *programs[i].name != NULL && strchr(*programs[i].name, '/') != NULL) {
            return reader_fail(r, &s, programs[i].key,
                               "'%.100s' is a path: give the name of a program in bin_dir",
                               *programs[i].name);
        }
    }
    return rc;
}

/* Not given: either way. */
static int read_way(const struct reader *r, const struct section *s, const char *key,
                    enum pg_local_way *way)
{
    bool socket = false;
    if (reader_get(s, key) == NULL) {
        return 0;
    }
    int rc = reader_bool(r, s, key, &socket);
    *way = rc != 0 ? *way : socket ? PG_LOCAL_SOCKET : PG_LOCAL_TCP;
    return rc;
}

static int read_connections(const struct reader *r, const struct section *s,
                            struct config_postgresql *p)
{
    const char *service = NULL;
    int rc = read_way(r, s, "use_unix_socket", &p->local_way);
    rc = rc != 0 ? rc : read_way(r, s, "use_unix_socket_repl", &p->local_repl_way);
    rc = rc != 0 ? rc : reader_text(r, s, "krbsrvname", READER_OPTIONAL, &service);
    if (rc == 0 && service != NULL) {
        p->superuser.security.values[PG_SECURITY_KRBSRVNAME] = service;
        p->replication.security.values[PG_SECURITY_KRBSRVNAME] = service;
        p->rewind.security.values[PG_SECURITY_KRBSRVNAME] = service;
    }
    return rc;
}

/* The configuration of a directory that a copy empties, and a rewind makes like another's, would be
 * lost with it. */
static int read_config_dir(const struct reader *r, const struct config_source *source,
                           const struct section *s, struct config_postgresql *p)
{
    p->config_dir = p->data_dir;
    p->config_base_name = "postgresql";
    int rc = reader_path(r, s, "config_dir", source->cwd, READER_OPTIONAL, &p->config_dir);
    rc =
        rc != 0 ? rc : reader_text(r, s, "config_base_name", READER_OPTIONAL, &p->config_base_name);
    if (rc == 0 && strcmp(p->config_dir, p->data_dir) != 0 &&
        reader_path_inside(p->config_dir, p->data_dir)) {
        return reader_fail(r, s, "config_dir",
                           "'%.200s' lies in data_dir '%.200s', which a copy empties: give that "
                           "directory itself, or one outside",
                           p->config_dir, p->data_dir);
    }
    size_t len = strlen(p->config_base_name);
    if (rc == 0 && (len > CONFIG_BASE_NAME_MAX || p->config_base_name[0] == '.' ||
                    strchr(p->config_base_name, '/') != NULL)) {
        return reader_fail(r, s, "config_base_name",
                           "'%.100s' is no name of a file: give what stands before '.conf', such "
                           "as postgresql, at most %d bytes",
                           p->config_base_name, CONFIG_BASE_NAME_MAX);
    }
    return rc;
}

static int read_places(const struct reader *r, const struct config_source *source,
                       const struct section *s, struct config_postgresql *p)
{
    struct address_form form = {.default_port = POSTGRES_PORT, .usual_port = POSTGRES_PORT};
    struct address_form listener = form;
    listener.listener = true;
    int rc = reader_address(r, s, "listen", listener, READER_REQUIRED, &p->listen);
    rc = rc != 0 ? rc : reader_address(r, s, "connect_address", form, READER_OPTIONAL, &p->connect);
    rc = rc != 0 || p->connect.text != NULL ? rc : default_connect(r, s, p);
    rc = rc != 0 ? rc : reader_path(r, s, "data_dir", source->cwd, READER_REQUIRED, &p->data_dir);
    rc = rc != 0 ? rc : read_config_dir(r, source, s, p);
    rc = rc != 0 ? rc : reader_path(r, s, "bin_dir", source->cwd, READER_OPTIONAL, &p->bin_dir);
    rc = rc != 0 ? rc : read_programs(r, s, &p->programs);
    if (source->home != NULL) {
        p->pgpass = config_keep_text(r->memory, reader_path_normal(source->home, "pgpass"));
    }
    enum reader_need need = source->home != NULL ? READER_OPTIONAL : READER_REQUIRED;
    return rc != 0 ? rc : reader_path(r, s, "pgpass", source->cwd, need, &p->pgpass);
}

int section_postgresql_shared(const struct reader *r, const struct section *s, bool everywhere,
                              struct config_postgresql *p)
{
    static const char *const forbidden[] = {
        "pgdata", "format", "wal-method", "xlog-method", "gzip",     "compress", "version",
        "dbname", "host",   "port",       "username",    "password", NULL};
    int rc = reader_text(r, s, "database", READER_OPTIONAL, &p->database);
    if (rc == 0 && p->database != NULL && strlen(p->database) >= PG_NAME_BYTES) {
        return reader_fail(r, s, "database",
                           "'%.20s...' is longer than the %d bytes of a name of PostgreSQL's",
                           p->database, PG_NAME_BYTES - 1);
    }
    rc = rc != 0 ? rc : reader_text(r, s, "custom_conf", READER_OPTIONAL, &p->custom_conf);
    rc = rc != 0 ? rc : read_rules(r, s, "pg_hba", everywhere, pg_hba_line_check, &p->pg_hba);
    rc = rc != 0 ? rc : read_rules(r, s, "pg_ident", everywhere, pg_ident_line_check, &p->pg_ident);
    rc = rc != 0 ? rc : section_recovery_conf(r, s, "postgresql.recovery_conf", &p->recovery_conf);
    rc = rc != 0 ? rc : reader_options(r, s, "basebackup", "--", forbidden, &p->basebackup);
    rc = rc != 0 ? rc : read_connections(r, s, p);
    rc = rc != 0 ? rc : section_hooks(r, s, &p->hooks);
    return rc != 0 ? rc : read_switches(r, s, p);
}

int section_postgresql(const struct reader *r, const struct config_source *source,
                       const struct section *top, struct config *c)
{
    struct section s;
    struct config_postgresql *p = &c->postgresql;
    int rc = reader_section(r, top, "postgresql", "postgresql", &s);
    if (rc == 0 && s.object == NULL) {
        return reader_fail(r, top, "postgresql",
                           "is not there: give a section with listen, data_dir and authentication, "
                           "or start a member without PostgreSQL: pgquorum witness FILE");
    }
    p->section = s.object;
    p->database = "postgres";
    p->pg_ctl_timeout_ms = PG_CTL_TIMEOUT_S * 1000;
    p->hooks.timeout_ms = HOOK_TIMEOUT_S * 1000;
    rc = rc != 0 ? rc : read_places(r, source, &s, p);
    rc = rc != 0 ? rc : section_postgresql_shared(r, &s, false, p);
    rc = rc != 0 ? rc
                 : reader_check_url(r, &s, "connect_address", "postgres://", &p->connect,
                                    config_keep_text(r->memory, mem_printf("/%s", p->database)));
    rc = rc != 0 ? rc : read_authentication(r, source, &s, p);
    rc = rc != 0 ? rc : read_parameters(r, &s, p);
    rc = rc != 0 ? rc : section_replica_methods(r, &s, p);
    rc = rc != 0 ? rc : reader_bool(r, &s, "guard", &p->guard);
    p->use_pg_rewind_given = rc == 0 && reader_get(&s, "use_pg_rewind") != NULL;
    return rc != 0 ? rc : reader_bool(r, &s, "use_pg_rewind", &p->use_pg_rewind);
}
