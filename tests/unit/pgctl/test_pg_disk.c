/* The watch over the disks, on real file systems: small ones in files where the test may mount (as
 * root), and that a process which is stuck on one holds up nobody. */
#include "base/clock.h"
#include "pgctl/pg_disk.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define WAIT_MS 15000

static char scratch[128];
static char data[256];
static char disk[256]; /* where a small file system is mounted */
static char self_exe[PATH_MAX];
static uv_loop_t loop;
static struct pg_disk *watch;
static struct pg_disk_state seen;
static unsigned reports;

static void on_state(void *arg, const struct pg_disk_state *state)
{
    assert_ptr_equal(arg, &loop);
    seen = *state;
    reports++;
}

static const struct pg_disk_place *place(const char *name)
{
    for (size_t i = 0; i < seen.count; i++) {
        if (strcmp(seen.places[i].name, name) == 0) {
            return &seen.places[i];
        }
    }
    return NULL;
}

static void start(const char *more)
{
    struct pg_disk_config config = {.self_exe = self_exe,
                                    .data_dir = data,
                                    .more = more,
                                    .clock = clock_real(),
                                    .limits = {.stall_ms = 500, .free_bytes_min = 1 << 20},
                                    .on_state = on_state,
                                    .arg = &loop};
    memset(&seen, 0, sizeof seen);
    reports = 0;
    watch = pg_disk_start(&loop, &config);
}

static void stop(void)
{
    pg_disk_stop(watch);
    watch = NULL;
    int64_t began_ms = clock_mono_ms(clock_real());
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
        usleep(1000);
    }
    assert_true(clock_mono_ms(clock_real()) - began_ms < 2000); /* whatever the child does */
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Until the place is of that kind. */
static void wait_kind(const char *name, enum pg_disk_kind kind)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + WAIT_MS;
    uv_timer_t tick;
    (void)uv_timer_init(&loop, &tick);
    (void)uv_timer_start(&tick, on_tick, 20, 20);
    while (place(name) == NULL || place(name)->kind != kind) {
        if (clock_mono_ms(clock_real()) > until_ms) {
            fail_msg("'%s' is of kind %d, errno %d, and not of kind %d", name,
                     place(name) == NULL ? -1 : (int)place(name)->kind,
                     place(name) == NULL ? 0 : place(name)->errno_value, (int)kind);
        }
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *found = opendir(path);
    assert_non_null(found);
    while (readdir(found) != NULL) {
        count++;
    }
    (void)closedir(found);
    return count - 2;
}

/* Children of ours that look at disks. */
static unsigned children(pid_t ret_pids[8])
{
    unsigned count = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while ((entry = readdir(proc)) != NULL && count < 8) {
        char path[300];
        char line[4096] = "";
        (void)snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
        if (fd >= 0) {
            (void)close(fd);
        }
        if (len > 0 && memmem(line, (size_t)len, "--pg-disk", 9) != NULL &&
            memmem(line, (size_t)len, data, strlen(data)) != NULL) {
            ret_pids[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
    (void)closedir(proc);
    return count;
}

static void wait_children(unsigned wanted)
{
    pid_t pids[8];
    int64_t until_ms = clock_mono_ms(clock_real()) + WAIT_MS;
    while (children(pids) != wanted && clock_mono_ms(clock_real()) < until_ms) {
        usleep(10000);
    }
    assert_int_equal(children(pids), wanted);
}

static void set_up_data(void)
{
    static unsigned number;
    (void)snprintf(data, sizeof data, "%s/data%u", scratch, number++);
    assert_int_equal(mkdir(data, 0700), 0);
}

static void a_good_disk_takes_writes_and_nothing_is_left_there(void **state)
{
    (void)state;
    set_up_data();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_true(place("data directory")->free_bytes > 0);
    assert_true(place("data directory")->instance);
    assert_int_equal(entries(data), 0);
    stop();
    wait_children(0);
    assert_int_equal(entries(data), 0);
}

static void a_directory_that_is_missing_is_nobodys_fault(void **state)
{
    (void)state;
    set_up_data();
    assert_int_equal(rmdir(data), 0);
    start(NULL);
    wait_kind("data directory", PG_DISK_UNKNOWN);
    assert_int_equal(place("data directory")->errno_value, ENOENT);
    assert_int_equal(mkdir(data, 0700), 0);
    wait_kind("data directory", PG_DISK_GOOD);
    stop();
    wait_children(0);
}

static void other_file_systems_are_found_by_their_links(void **state)
{
    char path[300];
    char more[64];
    char memory[64];
    (void)state;
    (void)snprintf(memory, sizeof memory, "/dev/shm/pgquorum-test.%d", (int)getpid());
    set_up_data();
    assert_int_equal(mkdir(memory, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/pg_tblspc", data);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/pg_tblspc/16402", data);
    assert_int_equal(symlink(memory, path), 0);
    (void)snprintf(more, sizeof more, "Raft directory=%s",
                   memory); /* the same one: once is enough */
    start(more);
    wait_kind("Raft directory", PG_DISK_GOOD);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(seen.count, 2);
    stop();
    wait_children(0);
    start(NULL);
    wait_kind("tablespace 16402", PG_DISK_GOOD);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(seen.count, 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(memory), 0);
    wait_kind("data directory", PG_DISK_GOOD);
    while (place("tablespace 16402") != NULL) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    stop();
    wait_children(0);
}

/* --- looks that do not come back -------------------------------------------------------------- */

#define DEAD "/dead" /* in a path: as on a file system whose server is gone */

/* In place of the C library's, for the child as well, which is this program. */
int stat(const char *path, struct stat *ret_found)
{
    char target[PATH_MAX] = "";
    if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, DEAD) != NULL) {
        for (;;) {
            (void)pause();
        }
    }
    return fstatat(AT_FDCWD, path, ret_found, 0);
}

static void a_tablespace_that_is_gone_hides_nothing_else(void **state)
{
    char path[300];
    (void)state;
    set_up_data();
    (void)snprintf(path, sizeof path, "%s/pg_tblspc", data);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/pg_tblspc/16499", data);
    assert_int_equal(symlink(DEAD, path), 0);
    start(NULL);
    wait_kind("tablespace 16499", PG_DISK_STALLED);
    assert_false(place("tablespace 16499")->instance);
    wait_kind("data directory", PG_DISK_GOOD);
    char moved[300];
    (void)snprintf(moved, sizeof moved, "%s.moved", data);
    assert_int_equal(rename(data, moved), 0); /* it is still looked at */
    wait_kind("data directory", PG_DISK_UNKNOWN);
    stop();
    wait_children(0);
}

static void wal_that_is_gone_is_a_stall_of_the_instance(void **state)
{
    char path[300];
    (void)state;
    set_up_data();
    (void)snprintf(path, sizeof path, "%s/pg_wal", data);
    assert_int_equal(symlink(DEAD, path), 0);
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    wait_kind("pg_wal", PG_DISK_STALLED);
    assert_true(place("pg_wal")->instance);
    assert_string_equal(pg_disk_worst(&seen)->name, "pg_wal");
    stop();
    wait_children(0);
}

/* --- the name of the socket ------------------------------------------------------------------- */

static socklen_t name_of_child(struct sockaddr_un *ret_address)
{
    uint64_t hash = 14695981039346656037U;
    for (const char *at = data; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211U;
    }
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(ret_address->sun_path + 1, sizeof ret_address->sun_path - 1,
                       "pgquorum-disk-%u-%016" PRIx64, (unsigned)geteuid(), hash);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/* A process of that user (0 = of ours) that has the name, and listens or does not. */
static pid_t squat(uid_t user, bool listens)
{
    struct sockaddr_un address;
    socklen_t size = name_of_child(&address);
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        bool well = user == 0 || setresuid(user, user, user) == 0;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        well = well && bind(fd, (const struct sockaddr *)&address, size) == 0 &&
               (!listens || listen(fd, 8) == 0) && write(ready[1], "", 1) == 1;
        (void)(well && pause());
        _exit(1);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

static void a_name_that_somebody_else_has_is_no_stall(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        bool other_user = way == 1;
        if (other_user && geteuid() != 0) {
            return; /* nobody else to be */
        }
        set_up_data();
        pid_t holder = squat(other_user ? 65534 : 0, other_user);
        start(NULL);
        wait_kind("data directory", PG_DISK_GOOD);
        stop();
        wait_children(0);
        assert_int_equal(kill(holder, SIGKILL), 0);
        assert_int_equal(waitpid(holder, NULL, 0), holder);
    }
}

static void a_predecessor_that_has_the_name_is_waited_for(void **state)
{
    (void)state;
    set_up_data();
    pid_t holder = squat(0, true);
    start(NULL);
    wait_kind("data directory", PG_DISK_STALLED);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    wait_kind("data directory", PG_DISK_GOOD);
    stop();
    wait_children(0);
}

static void a_child_that_dies_is_told_of_and_replaced(void **state)
{
    pid_t pids[8];
    (void)state;
    set_up_data();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(children(pids), 1);
    assert_int_equal(kill(pids[0], SIGKILL), 0);
    wait_kind("data directory", PG_DISK_UNKNOWN);
    assert_non_null(strstr(seen.error, "signal 9"));
    wait_kind("data directory", PG_DISK_GOOD);
    assert_string_equal(seen.error, "");
    stop();
    wait_children(0);
}

static void a_child_that_is_not_heard_says_nothing_of_the_disk(void **state)
{
    pid_t pids[8];
    (void)state;
    set_up_data();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(children(pids), 1);
    assert_int_equal(kill(pids[0], SIGSTOP), 0);
    wait_kind("data directory", PG_DISK_UNKNOWN);
    assert_non_null(strstr(seen.error, "nothing is heard"));
    assert_int_equal(kill(pids[0], SIGCONT), 0);
    wait_kind("data directory", PG_DISK_GOOD);
    stop();
    wait_children(0);
}

/* --- small file systems ----------------------------------------------------------------------- */

static int run(const char *const *argv)
{
    int status = -1;
    pid_t pid = fork_in_test();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execvp(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int mount_disk(void **state)
{
    static unsigned number; /* what a process still has open is not mounted again */
    char image[200];
    (void)state;
    if (geteuid() != 0) {
        return 0;
    }
    number++;
    (void)snprintf(image, sizeof image, "%s/image%u", scratch, number);
    (void)snprintf(disk, sizeof disk, "%s/disk%u", scratch, number);
    assert_int_equal(mkdir(disk, 0755), 0);
    int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 16 << 20) == 0);
    (void)close(fd);
    assert_int_equal(run((const char *[]){"mkfs.ext4", "-q", "-m", "0", image, NULL}), 0);
    assert_int_equal(run((const char *[]){"mount", "-o", "loop", image, disk, NULL}), 0);
    (void)snprintf(data, sizeof data, "%s/data", disk);
    assert_int_equal(mkdir(data, 0700), 0);
    return 0;
}

static int unmount_disk(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        if (watch != NULL) {
            pg_disk_stop(watch);
            watch = NULL;
        }
        int fd = open(disk, O_RDONLY | O_CLOEXEC);
        (void)ioctl(fd, FITHAW, 0); /* of a test that has failed */
        (void)close(fd);
        (void)umount2(disk, MNT_DETACH);
    }
    return 0;
}

static void need_root(void)
{
    if (geteuid() != 0) {
        skip();
    }
}

static void a_full_disk_is_seen_coming_and_heals(void **state)
{
    char filler[300];
    struct stat found;
    (void)state;
    need_root();
    (void)snprintf(filler, sizeof filler, "%s/filler", disk);
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(stat(disk, &found), 0);
    int fd = open(filler, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    off_t left = (off_t)place("data directory")->free_bytes - (700 << 10);
    assert_int_equal(posix_fallocate(fd, 0, left), 0);
    wait_kind("data directory", PG_DISK_LOW);
    static const char block[4096];
    while (write(fd, block, sizeof block) > 0) {
    }
    lseek(fd, left, SEEK_SET);
    while (write(fd, block, sizeof block) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    wait_kind("data directory", PG_DISK_FULL);
    assert_int_equal(ftruncate(fd, left), 0);
    wait_kind("data directory", PG_DISK_LOW);
    assert_int_equal(ftruncate(fd, 0), 0);
    (void)close(fd);
    wait_kind("data directory", PG_DISK_GOOD);
    stop();
    wait_children(0);
}

static void a_read_only_disk_is_told(void **state)
{
    (void)state;
    need_root();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    /* As after an error of the disk: the file system itself refuses from then on. */
    (void)run((const char *[]){"mount", "-o", "remount,abort", disk, NULL});
    int64_t until_ms = clock_mono_ms(clock_real()) + WAIT_MS;
    while (place("data directory")->kind != PG_DISK_READ_ONLY &&
           place("data directory")->kind != PG_DISK_FAILED) {
        assert_true(clock_mono_ms(clock_real()) < until_ms);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    stop();
    wait_children(0);
}

static void a_stalled_disk_holds_up_nobody_and_one_child_alone_waits_for_it(void **state)
{
    pid_t pids[8];
    (void)state;
    need_root();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    int fd = open(disk, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
    wait_kind("data directory", PG_DISK_STALLED);
    assert_true(place("data directory")->busy_ms >= 500);
    assert_int_equal(children(pids), 1);
    pid_t stuck = pids[0];
    stop();                       /* looks that nothing waits */
    for (int i = 0; i < 2; i++) { /* the agent is started again, and again */
        start(NULL);
        wait_kind("data directory", PG_DISK_STALLED);
        stop();
    }
    start(NULL);
    wait_kind("data directory", PG_DISK_STALLED);
    wait_children(
        1); /* it waits for the end of the stuck one, which has no command line any more */
    assert_int_equal(children(pids), 1);
    char tasks[64];
    (void)snprintf(tasks, sizeof tasks, "/proc/%d/task", (int)pids[0]);
    assert_int_equal(entries(tasks), 1); /* and tries no write itself */
    assert_int_equal(waitpid(stuck, NULL, WNOHANG), 0);
    assert_int_equal(ioctl(fd, FITHAW, 0), 0);
    (void)close(fd);
    wait_kind("data directory", PG_DISK_GOOD);
    assert_int_equal(waitpid(stuck, NULL, 0), stuck);
    stop();
    wait_children(0);
}

static void a_child_that_stood_still_does_not_count_that_against_the_disk(void **state)
{
    pid_t pids[8];
    (void)state;
    need_root();
    start(NULL);
    wait_kind("data directory", PG_DISK_GOOD);
    int fd = open(disk, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
    wait_kind("data directory", PG_DISK_STALLED);
    assert_int_equal(children(pids), 1);
    assert_int_equal(kill(pids[0], SIGSTOP), 0);
    usleep(3000000);
    assert_int_equal(kill(pids[0], SIGCONT), 0);
    int64_t busy_ms = 3000;
    unsigned before = reports;
    while (reports < before + 3) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        int64_t now_busy_ms = place("data directory")->busy_ms;
        busy_ms = now_busy_ms < busy_ms ? now_busy_ms : busy_ms;
    }
    assert_true(busy_ms < 1500);
    assert_int_equal(ioctl(fd, FITHAW, 0), 0);
    (void)close(fd);
    wait_kind("data directory", PG_DISK_GOOD);
    stop();
    wait_children(0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_disk_takes_writes_and_nothing_is_left_there),
        cmocka_unit_test(a_directory_that_is_missing_is_nobodys_fault),
        cmocka_unit_test(other_file_systems_are_found_by_their_links),
        cmocka_unit_test(a_tablespace_that_is_gone_hides_nothing_else),
        cmocka_unit_test(wal_that_is_gone_is_a_stall_of_the_instance),
        cmocka_unit_test(a_name_that_somebody_else_has_is_no_stall),
        cmocka_unit_test(a_predecessor_that_has_the_name_is_waited_for),
        cmocka_unit_test(a_child_that_dies_is_told_of_and_replaced),
        cmocka_unit_test(a_child_that_is_not_heard_says_nothing_of_the_disk),
        cmocka_unit_test_setup_teardown(a_full_disk_is_seen_coming_and_heals, mount_disk,
                                        unmount_disk),
        cmocka_unit_test_setup_teardown(a_read_only_disk_is_told, mount_disk, unmount_disk),
        cmocka_unit_test_setup_teardown(
            a_stalled_disk_holds_up_nobody_and_one_child_alone_waits_for_it, mount_disk,
            unmount_disk),
        cmocka_unit_test_setup_teardown(
            a_child_that_stood_still_does_not_count_that_against_the_disk, mount_disk,
            unmount_disk),
    };
    pg_disk_main(argc, argv);
    ssize_t len = readlink("/proc/self/exe", self_exe, sizeof self_exe - 1);
    if (len <= 0) {
        return 1;
    }
    /* Mounts of our own: a test that is killed leaves none behind, and its directory can go. */
    if (geteuid() == 0 &&
        (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)) {
        return 1;
    }
    (void)uv_loop_init(&loop);
    scratch_make(scratch, sizeof scratch, "/var/tmp", "disk");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)run((const char *[]){"rm", "-rf", scratch, NULL});
    return failed;
}
