/* Starts on the lock files that a server has left (FS-66), with a real PostgreSQL: what is stale is
 * removed and the start works, what a living server holds stays and the start says so. */
#include "pgctl/proc/pg_locks.h"
#include "tests/unit/pgctl/pg_stage.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

/* --- those that files name -------------------------------------------------------------------- */

static pid_t child_new(const char *dir, bool dumpable)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        if (chdir(dir) != 0 || prctl(PR_SET_DUMPABLE, dumpable ? 1 : 0) != 0 ||
            write(ready[1], "", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    assert_true(pid > 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void child_end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* It has ended, and nobody has asked. */
static pid_t zombie_new(void)
{
    siginfo_t info;
    pid_t pid = fork_in_test();
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

static pid_t ended_pid(void)
{
    pid_t pid = zombie_new();
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

/* --- the files -------------------------------------------------------------------------------- */

static char pidfile_path[128];
static char socket_path[128];
static char lock_path[128];

static void paths_of(const struct node *node)
{
    snprintf(pidfile_path, sizeof pidfile_path, "%s/postmaster.pid", node->data);
    /* "." is replaced by the state directory (pg_keep_sockets_outside) */
    snprintf(socket_path, sizeof socket_path, "%s/state/.s.PGSQL.%u", node->dir, node->port);
    snprintf(lock_path, sizeof lock_path, "%s.lock", socket_path);
}

static char *lock_text(const struct node *node, pid_t pid, long key, long id)
{
    return mem_printf("%d\n%s\n1700000000\n%u\n%s/state\n127.0.0.1\n%9lu %9lu\nready   \n",
                      (int)pid, node->data, node->port, node->dir, (unsigned long)key,
                      (unsigned long)id);
}

static void lock_put(const struct node *node, const char *path, pid_t pid)
{
    char *text = lock_text(node, pid, 1, 99999999);
    file_put(path, text, 0600);
    mem_free(text);
}

static char *text_of(const char *path)
{
    char text[2048] = "";
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    return mem_strdup(text);
}

static void expect_started(struct node *node, const char *part, pid_t pid)
{
    char number[32];
    noted[0] = '\0';
    node_start_well(node, PG_START_PRIMARY, NULL);
    snprintf(number, sizeof number, "process %d", (int)pid);
    if (part == NULL) {
        assert_string_equal(noted, "");
    } else if (strstr(noted, part) == NULL || (pid != 0 && strstr(noted, number) == NULL)) {
        fail_msg("noted '%s', expected '%s' of %d", noted, part, (int)pid);
    }
    assert_false(file_there("%s.pgquorum-stale", pidfile_path));
    assert_false(file_there("%s.pgquorum-stale", lock_path));
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
}

/* Neither file is touched; they are removed afterwards. */
static void expect_refused(struct node *node, int rc, const char *part)
{
    char *pidfile = text_of(pidfile_path);
    char *lock = text_of(lock_path);
    struct outcome outcome;

    noted[0] = '\0';
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, rc);
    expect_text(&outcome, part);
    assert_string_equal(noted, "");
    assert_false(fence_client_status(node->fence)->running);
    char *pidfile_after = text_of(pidfile_path);
    char *lock_after = text_of(lock_path);
    assert_string_equal(pidfile, pidfile_after);
    assert_string_equal(lock, lock_after);
    mem_free(pidfile);
    mem_free(lock);
    mem_free(pidfile_after);
    mem_free(lock_after);
    unlink(pidfile_path);
    unlink(lock_path);
}

/* --- tests ------------------------------------------------------------------------------------ */

enum who {
    NO_FILE,
    EMPTY,
    NO_NUMBER,
    SLEEPER,
    SINGLE, /* the same, as a single-user server writes it */
    HERE,   /* a process that works in the data directory */
    HIDDEN, /* a process of which nothing can be read */
    ZOMBIE,
    ENDED,
    OTHER, /* the postmaster of another directory */
    OTHERS_CHILD,
};

static pid_t others_child(pid_t postmaster)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)postmaster, (int)postmaster);
    char *children = text_of(path);
    pid_t first = (pid_t)strtol(children, NULL, 10);
    mem_free(children);
    assert_true(first > 0);
    return first;
}

/* `*ret_child`: the test's own, to be ended. */
static pid_t pid_of(enum who who, const struct node *node, const struct node *other,
                    pid_t *ret_child)
{
    pid_t postmaster = fence_client_status(other->fence)->postmaster_pid;
    *ret_child = 0;
    switch (who) {
    case SLEEPER:
    case SINGLE: return *ret_child = child_new("/", true);
    case HERE: return *ret_child = child_new(node->data, true);
    case HIDDEN: return *ret_child = child_new("/", false);
    case ZOMBIE: return *ret_child = zombie_new();
    case ENDED: return ended_pid();
    case OTHER: return postmaster;
    case OTHERS_CHILD: return others_child(postmaster);
    case NO_FILE:
    case EMPTY:
    case NO_NUMBER: break;
    }
    return 0;
}

static void file_of(enum who who, const struct node *node, const char *path, pid_t pid)
{
    if (who == EMPTY || who == NO_NUMBER) {
        file_put(path, who == EMPTY ? "" : "\1\2\3\n", 0600);
    } else if (who != NO_FILE) {
        lock_put(node, path, who == SINGLE ? -pid : pid);
    }
}

static void start_on_lock_files_of_all_kinds(void **state)
{
    static const struct {
        const char *name;
        enum who pidfile;
        enum who lock; /* the same, or one of both is NO_FILE */
        int rc;
        const char *says; /* rc 0: of the note; NULL = none */
    } rows[] = {
        {"nothing", NO_FILE, NO_FILE, 0, NULL},
        {"a stranger", SLEEPER, NO_FILE, 0, "postmaster.pid' (process"},
        {"a stranger in both", SLEEPER, SLEEPER, 0, ".lock' (process"},
        {"a stranger in the lock", NO_FILE, SLEEPER, 0, ".lock' (process"},
        {"a single-user server that was", SINGLE, NO_FILE, 0, "postmaster.pid' (process"},
        {"a zombie in both", ZOMBIE, ZOMBIE, 0, "has ended"},
        {"one that ended", ENDED, ENDED, 0, NULL}, /* PostgreSQL removes them */
        {"empty", EMPTY, NO_FILE, 0, "it named no process"},
        {"no number", NO_NUMBER, NO_FILE, 0, "it named no process"},
        {"another server", OTHER, NO_FILE, 0, "postmaster.pid' (process"},
        {"another server's child in both", OTHERS_CHILD, OTHERS_CHILD, 0, ".lock' (process"},
        {"another server in the lock", NO_FILE, OTHER, ERR_EXISTS, "living PostgreSQL of another"},
        {"one that works here", HERE, NO_FILE, ERR_EXISTS, "works in the data directory"},
        {"one that works here in the lock", NO_FILE, HERE, ERR_EXISTS, "works in the data dir"},
        {"a hidden one", HIDDEN, NO_FILE, ERR_REFUSED, "cannot be told whether process"},
        {"a hidden one in the lock", NO_FILE, HIDDEN, ERR_REFUSED, "cannot be told whether"},
        {"an empty lock", NO_FILE, EMPTY, ERR_REFUSED, "names no process"},
    };
    (void)state;
    struct node *other = primary_new("other");
    struct node *node = node_of_template("n1");

    paths_of(node);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pid_t child = 0;
        enum who who = rows[i].pidfile != NO_FILE ? rows[i].pidfile : rows[i].lock;
        pid_t pid = pid_of(who, node, other, &child);

        print_message("%s\n", rows[i].name);
        file_of(rows[i].pidfile, node, pidfile_path, pid);
        file_of(rows[i].lock, node, lock_path, pid);
        if (rows[i].rc == 0) {
            expect_started(node, rows[i].says, pid);
        } else {
            expect_refused(node, rows[i].rc, rows[i].says);
        }
        if (child != 0) {
            child_end(child);
        }
    }
    node_free(node);
    node_free(other);
}

/* The one that must not be: two postmasters in one directory. */
static void start_leaves_the_files_of_a_server_that_runs_there(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome outcome;

    paths_of(node);
    assert_int_equal(run(PG_BIN "/pg_ctl -s -w -D %s -l %s/own.log -o '-p %u -k %s/state' start",
                         node->data, node->dir, node->port, node->dir),
                     0);
    char *pidfile = text_of(pidfile_path);
    char *lock = text_of(lock_path);
    noted[0] = '\0';
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_EXISTS);
    expect_text(&outcome, "works in the data directory already");

    /* Its pid file is made another's: it is still there. */
    pid_t sleeper = child_new("/", true);
    lock_put(node, pidfile_path, sleeper);
    node_start(node, PG_START_PRIMARY, NULL, &outcome);
    CHECK_RC(&outcome, ERR_BUSY);
    expect_text(&outcome, "of PostgreSQL works in");
    assert_string_equal(noted, "");
    file_put(pidfile_path, pidfile, 0600);
    char *lock_after = text_of(lock_path);
    assert_string_equal(lock, lock_after);
    assert_int_equal(run(PG_BIN "/pg_ctl -s -w -m fast -D %s stop", node->data), 0);
    child_end(sleeper);
    mem_free(pidfile);
    mem_free(lock);
    mem_free(lock_after);
    node_free(node);
}

/* A copy, or the same directory by another mount. */
static void start_leaves_the_pid_file_that_another_directory_has_too(void **state)
{
    (void)state;
    struct node *other = primary_new("other");
    struct node *node = node_of_template("n1");

    paths_of(node);
    assert_int_equal(run("cp %s/postmaster.pid %s", other->data, pidfile_path), 0);
    expect_refused(node, ERR_EXISTS, "remove the file");
    expect_started(node, NULL, 0);
    node_free(node);
    node_free(other);
}

static void start_leaves_the_pid_file_whose_shared_memory_is_in_use(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    pid_t sleeper = child_new("/", true);
    long key = 0x70670000 + getpid();
    int id = shmget((key_t)key, 56, IPC_CREAT | IPC_EXCL | 0600);
    assert_true(id >= 0);
    void *block = shmat(id, NULL, 0);
    assert_true(block != (void *)-1);

    paths_of(node);
    char *text = lock_text(node, sleeper, key, id);
    char *another = lock_text(node, sleeper, key + 1, id);
    file_put(pidfile_path, text, 0600);
    expect_refused(node, ERR_BUSY, "is attached by 1 processes");
    file_put(pidfile_path, another, 0600); /* the number of another block */
    expect_started(node, "postmaster.pid", sleeper);

    /* Removed, it lives on under its number as long as somebody has it. */
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    file_put(pidfile_path, text, 0600);
    expect_refused(node, ERR_BUSY, "is attached by 1 processes");
    assert_int_equal(shmdt(block), 0);
    file_put(pidfile_path, text, 0600);
    expect_started(node, "postmaster.pid", sleeper);
    mem_free(text);
    mem_free(another);
    child_end(sleeper);
    node_free(node);
}

static void start_leaves_the_lock_of_a_socket_that_somebody_listens_on(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pid_t sleeper = child_new("/", true);

    paths_of(node);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    lock_put(node, lock_path, sleeper);
    expect_refused(node, ERR_EXISTS, "somebody listens on the socket");
    close(fd);
    lock_put(node, lock_path, sleeper);
    expect_started(node, ".lock", sleeper);
    child_end(sleeper);
    node_free(node);
}

/* Several directories; those that make no file are passed over. */
static void every_directory_of_the_setting_is_cleared(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    pid_t sleeper = child_new("/", true);
    struct buf removed = BUF_INIT;
    struct error err;

    paths_of(node);
    assert_int_equal(run("mkdir %s/one %s/two", node->dir, node->data), 0);
    lock_put(node, lock_path, sleeper);
    char *dirs = mem_printf("@abstract, %s/one ,two,\"%s/state\",,", node->dir, node->dir);
    char *one = mem_printf("%s/one/.s.PGSQL.%u.lock", node->dir, node->port);
    char *two = mem_printf("%s/two/.s.PGSQL.%u.lock", node->data, node->port);
    char *not_ours = mem_printf("%s/one/.s.PGSQL.%u.lock", node->dir, node->port + 1U);
    lock_put(node, one, sleeper);
    lock_put(node, two, sleeper);
    lock_put(node, not_ours, sleeper);
    assert_int_equal(pg_locks_clear(node->data, node->port, dirs, &removed, &err), 0);
    assert_false(file_there("%s", lock_path));
    assert_false(file_there("%s", one));
    assert_false(file_there("%s", two));
    assert_true(file_there("%s", not_ours));
    assert_non_null(strstr(buf_str(&removed), one));
    assert_non_null(strstr(buf_str(&removed), two));

    /* Not set: where postmaster.pid says. */
    lock_put(node, lock_path, sleeper);
    lock_put(node, one, sleeper);
    lock_put(node, pidfile_path, sleeper);
    assert_int_equal(pg_locks_clear(node->data, node->port, "", &removed, &err), 0);
    assert_false(file_there("%s", lock_path));
    assert_false(file_there("%s", pidfile_path));
    assert_true(file_there("%s", one));
    buf_free(&removed);
    mem_free(dirs);
    mem_free(one);
    mem_free(two);
    mem_free(not_ours);
    child_end(sleeper);
    node_free(node);
}

/* Between the look and the removal: made anew, or written to. */
static void lock_that_has_changed_is_not_removed(void **state)
{
    (void)state;
    char path[96];
    struct pg_lock lock = {0};
    struct error err;

    snprintf(path, sizeof path, "%s/lock", stage_dir);
    assert_int_equal(pg_lock_read(path, &lock, &err), ERR_NOT_FOUND);
    file_put(path, "1\n", 0600);
    assert_int_equal(pg_lock_read(path, &lock, &err), 0);
    assert_int_equal(run("echo 1 > %s.new && mv %s.new %s", path, path, path), 0);
    assert_int_equal(pg_lock_remove(&lock, &err), ERR_CONFLICT);
    assert_true(file_there("%s", path));
    buf_free(&lock.text);

    assert_int_equal(pg_lock_read(path, &lock, &err), 0);
    file_put(path, "2\n", 0600);
    assert_int_equal(pg_lock_remove(&lock, &err), ERR_CONFLICT);
    char *text = text_of(path);
    assert_string_equal(text, "2\n");
    mem_free(text);
    buf_free(&lock.text);

    assert_int_equal(pg_lock_read(path, &lock, &err), 0);
    assert_int_equal(pg_lock_remove(&lock, &err), 0);
    assert_false(file_there("%s", path));
    assert_false(file_there("%s.pgquorum-stale", path));
    assert_int_equal(pg_lock_remove(&lock, &err), ERR_CONFLICT);
    buf_free(&lock.text);

    assert_int_equal(run("ln -s /etc/passwd %s", path), 0);
    assert_int_not_equal(pg_lock_read(path, &lock, &err), 0);
    buf_free(&lock.text);
    unlink(path);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(start_on_lock_files_of_all_kinds),
        ON_STAGE(start_leaves_the_files_of_a_server_that_runs_there),
        ON_STAGE(start_leaves_the_pid_file_that_another_directory_has_too),
        ON_STAGE(start_leaves_the_pid_file_whose_shared_memory_is_in_use),
        ON_STAGE(start_leaves_the_lock_of_a_socket_that_somebody_listens_on),
        ON_STAGE(every_directory_of_the_setting_is_cleared),
        ON_STAGE(lock_that_has_changed_is_not_removed),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
