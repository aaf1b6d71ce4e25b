/* A stage for tests with a real PostgreSQL: one directory, removed at the end; the tests run as
 * user postgres, on one loop, with nodes that have a fence each. Included by one source. */
#ifndef TESTS_UNIT_PGCTL_PG_STAGE_H
#define TESTS_UNIT_PGCTL_PG_STAGE_H

#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/fence.h"
#include "pgctl/pg_instance.h"
#include "tests/harness/free_port.h"
#include "tests/harness/pg_bin.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define BOUND_MS   20000 /* of every wait: red, not slow */
#define LONG_MS    15000 /* deadline of jobs that are to end well */
#define SUPER_PASS "zalando"

static char stage_dir[48];

struct node {
    char name[16];
    char dir[64]; /* of everything that follows */
    char data[80];
    char bin[80]; /* PostgreSQL's programs: links, so that a test can put its own there */
    char fence_log[80];
    /* Options of initdb ("waldir=/w") and pg_basebackup for this node, with the stage's own; NULL
     * at the end. Given before node_bootstrap, and before node_agent. */
    const char *initdb[3];
    const char *basebackup[4];
    uint16_t port;
    struct pg_security security;     /* of all accounts; for the next node_agent */
    struct pg_lines hba;             /* likewise; empty: the stage's own */
    const struct pg_method *methods; /* of copies; likewise */
    size_t method_count;
    struct fence_client *fence;
    struct pg_instance *pg;
};

static uv_loop_t loop;
static uv_timer_t tick;

/* --- small things ----------------------------------------------------------------------------- */

static inline int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline int run(const char *fmt, ...)
{
    char command[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

static inline void on_tick(uv_timer_t *timer)
{
    (void)timer; /* uv_run returns, and the condition is looked at */
}

/* Turns the loop until `condition` holds. */
#define WAIT_FOR(condition)                             \
    do {                                                \
        int64_t until_ms_ = now_ms() + BOUND_MS;        \
        while (!(condition)) {                          \
            if (now_ms() > until_ms_) {                 \
                fail_msg("never came: %s", #condition); \
            }                                           \
            uv_run(&loop, UV_RUN_ONCE);                 \
        }                                               \
    } while (0)

static inline bool file_there(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline bool file_there(const char *fmt, ...)
{
    char path[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    return access(path, F_OK) == 0;
}

static inline void file_put(const char *path, const char *text, unsigned mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* A number that a script of the test has written; 0 = not yet. */
static inline int file_number(const char *dir, const char *name)
{
    char path[256];
    int number = 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%d", &number) != 1) {
            number = 0;
        }
        fclose(file);
    }
    return number;
}

/* --- one outcome ------------------------------------------------------------------------------ */

struct outcome {
    unsigned calls;
    int rc;
    struct error err;
};

/* Of the last answers. */
static struct pg_inspection inspected;
static struct pg_probe_result probed;

static inline void on_done(void *arg, int rc, const struct error *err)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->rc = rc;
    outcome->err = *err;
}

static inline void on_inspected(void *arg, int rc, const struct pg_inspection *inspection,
                                const struct error *err)
{
    if (inspection != NULL) {
        inspected = *inspection;
    }
    on_done(arg, rc, err);
}

static inline void on_probed(void *arg, int rc, const struct pg_probe_result *result,
                             const struct error *err)
{
    if (result != NULL) {
        probed = *result;
    }
    on_done(arg, rc, err);
}

static inline void on_fence_done(void *arg, int rc, const struct fence_status *status,
                                 const struct error *err)
{
    (void)status;
    on_done(arg, rc, err);
}

/* The outcome of what was asked just now. */
static inline int outcome_wait(struct outcome *outcome)
{
    WAIT_FOR(outcome->calls > 0);
    assert_int_equal(outcome->calls, 1);
    return outcome->rc;
}

#define CHECK_RC(outcome, expected)                                                      \
    do {                                                                                 \
        if ((outcome)->rc != (expected)) {                                               \
            fail_msg("%s, expected %s: %s", err_name((outcome)->rc), err_name(expected), \
                     (outcome)->err.text);                                               \
        }                                                                                \
    } while (0)

static inline void expect_text(const struct outcome *outcome, const char *part)
{
    if (strstr(outcome->err.text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", outcome->err.text, part);
    }
}

/* --- a node ----------------------------------------------------------------------------------- */

static inline void on_fence_event(void *arg, enum fence_event event,
                                  const struct fence_status *status)
{
    struct node *node = arg;
    if (node->pg != NULL) {
        pg_instance_on_fence_event(node->pg, event, status);
    }
}

static inline void node_connect_fence(struct node *node)
{
    char runtime[96];
    char fence_path[64];
    struct outcome outcome = {0};
    struct error err;

    snprintf(runtime, sizeof runtime, "%s/run", node->dir);
    snprintf(fence_path, sizeof fence_path, "%s/pgquorum-fence", stage_dir);
    assert_int_equal(fence_runtime_prepare(runtime, &err), 0);
    struct fence_client_config config = {
        .runtime_dir = runtime, .fence_path = fence_path, .on_event = on_fence_event, .arg = node};
    assert_int_equal(
        fence_client_connect(&loop, &config, on_fence_done, &outcome, &node->fence, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

/* The configuration of the document: /data/patroni there, a directory of the stage here. With
 * `hba`, the file that initdb made, which trusts everybody on this machine, is replaced. */
static inline struct pg_instance *node_instance(const struct node *node, bool hba)
{
    char state[96];
    char pgpass[96];
    char self[64];
    struct pg_instance *pg = NULL;
    struct error err;
    /* clang-format off */
    const struct pg_parameter parameters[] = {
        {"unix_socket_directories", "."}, {"shared_buffers", "16MB"}, {"max_connections", "25"},
        {"wal_retrieve_retry_interval", "100ms"}, {"max_wal_size", "64MB"},
        {"wal_sender_timeout", "5s"}, {"log_min_messages", "warning"}, {"fsync", "off"},
        {"dynamic_shared_memory_type", "mmap"}, /* in the directory: a killed server leaves it */
    };
    /* clang-format on */
    const char *basebackup[1 + sizeof node->basebackup / sizeof node->basebackup[0]] = {
        "--no-sync"};
    size_t basebackup_count = 1;
    static const char *const lines[] = {"local all all md5", "host all all 127.0.0.1/32 md5",
                                        "host replication replicator 127.0.0.1/32 md5"};
    for (size_t i = 0; node->basebackup[i] != NULL; i++) {
        basebackup[basebackup_count++] = node->basebackup[i];
    }
    snprintf(state, sizeof state, "%s/state", node->dir);
    snprintf(pgpass, sizeof pgpass, "%s/pgpass", node->dir);
    snprintf(self, sizeof self, "%s/agent", stage_dir);
    struct pg_instance_config config = {
        .name = node->name,
        .scope = "postgres",
        .data_dir = node->data,
        .state_dir = state,
        .bin_dir = node->bin,
        .self_exe = self,
        .fence_log = node->fence_log,
        .listen = "127.0.0.1",
        .port = node->port,
        .connect_host = "127.0.0.1",
        .pgpass = pgpass,
        .superuser = {"postgres", SUPER_PASS, node->security},
        .replication = {"replicator", "rep-pass", node->security},
        .rewind = {"rewind_user", "rewind_password", node->security},
        .parameters = {parameters, sizeof parameters / sizeof parameters[0]},
        .pg_hba = {lines, hba ? sizeof lines / sizeof lines[0] : 0},
        .basebackup = {basebackup, basebackup_count},
        .replica_methods = node->methods,
        .replica_method_count = node->method_count,
        .use_pg_rewind = true,
        .use_slots = true,
        .kill_way = FENCE_KILL_LOOP,
    };
    if (node->hba.count > 0) {
        config.pg_hba = node->hba;
    }
    if (pg_instance_new(&loop, &config, &pg, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return pg;
}

static inline void on_freed(void *arg)
{
    *(bool *)arg = true;
}

static inline void instance_free(struct pg_instance **pg)
{
    bool freed = false;
    pg_instance_free(*pg, on_freed, &freed);
    *pg = NULL;
    WAIT_FOR(freed);
}

/* In place of the instance that there was, if any. */
static inline void node_agent(struct node *node, bool hba)
{
    if (node->pg != NULL) {
        instance_free(&node->pg);
    }
    node->pg = node_instance(node, hba);
    pg_instance_set_fence(node->pg, node->fence);
}

/* In place of one of PostgreSQL's programs. */
static inline void node_program(const struct node *node, const char *name, const char *script)
{
    char path[128];
    char *text = mem_printf("#!/bin/sh\ncd %s\n%s\n", node->dir, script);
    snprintf(path, sizeof path, "%s/%s", node->bin, name);
    unlink(path);
    file_put(path, text, 0755);
    mem_free(text);
}

/* PostgreSQL's own again; a rewind without its sync of every file, which takes seconds. */
static inline void node_program_back(const struct node *node, const char *name)
{
    assert_int_equal(run("ln -sf " PG_BIN "/%s %s/%s", name, node->bin, name), 0);
    if (strcmp(name, "pg_rewind") == 0) {
        node_program(node, name, "exec " PG_BIN "/pg_rewind --no-sync \"$@\"");
    }
}

/* An agent of that node, on the directory as it is. */
static inline struct node *node_new(const char *name)
{
    static int count; /* what a test that failed has left is in nobody's way */
    struct node *node = mem_new(struct node);

    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->dir, sizeof node->dir, "%s/%s-%d", stage_dir, name, ++count);
    snprintf(node->data, sizeof node->data, "%s/data", node->dir);
    snprintf(node->bin, sizeof node->bin, "%s/bin", node->dir);
    snprintf(node->fence_log, sizeof node->fence_log, "%s/postgres.log", node->dir);
    node->port = free_port();
    assert_int_equal(run("mkdir -p -m 0700 %s %s/state %s && ln -s " PG_BIN "/* %s/", node->dir,
                         node->dir, node->bin, node->bin),
                     0);
    node_program_back(node, "pg_rewind");
    node_connect_fence(node);
    node_agent(node, true);
    return node;
}

static inline void node_stop(struct node *node, enum fence_stop_mode mode, int64_t kill_after_ms)
{
    struct outcome outcome = {0};
    struct error err;
    struct pg_stop stop = {.mode = mode, .kill_after_ms = kill_after_ms};
    assert_int_equal(pg_instance_stop(node->pg, &stop, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

/* As good as killed for what is on disk; but the postmaster takes its shared memory along, which
 * otherwise stays until somebody starts in that directory again. */
static inline void node_crash(struct node *node)
{
    node_stop(node, FENCE_STOP_IMMEDIATE, LONG_MS);
}

static inline void node_free(struct node *node)
{
    struct outcome outcome = {0};
    struct error err;
    bool freed = false;

    node_crash(node);
    instance_free(&node->pg);
    assert_int_equal(fence_client_quit(node->fence, on_fence_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    fence_client_free(node->fence, on_freed, &freed);
    WAIT_FOR(freed);
    assert_int_equal(run("rm -rf %s", node->dir), 0);
    mem_free(node);
}

/* --- what a node is told ---------------------------------------------------------------------- */

static inline int node_probe(struct node *node)
{
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_probe(node->pg, 5000, on_probed, &outcome, &err), 0);
    return outcome_wait(&outcome);
}

/* Probes until the last answer is as wanted. */
#define PROBE_UNTIL(node, condition)                      \
    do {                                                  \
        int64_t probe_until_ms_ = now_ms() + BOUND_MS;    \
        while (node_probe(node) != 0 || !(condition)) {   \
            if (now_ms() > probe_until_ms_) {             \
                fail_msg("never probed: %s", #condition); \
            }                                             \
        }                                                 \
    } while (0)

static inline void node_inspect(struct node *node)
{
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_inspect(node->pg, LONG_MS, on_inspected, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static inline void expect_dir(struct node *node, enum pg_dir_kind kind,
                              enum pg_unfinished unfinished)
{
    node_inspect(node);
    if (inspected.kind != kind || inspected.unfinished != unfinished) {
        fail_msg("directory of kind %d (%s), unfinished %d", (int)inspected.kind, inspected.reason,
                 (int)inspected.unfinished);
    }
}

static inline void node_bootstrap(struct node *node, int64_t timeout_ms,
                                  struct outcome *ret_outcome)
{
    /* The last two spare the disk. */
    const char *initdb[8] = {"encoding=UTF8", "data-checksums", "no-sync", "wal-segsize=1"};
    size_t initdb_count = 4;
    static const char *const hba[] = {"host replication replicator 127.0.0.1/32 md5",
                                      "host all all 0.0.0.0/0 md5"};
    static const char *const options[] = {"CREATEROLE", "CREATEDB"};
    const struct pg_user users[] = {{"admin", "admin", {options, 2}}};
    for (size_t i = 0; node->initdb[i] != NULL; i++) {
        initdb[initdb_count++] = node->initdb[i];
    }
    struct pg_bootstrap bootstrap = {
        .initdb = {initdb, initdb_count}, .pg_hba = {hba, 2}, .users = users, .user_count = 1};
    struct error err;

    *ret_outcome = (struct outcome){0};
    assert_int_equal(
        pg_instance_bootstrap(node->pg, &bootstrap, timeout_ms, on_done, ret_outcome, &err), 0);
}

static inline void node_start(struct node *node, enum pg_start_role role,
                              const struct node *upstream, struct outcome *ret_outcome)
{
    struct pg_upstream from = {.host = "127.0.0.1", .port = upstream == NULL ? 0 : upstream->port};
    struct pg_start start = {.role = role, .upstream = upstream == NULL ? NULL : &from};
    struct error err;

    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_start(node->pg, &start, LONG_MS, on_done, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

static inline void node_start_well(struct node *node, enum pg_start_role role,
                                   const struct node *upstream)
{
    struct outcome outcome;
    node_start(node, role, upstream, &outcome);
    CHECK_RC(&outcome, 0);
}

static inline void node_clone(struct node *node, const struct node *source,
                              uint64_t system_identifier, int64_t timeout_ms,
                              struct outcome *ret_outcome)
{
    struct pg_clone clone = {
        .host = "127.0.0.1", .port = source->port, .system_identifier = system_identifier};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_clone(node->pg, &clone, timeout_ms, on_done, ret_outcome, &err),
                     0);
}

static inline int node_remove(struct node *node, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_remove(node->pg, "a test", LONG_MS, on_done, ret_outcome, &err),
                     0);
    return outcome_wait(ret_outcome);
}

static inline int node_move_aside(struct node *node, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(
        pg_instance_move_aside(node->pg, "a test", LONG_MS, on_done, ret_outcome, &err), 0);
    return outcome_wait(ret_outcome);
}

static inline void node_rewind(struct node *node, const struct node *source,
                               uint64_t system_identifier, int64_t timeout_ms,
                               struct outcome *ret_outcome)
{
    struct pg_rewind rewind = {
        .host = "127.0.0.1", .port = source->port, .system_identifier = system_identifier};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_rewind(node->pg, &rewind, timeout_ms, on_done, ret_outcome, &err),
                     0);
}

static inline void node_promote(struct node *node, uint32_t timeline, struct outcome *ret_outcome)
{
    struct pg_promote promote = {.timeline = timeline};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_promote(node->pg, &promote, LONG_MS, on_done, ret_outcome, &err),
                     0);
    outcome_wait(ret_outcome);
}

/* Of NULL: of nobody. */
static inline int node_follow(struct node *node, const struct node *upstream,
                              struct outcome *ret_outcome)
{
    struct pg_upstream from = {.host = "127.0.0.1", .port = upstream == NULL ? 0 : upstream->port};
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_set_upstream(node->pg, upstream == NULL ? NULL : &from, LONG_MS,
                                              on_done, ret_outcome, &err),
                     0);
    return outcome_wait(ret_outcome);
}

static inline int node_ping(struct node *node, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_ping(node->pg, 5000, on_done, ret_outcome, &err), 0);
    return outcome_wait(ret_outcome);
}

static inline void on_peer(void *arg, int rc, const struct pg_peer_facts *facts,
                           const struct error *err)
{
    (void)facts;
    on_done(arg, rc, err);
}

/* Asks `peer`, as the account for rewinds does. */
static inline int node_ask(struct node *node, const struct node *peer, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_ask_peer(node->pg, "127.0.0.1", peer->port, LONG_MS, on_peer,
                                          ret_outcome, &err),
                     0);
    return outcome_wait(ret_outcome);
}

/* A session of the superuser, or one that failed. */
static inline PGconn *node_connect(const struct node *node)
{
    char *conninfo = mem_printf(
        "host=127.0.0.1 port=%u user=postgres password=" SUPER_PASS " dbname=postgres", node->port);
    PGconn *conn = PQconnectdb(conninfo);
    mem_free(conninfo);
    return conn;
}

/* One value, as superuser, over a connection of its own. */
static inline void node_sql(const struct node *node, const char *sql, char *ret_value, size_t size)
{
    PGconn *conn = node_connect(node);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    }
    snprintf(ret_value, size, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
}

static inline void node_do(const struct node *node, const char *sql)
{
    char value[256];
    node_sql(node, sql, value, sizeof value);
}

/* --- a cluster made once, copied for each test ------------------------------------------------ */

static char template_dir[64];
static uint64_t template_id;

static inline struct node *node_of_template(const char *name)
{
    struct node *node = node_new(name);
    assert_int_equal(run("cp -a %s %s", template_dir, node->data), 0);
    return node;
}

/* A primary that runs. */
static inline struct node *primary_new(const char *name)
{
    struct node *node = node_of_template(name);
    node_start_well(node, PG_START_PRIMARY, NULL);
    return node;
}

static inline void node_slot(struct node *primary, const char *name)
{
    struct pg_slot_wish wish = {.name = name};
    struct pg_slots slots = {.wishes = &wish, .wish_count = 1};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_set_slots(primary->pg, &slots, LONG_MS, on_done, &outcome, &err),
                     0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static inline void node_clone_well(struct node *node, const struct node *source)
{
    struct outcome outcome;
    node_clone(node, source, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

/* A standby of it that streams through a slot of its name. */
static inline struct node *standby_new(const char *name, struct node *primary)
{
    struct node *node = node_new(name);
    node_slot(primary, name);
    node_clone_well(node, primary);
    node_start_well(node, PG_START_STANDBY, primary);
    PROBE_UNTIL(node, probed.receiver_alive);
    return node;
}

/* --- setting the stage ------------------------------------------------------------------------ */

static inline int stage_open(void **state)
{
    (void)state;
    /* Orphans become ours, as they become an init's, and are reaped here. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_init(&loop, &tick);
    uv_timer_start(&tick, on_tick, 5, 5);
    return 0;
}

static inline int stage_close(void **state)
{
    (void)state;
    int64_t until_ms = now_ms() + 2000; /* a test that failed leaves handles that never end */
    uv_close((uv_handle_t *)&tick, NULL);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0 && now_ms() < until_ms) {
        usleep(1000);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* clang-format off */
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)
/* clang-format on */

/* For a group's setup: a stopped primary's directory with the document's accounts. */
static inline int stage_template(void **state)
{
    struct outcome outcome;
    stage_open(state);
    struct node *node = node_new("template");
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_inspect(node);
    template_id = inspected.control.system_identifier;
    snprintf(template_dir, sizeof template_dir, "%s/template.data", stage_dir);
    assert_int_equal(run("mv %s %s", node->data, template_dir), 0);
    node_free(node);
    return stage_close(state);
}

/* A test that failed leaves its nodes running: whoever names the stage in its command line goes. */
static inline void stage_sweep(void)
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char path[64];
        char line[4096];
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        int fd = pid > 1 && pid != getpid() ? open(path, O_RDONLY) : -1;
        ssize_t len = fd < 0 ? 0 : read(fd, line, sizeof line);
        if (fd >= 0) {
            close(fd);
        }
        if (len > 0 && memmem(line, (size_t)len, stage_dir, strlen(stage_dir)) != NULL) {
            kill(pid, SIGKILL);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
}

/* In memory, where there is enough and programs may be run from it: a disk that others use makes
 * the tests slow. */
static inline void stage_make(void)
{
    struct statvfs fs;
    bool memory = statvfs("/dev/shm", &fs) == 0 && (fs.f_flag & ST_NOEXEC) == 0 &&
                  (uint64_t)fs.f_bavail * fs.f_frsize > (uint64_t)2 << 30;
    scratch_make(stage_dir, sizeof stage_dir, memory ? "/dev/shm" : "/tmp", "pg");
}

/* For main. The test's program is the wrapper of the children, too. */
static inline int stage_main(int argc, char **argv, int (*tests)(void))
{
    pg_exec_main(argc, argv);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    const struct passwd *user = getpwnam("postgres");
    char *self = realpath("/proc/self/exe", NULL);

    if (self == NULL) {
        return 1;
    }
    stage_make();
    int rc = run("install -m 0755 '%s' '%s/agent'", self, stage_dir);
    /* .../tests/unit/pgctl/test_x -> .../pgquorum-fence, copied to where user postgres can read it
     */
    for (int i = 0; i < 4; i++) {
        *strrchr(self, '/') = '\0';
    }
    rc = rc != 0 ? rc
                 : run("install -m 0755 '%s/pgquorum-fence' '%s/pgquorum-fence'", self, stage_dir);
    if (rc == 0 && chdir("/") == 0 && geteuid() == 0 && user != NULL) {
        rc = chown(stage_dir, user->pw_uid, user->pw_gid);
        rc = rc == 0 ? run_as_user(user, NULL, NULL, tests) : 1;
    } else if (rc == 0) {
        rc = tests() == 0 ? 0 : 1;
    }
    stage_sweep();
    (void)run("rm -rf '%s'", stage_dir);
    free(self);
    return rc;
}

#endif
