#include "pgctl/jobs/slot_mark.h"

#include "pgctl/proc/pg_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MARK_BYTES_MAX = 256 };

static void slot_path(const char *data_dir, const char *name, char ret_path[PG_PATH_BYTES])
{
    (void)snprintf(ret_path, PG_PATH_BYTES, "%.850s/pg_replslot/%.63s", data_dir, name);
}

static void mark_path(const char *slot_dir, char ret_path[PG_PATH_BYTES])
{
    (void)snprintf(ret_path, PG_PATH_BYTES, "%.1000s/" PG_SLOT_MARK_NAME, slot_dir);
}

int pg_slot_mark_put(const char *slot_dir, uint32_t good_timeline, struct error *err)
{
    char path[PG_PATH_BYTES];
    char text[64];
    mark_path(slot_dir, path);
    (void)snprintf(text, sizeof text,
                   good_timeline == 0 ? "in doubt\n" : PG_SLOT_MARK_GOOD "%" PRIu32 "\n",
                   good_timeline);
    return pg_file_write(path, span_str(text), 0600, err);
}

int pg_slot_mark_set(const char *data_dir, const char *name, uint32_t good_timeline,
                     struct error *err)
{
    char dir[PG_PATH_BYTES];
    slot_path(data_dir, name, dir);
    int rc = pg_file_exists(dir) ? pg_slot_mark_put(dir, good_timeline, err) : 0;
    return pg_file_exists(dir) ? rc : 0; /* dropped meanwhile */
}

int pg_slot_mark_remove(const char *data_dir, const char *name, struct error *err)
{
    char dir[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];
    slot_path(data_dir, name, dir);
    mark_path(dir, path);
    return pg_file_exists(path) ? pg_file_remove(path, err) : 0;
}

static void read_one(const char *data_dir, const char *name, struct buf *out)
{
    struct error err = {0};
    char dir[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];
    struct pg_slot_mark mark = {.name = ""};
    struct buf text = BUF_INIT;
    slot_path(data_dir, name, dir);
    mark_path(dir, path);
    if (!pg_file_exists(path)) {
        return;
    }
    int rc = pg_file_read(path, MARK_BYTES_MAX, &text, &err);
    if (rc == 0 || pg_file_exists(path)) { /* one that cannot be read leaves the copy in doubt */
        (void)snprintf(mark.name, sizeof mark.name, "%s", name);
        mark.good_timeline = rc == 0 ? pg_slot_mark_parse(buf_str(&text)) : 0;
        buf_put(out, &mark, sizeof mark);
    }
    buf_free(&text);
}

int pg_slot_marks_read(const char *data_dir, struct buf *out, struct error *err)
{
    char path[PG_PATH_BYTES];
    const struct dirent *entry;

    (void)snprintf(path, sizeof path, "%.900s/pg_replslot", data_dir);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return error_set(err, err_from_errno(errno), "reading '%s': %s", path, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < PG_NAME_BYTES) {
            read_one(data_dir, entry->d_name, out);
        }
    }
    (void)closedir(dir);
    return 0;
}
