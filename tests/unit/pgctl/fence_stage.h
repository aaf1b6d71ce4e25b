/* A real PostgreSQL for the fence, in both ways of killing. As root this runs as user postgres, in
 * a cgroup that was made for it; as another user, where no cgroup can be made, the tests of that
 * way say so and are skipped (a failure when CI is set). Everything lies in one directory under
 * /tmp, which root's process removes at the end. */
#ifndef TESTS_UNIT_PGCTL_FENCE_STAGE_H
#define TESTS_UNIT_PGCTL_FENCE_STAGE_H

#include "tests/harness/pg_bin.h"
#include "tests/unit/pgctl/fence_rig.h"

#include <dirent.h>
#include <errno.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/wait.h>

#define BACKENDS_MAX 600
#define KILL_MS      250 /* dF, the budget of docs/consensus.md */
/* Others may be at work beside this test, and the end of 500 processes is work for every processor:
 * the figure is printed, tests/bench measures it alone, and the bound for a red test is wider by as
 * many as share a processor. */
#define LOADED(ms) (3 * (ms)*sharers())

static char *conninfo;
static bool has_cgroup;

/* --- an agent --------------------------------------------------------------------------------- */

static int64_t sharers(void)
{
    double load = 0;
    if (getloadavg(&load, 1) != 1) {
        return 1;
    }
    double share = load / (double)sysconf(_SC_NPROCESSORS_ONLN);
    return share < 1 ? 1 : share > 10 ? 10 : (int64_t)(share + 1);
}

static inline int agent_start(struct rig *rig, enum fence_kill_way way)
{
    const char *argv[] = {PG_BIN "/postgres", "-D", rig_data_dir, NULL};
    const char *env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "PGSERVICEFILE=/nowhere", NULL};
    char *log = mem_printf("%s/postgres.log", rig_dir);
    struct fence_start start = {
        .data_dir = rig_data_dir, .log_path = log, .argv = argv, .env = env, .kill_way = way};
    struct error err;
    int rc = fence_client_start(rig->client, &start, rig_on_done, rig, &err);
    mem_free(log);
    assert_int_equal(rc, 0);
    return rig_answer(rig);
}

static inline void agent_arm(struct rig *rig, int64_t revision, int64_t soft_in_ms,
                             int64_t deadline_in_ms)
{
    struct fence_lease lease = fence_lease_standby();
    int64_t now = now_ms();
    lease.epoch = (struct fence_epoch){.cluster = 1, .revision = revision};
    lease.soft_ms = soft_in_ms == FENCE_NO_DEADLINE ? FENCE_NO_DEADLINE : now + soft_in_ms;
    lease.deadline_ms = now + deadline_in_ms;
    fence_page_write(fence_client_page(rig->client), &lease);
}

static int run(const char *command)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- clients of PostgreSQL -------------------------------------------------------------------- */

static PGconn *connections[BACKENDS_MAX];
static int connection_count;

static PGconn *backend_open(void)
{
    static char last[256];
    PGconn *conn = NULL;
    for (int i = 0; i < 3000; i++) { /* 30 s: a crash recovery lies before it */
        conn = PQconnectdb(conninfo);
        if (PQstatus(conn) == CONNECTION_OK) {
            connections[connection_count++] = conn;
            return conn;
        }
        snprintf(last, sizeof last, "%s", PQerrorMessage(conn));
        PQfinish(conn);
        usleep(10000);
    }
    fail_msg("PostgreSQL does not accept connections: %s", last);
    return NULL;
}

/* One backend that no signal handler and no latch reaches: it computes. */
static inline void backends_open(int count)
{
    PGconn *busy = backend_open();
    assert_int_equal(PQsendQuery(busy, "do $$ begin loop end loop; end $$"), 1);
    for (int i = 1; i < count; i++) {
        (void)backend_open();
    }
}

static void backends_close(void)
{
    while (connection_count > 0) {
        PQfinish(connections[--connection_count]);
    }
}

/* To each live process whose working directory is the data directory; how many they are. 0 = none
 * is sent: zombies are not counted. */
static int processes_signal(int number)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int count = 0;
    assert_non_null(proc);
    while ((entry = readdir(proc)) != NULL) {
        char path[64];
        char cwd[256];
        snprintf(path, sizeof path, "/proc/%.20s/cwd", entry->d_name);
        ssize_t len = readlink(path, cwd, sizeof cwd - 1);
        if (len > 0) {
            cwd[len] = '\0';
        }
        if (len > 0 && strcmp(cwd, rig_data_dir) == 0) {
            count++;
            (void)kill((pid_t)strtol(entry->d_name, NULL, 10), number);
        }
    }
    closedir(proc);
    return count;
}

static int processes(void)
{
    return processes_signal(0);
}

static inline int64_t wait_dead(pid_t pid, int64_t bound_ms)
{
    int64_t from = now_ms();
    while (pid_lives(pid) && now_ms() - from < bound_ms) {
        usleep(1000);
    }
    assert_false(pid_lives(pid));
    return now_ms() - from;
}

static inline enum fence_kill_way way_of(void **state)
{
    enum fence_kill_way way = *(const enum fence_kill_way *)*state;
    if (way == FENCE_KILL_CGROUP && !has_cgroup) {
        print_message("no cgroup can be made for the test: needs root and a cgroup v2 mount\n");
        if (getenv("CI") != NULL && strcmp(getenv("CI"), "true") == 0) {
            fail();
        }
        skip();
    }
    return way;
}

/* A server of another parent, as Patroni's is when we come. */
static inline void start_by_hand(void)
{
    char *command =
        mem_printf(PG_BIN "/pg_ctl start -w -s -D '%s' -l '%s/by_hand.log'", rig_data_dir, rig_dir);
    assert_int_equal(run(command), 0);
    mem_free(command);
}

/* Of one that was killed: a zombie may have its number. */
static inline void remove_locks(void)
{
    char *command =
        mem_printf("rm -f '%s/postmaster.pid' '%s/.s.PGSQL.5432.lock'", rig_data_dir, rig_dir);
    assert_int_equal(run(command), 0);
    mem_free(command);
}

/* --- setting the stage ------------------------------------------------------------------------ */

static int make_instance(void **state)
{
    (void)state;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    char *command = mem_printf(
        PG_BIN
        "/initdb -D '%s' -A trust -N --no-instructions -U postgres >'%s/initdb.log' 2>&1 && "
        "echo \"listen_addresses = ''\nunix_socket_directories = '%s'\nmax_connections = 600\n"
        "shared_buffers = 16MB\ndynamic_shared_memory_type = mmap\nfsync = off\nlogging_collector "
        "= on\" >> '%s/postgresql.conf'",
        rig_data_dir, rig_dir, rig_dir, rig_data_dir);
    int rc = run(command);
    struct error err;
    mem_free(command);
    return rc != 0 || fence_runtime_prepare(rig_runtime_dir, &err) != 0 ? -1 : 0;
}

/* As root: a cgroup that user postgres may divide, with this process in it. "" where there is no
 * cgroup v2. */
static void make_cgroup(char *ret_path, size_t size, uid_t uid)
{
    char line[4096];
    char point[1024] = "";
    FILE *file = fopen("/proc/self/mountinfo", "r");
    ret_path[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, " - cgroup2 ") != NULL) {
            sscanf(line, "%*s %*s %*s %*s %1023s", point);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    snprintf(ret_path, size, "%s/pgquorum-fence.%s-%d", point, scratch_mark(), (int)getpid());
    if (point[0] == '\0' || mkdir(ret_path, 0755) != 0) {
        ret_path[0] = '\0';
        return;
    }
    char *command = mem_printf("chown %d '%s' '%s/cgroup.procs' && test -e '%s/cgroup.kill'",
                               (int)uid, ret_path, ret_path, ret_path);
    has_cgroup = run(command) == 0;
    mem_free(command);
}

static void join_cgroup(const void *cgroup)
{
    char *join = mem_printf("echo %d > '%s/cgroup.procs'", (int)getpid(), (const char *)cgroup);
    has_cgroup = has_cgroup && run(join) == 0;
    mem_free(join);
}

/* `all_tests` runs them, with make_instance before. An argument is a filter for their names. */
static int stage_main(int argc, char **argv, const char *what, int (*all_tests)(void))
{
    char cgroup[1200] = "";
    const struct passwd *user = getpwnam("postgres");
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }

    if (rig_places(what) != 0) {
        return 1;
    }
    conninfo = mem_printf("host=%s dbname=postgres user=postgres", rig_dir);
    /* Copied to where user postgres can read it. */
    char *copy = mem_printf("install -m 0755 '%s' '%s/pgquorum-fence'", rig_fence_path, rig_dir);
    mem_free(rig_fence_path);
    rig_fence_path = mem_printf("%s/pgquorum-fence", rig_dir);
    int rc = run(copy) == 0 && chdir("/") == 0 ? 0 : 1;
    if (rc == 0 && geteuid() == 0 && user != NULL) {
        rc = chown(rig_dir, user->pw_uid, user->pw_gid);
        make_cgroup(cgroup, sizeof cgroup, user->pw_uid);
        rc = rc == 0 ? run_as_user(user, join_cgroup, cgroup, all_tests) : 1;
        if (cgroup[0] != '\0') {
            /* Refused while the last fence is on its way out. */
            for (int i = 0; i < 200 && rmdir(cgroup) != 0 && errno == EBUSY; i++) {
                usleep(10000);
            }
        }
    } else if (rc == 0) {
        rc = all_tests() == 0 ? 0 : 1;
    }
    rig_close();
    mem_free(copy);
    mem_free(conninfo);
    return rc;
}

#endif
