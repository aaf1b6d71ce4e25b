/* A file that is not in the directory of the configuration is looked for in the data directory:
 * first as a backup, which whoever has its configuration apart makes there (Patroni, too), then
 * under its own name. A copy has both of its source. */
#include "pgctl/jobs/conf_files.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_NAME   "postgresql"
#define FILE_BYTES_MAX ((size_t)1024 * 1024)

void pg_conf_files_init(struct pg_conf_files *files, const char *data_dir, const char *config_dir,
                        const char *base_name)
{
    *files = (struct pg_conf_files){
        .data_dir = data_dir,
        .config_dir = config_dir == NULL ? data_dir : config_dir,
        .base_name = base_name == NULL ? DEFAULT_NAME : base_name,
    };
    files->apart = strcmp(files->config_dir, data_dir) != 0;
    (void)snprintf(files->conf, sizeof files->conf, "%s/%s.conf", files->config_dir,
                   files->base_name);
    (void)snprintf(files->base, sizeof files->base, "%s/%s.base.conf", files->config_dir,
                   files->base_name);
    (void)snprintf(files->hba, sizeof files->hba, "%s/pg_hba.conf", files->config_dir);
    (void)snprintf(files->ident, sizeof files->ident, "%s/pg_ident.conf", files->config_dir);
    (void)snprintf(files->sync, sizeof files->sync, "%s/" PG_CONF_SYNC_FILE, data_dir);
}

/* Nobody is to wait here for the other end of a pipe. */
static int read_file(const char *path, struct buf *out, struct error *err)
{
    struct stat st;
    bool regular = stat(path, &st) != 0 || S_ISREG(st.st_mode);
    return regular ? pg_file_read(path, FILE_BYTES_MAX, out, err) : ERR_NOT_FOUND;
}

static bool is_ours(struct span text)
{
    static const char mark[] = PG_CONF_OURS;
    return text.len >= sizeof mark - 1 && memcmp(text.data, mark, sizeof mark - 1) == 0;
}

/* Of the data directory. ERR_NOT_FOUND also for a postgresql.conf that is an agent's. */
static int read_there(const struct pg_conf_files *files, const char *name, bool any,
                      struct buf *out, struct error *err)
{
    char *path = mem_printf("%s/%s", files->data_dir, name);
    buf_clear(out);
    int rc = read_file(path, out, err);
    mem_free(path);
    return rc == 0 && !any && is_ours(buf_span(out)) ? ERR_NOT_FOUND : rc;
}

/* The first of `names` (NULL at the end) that is there; else an empty one, if one has to be. What a
 * base file of another host says of places, and what it includes there, is nothing of this one. */
static int take(const struct pg_conf_files *files, const char *path, const char *const *names,
                bool needed, struct error *err)
{
    struct buf text = BUF_INIT;
    int rc = ERR_NOT_FOUND;

    for (size_t i = 0; rc == ERR_NOT_FOUND && names[i] != NULL; i++) {
        rc = read_there(files, names[i], strcmp(names[i], DEFAULT_NAME ".conf") != 0, &text, err);
    }
    if (rc == ERR_NOT_FOUND) {
        buf_clear(&text);
        rc = needed ? 0 : rc;
    }
    if (rc == 0 && strcmp(path, files->base) == 0) {
        struct buf filtered = BUF_INIT;
        pg_conf_filter_auto(&filtered, buf_span(&text));
        buf_free(&text);
        text = filtered;
    }
    rc = rc != 0 ? rc : pg_file_write(path, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int take_same(const struct pg_conf_files *files, const char *path, bool needed,
                     struct error *err)
{
    const char *name = strrchr(path, '/') + 1;
    char *backup = mem_printf("%s.backup", name);
    const char *const names[] = {backup, files->apart ? name : NULL, NULL};
    int rc = pg_file_exists(path) ? 0 : take(files, path, names, needed, err);
    mem_free(backup);
    return rc;
}

/* The operator's own postgresql.conf, which is there already, becomes the base. */
static int rename_conf(const struct pg_conf_files *files, bool *ret_renamed, struct error *err)
{
    struct buf text = BUF_INIT;
    int rc = read_file(files->conf, &text, err);
    *ret_renamed = rc == 0 && !is_ours(buf_span(&text));
    buf_free(&text);
    if (*ret_renamed && rename(files->conf, files->base) != 0) {
        return error_set(err, err_from_errno(errno), "renaming '%s' to '%s': %s", files->conf,
                         files->base, strerror(errno));
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int pg_conf_files_adopt(const struct pg_conf_files *files, struct error *err)
{
    struct buf text = BUF_INIT;
    if (pg_file_exists(files->base)) {
        return 0;
    }
    int rc = read_file(files->conf, &text, err);
    if (rc == 0 && is_ours(buf_span(&text))) {
        rc = ERR_NOT_FOUND; /* of a base that is lost: gathered before the next start */
    }
    rc = rc != 0 ? rc : pg_file_write(files->base, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc != 0 ? rc : pg_conf_files_back_up(files, err);
}

static int gather_base(const struct pg_conf_files *files, struct error *err)
{
    bool renamed = false;
    if (pg_file_exists(files->base)) {
        return 0;
    }
    int rc = rename_conf(files, &renamed, err);
    if (rc != 0 || renamed) {
        return rc;
    }
    const char *name = strrchr(files->base, '/') + 1;
    char *backup = mem_printf("%s.backup", name);
    const char *const names[] = {backup,
                                 name,
                                 DEFAULT_NAME ".base.conf.backup",
                                 DEFAULT_NAME ".base.conf",
                                 DEFAULT_NAME ".conf",
                                 NULL};
    rc = take(files, files->base, names, true, err); /* lost: the include stays valid */
    mem_free(backup);
    return rc;
}

int pg_conf_files_gather(const struct pg_conf_files *files, struct error *err)
{
    bool made;
    int rc = files->apart ? pg_dir_make(files->config_dir, &made, err) : 0;
    rc = rc != 0 ? rc : gather_base(files, err);
    rc = rc != 0 ? rc : take_same(files, files->hba, false, err);
    return rc != 0 ? rc : take_same(files, files->ident, files->apart, err);
}

static int back_up(const struct pg_conf_files *files, const char *path, struct error *err)
{
    struct buf now = BUF_INIT;
    struct buf before = BUF_INIT;
    char *backup = mem_printf("%s/%s.backup", files->data_dir, strrchr(path, '/') + 1);
    int rc = read_file(path, &now, err);
    bool same = rc == 0 && read_file(backup, &before, NULL) == 0 &&
                span_equal(buf_span(&now), buf_span(&before));
    rc = rc != 0 || same ? rc : pg_file_write(backup, buf_span(&now), 0600, err);
    buf_free(&now);
    buf_free(&before);
    mem_free(backup);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int pg_conf_files_back_up(const struct pg_conf_files *files, struct error *err)
{
    int rc = back_up(files, files->base, err);
    rc = rc != 0 ? rc : back_up(files, files->hba, err);
    return rc != 0 ? rc : back_up(files, files->ident, err);
}

bool pg_conf_files_copies_hba(const struct pg_conf_files *files)
{
    static const char *const names[] = {"pg_hba.conf.backup", "pg_hba.conf"};
    bool copies = !files->apart && pg_file_exists(files->base);
    for (size_t i = 0; !copies && i < sizeof names / sizeof names[0]; i++) {
        char *path = mem_printf("%s/%s", files->data_dir, names[i]);
        copies = pg_file_exists(path);
        mem_free(path);
    }
    return copies;
}

int pg_conf_files_remove_strays(const struct pg_conf_files *files, struct error *err)
{
    static const char *const names[] = {DEFAULT_NAME ".conf", "pg_hba.conf", "pg_ident.conf"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && files->apart && i < sizeof names / sizeof names[0]; i++) {
        char *path = mem_printf("%s/%s", files->data_dir, names[i]);
        rc = pg_file_remove(path, err);
        mem_free(path);
    }
    return rc;
}
