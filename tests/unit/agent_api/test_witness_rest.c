/* What a witness tells a load balancer, and whoever watches it. */
#include "agent/witness_rest.h"

#include "tests/harness/ask.h"
#include "tests/harness/free_port.h"

static uv_loop_t loop;
static struct config config;
static struct raft_group *no_group;
static struct witness_rest *rest;
static bool stopped;

static void on_stopped(void *arg)
{
    (void)arg;
    stopped = true;
}

static void start(void)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    config = (struct config){.scope = "batman", .name = "w1"};
    config.restapi_listen =
        (struct config_address){.text = "127.0.0.1:", .host = "127.0.0.1", .port = free_port()};
    stopped = false;
    assert_int_equal(witness_rest_start(&loop, &config, &no_group, &rest, NULL), 0);
    assert_non_null(rest);
}

static void stop(void)
{
    witness_rest_stop(rest, on_stopped, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(stopped);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static const char *ask_for(const char *method, const char *path)
{
    char request[128];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.0\r\n\r\n", method, path);
    return ask_text(&loop, config.restapi_listen.port, request);
}

static void gives(const char *method, const char *path, int status)
{
    char expected[32];
    (void)snprintf(expected, sizeof expected, "HTTP/1.0 %d ", status);
    const char *reply = ask_for(method, path);
    if (strncmp(reply, expected, strlen(expected)) != 0) {
        fail_msg("%s %s: %.40s, and not %d", method, path, reply, status);
    }
}

static void it_lives_and_holds_no_database(void **state)
{
    (void)state;
    start();
    gives("GET", "/liveness", 200);
    gives("HEAD", "/liveness", 200);
    gives("GET", "/readiness", 503); /* it is in no group */
    static const char *const others[] = {"/",        "/primary",   "/replica", "/leader", "/health",
                                         "/patroni", "/read-only", "/cluster", "/config", "/x"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        gives("GET", others[i], 503);
        gives("OPTIONS", others[i], 503);
    }
    assert_non_null(strstr(ask_for("GET", "/patroni"), "\"role\": \"witness\""));
    assert_non_null(strstr(ask_for("GET", "/patroni"), "\"name\": \"w1\""));
    stop();
}

static void its_figures_are_those_of_the_group(void **state)
{
    (void)state;
    start();
    const char *reply = ask_for("GET", "/metrics");
    assert_non_null(strstr(reply, "HTTP/1.0 200 "));
    assert_non_null(
        strstr(reply, "pgquorum_raft_corrupt_frames_total{scope=\"batman\",name=\"w1\"} 0"));
    stop();
}

static void nothing_can_be_changed(void **state)
{
    (void)state;
    start();
    gives("POST", "/switchover", 501);
    gives("PATCH", "/config", 501);
    gives("DELETE", "/switchover", 501);
    stop();
}

static void without_the_section_nothing_listens(void **state)
{
    (void)state;
    struct config none = {.scope = "batman", .name = "w1"};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(witness_rest_start(&loop, &none, &no_group, &rest, NULL), 0);
    assert_null(rest);
    stopped = false;
    stop();
}

static void a_port_that_is_taken_is_named(void **state)
{
    (void)state;
    start();
    struct witness_rest *second = rest;
    struct error err = {0};
    assert_int_equal(witness_rest_start(&loop, &config, &no_group, &second, &err), ERR_BUSY);
    assert_null(second);
    assert_ptr_equal(strstr(err.text, "restapi.listen: "), err.text);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lives_and_holds_no_database),
        cmocka_unit_test(its_figures_are_those_of_the_group),
        cmocka_unit_test(nothing_can_be_changed),
        cmocka_unit_test(without_the_section_nothing_listens),
        cmocka_unit_test(a_port_that_is_taken_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
