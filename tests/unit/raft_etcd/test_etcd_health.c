/* Health by a read of the majority that does not come back: a second is waited, and no more. */
#include "base/net/http_exchange.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_v2_state.h"
#include "tests/unit/base_net/h2_fixture.h"

struct etcd_service {
    struct etcd_service_config config;
};

static struct etcd_service service;
static struct etcd_v2_state v2;
static etcd_service_done read_done;
static void *read_arg;

const struct etcd_service_config *etcd_service_config(const struct etcd_service *of)
{
    return &of->config;
}

bool etcd_service_is_ready(const struct etcd_service *of)
{
    (void)of;
    return true;
}

bool etcd_service_has_leader(const struct etcd_service *of)
{
    (void)of;
    return true;
}

uint64_t etcd_service_leader_changes(const struct etcd_service *of)
{
    (void)of;
    return 0;
}

const struct store *etcd_service_store(const struct etcd_service *of)
{
    (void)of;
    return NULL;
}

struct etcd_v2_state *etcd_service_v2(struct etcd_service *of)
{
    (void)of;
    return &v2;
}

void etcd_service_read(struct etcd_service *of, etcd_service_done done, void *arg)
{
    (void)of;
    assert_null(read_done);
    read_done = done;
    read_arg = arg;
}

static void end_read(int rc)
{
    etcd_service_done done = read_done;
    read_done = NULL;
    done(read_arg, rc, ETCD_ERROR_TIMEOUT, NULL);
}

/* --- an exchange that only takes the answer --------------------------------------------------- */

static int status;
static unsigned answers;

static void respond(struct http_exchange *exchange, const struct http1_response *response)
{
    (void)exchange;
    answers++;
    status = response->status;
}

static const struct http_exchange_ops ops = {.respond = respond};

static void ask(const char *path)
{
    static struct http_exchange exchange = {.ops = &ops};
    struct http1_request request = {.method = HTTP1_GET, .path = path, .query = ""};
    assert_true(etcd_info_serve(&service, &exchange, &request));
}

static int open_loop(void **state)
{
    (void)state;
    answers = 0;
    read_done = NULL;
    service.config = (struct etcd_service_config){.loop = &loop};
    return uv_loop_init(&loop);
}

static int close_loop(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static void the_read_decides_while_it_comes_in_time(void **state)
{
    (void)state;
    for (int rc = 0; rc >= ERR_UNAVAILABLE; rc += ERR_UNAVAILABLE) {
        ask(rc == 0 ? "/health" : "/readyz");
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(answers, rc == 0 ? 0 : 1);
        end_read(rc);
        assert_int_equal(answers, rc == 0 ? 1 : 2);
        assert_int_equal(status, rc == 0 ? 200 : 503);
    }
}

static void later_it_is_ill_whatever_the_read_says_then(void **state)
{
    (void)state;
    ask("/health");
    while (answers == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(status, 503);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    end_read(0);
    assert_int_equal(answers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_read_decides_while_it_comes_in_time, open_loop,
                                        close_loop),
        cmocka_unit_test_setup_teardown(later_it_is_ill_whatever_the_read_says_then, open_loop,
                                        close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
