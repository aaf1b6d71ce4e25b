#include "pgctl/jobs/pause_note.h"

#include "base/mem.h"
#include "pgctl/jobs/once.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

int pg_pause_note_write(const char *path, bool paused, struct error *err)
{
    static const char text[] = "the cluster was paused when this node last heard of it\n";
    return paused ? pg_file_write(path, span_str(text), 0600, err) : pg_file_remove(path, err);
}

bool pg_pause_note_read(const char *path)
{
    return pg_file_exists(path);
}

struct note {
    struct pg_once once;
    const char *path; /* the instance's */
    bool paused;
};

static int note_work(void *arg, struct error *err)
{
    const struct note *note = arg;
    return pg_pause_note_write(note->path, note->paused, err);
}

int pg_instance_note_pause(struct pg_instance *instance, bool paused, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err)
{
    struct note *note = mem_new(struct note);
    note->once = (struct pg_once){note_work, "noting whether the cluster is paused"};
    note->path = instance->pause_note_path;
    note->paused = paused;
    return pg_once_start(instance, &note->once, timeout_ms, done, arg, err);
}
