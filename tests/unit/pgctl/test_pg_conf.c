/* The texts that PostgreSQL reads, looked at as text: what may stand in them, what is ours, and in
 * which order. test_pg_conf_real.c lets PostgreSQL read them. */
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/conf/pg_controlled.h"
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pg_conf plain_conf(void)
{
    return (struct pg_conf){.scope = "demo", .member = "n1", .listen = "127.0.0.1", .port = 5433};
}

/* The conf's text; mem_free. */
static char *conf_text(const struct pg_conf *conf)
{
    struct buf out = BUF_INIT;
    pg_conf_put(&out, conf);
    return buf_take(&out);
}

static size_t lines_with(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += line != text;
        count += strncmp(line, start, strlen(start)) == 0;
    }
    return count;
}

static void a_later_setting_of_the_same_name_wins_in_any_case(void **state)
{
    const struct pg_parameter items[] = {
        {"work_mem", "1MB"}, {"Work_Mem", "2MB"}, {"WORK_MEM", "3MB"}};
    struct pg_conf conf = plain_conf();
    (void)state;
    conf.parameters = (struct pg_parameters){items, 3};
    char *text = conf_text(&conf);
    assert_non_null(strstr(text, "\nWORK_MEM = '3MB'\n"));
    assert_int_equal(lines_with(text, "work_mem") + lines_with(text, "Work_Mem"), 0);
    mem_free(text);
}

static void settings_are_sorted_behind_the_base_file(void **state)
{
    const struct pg_parameter items[] = {{"work_mem", "1MB"}, {"archive_mode", "on"}};
    struct pg_conf conf = plain_conf();
    (void)state;
    conf.parameters = (struct pg_parameters){items, 2};
    char *text = conf_text(&conf);
    const char *const order[] = {"include 'postgresql.base.conf'\n",
                                 "\narchive_mode = 'on'\n",
                                 "\ncluster_name = 'demo'\n",
                                 "\nport = '5433'\n",
                                 "\nwork_mem = '1MB'\n",
                                 "\n# recovery\n",
                                 "\ninclude 'postgresql.sync.conf'\n"};
    const char *last = text;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *at = strstr(text, order[i]);
        assert_non_null(at);
        assert_true(at > last);
        last = at;
    }
    assert_non_null(strstr(text, "\nwal_retrieve_retry_interval = '100ms'\n"));
    mem_free(text);
}

static void a_users_retry_interval_beats_our_default(void **state)
{
    const struct pg_parameter items[] = {{"wal_retrieve_retry_interval", "1s"}};
    struct pg_conf conf = plain_conf();
    (void)state;
    conf.parameters = (struct pg_parameters){items, 1};
    char *text = conf_text(&conf);
    assert_int_equal(lines_with(text, "wal_retrieve_retry_interval"), 1);
    assert_non_null(strstr(text, "\nwal_retrieve_retry_interval = '1s'\n"));
    mem_free(text);
}

/* Every name that is ours, from either list, in two spellings: written once, with our value. */
static void what_is_ours_is_not_taken_from_users(void **state)
{
    static const char *const names[] = {"listen_addresses",
                                        "PORT",
                                        "cluster_name",
                                        "primary_conninfo",
                                        "primary_slot_name",
                                        "hba_file",
                                        "ident_file",
                                        "data_directory",
                                        "config_file",
                                        "trigger_file",
                                        "wal_keep_segments",
                                        "external_pid_file",
                                        "recovery_target_xid",
                                        "include",
                                        "INCLUDE_DIR",
                                        "include_if_exists",
                                        "Recovery_Target_Action",
                                        "recovery_target_timeline",
                                        "promote_trigger_file"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct pg_parameter item = {names[i], "of a user"};
        struct pg_conf conf = plain_conf();
        conf.parameters = (struct pg_parameters){&item, 1};
        conf.recovery_conf = (struct pg_parameters){&item, 1};
        assert_true(pg_controlled_is_ours(names[i]));
        char *text = conf_text(&conf);
        assert_null(strstr(text, "of a user"));
        mem_free(text);
    }
    assert_false(pg_controlled_is_ours("recovery_min_apply_delay"));
    assert_false(pg_controlled_is_ours("includes"));
}

static void recovery_settings_are_the_upstream_and_what_users_add(void **state)
{
    const struct pg_parameter items[] = {{"restore_command", "cp '/a/%f' \"%p\""},
                                         {"standby_mode", "on"},
                                         {"STANDBY_MODE", "on"},
                                         {"max_connections", "7"},
                                         {"recovery_min_apply_delay", "5min"}};
    struct pg_conf conf = plain_conf();
    (void)state;
    conf.member = "it's n\\1";
    conf.slot_name = "n1";
    conf.recovery_conf = (struct pg_parameters){items, 5};
    char *text = conf_text(&conf);
    const char *recovery = strstr(text, "\n# recovery\n");
    assert_non_null(recovery);
    assert_string_equal(recovery,
                        "\n# recovery\n"
                        "primary_conninfo = 'service=pgquorum application_name=''it\\\\''s "
                        "n\\\\\\\\1'''\n"
                        "primary_slot_name = 'n1'\n"
                        "recovery_target_timeline = 'latest'\n"
                        "recovery_target = ''\nrecovery_target_lsn = ''\n"
                        "recovery_target_name = ''\nrecovery_target_time = ''\n"
                        "recovery_target_xid = ''\n"
                        "restore_command = 'cp ''/a/%f'' \"%p\"'\n"
                        "recovery_min_apply_delay = '5min'\n"
                        "\n# who confirms commits\ninclude 'postgresql.sync.conf'\n");
    mem_free(text);
    conf.slot_name = NULL;
    text = conf_text(&conf);
    assert_non_null(strstr(text, "\nprimary_slot_name = ''\n"));
    mem_free(text);
    conf.slot_name = "n1";
    conf.nostream = true;
    text = conf_text(&conf);
    assert_non_null(
        strstr(text, "\nprimary_conninfo = ''\nprimary_slot_name = ''\nrecovery_target_timeline"));
    mem_free(text);
}

/* Names that only 17 knows, and only there where its worker can do anything. */
static void a_member_that_keeps_logical_slots_gives_feedback(void **state)
{
    const struct pg_parameter items[] = {{"Hot_Standby_Feedback", "off"}};
    struct pg_conf conf = plain_conf();
    (void)state;
    conf.parameters = (struct pg_parameters){items, 1};
    conf.slot_name = "n1";
    conf.database = "it's";
    char *text = conf_text(&conf);
    assert_null(strstr(text, "hot_standby_feedback"));
    mem_free(text);
    conf.keeps_logical = true;
    conf.decodes = true;
    for (conf.major = 13; conf.major <= 17; conf.major++) {
        bool native = conf.major == 17;
        text = conf_text(&conf);
        assert_non_null(strstr(text, "\nhot_standby_feedback = 'on'\n"));
        assert_int_equal(lines_with(text, "Hot_Standby_Feedback"), 0);
        assert_int_equal(strstr(text, "\nsync_replication_slots = 'on'\n") != NULL, native);
        assert_int_equal(strstr(text, " dbname=''it\\\\''s''") != NULL, native);
        mem_free(text);
    }
    conf.major = 17;
    conf.decodes = false; /* it would end itself */
    text = conf_text(&conf);
    assert_non_null(strstr(text, "\nhot_standby_feedback = 'on'\n"));
    assert_null(strstr(text, "sync_replication_slots"));
    assert_null(strstr(text, "dbname"));
    mem_free(text);
    conf.decodes = true;
    conf.nostream = true;
    text = conf_text(&conf);
    assert_null(strstr(text, "sync_replication_slots"));
    mem_free(text);
    conf.nostream = false;
    conf.slot_name = NULL;
    text = conf_text(&conf);
    assert_null(strstr(text, "sync_replication_slots"));
    assert_null(strstr(text, "dbname"));
    mem_free(text);
}

/* All that is written without a user's wish. Each name is one that every version from 13 to 17
 * knows: with an unknown one a postmaster does not start. A new name has to be looked up in all of
 * them. */
static void only_settings_that_every_version_knows_are_written(void **state)
{
    static const char *const known[] = {
        "cluster_name", "hot_standby", "listen_addresses", "max_connections",
        "max_locks_per_transaction", "max_prepared_transactions", "max_replication_slots",
        "max_wal_senders", "max_worker_processes", "port", "track_commit_timestamp",
        "wal_keep_size", "wal_level", "wal_log_hints", "wal_retrieve_retry_interval",
        /* recovery */
        "primary_conninfo", "primary_slot_name", "recovery_target_timeline", "recovery_target",
        "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
        "recovery_target_xid"};
    struct pg_conf conf = plain_conf();
    (void)state;
    char *text = conf_text(&conf);
    size_t count = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        char *equals = strstr(line, " = ");
        if (line[0] == '#' || equals == NULL) {
            continue;
        }
        *equals = '\0';
        assert_in_range(count, 0, sizeof known / sizeof known[0] - 1);
        assert_string_equal(line, known[count]);
        count++;
    }
    assert_int_equal(count, sizeof known / sizeof known[0]);
    mem_free(text);
}

/* It would promote a standby that does not have the leader key, whatever file it is named in. */
static void trigger_file_is_blanked_where_there_is_one(void **state)
{
    (void)state;
    for (int major = 13; major <= 17; major++) {
        struct pg_conf conf = plain_conf();
        conf.major = major;
        char *text = conf_text(&conf);
        const char *at = strstr(text, "\npromote_trigger_file = ''\n");
        assert_int_equal(at != NULL, major < 16);
        assert_true(at == NULL || at > strstr(text, "\ninclude 'postgresql.base.conf'\n"));
        mem_free(text);
    }
}

/* As many as the check lets through; one more is refused by name of the limit. */
static void the_largest_number_of_settings_is_written_whole(void **state)
{
    static struct pg_parameter items[PG_PARAMETERS_MAX + 1];
    static char names[PG_PARAMETERS_MAX + 1][24];
    struct pg_conf conf = plain_conf();
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i <= PG_PARAMETERS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "own.setting_%04zu", i);
        items[i] = (struct pg_parameter){names[i], "x"};
    }
    conf.parameters = (struct pg_parameters){items, PG_PARAMETERS_MAX + 1};
    assert_int_equal(pg_parameters_check(&conf.parameters, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "513 settings, at most 512"));
    conf.parameters.count = PG_PARAMETERS_MAX;
    assert_int_equal(pg_parameters_check(&conf.parameters, &err), 0);
    char *text = conf_text(&conf);
    assert_int_equal(lines_with(text, "own.setting_"), PG_PARAMETERS_MAX);
    assert_int_equal(lines_with(text, "port = "), 1);
    assert_int_equal(lines_with(text, "cluster_name = "), 1);
    mem_free(text);
}

static void a_long_value_is_not_cut(void **state)
{
    struct pg_conf conf = plain_conf();
    char *value = mem_alloc(100001);
    (void)state;
    memset(value, '\'', 100000);
    const struct pg_parameter item = {"archive_command", value};
    conf.parameters = (struct pg_parameters){&item, 1};
    char *text = conf_text(&conf);
    const char *line = strstr(text, "\narchive_command = ");
    assert_non_null(line);
    assert_int_equal(strspn(line + strlen("\narchive_command = "), "'"), 200002);
    mem_free(text);
    mem_free(value);
}

/* --- names and values that users give --------------------------------------------------------- */

static void check_one(const char *name, const char *value, int expected, const char *words)
{
    const struct pg_parameter item = {name, value};
    const struct pg_parameters parameters = {&item, 1};
    struct error err = {0};
    int rc = pg_parameters_check(&parameters, &err);
    if (rc != expected) {
        fail_msg("%s = '%s': %d (%s), not %d", name, value, rc, err.text, expected);
    }
    if (words != NULL && strstr(err.text, words) == NULL) {
        fail_msg("%s = '%s': no '%s' in '%s'", name, value, words, err.text);
    }
}

static void a_name_is_one_word_or_two_with_a_dot(void **state)
{
    static const char *const good[] = {"a", "_", "work_mem", "Z9", "a.b", "_a._9", "pg_stat.x"};
    static const char *const bad[] = {
        "",   "9",   ".",    ".a", "a.", "a..b", "a.9",      "a.b.c", "a b", "a-b",  "a=b",
        "a'", "a$b", "a\nb", "#a", " a", "a ",   "\xC3\xA4", "a\\",   "a;b", "a.b.", "a\x7F"};
    char long_name[PG_VALUE_BYTES + 1] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        check_one(good[i], "x", 0, NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_one(bad[i], "x", ERR_INVALID, "is no name of a setting");
    }
    memset(long_name, 'a', PG_VALUE_BYTES - 1);
    check_one(long_name, "x", 0, NULL);
    memset(long_name, 'a', PG_VALUE_BYTES);
    check_one(long_name, "x", ERR_INVALID, "is no name of a setting");
}

/* Every byte, alone and in the middle: a line holds all but the control characters. */
static void no_control_character_gets_into_a_line(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char alone[] = {(char)c, '\0'};
        const char within[] = {'a', (char)c, 'b', '\0'};
        bool good = c == '\t' || c >= 0x20;
        assert_int_equal(pg_conf_is_line(alone), good);
        assert_int_equal(pg_conf_is_line(within), good);
        check_one("archive_command", within, good ? 0 : ERR_INVALID,
                  good ? NULL : "archive_command has a line break or a control character");
    }
    assert_true(pg_conf_is_line(""));
}

static void controlled_numbers_are_whole_and_within_postgresqls_bounds(void **state)
{
    static const char *const never[] = {"",      " ",    "x",    "1e3",
                                        "100.0", "0x64", "100 ", "--1",
                                        "-1",    "on",   "100;", "99999999999999999999"};
    char text[32];
    size_t numbers = 0;
    (void)state;
    for (size_t i = 0; i < pg_controlled_count; i++) {
        const struct pg_controlled *row = &pg_controlled[i];
        if (row->kind != PG_VALUE_NUMBER) {
            continue;
        }
        numbers++;
        const long tried[] = {row->min - 1, row->min, row->max, row->max + 1};
        for (size_t k = 0; k < 4; k++) {
            (void)snprintf(text, sizeof text, "%ld", tried[k]);
            check_one(row->name, text, k == 1 || k == 2 ? 0 : ERR_INVALID, NULL);
        }
        for (size_t k = 0; k < sizeof never / sizeof never[0]; k++) {
            check_one(row->name, never[k], ERR_INVALID, row->name);
        }
        check_one(row->name, row->fallback, 0, NULL);
    }
    assert_int_equal(numbers, 6);
    check_one("MAX_CONNECTIONS", "24", ERR_INVALID,
              "postgresql.parameters.max_connections is '24': give a whole number, 25 to 262143");
}

static void controlled_switches_take_words_for_on_and_off(void **state)
{
    static const char *const on[] = {"on", "true", "yes", "1", "ON", "True"};
    static const char *const off[] = {"off", "false", "no", "0", "OFF", "No"};
    static const char *const neither[] = {"", "of", "t", "2", "on ", "enabled"};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        check_one("wal_log_hints", on[i], 0, NULL);
        check_one("wal_log_hints", off[i], 0, NULL);
        check_one("track_commit_timestamp", neither[i], ERR_INVALID, "give on or off");
        check_one("hot_standby", on[i], 0, NULL);
        check_one("hot_standby", off[i], ERR_INVALID, "standbys must answer questions");
        check_one("hot_standby", neither[i], ERR_INVALID, "standbys must answer questions");
    }
}

static void the_wal_level_is_one_that_standbys_can_use(void **state)
{
    (void)state;
    check_one("wal_level", "replica", 0, NULL);
    check_one("WAL_LEVEL", "Logical", 0, NULL);
    check_one("wal_level", "hot_standby", 0, NULL);
    check_one("wal_level", "minimal", ERR_INVALID, "give replica or logical");
    check_one("wal_level", "", ERR_INVALID, "give replica or logical");
    check_one("wal_keep_size", "1GB", 0, NULL);
}

static void the_first_wrong_setting_of_many_is_named(void **state)
{
    const struct pg_parameter items[] = {
        {"work_mem", "1MB"}, {"max_wal_senders", "2"}, {"bad name", "x"}};
    const struct pg_parameters parameters = {items, 3};
    (void)state;
    struct error err = {0};
    assert_int_equal(pg_parameters_check(&parameters, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "max_wal_senders is '2'"));
    assert_int_equal(pg_parameters_check(&parameters, NULL), ERR_INVALID);
    assert_int_equal(pg_parameters_check(&(struct pg_parameters){0}, &err), 0);
}

/* --- controlled settings ---------------------------------------------------------------------- */

static void a_setting_that_is_not_controlled_has_no_controlled_value(void **state)
{
    struct pg_conf conf = plain_conf();
    char value[PG_VALUE_BYTES];
    (void)state;
    assert_null(pg_conf_controlled(&conf, "work_mem", value));
    assert_null(pg_controlled_find("max_connection"));
    assert_ptr_equal(pg_controlled_find("Max_Connections"), pg_controlled_find("max_connections"));
}

static void a_controlled_value_is_the_users_or_the_default(void **state)
{
    const struct pg_parameter items[] = {
        {"max_connections", "200"}, {"wal_level", "HOT_STANDBY"}, {"Max_Connections", "300"}};
    struct pg_conf conf = plain_conf();
    char value[PG_VALUE_BYTES];
    (void)state;
    for (size_t i = 0; i < pg_controlled_count; i++) {
        assert_string_equal(pg_conf_controlled(&conf, pg_controlled[i].name, value),
                            pg_controlled[i].fallback);
    }
    conf.parameters = (struct pg_parameters){items, 3};
    assert_string_equal(pg_conf_controlled(&conf, "MAX_CONNECTIONS", value), "300");
    assert_string_equal(pg_conf_controlled(&conf, "wal_level", value), "replica");
    assert_string_equal(pg_conf_controlled(&conf, "max_wal_senders", value), "10");
}

/* The five settings of which a standby needs as much as its primary had; each with a control file
 * that says less, as much, and more; on a standby, on a primary, and without a control file. */
static void only_a_standby_is_raised_to_the_control_file(void **state)
{
    static const char *const names[] = {"max_connections", "max_locks_per_transaction",
                                        "max_prepared_transactions", "max_wal_senders",
                                        "max_worker_processes"};
    char value[PG_VALUE_BYTES];
    char given[16];
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        for (int floor = 99; floor <= 101; floor++) {
            struct pg_control control = {.max_connections = 1, .max_locks_per_transaction = 1};
            int *const fields[] = {&control.max_connections, &control.max_locks_per_transaction,
                                   &control.max_prepared_transactions, &control.max_wal_senders,
                                   &control.max_worker_processes};
            const struct pg_parameter item = {names[i], "100"};
            struct pg_conf conf = plain_conf();
            conf.parameters = (struct pg_parameters){&item, 1};
            *fields[i] = floor;
            (void)snprintf(given, sizeof given, "%d", floor > 100 ? floor : 100);

            conf.standby = true;
            assert_string_equal(pg_conf_controlled(&conf, names[i], value), "100");
            conf.control = &control;
            assert_string_equal(pg_conf_controlled(&conf, names[i], value), given);
            conf.standby = false;
            assert_string_equal(pg_conf_controlled(&conf, names[i], value), "100");
        }
    }
    struct pg_control control = {.max_connections = 1000};
    struct pg_conf conf = plain_conf();
    conf.standby = true;
    conf.control = &control;
    assert_string_equal(pg_conf_controlled(&conf, "max_replication_slots", value), "10");
    assert_string_equal(pg_conf_controlled(&conf, "wal_log_hints", value), "on");
}

/* What runs is compared with what is configured, also where the control file keeps a standby from
 * it: that it waits is to be seen until it is done. */
static void what_waits_for_a_restart_is_what_runs_otherwise(void **state)
{
    static const struct pg_parameter items[] = {
        {"max_connections", "60"}, {"wal_log_hints", "true"}, {"wal_level", "hot_standby"}};
    struct pg_control control = {.max_connections = 100};
    struct pg_conf conf = plain_conf();
    char value[PG_VALUE_BYTES];
    (void)state;
    conf.parameters = (struct pg_parameters){items, 3};
    conf.standby = true;
    conf.control = &control;
    assert_true(pg_conf_differs(&conf, "max_connections", "100", value));
    assert_string_equal(value, "60");
    assert_false(pg_conf_differs(&conf, "max_connections", "60", value));
    assert_false(pg_conf_differs(&conf, "wal_log_hints", "on", value));
    assert_true(pg_conf_differs(&conf, "wal_log_hints", "off", value));
    assert_string_equal(value, "true");
    assert_false(pg_conf_differs(&conf, "wal_level", "replica", value));
    assert_true(pg_conf_differs(&conf, "wal_level", "logical", value));
    assert_true(pg_conf_differs(&conf, "max_worker_processes", "9", value)); /* the default */
    assert_string_equal(value, "8");
    assert_false(pg_conf_differs(&conf, "wal_keep_size", "1GB", value)); /* in the file only */
    assert_false(pg_conf_differs(&conf, "shared_buffers", "128MB", value));
    assert_false(pg_conf_differs(&conf, "listen_addresses", "elsewhere", value));
}

static size_t free_all(char **arguments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mem_free(arguments[i]);
        arguments[i] = NULL;
    }
    return count;
}

static void the_command_line_has_every_controlled_setting_once(void **state)
{
    const struct pg_parameter items[] = {{"max_connections", "200"}, {"wal_keep_size", "1GB"}};
    struct pg_conf conf = plain_conf();
    char *arguments[PG_CONF_ARGS_MAX];
    (void)state;
    conf.parameters = (struct pg_parameters){items, 2};
    conf.scope = "my 'demo'";
    static const char *const expected[] = {"--hot_standby=on",
                                           "--max_connections=200",
                                           "--max_locks_per_transaction=64",
                                           "--max_prepared_transactions=0",
                                           "--max_replication_slots=10",
                                           "--max_wal_senders=10",
                                           "--max_worker_processes=8",
                                           "--track_commit_timestamp=off",
                                           "--wal_level=replica",
                                           "--wal_log_hints=on",
                                           "--listen_addresses=127.0.0.1",
                                           "--port=5433",
                                           "--cluster_name=my 'demo'"};
    size_t count = pg_conf_arguments(&conf, arguments, PG_CONF_ARGS_MAX);
    assert_int_equal(count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(arguments[i], expected[i]);
    }
    (void)free_all(arguments, count);
    for (size_t room = 0; room < sizeof expected / sizeof expected[0]; room++) {
        count = pg_conf_arguments(&conf, arguments, room);
        assert_in_range(count, 0, room);
        (void)free_all(arguments, count);
    }
}

/* --- the other files -------------------------------------------------------------------------- */

static void filtered(const char *before, size_t len, const char *expected)
{
    struct buf out = BUF_INIT;
    pg_conf_filter_auto(&out, span_of(before, len));
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static void our_settings_leave_postgresql_auto_conf_however_they_are_written(void **state)
{
    static const char *const ours[] = {"port = '1'\n",       "PORT='1'\n",
                                       " \tport\t1 \r\n",    "port'1'\n",
                                       "port#'1'\n",         "primary_conninfo = 'x=y'",
                                       "Recovery_Target=''", "include 'x'\n",
                                       "cluster_name\n",     "promote_trigger_file = '/x'\n"};
    static const char *const kept[] = {
        "work_mem = '1MB'\n", "work_mem = 'port = 1'", "# port = 1\n",       "\n",     "  \n",
        "ports = 1\n",        "port.a = 1\n",          "port\xC3\xA4 = 1\n", "9port\n"};
    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        filtered(ours[i], strlen(ours[i]), "");
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        filtered(kept[i], strlen(kept[i]), kept[i]);
    }
    filtered("", 0, "");
    static const char whole[] = "# Do not edit\nwork_mem = '1MB'\nport = 5\njit = 'off'\n";
    filtered(whole, strlen(whole), "# Do not edit\nwork_mem = '1MB'\njit = 'off'\n");
}

static void
a_line_of_auto_conf_that_is_too_long_to_be_read_is_still_kept_or_dropped_whole(void **state)
{
    struct buf text = BUF_INIT;
    struct buf out = BUF_INIT;
    (void)state;
    buf_put_str(&text, "primary_conninfo = '");
    for (int i = 0; i < 3000; i++) {
        buf_put_str(&text, "x");
    }
    buf_put_str(&text, "'\n");
    size_t first = text.len;
    buf_put_str(&text, "archive_command = '");
    for (int i = 0; i < 3000; i++) {
        buf_put_str(&text, "y");
    }
    buf_put_str(&text, "'\n");
    pg_conf_filter_auto(&out, buf_span(&text));
    assert_true(span_equal(buf_span(&out), span_of(text.data + first, text.len - first)));
    buf_free(&text);
    buf_free(&out);
}

static void a_service_names_the_upstream_and_what_is_given(void **state)
{
    struct buf out = BUF_INIT;
    struct pg_service service = {
        .host = "10.0.0.2", .port = 5432, .user = "replicator", .passfile = "/p"};
    (void)state;
    pg_conf_service(&out, &service);
    assert_int_equal(lines_with(buf_str(&out), "host="), 1);
    assert_non_null(strstr(buf_str(&out), "\n[" PG_SERVICE_NAME "]\nhost=10.0.0.2\nport=5432\n"
                                          "user=replicator\npassfile=/p\n"));
    assert_int_equal(lines_with(buf_str(&out), "ssl"), 0);
    assert_int_equal(lines_with(buf_str(&out), "tcp_user_timeout="), 0);
    assert_int_equal(lines_with(buf_str(&out), "options="), 0);
    assert_int_equal(lines_with(buf_str(&out), "target_session_attrs="), 0);
    buf_clear(&out);
    service.host = "10.0.0.2,10.0.0.3";
    service.primary_only = true;
    pg_conf_service(&out, &service);
    assert_int_equal(lines_with(buf_str(&out), "host=10.0.0.2,10.0.0.3"), 1);
    assert_int_equal(lines_with(buf_str(&out), "target_session_attrs=read-write"), 1);
    static const char *const none[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&out);
        service.user = none[i];
        service.passfile = NULL;
        pg_conf_service(&out, &service);
        assert_int_equal(lines_with(buf_str(&out), "user="), 0);
        assert_int_equal(lines_with(buf_str(&out), "passfile="), 0);
    }
    buf_free(&out);
}

static void a_service_has_what_secures_the_connection(void **state)
{
    struct buf out = BUF_INIT;
    struct pg_security security = {{[PG_SECURITY_SSLMODE] = "verify-full",
                                    [PG_SECURITY_SSLPASSWORD] = "a=b#'c",
                                    [PG_SECURITY_CHANNEL_BINDING] = "require",
                                    [PG_SECURITY_KRBSRVNAME] = "pg"}};
    struct pg_service service = {
        .host = "10.0.0.2", .port = 5432, .security = &security, .receiver = true};
    (void)state;
    pg_conf_service(&out, &service);
    assert_non_null(strstr(buf_str(&out),
                           "\nport=5432\nsslmode=verify-full\nsslpassword=a=b#'c\n"
                           "channel_binding=require\nkrbsrvname=pg\nconnect_timeout=3\n"));
    assert_int_equal(lines_with(buf_str(&out), "sslcert="), 0);
    assert_int_equal(lines_with(buf_str(&out), "options=-c wal_sender_timeout=10s"), 1);
    buf_clear(&out);
    service.host = NULL;
    pg_conf_service(&out, &service);
    assert_null(strstr(buf_str(&out), "ssl"));
    buf_free(&out);
}

static void security_that_would_not_come_through_is_refused(void **state)
{
    static char long_path[902];
    static const char *const bad[] = {"/a\nhost=10.0.0.9", "/a ", "/a\t", "\r"};
    struct pg_security security = {{0}};
    struct error err;
    (void)state;
    assert_int_equal(pg_security_check(&security, "x", 13, "it", &err), 0);
    for (int i = 0; i < PG_SECURITY_COUNT; i++) {
        assert_non_null(pg_security_rows[i].name);
        for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
            security.values[i] = bad[j];
            assert_int_equal(pg_security_check(&security, "x", 17, "it", &err), ERR_INVALID);
            assert_non_null(strstr(err.text, pg_security_rows[i].name));
        }
        memset(long_path, 'x', 900);
        security.values[i] = long_path;
        assert_int_equal(pg_security_check(&security, "x", 17, "it", &err), 0);
        long_path[900] = 'x';
        assert_int_equal(pg_security_check(&security, "x", 17, "it", &err), ERR_INVALID);
        long_path[900] = '\0';
        security.values[i] = NULL;
    }
    security.values[PG_SECURITY_SSLCRLDIR] = "/crl";
    assert_int_equal(pg_security_check(&security, "x", 14, "it", &err), 0);
    assert_int_equal(pg_security_check(&security, "x", 13, "it", &err), ERR_UNSUPPORTED);
    assert_string_equal(err.text, "x.sslcrldir is not known before version 14, and it has version "
                                  "13: take it out");
}

static void a_word_that_is_too_new_is_not_taken_for_a_file(void **state)
{
    struct pg_security security = {{[PG_SECURITY_SSLROOTCERT] = "system"}};
    struct error err;
    (void)state;
    assert_int_equal(pg_security_check(&security, "x", 16, "it", &err), 0);
    assert_int_equal(pg_security_check(&security, "x", 15, "it", &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "x.sslrootcert: 'system' is not known before version 16"));
    security.values[PG_SECURITY_SSLROOTCERT] = "/system";
    assert_int_equal(pg_security_check(&security, "x", 15, "it", &err), 0);
}

static void a_word_is_one_of_a_rows_words_and_no_part_of_one(void **state)
{
    const struct pg_security_row *row = &pg_security_rows[PG_SECURITY_SSLMODE];
    (void)state;
    assert_true(pg_security_has_word(row, "disable"));
    assert_true(pg_security_has_word(row, "verify-full"));
    assert_false(pg_security_has_word(row, "verify"));
    assert_false(pg_security_has_word(row, "verify-full "));
    assert_false(pg_security_has_word(row, ""));
    assert_false(pg_security_has_word(&pg_security_rows[PG_SECURITY_SSLCERT], ""));
}

static void a_detached_service_cannot_connect(void **state)
{
    struct buf out = BUF_INIT;
    struct pg_service service = {.port = 5432, .user = "replicator", .passfile = "/p"};
    (void)state;
    pg_conf_service(&out, &service);
    assert_int_equal(lines_with(buf_str(&out), "host="), 1);
    assert_non_null(strstr(buf_str(&out), "\n[" PG_SERVICE_NAME "]\nhost=/dev/null\nport=1\n"));
    assert_null(strstr(buf_str(&out), "replicator"));
    buf_free(&out);
}

static void every_field_of_a_password_line_is_escaped(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    pg_conf_pgpass(&out, "repl", "secret");
    pg_conf_pgpass(&out, "a:b\\c", "*:\\#");
    pg_conf_pgpass(&out, "*", "");
    pg_conf_pgpass(&out, NULL, "x");
    assert_string_equal(buf_str(&out), "*:*:*:repl:secret\n"
                                       "*:*:*:a\\:b\\\\c:\\*\\:\\\\#\n"
                                       "*:*:*:\\*:\n"
                                       "*:*:*:*:x\n");
    buf_free(&out);
}

static void hba_lines_follow_in_their_order(void **state)
{
    static const char *const items[] = {"local all all trust", "", "# a comment",
                                        "host \"all\" all 0.0.0.0/0 md5"};
    struct pg_lines lines = {items, 4};
    struct buf out = BUF_INIT;
    (void)state;
    pg_conf_lines(&out, &lines);
    assert_string_equal(buf_str(&out), "# Written by pgquorum: do not edit.\n"
                                       "local all all trust\n\n# a comment\n"
                                       "host \"all\" all 0.0.0.0/0 md5\n");
    buf_clear(&out);
    lines.count = 0;
    pg_conf_lines(&out, &lines);
    assert_int_equal(lines_with(buf_str(&out), "#"), 1);
    buf_free(&out);
}

/* The left-out timeline is a history that our own reader takes, and that nobody follows: every
 * position is beyond its point. */
static void a_skipped_timeline_is_before_every_position(void **state)
{
    struct buf out = BUF_INIT;
    struct pg_history history = {0};
    struct pg_local_position local = {.timeline = 7, .lsn = 2};
    struct error err = {0};
    (void)state;
    pg_conf_skipped_history(&out, 7);
    assert_int_equal(pg_history_parse(8, buf_span(&out), &history, &err), 0);
    assert_int_equal(history.count, 1);
    assert_int_equal(pg_divergence_decide(&local, 8, &history, NULL), PG_DIVERGENCE_REWIND);
    pg_history_free(&history);
    buf_free(&out);
}

/* --- quoting and roles ------------------------------------------------------------------------ */

typedef void (*quote_fn)(struct buf *out, const char *value);

static void quoted(quote_fn quote, const char *value, const char *expected)
{
    struct buf out = BUF_INIT;
    quote(&out, value);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static void values_are_quoted_for_where_they_stand(void **state)
{
    (void)state;
    quoted(pg_quote_conf, "", "''");
    quoted(pg_quote_conf, "a'b\\c\"", "'a''b\\\\c\"'");
    quoted(pg_quote_ident, "", "\"\"");
    quoted(pg_quote_ident, "a\"b'\\", "\"a\"\"b'\\\"");
    quoted(pg_quote_literal, "it's", "'it''s'");
    quoted(pg_quote_literal, "it's \\", "E'it''s \\\\'");
    quoted(pg_quote_conninfo, "", "''");
    quoted(pg_quote_conninfo, "it's \\ x", "'it\\'s \\\\ x'");
}

static int role_sql(struct buf *out, const char *const *options, size_t count, struct error *err)
{
    const struct pg_lines lines = {options, count};
    buf_clear(out);
    return pg_conf_role_sql(out, "a\"b", &lines, err);
}

static void a_role_gets_its_options_and_may_log_in(void **state)
{
    static const char *const options[] = {"createdb", "Connection Limit 5", "VALID_x-1"};
    static const char *const no_login[] = {"nologin"};
    static const char *const login[] = {"CREATEROLE", "login"};
    struct buf out = BUF_INIT;
    struct error err = {0};
    (void)state;
    assert_int_equal(role_sql(&out, options, 3, &err), 0);
    assert_string_equal(buf_str(&out), "CREATE ROLE \"a\"\"b\" WITH CREATEDB CONNECTION LIMIT 5 "
                                       "VALID_X-1 LOGIN");
    assert_int_equal(role_sql(&out, no_login, 1, &err), 0);
    assert_string_equal(buf_str(&out), "CREATE ROLE \"a\"\"b\" WITH NOLOGIN");
    assert_int_equal(role_sql(&out, login, 2, &err), 0);
    assert_string_equal(buf_str(&out), "CREATE ROLE \"a\"\"b\" WITH CREATEROLE LOGIN");
    assert_int_equal(role_sql(&out, NULL, 0, &err), 0);
    assert_string_equal(buf_str(&out), "CREATE ROLE \"a\"\"b\" WITH LOGIN");
    buf_free(&out);
}

/* Every character: only letters, digits, '_', '-' and a space can be part of an option. */
static void an_option_of_a_role_cannot_carry_sql(void **state)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- ";
    struct buf out = BUF_INIT;
    struct error err = {0};
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char text[] = {'X', (char)c, 'Y', '\0'};
        const char *const options[] = {text};
        int expected = strchr(allowed, c) != NULL ? 0 : ERR_INVALID;
        assert_int_equal(role_sql(&out, options, 1, &err), expected);
        if (expected != 0) {
            assert_non_null(strstr(err.text, "only words like CREATEDB are allowed"));
        }
    }
    buf_free(&out);
}

/* Settings that name libraries are one: what is written last would take the others' place. */
static void the_guard_is_loaded_beside_what_users_load(void **state)
{
    static const struct {
        const char *given[2];
        const char *written;
    } rows[] = {
        {{NULL}, "\nshared_preload_libraries = 'pgquorum_guard'\n"},
        {{""}, "\nshared_preload_libraries = 'pgquorum_guard'\n"},
        {{"a,b"}, "\nshared_preload_libraries = 'a,b, pgquorum_guard'\n"},
        {{"a", "b"}, "\nshared_preload_libraries = 'b, pgquorum_guard'\n"}, /* the later wins */
        {{"pgquorum_guard, a"}, "\nshared_preload_libraries = 'pgquorum_guard, a'\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct pg_parameter given[] = {{"shared_preload_libraries", rows[i].given[0]},
                                             {"Shared_Preload_Libraries", rows[i].given[1]}};
        size_t count = rows[i].given[0] == NULL ? 0 : rows[i].given[1] == NULL ? 1 : 2;
        struct pg_conf conf = {.scope = "s",
                               .member = "m",
                               .listen = "*",
                               .port = 1,
                               .parameters = {given, count},
                               .guard = true};
        char *text = conf_text(&conf);
        assert_non_null(strstr(text, rows[i].written));
        mem_free(text);
        conf.guard = false;
        text = conf_text(&conf);
        assert_int_equal(strstr(text, "pgquorum_guard") != NULL, i == 4);
        mem_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_a_restart_is_what_runs_otherwise),
        cmocka_unit_test(a_later_setting_of_the_same_name_wins_in_any_case),
        cmocka_unit_test(settings_are_sorted_behind_the_base_file),
        cmocka_unit_test(a_users_retry_interval_beats_our_default),
        cmocka_unit_test(what_is_ours_is_not_taken_from_users),
        cmocka_unit_test(recovery_settings_are_the_upstream_and_what_users_add),
        cmocka_unit_test(a_member_that_keeps_logical_slots_gives_feedback),
        cmocka_unit_test(only_settings_that_every_version_knows_are_written),
        cmocka_unit_test(trigger_file_is_blanked_where_there_is_one),
        cmocka_unit_test(the_largest_number_of_settings_is_written_whole),
        cmocka_unit_test(a_long_value_is_not_cut),
        cmocka_unit_test(a_name_is_one_word_or_two_with_a_dot),
        cmocka_unit_test(no_control_character_gets_into_a_line),
        cmocka_unit_test(controlled_numbers_are_whole_and_within_postgresqls_bounds),
        cmocka_unit_test(controlled_switches_take_words_for_on_and_off),
        cmocka_unit_test(the_wal_level_is_one_that_standbys_can_use),
        cmocka_unit_test(the_first_wrong_setting_of_many_is_named),
        cmocka_unit_test(a_setting_that_is_not_controlled_has_no_controlled_value),
        cmocka_unit_test(a_controlled_value_is_the_users_or_the_default),
        cmocka_unit_test(only_a_standby_is_raised_to_the_control_file),
        cmocka_unit_test(the_command_line_has_every_controlled_setting_once),
        cmocka_unit_test(our_settings_leave_postgresql_auto_conf_however_they_are_written),
        cmocka_unit_test(
            a_line_of_auto_conf_that_is_too_long_to_be_read_is_still_kept_or_dropped_whole),
        cmocka_unit_test(a_service_names_the_upstream_and_what_is_given),
        cmocka_unit_test(a_service_has_what_secures_the_connection),
        cmocka_unit_test(security_that_would_not_come_through_is_refused),
        cmocka_unit_test(a_word_that_is_too_new_is_not_taken_for_a_file),
        cmocka_unit_test(a_word_is_one_of_a_rows_words_and_no_part_of_one),
        cmocka_unit_test(a_detached_service_cannot_connect),
        cmocka_unit_test(every_field_of_a_password_line_is_escaped),
        cmocka_unit_test(hba_lines_follow_in_their_order),
        cmocka_unit_test(a_skipped_timeline_is_before_every_position),
        cmocka_unit_test(values_are_quoted_for_where_they_stand),
        cmocka_unit_test(a_role_gets_its_options_and_may_log_in),
        cmocka_unit_test(an_option_of_a_role_cannot_carry_sql),
        cmocka_unit_test(the_guard_is_loaded_beside_what_users_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
