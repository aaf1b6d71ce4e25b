/* Keys of the store -> document -> the tables of list and topology, character by character. */
#include "agent/cli/cluster_doc.h"
#include "agent/cli/members_table.h"
#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    const char *key;
    const char *value;
};

#define LEADER_MEMBER                                                                         \
    "{\"conn_url\":\"postgres://10.0.0.1:5432/postgres\",\"api_url\":\"http://10.0.0.1:8008/" \
    "patroni\",\"state\":"                                                                    \
    "\"running\",\"role\":\"primary\",\"version\":\"4.1.4\",\"xlog_location\":67108864,"      \
    "\"timeline\":2}"
#define REPLICA_MEMBER(n)                                                                    \
    "{\"conn_url\":\"postgres://10.0.0." n ":5432/postgres\",\"api_url\":\"http://10.0.0." n \
    ":8008/patroni\",\"state\":"                                                             \
    "\"running\",\"role\":\"replica\",\"replication_state\":\"streaming\",\"receive_lsn\":"  \
    "67108864,\"replay_lsn\":"                                                               \
    "64487424,\"xlog_location\":67108864,\"timeline\":2}"

static const struct pair healthy[] = {
    {"config", "{\"ttl\":30}"},
    {"initialize", "7277694203142172922"},
    {"leader", "n1"},
    {"members/n1", LEADER_MEMBER},
    {"members/n2", REPLICA_MEMBER("2")},
    {"members/n3", REPLICA_MEMBER("3")},
    {"status", "{\"optime\":67108864}"},
};

static struct dcs_view *view_of(const struct pair *pairs, size_t count)
{
    struct dcs_view *view = dcs_view_new(count);
    for (size_t i = 0; i < count; i++) {
        view->kvs[i].key = mem_strdup(pairs[i].key);
        view->kvs[i].value = mem_strdup(pairs[i].value);
        view->kvs[i].value_len = strlen(pairs[i].value);
        view->kvs[i].mod_revision = 5;
    }
    return view;
}
#define VIEW(pairs) view_of(pairs, sizeof(pairs) / sizeof((pairs)[0]))

/* Prints the members of a view; the text stays valid until the next call. */
static const char *printed(struct dcs_view *view, bool extended, bool topology,
                           enum cli_format format)
{
    static char text[8192];
    struct buf out = BUF_INIT;
    struct error err = {0};
    json_t *doc = cluster_doc(view, "batman");
    struct members_print print = {.cluster = "batman",
                                  .initialize = cluster_doc_text(view, "initialize"),
                                  .extended = extended,
                                  .topology = topology,
                                  .format = format};
    assert_int_equal(members_table_print(doc, &print, &out, &err), 0);
    assert_true(out.len < sizeof(text));
    memcpy(text, buf_str(&out), out.len + 1);
    buf_free(&out);
    json_decref(doc);
    dcs_view_unref(view);
    return text;
}

static void list_of_a_healthy_cluster(void **state)
{
    (void)state;
    assert_string_equal(
        printed(VIEW(healthy), false, false, CLI_PRETTY),
        "+ Cluster: batman (7277694203142172922) --+----+-------------+-----+------------+-----+\n"
        "| Member | Host     | Role    | State     | TL | Receive LSN | Lag | Replay LSN | Lag |\n"
        "+--------+----------+---------+-----------+----+-------------+-----+------------+-----+\n"
        "| n1     | 10.0.0.1 | Leader  | running   |  2 |             |     |            |     |\n"
        "| n2     | 10.0.0.2 | Replica | streaming |  2 |   0/4000000 |   0 |  0/3D80000 |   2 |\n"
        "| n3     | 10.0.0.3 | Replica | streaming |  2 |   0/4000000 |   0 |  0/3D80000 |   2 |\n"
        "+--------+----------+---------+-----------+----+-------------+-----+------------+-----+"
        "\n");
}

static void json_leaves_empty_values_out_and_counts_lag_in_megabytes(void **state)
{
    (void)state;
    assert_string_equal(printed(VIEW(healthy), false, false, CLI_JSON),
                        "[{\"Cluster\": \"batman\", \"Member\": \"n1\", \"Host\": \"10.0.0.1\", "
                        "\"Role\": \"Leader\", \"State\": \"running\", "
                        "\"TL\": 2}, {\"Cluster\": \"batman\", \"Member\": \"n2\", \"Host\": "
                        "\"10.0.0.2\", \"Role\": \"Replica\", \"State\": "
                        "\"streaming\", \"TL\": 2, \"Receive LSN\": \"0/4000000\", \"Receive "
                        "Lag\": 0, \"Replay LSN\": \"0/3D80000\", "
                        "\"Replay Lag\": 2}, {\"Cluster\": \"batman\", \"Member\": \"n3\", "
                        "\"Host\": \"10.0.0.3\", \"Role\": \"Replica\", "
                        "\"State\": \"streaming\", \"TL\": 2, \"Receive LSN\": \"0/4000000\", "
                        "\"Receive Lag\": 0, \"Replay LSN\": "
                        "\"0/3D80000\", \"Replay Lag\": 2}]\n");
}

static void tsv_has_the_cluster_and_both_lags_by_name(void **state)
{
    (void)state;
    const char *text = printed(VIEW(healthy), false, false, CLI_TSV);
    assert_int_equal(strncmp(text,
                             "Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN\tReceive "
                             "Lag\tReplay LSN\tReplay Lag\n"
                             "batman\tn1\t10.0.0.1\tLeader\trunning\t2\t\t\t\t\n",
                             strlen("Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN\tReceive "
                                    "Lag\tReplay LSN\tReplay Lag\n"
                                    "batman\tn1\t10.0.0.1\tLeader\trunning\t2\t\t\t\t\n")),
                     0);
}

static void yaml_is_sorted(void **state)
{
    (void)state;
    const char *text = printed(VIEW(healthy), false, false, CLI_YAML);
    const char *start = "- Cluster: batman\n  Host: 10.0.0.1\n  Member: n1\n  Role: Leader\n  "
                        "State: running\n  TL: 2\n- Cluster";
    assert_int_equal(strncmp(text, start, strlen(start)), 0);
}

static void an_empty_store_is_an_uninitialized_cluster(void **state)
{
    (void)state;
    const char *text = printed(dcs_view_new(0), false, false, CLI_PRETTY);
    assert_int_equal(strncmp(text, "+ Cluster: batman (uninitialized) ", 34), 0);
    assert_string_equal(printed(dcs_view_new(0), false, false, CLI_JSON), "[]\n");
    static const struct pair starting[] = {{"initialize", ""}};
    text = printed(VIEW(starting), false, false, CLI_PRETTY);
    assert_int_equal(strncmp(text, "+ Cluster: batman (initializing) ", 33), 0);
    json_t *doc = cluster_doc(NULL, "x");
    assert_int_equal(json_array_size(json_object_get(doc, "members")), 0);
    json_decref(doc);
}

static void ports_are_shown_when_they_tell_members_apart(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"leader", "n1"},
        {"members/n1",
         "{\"conn_url\":\"postgres://[fd00::1]:5432/postgres\",\"state\":\"running\"}"},
        {"members/n2", "{\"conn_kwargs\":{\"host\":\"h2\",\"port\":5433},\"state\":\"stopped\"}"},
        {"members/n3", "{\"state\":\"starting\"}"},
        {"members/n4", "no json"},
        {"members/n5/x", "{}"},
        {"members/n\xff", "{}"}, /* no text, and no member */
    };
    assert_string_equal(printed(VIEW(pairs), false, false, CLI_PRETTY),
                        "+ Cluster: batman (uninitialized) "
                        "+----------+----+-------------+-----+------------+-----+\n"
                        "| Member | Host         | Role    | State    | TL | Receive LSN | Lag | "
                        "Replay LSN | Lag |\n"
                        "+--------+--------------+---------+----------+----+-------------+-----+---"
                        "---------+-----+\n"
                        "| n1     | fd00::1:5432 | Leader  | running  |    |             |     |   "
                        "         |     |\n"
                        "| n2     | h2:5433      | Replica | stopped  |    |     unknown |     |   "
                        " unknown |     |\n"
                        "| n3     |              | Replica | starting |    |     unknown |     |   "
                        " unknown |     |\n"
                        "| n4     |              | Replica |          |    |     unknown |     |   "
                        " unknown |     |\n"
                        "+--------+--------------+---------+----------+----+-------------+-----+---"
                        "---------+-----+\n");
}

static void what_is_no_port_is_not_shown_as_one(void **state)
{
    static const struct pair pairs[] = {
        {"members/n1", "{\"conn_url\":\"postgres://a:4294972728/postgres\"}"},
        {"members/n2", "{\"conn_url\":\"postgres://b:x/postgres\"}"},
        {"members/n3", "{\"conn_kwargs\":{\"host\":\"c\",\"port\":4294972728}}"},
        {"members/n4", "{\"conn_kwargs\":{\"host\":\"d\",\"port\":\"5433\"}}"},
    };
    (void)state;
    struct dcs_view *view = VIEW(pairs);
    json_t *doc = cluster_doc(view, "batman");
    static const int ports[] = {5432, 5432, 5432, 5433};
    for (size_t i = 0; i < 4; i++) {
        const json_t *member = json_array_get(json_object_get(doc, "members"), i);
        assert_int_equal(json_integer_value(json_object_get(member, "port")), ports[i]);
    }
    json_decref(doc);
    dcs_view_unref(view);
}

static void an_old_member_tells_one_position(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"leader", "n1"},
        {"members/n1", LEADER_MEMBER},
        {"members/n2",
         "{\"state\":\"running\",\"replication_state\":\"streaming\",\"xlog_location\":67108864}"},
        {"members/n3", "{\"state\":\"running\",\"xlog_location\":67108864}"},
        {"optime/leader", "67108864"},
    };
    const char *text = printed(VIEW(pairs), false, false, CLI_TSV);
    assert_non_null(strstr(text, "n2\t\tReplica\tstreaming\t\t0/4000000\t0\tunknown\t\n"));
    assert_non_null(strstr(text, "n3\t\tReplica\trunning\t\tunknown\t\t0/4000000\t0\n"));
}

static void trouble_has_a_column_while_somebody_has_one(void **state)
{
    (void)state;
    static const struct pair good[] = {{"members/n1", "{\"state\":\"running\"}"}};
    static const struct pair bad[] = {
        {"members/n1", "{\"state\":\"running\"}"},
        {"members/n2", "{\"state\":\"running\",\"trouble\":\"the disk of 'pg_wal' is full\"}"},
    };
    assert_null(strstr(printed(VIEW(good), true, false, CLI_PRETTY), "Trouble"));
    const char *text = printed(VIEW(bad), false, false, CLI_PRETTY);
    assert_non_null(strstr(text, "| Trouble "));
    assert_non_null(strstr(text, "| the disk of 'pg_wal' is full |"));
}

static void columns_come_up_when_somebody_has_a_value(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"config", "{\"pause\":true}"},
        {"failover",
         "{\"leader\":\"n1\",\"member\":\"n2\",\"scheduled_at\":\"2026-12-01T03:00:00+00:00\"}"},
        {"leader", "n1"},
        {"members/n1", "{\"state\":\"running\",\"pending_restart\":true,\"pending_restart_reason\":"
                       "{\"max_connections\":"
                       "{\"old_value\":\"100\",\"new_value\":\"200\"}},\"tags\":{\"clonefrom\":"
                       "true,\"region\":\"north\"}}"},
        {"members/n2",
         "{\"state\":\"running\",\"scheduled_restart\":{\"schedule\":\"2026-12-01T04:00:00+00:00\","
         "\"postgres_version\":\"15.5\"}}"},
    };
    assert_string_equal(printed(VIEW(pairs), false, false, CLI_PRETTY),
                        "+ Cluster: batman (uninitialized) "
                        "--+----+-------------+-----+------------+-----+-----------------+-"
                        "--------------------------+---------------------------------------------+-"
                        "----------------+\n"
                        "| Member | Host | Role    | State   | TL | Receive LSN | Lag | Replay LSN "
                        "| Lag | Pending restart | "
                        "Pending restart reason    | Scheduled restart                           | "
                        "Tags            |\n"
                        "+--------+------+---------+---------+----+-------------+-----+------------"
                        "+-----+-----------------+-"
                        "--------------------------+---------------------------------------------+-"
                        "----------------+\n"
                        "| n1     |      | Leader  | running |    |             |     |            "
                        "|     | *               | "
                        "max_connections: 100->200 |                                             | "
                        "clonefrom: true |\n"
                        "|        |      |         |         |    |             |     |            "
                        "|     |                 | "
                        "                          |                                             | "
                        "region: north   |\n"
                        "+--------+------+---------+---------+----+-------------+-----+------------"
                        "+-----+-----------------+-"
                        "--------------------------+---------------------------------------------+-"
                        "----------------+\n"
                        "| n2     |      | Replica | running |    |     unknown |     |    unknown "
                        "|     |                 | "
                        "                          | 2026-12-01T04:00:00+00:00 if version < 15.5 | "
                        "                |\n"
                        "+--------+------+---------+---------+----+-------------+-----+------------"
                        "+-----+-----------------+-"
                        "--------------------------+---------------------------------------------+-"
                        "----------------+\n"
                        " Maintenance mode: on\n"
                        " Switchover scheduled at: 2026-12-01T03:00:00+00:00\n"
                        "                    from: n1\n"
                        "                      to: n2\n");
    const char *text = printed(VIEW(healthy), true, false, CLI_TSV);
    assert_non_null(strstr(
        text, "Replay Lag\tPending restart\tPending restart reason\tScheduled restart\tTags\n"));
}

static void topology_is_a_tree_and_a_circle_ends(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"leader", "b"},
        {"members/a", "{\"state\":\"running\",\"tags\":{\"replicatefrom\":\"c\"}}"},
        {"members/b", "{\"state\":\"running\"}"},
        {"members/c", "{\"state\":\"running\"}"},
        {"members/d", "{\"state\":\"running\",\"tags\":{\"replicatefrom\":\"e\"}}"},
        {"members/e", "{\"state\":\"running\",\"tags\":{\"replicatefrom\":\"d\"}}"},
    };
    const char *text = printed(VIEW(pairs), false, true, CLI_PRETTY);
    const char *b = strstr(text, "| b     ");
    const char *c = strstr(text, "| + c ");
    const char *a = strstr(text, "|   + a ");
    assert_true(b != NULL && c != NULL && a != NULL && b < c && c < a);
    assert_non_null(strstr(text, "{replicatefrom: c}"));
    assert_non_null(strstr(text, "| d "));
    assert_non_null(strstr(text, "| e "));
}

static void synchronous_standbys_have_their_own_roles(void **state)
{
    (void)state;
    static const struct pair sync[] = {
        {"config", "{\"synchronous_mode\":true}"},
        {"leader", "n1"},
        {"members/n1", "{}"},
        {"members/n2", "{}"},
        {"members/n3", "{}"},
        {"sync", "{\"leader\":\"n1\",\"quorum\":0,\"sync_standby\":\"n3,N2\"}"},
    };
    const char *text = printed(VIEW(sync), false, false, CLI_TSV);
    assert_non_null(strstr(text, "n2\t\tSync Standby"));
    static const struct pair quorum[] = {
        {"config", "{\"synchronous_mode\":\"quorum\"}"},
        {"leader", "n1"},
        {"members/n1", "{}"},
        {"members/n2", "{}"},
        {"sync", "{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":\"n2\"}"},
    };
    text = printed(VIEW(quorum), false, false, CLI_TSV);
    assert_non_null(strstr(text, "n2\t\tQuorum Standby"));
    static const struct pair standby[] = {
        {"config", "{\"synchronous_mode\":\"quorum\",\"standby_cluster\":{\"host\":\"x\"}}"},
        {"leader", "n1"},
        {"members/n1", "{}"},
        {"members/n2", "{}"},
        {"sync", "{\"leader\":\"n1\",\"quorum\":1,\"sync_standby\":\"n2\"}"},
    };
    text = printed(VIEW(standby), false, false, CLI_TSV);
    assert_non_null(strstr(text, "n1\t\tStandby Leader"));
    assert_non_null(strstr(text, "n2\t\tReplica")); /* commits are the other cluster's */
    static const struct pair off[] = {
        {"config", "{\"synchronous_mode\":\"off\"}"},
        {"leader", "n1"},
        {"members/n2", "{}"},
        {"sync", "{\"leader\":\"n1\",\"sync_standby\":\"n2\"}"},
    };
    assert_non_null(strstr(printed(VIEW(off), false, false, CLI_TSV), "n2\t\tReplica"));
}

static void a_long_reason_is_hidden_in_the_table_only(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"members/n1", "{\"pending_restart_reason\":{\"shared_preload_libraries\":{\"old_value\":"
                       "\"\",\"new_value\":"
                       "\"a_library,another_library,a_third_library\"}}}"},
    };
    assert_non_null(strstr(printed(VIEW(pairs), false, false, CLI_PRETTY),
                           "shared_preload_libraries: [hidden - too long]"));
    assert_non_null(strstr(printed(VIEW(pairs), false, false, CLI_TSV),
                           "->a_library,another_library,a_third_library"));
}

static void titles_longer_than_the_table_are_cut_and_letters_are_counted_not_bytes(void **state)
{
    (void)state;
    static const struct cli_column columns[] = {{"A", "A", false, false}, {"B", "B", true, false}};
    struct buf out = BUF_INIT;
    struct error err = {0};
    struct cli_table table = {.columns = columns,
                              .column_count = 2,
                              .title = " a title that is too long ",
                              .rows = json_pack("[[s, i], [s, n]]", "\xc3\xa9t\xc3\xa9", 7, "x")};
    assert_int_equal(cli_table_print(&table, CLI_PRETTY, &out, &err), 0);
    assert_string_equal(buf_str(&out), "+ a title +\n| A   | B |\n+-----+---+\n| \xc3\xa9t\xc3\xa9 "
                                       "| 7 |\n| x   |   |\n+-----+---+\n");
    json_decref(table.rows);
    buf_free(&out);
}

static void formats_have_names(void **state)
{
    (void)state;
    enum cli_format format = CLI_PRETTY;
    assert_true(cli_format_parse("yml", &format));
    assert_int_equal(format, CLI_YAML);
    assert_false(cli_format_parse("xml", &format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_of_a_healthy_cluster),
        cmocka_unit_test(json_leaves_empty_values_out_and_counts_lag_in_megabytes),
        cmocka_unit_test(tsv_has_the_cluster_and_both_lags_by_name),
        cmocka_unit_test(yaml_is_sorted),
        cmocka_unit_test(an_empty_store_is_an_uninitialized_cluster),
        cmocka_unit_test(ports_are_shown_when_they_tell_members_apart),
        cmocka_unit_test(what_is_no_port_is_not_shown_as_one),
        cmocka_unit_test(an_old_member_tells_one_position),
        cmocka_unit_test(columns_come_up_when_somebody_has_a_value),
        cmocka_unit_test(trouble_has_a_column_while_somebody_has_one),
        cmocka_unit_test(topology_is_a_tree_and_a_circle_ends),
        cmocka_unit_test(synchronous_standbys_have_their_own_roles),
        cmocka_unit_test(a_long_reason_is_hidden_in_the_table_only),
        cmocka_unit_test(titles_longer_than_the_table_are_cut_and_letters_are_counted_not_bytes),
        cmocka_unit_test(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
