/* Programs run to their end, files written whole, directories looked at. */
#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/proc/pg_child.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 256, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static bool there(const char *name)
{
    return access(in_dir(name), F_OK) == 0;
}

static void wait_dead(pid_t pid)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + 5000;
    while (pid_lives(pid) && clock_mono_ms(clock_real()) < until_ms) {
        usleep(1000);
    }
    assert_false(pid_lives(pid));
}

/* --- children --------------------------------------------------------------------------------- */

struct ended {
    unsigned calls;
    int rc;
    struct error err;
    int exit_code;
    int signal;
    char out[PG_CHILD_OUTPUT_MAX + 1];
    size_t out_len;
};

static struct ended ended;
static uv_loop_t loop;

static void on_child(void *arg, int rc, const struct pg_child_result *result,
                     const struct error *err)
{
    (void)arg;
    ended.calls++;
    ended.rc = rc;
    ended.err = *err;
    ended.exit_code = result->exit_code;
    ended.signal = result->signal;
    ended.out_len = result->out.len;
    memcpy(ended.out, result->out.data == NULL ? "" : (const char *)result->out.data,
           result->out.len);
    ended.out[result->out.len] = '\0';
}

static struct pg_child *child_start(const char *script, const char *input, int64_t timeout_ms)
{
    const char *const argv[] = {"/bin/sh", "-c", script, "sh", dir, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct pg_child_spec spec = {
        .argv = argv, .env = env, .cwd = dir, .input = input, .timeout_ms = timeout_ms};
    struct pg_child *child = NULL;
    struct error err;

    memset(&ended, 0, sizeof ended);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(pg_child_start(&loop, &spec, on_child, NULL, &child, &err), 0);
    assert_int_equal(ended.calls, 0);
    return child;
}

static void child_end(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(ended.calls, 1);
}

static void child_gives_its_output_and_reads_its_input(void **state)
{
    (void)state;
    (void)child_start("read a; echo \"<$a>\"; pwd; echo \"$PATH\"", "hello\n", 5000);
    child_end();
    assert_int_equal(ended.rc, 0);
    char *want = mem_printf("<hello>\n%s\n/usr/bin:/bin\n", dir);
    assert_string_equal(ended.out, want);
    mem_free(want);
}

static void child_that_fails_says_status_and_last_words(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int exit_code;
        int signal;
        const char *text;
    } ends[] = {
        {"echo one >&2; echo two >&2; echo >&2; exit 7", 7, 0, "sh: exit status 7: two"},
        {"printf 'unended' >&2; exit 255", 255, 0, "sh: exit status 255: unended"},
        {"printf '10%%\\r20%%\\rdisk full\\r\\n' >&2; exit 1", 1, 0,
         "sh: exit status 1: disk full"},
        {"echo 'initdb: error: a' >&2; echo 'initdb: error: b' >&2;"
         "echo 'initdb: removing contents of \"x\"' >&2; exit 1",
         1, 0, "sh: exit status 1: initdb: error: b"},
        {"exit 1", 1, 0, "sh: exit status 1: "},
        {"exec <&-; exit 2", 2, 0, "sh: exit status 2: "},
        {"echo bye >&2; kill -TERM $$", -1, SIGTERM, "sh: ended by signal 15: bye"},
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)child_start(ends[i].script, NULL, 5000);
        child_end();
        assert_int_equal(ended.rc, ERR_IO);
        assert_int_equal(ended.exit_code, ends[i].exit_code);
        assert_int_equal(ended.signal, ends[i].signal);
        assert_string_equal(ended.err.text, ends[i].text);
    }
}

static void output_beyond_the_limit_loses_its_beginning(void **state)
{
    (void)state;
    (void)child_start("seq 20000; echo the end", NULL, 20000);
    child_end();
    assert_int_equal(ended.rc, 0);
    assert_true(ended.out_len <= PG_CHILD_OUTPUT_MAX);
    assert_true(ended.out_len > PG_CHILD_OUTPUT_MAX / 2);
    assert_string_equal(ended.out + ended.out_len - 8, "the end\n");
}

struct lines {
    unsigned shown;
    struct ended kept;
    char text[64];
};

static void on_child_of_lines(void *arg, int rc, const struct pg_child_result *result,
                              const struct error *err)
{
    struct lines *lines = arg;
    lines->kept = (struct ended){.calls = 1, .rc = rc, .err = *err, .out_len = result->err.len};
    memcpy(lines->kept.out, result->err.data == NULL ? "" : (const char *)result->err.data,
           result->err.len);
}

static bool take_numbers(void *arg, struct span line)
{
    struct lines *lines = arg;
    lines->shown++;
    (void)snprintf(lines->text, sizeof lines->text, "%.*s", (int)line.len, (const char *)line.data);
    return line.len > 0 && line.data[0] >= '0' && line.data[0] <= '9';
}

static void show_lines(struct lines *lines, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct pg_child_spec spec = {
        .argv = argv, .env = env, .cwd = dir, .timeout_ms = 20000, .take_line = take_numbers};
    struct pg_child *child = NULL;
    struct error err;

    memset(lines, 0, sizeof *lines);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(pg_child_start(&loop, &spec, on_child_of_lines, lines, &child, &err), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(lines->kept.calls, 1);
}

static void lines_of_errors_are_shown_when_whole_and_taken_ones_are_not_kept(void **state)
{
    static struct lines lines;
    (void)state;
    show_lines(&lines, "printf '1\\r2\\nb' >&2; printf 'ad\\n\\n3\\n4' >&2; exit 1");
    assert_int_equal(lines.shown, 5); /* "4" never became whole */
    assert_string_equal(lines.text, "3");
    assert_string_equal(lines.kept.out, "bad\n\n4");

    /* Many of them: what is kept has its beginning, which would be far beyond the limit. */
    show_lines(&lines, "echo first >&2; seq 40000 >&2; echo last >&2; exit 1");
    assert_int_equal(lines.shown, 40002);
    assert_string_equal(lines.text, "last");
    assert_string_equal(lines.kept.out, "first\nlast\n");
    assert_string_equal(lines.kept.err.text, "sh: exit status 1: last");

    /* Those that are kept, and one that never ends, have the limit of all output. */
    show_lines(&lines, "seq -f x%g 20000 >&2; head -c 200000 /dev/zero | tr '\\0' y >&2; echo >&2");
    assert_int_equal(lines.kept.rc, 0);
    assert_int_equal(lines.kept.out_len, PG_CHILD_OUTPUT_MAX);
    assert_int_equal(lines.kept.out[lines.kept.out_len - 1], '\n');
    assert_int_equal(lines.shown, 20001);
}

static pid_t pid_from(const char *name)
{
    int pid = 0;
    FILE *file = fopen(in_dir(name), "r");
    if (file != NULL) {
        if (fscanf(file, "%d", &pid) != 1) {
            pid = 0;
        }
        fclose(file);
    }
    return pid;
}

static void on_timer(uv_timer_t *timer)
{
    if (pid_from("grandchild") != 0) {
        pg_child_kill(timer->data);
        pg_child_kill(timer->data);
        uv_close((uv_handle_t *)timer, NULL);
    }
}

#define WITH_GRANDCHILD "sleep 1000 & echo $! > t; mv t grandchild; "

static void killed_child_takes_its_children_along(void **state)
{
    (void)state;
    uv_timer_t timer;
    unlink(in_dir("grandchild"));
    timer.data = child_start(WITH_GRANDCHILD "wait", NULL, 60000);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_timer, 2, 2);
    child_end();
    assert_int_equal(ended.rc, ERR_CANCELED);
    assert_int_equal(ended.signal, SIGKILL);
    wait_dead(pid_from("grandchild"));
}

static void hanging_child_is_killed_at_its_deadline_with_its_children(void **state)
{
    (void)state;
    unlink(in_dir("grandchild"));
    (void)child_start(WITH_GRANDCHILD "echo still at it >&2; wait", NULL, 500);
    child_end();
    assert_int_equal(ended.rc, ERR_TIMEOUT);
    assert_string_equal(ended.err.text, "sh: not done in time, killed: still at it");
    wait_dead(pid_from("grandchild"));
}

/* Neither kept waiting by the grandchild's hold on the pipes, nor leaving it. */
static void what_outlives_the_child_is_ended(void **state)
{
    (void)state;
    unlink(in_dir("grandchild"));
    (void)child_start(WITH_GRANDCHILD "exit 0", NULL, 60000);
    child_end();
    assert_int_equal(ended.rc, 0);
    wait_dead(pid_from("grandchild"));
}

static void child_that_cannot_be_run_is_refused(void **state)
{
    (void)state;
    const char *const argv[] = {"/nowhere/initdb", NULL};
    const char *const env[] = {NULL};
    const char *none[] = {NULL};
    const char *many[PG_CHILD_ARGS_MAX + 2];
    struct pg_child_spec spec = {.argv = argv, .env = env, .timeout_ms = 1000};
    struct pg_child *child;
    struct error err;

    memset(&ended, 0, sizeof ended);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(pg_child_start(&loop, &spec, on_child, NULL, &child, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/initdb"));
    spec.argv = none;
    assert_int_equal(pg_child_start(&loop, &spec, on_child, NULL, &child, &err), ERR_LIMIT);
    for (size_t i = 0; i <= PG_CHILD_ARGS_MAX; i++) {
        many[i] = "x";
    }
    many[PG_CHILD_ARGS_MAX + 1] = NULL;
    spec.argv = many;
    assert_int_equal(pg_child_start(&loop, &spec, on_child, NULL, &child, &err), ERR_LIMIT);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(ended.calls, 0);
}

/* --- orphans ---------------------------------------------------------------------------------- */

/* A process with these words as its command line, and this working directory. */
static pid_t stand_in(const char *program, const char *first, const char *last, const char *cwd)
{
    int pipe_fds[2];
    char byte;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        close(pipe_fds[0]);
        /* bash reads its script from "first", which so is the first argument. */
        if (chdir(cwd) == 0) {
            execl("/bin/bash", program, first, last, (char *)NULL);
        }
        _exit(127);
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1); /* it runs */
    close(pipe_fds[0]);
    return pid;
}

/* The signal that ends it: nobody else may have sent one before ours. */
static int end_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static void programs_of_jobs_in_the_directory_are_ended_and_no_others(void **state)
{
    (void)state;
    const char *hangs = "echo; exec 3<> <(:); read -t 1000 <&3\n";
    char *target = mem_printf("--target-pgdata=%s", in_dir("data"));
    char *other = mem_printf("%s/data2", dir);
    char *plain = mem_printf("%s/script", dir);

    assert_int_equal(mkdir(in_dir("data"), 0700), 0);
    assert_int_equal(mkdir(other, 0700), 0);
    put("script", hangs);

    const struct {
        pid_t pid;
        bool ends;
    } all[] = {
        {stand_in("/usr/bin/pg_rewind", plain, target, "/"), true},
        {stand_in("pg_basebackup", plain, in_dir("data"), "/"), true},
        {stand_in("/x/initdb", plain, in_dir("data"), "/"), true},
        {stand_in("initdb", plain, other, "/"), false},
        {stand_in("pg_dump", plain, in_dir("data"), "/"), false},
        {stand_in("/x/postgres", plain, in_dir("data"), in_dir("data")), false}, /* a server */
        {stand_in("bash", plain, in_dir("data"), in_dir("data")), false},
    };
    assert_int_equal(pg_orphans_end(in_dir("data")), 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (pid_lives(all[i].pid) == all[i].ends) {
            fail_msg("stand-in %zu %s", i, all[i].ends ? "lives" : "was killed");
        }
        kill(all[i].pid, SIGUSR1);
        assert_int_equal(end_of(all[i].pid), all[i].ends ? SIGKILL : SIGUSR1);
    }
    mem_free(target);
    mem_free(other);
    mem_free(plain);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void pidfile_names(pid_t pid)
{
    char *text = mem_printf("%d\n%s/server\n1700000000\n5432\n", (int)pid, dir);
    put("server/postmaster.pid", text);
    mem_free(text);
}

static void signal_goes_to_who_is_named_and_works_there_and_to_nobody_else(void **state)
{
    (void)state;
    char *plain = mem_printf("%s/script", dir);
    struct error err;

    put("script", "echo; exec 3<> <(:); read -t 1000 <&3\n");
    assert_int_equal(mkdir(in_dir("server"), 0700), 0);
    pid_t server = stand_in("postgres", plain, "-D", in_dir("server"));
    pid_t stranger = stand_in("bash", plain, "", "/");

    /* A wrong one would end its process before the right one does: it has the lower number. */
    assert_int_equal(pg_postmaster_signal(in_dir("server"), 0, SIGHUP, &err), ERR_NOT_FOUND);
    pidfile_names(stranger); /* the postmaster has died, and its number was used again */
    assert_int_equal(pg_postmaster_signal(in_dir("server"), 0, SIGHUP, &err), ERR_NOT_FOUND);
    assert_int_equal(pg_postmaster_signal(in_dir("server"), stranger, SIGHUP, &err), ERR_NOT_FOUND);
    pidfile_names(-server); /* a single-user server is no postmaster */
    assert_int_equal(pg_postmaster_signal(in_dir("server"), 0, SIGHUP, &err), ERR_NOT_FOUND);
    pidfile_names(server); /* and it is not the one that was looked at before */
    assert_int_equal(pg_postmaster_signal(in_dir("server"), stranger, SIGHUP, &err), ERR_NOT_FOUND);

    assert_int_equal(pg_postmaster_signal(in_dir("server"), 0, SIGTERM, &err), 0);
    wait_dead(server); /* a zombie: gone, and not reaped yet */
    assert_int_equal(pg_postmaster_signal(in_dir("server"), server, SIGTERM, &err), ERR_NOT_FOUND);
    assert_int_equal(end_of(server), SIGTERM);
    kill(stranger, SIGUSR1);
    assert_int_equal(end_of(stranger), SIGUSR1);
    mem_free(plain);
}

/* --- files ------------------------------------------------------------------------------------ */

static size_t count_beside(const char *name)
{
    size_t count = 0;
    const struct dirent *entry;
    DIR *opened = opendir(in_dir(name));
    assert_non_null(opened);
    while ((entry = readdir(opened)) != NULL) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    closedir(opened);
    return count;
}

/* A process of before was killed while it wrote; what looks alike is another file's. */
static void what_a_dead_process_left_beside_a_file_is_removed(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(mkdir(in_dir("conf"), 0700), 0);
    put("conf/a.conf.pgquorum-new", "");
    put("conf/a.conf.pgquorum-new-00000002-1", "");
    put("conf/aa.conf.pgquorum-new-00000002-1", "");
    put("conf/a.conf.d.pgquorum-new-00000002-1", "");
    assert_int_equal(pg_file_write(in_dir("conf/a.conf"), span_str("x"), 0600, &err), 0);
    assert_true(there("conf/a.conf"));
    assert_false(there("conf/a.conf.pgquorum-new"));
    assert_false(there("conf/a.conf.pgquorum-new-00000002-1"));
    assert_true(there("conf/aa.conf.pgquorum-new-00000002-1"));
    assert_true(there("conf/a.conf.d.pgquorum-new-00000002-1"));
    assert_int_equal(count_beside("conf"), 3);
}

struct writer {
    uv_thread_t thread;
    char letter;
    int failed;
};

static void write_often(void *arg)
{
    struct writer *writer = arg;
    char text[5000];
    struct error err;
    memset(text, writer->letter, sizeof text);
    for (int i = 0; i < 100; i++) {
        int rc = pg_file_write(in_dir("conf/both"), span_of(text, sizeof text), 0600, &err);
        writer->failed += rc != 0 ? 1 : 0;
    }
}

static void two_that_write_one_file_leave_it_whole(void **state)
{
    (void)state;
    struct writer writers[] = {{.letter = 'a'}, {.letter = 'b'}};
    struct buf bytes = BUF_INIT;
    struct error err;
    size_t before = count_beside("conf");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(uv_thread_create(&writers[i].thread, write_often, &writers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        uv_thread_join(&writers[i].thread);
        assert_int_equal(writers[i].failed, 0);
    }
    assert_int_equal(pg_file_read(in_dir("conf/both"), 10000, &bytes, &err), 0);
    assert_int_equal(bytes.len, 5000);
    assert_memory_equal(buf_str(&bytes), buf_str(&bytes) + 1, 4999);
    assert_int_equal(count_beside("conf"), before + 1);
    buf_free(&bytes);
}

static void file_is_written_whole_and_with_its_mode(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct stat st;
    struct error err;

    assert_int_equal(pg_file_write(in_dir("file"), span_str("first"), 0600, &err), 0);
    assert_int_equal(pg_file_write(in_dir("file"), span_str("second"), 0600, &err), 0);
    assert_int_equal(pg_file_read(in_dir("file"), 6, &bytes, &err), 0);
    assert_string_equal(buf_str(&bytes), "second");
    buf_clear(&bytes);
    assert_int_equal(pg_file_read(in_dir("file"), 5, &bytes, &err), ERR_LIMIT);
    assert_int_equal(stat(in_dir("file"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(pg_file_read(in_dir("none"), 5, &bytes, &err), ERR_NOT_FOUND);
    assert_int_equal(pg_file_write(in_dir("none/file"), span_str(""), 0600, &err), ERR_NOT_FOUND);
    assert_int_equal(pg_file_remove(in_dir("file"), &err), 0);
    assert_int_equal(pg_file_remove(in_dir("file"), &err), 0);
    assert_false(there("file"));
    buf_free(&bytes);
}

/* Somebody has put links where a secret, and what becomes it, are to be written. */
static void a_secret_follows_no_link_and_is_closed_from_the_start(void **state)
{
    (void)state;
    struct stat st;
    struct error err;
    mode_t mask = umask(0);

    put("victim", "untouched");
    assert_int_equal(chmod(in_dir("victim"), 0666), 0);
    assert_int_equal(symlink(in_dir("victim"), in_dir("secret")), 0);
    assert_int_equal(symlink(in_dir("victim"), in_dir("secret.pgquorum-new")), 0);
    assert_int_equal(pg_file_write(in_dir("secret"), span_str("password"), 0600, &err), 0);
    assert_int_equal(lstat(in_dir("secret"), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(stat(in_dir("victim"), &st), 0);
    assert_int_equal(st.st_size, strlen("untouched"));
    assert_false(there("secret.pgquorum-new"));
    (void)umask(mask);
}

static void full_disk_leaves_the_file_that_was_there(void **state)
{
    (void)state;
    struct error err;
    struct buf bytes = BUF_INIT;
    int rc = 0;

    assert_int_equal(pg_file_write(in_dir("kept"), span_str("old"), 0600, &err), 0);
    pid_t pid = fork();
    if (pid == 0) { /* a limit on the size stands in for the disk's */
        signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limit = {2, 2};
        _exit(setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                      pg_file_write(in_dir("kept"), span_str("new words"), 0600, &err) < 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_int_equal(rc, 0);
    assert_int_equal(pg_file_read(in_dir("kept"), 100, &bytes, &err), 0);
    assert_string_equal(buf_str(&bytes), "old");
    buf_free(&bytes);
}

/* --- directories ------------------------------------------------------------------------------ */

static struct pg_inspection look(void)
{
    struct pg_inspection found;
    pg_dir_look_alone(in_dir("pg"), in_dir("marker"), in_dir("service"), &found);
    return found;
}

static int32_t postmaster_of(const char *name)
{
    struct error err;
    int32_t pid = -1;
    assert_int_equal(pg_dir_postmaster(in_dir(name), &pid, &err), 0);
    return pid;
}

static void directory_is_told_by_what_is_in_it(void **state)
{
    (void)state;
    assert_int_equal(look().kind, PG_DIR_MISSING);
    assert_int_equal(mkdir(in_dir("pg"), 0700), 0);
    assert_int_equal(look().kind, PG_DIR_EMPTY);
    assert_int_equal(mkdir(in_dir("pg/lost+found"), 0700), 0);
    put("pg/.snapshot", "");
    assert_int_equal(look().kind, PG_DIR_EMPTY);
    put("pg/thesis", "");
    assert_int_equal(look().kind, PG_DIR_FOREIGN);
    put("pg/PG_VERSION", "15\n");
    assert_int_equal(look().kind, PG_DIR_BROKEN);
    assert_int_equal(mkdir(in_dir("pg/global"), 0700), 0);
    put("pg/global/pg_control", "");
    assert_int_equal(look().kind, PG_DIR_VALID);
    assert_int_equal(look().major, 15);

    char *pidfile = mem_printf("%d\n%s/pg\n1700000000\n", (int)getpid(), dir);
    put("pg/postmaster.pid", pidfile);
    mem_free(pidfile);
    assert_int_equal(look().pidfile_pid, getpid());
    assert_false(look().running); /* alive, and works elsewhere */
    assert_int_equal(chdir(in_dir("pg")), 0);
    assert_true(look().running);
    assert_int_equal(postmaster_of("pg"), getpid());
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(postmaster_of("pg"), 0);
}

/* Its program's name is what tells a server, where the file that names it cannot be read. */
static pid_t postgres_in(const char *where, const char *mode)
{
    char *program = mem_printf("%s/postgres", dir);
    if (access(program, F_OK) != 0) {
        char *command = mem_printf("cp /bin/sleep %s", program);
        assert_int_equal(system(command), 0);
        mem_free(command);
    }
    pid_t pid = fork_in_test();
    if (pid == 0) {
        _exit(chdir(where) == 0 ? execl(program, "postgres", mode, (char *)NULL) : 1);
    }
    int64_t until_ms = clock_mono_ms(clock_real()) + 5000;
    while (!pg_process_works_in(pid, where) && clock_mono_ms(clock_real()) < until_ms) {
        usleep(1000);
    }
    usleep(100000); /* and its program runs */
    mem_free(program);
    return pid;
}

static void server_whose_pid_file_cannot_be_read_runs_all_the_same(void **state)
{
    struct error err;
    (void)state;
    char *kept = mem_printf("%s/pg/postmaster.pid", dir);
    char *aside = mem_printf("%s/aside", dir);
    assert_int_equal(rename(kept, aside), 0);

    pid_t server = postgres_in(in_dir("pg"), "60");
    assert_int_equal(postmaster_of("pg"), 0); /* there is none: PostgreSQL's own word */
    put("pg/postmaster.pid", "nonsense\n");
    assert_true(look().running);
    assert_int_equal(look().pidfile_pid, server);
    assert_non_null(strstr(look().pidfile_reason, "line 1 is 'nonsense'"));
    assert_int_equal(postmaster_of("pg"), server);
    assert_int_equal(pg_postmaster_signal(in_dir("pg"), server, SIGTERM, &err), 0);
    wait_dead(server);
    assert_int_equal(waitpid(server, NULL, 0), server);
    assert_false(look().running);
    assert_int_equal(postmaster_of("pg"), 0);
    assert_int_equal(pg_postmaster_signal(in_dir("pg"), 0, SIGTERM, &err), ERR_NOT_FOUND);

    assert_int_equal(rename(aside, kept), 0);
    assert_string_equal(look().pidfile_reason, "");
    mem_free(kept);
    mem_free(aside);
}

/* With no descriptor, and with one, which /proc takes. */
static int look_with_descriptors(rlim_t spare, pid_t server)
{
    struct error err = {0};
    int32_t pid = server;
    int next = dup(STDIN_FILENO);
    (void)close(next);
    const struct rlimit few = {(rlim_t)next + spare, (rlim_t)next + spare};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0 || pg_dir_postmaster(in_dir("pg"), &pid, &err) == 0 ||
        pid != server) {
        return 1;
    }
    if (pg_dir_server_process(in_dir("pg"), &pid, &err) == 0 ||
        strstr(err.text, "Too many open files") == NULL) {
        return 2;
    }
    int rc = pg_postmaster_signal(in_dir("pg"), 0, SIGTERM, &err);
    if (rc == 0 || rc == ERR_NOT_FOUND) {
        return 3;
    }
    return pg_postmaster_signal(in_dir("pg"), server, SIGTERM, &err) == 0 ? 0 : 4;
}

static void server_that_cannot_be_seen_is_not_none(void **state)
{
    (void)state;
    for (rlim_t spare = 0; spare <= 1; spare++) {
        int status = -1;
        pid_t server = postgres_in(in_dir("pg"), "60");
        char *pidfile = mem_printf("%d\n%s/pg\n1700000000\n", (int)server, dir);
        put("pg/postmaster.pid", spare > 0 ? "nonsense\n" : pidfile);
        mem_free(pidfile);
        pid_t pid = fork_in_test();
        if (pid == 0) {
            _exit(look_with_descriptors(spare, server));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        wait_dead(server);
        assert_int_equal(waitpid(server, NULL, 0), server);
    }
}

/* In a child that may open nothing more. */
static void process_that_cannot_be_looked_at_counts_as_alive(void **state)
{
    int status = -1;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        bool before = chdir(in_dir("pg")) == 0 && pg_process_works_in(getpid(), in_dir("pg"));
        bool then = setrlimit(RLIMIT_NOFILE, &none) == 0 && open("/", O_RDONLY) < 0 &&
                    pg_process_works_in(getpid(), in_dir("pg"));
        _exit(before && then ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void process_that_has_ended_works_nowhere(void **state)
{
    siginfo_t info;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(chdir(in_dir("pg")));
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* a zombie */
    assert_false(pg_process_works_in(pid, in_dir("pg")));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(pg_process_works_in(pid, in_dir("pg")));
}

static void sockets_of_a_server_that_is_gone_are_removed_and_its_pid_file_stays(void **state)
{
    (void)state;
    struct error err;

    put("pg/.s.PGSQL.5432", "");
    put("pg/.s.PGSQL.5432.lock", "");
    assert_true(there("pg/postmaster.pid"));
    assert_int_equal(pg_dir_remove_sockets(in_dir("pg"), &err), 0);
    assert_false(there("pg/.s.PGSQL.5432") || there("pg/.s.PGSQL.5432.lock"));
    assert_true(there("pg/postmaster.pid")); /* its process may live where it is not seen */
    assert_true(there("pg/PG_VERSION"));
    assert_int_equal(pg_dir_remove_sockets(in_dir("nothing"), &err), ERR_NOT_FOUND);
}

static int make_dir(void **state)
{
    (void)state;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    scratch_make(dir, sizeof dir, "/tmp", "proc");
    return chdir("/");
}

static int remove_dir(void **state)
{
    struct error err;
    (void)state;
    int rc = pg_tree_clear(dir, &err);
    return rc == 0 ? rmdir(dir) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_gives_its_output_and_reads_its_input),
        cmocka_unit_test(child_that_fails_says_status_and_last_words),
        cmocka_unit_test(output_beyond_the_limit_loses_its_beginning),
        cmocka_unit_test(lines_of_errors_are_shown_when_whole_and_taken_ones_are_not_kept),
        cmocka_unit_test(killed_child_takes_its_children_along),
        cmocka_unit_test(hanging_child_is_killed_at_its_deadline_with_its_children),
        cmocka_unit_test(what_outlives_the_child_is_ended),
        cmocka_unit_test(child_that_cannot_be_run_is_refused),
        cmocka_unit_test(programs_of_jobs_in_the_directory_are_ended_and_no_others),
        cmocka_unit_test(signal_goes_to_who_is_named_and_works_there_and_to_nobody_else),
        cmocka_unit_test(what_a_dead_process_left_beside_a_file_is_removed),
        cmocka_unit_test(two_that_write_one_file_leave_it_whole),
        cmocka_unit_test(file_is_written_whole_and_with_its_mode),
        cmocka_unit_test(a_secret_follows_no_link_and_is_closed_from_the_start),
        cmocka_unit_test(full_disk_leaves_the_file_that_was_there),
        cmocka_unit_test(directory_is_told_by_what_is_in_it),
        cmocka_unit_test(server_whose_pid_file_cannot_be_read_runs_all_the_same),
        cmocka_unit_test(server_that_cannot_be_seen_is_not_none),
        cmocka_unit_test(process_that_cannot_be_looked_at_counts_as_alive),
        cmocka_unit_test(process_that_has_ended_works_nowhere),
        cmocka_unit_test(sockets_of_a_server_that_is_gone_are_removed_and_its_pid_file_stays),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
