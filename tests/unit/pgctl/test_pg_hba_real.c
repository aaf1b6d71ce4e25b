/* What a real server says of the lines of test_pg_hba.c, by its view pg_hba_file_rules. */
#include "tests/unit/pgctl/hba_cases.h"
#include "tests/unit/pgctl/pg_stage.h"

#include "base/buf.h"

static const char mistakes[] =
    "SELECT line_number FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY line_number";

/* A server without TLS has that to say of such a line, right or wrong. */
static bool needs_tls(const char *line)
{
    return strncmp(line, "hostssl", strlen("hostssl")) == 0 ||
           strncmp(line, "hostgssenc", strlen("hostgssenc")) == 0;
}

static void the_server_agrees(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct buf text = BUF_INIT;
    char path[200];
    bool wrong[HBA_CASES] = {false};

    for (size_t i = 0; i < HBA_CASES; i++) {
        buf_printf(&text, "%s\n", hba_cases[i].line);
    }
    snprintf(path, sizeof path, "%s/pg_hba.conf", node->data);
    file_put(path, buf_str(&text), 0600); /* read by the view alone */
    buf_free(&text);
    PGconn *conn = node_connect(node);
    PGresult *result = PQexec(conn, mistakes);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    for (int i = 0; i < PQntuples(result); i++) {
        wrong[atoi(PQgetvalue(result, i, 0)) - 1] = true;
    }
    PQclear(result);
    PQfinish(conn);
    size_t others = 0;
    for (size_t i = 0; i < HBA_CASES; i++) {
        if (!needs_tls(hba_cases[i].line) && wrong[i] != (hba_cases[i].words != NULL)) {
            print_error("'%s': the server %s it\n", hba_cases[i].line,
                        wrong[i] ? "refuses" : "takes");
            others++;
        }
    }
    assert_int_equal(others, 0);
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {ON_STAGE(the_server_agrees)};
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
