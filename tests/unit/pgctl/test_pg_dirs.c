/* Data directories without a server: what the marker of an unfinished job says of them, and what is
 * removed or renamed, of them and of the places that their links lead to. */
#include "base/mem.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY      65534
#define OUR_CATALOG 202209061
#define OUR_SYSTEM  UINT64_C(0x6a01020304050607)
#define SEGMENT     "000000010000000000000001"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[16][256];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, 256, "%s/%s", dir, name);
    return path;
}

static void put_bytes(const char *name, const void *bytes, size_t len)
{
    FILE *file = fopen(in_dir(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static bool there(const char *name)
{
    struct stat st;
    return lstat(in_dir(name), &st) == 0;
}

static void make(const char *name)
{
    assert_int_equal(mkdir(in_dir(name), 0700), 0);
}

static void link_to(const char *target, const char *name)
{
    assert_int_equal(symlink(target, in_dir(name)), 0);
}

static void expect_link(const char *name, const char *target)
{
    char found[256] = "";
    assert_true(readlink(in_dir(name), found, sizeof found - 1) > 0);
    assert_string_equal(found, in_dir(target));
}

static struct error err;

#define FINE(call)                               \
    do {                                         \
        if ((call) != 0) {                       \
            fail_msg("%s: %s", #call, err.text); \
        }                                        \
    } while (0)

static void expect_says(const char *part)
{
    if (strstr(err.text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, part);
    }
}

/* A data directory that is valid, of cluster OUR_SYSTEM. */
static void make_data(const char *name)
{
    unsigned char control[64] = {0};
    uint64_t system = OUR_SYSTEM;
    uint32_t catalog = OUR_CATALOG;
    char path[64];

    make(name);
    snprintf(path, sizeof path, "%s/PG_VERSION", name);
    put(path, "15\n");
    snprintf(path, sizeof path, "%s/global", name);
    make(path);
    memcpy(control, &system, sizeof system);
    memcpy(control + 12, &catalog, sizeof catalog);
    snprintf(path, sizeof path, "%s/global/pg_control", name);
    put_bytes(path, control, sizeof control);
    snprintf(path, sizeof path, "%s/pg_tblspc", name);
    make(path);
}

static void put_segment(const char *name, uint64_t system)
{
    unsigned char head[64] = {0x10, 0xd1, 0x02, 0x00};
    memcpy(head + 24, &system, sizeof system);
    put_bytes(name, head, sizeof head);
}

/* --- what the marker says --------------------------------------------------------------------- */

static struct pg_inspection look(const char *name)
{
    struct pg_inspection found;
    pg_dir_look_alone(in_dir(name), in_dir("marker"), in_dir("service"), &found);
    return found;
}

#define EXPECT(name, wanted_kind, wanted_unfinished)                                    \
    do {                                                                                \
        struct pg_inspection found_ = look(name);                                       \
        if (found_.kind != (wanted_kind) || found_.unfinished != (wanted_unfinished)) { \
            fail_msg("'%s': kind %d, unfinished %d: %s", name, (int)found_.kind,        \
                     (int)found_.unfinished, found_.reason);                            \
        }                                                                               \
    } while (0)

static void mark(enum pg_unfinished job, const char *name)
{
    FINE(pg_marker_write(in_dir("marker"), job, in_dir(name), &err));
}

static void marker_means_the_directory_that_was_taken_and_no_other(void **state)
{
    (void)state;
    make_data("pg");
    EXPECT("pg", PG_DIR_VALID, PG_UNFINISHED_NONE);
    mark(PG_UNFINISHED_CLONE, "pg");
    EXPECT("pg", PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);

    /* Another in its place: a restored backup, another disk. */
    assert_int_equal(rename(in_dir("pg"), in_dir("pg.old")), 0);
    EXPECT("pg", PG_DIR_MISSING, PG_UNFINISHED_CLONE);
    make("pg");
    EXPECT("pg", PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    put("pg/precious", "");
    EXPECT("pg", PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    assert_non_null(strstr(look("pg").reason, "marker"));

    /* The same one by another name. */
    EXPECT("pg.old", PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
    link_to(in_dir("pg.old"), "link");
    EXPECT("link", PG_DIR_UNFINISHED, PG_UNFINISHED_CLONE);
}

static void marker_holds_while_what_it_means_is_there(void **state)
{
    (void)state;
    make_data("pg");
    make_data("new");
    mark(PG_UNFINISHED_REWIND, "pg");
    /* data_dir was changed. Forgotten now, the half-rewound one would be started one day. */
    EXPECT("new", PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    EXPECT("none", PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    assert_non_null(strstr(look("new").reason, in_dir("pg")));
    FINE(pg_tree_clear(in_dir("pg"), &err));
    EXPECT("new", PG_DIR_VALID, PG_UNFINISHED_NONE);
    EXPECT("none", PG_DIR_MISSING, PG_UNFINISHED_NONE);
    assert_int_equal(rmdir(in_dir("pg")), 0);
    EXPECT("new", PG_DIR_VALID, PG_UNFINISHED_NONE);
}

static void marker_that_does_not_say_which_directory_proves_nothing(void **state)
{
    (void)state;
    char *with_path = mem_printf("clone\n%s\n", in_dir("pg"));
    char *with_words = mem_printf("clone\n%s\ninode 7\n", in_dir("pg"));
    const char *const texts[] = {"", "\x01", "clone\n", "remove\n/x\n", with_path, with_words};

    make_data("pg");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("marker", texts[i]);
        EXPECT("pg", PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    }
    FINE(pg_tree_clear(in_dir("pg"), &err));
    put("marker", with_path); /* nothing is there to lose */
    EXPECT("pg", PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    put("marker", "clone\n"); /* there may be, elsewhere */
    EXPECT("pg", PG_DIR_DOUBTFUL, PG_UNFINISHED_NONE);
    mem_free(with_path);
    mem_free(with_words);
}

/* After a reboot a disk may have another number; where the file system tells when the directory was
 * made, that does not matter. */
static void directory_is_known_by_its_birth_or_else_by_its_device(void **state)
{
    (void)state;
    struct pg_marker marker;
    char text[512];

    make_data("pg");
    mark(PG_UNFINISHED_CLONE, "pg");
    pg_marker_read(in_dir("marker"), &marker);
    assert_true(marker.has_id);
    static const struct {
        bool device;
        bool inode;
        bool born; /* as it was? */
        bool tells;
        bool same;
    } cases[] = {
        {true, true, true, true, true},     {false, true, true, true, true},
        {true, true, false, true, false},   {true, false, true, true, false},
        {true, true, false, false, true},   {false, true, false, false, false},
        {true, false, false, false, false},
    };
    if (marker.id.born_s == 0) {
        skip(); /* the file system does not tell */
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pg_dir_id id = marker.id;
        id.device += cases[i].device ? 0 : 1;
        id.inode += cases[i].inode ? 0 : 1;
        id.born_ns = cases[i].born ? id.born_ns : (id.born_ns + 1) % 1000000000;
        id.born_s = cases[i].tells ? id.born_s : 0;
        snprintf(text, sizeof text, "clone\n%s\ndevice %llu inode %llu born %lld.%09u\n",
                 in_dir("pg"), (unsigned long long)id.device, (unsigned long long)id.inode,
                 (long long)id.born_s, id.born_ns);
        put("marker", text);
        if ((look("pg").kind == PG_DIR_UNFINISHED) != cases[i].same) {
            fail_msg("case %zu: %s", i, look("pg").reason);
        }
    }
}

/* --- taking a directory ----------------------------------------------------------------------- */

static int take(enum pg_unfinished job, const char *name, bool *ret_made, bool *ret_left)
{
    return pg_marker_take(in_dir("marker"), job, in_dir(name), ret_made, ret_left, &err);
}

static void directory_is_made_before_its_marker_is_written(void **state)
{
    (void)state;
    struct stat st;
    bool made;
    bool left;

    FINE(take(PG_UNFINISHED_BOOTSTRAP, "a/b/pg", &made, &left));
    assert_true(made && !left);
    assert_int_equal(stat(in_dir("a/b/pg"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    put("a/b/pg/half", "");
    EXPECT("a/b/pg", PG_DIR_UNFINISHED, PG_UNFINISHED_BOOTSTRAP);

    /* A link to where nothing is yet. */
    unlink(in_dir("marker"));
    make("disk");
    link_to("disk/pg", "link");
    EXPECT("link", PG_DIR_MISSING, PG_UNFINISHED_NONE);
    FINE(take(PG_UNFINISHED_CLONE, "link", &made, &left));
    assert_true(made && there("disk/pg"));
    link_to("loop", "loop");
    unlink(in_dir("marker"));
    assert_true(take(PG_UNFINISHED_CLONE, "loop", &made, &left) < 0);
    put("file", "");
    assert_true(take(PG_UNFINISHED_CLONE, "file", &made, &left) < 0);
    assert_false(there("marker"));

    /* Without a marker nothing is begun. */
    assert_true(pg_marker_take(in_dir("none/marker"), PG_UNFINISHED_CLONE, in_dir("new"), &made,
                               &left, &err) < 0);
    assert_false(there("new"));
}

static void only_what_a_copy_has_left_is_taken_again(void **state)
{
    (void)state;
    bool made;
    bool left;

    make("pg");
    put("pg/.bash_history", "");
    assert_int_equal(take(PG_UNFINISHED_CLONE, "pg", &made, &left), ERR_EXISTS);
    expect_says(".bash_history");
    assert_int_equal(take(PG_UNFINISHED_BOOTSTRAP, "pg", &made, &left), ERR_EXISTS);
    assert_false(there("marker"));
    unlink(in_dir("pg/.bash_history"));
    make("pg/lost+found");
    assert_int_equal(take(PG_UNFINISHED_CLONE, "pg", &made, &left), ERR_EXISTS);
    expect_says("mount point");
    rmdir(in_dir("pg/lost+found"));

    FINE(take(PG_UNFINISHED_CLONE, "pg", &made, &left));
    assert_false(made || left);
    put("pg/base.tar", "");
    assert_int_equal(take(PG_UNFINISHED_BOOTSTRAP, "pg", &made, &left), ERR_EXISTS);
    FINE(take(PG_UNFINISHED_CLONE, "pg", &made, &left));
    assert_true(left);
    mark(PG_UNFINISHED_REWIND, "pg");
    assert_int_equal(take(PG_UNFINISHED_CLONE, "pg", &made, &left), ERR_EXISTS);
    assert_int_equal(take(PG_UNFINISHED_CLONE, "other", &made, &left), ERR_EXISTS);
    assert_false(there("other"));
}

/* --- emptying --------------------------------------------------------------------------------- */

static void directory_that_is_a_link_is_emptied_and_stays_one(void **state)
{
    (void)state;
    make_data("disk");
    link_to(in_dir("disk"), "pg");
    FINE(pg_dir_clear(in_dir("pg"), &err));
    EXPECT("pg", PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    expect_link("pg", "disk");
    assert_false(there("disk/PG_VERSION"));
    FINE(pg_dir_clear(in_dir("nothing"), &err));
}

static void what_cannot_be_emptied_is_named(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip(); /* whoever owns a file's directory may remove it: somebody else has to try */
    }
    make("pg");
    make("pg/kept");
    put("pg/kept/file", "");
    assert_int_equal(chown(in_dir("pg"), NOBODY, NOBODY), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(in_dir("pg/kept"), 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    int rc = pg_tree_clear(in_dir("pg"), &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, ERR_PERMISSION);
    expect_says("pg/kept/file");

    /* Not to be read, and empty: as lost+found is. */
    unlink(in_dir("pg/kept/file"));
    assert_int_equal(chmod(in_dir("pg/kept"), 0700), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    rc = pg_tree_clear(in_dir("pg"), &err);
    assert_int_equal(seteuid(0), 0);
    FINE(rc);
    assert_false(there("pg/kept"));
}

static void in_other_places_only_the_instances_own_is_removed(void **state)
{
    (void)state;
    make_data("pg");
    make("wal");
    make("wal/archive_status");
    put_segment("wal/" SEGMENT, OUR_SYSTEM);
    put_segment("wal/" SEGMENT ".partial", OUR_SYSTEM);
    put("wal/00000002.history", "");
    put("wal/archive_status/" SEGMENT ".done", "");
    put("wal/precious", "");
    link_to(in_dir("wal"), "pg/pg_wal");
    make("space");
    make("space/PG_15_202209061");
    put("space/PG_15_202209061/1", "");
    make("space/PG_14_202107181"); /* of the cluster before pg_upgrade */
    put("space/PG_14_202107181/1", "");
    put("space/precious", "");
    link_to(in_dir("space"), "pg/pg_tblspc/16384");
    link_to(in_dir("space"), "pg/pg_tblspc/not-one");
    link_to(in_dir("gone"), "pg/pg_tblspc/16385");
    make("outside");
    put("outside/precious", "");
    link_to(in_dir("outside"), "pg/log");

    FINE(pg_dir_clear(in_dir("pg"), &err));
    EXPECT("pg", PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    assert_false(there("wal/" SEGMENT) || there("wal/" SEGMENT ".partial"));
    assert_false(there("wal/archive_status") || there("wal/00000002.history"));
    assert_true(there("wal/precious"));
    assert_false(there("space/PG_15_202209061"));
    assert_true(there("space/PG_14_202107181/1") && there("space/precious"));
    assert_true(there("outside/precious"));
}

static void wal_of_another_cluster_stops_the_removal(void **state)
{
    (void)state;
    make_data("pg");
    make("wal");
    put_segment("wal/" SEGMENT, OUR_SYSTEM + 1);
    link_to(in_dir("wal"), "pg/pg_wal");
    assert_int_equal(pg_dir_clear(in_dir("pg"), &err), ERR_REFUSED);
    expect_says("another cluster");
    assert_true(there("wal/" SEGMENT) && there("pg/PG_VERSION"));
}

/* A copy that was cut off: its control file would have come last. */
static void half_a_copy_is_removed_with_its_places(void **state)
{
    (void)state;
    make("pg");
    put("pg/PG_VERSION", "15\n");
    make("pg/pg_tblspc");
    make("wal");
    put_segment("wal/" SEGMENT, OUR_SYSTEM);
    link_to(in_dir("wal"), "pg/pg_wal");
    make("space");
    make("space/PG_15_202209061");
    make("space/PG_14_202107181");
    link_to(in_dir("space"), "pg/pg_tblspc/16384");
    FINE(pg_dir_clear(in_dir("pg"), &err));
    assert_false(there("wal/" SEGMENT) || there("space/PG_15_202209061"));
    assert_true(there("space/PG_14_202107181"));
}

/* --- moving aside ----------------------------------------------------------------------------- */

static void make_spread(void)
{
    make_data("pg");
    make("wal");
    put_segment("wal/" SEGMENT, OUR_SYSTEM);
    link_to(in_dir("wal"), "pg/pg_wal");
    make("space");
    make("space/PG_15_202209061");
    put("space/PG_15_202209061/1", "new");
    link_to(in_dir("space"), "pg/pg_tblspc/16384");
}

static void expect_moved(void)
{
    assert_false(there("pg") || there("wal") || there("space"));
    expect_link("pg.failed/pg_wal", "wal.failed");
    expect_link("pg.failed/pg_tblspc/16384", "space.failed");
    assert_true(there("pg.failed/pg_wal/" SEGMENT));
    assert_true(there("pg.failed/pg_tblspc/16384/PG_15_202209061/1"));
}

static void places_are_moved_along_and_older_ones_make_room(void **state)
{
    (void)state;
    make_spread();
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_moved();
    make_spread(); /* the next one, in the same places */
    put("space/PG_15_202209061/2", "newer");
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_moved();
    assert_true(there("space.failed/PG_15_202209061/2"));
    FINE(pg_dir_move_aside(in_dir("pg"), &err)); /* nothing to move */
    expect_moved();
}

static void old_directory_moved_without_its_places_does_not_lose_them_for_the_next(void **state)
{
    (void)state;
    make_spread();
    /* As one that was renamed by hand is: its links lead to what the present one uses. */
    make_data("pg.failed");
    link_to(in_dir("space"), "pg.failed/pg_tblspc/16384");
    link_to(in_dir("wal"), "pg.failed/pg_wal");
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_moved();
}

static void move_that_was_cut_off_goes_on(void **state)
{
    (void)state;
    make_spread();
    assert_int_equal(rename(in_dir("wal"), in_dir("wal.failed")), 0); /* and not the link yet */
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_moved();
}

static void what_cannot_be_moved_leaves_the_directory(void **state)
{
    (void)state;
    make_spread();
    put("space/precious", "");
    assert_int_equal(pg_dir_move_aside(in_dir("pg"), &err), ERR_REFUSED);
    expect_says("precious");
    assert_true(there("pg/PG_VERSION") && there("space/precious"));
    unlink(in_dir("space/precious"));

    make("space.failed");
    put("space.failed/precious", "");
    assert_int_equal(pg_dir_move_aside(in_dir("pg"), &err), ERR_REFUSED);
    expect_says("precious");
    assert_true(there("pg/PG_VERSION") && there("space.failed/precious"));
    unlink(in_dir("space.failed/precious"));
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_moved();
}

static void link_to_the_data_leads_to_an_empty_directory_afterwards(void **state)
{
    (void)state;
    struct stat st;
    make_data("disk");
    link_to(in_dir("disk"), "pg");
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    expect_link("pg", "disk");
    EXPECT("pg", PG_DIR_EMPTY, PG_UNFINISHED_NONE);
    assert_int_equal(stat(in_dir("disk"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(there("disk.failed/PG_VERSION"));
    assert_false(there("pg.failed"));

    /* An older `.failed` that is a link: what it leads to is not ours. */
    put("disk/PG_VERSION", "15\n");
    FINE(pg_tree_clear(in_dir("disk.failed"), &err));
    assert_int_equal(rmdir(in_dir("disk.failed")), 0);
    make("outside");
    put("outside/precious", "");
    link_to(in_dir("outside"), "disk.failed");
    FINE(pg_dir_move_aside(in_dir("pg"), &err));
    assert_true(there("outside/precious") && there("disk.failed/PG_VERSION"));
}

static void mount_point_is_named_and_left(void **state)
{
    (void)state;
    int status;
    if (geteuid() != 0) {
        skip(); /* mounting needs root */
    }
    make_spread();
    make("pg.failed");
    put("pg.failed/older", "");
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(in_dir("pg"), in_dir("pg"), NULL, MS_BIND, NULL) != 0) {
            _exit(77);
        }
        int rc = pg_dir_move_aside(in_dir("pg"), &err);
        _exit(rc == ERR_REFUSED && strstr(err.text, "mount point") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77) {
        skip(); /* not allowed here */
    }
    assert_int_equal(status, 0);
    assert_true(there("pg/PG_VERSION") && there("wal") && there("pg.failed/older"));
}

static int make_dir(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "dirs");
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return pg_tree_clear(dir, &err) == 0 ? rmdir(dir) : -1;
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(marker_means_the_directory_that_was_taken_and_no_other),
        IN_DIR(marker_holds_while_what_it_means_is_there),
        IN_DIR(marker_that_does_not_say_which_directory_proves_nothing),
        IN_DIR(directory_is_known_by_its_birth_or_else_by_its_device),
        IN_DIR(directory_is_made_before_its_marker_is_written),
        IN_DIR(only_what_a_copy_has_left_is_taken_again),
        IN_DIR(directory_that_is_a_link_is_emptied_and_stays_one),
        IN_DIR(what_cannot_be_emptied_is_named),
        IN_DIR(in_other_places_only_the_instances_own_is_removed),
        IN_DIR(wal_of_another_cluster_stops_the_removal),
        IN_DIR(half_a_copy_is_removed_with_its_places),
        IN_DIR(places_are_moved_along_and_older_ones_make_room),
        IN_DIR(old_directory_moved_without_its_places_does_not_lose_them_for_the_next),
        IN_DIR(move_that_was_cut_off_goes_on),
        IN_DIR(what_cannot_be_moved_leaves_the_directory),
        IN_DIR(link_to_the_data_leads_to_an_empty_directory_afterwards),
        IN_DIR(mount_point_is_named_and_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
