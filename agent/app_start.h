/* What the agent and a witness begin with alike: the file, the log as it says, the signals, and the
 * time that everything may take to close. */
#ifndef AGENT_APP_START_H
#define AGENT_APP_START_H

#include "agent/config/config.h"

#include <stddef.h>
#include <uv.h>

/* config_load or config_load_witness. */
typedef int (*app_start_load_fn)(const char *path, struct config *ret_config,
                                 struct config_warnings *warnings, struct error *err);

/* Warnings and the reason of a failure go to the log. From here on JSON is made by our allocator,
 * and there are open files for a crowd of clients and the rest. */
int app_start_load(app_start_load_fn load, const char *path, struct config *ret_config) MUST_CHECK;

/* The same up to there, and nothing is begun: whether a program that is executed in place of
 * another would start on it, and be the same one (agent/reexec_check.h). Why not goes to standard
 * error. */
int app_start_check(app_start_load_fn load, const char *path, struct config *ret_config) MUST_CHECK;

/* This program, and the fence beside it; both of PG_PATH_BYTES. */
int app_start_programs(char *ret_self, char *ret_fence, struct error *err) MUST_CHECK;

/* Whether the file that the log is to go to can be opened; may block. `err` names key and file. */
int app_start_check_log(const struct config *config, struct error *err) MUST_CHECK;

/* Warnings of a configuration, to the log. */
void app_start_tell(const struct config_warnings *warnings);

/* Makes the directory that `key` of the configuration names, and those above it that are not there.
 */
int app_start_directory(const char *key, const char *path, struct error *err) MUST_CHECK;

struct app_signals {
    uv_signal_t handles[4];
    size_t count;
};

/* SIGTERM, SIGINT, SIGHUP and SIGUSR2; `data` of the handle is `arg`. */
void app_start_signals(uv_loop_t *loop, struct app_signals *signals, uv_signal_cb on_signal,
                       void *arg);
void app_start_signals_close(struct app_signals *signals);

/* From now on the process has that long to close what is open; afterwards it exits with 1 whatever
 * is left. Again: the time counts anew. `timer` is initialized. */
void app_start_close_within(uv_timer_t *timer, uint64_t ms);

/* _exit() behind the last lines of the log, where an orderly end is not to be had. */
void app_start_exit_now(int status) __attribute__((noreturn));

/* Turns the loop until nothing is open, and closes it. */
void app_start_turn(uv_loop_t *loop);

#endif
