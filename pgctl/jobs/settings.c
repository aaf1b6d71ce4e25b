/* What is changed on a running server: settings; and a checkpoint.
 *
 * Reload:  LOOK -> CHECK (a child) -> WRITE and signal -> end
 *           ^------- refused
 * New values are tried before they are believed: `postgres -C` reads the candidate file as a start
 * would, and names what it refuses. A bad value in the real file would be half applied by a reload,
 * and would stop the next start. What is refused is taken out, and the rest tried again: one wrong
 * value is to keep neither the others nor the server from going on. Whoever runs when the files are
 * written gets the signal, whoever ran at the look. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What `postgres -C` ends with if it is the file that it does not like. */
#define REFUSED_TEXT "contains errors"

enum { RELOAD_LOOK, RELOAD_LOOKED, RELOAD_CHECKED, RELOAD_WRITTEN };

/* PostgreSQL names all that it refuses at once; taking one out may bring up the next. */
#define TRIES_MAX         8
#define REFUSED_SHOWN_MAX 400
#define SUPERUSER_DEFAULT "postgres"
#define REFUSED_LEVEL     "LOG:  "
#define REFUSED_WORD      "parameter \""
#define UNOPENED_TEXT     "could not open configuration file"
#define INCLUDE_WORD      "include "
#define CONF_BYTES_MAX    (1024 * 1024)

struct reload_data {
    struct pg_reload given; /* every pointer in it is ours */
    struct pg_account accounts[3];
    char receive_slot[PG_NAME_BYTES];
    struct pg_file_set files;
    struct buf candidate;
    struct buf sync_conf;
    struct buf refused; /* in words; empty: everything is taken */
    char candidate_path[PG_PATH_BYTES];
    const struct pg_conf_files *places;
    int tries;
    bool exists;
    bool standby;
    bool trial; /* only to be told of: pg_instance_try_settings */
    bool kept;  /* a server runs, and includes what the candidate includes */
    bool away;  /* custom_conf was left out because it could not be opened */
};

/* The first file that it includes, in the text of postgresql.conf; empty: none. */
static struct span first_include(struct buf *text)
{
    const char *line = strstr(buf_str(text), INCLUDE_WORD);
    return line == NULL ? span_str(NULL) : span_of(line, strcspn(line, "\n"));
}

static bool is_kept(struct reload_data *data)
{
    struct buf now = BUF_INIT;
    struct error ignored = {0};
    int32_t pid = 0;
    bool kept = pg_dir_postmaster(data->places->data_dir, &pid, &ignored) == 0 && pid != 0 &&
                pg_file_read(data->places->conf, CONF_BYTES_MAX, &now, &ignored) == 0 &&
                span_equal(first_include(&now), first_include(&data->candidate));
    buf_free(&now);
    return kept;
}

/* A server that runs and that we have never started has no base file yet. A standby keeps what it
 * has until its next start: where it receives from, it would not find as we say it. */
static int adopt(const struct reload_data *data, struct error *err)
{
    int32_t pid = 0;
    if (data->trial || data->standby || pg_file_exists(data->places->base)) {
        return 0;
    }
    int rc = pg_dir_postmaster(data->places->data_dir, &pid, err);
    if (rc != 0 || pid == 0) {
        return rc;
    }
    rc = pg_conf_files_adopt(data->places, err);
    return rc != ERR_NOT_FOUND
               ? rc
               : error_set(err, ERR_INVALID,
                           "PostgreSQL runs, and its configuration is not in '%s': give the "
                           "directory where it is as postgresql.config_dir (Debian: "
                           "/etc/postgresql/<version>/<cluster>)",
                           data->places->config_dir);
}

static int look_work(void *arg, struct error *err)
{
    struct reload_data *data = arg;
    char path[PG_PATH_BYTES];

    (void)snprintf(path, sizeof path, "%s/standby.signal", data->places->data_dir);
    data->standby = pg_file_exists(path);
    (void)snprintf(path, sizeof path, "%s/PG_VERSION", data->places->data_dir);
    bool there = pg_file_exists(path) && (data->trial || !data->given.foreign);
    int rc = there ? adopt(data, err) : 0;
    data->exists = rc == 0 && there && pg_file_exists(data->places->base);
    if (!data->exists) {
        return rc;
    }
    data->kept = !data->trial && is_kept(data);
    if (!data->trial) { /* the candidate includes it */
        rc = pg_sync_conf_keep(data->places, buf_span(&data->sync_conf), err);
    }
    return rc != 0 ? rc
                   : pg_file_write(data->candidate_path, buf_span(&data->candidate), 0600, err);
}

static int write_work(void *arg, struct error *err)
{
    struct reload_data *data = arg;
    int rc = pg_file_remove(data->candidate_path, err);
    rc = rc != 0 ? rc : pg_file_set_write(&data->files, err);
    rc = rc != 0 ? rc : pg_postmaster_signal(data->places->data_dir, 0, SIGHUP, err);
    return rc == ERR_NOT_FOUND ? 0 : rc; /* nobody runs: the next start reads them */
}

#define SWAP(type, a, b)  \
    do {                  \
        type swapped = a; \
        a = b;            \
        b = swapped;      \
    } while (0)

static void take_account(struct pg_account *ours, const struct pg_account *given)
{
    if (given != NULL) {
        SWAP(struct pg_account, *ours, *(struct pg_account *)(uintptr_t)given);
    }
}

static void take_new_values(struct pg_instance *pg, struct reload_data *data)
{
    struct pg_reload *given = &data->given;
    struct pg_instance_config *config = &pg->config;

    SWAP(struct pg_parameters, config->parameters, given->parameters);
    SWAP(struct pg_parameters, config->recovery_conf, given->recovery_conf);
    SWAP(struct pg_lines, config->pg_hba, given->pg_hba);
    SWAP(struct pg_lines, config->pg_ident, given->pg_ident);
    SWAP(struct pg_lines, config->basebackup, given->basebackup);
    config->use_slots = given->use_slots;
    config->guard = given->guard;
    config->nostream = given->nostream;
    config->keeps_logical = given->keeps_logical;
    pg->decodes = given->decodes;
    pg->receive_slot_given = given->receive_slot != NULL;
    memcpy(pg->receive_slot, data->receive_slot, sizeof pg->receive_slot);
    config->local_way = given->local_way;
    config->local_repl_way = given->local_repl_way;
    SWAP(const char *, config->custom_conf, given->custom_conf);
    if (given->database != NULL) {
        SWAP(const char *, config->database, given->database);
    }
    take_account(&config->superuser, given->superuser);
    take_account(&config->replication, given->replication);
    take_account(&config->rewind, given->rewind);
}

static void make_candidate(struct reload_data *data, const struct pg_instance *pg)
{
    struct pg_conf conf = pg_instance_conf(pg, true);
    conf.parameters = data->given.parameters;
    conf.recovery_conf = data->given.recovery_conf;
    conf.custom_conf = data->given.custom_conf;
    conf.slot_name = pg_receive_slot(pg, data->given.use_slots, data->given.receive_slot);
    conf.guard = data->given.guard;
    conf.nostream = data->given.nostream;
    conf.keeps_logical = data->given.keeps_logical;
    conf.decodes = data->given.decodes;
    conf.include_dir = data->trial ? pg->files.config_dir : NULL;
    buf_clear(&data->candidate);
    pg_conf_put(&data->candidate, &conf);
}

/* --- what PostgreSQL refuses ------------------------------------------------------------------ */

static const char *value_of(const struct pg_parameters *set, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < set->count; i++) {
        value = strcasecmp(set->items[i].name, name) == 0 ? set->items[i].value : value;
    }
    return value;
}

/* Its value of before takes its place; there is none, or it is the same: the parameter goes. */
static bool put_back(struct pg_parameters *set, const struct pg_parameters *before,
                     const char *name)
{
    const char *old = value_of(before, name);
    const char *refused = value_of(set, name);
    if (refused == NULL) {
        return false;
    }
    bool keeps = old != NULL && strcmp(old, refused) != 0;
    size_t left = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct pg_parameter *item = (struct pg_parameter *)(uintptr_t)&set->items[i];
        struct pg_parameter *place = (struct pg_parameter *)(uintptr_t)&set->items[left];
        bool is_it = strcasecmp(item->name, name) == 0;
        if (is_it) {
            mem_free((char *)(uintptr_t)item->value);
            item->value = keeps ? mem_strdup(old) : NULL;
        }
        if (is_it && !keeps) {
            mem_free((char *)(uintptr_t)item->name);
        } else {
            *place = *item;
            left++;
        }
    }
    set->count = left;
    return true;
}

/* A reason ("invalid value for parameter "work_mem": "much""). False: it names nothing of ours. */
static bool leave_out(struct pg_task *task, struct reload_data *data, const char *reason)
{
    char name[PG_VALUE_BYTES];
    const struct pg_instance_config *config = &task->pg->config;
    const char *quoted = strstr(reason, REFUSED_WORD);
    if (quoted == NULL) {
        return false;
    }
    quoted += strlen(REFUSED_WORD);
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(quoted, "\""), quoted);
    bool left = put_back(&data->given.parameters, &config->parameters, name);
    left = put_back(&data->given.recovery_conf, &config->recovery_conf, name) || left;
    if (left) {
        const char *place = strstr(reason, " in file \""); /* one that is gone by then */
        int len = (int)(place == NULL ? strlen(reason) : (size_t)(place - reason));
        buf_printf(&data->refused, "%spostgresql.parameters.%s: %.*s",
                   data->refused.len > 0 ? "; " : "", name, len, reason);
    }
    return left;
}

/* The file of before takes its place; there is none, or it is the same: the base file. What
 * PostgreSQL says that names nothing of ours is of a file that is included: is it not this one, the
 * next try fails likewise, and without it there is nothing more to leave out. */
static bool leave_out_custom_conf(struct pg_task *task, struct reload_data *data,
                                  const char *reason)
{
    const char *refused = data->given.custom_conf;
    const char *old = task->pg->config.custom_conf;
    if (refused == NULL) {
        return false;
    }
    bool keeps = old != NULL && strcmp(old, refused) != 0;
    data->away = strstr(reason, UNOPENED_TEXT) != NULL;
    data->given.custom_conf = keeps ? mem_strdup(old) : NULL;
    mem_free((char *)(uintptr_t)refused);
    buf_printf(&data->refused, "%spostgresql.custom_conf: %s", data->refused.len > 0 ? "; " : "",
               reason);
    return true;
}

/* A server that runs has read that very file when it was well: without it, it would lose all
 * settings of a file that may be away for a moment (a mount, a rename). It would take nothing else
 * beside it, either. */
static void keep_in_force(struct pg_task *task, const char *reason)
{
    bool away = strstr(reason, UNOPENED_TEXT) != NULL;
    task->rc = error_set(&task->err, away ? ERR_UNAVAILABLE : ERR_INVALID,
                         "postgresql.custom_conf: %s; what was in force stays",
                         reason[0] != '\0' ? reason : "refused");
    pg_task_undo_and_fail(task);
}

/* PostgreSQL tells the reasons first ("LOG: invalid value for parameter ..."), and then that the
 * file has errors. */
static void refused_values(struct pg_task *task, struct reload_data *data)
{
    char *text = mem_strdup(buf_str(&task->errors));
    char *rest = NULL;
    char first[REFUSED_SHOWN_MAX] = "";
    bool left = false;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *level = strstr(line, REFUSED_LEVEL); /* behind the time and the process */
        const char *reason = level == NULL ? NULL : level + strlen(REFUSED_LEVEL);
        if (reason != NULL && first[0] == '\0') {
            (void)snprintf(first, sizeof first, "%s", reason);
        }
        left = (reason != NULL && leave_out(task, data, reason)) || left;
    }
    mem_free(text);
    if (!left && data->kept && data->given.custom_conf != NULL) {
        keep_in_force(task, first);
        return;
    }
    left = left || leave_out_custom_conf(task, data, first);
    if (data->trial && left) {
        task->rc =
            error_set(&task->err, ERR_INVALID, "%.*s: give what PostgreSQL takes, or leave it out",
                      REFUSED_SHOWN_MAX, buf_str(&data->refused));
        pg_task_undo_and_fail(task);
        return;
    }
    if (!left || ++data->tries == TRIES_MAX) {
        task->rc =
            error_set(&task->err, ERR_INVALID, "postgresql.parameters: %s; what was in force stays",
                      first[0] != '\0' ? first : "refused");
        pg_task_undo_and_fail(task);
        return;
    }
    make_candidate(data, task->pg);
    task->state = RELOAD_LOOKED;
    pg_task_work(task, look_work, data);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void finish(struct pg_task *task, struct reload_data *data)
{
    if (data->refused.len == 0) {
        pg_task_end(task);
        return;
    }
    pg_task_fail_with(task, data->away ? ERR_NOT_FOUND : ERR_INVALID,
                      "%.*s; left out, the rest is in force", REFUSED_SHOWN_MAX,
                      buf_str(&data->refused));
}

static void check(struct pg_task *task, struct reload_data *data)
{
    char config_file[PG_PATH_BYTES + 16];
    /* In the language that is read above, whatever the file says. */
    const char *const argv[] = {task->pg->bin.paths[PG_POSTGRES],
                                "-D",
                                data->places->data_dir,
                                config_file,
                                "--lc_messages=C",
                                "-C",
                                "port",
                                NULL};

    if (!data->exists) { /* nothing to write to yet: kept for the first start */
        if (!data->trial) {
            take_new_values(task->pg, data);
        }
        pg_task_end(task);
        return;
    }
    (void)snprintf(config_file, sizeof config_file, "--config_file=%s", data->candidate_path);
    task->state = RELOAD_CHECKED;
    pg_task_child(task, argv, NULL, NULL);
}

static int undo_work(void *arg, struct error *err)
{
    return pg_file_remove(((const struct reload_data *)arg)->candidate_path, err);
}

static void reload_step(struct pg_task *task)
{
    struct reload_data *data = task->data;

    if (task->rc == ERR_IO && task->state == RELOAD_CHECKED &&
        strstr(buf_str(&task->errors), REFUSED_TEXT) != NULL) {
        refused_values(task, data);
        return;
    }
    if (task->rc != 0) {
        error_wrap(&task->err, "reloading the configuration");
        pg_task_undo_and_fail(task);
        return;
    }
    switch (task->state) {
    case RELOAD_LOOK:
        task->state = RELOAD_LOOKED;
        pg_task_work(task, look_work, data);
        return;
    case RELOAD_LOOKED: check(task, data); return;
    case RELOAD_CHECKED:
        if (data->trial) {
            task->state = RELOAD_WRITTEN;
            pg_task_work(task, undo_work, data);
            return;
        }
        take_new_values(task->pg, data);
        pg_file_set_make(&data->files, task->pg, data->standby);
        data->files.signal = PG_SIGNAL_KEEP;
        task->state = RELOAD_WRITTEN;
        pg_task_work(task, write_work, data);
        return;
    case RELOAD_WRITTEN: finish(task, data); return;
    default: ASSERT(false);
    }
}

static void account_free(struct pg_account *account)
{
    mem_free((char *)(uintptr_t)account->username);
    mem_free((char *)(uintptr_t)account->password);
    pg_security_values_free(&account->security);
}

static const struct pg_account *account_dup(struct pg_account *place,
                                            const struct pg_account *given, const char *fallback)
{
    if (given == NULL) {
        return NULL;
    }
    const char *name = given->username == NULL ? fallback : given->username;
    *place = *given;
    place->username = mem_strdup(name);
    place->password = mem_strdup(given->password);
    pg_security_values_dup(&place->security);
    return place;
}

static void reload_release(struct pg_task *task)
{
    struct reload_data *data = task->data;
    struct pg_reload *given = &data->given;
    pg_parameters_free(&given->parameters);
    pg_parameters_free(&given->recovery_conf);
    pg_lines_free(&given->pg_hba);
    pg_lines_free(&given->pg_ident);
    pg_lines_free(&given->basebackup);
    mem_free((char *)(uintptr_t)given->database);
    mem_free((char *)(uintptr_t)given->custom_conf);
    for (size_t i = 0; i < sizeof data->accounts / sizeof data->accounts[0]; i++) {
        account_free(&data->accounts[i]);
    }
    pg_file_set_free(&data->files);
    buf_free(&data->candidate);
    buf_free(&data->sync_conf);
    buf_free(&data->refused);
}

static struct reload_data *reload_new(struct pg_instance *pg, const struct pg_reload *reload,
                                      bool trial)
{
    struct reload_data *data = mem_new(struct reload_data);
    struct pg_reload *given = &data->given;

    *given = *reload;
    given->parameters = pg_parameters_dup(&reload->parameters);
    pg_keep_sockets_outside(pg, &given->parameters);
    given->recovery_conf = pg_parameters_dup(&reload->recovery_conf);
    given->pg_hba = pg_lines_dup(&reload->pg_hba);
    given->pg_ident = pg_lines_dup(&reload->pg_ident);
    given->basebackup = pg_lines_dup(&reload->basebackup);
    if (reload->receive_slot != NULL) {
        (void)snprintf(data->receive_slot, sizeof data->receive_slot, "%s", reload->receive_slot);
        given->receive_slot = data->receive_slot;
    }
    given->database = mem_strdup(reload->database);
    given->custom_conf = mem_strdup(reload->custom_conf);
    given->superuser = account_dup(&data->accounts[0], reload->superuser, SUPERUSER_DEFAULT);
    given->replication = account_dup(&data->accounts[1], reload->replication, NULL);
    given->rewind = account_dup(&data->accounts[2], reload->rewind, NULL);
    buf_put_span(&data->sync_conf, buf_span(&pg->sync_conf));
    data->places = &pg->files;
    data->trial = trial;
    if (trial) { /* apart from the data directory, which a job may be about to empty */
        (void)snprintf(data->candidate_path, sizeof data->candidate_path, "%s/trial.%u.conf",
                       pg->config.state_dir, ++pg->trials);
    } else {
        (void)snprintf(data->candidate_path, sizeof data->candidate_path, "%.1000s.candidate",
                       pg->files.conf);
    }
    make_candidate(data, pg);
    return data;
}

static int reload_start(struct pg_instance *pg, const struct pg_task_ops *ops,
                        const struct pg_reload *reload, int64_t timeout_ms, pg_done_cb done,
                        void *arg, struct error *err)
{
    int rc = pg_instance_check_reload(pg, reload, err);
    if (rc != 0) {
        return rc;
    }
    struct reload_data *data = reload_new(pg, reload, !ops->configures);
    rc = pg_task_start(pg, ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        struct pg_task never = {.data = data};
        reload_release(&never);
        mem_free(data);
    }
    return rc;
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "reload",
                                           .configures = true,
                                           .step = reload_step,
                                           .undo_files = undo_work,
                                           .release = reload_release};
    return reload_start(instance, &ops, reload, timeout_ms, done, arg, err);
}

int pg_instance_try_settings(struct pg_instance *instance, const struct pg_reload *reload,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "trial of settings",
                                           .step = reload_step,
                                           .undo_files = undo_work,
                                           .release = reload_release};
    return reload_start(instance, &ops, reload, timeout_ms, done, arg, err);
}

/* --- checkpoint ------------------------------------------------------------------------------- */

static void checkpoint_step(struct pg_task *task)
{
    if (task->rc != 0) {
        error_wrap(&task->err, "checkpoint");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case 0: pg_task_connect_local(task); return;
    case 1: pg_task_query(task, "CHECKPOINT"); return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "checkpoint", .step = checkpoint_step};
    return pg_task_start(instance, &ops, NULL, timeout_ms, done, arg, NULL, err);
}
