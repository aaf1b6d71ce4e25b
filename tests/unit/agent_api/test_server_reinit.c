/* POST /reinitialize: every refusal, and what is handed on. */
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

static const char *post(const char *body)
{
    return rig_reply(rig_post("POST /reinitialize", body));
}

static void malformed_bodies_start_nothing(void **state)
{
    static const char *const bodies[] = {
        "[]", "3", "{", "{\"force\": true", "null", "{\"force\": true, \"force\": true}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(rig_code(post(bodies[i])), 400);
    }
    says(post("{\"force\": \"perhaps\"}"), 400, "force is no truth value: give true or false");
    says(post("{\"from_leader\": null}"), 400, "from_leader is no truth value: give true or false");
    says(post("{\"from-leader\": true}"), 400,
         "unknown key: from-leader; force and from_leader are known");
    assert_int_equal(rig.reinits, 0);
}

static void what_is_asked_for_is_handed_on(void **state)
{
    static const struct {
        const char *body;
        bool force;
        bool from_leader;
    } cases[] = {{"", false, false},
                 {"{}", false, false},
                 {"{\"force\": true}", true, false},
                 {"{\"from_leader\": \"on\"}", false, true},
                 {"{\"from_leader\": 1, \"force\": \"no\"}", false, true},
                 {"{\"from_leader\": false, \"force\": \"yes\"}", true, false}};
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        says(post(cases[i].body), 200, "reinitialize started");
        assert_int_equal(rig.reinits, i + 1);
        assert_int_equal(rig.reinit_force, cases[i].force);
        assert_int_equal(rig.reinit_from_leader, cases[i].from_leader);
    }
}

static void what_hinders_it_is_told(void **state)
{
    (void)state;
    rig.restart_rc = ERR_BUSY;
    rig.restart_why = "creating replica already in progress";
    says(post("{}"), 503, "creating replica already in progress");
    rig.restart_rc = ERR_REFUSED;
    rig.restart_why = "this member is the leader: it is not reinitialized";
    says(post(""), 503, "this member is the leader: it is not reinitialized");
}

static void other_methods_are_not_known(void **state)
{
    (void)state;
    assert_int_equal(rig_code(rig_reply(rig_post("PUT /reinitialize", "{}"))), 501);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(malformed_bodies_start_nothing, start, rig_finish),
        cmocka_unit_test_setup_teardown(what_is_asked_for_is_handed_on, start, rig_finish),
        cmocka_unit_test_setup_teardown(what_hinders_it_is_told, start, rig_finish),
        cmocka_unit_test_setup_teardown(other_methods_are_not_known, start, rig_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
