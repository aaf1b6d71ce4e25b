/* POST /reexec and POST /dry-run/reexec: answered when it is known what comes of it, to one at a
 * time.
 */
#include "tests/unit/agent_api/api_fixture.h"

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        rig_publish(rig_primary());
    }
    return rc;
}

static void says(const char *reply, int code, const char *text)
{
    assert_string_equal(rig_body(reply), text);
    assert_int_equal(rig_code(reply), code);
}

struct outcome {
    int code;
    const char *text;
};

static void tell(void *arg)
{
    const struct outcome *outcome = arg;
    api_server_reexec_told(rig.server, outcome->code, outcome->text);
}

static int ask(const char *what)
{
    unsigned before = rig.reexecs;
    int fd = rig_post(what, "{}");
    for (int i = 0; rig.reexecs == before; i++) {
        assert_true(i < 5000);
        (void)usleep(1000);
    }
    return fd;
}

static void the_outcome_is_the_answer(void **state)
{
    struct outcome done = {202, "it is executed"};
    struct outcome refused = {412, "not executed anew: it would not start here"};
    struct outcome dry = {200, "it would be executed"};
    (void)state;
    int fd = ask("POST /reexec");
    assert_false(rig.reexec_dry_run);
    rig_call(tell, &done);
    says(rig_reply(fd), 202, "it is executed");
    fd = ask("POST /reexec");
    rig_call(tell, &refused);
    says(rig_reply(fd), 412, refused.text);
    fd = ask("POST /dry-run/reexec");
    assert_true(rig.reexec_dry_run);
    rig_call(tell, &dry);
    says(rig_reply(fd), 200, "it would be executed");
    rig_call(tell, &dry); /* asked for by a signal: nobody waits */
}

static void a_second_one_is_refused_and_the_first_one_gets_its_answer(void **state)
{
    struct outcome done = {202, "it is executed"};
    (void)state;
    int fd = ask("POST /reexec");
    says(rig_reply(rig_post("POST /reexec", "{}")), 503, "it is being executed anew already");
    says(rig_reply(rig_post("POST /dry-run/reexec", "{}")), 503,
         "it is being executed anew already");
    rig_call(tell, &done);
    says(rig_reply(fd), 202, "it is executed");
}

static void what_is_not_begun_is_told_at_once(void **state)
{
    (void)state;
    rig.restart_rc = ERR_BUSY;
    rig.restart_why = "the agent is stopping";
    says(rig_reply(rig_post("POST /reexec", "{}")), 503,
         "not executed anew: the agent is stopping");
    assert_int_equal(rig.reexecs, 0);
    assert_int_equal(rig_code(rig_reply(rig_post("PUT /reexec", "{}"))), 501);
}

/* rig_finish looks that nothing is left. */
static void a_server_that_stops_answers_who_waits(void **state)
{
    (void)state;
    (void)ask("POST /reexec");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_outcome_is_the_answer, start, rig_finish),
        cmocka_unit_test_setup_teardown(a_second_one_is_refused_and_the_first_one_gets_its_answer,
                                        start, rig_finish),
        cmocka_unit_test_setup_teardown(what_is_not_begun_is_told_at_once, start, rig_finish),
        cmocka_unit_test_setup_teardown(a_server_that_stops_answers_who_waits, start, rig_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
