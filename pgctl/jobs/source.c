/* The shared beginning and end of copies and rewinds. */
#include "pgctl/jobs/source.h"

#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/proc/pg_files.h"

#include <string.h>

int pg_source_start(struct pg_instance *pg, const struct pg_task_ops *ops,
                    const struct pg_rewind *from, int64_t timeout_ms, pg_done_cb done, void *arg,
                    struct pg_source **ret_source, struct error *err)
{
    if (strlen(from->host) >= PG_HOST_BYTES || !pg_conf_is_line(from->host)) {
        return error_set(err, ERR_INVALID, "%s: the source's host is no host name", ops->name);
    }
    struct pg_source *source = mem_new(struct pg_source);
    memcpy(source->host, from->host, strlen(from->host) + 1);
    source->port = from->port;
    source->system_identifier = from->system_identifier;
    source->still_allowed = from->still_allowed;
    source->still_allowed_arg = from->still_allowed_arg;
    source->data_dir = pg->config.data_dir;
    source->marker_path = pg->marker_path;
    source->service_path = pg->source_path;
    source->started_path = pg->started_path;
    pg_look_begin(&source->look, pg);
    int rc = pg_task_start(pg, ops, source, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(source);
        return rc;
    }
    if (ret_source != NULL) {
        *ret_source = source;
    }
    return 0;
}

void pg_source_release(struct pg_task *task)
{
    struct pg_source *source = task->data;
    pg_file_set_free(&source->files);
    pg_command_free(&source->command);
    pg_lines_free(&source->names);
}

void pg_source_make_files(struct pg_source *source, const struct pg_instance *pg,
                          const struct pg_account *account)
{
    pg_file_set_free(&source->files); /* of the method before */
    const struct pg_service service = {.host = source->host,
                                       .port = source->port,
                                       .user = account->username,
                                       .passfile = pg->pgpass,
                                       .security = &account->security};
    pg_file_set_make(&source->files, pg, true);
    pg_conf_service(&source->files.service, &service);
}

int pg_source_write_secrets(const struct pg_source *source, struct error *err)
{
    int rc = pg_file_write(source->files.pgpass_path, buf_span(&source->files.pgpass), 0600, err);
    return rc != 0
               ? rc
               : pg_file_write(source->service_path, buf_span(&source->files.service), 0600, err);
}

int pg_source_tidy(void *arg, struct error *err)
{
    const struct pg_source *source = arg;
    int rc = pg_dir_remove_sockets(source->data_dir, err);
    return rc != 0 ? rc : pg_file_remove(source->marker_path, err);
}
