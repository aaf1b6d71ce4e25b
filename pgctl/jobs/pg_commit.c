/* A commit of our own, over a connection made for it: a transaction with a message of no words,
 * which logical decoding alone could see. The server answers when its records are on the local
 * disk; no standby is waited for. Without the message it would wait for nothing: the commit of a
 * transaction that has written nothing is left to the WAL writer, whatever synchronous_commit says.
 */
#include "pgctl/jobs/pg_private.h"

static const char commit_sql[] =
    "BEGIN READ WRITE; SET LOCAL synchronous_commit = local;"
    " SELECT pg_catalog.pg_logical_emit_message(true, 'pgquorum', ''); COMMIT";

enum { COMMIT_BEGIN, COMMIT_CONNECTED, COMMIT_ANSWERED };

static void commit_step(struct pg_task *task)
{
    int state = task->state++;

    if (state == COMMIT_BEGIN) {
        pg_task_connect_local(task);
    } else if (task->rc != 0) {
        error_wrap(&task->err, "trying a commit");
        pg_task_fail(task);
    } else if (state == COMMIT_CONNECTED) {
        pg_task_query(task, commit_sql);
    } else {
        pg_task_end(task);
    }
}

int pg_instance_try_commit(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "commit", .step = commit_step};
    return pg_task_start(instance, &ops, NULL, timeout_ms, done, arg, NULL, err);
}
