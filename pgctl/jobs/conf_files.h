/* Where the files of the configuration are. Beside the data by default; apart from it as Debian has
 * them (/etc/postgresql/15/main). PostgreSQL itself looks for postgresql.auto.conf and the signal
 * files in the data directory, and who confirms commits (postgresql.sync.conf) stays there, too: it
 * is said of these data. */
#ifndef PGCTL_JOBS_CONF_FILES_H
#define PGCTL_JOBS_CONF_FILES_H

#include "base/err.h"
#include "pgctl/pg_types.h"

struct pg_conf_files {
    const char *data_dir; /* the instance's, as the two below */
    const char *config_dir;
    const char *base_name;
    bool apart;
    char conf[PG_PATH_BYTES]; /* ours */
    char base[PG_PATH_BYTES]; /* initdb's, or the operator's before us */
    char hba[PG_PATH_BYTES];
    char ident[PG_PATH_BYTES];
    char sync[PG_PATH_BYTES];
};

/* `config_dir` NULL: data_dir; `base_name` NULL: "postgresql". Borrowed. */
void pg_conf_files_init(struct pg_conf_files *files, const char *data_dir, const char *config_dir,
                        const char *base_name);

/* The rest is for worker threads. */

/* Makes the directory, and what it lacks of: of the backups that lie in the data directory, which
 * come along with a copy; else of what initdb or the source of a copy has there. What is in the
 * directory stays as it is, but for a postgresql.conf that is not ours, which becomes the base. */
int pg_conf_files_gather(const struct pg_conf_files *files, struct error *err) MUST_CHECK;
/* A server runs on a postgresql.conf that is not ours: a copy of it becomes the base, and it stays
 * until ours takes its place; what it has is backed up at once, whatever becomes of ours. Nothing
 * where there is a base. ERR_NOT_FOUND: no postgresql.conf. */
int pg_conf_files_adopt(const struct pg_conf_files *files, struct error *err) MUST_CHECK;
/* "<file>.backup" in the data directory: where a member's configuration is apart, nothing else of
 * it comes along with a copy, and pg_rewind removes what its source does not have. */
int pg_conf_files_back_up(const struct pg_conf_files *files, struct error *err) MUST_CHECK;
/* Whether a copy of the data directory has what its pg_hba.conf would be gathered from, or beside
 * the data the base, which names another file (hba_file) where there is none. */
bool pg_conf_files_copies_hba(const struct pg_conf_files *files);
/* initdb's, once they are gathered elsewhere. */
int pg_conf_files_remove_strays(const struct pg_conf_files *files, struct error *err) MUST_CHECK;

#endif
