/* PATRONI_* variables, directories of files, and which source goes before which. */
#include "agent/config/dynamic.h"
#include "agent/config/environment.h"
#include "tests/unit/agent_config/config_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static json_t *yaml(const char *text)
{
    json_t *tree = NULL;
    struct error err = {0};
    if (yaml_parse(span_str(text), &tree, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return tree;
}

static void same(const json_t *is, const json_t *wanted, const char *what)
{
    if (!json_equal(is, wanted)) {
        char *text = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);
        fail_msg("%s gives %s", what, text);
    }
}

/* What the variables make of the document. */
static void gives(const char *file, const char *const *environment, const char *wanted)
{
    struct error err = {0};
    json_t *merged = NULL;
    json_t *before = yaml(file);
    json_t *is = yaml(wanted);
    if (environment_merge(before, environment, &merged, &err) != 0) {
        fail_msg("%s: %s", environment[0], err.text);
    }
    same(merged, is, environment[0]);
    json_decref(merged);
    json_decref(before);
    json_decref(is);
}

static const char *const variables[][2] = {
    {"SCOPE=s", "{scope: s}"},
    {"NAMESPACE=/n", "{namespace: /n}"},
    {"NAME=n1", "{name: n1}"},
    {"THREAD_POOL_SIZE=6", "{thread_pool_size: '6'}"},
    {"THREAD_STACK_SIZE=64kB", "{thread_stack_size: 64kB}"},
    {"LOG_TYPE=json", "{log: {type: json}}"},
    {"LOG_LEVEL=DEBUG", "{log: {level: DEBUG}}"},
    {"LOG_TRACEBACK_LEVEL=ERROR", "{log: {traceback_level: ERROR}}"},
    {"LOG_FORMAT=%(message)s", "{log: {format: '%(message)s'}}"},
    {"LOG_FORMAT=[message, {levelname: l}]", "{log: {format: [message, {levelname: l}]}}"},
    {"LOG_DATEFORMAT=%H", "{log: {dateformat: '%H'}}"},
    {"LOG_STATIC_FIELDS=app: x, n: 1", "{log: {static_fields: {app: x, n: 1}}}"},
    {"LOG_STATIC_FIELDS={app: x}", "{log: {static_fields: {app: x}}}"},
    {"LOG_MAX_QUEUE_SIZE=9", "{log: {max_queue_size: '9'}}"},
    {"LOG_DIR=/l", "{log: {dir: /l}}"},
    {"LOG_MODE=0644", "{log: {mode: '0644'}}"},
    {"LOG_FILE_SIZE=1", "{log: {file_size: '1'}}"},
    {"LOG_FILE_NUM=2", "{log: {file_num: '2'}}"},
    {"LOG_LOGGERS={urllib3: DEBUG}", "{log: {loggers: {urllib3: DEBUG}}}"},
    {"LOG_DEDUPLICATE_HEARTBEAT_LOGS=on", "{log: {deduplicate_heartbeat_logs: 'on'}}"},
    {"LOGLEVEL=WARNING", "{log: {level: WARNING}}"},
    {"LOGFORMAT=f", "{log: {format: f}}"},
    {"LOG_DATEFMT=d", "{log: {dateformat: d}}"},
    {"RESTAPI_LISTEN=a:1", "{restapi: {listen: 'a:1'}}"},
    {"RESTAPI_CONNECT_ADDRESS=a:1", "{restapi: {connect_address: 'a:1'}}"},
    {"RESTAPI_CERTFILE=/c", "{restapi: {certfile: /c}}"},
    {"RESTAPI_KEYFILE=/c", "{restapi: {keyfile: /c}}"},
    {"RESTAPI_KEYFILE_PASSWORD=p", "{restapi: {keyfile_password: p}}"},
    {"RESTAPI_CAFILE=/c", "{restapi: {cafile: /c}}"},
    {"RESTAPI_CIPHERS=c", "{restapi: {ciphers: c}}"},
    {"RESTAPI_VERIFY_CLIENT=none", "{restapi: {verify_client: none}}"},
    {"RESTAPI_HTTP_EXTRA_HEADERS=X-A: b", "{restapi: {http_extra_headers: {X-A: b}}}"},
    {"RESTAPI_HTTPS_EXTRA_HEADERS={X: b}", "{restapi: {https_extra_headers: {X: b}}}"},
    {"RESTAPI_ALLOWLIST=10.0.0.0/8,h", "{restapi: {allowlist: [10.0.0.0/8, h]}}"},
    {"RESTAPI_ALLOWLIST_INCLUDE_MEMBERS=on", "{restapi: {allowlist_include_members: 'on'}}"},
    {"RESTAPI_REQUEST_QUEUE_SIZE=5", "{restapi: {request_queue_size: '5'}}"},
    {"RESTAPI_SERVER_TOKENS=Minimal", "{restapi: {server_tokens: Minimal}}"},
    {"RESTAPI_USERNAME=u", "{restapi: {authentication: {username: u}}}"},
    {"RESTAPI_PASSWORD=p", "{restapi: {authentication: {password: p}}}"},
    {"CTL_INSECURE=on", "{ctl: {insecure: 'on'}}"},
    {"CTL_CACERT=/c", "{ctl: {cacert: /c}}"},
    {"CTL_CERTFILE=/c", "{ctl: {certfile: /c}}"},
    {"CTL_KEYFILE=/c", "{ctl: {keyfile: /c}}"},
    {"CTL_KEYFILE_PASSWORD=p", "{ctl: {keyfile_password: p}}"},
    {"CTL_USERNAME=u", "{ctl: {authentication: {username: u}}}"},
    {"CTL_PASSWORD=p", "{ctl: {authentication: {password: p}}}"},
    {"POSTGRESQL_LISTEN=a,b:1", "{postgresql: {listen: 'a,b:1'}}"},
    {"POSTGRESQL_CONNECT_ADDRESS=a:1", "{postgresql: {connect_address: 'a:1'}}"},
    {"POSTGRESQL_PROXY_ADDRESS=a:1", "{postgresql: {proxy_address: 'a:1'}}"},
    {"POSTGRESQL_CONFIG_DIR=/d", "{postgresql: {config_dir: /d}}"},
    {"POSTGRESQL_DATA_DIR=/d", "{postgresql: {data_dir: /d}}"},
    {"POSTGRESQL_PGPASS=/p", "{postgresql: {pgpass: /p}}"},
    {"POSTGRESQL_BIN_DIR=/b", "{postgresql: {bin_dir: /b}}"},
    {"POSTGRESQL_BIN_PG_CTL=x", "{postgresql: {bin_name: {pg_ctl: x}}}"},
    {"POSTGRESQL_BIN_INITDB=x", "{postgresql: {bin_name: {initdb: x}}}"},
    {"POSTGRESQL_BIN_PG_CONTROLDATA=x", "{postgresql: {bin_name: {pg_controldata: x}}}"},
    {"POSTGRESQL_BIN_PG_BASEBACKUP=x", "{postgresql: {bin_name: {pg_basebackup: x}}}"},
    {"POSTGRESQL_BIN_POSTGRES=x", "{postgresql: {bin_name: {postgres: x}}}"},
    {"POSTGRESQL_BIN_PG_ISREADY=x", "{postgresql: {bin_name: {pg_isready: x}}}"},
    {"POSTGRESQL_BIN_PG_REWIND=x", "{postgresql: {bin_name: {pg_rewind: x}}}"},
    {"RAFT_DATA_DIR=/r", "{raft: {data_dir: /r}}"},
    {"RAFT_SELF_ADDR=a:1", "{raft: {self_addr: 'a:1'}}"},
    {"RAFT_PARTNER_ADDRS=a:1,b:2", "{raft: {partner_addrs: ['a:1', 'b:2']}}"},
    {"RAFT_PASSWORD=12", "{raft: {password: '12'}}"},
    {"RAFT_BIND_ADDR=a:1", "{raft: {bind_addr: 'a:1'}}"},
    {"ETCD_HOST=h", "{etcd: {host: h}}"},
    {"ETCD3_PORT=2380", "{etcd3: {port: '2380'}}"},
    {"ETCD3_HOSTS='a:1','b:2'", "{etcd3: {hosts: ['a:1', 'b:2']}}"},
    {"CITUS_GROUP=1", "{citus: {group: '1'}}"},
    {"CONSUL_HOST=h", "{consul: {host: h}}"},
    {"KUBERNETES_LABELS={a: b}", "{kubernetes: {labels: '{a: b}'}}"},
    /* no variables: */
    {"TAGS_NOSYNC=on", "{}"},
    {"NAME=", "{}"},
    {"POSTGRESQL_PARAMETERS={a: b}", "{}"},
    {"BOOTSTRAP_METHOD=x", "{}"},
    {"LOG_=x", "{}"},
    {"LOG_LEVE=x", "{}"},
    {"RAFT", "{}"},
    {"", "{}"},
};

static void each_variable_has_its_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        char *variable = mem_printf("PATRONI_%s", variables[i][0]);
        const char *const environment[] = {variable, "PATRONICTL_CONFIG_FILE=x", NULL};
        gives("{}", environment, variables[i][1]);
        mem_free(variable);
    }
}

/* Each of the keys that libpq has, for each account. */
static void accounts_have_a_variable_for_each_key(void **state)
{
    static const char *const keys[] = {
        "username",    "password", "sslmode",   "sslcert",    "sslkey",          "sslpassword",
        "sslrootcert", "sslcrl",   "sslcrldir", "gssencmode", "channel_binding", "sslnegotiation"};
    static const char *const accounts[] = {"replication", "superuser", "rewind"};
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] * 3; i++) {
        char *variable = mem_printf("PATRONI_%s_%s=v", accounts[i % 3], keys[i / 3]);
        char *wanted = mem_printf("{postgresql: {authentication: {%s: {%s: v}}}}", accounts[i % 3],
                                  keys[i / 3]);
        for (char *at = variable; *at != '='; at++) {
            *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
        }
        const char *const environment[] = {variable, NULL};
        gives("{}", environment, wanted);
        mem_free(variable);
        mem_free(wanted);
    }
}

static void variables_go_over_the_file_key_by_key(void **state)
{
    static const char *const environment[] = {
        "PATRONI_RESTAPI_LISTEN=e:1",     "PATRONI_REPLICATION_PASSWORD=e", "PATRONI_NAME=",
        "PATRONI_LOG_STATIC_FIELDS=b: e", "PATRONI_RAFT_PARTNER_ADDRS=e:1", NULL};
    static const char *const old_names[] = {"PATRONI_LOG_LEVEL=new", "PATRONI_LOGLEVEL=old", NULL};
    (void)state;
    gives("name: f\n"
          "restapi: {listen: 'f:1', connect_address: 'f:1'}\n"
          "raft: {partner_addrs: ['f:1', 'f:2']}\n"
          "log: {static_fields: {a: f, b: f}}\n"
          "postgresql: {authentication: {replication: {username: f, password: f}}}\n",
          environment,
          "name: f\n"
          "restapi: {listen: 'e:1', connect_address: 'f:1'}\n"
          "raft: {partner_addrs: ['e:1']}\n"
          "log: {static_fields: {a: f, b: e}}\n"
          "postgresql: {authentication: {replication: {username: f, password: e}}}\n");
    gives("log: ", environment + 3,
          "{log: {static_fields: {b: e}}, raft: {partner_addrs: ['e:1']}}");
    gives("{}", old_names, "{log: {level: new}}");  /* in whatever order */
    gives("{log: text}", old_names, "{log: text}"); /* what is wrong there is told by its reader */
}

static void told(const char *const *environment, const char *words)
{
    struct config config;
    struct config_warnings warnings = {0};
    struct error err = {0};
    struct config_source source = {
        .path = "node1.yml", .cwd = "/", .home = "/home/pg", .environment = environment};
    int rc = config_load_text(&source, edited(NULL, NULL), &config, &warnings, &err);
    bool found = rc != 0 && strstr(err.text, words) != NULL;
    for (size_t i = 0; i < warnings.count; i++) {
        found = found || strstr(warnings.texts[i], words) != NULL;
    }
    if (!found) {
        fail_msg("%s: no word of '%s' (%s)", environment[0], words, rc != 0 ? err.text : "taken");
    }
    assert_null(strstr(err.text, "s3cret"));
    config_warnings_free(&warnings);
    config_free(&config);
}

static void messages_name_the_variable(void **state)
{
    static const char *const rows[][2] = {
        {"PATRONI_RESTAPI_LISTEN=nowhere",
         "node1.yml: restapi.listen (PATRONI_RESTAPI_LISTEN): 'nowhere' has no port"},
        {"PATRONI_LOG_LEVEL=loud", "log.level (PATRONI_LOG_LEVEL): 'loud' is no level"},
        {"PATRONI_LOGLEVEL=loud", "log.level (PATRONI_LOGLEVEL): 'loud' is no level"},
        {"PATRONI_LOG_TRACEBACK_LEVEL=DEBUG",
         "log.traceback_level (PATRONI_LOG_TRACEBACK_LEVEL): has no effect in this release"},
        {"PATRONI_RAFT_PARTNER_ADDRS={a: s3cret}", "raft.partner_addrs (PATRONI_RAFT_PARTNER_"},
        {"PATRONI_CONSUL_HOST=h", "consul: not served by this release"},
        {"PATRONI_CITUS_GROUP=1", "citus: not served by this release"},
        {"PATRONI_TAGS=x", "PATRONI_TAGS (environment): is no variable that is known here"},
        {"PATRONI_CONFIGURATION={}", "PATRONI_CONFIGURATION (environment): is for a start without"},
        {"PATRONI_RAFT_PASSWORD=s3cret\xe9", "PATRONI_RAFT_PASSWORD (environment): is no UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const environment[] = {rows[i][0], NULL};
        told(environment, rows[i][1]);
    }
}

/* --- which source goes before which ----------------------------------------------------------- */

static const char *effective(const char *key, const struct config *config,
                             const struct dynamic_config *dynamic,
                             const struct dynamic_parameters *parameters, char *ret_text)
{
    for (size_t i = 0; i < parameters->view.count; i++) {
        if (strcmp(parameters->view.items[i].name, key) == 0) {
            return parameters->view.items[i].value;
        }
    }
    bool rewind = config->postgresql.use_pg_rewind_given ? config->postgresql.use_pg_rewind
                                                         : dynamic->use_pg_rewind;
    long long number = strcmp(key, "ttl") == 0                ? dynamic->ttl_ms / 1000
                       : strcmp(key, "retry_timeout") == 0    ? dynamic->retry_timeout_ms / 1000
                       : strcmp(key, "use_slots") == 0        ? dynamic->use_slots
                       : strcmp(key, "use_pg_rewind") == 0    ? rewind
                       : strcmp(key, "synchronous_mode") == 0 ? (int)dynamic->synchronous_mode
                       : strcmp(key, "log.level") == 0        ? (int)config->log->level
                       : strcmp(key, "restapi.port") == 0     ? config->restapi_listen.port
                                                              : -1;
    (void)snprintf(ret_text, 32, "%lld", number);
    return ret_text;
}

/* Of reference, defaults <- dynamic <- file <- environment, and what each kind of key makes of it.
 */
static const struct {
    const char *key;
    const char *dynamic;
    const char *file;
    const char *variable;
    const char *wanted;
} sources[] = {
    /* the store alone */
    {"ttl", "{}", "", NULL, "30"},
    {"ttl", "{ttl: 40}", "ttl: 50\n", "PATRONI_TTL=60", "40"},
    {"ttl", "{}", "ttl: 50\n", NULL, "30"},
    {"retry_timeout", "{retry_timeout: 9}", "retry_timeout: 8\n", NULL, "9"},
    {"use_slots", "{}", "", NULL, "1"},
    {"use_slots", "{postgresql: {use_slots: false}}", "", NULL, "0"},
    {"synchronous_mode", "{synchronous_mode: on}", "synchronous_mode: off\n", NULL, "1"},
    {"synchronous_mode", "{}", "synchronous_mode: on\n", NULL, "0"},
    {"max_connections", "{}", "", NULL, "100"},
    {"max_connections", "{}", "50", NULL, "100"},
    {"max_connections", "{postgresql: {parameters: {max_connections: 40}}}", "50", NULL, "40"},
    {"wal_level", "{postgresql: {parameters: {wal_level: minimal}}}", "", NULL, "replica"},
    /* the file over the store */
    {"use_pg_rewind", "{}", "", NULL, "0"},
    {"use_pg_rewind", "{postgresql: {use_pg_rewind: true}}", "", NULL, "1"},
    {"use_pg_rewind", "{postgresql: {use_pg_rewind: true}}", "false", NULL, "0"},
    {"work_mem", "{postgresql: {parameters: {work_mem: 1MB}}}", "", NULL, "1MB"},
    {"work_mem", "{postgresql: {parameters: {work_mem: 1MB}}}", "2MB", NULL, "2MB"},
    /* the file alone, and the environment over it */
    {"log.level", "{log: {level: ERROR}}", "", NULL, "2"},
    {"restapi.port", "{restapi: {listen: 'a:1'}}", "", NULL, "8008"},
    {"restapi.port", "{}", "", "PATRONI_RESTAPI_LISTEN=172.20.0.10:99", "99"},
};

static void each_source_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const char *const environment[] = {sources[i].variable, NULL};
        struct config_source source = {
            .path = "f.yml", .cwd = "/", .home = "/home/pg", .environment = environment};
        bool top = strstr(sources[i].file, "\n") != NULL;
        bool rewind = strcmp(sources[i].key, "use_pg_rewind") == 0;
        char *local = sources[i].file[0] == '\0' ? mem_strdup("")
                      : top                      ? mem_strdup("")
                      : rewind ? mem_printf("  use_pg_rewind: %s\n", sources[i].file)
                               : mem_printf("    %s: %s\n", sources[i].key, sources[i].file);
        char *in = rewind ? mem_printf("%s  parameters:\n", local)
                          : mem_printf("  parameters:\n%s", local);
        char *with = edited("  parameters:\n", in);
        char *text = mem_printf("%s%s", top ? sources[i].file : "", with);
        struct config config;
        struct dynamic_config dynamic;
        struct dynamic_parameters parameters;
        struct error err = {0};
        char shown[32];
        json_t *document = yaml(sources[i].dynamic);
        if (config_load_text(&source, text, &config, NULL, &err) != 0) {
            fail_msg("%s: %s", sources[i].key, err.text);
        }
        assert_int_equal(dynamic_config_parse(document, 3000, &dynamic, NULL, &err), 0);
        assert_int_equal(dynamic_parameters_merge(&dynamic, config.postgresql.parameters,
                                                  &parameters, NULL, &err),
                         0);
        const char *is = effective(sources[i].key, &config, &dynamic, &parameters, shown);
        if (strcmp(is, sources[i].wanted) != 0) {
            fail_msg("row %zu, %s: %s", i, sources[i].key, is);
        }
        dynamic_parameters_free(&parameters);
        dynamic_config_free(&dynamic);
        config_free(&config);
        json_decref(document);
        mem_free(with);
        mem_free(in);
        mem_free(local);
    }
}

/* --- the process, files and directories ------------------------------------------------------- */

static char directory[] = "/tmp/test_environment.XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    char *command = mem_printf("rm -r %s", directory);
    FILE *done = popen(command, "r");
    (void)state;
    mem_free(command);
    return done == NULL ? -1 : pclose(done);
}

static void put(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    mem_free(path);
}

static bool process_has(const char *name)
{
    return getenv(name) != NULL;
}

/* Also from the environment that children get, and still there when the file is read again. */
static void variables_are_taken_out_of_the_process(void **state)
{
    struct config config;
    struct error err = {0};
    (void)state;
    put("node1.yml", good);
    char *path = mem_printf("%s/node1.yml", directory);
    setenv("PATRONI_SCOPE", "of-the-environment", 1);
    setenv("PATRONI_SUPERUSER_PASSWORD", "s3cret", 1);
    setenv("PATRONICTL_CONFIG_FILE", "/stays", 1);
    for (int again = 0; again < 2; again++) {
        if (config_load(path, &config, NULL, &err) != 0) {
            fail_msg("%s", err.text);
        }
        assert_string_equal(config.scope, "of-the-environment");
        assert_string_equal(config.postgresql.superuser.password, "s3cret");
        assert_string_equal(config.postgresql.superuser.username, "postgres");
        config_free(&config);
        for (char **variable = environ; *variable != NULL; variable++) {
            assert_int_not_equal(strncmp(*variable, "PATRONI_", 8), 0);
        }
    }
    assert_true(process_has("PATRONICTL_CONFIG_FILE"));
    setenv("PATRONI_SCOPE", "", 1); /* not given any more */
    setenv("PATRONI_SUPERUSER_PASSWORD", "", 1);
    assert_int_equal(config_load(path, &config, NULL, &err), 0);
    assert_string_equal(config.scope, "postgres");
    config_free(&config);
    assert_false(config_environment_given());
    mem_free(path);
}

static void without_a_file_the_environment_is_the_configuration(void **state)
{
    static const char missing[] = "/nonexistent/node1.yml";
    struct config config;
    struct config_warnings warnings = {0};
    struct error err = {0};
    (void)state;
    assert_int_equal(config_load(missing, &config, NULL, &err), ERR_NOT_FOUND);
    setenv("PATRONI_SCOPE", "alone", 1);
    setenv("PATRONI_RAFT_PARTNER_ADDRS", "10.0.0.1:2222", 1);
    assert_true(config_environment_given());
    assert_int_equal(config_load_client(NULL, NULL, &config, NULL, &err), 0);
    assert_string_equal(config.scope, "alone");
    assert_int_equal(config.raft.partner_count, 1);
    config_free(&config);
    assert_int_equal(config_load(missing, &config, NULL, &err), ERR_INVALID);
    assert_string_equal(err.text, "environment: name: is not there: it has to be given");
    /* the whole document in one, and nothing else counts then */
    setenv("PATRONI_CONFIGURATION", good, 1);
    assert_int_equal(config_load(missing, &config, &warnings, &err), 0);
    assert_string_equal(config.scope, "postgres");
    assert_string_equal(config.path, "PATRONI_CONFIGURATION");
    assert_non_null(strstr(warnings.texts[0], "/nonexistent/node1.yml: there is no such file: the "
                                              "configuration is taken from PATRONI_CONFIGURATION"));
    config_warnings_free(&warnings);
    config_free(&config);
    setenv("PATRONI_CONFIGURATION", "scope: [", 1);
    assert_int_equal(config_load(missing, &config, NULL, &err), ERR_INVALID);
    assert_int_equal(strncmp(err.text, "PATRONI_CONFIGURATION: line ", 28), 0);
    /* but not beside a file that is there */
    put("node1.yml", good);
    char *path = mem_printf("%s/node1.yml", directory);
    assert_int_equal(config_load(path, &config, NULL, &err), 0);
    assert_string_equal(config.scope, "alone");
    config_free(&config);
    mem_free(path);
    setenv("PATRONI_SCOPE", "", 1);
    setenv("PATRONI_RAFT_PARTNER_ADDRS", "", 1);
    setenv("PATRONI_CONFIGURATION", "", 1);
    assert_false(config_environment_given());
}

/* A file that is gone for a moment, or mistyped, must not make another configuration. */
static void the_environment_does_not_stand_in_for_a_file_that_is_named(void **state)
{
    static const char missing[] = "/nonexistent/node1.yml";
    struct config config;
    struct error err = {0};
    (void)state;
    setenv("PATRONI_CONFIGURATION", good, 1);
    assert_int_equal(config_load(missing, &config, NULL, &err), 0); /* at the start */
    config_free(&config);
    assert_int_equal(config_load_file(missing, &config, NULL, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/node1.yml: cannot be read: "));
    assert_null(config.memory);
    assert_int_equal(config_load_client(missing, NULL, &config, NULL, &err), ERR_NOT_FOUND);
    assert_int_equal(config_load_client(missing, "etcd://10.0.0.4:2379", &config, NULL, &err),
                     ERR_NOT_FOUND);
    put("node1.yml", good);
    char *path = mem_printf("%s/node1.yml", directory);
    assert_int_equal(config_load_file(path, &config, NULL, &err), 0);
    assert_string_equal(config.path, path);
    config_free(&config);
    mem_free(path);
    setenv("PATRONI_CONFIGURATION", "", 1);
    assert_false(config_environment_given());
}

static void files_of_a_directory_are_one_document(void **state)
{
    struct config config;
    struct error err = {0};
    (void)state;
    char *path = mem_printf("%s/conf.d", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(config_load(path, &config, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "conf.d: has no files *.yml or *.yaml"));
    put("conf.d/20-more.yaml", "name: second\n"
                               "tags:\n"
                               "restapi: {listen: '172.20.0.10:8009'}\n");
    put("conf.d/10-base.yml", good);
    put("conf.d/30-empty.yml", "");
    put("conf.d/40-other.conf", "name: not-read\n");
    put("conf.d/B.yml", "log: {level: ERROR}\n");
    assert_int_equal(config_load(path, &config, NULL, &err), 0);
    assert_string_equal(config.name, "second"); /* the later one wins */
    assert_string_equal(config.restapi_listen.text, "172.20.0.10:8009");
    assert_string_equal(config.restapi_connect.text, "172.20.0.10:8008"); /* mappings merge */
    assert_int_equal(json_object_size(config.tags.published), 0);         /* nothing takes away */
    assert_int_equal(config.log->level, LOG_LEVEL_ERROR);
    config_free(&config);
    put("conf.d/50-list.yml", "[a]\n");
    assert_int_equal(config_load(path, &config, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "conf.d/50-list.yml: holds no mapping"));
    put("conf.d/50-list.yml", "a: [\n");
    assert_int_equal(config_load(path, &config, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "conf.d/50-list.yml: line "));
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_variable_has_its_key),
        cmocka_unit_test(accounts_have_a_variable_for_each_key),
        cmocka_unit_test(variables_go_over_the_file_key_by_key),
        cmocka_unit_test(messages_name_the_variable),
        cmocka_unit_test(each_source_has_its_place),
        cmocka_unit_test(variables_are_taken_out_of_the_process),
        cmocka_unit_test(without_a_file_the_environment_is_the_configuration),
        cmocka_unit_test(the_environment_does_not_stand_in_for_a_file_that_is_named),
        cmocka_unit_test(files_of_a_directory_are_one_document),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
