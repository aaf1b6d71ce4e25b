/* A new cluster.
 *
 *   LOOK -> MARK -> PWFILE -> INITDB -> WRITE (configuration) -> LAUNCH -> QUIET -> SQL...
 *                \-> the operator's method -> CHECK -/           \-> RECOVERY... -> QUIET -> ROLES
 * -/
 *                                          -> [POST, the operator's] -> ASK -> UNMARK -> end
 *                                            failed after LOOK: KILL -> GONE -> fail
 *
 * The marker stands from before initdb until all accounts are there: a directory that has it is
 * never started. Before it goes, a note takes its place that nobody knows this cluster yet
 * (unannounced.h). */
#include "base/mem.h"
#include "pgctl/conf/pg_password.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/launch.h"
#include "pgctl/jobs/method.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/unannounced.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"
#include "pgctl/sql/pg_answers.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define STATEMENTS_MAX   (PG_USERS_MAX + 16)
#define HBA_BYTES_MAX    (1024 * 1024)
#define GONE_EVERY_MS    5
#define RECOVERY_LOOK_MS 200
#define GONE_MAX_MS      10000 /* a killed process goes at once, or is in an uninterruptible wait */

enum {
    BOOT_LOOK,
    BOOT_MARKED,
    BOOT_MADE,
    BOOT_CHECK,
    BOOT_WRITTEN,
    BOOT_LAUNCH,
    BOOT_RECOVERY,
    BOOT_RECOVERY_WAITED,
    BOOT_QUIET,
    BOOT_ROLES,
    BOOT_SQL,
    BOOT_POST,
    BOOT_ASKED,
    BOOT_UNMARKED,
    BOOT_KILLED,
};

struct statement {
    char *sql;
    char *role; /* whose password ends it; NULL: none does */
    char *password;
};

struct boot_data {
    struct pg_look look;
    struct pg_launch launch;
    struct pg_file_set files;
    struct pg_lines initdb;
    struct pg_lines pg_hba;
    struct pg_method method; /* without words: initdb */
    struct pg_command method_command;
    struct pg_command post_init;
    struct statement statements[STATEMENTS_MAX];
    size_t statement_count;
    size_t next;
    char encryption[PG_NAME_BYTES]; /* the server's password_encryption */
    char pwfile[PG_PATH_BYTES];
    const char *marker_path;
    const char *unannounced_path;
    uint64_t system_id;
    const char *data_dir;
    const char *password;
    bool own_hba; /* the lines are appended to initdb's file */
    struct error why;
    int64_t gone_until_ms; /* mono */
};

void pg_initdb_pwfile(const struct pg_instance *pg, char *ret_path)
{
    (void)snprintf(ret_path, PG_PATH_BYTES, "%s/initdb.pw", pg->config.state_dir);
}

static void boot_release(struct pg_task *task)
{
    struct boot_data *data = task->data;
    for (size_t i = 0; i < data->statement_count; i++) {
        mem_free(data->statements[i].sql);
        mem_free(data->statements[i].role);
        mem_free(data->statements[i].password);
    }
    pg_method_free(&data->method);
    pg_command_free(&data->method_command);
    pg_command_free(&data->post_init);
    pg_file_set_free(&data->files);
    pg_lines_free(&data->initdb);
    pg_lines_free(&data->pg_hba);
}

/* --- statements ------------------------------------------------------------------------------- */

static void add_statement(struct boot_data *data, const char *text, const char *role,
                          const char *password)
{
    if (data->statement_count < STATEMENTS_MAX) {
        data->statements[data->statement_count++] =
            (struct statement){mem_strdup(text), mem_strdup(role), mem_strdup(password)};
    }
}

static int add_role(struct boot_data *data, const char *name, const char *password,
                    const struct pg_lines *options, struct error *err)
{
    struct buf sql = BUF_INIT;
    int rc = pg_conf_role_sql(&sql, name, options, err);
    if (rc == 0) {
        add_statement(data, buf_str(&sql), name, password);
    }
    buf_free(&sql);
    return rc;
}

static bool is_account(const struct pg_account *account, const char *name)
{
    return account->username != NULL && strcmp(account->username, name) == 0;
}

/* What pg_rewind needs without being a superuser (PostgreSQL documentation, pg_rewind, Notes). */
static void grant_rewind(struct boot_data *data, const char *name)
{
    static const char *const functions[] = {
        "pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)"};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        struct buf sql = BUF_INIT;
        buf_printf(&sql, "GRANT EXECUTE ON FUNCTION pg_catalog.%s TO ", functions[i]);
        pg_quote_ident(&sql, name);
        add_statement(data, buf_str(&sql), NULL, NULL);
        buf_free(&sql);
    }
}

static bool is_custom(const struct boot_data *data)
{
    return data->method.words.count > 0;
}

/* What came with the data is altered. */
static void alter_known(struct boot_data *data, const PGresult *roles)
{
    static const char create[] = "CREATE";
    static const char alter[] = "ALTER";
    for (size_t i = 0; i < data->statement_count; i++) {
        struct statement *statement = &data->statements[i];
        for (int row = 0; statement->role != NULL && row < PQntuples(roles); row++) {
            if (strcmp(PQgetvalue(roles, row, 0), statement->role) == 0) {
                char *sql = mem_printf("%s%s", alter, statement->sql + strlen(create));
                mem_free(statement->sql);
                statement->sql = sql;
                break;
            }
        }
    }
}

static int make_statements(struct boot_data *data, const struct pg_instance *pg,
                           const struct pg_bootstrap *bootstrap, struct error *err)
{
    static const char *const replication_option[] = {"REPLICATION"};
    struct pg_lines replication = {replication_option, 1};
    static const char *const superuser_option[] = {"SUPERUSER"};
    struct pg_lines superuser = {superuser_option, 1};
    struct pg_lines none = {NULL, 0};
    const struct pg_instance_config *config = &pg->config;
    int rc = 0;

    if (is_custom(data)) { /* initdb has made it, and its password, else */
        rc =
            add_role(data, config->superuser.username, config->superuser.password, &superuser, err);
    }
    if (rc == 0 && !is_account(&config->superuser, config->replication.username)) {
        rc = add_role(data, config->replication.username, config->replication.password,
                      &replication, err);
    }
    const char *rewind = config->rewind.username;
    bool own_rewind =
        rewind != NULL && rewind[0] != '\0' && !is_account(&config->superuser, rewind);
    if (rc == 0 && own_rewind) {
        if (!is_account(&config->replication, rewind)) {
            rc = add_role(data, rewind, config->rewind.password, &none, err);
        }
        grant_rewind(data, rewind);
    }
    for (size_t i = 0; rc == 0 && i < bootstrap->user_count; i++) {
        const struct pg_user *user = &bootstrap->users[i];
        if (!is_account(&config->superuser, user->name) &&
            !is_account(&config->replication, user->name) &&
            !(own_rewind && is_account(&config->rewind, user->name))) {
            rc = add_role(data, user->name, user->password, &user->options, err);
        }
    }
    return rc;
}

/* --- steps ------------------------------------------------------------------------------------ */

static int mark_work(void *arg, struct error *err)
{
    const struct boot_data *data = arg;
    bool made;
    bool left;
    int rc = pg_marker_take(data->marker_path, PG_UNFINISHED_BOOTSTRAP, data->data_dir, &made,
                            &left, err);
    rc = rc != 0 || !left ? rc : pg_dir_clear(data->data_dir, err);
    rc = rc != 0 ? rc : pg_file_remove(data->unannounced_path, err); /* of an earlier cluster */
    if (rc == 0 && data->password != NULL) {
        struct buf text = BUF_INIT;
        buf_printf(&text, "%s\n", data->password);
        rc = pg_file_write(data->pwfile, buf_span(&text), 0600, err);
        buf_free(&text);
    }
    return rc;
}

static void run_initdb(struct pg_task *task, const struct boot_data *data)
{
    const struct pg_instance *pg = task->pg;
    char *made[PG_CHILD_ARGS_MAX];
    const char *argv[PG_CHILD_ARGS_MAX];
    size_t made_count = 0;
    size_t argc = 0;

    argv[argc++] = pg->bin.paths[PG_INITDB];
    argv[argc++] = "-D";
    argv[argc++] = data->data_dir;
    made[made_count] = mem_printf("--username=%s", pg->config.superuser.username);
    argv[argc++] = made[made_count++];
    if (data->password != NULL) {
        made[made_count] = mem_printf("--pwfile=%s", data->pwfile);
        argv[argc++] = made[made_count++];
    }
    for (size_t i = 0; i < data->initdb.count && argc < PG_CHILD_ARGS_MAX - 1; i++) {
        made[made_count] = mem_printf("--%s", data->initdb.items[i]);
        argv[argc++] = made[made_count++];
    }
    argv[argc] = NULL;
    task->state = BOOT_MADE;
    pg_task_say(task, "initdb");
    task->child_env = pg->initdb_env;
    pg_task_child(task, argv, NULL, NULL);
    for (size_t i = 0; i < made_count; i++) {
        mem_free(made[i]);
    }
}

static void run_method(struct pg_task *task, const struct boot_data *data)
{
    char *scope = mem_printf("--scope=%s", task->pg->config.scope);
    char *dir = mem_printf("--datadir=%s", data->data_dir);
    const char *const own[] = {scope, dir};
    const struct pg_lines options = {own, 2};

    task->state = BOOT_MADE;
    pg_task_method(task, &data->method, &data->method_command, &options, NULL);
    mem_free(scope);
    mem_free(dir);
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    const char *at = text;
    while (at != NULL && (strncmp(at, line, len) != 0 || (at[len] != '\n' && at[len] != '\0'))) {
        const char *end = strchr(at, '\n');
        at = end == NULL ? NULL : end + 1;
    }
    return at != NULL;
}

/* A file that was there before initdb, apart from the data, may have them of an earlier cluster. */
static int append_rules(const struct boot_data *data, const char *path, struct error *err)
{
    struct buf hba = BUF_INIT;
    int rc = pg_file_read(path, HBA_BYTES_MAX, &hba, err);
    rc = rc == ERR_NOT_FOUND && is_custom(data) ? 0 : rc;
    buf_put_str(&hba, "\n");
    for (size_t i = 0; i < data->pg_hba.count; i++) {
        if (!has_line(buf_str(&hba), data->pg_hba.items[i])) {
            buf_printf(&hba, "%s\n", data->pg_hba.items[i]);
        }
    }
    rc = rc != 0 ? rc : pg_file_write(path, buf_span(&hba), 0600, err);
    buf_free(&hba);
    return rc;
}

static int write_work(void *arg, struct error *err)
{
    struct boot_data *data = arg;
    const struct pg_conf_files *places = data->files.places;
    int rc = pg_file_remove(data->pwfile, err);

    rc = rc != 0 ? rc : pg_conf_files_gather(places, err);
    rc = rc != 0 || is_custom(data) ? rc : pg_conf_files_remove_strays(places, err);
    if (rc == 0 && data->own_hba && data->pg_hba.count > 0) {
        rc = append_rules(data, places->hba, err);
    }
    /* Who confirmed the commits of the cluster that this was is nobody of the new one. */
    rc = rc != 0 ? rc : pg_sync_conf_reset(places, err);
    return rc != 0 ? rc : pg_file_set_write(&data->files, err);
}

static int unmark_work(void *arg, struct error *err)
{
    const struct boot_data *data = arg;
    int rc = pg_unannounced_write(data->unannounced_path, data->system_id, data->data_dir, err);
    return rc != 0 ? rc : pg_file_remove(data->marker_path, err);
}

/* With the reason of the failure, once the password is forgotten. */
static void fail(struct pg_task *task, const struct boot_data *data)
{
    task->err = data->why;
    task->rc = data->why.code < 0 ? data->why.code : ERR_IO;
    pg_task_undo_and_fail(task);
}

/* Whatever runs is ended before the failure is told. */
static void give_up(struct pg_task *task, struct boot_data *data)
{
    data->why = task->err;
    data->why.code = task->rc;
    error_wrap(&data->why, "making a new cluster");
    task->state = BOOT_KILLED;
    data->gone_until_ms = clock_mono_ms(task->pg->clock) + GONE_MAX_MS;
    if (task->pg->fence != NULL && fence_client_connected(task->pg->fence)) {
        pg_task_fence(task, fence_client_kill(task->pg->fence, data->data_dir, pg_task_on_fence,
                                              task, &task->err));
    } else {
        fail(task, data);
    }
}

static void ask_next(struct pg_task *task, struct boot_data *data)
{
    const struct statement *next = &data->statements[data->next++];
    struct buf sql = BUF_INIT;
    char *verifier = NULL;
    int rc = 0;

    buf_put_str(&sql, next->sql);
    if (next->password != NULL && pg_password_is_verifier(next->password)) {
        verifier = mem_strdup(next->password);
    } else if (next->password != NULL) {
        rc = pg_conn_verifier(task->conn, next->role, next->password, data->encryption, &verifier,
                              &task->err);
    }
    if (verifier != NULL) {
        buf_put_str(&sql, " PASSWORD ");
        pg_quote_literal(&sql, verifier);
    }
    if (rc == 0) {
        pg_task_query(task, buf_str(&sql));
    } else {
        task->rc = rc;
        give_up(task, data);
    }
    mem_free(verifier);
    buf_free(&sql);
}

/* What cannot be ended is the next stop's: nothing is done in the directory before. */
static void wait_gone(struct pg_task *task, const struct boot_data *data)
{
    const struct fence_client *fence = task->pg->fence;
    if (fence != NULL && fence_client_connected(fence) &&
        clock_mono_ms(task->pg->clock) < data->gone_until_ms) {
        const struct fence_status *status = fence_client_status(fence);
        if (status->running || status->starting || status->killing ||
            (status->starts > 0 && !status->all_gone)) {
            pg_task_wait(task, GONE_EVERY_MS);
            return;
        }
    }
    fail(task, data);
}

static void looked(struct pg_task *task, struct boot_data *data)
{
    const struct pg_inspection *found = &data->look.found;
    if ((found->kind != PG_DIR_MISSING && found->kind != PG_DIR_EMPTY) || found->running) {
        pg_task_fail_with(task, ERR_EXISTS, "making a new cluster: '%s' is in use: %s",
                          data->data_dir,
                          found->reason[0] != '\0' ? found->reason : "it is not empty");
        return;
    }
    task->state = BOOT_MARKED;
    pg_task_work(task, mark_work, data);
}

/* Its server may have WAL to replay first: it needs what a standby needs of the control file. */
static void make_files(struct pg_task *task, struct boot_data *data)
{
    const struct pg_method *method = &data->method;
    struct pg_file_set *files = &data->files;

    data->launch.standby = is_custom(data);
    pg_file_set_make(files, task->pg, data->launch.standby);
    pg_file_set_service(files, task->pg, NULL);
    files->keep_auto = method->keep_recovery_conf;
    files->signal = method->keep_recovery_conf        ? PG_SIGNAL_KEEP
                    : method->recovery_conf.count > 0 ? PG_SIGNAL_RECOVERY
                                                      : PG_SIGNAL_NONE;
    if (method->recovery_conf.count > 0 && !method->keep_recovery_conf) {
        /* A target is where the cluster begins, unless the operator wants to look first. */
        buf_put_str(&files->conf, "\n# of bootstrap.method\nrecovery_target_action = 'promote'\n");
        pg_conf_put_more(&files->conf, &method->recovery_conf);
    }
    task->state = BOOT_WRITTEN;
    pg_task_work(task, write_work, data);
}

/* Whatever the operator's command has left is looked at before anything is started in it. */
static void method_ended(struct pg_task *task, struct boot_data *data)
{
    data->look = (struct pg_look){0};
    pg_look_begin(&data->look, task->pg);
    task->state = BOOT_CHECK;
    (void)pg_look_step(task, &data->look);
}

static void checked(struct pg_task *task, struct boot_data *data)
{
    const struct pg_inspection *found = &data->look.found;
    bool readable = found->kind == PG_DIR_UNFINISHED && found->control.system_identifier != 0;

    if (!readable || found->running || found->major != task->pg->bin.major) {
        task->rc =
            error_set(&task->err, ERR_INVALID, "%s: it has ended well, and '%s' %s",
                      data->method_command.what, data->data_dir,
                      found->running ? "has a server that runs: the command must not start one"
                                     : pg_method_fault(found->kind));
        give_up(task, data);
        return;
    }
    make_files(task, data);
}

static void look_recovery(struct pg_task *task)
{
    task->state = BOOT_RECOVERY;
    pg_task_query(task, "SELECT pg_catalog.pg_is_in_recovery()");
}

static void make_accounts(struct pg_task *task)
{
    task->state = BOOT_QUIET;
    pg_task_say(task, "making accounts");
    pg_task_query(task, pg_password_quiet_sql);
}

static void launch(struct pg_task *task, struct boot_data *data)
{
    int rc = pg_launch_step(task, &data->launch);
    if (rc > 0 && is_custom(data)) {
        pg_task_say(task, "waiting for the end of recovery");
        look_recovery(task);
    } else if (rc > 0) {
        make_accounts(task);
    } else if (rc < 0) {
        give_up(task, data);
    }
}

static void put_conninfo(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "%s%s=", out->len == 0 ? "" : " ", key);
    pg_quote_conninfo(out, value);
}

/* The accounts are there. */
static void accounts_made(struct pg_task *task, struct boot_data *data)
{
    if (!pg_command_given(&data->post_init)) {
        task->state = BOOT_ASKED;
        pg_task_query(task, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
        return;
    }
    struct pg_conn_target target = pg_local_target(task->pg, task->pg->config.local_way, false);
    struct buf conninfo = BUF_INIT;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", target.port);
    put_conninfo(&conninfo, "host", target.host);
    put_conninfo(&conninfo, "port", port);
    put_conninfo(&conninfo, "user", target.user);
    put_conninfo(&conninfo, "dbname", target.database);
    const char *const word[] = {buf_str(&conninfo)};
    const struct pg_lines more = {word, 1};
    task->state = BOOT_POST;
    pg_task_command(task, &data->post_init, &more, task->pg->post_init_env);
    buf_free(&conninfo);
}

static void post_ended(struct pg_task *task)
{
    task->state = BOOT_ASKED;
    pg_task_query(task, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
}

static void on_killed(void *arg, int rc, const struct fence_status *status, const struct error *err)
{
    (void)arg;
    (void)rc;
    (void)status;
    (void)err;
}

/* Cancelled: a server of half a cluster must not stay. Its end is not waited for, the marker
 * stands.
 */
static void boot_undo(struct pg_task *task)
{
    const struct boot_data *data = task->data;
    struct fence_client *fence = task->pg->fence;

    if (task->state >= BOOT_LAUNCH && task->state <= BOOT_ASKED && fence != NULL &&
        fence_client_connected(fence)) {
        (void)!fence_client_kill(fence, data->data_dir, on_killed, NULL, NULL);
    }
}

static int undo_work(void *arg, struct error *err)
{
    return pg_file_remove(((const struct boot_data *)arg)->pwfile, err);
}

/* Up to a directory that can be started. */
static void directory_step(struct pg_task *task, struct boot_data *data)
{
    switch (task->state) {
    case BOOT_LOOK:
        if (pg_look_step(task, &data->look)) {
            looked(task, data);
        }
        return;
    case BOOT_MARKED:
        if (is_custom(data)) {
            run_method(task, data);
        } else {
            run_initdb(task, data);
        }
        return;
    case BOOT_MADE:
        if (is_custom(data)) {
            method_ended(task, data);
        } else {
            make_files(task, data);
        }
        return;
    case BOOT_CHECK:
        if (pg_look_step(task, &data->look)) {
            checked(task, data);
        }
        return;
    default: /* BOOT_WRITTEN */
        task->state = BOOT_LAUNCH;
        launch(task, data);
        return;
    }
}

static void boot_step(struct pg_task *task)
{
    struct boot_data *data = task->data;
    bool failed = task->rc != 0 && task->state != BOOT_LOOK && task->state != BOOT_CHECK &&
                  task->state != BOOT_LAUNCH && task->state != BOOT_KILLED;

    if (failed) {
        give_up(task, data);
        return;
    }
    if (task->state < BOOT_LAUNCH) {
        directory_step(task, data);
        return;
    }
    switch (task->state) {
    case BOOT_LAUNCH: launch(task, data); return;
    case BOOT_RECOVERY:
        if (pg_cell_bool(task->answer.results[0], 0, 0)) {
            task->state = BOOT_RECOVERY_WAITED;
            pg_task_wait(task, RECOVERY_LOOK_MS);
        } else {
            make_accounts(task);
        }
        return;
    case BOOT_RECOVERY_WAITED: look_recovery(task); return;
    case BOOT_QUIET:
        (void)snprintf(data->encryption, sizeof data->encryption, "%s",
                       pg_cell(task->answer.results[0], 0, 0));
        task->state = BOOT_ROLES;
        pg_task_query(task, "SELECT rolname FROM pg_catalog.pg_roles");
        return;
    case BOOT_ROLES:
        if (is_custom(data)) {
            alter_known(data, task->answer.results[0]);
        }
        task->state = BOOT_SQL;
        __attribute__((fallthrough));
    case BOOT_SQL:
        if (data->next < data->statement_count) {
            ask_next(task, data);
            return;
        }
        accounts_made(task, data);
        return;
    case BOOT_POST: post_ended(task); return;
    case BOOT_ASKED:
        data->system_id = pg_cell_u64(task->answer.results[0], 0, 0);
        task->state = BOOT_UNMARKED;
        pg_task_work(task, unmark_work, data);
        return;
    case BOOT_UNMARKED: pg_task_end(task); return;
    default: wait_gone(task, data); return;
    }
}

int pg_instance_bootstrap(struct pg_instance *instance, const struct pg_bootstrap *bootstrap,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "bootstrap",
                                           .job = PG_JOB_BOOTSTRAP,
                                           .step = boot_step,
                                           .undo = boot_undo,
                                           .undo_files = undo_work,
                                           .release = boot_release};
    struct boot_data *data = mem_new(struct boot_data);
    struct pg_task scratch = {.data = data};

    data->data_dir = instance->config.data_dir;
    data->marker_path = instance->marker_path;
    data->unannounced_path = instance->unannounced_path;
    data->method = pg_method_dup(bootstrap->method);
    data->method_command = pg_method_command(&data->method, "custom bootstrap");
    data->post_init = pg_command_dup(bootstrap->post_init);
    data->password = is_custom(data) ? NULL : instance->config.superuser.password;
    data->own_hba = instance->config.pg_hba.count == 0;
    pg_initdb_pwfile(instance, data->pwfile);
    data->initdb = pg_lines_dup(&bootstrap->initdb);
    data->pg_hba = pg_lines_dup(&bootstrap->pg_hba);
    pg_look_begin(&data->look, instance);
    int rc = bootstrap->user_count > PG_USERS_MAX
                 ? error_set(err, ERR_LIMIT, "bootstrap.users: at most %d", PG_USERS_MAX)
                 : make_statements(data, instance, bootstrap, err);
    rc = rc != 0 ? rc : pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        boot_release(&scratch);
        mem_free(data);
    }
    return rc;
}
