/* The loops differ in what they open; how they begin and end is the same, and stands here once. */
#include "agent/app_start.h"

#include "agent/app_descriptors.h"
#include "agent/config/config_identity.h"
#include "agent/reexec_check.h"
#include "agent/reexec_signals.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgctl/pg_types.h"

#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_OPEN_MS 1000

void app_start_tell(const struct config_warnings *warnings)
{
    for (size_t i = 0; i < warnings->count && i < CONFIG_WARNINGS_MAX; i++) {
        log_warning("%s", warnings->texts[i]);
    }
    if (warnings->count > CONFIG_WARNINGS_MAX) {
        log_warning("the configuration has %zu more warnings, which are not shown",
                    warnings->count - CONFIG_WARNINGS_MAX);
    }
}

int app_start_check_log(const struct config *config, struct error *err)
{
    struct log_file file;
    int rc = 0;
    if (config->log->file.dir[0] != '\0') {
        rc = log_file_open(&file, &config->log->file, err);
        log_file_close(&file);
    }
    if (rc != 0) {
        error_wrap(err, "%s", config->path);
    }
    return rc;
}

/* By the log's own thread: a disk that stands still keeps no agent from starting. */
static int wait_for_log(const struct config *config, struct error *err)
{
    char why[LOG_FILE_WHY_BYTES];
    switch (log_file_wait(LOG_OPEN_MS, why)) {
    case LOG_FILE_OPEN: break;
    case LOG_FILE_REFUSED: return error_set(err, ERR_IO, "%s: %s", config->path, why);
    case LOG_FILE_UNANSWERED:
        log_warning("log.dir: the disk of '%s' has not answered in %d ms: the log is written when "
                    "it does, and until then what there is no room for is lost",
                    config->log->file.dir, LOG_OPEN_MS);
        break;
    }
    return 0;
}

int app_start_load(app_start_load_fn load, const char *path, struct config *ret_config)
{
    struct config_warnings warnings = {0};
    struct error err = {0};
    json_set_alloc_funcs(mem_try, mem_free);
    int rc = load(path, ret_config, &warnings, &err);

    if (rc == 0) {
        log_configure(ret_config->log);
    }
    int no_writer = log_start_writer();
    if (no_writer != 0) {
        log_warning("no thread for the log: %s; a log that stands still will hold up all else",
                    strerror(no_writer));
    }
    if (rc == 0) {
        rc = wait_for_log(ret_config, &err);
        if (rc != 0) {
            config_free(ret_config);
        }
    }
    app_start_tell(&warnings);
    config_warnings_free(&warnings);
    if (rc != 0) {
        log_error("%s", err.text);
    } else {
        app_descriptors_provide();
    }
    return rc;
}

int app_start_check(app_start_load_fn load, const char *path, struct config *ret_config)
{
    struct config_warnings warnings = {0};
    struct error err = {0};
    json_set_alloc_funcs(mem_try, mem_free);
    const char *running = reexec_check_running();
    int rc = load(path, ret_config, &warnings, &err);
    if (rc == 0) {
        rc = running == NULL ? 0 : config_identity_check(ret_config, running, &err);
        rc = rc != 0 ? rc : app_start_check_log(ret_config, &err);
        if (rc != 0) {
            config_free(ret_config);
        }
    }
    config_warnings_free(&warnings);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    return rc;
}

int app_start_programs(char *ret_self, char *ret_fence, struct error *err)
{
    char copy[PG_PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", ret_self, PG_PATH_BYTES - 1);
    if (len <= 0) {
        return error_set(err, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    }
    ret_self[len] = '\0';
    memcpy(copy, ret_self, (size_t)len + 1);
    int need = snprintf(ret_fence, PG_PATH_BYTES, "%s/pgquorum-fence", dirname(copy));
    if (need < 0 || need >= PG_PATH_BYTES || access(ret_fence, X_OK) != 0) {
        return error_set(err, ERR_NOT_FOUND, "%s cannot be executed: install it beside pgquorum",
                         ret_fence);
    }
    return 0;
}

int app_start_directory(const char *key, const char *path, struct error *err)
{
    struct stat found;
    char *part = mem_strdup(path);
    int failed = 0;
    for (char *slash = part; slash != NULL && stat(path, &found) != 0;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
        failed = mkdir(part, 0700) == 0 ? 0 : errno; /* of the last one */
        if (slash != NULL) {
            *slash = '/';
        }
    }
    mem_free(part);
    if (stat(path, &found) != 0) {
        failed = failed != 0 ? failed : errno;
        return error_set(err, err_from_errno(failed),
                         "%s: making '%s': %s: make it, for the user of pgquorum, or give another",
                         key, path, strerror(failed));
    }
    return S_ISDIR(found.st_mode)
               ? 0
               : error_set(err, ERR_INVALID, "%s: '%s' is no directory: give another", key, path);
}

void app_start_signals(uv_loop_t *loop, struct app_signals *signals, uv_signal_cb on_signal,
                       void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    _Static_assert(sizeof(numbers) / sizeof(numbers[0]) ==
                       sizeof(signals->handles) / sizeof(signals->handles[0]),
                   "a handle for each signal");
    signals->count = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uv_signal_t *handle = &signals->handles[signals->count];
        handle->data = arg;
        if (uv_signal_init(loop, handle) == 0) {
            signals->count++;
            (void)uv_signal_start(handle, on_signal, numbers[i]);
        }
    }
    reexec_signals_take();
}

void app_start_signals_close(struct app_signals *signals)
{
    for (size_t i = 0; i < signals->count; i++) {
        uv_close((uv_handle_t *)&signals->handles[i], NULL);
    }
}

void app_start_exit_now(int status)
{
    (void)log_flush(LOG_FLUSH_MS);
    _exit(status);
}

static void on_late(uv_timer_t *timer)
{
    (void)timer;
    log_error("something did not close in time, exiting all the same");
    app_start_exit_now(1);
}

void app_start_close_within(uv_timer_t *timer, uint64_t ms)
{
    (void)uv_timer_start(timer, on_late, ms, 0);
}

void app_start_turn(uv_loop_t *loop)
{
    (void)uv_run(loop, UV_RUN_DEFAULT);
    if (uv_loop_close(loop) != 0) {
        log_warning("a handle was left open at exit");
    }
}
