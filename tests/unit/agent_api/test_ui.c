/* The page to look at: its files, its headers, and how it is turned off. What it shows stands in
 * test_app_ui.c, how it looks in tests/e2e/test_ui.py. */
#include "tests/unit/agent_api/api_fixture.h"

static const char *ask(const char *method, const char *path)
{
    char request[256];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.0\r\n\r\n", method, path);
    return rig_ask(request);
}

static void expect_has(const char *reply, const char *text)
{
    if (strstr(reply, text) == NULL) {
        fail_msg("'%s' is not in '%.600s'", text, reply);
    }
}

/* Nothing from elsewhere, nothing inline, nothing that makes elements of text. */
static void expect_headers(const char *reply, const char *type, const char *cached)
{
    char text[128];
    assert_int_equal(rig_code(reply), 200);
    (void)snprintf(text, sizeof text, "Content-Type: %s\r\n", type);
    expect_has(reply, text);
    (void)snprintf(text, sizeof text, "Cache-Control: %s\r\n", cached);
    expect_has(reply, text);
    expect_has(reply, "X-Content-Type-Options: nosniff\r\n");
    expect_has(reply, "Referrer-Policy: no-referrer\r\n");
    expect_has(reply, "Cross-Origin-Resource-Policy: same-origin\r\n");
    expect_has(reply,
               "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
               "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
               "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
               "\r\n");
}

static void the_page_and_its_files_are_served_as_what_they_are(void **state)
{
    static const struct {
        const char *path;
        const char *type;
        const char *begins;
    } files[] = {{"/ui", "text/html; charset=utf-8", "<!DOCTYPE html>"},
                 {"/ui?anything", "text/html; charset=utf-8", "<!DOCTYPE html>"},
                 {"/ui/page.css", "text/css; charset=utf-8", "/*"},
                 {"/ui/page.js", "text/javascript; charset=utf-8", "/*"},
                 {"/ui/icon.svg", "image/svg+xml", "<svg"}};
    (void)state;
    rig_publish(rig_replica());
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *reply = ask("GET", files[i].path);
        expect_headers(reply, files[i].type, "no-cache");
        assert_memory_equal(rig_body(reply), files[i].begins, strlen(files[i].begins));
        assert_int_equal(reply[strlen(reply) - 1], '\n'); /* whole */
    }
}

static void what_it_shows_is_rendered_once_for_many_who_look(void **state)
{
    (void)state;
    rig_publish(rig_replica());
    const char *reply = ask("GET", "/ui/state");
    expect_headers(reply, "application/json", "no-store");
    assert_string_equal(rig_body(reply), "{\"looked\": 1}");
    assert_string_equal(rig_body(ask("GET", "/ui/state")), "{\"looked\": 1}");
    rig_publish(rig_replica());
    assert_string_equal(rig_body(ask("GET", "/ui/state")), "{\"looked\": 2}");
}

static void head_has_the_headers_and_no_body(void **state)
{
    char length[64];
    (void)state;
    rig_publish(rig_replica());
    (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n",
                   strlen(rig_body(ask("GET", "/ui"))));
    const char *reply = ask("HEAD", "/ui");
    expect_headers(reply, "text/html; charset=utf-8", "no-cache");
    expect_has(reply, length);
    assert_string_equal(rig_body(reply), "");
    assert_int_equal(rig_code(ask("HEAD", "/ui/nothing")), 404);
}

static void what_is_not_there_is_no_health_check(void **state)
{
    (void)state;
    rig_publish(rig_primary());
    assert_int_equal(rig_code(ask("GET", "/ui/page.cs")), 404);
    assert_int_equal(rig_code(ask("GET", "/ui/page.css/primary")), 404);
    assert_int_equal(rig_code(ask("GET", "/ui/../ui")), 404);
    const char *reply = ask("GET", "/ui/"); /* its files are named from one level above */
    assert_int_equal(rig_code(reply), 301);
    expect_has(reply, "Location: ../ui\r\n");
    assert_int_equal(rig_code(ask("GET", "/uix")), 503); /* a health check as any other word */
    assert_int_equal(rig_code(ask("DELETE", "/ui")), 501);
    assert_int_equal(rig_code(rig_reply(rig_post("POST /ui/state", "{}"))), 501);
}

static void turn_now(void *arg)
{
    struct api_security security = {.without_ui = *(bool *)arg};
    api_server_secure(rig.server, &security);
}

static void the_page_can_be_turned_off_and_on_again(void **state)
{
    static const char *const paths[] = {"/ui", "/ui/", "/ui/page.js", "/ui/state"};
    bool off = true;
    (void)state;
    rig_publish(rig_primary());
    rig_call(turn_now, &off);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *reply = ask("GET", paths[i]);
        assert_int_equal(rig_code(reply), 404);
        expect_has(rig_body(reply), "restapi.ui");
    }
    assert_int_equal(rig_code(ask("GET", "/primary")), 200);
    off = false;
    rig_call(turn_now, &off);
    assert_int_equal(rig_code(ask("GET", "/ui")), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(the_page_and_its_files_are_served_as_what_they_are),
        RIG_TEST(what_it_shows_is_rendered_once_for_many_who_look),
        RIG_TEST(head_has_the_headers_and_no_body),
        RIG_TEST(what_is_not_there_is_no_health_check),
        RIG_TEST(the_page_can_be_turned_off_and_on_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
