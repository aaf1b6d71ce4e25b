/* The verbs on a real Raft group of one member in a process of its own, and a member's REST
 * interface played by another: what is printed, what is written, which exit status. */
#include "tests/unit/agent_cli/verbs_fixture.h"

#include "raft/engine/log_command.h"

#include <raft.h>

/* --- tests ------------------------------------------------------------------------------------ */

static void list_shows_the_members(void **state)
{
    (void)state;
    assert_int_equal(RUN("list"), 0);
    says(world.out, "+ Cluster: batman (7277694203142172922) ");
    says(world.out, "| n1     | 127.0.0.1:5432 | Leader ");
    assert_int_equal(RUN("list", "-f", "json"), 0);
    says(world.out, "[{\"Cluster\": \"batman\", \"Member\": \"n1\"");
    assert_int_equal(RUN("list", "-t", "-e", "batman"), 0);
    says(world.out, "Pending restart reason");
    assert_int_equal(RUN("list", "another"), 0);
    says(world.out, "+ Cluster: another (uninitialized) ");
    assert_int_equal(RUN("topology"), 0);
    says(world.out, "| + n2 ");
}

static void wrong_usage_is_two(void **state)
{
    (void)state;
    assert_int_equal(RUN("list", "--nonsense"), 2);
    assert_int_equal(RUN("list", "-f", "xml"), 2);
    assert_int_equal(RUN("list", "-w", "soon"), 2);
    assert_int_equal(RUN("nonsense"), 2);
    assert_int_equal(RUN("raft"), 2);
    assert_int_equal(RUN("dsn", "-r", "king"), 2);
    assert_int_equal(RUN("failover", "--leader", "n1"), 2);
    assert_int_equal(run_with("", (const char *[]){"pgquorum", NULL}), 2);
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "--nonsense", NULL}), 2);
}

/* `switchover batman n2` would otherwise move the leader to anybody. */
static void what_a_verb_does_not_take_is_wrong_usage(void **state)
{
    static const char *const verbs[] = {"history",     "dsn",         "switchover", "failover",
                                        "show-config", "edit-config", "explain"};
    (void)state;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        assert_int_equal(RUN(verbs[i], "batman", "n2"), 2);
        says(world.err, "Error: unexpected argument 'n2'; pgquorum ");
        assert_string_equal(world.out, "");
    }
    assert_int_equal(RUN("topology", "--format", "json"), 2);
    assert_int_equal(RUN("topology", "--extended"), 2);
    assert_int_equal(RUN("explain", "-f", "tsv"), 2);
    says(world.err, "'tsv' is no format of explain: give pretty or json");
    assert_int_equal(RUN("explain", "--format", "json"), 0);
}

static void help_and_version_need_no_file(void **state)
{
    (void)state;
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "help", NULL}), 0);
    says(world.out, "switchover");
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "list", "--help", NULL}), 0);
    says(world.out, "[-W]");
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "version", NULL}), 0);
    says(world.out, "pgquorum version ");
    assert_int_equal(RUN("version", "batman", "n2"), 0);
    says(world.out, "n2: Patroni 4.1.4 PostgreSQL 15.4\n");
}

static void root_is_told_the_right_command(void **state)
{
    (void)state;
    int status = run_with("", (const char *[]){"/usr/bin/pgquorum", "/etc/x.yml", NULL});
    if (geteuid() == 0) {
        assert_int_equal(status, 1);
        says(world.err, "runuser -u postgres -- /usr/bin/pgquorum /etc/x.yml");
    } else {
        assert_int_equal(status, 0);
        says(world.out, "agent on /etc/x.yml");
    }
}

static void a_witness_is_asked_for_by_its_verb(void **state)
{
    (void)state;
    int status = run_with("", (const char *[]){"pgquorum", "witness", "/etc/x.yml", NULL});
    assert_int_equal(status, 0); /* also as root: there is no PostgreSQL */
    says(world.out, "witness on /etc/x.yml");
    assert_int_equal(run_with("", (const char *[]){"pgquorum", "witness", NULL}), 2);
    says(world.err, "Error: give one configuration file, or PATRONI_* in the environment; ");
}

/* Options and the file in any order, as Patroni's; called as patronictl it has none of them. */
static void a_configuration_is_validated_and_made(void **state)
{
    static const struct {
        const char *argv[6];
        int status;
        const char *says;
    } rows[] = {
        {{"pgquorum", "--validate-config", "f.yml"}, 0, "validate f.yml\n"},
        {{"patroni", "--validate-config", "f.yml", "-i"}, 0, "validate f.yml -i\n"},
        {{"pgquorum", "-p", "--ignore-listen-port", "--validate-config", "f.yml"},
         0,
         "validate f.yml -i -p\n"},
        {{"pgquorum", "--generate-sample-config"}, 0, "sample here\n"},
        {{"pgquorum", "--generate-sample-config", "f.yml"}, 0, "sample f.yml\n"},
        {{"pgquorum", "--generate-config"}, 0, "generate here of the local one\n"},
        {{"pgquorum", "--generate-config", "--dsn", "host=h", "f.yml"},
         0,
         "generate f.yml of host=h\n"},
        {{"pgquorum", "--validate-config"}, 2, "give a configuration file"},
        {{"pgquorum", "--validate-config", "a", "b"}, 2, "more than one file"},
        {{"pgquorum", "--validate-config", "a", "--dsn", "x"}, 2, "--dsn goes with"},
        {{"pgquorum", "--generate-config", "-p"}, 2, "-i and -p with --validate-config"},
        {{"pgquorum", "--generate-config", "--validate-config"}, 2, "two things"},
        {{"pgquorum", "--validate-config", "--nothing"}, 2, "Usage: "},
        {{"pgquorum", "--validate-config", "--help"}, 0, "Usage: "},
        {{"patronictl", "--validate-config", "f.yml"},
         2,
         "Error: no such option '--validate-config'; "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *argv[6]; /* which are moved about */
        memcpy(argv, rows[i].argv, sizeof(argv));
        assert_int_equal(run_with("", argv), rows[i].status);
        says(rows[i].status == 0 ? world.out : world.err, rows[i].says);
    }
}

static void history_and_dsn_read_the_store(void **state)
{
    (void)state;
    assert_int_equal(RUN("history"), 0);
    says(world.out, "| TL |      LSN | Reason                       | Timestamp                 | "
                    "New Leader |");
    says(world.out, "|  2 |        5 | x                            |                           |  "
                    "          |");
    assert_int_equal(RUN("history", "-f", "json"), 0);
    says(world.out, "[{\"TL\": 1, \"LSN\": 25165984, \"Reason\": \"no recovery target specified\"");
    assert_int_equal(RUN("dsn"), 0);
    assert_string_equal(world.out, "host=127.0.0.1 port=5432\n");
    assert_int_equal(RUN("dsn", "-m", "nobody"), 1);
    assert_int_equal(RUN("dsn", "-m", "n1", "-r", "any"), 1);
}

static void config_is_shown_and_changed(void **state)
{
    (void)state;
    assert_int_equal(RUN("show-config"), 0);
    assert_string_equal(world.out, "loop_wait: 10\nttl: 30\n\n");
    assert_int_equal(RUN("edit-config", "-s", "ttl=40", "-p", "work_mem=8MB", "--force"), 0);
    says(world.out, "--- \n+++ \n@@ -1,2 +1,5 @@\n loop_wait: 10\n-ttl: 30\n+postgresql:\n+  "
                    "parameters:\n+    work_mem: 8MB\n+ttl: 40\n");
    says(world.out, "Configuration changed\n");
    char *config = get("config");
    assert_string_equal(
        config,
        "{\"ttl\":40,\"loop_wait\":10,\"postgresql\":{\"parameters\":{\"work_mem\":\"8MB\"}}}");
    mem_free(config);
    assert_int_equal(RUN("edit-config", "-s", "ttl=40", "--force"), 0);
    assert_string_equal(world.out, "Not changed\n");
    assert_int_equal(RUN_ANSWERING("n\n", "edit-config", "-s", "ttl=50"), 0);
    says(world.out, "Apply these changes? [y/N]: ");
    assert_int_equal(RUN_ANSWERING("", "edit-config", "-s", "ttl=50"), 1);
    says(world.err, "Aborted!");
    assert_int_equal(
        RUN_ANSWERING("x\ny\n", "edit-config", "-q", "-s", "ttl=30", "-s", "postgresql=null"), 0);
    says(world.out, "Error: invalid input\nApply these changes? [y/N]: Configuration changed\n");
}

static void wrong_changes_are_refused_and_nothing_is_written(void **state)
{
    (void)state;
    char *before = get("config");
    assert_int_equal(RUN("edit-config", "-s", "ttl=2", "--force"), 1);
    says(world.err, "Error: ttl: 2 is not right");
    assert_int_equal(RUN("edit-config", "-s", "citus.group=1", "--force"), 1);
    says(world.err, "citus: not served");
    assert_int_equal(RUN("edit-config", "-s", "pause=maybe", "--force"), 1);
    says(world.err, "pause: ");
    assert_int_equal(RUN("edit-config", "-s", "ttl", "--force"), 1);
    assert_int_equal(RUN("edit-config", "--apply", "/nonexistent", "--force"), 1);
    assert_int_equal(RUN_ANSWERING("- a\n", "edit-config", "--replace", "-", "--force"), 1);
    struct buf large = BUF_INIT; /* as PATCH and PUT have it */
    for (int i = 0; i < 4096; i++) {
        buf_printf(&large, "key_number_%d: a value of some length\n", i);
    }
    assert_int_equal(RUN_ANSWERING(buf_str(&large), "edit-config", "--apply", "-", "--force"), 1);
    says(world.err, "Error: the configuration has ");
    says(world.err, " bytes as JSON, at most 131072");
    buf_free(&large);
    char *after = get("config");
    assert_string_equal(before, after);
    mem_free(before);
    mem_free(after);
    assert_int_equal(RUN("edit-config", "another", "-s", "ttl=40", "--force"), 1);
    says(world.err, "The config key does not exist in the cluster another");
}

static void changes_come_from_files_too(void **state)
{
    (void)state;
    assert_int_equal(RUN_ANSWERING("ttl: 60\nloop_wait: null\n", "edit-config", "--apply", "-"), 0);
    says(world.out, "Use --force option to apply changes\n");
    assert_int_equal(
        RUN_ANSWERING("ttl: 60\nloop_wait: null\n", "edit-config", "--apply", "-", "--force"), 0);
    char *config = get("config");
    assert_string_equal(config, "{\"ttl\":60}");
    mem_free(config);
    assert_int_equal(
        RUN_ANSWERING("ttl: 30\nloop_wait: 10\n", "edit-config", "--replace", "-", "--force"), 0);
}

static void an_editor_may_change_it(void **state)
{
    (void)state;
    setenv("EDITOR", "sed -i s/30/33/", 1);
    assert_int_equal(RUN("edit-config", "--force"), 0);
    says(world.out, "-ttl: 30\n+ttl: 33\n");
    setenv("EDITOR", "false", 1);
    assert_int_equal(RUN("edit-config", "--force"), 1);
    says(world.err, "ended with a failure");
    unsetenv("EDITOR");
}

static void switchover_asks_the_leader(void **state)
{
    (void)state;
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n2"), 0);
    says(world.out, "Current cluster topology\n+ Cluster: batman");
    says(world.out, " Successfully switched over to \"n2\"\n+ Cluster: batman");
    char request[4096];
    FILE *file = fopen(world.request, "r");
    size_t len = fread(request, 1, sizeof(request) - 1, file);
    request[len] = '\0';
    fclose(file);
    says(request, "POST /switchover HTTP/1.1\r\n");
    says(request, "{\"candidate\":\"n2\",\"leader\":\"n1\"}");
}

static void was_asked(const char *words)
{
    char request[4096];
    FILE *file = fopen(world.request, "r");
    size_t len = fread(request, 1, sizeof(request) - 1, file);
    request[len] = '\0';
    fclose(file);
    says(request, words);
}

static void restart_tells_each_member_and_how_it_went(void **state)
{
    (void)state;
    assert_int_equal(RUN("restart", "batman", "--force"), 0);
    assert_string_equal(below_table(), "Success: restart on member n1\n"
                                       "Success: restart on member n2\n"
                                       "Success: restart on member n3\n");
    was_asked("POST /restart HTTP/1.1\r\n");
    was_asked("\r\n\r\n{}");
    assert_int_equal(RUN("restart", "batman", "n3", "n2", "--force", "-r", "replica",
                         "--pg-version", "15.4", "--timeout", "7"),
                     0);
    says(world.out, "Failed: restart for member n2, status code=503, (postgres is still "
                    "starting)\nFailed: restart for member n3, status code=503");
    assert_null(strstr(below_table(), "member n1"));
    was_asked("{\"postgres_version\":\"15.4\",\"timeout\":\"7\"}");
    assert_int_equal(RUN("restart", "batman", "--force", "--any"), 0);
    assert_int_equal(strlen(below_table()), strlen("Success: restart on member n1\n"));
    assert_int_equal(RUN("restart", "batman", "--force", "--pending"), 0);
    assert_string_equal(below_table(), "No member waits for a restart\n");
    put("members/n2", "{\"pending_restart\":true,\"api_url\":\"nowhere\"}");
    assert_int_equal(RUN("restart", "batman", "--force", "--pending"), 1);
    says(world.out, "Failed: restart for member n2, ('nowhere' is no address");
    /* the others are asked all the same: nothing was sent to this one */
    assert_int_equal(RUN("restart", "batman", "--force"), 1);
    says(world.out, "Success: restart on member n3\n");
    put("members/n2", "{\"scheduled_restart\":{},\"api_url\":\"nowhere\"}");
    assert_int_equal(RUN("flush", "batman", "restart", "--force"), 1);
    says(world.out, "Failed: flush scheduled restart for member n2, ('nowhere' is no address");
    says(world.out, "No scheduled restart for member n3");
    put_member("n2", "replica", world.rest_port);
}

/* It may go down later: the next one must not be down then. */
static void restart_stops_at_a_member_of_which_nothing_is_known(void **state)
{
    (void)state;
    assert_int_equal(RUN("restart", "batman", "n1", "n2", "n3", "--force", "--timeout", "9"), 1);
    says(world.out, "Failed: restart for member n1, (");
    assert_null(strstr(world.out, "member n2"));
    says(world.err, "whether member n1 was restarted, or will be, is not known");
    says(world.err, "2 more were not asked");
}

static void reinit_tells_each_standby_and_how_it_went(void **state)
{
    (void)state;
    assert_int_equal(RUN("reinit", "batman", "n3", "n2", "--force"), 0);
    says(world.out, "+ Cluster: batman");
    says(world.out, "Success: reinitialize for member n3\nSuccess: reinitialize for member n2\n");
    was_asked("POST /reinitialize HTTP/1.1\r\n");
    was_asked("{\"force\":true,\"from_leader\":false}");
    assert_int_equal(RUN("reinit", "batman", "--force"), 0); /* nobody is meant */
    assert_null(strstr(world.out, "reinitialize"));
    assert_int_equal(RUN_ANSWERING("n2\ny\n", "reinit", "batman"), 0);
    says(world.out, "Success: reinitialize for member n2\n");
    assert_int_equal(RUN_ANSWERING("y\nn\n", "reinit", "batman", "n2", "--from-leader"), 0);
    says(world.out, "status code=503, (creating replica already in progress)");
    assert_int_equal(RUN_ANSWERING("y\ny\n", "reinit", "batman", "n2", "--from-leader"), 0);
    says(world.out, "Success: reinitialize for member n2\n");
    was_asked("{\"force\":true,\"from_leader\":true}");
    put("members/n2", "{\"role\":\"replica\",\"api_url\":\"nowhere\"}");
    assert_int_equal(RUN("reinit", "batman", "n2", "n3", "--force"), 1);
    says(world.out, "Failed: reinitialize for member n2, ('nowhere' is no address");
    says(world.out, "Success: reinitialize for member n3\n");
    put_member("n2", "replica", world.rest_port);
}

static void reinit_refuses_what_cannot_be_meant(void **state)
{
    (void)state;
    assert_int_equal(RUN("reinit"), 2);
    assert_int_equal(RUN("reinit", "batman", "--colour"), 2);
    assert_int_equal(RUN("reinit", "batman", "n2", "n9", "--force"), 1);
    says(world.err, "no member 'n9' in cluster batman");
    assert_null(strstr(world.out, "Success"));
    assert_int_equal(RUN("reinit", "batman", "n1", "--force"), 1);
    says(world.err, "member 'n1' is no replica");
    assert_int_equal(RUN_ANSWERING("n\n", "reinit", "batman", "n2"), 1);
    says(world.err, "Error: Aborted reinitialize");
}

static void restart_is_scheduled_and_flushed(void **state)
{
    (void)state;
    assert_int_equal(RUN("restart", "batman", "n1", "--force", "--scheduled",
                         "2030-01-01T03:00+01:00", "--pending"),
                     0);
    assert_string_equal(below_table(), "Success: restart scheduled on member n1\n");
    was_asked("{\"restart_pending\":true,\"schedule\":\"2030-01-01T03:00:00+01:00\"}");
    assert_int_equal(RUN("restart", "batman", "n1", "--force", "--scheduled", "2031-01-01T03:00Z"),
                     0);
    says(world.out, "Failed: another restart is already scheduled on member n1\n");
    assert_int_equal(RUN("flush", "batman", "n1", "restart", "--force"), 0);
    says(world.out, "No scheduled restart for member n1\n");
    char *member = mem_printf("{\"api_url\":\"http://127.0.0.1:%d/patroni\",\"role\":\"replica\","
                              "\"scheduled_restart\":{\"schedule\":\"2030-01-01T03:00:00Z\"}}",
                              world.rest_port);
    put("members/n2", member);
    mem_free(member);
    assert_int_equal(RUN("restart", "batman", "n2", "--force", "--scheduled", "2030-01-02T03:00Z"),
                     0);
    assert_string_equal(below_table(), "Success: flush scheduled restart for member n2\n"
                                       "Success: restart scheduled on member n2\n");
    assert_int_equal(RUN_ANSWERING("y\n", "flush", "batman", "restart", "-r", "replica"), 0);
    says(world.out, "Are you sure you want to flush members n2, n3? [y/N]: "
                    "Success: flush scheduled restart for member n2\n"
                    "No scheduled restart for member n3\n");
    put_member("n2", "replica", world.rest_port);
}

static void restart_asks_its_user(void **state)
{
    (void)state;
    assert_int_equal(RUN_ANSWERING("\ny\n\n", "restart", "batman", "n2"), 0);
    says(world.out, "+ Cluster: batman");
    says(world.out, "When should the restart take place (e.g. ");
    says(world.out, ")  [now]: Are you sure you want to restart members n2? [y/N]: Restart if the "
                    "PostgreSQL version is less than provided (e.g. 15.4)  []: Success: restart "
                    "on member n2\n");
    assert_int_equal(RUN_ANSWERING("now\nn\n", "restart", "batman"), 1);
    says(world.err, "Error: Aborted restart");
    assert_int_equal(RUN_ANSWERING("2030-01-01T03:00Z\nn\n", "restart", "batman"), 1);
    says(world.out, "schedule restart of members n1, n2, n3 at 2030-01-01T03:00:00+00:00?");
    says(world.err, "Error: Aborted scheduled restart");
    assert_int_equal(RUN_ANSWERING("", "restart", "batman"), 1);
    says(world.err, "Aborted!");
}

static void restart_and_flush_refuse_what_cannot_be_meant(void **state)
{
    (void)state;
    assert_int_equal(RUN("restart"), 2);
    assert_int_equal(RUN("restart", "batman", "-r", "king"), 2);
    assert_int_equal(RUN("restart", "batman", "--colour"), 2);
    assert_int_equal(RUN("restart", "batman", "--force", "--scheduled", "soon"), 1);
    says(world.err, "'soon' is no time");
    assert_int_equal(RUN("restart", "batman", "n9", "--force"), 1);
    says(world.err, "no member 'n9' in cluster batman");
    assert_int_equal(RUN("restart", "batman", "n1", "n9", "--force"), 1);
    says(world.err, "no member 'n9' in cluster batman");
    assert_string_equal(below_table(), "");
    assert_int_equal(RUN("flush", "batman", "n1", "n9", "restart", "--force"), 1);
    says(world.err, "no member 'n9' in cluster batman");
    assert_int_equal(RUN("restart", "batman", "--force", "--pg-version", "15.4\xff"), 1);
    says(world.err, "--pg-version: is no UTF-8");
    assert_int_equal(RUN("restart", "batman", "--force", "--timeout", "7\xff"), 1);
    says(world.err, "--timeout: is no UTF-8");
    assert_string_equal(below_table(), "");
    assert_int_equal(RUN("restart", "batman", "n1", "--force", "-r", "replica"), 1);
    says(world.err, "No replica among provided members");
    assert_int_equal(RUN("restart", "another", "--force"), 1);
    says(world.err, "another cluster doesn't have any members");
    assert_int_equal(RUN("flush", "batman"), 2);
    assert_int_equal(RUN("flush", "batman", "everything"), 2);
    assert_int_equal(RUN("flush", "restart"), 2);
    assert_int_equal(RUN("flush", "batman", "restart", "--colour"), 2);
    put("config", "{\"ttl\":30,\"pause\":true}");
    assert_int_equal(RUN("restart", "batman", "--force", "--scheduled", "2030-01-01T03:00Z"), 1);
    says(world.err, "Can't schedule restart in the paused state");
    put("config", "{\"ttl\":30}");
}

static void a_scheduled_switchover_is_flushed_at_the_leader_or_in_the_store(void **state)
{
    (void)state;
    assert_int_equal(RUN("flush", "batman", "switchover"), 0);
    says(world.out, "No pending scheduled switchover\n");
    put("failover", "{\"leader\":\"n1\",\"scheduled_at\":\"2030-01-01T03:00:00Z\"}");
    assert_int_equal(RUN("flush", "batman", "switchover"), 0);
    says(world.out, "Success: scheduled switchover deleted\n");
    was_asked("DELETE /switchover HTTP/1.1\r\n");
    for (int i = 1; i <= 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%d", i);
        put_member(name, i == 1 ? "primary" : "replica", 1);
    }
    assert_int_equal(RUN("flush", "batman", "switchover"), 0);
    says(world.err, "Member n1 is not accessible");
    says(world.out, "Could not find any accessible member of cluster batman\n");
    char *failover = get("failover");
    assert_string_equal(failover, "{}");
    mem_free(failover);
    for (int i = 1; i <= 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%d", i);
        put_member(name, i == 1 ? "primary" : "replica", world.rest_port);
    }
}

static void switchover_asks_its_user(void **state)
{
    (void)state;
    assert_int_equal(RUN_ANSWERING("\nn2\n\ny\n", "switchover"), 0);
    says(world.out,
         "Primary [n1]: Candidate ['n2', 'n3'] []: When should the switchover take place (e.g. ");
    says(world.out, " )  [now]: Are you sure you want to switchover cluster batman, demoting "
                    "current leader n1? [y/N]: ");
    assert_int_equal(RUN_ANSWERING("n1\n\nnow\nn\n", "switchover"), 1);
    says(world.err, "Error: Aborting switchover");
    assert_int_equal(RUN_ANSWERING("\nn2\n2027-01-01T03:00+01:00\nn\n", "switchover"), 1);
    says(world.out, "Are you sure you want to schedule switchover of cluster batman at "
                    "2027-01-01T03:00:00+01:00, demoting");
    says(world.err, "Error: Aborting scheduled switchover");
    assert_int_equal(RUN_ANSWERING("", "switchover"), 1);
    says(world.err, "Aborted!");
}

static void members_are_asked_to_read_their_files_again(void **state)
{
    (void)state;
    assert_int_equal(RUN("reload", "batman", "n1", "--force"), 0);
    assert_string_equal(below_table(), "Reload request received for member n1 and will be "
                                       "processed within 10 seconds\n");
    assert_int_equal(RUN_ANSWERING("n\n", "reload", "batman", "n1"), 1);
    says(world.out, "+ Cluster: batman");
    says(world.out, "Are you sure you want to reload members n1? [y/N]: ");
    says(world.err, "Error: Aborted reload");
    assert_int_equal(RUN_ANSWERING("y\n", "reload", "batman", "-r", "leader"), 0);
    says(world.out, "for member n1");
    assert_int_equal(RUN("reload", "batman", "n1", "n9", "--force"), 1);
    assert_string_equal(below_table(), "");
    says(world.err, "Error: no member 'n9' in cluster batman");
    assert_int_equal(RUN("reload", "batman", "n1", "-r", "replica", "--force"), 1);
    says(world.err, "no member 'n1' of role replica");
    assert_int_equal(RUN("reload", "another", "--force"), 1);
    says(world.err, "another cluster doesn't have any members");
    assert_int_equal(RUN("reload"), 2);
    assert_int_equal(RUN("reload", "batman", "-r", "king"), 2);
    says(world.err, "no such role");
}

/* What does not fit into one answer is not the answer to the next question. */
static void an_answer_has_an_end(void **state)
{
    (void)state;
    char *input = mem_printf("%01100dy\ny\n", 0);
    assert_int_equal(RUN_ANSWERING(input, "edit-config", "-s", "ttl=50"), 1);
    says(world.err, "Error: an answer of more than 1022 bytes\nAborted!\n");
    assert_null(strstr(world.out, "Configuration changed"));
    mem_free(input);
}

/* Whoever writes through etcd's API may write any bytes. */
static void a_member_whose_name_is_no_text_is_none(void **state)
{
    (void)state;
    put("members/\xff", "{\"state\":\"running\"}");
    assert_int_equal(RUN("dsn", "-m", "n1"), 0);
    assert_int_equal(RUN("version", "batman", "n2"), 0);
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n9"), 1);
    assert_int_equal(RUN("list", "-f", "json"), 0);
    assert_null(strstr(world.out, "{\"Cluster\": \"batman\", \"Host\""));
}

static void switchover_refuses_what_cannot_be(void **state)
{
    (void)state;
    assert_int_equal(RUN("switchover", "--force", "--leader", "n2"), 1);
    says(world.err, "Member n2 is not the leader of cluster batman");
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n9"), 1);
    says(world.err, "Member n9 does not exist in cluster batman or is tagged as nofailover");
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n1"), 1);
    says(world.err, "Member n1 is already the leader of cluster batman");
    assert_int_equal(RUN("switchover", "--force", "--scheduled", "tomorrowish"), 1);
    says(world.err, "'tomorrowish' is no time");
    static const char *const no_days[] = {"2027-02-29T03:00", "2027-04-31 03:00+02:00",
                                          "2027-02-30T03:00:00Z"};
    for (size_t i = 0; i < sizeof no_days / sizeof no_days[0]; i++) {
        assert_int_equal(RUN("switchover", "--force", "--scheduled", no_days[i]), 1);
        says(world.err, "is no time");
    }
    assert_int_equal(RUN("failover", "--force"), 1);
    says(world.err, "Failover could be performed only to a specific candidate");
    assert_int_equal(RUN("switchover", "another", "--force"), 1);
    says(world.err, "has no leader");
}

static void config_is(const char *cluster, const char *expected)
{
    char *config = get_from(cluster, "config");
    assert_string_equal(config, expected);
    mem_free(config);
}

static void pause_and_resume_are_one_key_of_the_configuration(void **state)
{
    (void)state;
    put_in("robin", "config", "{\"loop_wait\":1,\"ttl\":20}");
    assert_int_equal(RUN("resume", "robin"), 1);
    says(world.err, "Cluster is not paused");
    assert_int_equal(RUN("pause", "robin"), 0);
    assert_string_equal(world.out, "Success: cluster management is paused\n");
    config_is("robin", "{\"loop_wait\":1,\"ttl\":20,\"pause\":true}");
    assert_int_equal(RUN("list", "robin"), 0);
    says(world.out, " Maintenance mode: on\n");
    assert_int_equal(RUN("pause", "robin"), 1);
    says(world.err, "Cluster is already paused");
    assert_int_equal(RUN("resume", "robin"), 0);
    assert_string_equal(world.out, "Success: cluster management is resumed\n");
    config_is("robin", "{\"loop_wait\":1,\"ttl\":20}");
    assert_int_equal(RUN("pause", "nobody"), 1);
    says(world.err, "config key does not exist");
    assert_int_equal(RUN("pause", "a", "b"), 2);
    assert_int_equal(RUN("pause", "--now"), 2);
}

static void wait_is_for_what_every_member_says(void **state)
{
    (void)state;
    put_in("robin", "config", "{\"loop_wait\":1}");
    put_in("robin", "members/n1", "{\"pause\":true}");
    put_in("robin", "members/n2", "{\"state\":\"running\"}");
    assert_int_equal(RUN("pause", "robin", "--wait"), 1);
    says(world.out, "'pause' request sent, waiting until it is recognized by all nodes\n");
    says(world.err, "after 2 s these members do not: n2\n");
    assert_int_equal(RUN("resume", "robin"), 0);
    put_in("robin", "members/n2", "{\"pause\":true}");
    assert_int_equal(RUN("pause", "robin", "--wait"), 0);
    says(world.out, "Success: cluster management is paused\n");
    assert_int_equal(RUN("resume", "robin", "--wait"), 1);
    says(world.err, "says not paused, and after 2 s these members do not: n1, n2\n");
}

/* Nobody leads, and the last leader may still run. */
static void failover_over_unfenced_warns_and_names_what_it_passes_over(void **state)
{
    (void)state;
    put_in("robin", "config", "{}");
    put_in("robin", "members/n1", "{\"conn_url\":\"postgres://127.0.0.1:1/a\"}");
    put_in(
        "robin", "members/n2",
        "{\"conn_url\":\"postgres://127.0.0.1:2/a\",\"api_url\":\"http://127.0.0.1:1/patroni\"}");
    put_in("robin", "epoch", "{\"holder\":\"n1\",\"timeline\":1}");
    put_in("robin", "unfenced", "abc:7");
    assert_int_equal(RUN_ANSWERING("n\n", "failover", "robin", "--candidate", "n2"), 1);
    says(world.err, "'n1' was paused, and its PostgreSQL may still run");
    assert_int_equal(RUN("failover", "robin", "--force", "--candidate", "n2"), 0);
    says(world.err, "'n1' was paused");
    char *failover = get_from("robin", "failover"); /* no interface answers */
    assert_string_equal(failover, "{\"member\":\"n2\",\"unfenced\":\"abc:7\"}");
    mem_free(failover);
    put_in("robin", "unfenced", "?");
    assert_int_equal(RUN("failover", "robin", "--force", "--candidate", "n2"), 1);
    says(world.err, "the key unfenced cannot be read");
    put("unfenced", "abc:7"); /* whoever leads steps down himself */
    assert_int_equal(RUN("failover", "--force", "--candidate", "n3"), 0);
    assert_null(strstr(world.err, "paused"));
}

static void an_answer_of_failure_is_printed_and_the_status_is_zero(void **state)
{
    (void)state;
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n3"), 0);
    says(world.out, "Switchover failed, details: 412, not here\n");
}

static void an_interface_that_is_down_leaves_the_request_in_the_store(void **state)
{
    (void)state;
    put_member("n1", "primary", 1);
    assert_int_equal(RUN("switchover", "--force", "--candidate", "n2"), 0);
    says(world.out,
         "Could not switchover using Patroni api, falling back to DCS\n+ Cluster: batman");
    char *failover = get("failover");
    assert_string_equal(failover, "{\"member\":\"n2\",\"leader\":\"n1\"}");
    mem_free(failover);
    put_member("n1", "primary", world.rest_port);
    put("failover", "{}");
}

/* It was asked, and may have done it: a second request could move the leader twice. */
static void an_answer_that_is_too_long_leaves_nothing_in_the_store(void **state)
{
    (void)state;
    put("failover", "{}");
    assert_int_equal(
        RUN("switchover", "--force", "--candidate", "n2", "--scheduled", "2027-01-01T03:00+01:00"),
        1);
    says(world.err, "the outcome is not known");
    char *failover = get("failover");
    assert_string_equal(failover, "{}");
    mem_free(failover);
}

/* Given up earlier, a switchover that succeeds would be called unknown. */
static void the_leader_is_waited_for_as_long_as_it_may_take(void **state)
{
    static const struct {
        const char *config;
        int64_t wait_ms;
    } waits[] = {{"{}", 180000},
                 {"{\"loop_wait\": 10}", 180000},
                 {"{\"loop_wait\": 100}", 230000},
                 {"{\"loop_wait\": \"1h\"}", 7230000},
                 {"{\"loop_wait\": 8e15}", 172830000},
                 {"{\"loop_wait\": -8e15}", 180000},
                 {"{\"loop_wait\": []}", 180000}};
    (void)state;
    assert_int_equal(cli_switch_wait_ms(NULL), 180000);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        json_t *config = json_loads(waits[i].config, 0, NULL);
        assert_int_equal(cli_switch_wait_ms(config), waits[i].wait_ms);
        json_decref(config);
    }
}

static void explain_prints_the_decisions(void **state)
{
    (void)state;
    assert_int_equal(RUN("explain"), 0);
    assert_string_equal(world.out, "2026-11-24 10:00:00  lease_lost: held by n2\n    demote: done\n"
                                   "2026-11-24 10:00:01  healthy: all is well (and 7 times more)\n"
                                   "logical slot 'app': it is not made yet\n"
                                   "a copy is being made: 18 %, 1180 of 6552 MiB\n");
    assert_int_equal(RUN("explain", "-i"), 0);
    says(world.out, "    demote: done\n    now 1\n    self n1\n");
    assert_int_equal(RUN("explain", "n2"), 0);
    assert_int_equal(RUN("explain", "n9"), 1);
    says(world.err, "no member 'n9'");
}

static void raft_status_shows_the_group(void **state)
{
    (void)state;
    assert_int_equal(RUN("raft", "status"), 0);
    says(world.out, "+ Raft group: ");
    says(world.out, "| n1     | 127.0.0.1:");
    assert_null(strstr(world.out, "Kind"));
    assert_int_equal(RUN("raft", "status", "-f", "json"), 0);
    says(world.out, "\"Role\": \"Leader\", \"State\": \"running\"");
}

static void raft_status_marks_a_witness(void **state)
{
    (void)state;
    start_raft(true);
    assert_int_equal(RUN("raft", "status"), 0);
    says(world.out, " | Kind    |\n");
    says(world.out, " | witness |\n");
    assert_int_equal(RUN("raft", "status", "-f", "json"), 0);
    says(world.out, ", \"Kind\": \"witness\"}]");
    start_raft(false);
}

static void raft_members_shows_what_the_leader_knows(void **state)
{
    (void)state;
    assert_int_equal(RUN("raft", "members"), 0);
    says(world.out, "| Member | Id ");
    says(world.out, " | voter | *      |");
    says(world.out, " 0.0 s |");
    assert_int_equal(RUN("raft", "members", "-f", "json"), 0);
    says(world.out, "\"Role\": \"voter\", \"Leader\": \"*\", \"Match\": ");
}

static void raft_remove_says_why_not(void **state)
{
    (void)state;
    assert_int_equal(RUN("raft", "remove", "n9"), 1);
    says(world.err, "'n9' is no member of the Raft group");
    assert_int_equal(RUN("raft", "remove", "n1", "--force"), 1);
    says(world.err, "holds the leader key of cluster batman: a switchover first");
    put("leader", "n2");
    assert_int_equal(RUN_ANSWERING("n\n", "raft", "remove", "n1"), 1);
    says(world.out, "Are you sure you want to remove member 'n1' (");
    says(world.err, "Aborting the removal");
    put("leader", "n1");
    assert_int_equal(RUN("raft", "remove"), 2);
    assert_int_equal(RUN("raft", "remove", "n1", "n2"), 2);
    assert_int_equal(RUN("raft", "remove", "n1", "-f", "json"), 2);
    assert_int_equal(RUN("raft", "members", "--force"), 2);
}

static void unfenced_by_n3(struct buf *out)
{
    const struct store_op puts[] = {
        {.type = STORE_OP_PUT,
         .key = span_str("/service/batman/unfenced"),
         .value = span_str("1122334455667788:2")},
        {.type = STORE_OP_PUT,
         .key = span_str("/service/batman/epoch"),
         .value = span_str("{\"holder\":\"n3\",\"timeline\":1}")},
    };
    const struct store_command command = {.type = STORE_TXN, .success = puts, .success_count = 2};
    log_command_header(0, 0, out);
    assert_int_equal(store_command_encode(&command, out, NULL), 0);
}

static void on_stored(void *arg)
{
    (void)arg;
}

/* A member of three of which nobody else is left. `paused`: as a pause of n3's left it. */
static void lone_directory(const char *path, bool paused)
{
    struct buf configuration = BUF_INIT;
    struct buf command = BUF_INIT;
    struct raft_storage *storage = NULL;
    struct raft_storage_callbacks callbacks = {.on_fatal = fatal};
    uv_loop_t loop;
    uv_loop_init(&loop);
    assert_int_equal(
        raft_storage_open(&loop, path, "n1", random_real(), &callbacks, &storage, NULL), 0);
    const uint64_t ids[] = {raft_storage_boot(storage)->id, 2, 3};
    assert_int_equal(raft_first_configuration(ids, 3, &configuration, NULL), 0);
    assert_int_equal(
        raft_storage_create(storage, 0x1122334455667788, buf_span(&configuration), NULL), 0);
    unfenced_by_n3(&command);
    const struct raft_entry_rec entry = {
        .index = 2, .term = 1, .type = RAFT_COMMAND, .data = buf_span(&command)};
    const struct raft_storage_job job = {.has_entries = true, .entries = &entry, .entry_count = 1};
    if (paused) {
        raft_storage_sqlite_ops.submit(storage, &job, on_stored, NULL);
    }
    raft_storage_close(storage, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    buf_free(&configuration);
    buf_free(&command);
}

static void write_file_with_directory(const char *path)
{
    FILE *file = fopen(world.file, "w");
    fprintf(file,
            "scope: batman\nname: n1\nrestapi: {listen: '127.0.0.1:%d'}\nraft: {self_addr: "
            "'127.0.0.1:1', partner_addrs: '127.0.0.1:%d', password: secret, data_dir: '%s'}\n",
            world.rest_port, world.raft_port, path);
    fclose(file);
}

static void raft_recover_asks_before_it_makes_a_new_group(void **state)
{
    char path[128];
    (void)state;
    assert_int_equal(RUN("raft", "recover"), 1);
    says(world.err, "'raft.data_dir' are needed");
    snprintf(path, sizeof path, "%s/raft", world.directory);
    write_file_with_directory(path);
    assert_int_equal(RUN("raft", "recover"), 1);
    says(world.err, "stop the agent of this node first");
    snprintf(path, sizeof path, "%s/lone", world.directory);
    write_file_with_directory(path);
    assert_int_equal(RUN("raft", "recover"), 1);
    says(world.err, "there is no Raft directory at");
    lone_directory(path, false);
    assert_int_equal(RUN_ANSWERING("yes\n", "raft", "recover"), 1);
    says(world.out, "group 1122334455667788, term 1");
    says(world.out, "LOST is what the other members had");
    assert_null(strstr(world.out, "WARNING"));
    says(world.err, "'yes' is not the name of the cluster: nothing was changed");
    assert_int_equal(RUN("raft", "recover", "--dry-run"), 0);
    says(world.out, "LOST is what the other members had");
    says(world.out, "Dry run: nothing was changed. It would be made a group of its own, after the "
                    "name of the cluster was typed\n");
    assert_int_equal(RUN_ANSWERING("batman\n", "raft", "recover"), 0);
    says(world.out, "Recovered: group 1122334456");
    says(world.out, "pgquorum failover --candidate NAME --force");
    assert_int_equal(RUN_ANSWERING("batman\n", "raft", "recover"), 1);
    says(world.err, "only voter");
    assert_int_equal(RUN("raft", "recover", "--force"), 2);
    write_file("secret");
}

/* Before he is asked: nothing but he ends what runs there. */
static void raft_recover_names_whoever_may_run_unfenced(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/paused", world.directory);
    lone_directory(path, true);
    write_file_with_directory(path);
    assert_int_equal(RUN_ANSWERING("no\n", "raft", "recover"), 1);
    says(world.out, "WARNING: the cluster was paused, and the key 'unfenced' stands: PostgreSQL of "
                    "the last primary, 'n3', has nothing that ends it.");
    write_file("secret");
}

/* An address of another cluster in the file, or a directory that made a group of its own. */
static void raft_status_tells_who_is_in_another_group(void **state)
{
    char words[128];
    int port = free_port();
    (void)state;
    fflush(stdout);
    pid_t stranger = fork();
    if (stranger == 0) {
        raft_process("stranger", port, false);
    }
    write_file_of("secret", port);
    snprintf(words, sizeof words, " 127.0.0.1:%d answers, and is no member of this group: ", port);
    for (int i = 0; i < START_TRIES; i++) {
        assert_int_equal(RUN("raft", "status"), 0);
        if (strstr(world.out, "does not answer") == NULL) {
            break;
        }
        poll(NULL, 0, 50);
    }
    says(world.out, words);
    says(world.out, "it is in group ");
    assert_int_equal(RUN("raft", "status", "-f", "json"), 0);
    assert_null(strstr(world.out, words));
    kill(stranger, SIGKILL);
    waitpid(stranger, NULL, 0);
    write_file("secret");
}

/* Of a member with a certificate that nobody knows. */
static void tls_rest_process(int listener, const char *dir)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                               "{\"patroni\":{\"version\":\"4.1.4\"}}";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    (void)signal(SIGPIPE, SIG_IGN);
    SSL_CTX_use_certificate_chain_file(context, tls_path(dir, "here", ".crt"));
    SSL_CTX_use_PrivateKey_file(context, tls_path(dir, "here", ".key"), SSL_FILETYPE_PEM);
    for (;;) {
        char request[1024];
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof request) > 0) {
            SSL_write(ssl, text, sizeof text - 1);
            SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
}

static void a_certificate_is_verified_unless_the_user_wants_it_otherwise(void **state)
{
    char dir[128];
    char value[128];
    int port = free_port();
    (void)state;
    snprintf(dir, sizeof dir, "%s/tls", world.directory);
    assert_int_equal(mkdir(dir, 0700), 0);
    tls_make_root(dir, &(struct tls_leaf){.file = "here", .alt = "DNS:localhost"});
    int listener = listen_on(port);
    pid_t member = fork_in_test();
    if (member == 0) {
        tls_rest_process(listener, dir);
    }
    close(listener);
    snprintf(value, sizeof value, "{\"api_url\":\"https://127.0.0.1:%d/patroni\"}", port);
    put("members/n4", value);
    assert_int_equal(RUN("version", "batman", "n4"), 0);
    says(world.out, "n4: failed to get version: ");
    assert_int_equal(RUN("-k", "version", "batman", "n4"), 0);
    says(world.out, "n4: Patroni 4.1.4");
    assert_int_equal(RUN("version", "batman", "n4"), 0); /* of that command alone */
    says(world.out, "n4: failed to get version: ");
    put("members/n4", "{}");
    kill(member, SIGKILL);
    waitpid(member, NULL, 0);
}

static void a_wrong_password_is_told(void **state)
{
    (void)state;
    write_file("wrong");
    assert_int_equal(RUN("list"), 1);
    says(world.err, "Error: reading the state of cluster 'batman': ");
    write_file("secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_shows_the_members),
        cmocka_unit_test(wrong_usage_is_two),
        cmocka_unit_test(what_a_verb_does_not_take_is_wrong_usage),
        cmocka_unit_test(help_and_version_need_no_file),
        cmocka_unit_test(root_is_told_the_right_command),
        cmocka_unit_test(a_witness_is_asked_for_by_its_verb),
        cmocka_unit_test(a_configuration_is_validated_and_made),
        cmocka_unit_test(history_and_dsn_read_the_store),
        cmocka_unit_test(config_is_shown_and_changed),
        cmocka_unit_test(wrong_changes_are_refused_and_nothing_is_written),
        cmocka_unit_test(changes_come_from_files_too),
        cmocka_unit_test(an_editor_may_change_it),
        cmocka_unit_test(switchover_asks_the_leader),
        cmocka_unit_test(restart_tells_each_member_and_how_it_went),
        cmocka_unit_test(reinit_tells_each_standby_and_how_it_went),
        cmocka_unit_test(reinit_refuses_what_cannot_be_meant),
        cmocka_unit_test(restart_stops_at_a_member_of_which_nothing_is_known),
        cmocka_unit_test(restart_is_scheduled_and_flushed),
        cmocka_unit_test(restart_asks_its_user),
        cmocka_unit_test(restart_and_flush_refuse_what_cannot_be_meant),
        cmocka_unit_test(a_scheduled_switchover_is_flushed_at_the_leader_or_in_the_store),
        cmocka_unit_test(switchover_asks_its_user),
        cmocka_unit_test(members_are_asked_to_read_their_files_again),
        cmocka_unit_test(an_answer_has_an_end),
        cmocka_unit_test(a_member_whose_name_is_no_text_is_none),
        cmocka_unit_test(switchover_refuses_what_cannot_be),
        cmocka_unit_test(pause_and_resume_are_one_key_of_the_configuration),
        cmocka_unit_test(wait_is_for_what_every_member_says),
        cmocka_unit_test(failover_over_unfenced_warns_and_names_what_it_passes_over),
        cmocka_unit_test(an_answer_of_failure_is_printed_and_the_status_is_zero),
        cmocka_unit_test(an_interface_that_is_down_leaves_the_request_in_the_store),
        cmocka_unit_test(an_answer_that_is_too_long_leaves_nothing_in_the_store),
        cmocka_unit_test(the_leader_is_waited_for_as_long_as_it_may_take),
        cmocka_unit_test(explain_prints_the_decisions),
        cmocka_unit_test(raft_status_shows_the_group),
        cmocka_unit_test(raft_status_marks_a_witness),
        cmocka_unit_test(raft_members_shows_what_the_leader_knows),
        cmocka_unit_test(raft_remove_says_why_not),
        cmocka_unit_test(raft_recover_asks_before_it_makes_a_new_group),
        cmocka_unit_test(raft_recover_names_whoever_may_run_unfenced),
        cmocka_unit_test(raft_status_tells_who_is_in_another_group),
        cmocka_unit_test(a_certificate_is_verified_unless_the_user_wants_it_otherwise),
        cmocka_unit_test(a_wrong_password_is_told),
    };
    return cmocka_run_group_tests(tests, start, end);
}
