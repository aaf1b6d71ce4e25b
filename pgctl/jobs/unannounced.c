#include "pgctl/jobs/unannounced.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/once.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_BYTES_MAX (PG_PATH_BYTES + 64)

static void note_put(struct buf *text, uint64_t system_id, const char *data_dir)
{
    buf_printf(text, "%" PRIu64 "\n%s\n", system_id, data_dir);
}

int pg_unannounced_write(const char *path, uint64_t system_id, const char *data_dir,
                         struct error *err)
{
    struct buf text = BUF_INIT;
    note_put(&text, system_id, data_dir);
    int rc = pg_file_write(path, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc;
}

uint64_t pg_unannounced_read(const char *path, const char *data_dir)
{
    struct buf text = BUF_INIT;
    struct buf whole = BUF_INIT;
    uint64_t system_id = 0;

    if (pg_file_read(path, NOTE_BYTES_MAX, &text, NULL) == 0) {
        system_id = strtoull(buf_str(&text), NULL, 10);
        note_put(&whole, system_id, data_dir);
        system_id = span_equal(buf_span(&whole), buf_span(&text)) ? system_id : 0;
    }
    buf_free(&text);
    buf_free(&whole);
    return system_id;
}

/* --- the end of it ---------------------------------------------------------------------------- */

struct forget {
    struct pg_once once;
    const char *path; /* the instance's */
};

static int forget_work(void *arg, struct error *err)
{
    return pg_file_remove(((const struct forget *)arg)->path, err);
}

int pg_instance_announced(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                          void *arg, struct error *err)
{
    struct forget *forget = mem_new(struct forget);
    forget->once = (struct pg_once){forget_work, "forgetting that the cluster was not announced"};
    forget->path = instance->unannounced_path;
    return pg_once_start(instance, &forget->once, timeout_ms, done, arg, err);
}
