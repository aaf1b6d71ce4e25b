/* What a real etcd answered over HTTP (tests/golden/etcd/http.txt) is what we answer, over HTTP/1
 * and over HTTP/2. */
#include "tests/unit/raft_etcd/golden.h"
#include "tests/unit/raft_etcd/http_fixture.h"

static bool over_http2;
static int64_t first_revision;
static unsigned differences;

/* --- what differs from run to run, made plain ------------------------------------------------- */

static size_t digits_len(const char *text)
{
    return strspn(text, "0123456789");
}

/* "name":"123" becomes "name":"X"; revisions become r1. */
static void make_plain(const char *text, struct buf *out)
{
    static const struct {
        const char *start;
        char letter;
    } names[] = {{"\"cluster_id\":\"", 'C'},      {"\"member_id\":\"", 'M'},
                 {"\"raft_term\":\"", 'T'},       {"\"revision\":\"", 'r'},
                 {"\"create_revision\":\"", 'r'}, {"\"mod_revision\":\"", 'r'}};
    while (*text != '\0') {
        size_t i = 0;
        while (i < sizeof names / sizeof names[0] &&
               strncmp(text, names[i].start, strlen(names[i].start)) != 0) {
            i++;
        }
        if (i == sizeof names / sizeof names[0]) {
            buf_put_u8(out, (uint8_t)*text++);
            continue;
        }
        text += strlen(names[i].start);
        buf_printf(out, "%s%c", names[i].start, names[i].letter);
        if (names[i].letter == 'r') {
            buf_printf(out, "%lld", strtoll(text, NULL, 10) - (long long)first_revision);
        }
        text += digits_len(text);
    }
}

static void put_unescaped(const char *text, struct buf *out)
{
    for (; *text != '\0'; text++) {
        bool is_end = text[0] == '\\' && text[1] == 'n';
        buf_put_u8(out, is_end ? '\n' : (uint8_t)*text);
        text += is_end;
    }
}

/* @1 in a request is the first revision and one more. */
static void put_body(const char *text, struct buf *out)
{
    for (; *text != '\0'; text++) {
        if (text[0] == '@' && digits_len(text + 1) > 0) {
            buf_printf(out, "%lld", (long long)first_revision + strtoll(text + 1, NULL, 10));
            text += digits_len(text + 1);
        } else {
            buf_put_u8(out, (uint8_t)*text);
        }
    }
}

/* --- line by line ----------------------------------------------------------------------------- */

struct expectation {
    struct reply *reply;
    const char *body;
    bool stays_open;
    struct buf plain;
};

static bool is_as_expected(struct rig *of, void *arg)
{
    struct expectation *expected = arg;
    (void)of;
    hear(expected->reply);
    buf_clear(&expected->plain);
    make_plain(buf_str(&expected->reply->body), &expected->plain);
    return expected->reply->closed ||
           (expected->stays_open && span_equal_str(buf_span(&expected->plain), expected->body));
}

/* "POST /path Name: value" in three parts. */
static void split(char *text, char **ret_path, char **ret_name, char **ret_value)
{
    static char none[] = "";
    (void)strsep(&text, " ");
    *ret_path = strsep(&text, " ");
    *ret_name = text == NULL ? none : strsep(&text, ":");
    *ret_value = text == NULL ? none : text + 1;
    for (char *c = *ret_name; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
}

static void check_line(char *const columns[GOLDEN_COLUMNS])
{
    struct reply reply;
    struct buf body = BUF_INIT;
    struct buf wanted = BUF_INIT;
    struct expectation expected = {.reply = &reply};
    char *path = NULL;
    char *name = NULL;
    char *value = NULL;
    char head[300];
    assert_non_null(columns[3]);
    split(columns[0], &path, &name, &value);
    put_body(columns[1], &body);
    put_unescaped(columns[3], &wanted);
    expected.body = buf_str(&wanted);
    expected.stays_open = strcmp(path, "/v3/watch") == 0 && strstr(columns[3], "error") == NULL;
    ask(&reply, over_http2, columns[0], path, name, value, buf_span(&body));
    uint64_t until = uv_hrtime() + (uint64_t)3 * 1000 * 1000 * 1000;
    while (!is_as_expected(&rig, &expected) && uv_hrtime() < until) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    int len =
        snprintf(head, sizeof head, "%s %s", reply.status, reply_header(&reply, "content-type"));
    (void)snprintf(head + len, sizeof head - (size_t)len, " %s", reply_header(&reply, "allow"));
    if (strcmp(head, columns[2]) != 0 ||
        !span_equal_str(buf_span(&expected.plain), expected.body)) {
        differences++;
        print_message("%s %s %s\n  etcd: %s %s\n  we:   %s %s\n", columns[0], path, columns[1],
                      columns[2], columns[3], head, buf_str(&expected.plain));
    }
    hang_up(&reply);
    buf_free(&expected.plain);
    buf_free(&body);
    buf_free(&wanted);
}

static void check_all(void)
{
    differences = 0;
    first_revision = store_revision(etcd_service_store(served[0].service));
    assert_true(golden_each("tests/golden/etcd/http.txt", check_line) > 60);
    assert_int_equal(differences, 0);
}

static void as_etcd_answers_over_http1(void **state)
{
    (void)state;
    over_http2 = false;
    check_all();
}

static void as_etcd_answers_over_http2(void **state)
{
    (void)state;
    over_http2 = true;
    check_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_etcd_answers_over_http1, listen_one, listen_ends),
        cmocka_unit_test_setup_teardown(as_etcd_answers_over_http2, listen_one, listen_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
