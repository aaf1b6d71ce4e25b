/* The files that are written before a start: made as text on the loop, written on a thread.
 *
 * postgresql.conf of initdb becomes postgresql.base.conf once (conf_files.h); from then on
 * postgresql.conf is ours. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AUTO_CONF_BYTES_MAX (1024 * 1024)
#define SKIPPED_BYTES_MAX   256

static void put_pgpass(struct buf *out, const struct pg_account *account)
{
    if (account->username != NULL && account->username[0] != '\0' && account->password != NULL) {
        pg_conf_pgpass(out, account->username, account->password);
    }
}

void pg_file_set_make(struct pg_file_set *set, const struct pg_instance *pg, bool standby)
{
    struct pg_conf conf = pg_instance_conf(pg, standby);

    *set = (struct pg_file_set){.signal = standby ? PG_SIGNAL_STANDBY : PG_SIGNAL_NONE};
    set->places = &pg->files;
    set->service_path = mem_strdup(pg->service_path);
    set->pgpass_path = mem_strdup(pg->pgpass);
    pg_conf_put(&set->conf, &conf);
    if (pg->config.pg_hba.count > 0) {
        pg_conf_lines(&set->hba, &pg->config.pg_hba);
    }
    if (pg->config.pg_ident.count > 0) {
        pg_conf_lines(&set->ident, &pg->config.pg_ident);
    }
    buf_put_span(&set->sync_conf, buf_span(&pg->sync_conf));
    put_pgpass(&set->pgpass, &pg->config.replication);
    put_pgpass(&set->pgpass, &pg->config.rewind);
    put_pgpass(&set->pgpass, &pg->config.superuser);
}

void pg_file_set_service(struct pg_file_set *set, const struct pg_instance *pg,
                         const struct pg_upstream *upstream)
{
    struct pg_service service = {.user = pg->config.replication.username,
                                 .passfile = pg->pgpass,
                                 .security = &pg->config.replication.security,
                                 .receiver = true};
    if (upstream != NULL) {
        service.host = upstream->host;
        service.port = upstream->port;
        service.primary_only = upstream->primary_only;
    }
    pg_conf_service(&set->service, &service);
}

void pg_file_set_free(struct pg_file_set *set)
{
    mem_free(set->service_path);
    mem_free(set->pgpass_path);
    buf_free(&set->conf);
    buf_free(&set->hba);
    buf_free(&set->ident);
    buf_free(&set->service);
    buf_free(&set->pgpass);
    buf_free(&set->sync_conf);
    *set = (struct pg_file_set){0};
}

static int write_given(const char *path, const struct buf *bytes, struct error *err)
{
    return bytes->len == 0 ? 0 : pg_file_write(path, buf_span(bytes), 0600, err);
}

static int filter_auto_conf(const char *data_dir, struct error *err)
{
    char path[PG_PATH_BYTES];
    struct buf before = BUF_INIT;
    struct buf after = BUF_INIT;

    (void)snprintf(path, sizeof path, "%s/postgresql.auto.conf", data_dir);
    int rc = pg_file_read(path, AUTO_CONF_BYTES_MAX, &before, err);
    if (rc == ERR_NOT_FOUND) {
        rc = 0;
    } else if (rc == 0) {
        pg_conf_filter_auto(&after, buf_span(&before));
        rc = after.len == before.len ? 0 : pg_file_write(path, buf_span(&after), 0600, err);
    }
    buf_free(&before);
    buf_free(&after);
    return rc;
}

bool pg_history_is_skipped(const char *path)
{
    struct buf text = BUF_INIT;
    int rc = pg_file_read(path, SKIPPED_BYTES_MAX, &text, NULL);
    bool is = rc == ERR_NOT_FOUND || (rc == 0 && pg_conf_is_skipped_history(buf_span(&text)));
    buf_free(&text);
    return is;
}

/* The numbers that a promotion left out which was never sent: its agent died. A standby that starts
 * would take the highest of them for its target. While a server runs they stay: the promotion may
 * be under way. */
static int remove_skipped(const char *data_dir, struct error *err)
{
    char parent[PG_PATH_BYTES];
    char path[PG_PATH_BYTES];
    const struct dirent *entry;
    int rc = 0;

    (void)snprintf(parent, sizeof parent, "%.900s/pg_wal", data_dir);
    DIR *dir = opendir(parent);
    if (dir == NULL) {
        return errno == ENOENT ? 0
                               : error_set(err, err_from_errno(errno), "opening '%s': %s", parent,
                                           strerror(errno));
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        const char *dot = strchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, ".history") == 0) {
            (void)snprintf(path, sizeof path, "%.900s/%.100s", parent, entry->d_name);
            rc = pg_history_is_skipped(path) ? pg_file_remove(path, err) : 0;
        }
    }
    (void)closedir(dir);
    return rc;
}

static int set_signal(const struct pg_file_set *set, struct error *err)
{
    const char *data_dir = set->places->data_dir;
    char standby[PG_PATH_BYTES];
    char recovery[PG_PATH_BYTES];
    char promote[PG_PATH_BYTES];

    if (set->signal == PG_SIGNAL_KEEP) {
        return 0;
    }
    (void)snprintf(standby, sizeof standby, "%s/standby.signal", data_dir);
    (void)snprintf(recovery, sizeof recovery, "%s/recovery.signal", data_dir);
    (void)snprintf(promote, sizeof promote, "%s/promote", data_dir);
    /* A promotion that was asked for in an earlier life must not happen in this one. */
    int rc = pg_file_remove(promote, err);
    rc = rc != 0 ? rc : remove_skipped(data_dir, err);
    rc = rc != 0                             ? rc
         : set->signal == PG_SIGNAL_RECOVERY ? pg_file_write(recovery, span_str(""), 0600, err)
                                             : pg_file_remove(recovery, err);
    if (rc != 0) {
        return rc;
    }
    return set->signal == PG_SIGNAL_STANDBY ? pg_file_write(standby, span_str(""), 0600, err)
                                            : pg_file_remove(standby, err);
}

int pg_file_set_write_conf(const struct pg_file_set *set, struct error *err)
{
    int rc = pg_conf_files_gather(set->places, err);
    rc = rc != 0 ? rc : pg_sync_conf_keep(set->places, buf_span(&set->sync_conf), err);
    return rc != 0 ? rc : write_given(set->places->conf, &set->conf, err);
}

int pg_file_set_write(void *arg, struct error *err)
{
    const struct pg_file_set *set = arg;
    const struct pg_conf_files *places = set->places;
    int rc = pg_file_set_write_conf(set, err);

    rc = rc != 0 ? rc : write_given(places->hba, &set->hba, err);
    rc = rc != 0 ? rc : write_given(places->ident, &set->ident, err);
    rc = rc != 0 ? rc : pg_conf_files_back_up(places, err);
    rc = rc != 0 || set->keep_auto ? rc : filter_auto_conf(places->data_dir, err);
    rc = rc != 0 ? rc : write_given(set->service_path, &set->service, err);
    rc = rc != 0 ? rc : write_given(set->pgpass_path, &set->pgpass, err);
    return rc != 0 ? rc : set_signal(set, err);
}
