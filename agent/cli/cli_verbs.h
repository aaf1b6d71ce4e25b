/* The verbs. Each gets its own arguments (argv[0] is the verb) and gives the exit status. Private
 * to agent/cli. */
#ifndef AGENT_CLI_CLI_VERBS_H
#define AGENT_CLI_CLI_VERBS_H

#include "agent/cli/cli_grammar.h"
#include "agent/cli/cli_session.h"
#include "agent/cli/cli_table.h"

#include <stdbool.h>

struct cli {
    const char *program;     /* as it was called */
    const char *config_path; /* -c; NULL = the default */
    const char *dcs_url;     /* -d; NULL = the store of the file */
    long group;              /* --group; negative = not given */
    struct cli_session *session;
};

int cli_list(struct cli *cli, int argc, char **argv);
int cli_topology(struct cli *cli, int argc, char **argv);
int cli_history(struct cli *cli, int argc, char **argv);
int cli_dsn(struct cli *cli, int argc, char **argv);
int cli_version(struct cli *cli, int argc, char **argv);
int cli_switchover(struct cli *cli, int argc, char **argv);
int cli_failover(struct cli *cli, int argc, char **argv);
int cli_reinit(struct cli *cli, int argc, char **argv);
int cli_restart(struct cli *cli, int argc, char **argv);
int cli_flush(struct cli *cli, int argc, char **argv);
int cli_show_config(struct cli *cli, int argc, char **argv);
int cli_edit_config(struct cli *cli, int argc, char **argv);
int cli_pause(struct cli *cli, int argc, char **argv);
int cli_resume(struct cli *cli, int argc, char **argv);
int cli_reload(struct cli *cli, int argc, char **argv);
int cli_reexec(struct cli *cli, int argc, char **argv);
int cli_demote_cluster(struct cli *cli, int argc, char **argv);
int cli_promote_cluster(struct cli *cli, int argc, char **argv);
int cli_query(struct cli *cli, int argc, char **argv);
int cli_remove(struct cli *cli, int argc, char **argv);
int cli_completion(struct cli *cli, int argc, char **argv);
int cli_raft(struct cli *cli, int argc, char **argv);
int cli_import_etcd(struct cli *cli, int argc, char **argv);
int cli_explain(struct cli *cli, int argc, char **argv);

/* --- shared ----------------------------------------------------------------------------------- */

#define CLI_OK    0
#define CLI_ERROR 1
#define CLI_USAGE 2

/* "Error: <text>" on standard error; gives CLI_ERROR. */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, with the verb and where its options are told of; gives CLI_USAGE. */
int cli_wrong_usage(const char *name, const char *text);
/* False, and wrong usage printed: more than `max` arguments follow the options of argv[0]. A name
 * in the wrong place must not be passed over: `switchover batman n2` means n2. */
bool cli_arguments(int argc, char **argv, int index, int max);
/* The next option of argv[0], by its table: its id, -1 = no more, '?' = wrong usage, which was
 * printed. optarg and optind as of getopt. --group goes into `cli`. */
int cli_option(struct cli *cli, int argc, char **argv);
/* The same on any table, and nothing is printed: the fault is text. `first` as the first characters
 * of getopt's. */
int cli_option_next(const struct cli_option *options, const char *first, int argc, char **argv,
                    char *ret_fault, size_t bytes);
/* Opens the session (once). False: the error was printed. */
bool cli_open(struct cli *cli);
/* The cluster that the argument names, else `scope` of the file; NULL: neither does. */
const char *cli_cluster(const struct cli *cli, int argc, char **argv, int index);
/* Prints it on standard output, and frees its rows. Gives the exit status. */
int cli_say_table_take(struct cli_table *table, enum cli_format format);
/* Does the member of that role in the document answer to `-r wanted`? */
bool cli_role_matches(const char *role, const char *wanted);
bool cli_role_is_known(const char *role);
/* Of -w, in seconds. False: it is no number, which was told. */
#define CLI_WATCH_DEFAULT_S 2.0
bool cli_watch_arg(const char *verb, const char *text, double *ret_seconds);
bool cli_format_arg(const char *verb, const char *text, enum cli_format *ret_format);

/* "YYYY-MM-DD HH:MM:SS" of now, with `digits` (0..6) digits of the second. */
#define CLI_TIME_BYTES 64
const char *cli_timestamp(int digits, char *ret_text);
/* A time as people write it, without a zone local: ISO 8601 "2026-11-24T12:00+01:00"; false = not
 * understood. */
bool cli_time_parse(const char *text, char *ret_iso);

/* What member `name`, at `url` (NULL: it has none), would decide if it were asked for `what`
 * ("switchover", "failover", "restart", "reinitialize") with that body. Gives the exit status. */
int cli_tell_decision(const char *name, const char *url, const char *what, const char *body);

/* How long the leader's interface is waited for: it answers when the role has moved, which may take
 * twice max(10 s, loop_wait) of `config` (NULL: the default). */
int64_t cli_switch_wait_ms(const json_t *config);

/* Prints the table of members of `view`. */
int cli_print_members(const struct cli *cli, const struct dcs_view *view, const char *cluster,
                      bool extended, bool topology, enum cli_format format);

/* The same for verbs that are about members, of which `doc` has to have some. */
int cli_print_some(const struct cli *cli, const struct dcs_view *view, const json_t *doc,
                   const char *cluster);

/* Prints it, on a terminal through a pager. Not 0: there is none, or it cannot be run. */
int cli_page(const char *text, struct error *err) MUST_CHECK;

/* --- prompts ---------------------------------------------------------------------------------- */

/* "<text> [default]: "; an empty answer is the default (NULL: ask again). NULL = end of input,
 * "Aborted!" was printed. Free with mem_free. */
char *cli_prompt(const char *text, const char *fallback);
/* The same without a default, and nothing of what is typed is shown on a terminal. */
char *cli_prompt_hidden(const char *text);
enum cli_answer { CLI_NO, CLI_YES, CLI_ABORTED };
/* "<text> [y/N]: " */
enum cli_answer cli_confirm(const char *text);

#endif
