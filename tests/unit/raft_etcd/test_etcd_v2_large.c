/* Large answers of the v2 API: a portion at a time, in turns, and bounded for all clients together,
 * whatever becomes of these. In front of a real group; the same by the listener, with v3 beside it:
 * test_etcd_server_large.c. */
#include "tests/unit/raft_etcd/v2_rig.h"

#include "raft/etcd/etcd_portions.h"

#include <stdlib.h>

enum { KEYS = 20, VALUE_BYTES = 100 * 1024, CLIENTS_MAX = 80 };

#define LARGE "/v2/keys/large?recursive=true"

/* --- clients ---------------------------------------------------------------------------------- */

static void put_large(void)
{
    static char body[VALUE_BYTES + 8];
    strcpy(body, "value=");
    memset(body + 6, 'v', VALUE_BYTES);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "/large/%03d", i);
        v2_write_key(&rig, key, body);
    }
}

/* Asks for all of it; takes it at once, or nothing of it. */
static struct fake_exchange *ask_large(bool takes)
{
    struct fake_exchange *fake = fake_new("GET", LARGE, "");
    fake->pending = takes ? 0 : 1;
    v2_serve(&rig, fake);
    return fake;
}

static bool is_refused(const struct fake_exchange *fake)
{
    return fake->status == 500 && fake->ended && !fake->streaming &&
           strcmp(buf_str((struct buf *)(uintptr_t)&fake->body),
                  "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":"
                  "\"etcdserver: too many requests\",\"index\":0}\n") == 0;
}

static size_t held(void)
{
    return etcd_portions_bytes(rig.service);
}

/* Clients that take nothing, until one is refused. */
static size_t crowd(struct fake_exchange **fakes)
{
    size_t count = 0;
    for (;;) {
        assert_true(count < CLIENTS_MAX);
        struct fake_exchange *fake = ask_large(false);
        assert_in_range(held(), 0, ETCD_PORTIONS_BYTES_MAX);
        if (fake->status != 200) {
            assert_true(is_refused(fake));
            fake_free(fake);
            return count;
        }
        assert_true(fake->streaming && !fake->ended);
        fakes[count++] = fake;
    }
}

/* Some were cut, and have an end already. */
static size_t end_all(struct fake_exchange **fakes, size_t count)
{
    size_t cut = 0;
    for (size_t i = 0; i < count; i++) {
        cut += fakes[i]->cut;
        if (fakes[i]->ended) {
            fake_free(fakes[i]);
        } else {
            v2_hang_up(fakes[i]);
        }
    }
    return cut;
}

static bool holds_nothing(struct v2_rig *any, void *arg)
{
    (void)any;
    (void)arg;
    return held() == 0;
}

static void is_whole(struct fake_exchange *fake)
{
    const char *end = buf_str(&fake->body) + fake->body.len;
    assert_true(fake->ended && !fake->cut);
    assert_true(fake->body.len > (size_t)KEYS * VALUE_BYTES);
    assert_non_null(strstr(end - 100, "]"));
    assert_non_null(strstr(buf_str(&fake->body), "\"key\":\"/large/000\""));
    assert_non_null(strstr(buf_str(&fake->body), "\"key\":\"/large/019\""));
}

/* --- one, and some ---------------------------------------------------------------------------- */

static bool has_pieces(struct v2_rig *any, void *arg)
{
    (void)any;
    return ((struct fake_exchange *)arg)->pieces >= 2;
}

static void a_large_tree_comes_in_portions_as_the_client_takes_them(void **state)
{
    (void)state;
    put_large();
    int64_t index = store_revision(raft_node_store(v2_node(&rig)));
    struct fake_exchange *fake = ask_large(false);
    assert_int_equal(fake->status, 200);
    assert_true(fake->streaming && !fake->ended);
    assert_int_equal(strtoll(fake_answer_header(fake, "X-Etcd-Index"), NULL, 10), index);
    v2_delete_key(&rig, "/large"); /* the answer is of before */
    assert_int_equal(fake->pieces, 1);
    assert_in_range(held(), KEYS * VALUE_BYTES, 2 * KEYS * VALUE_BYTES);
    fake->pending = 0;
    v2_until(&rig, has_pieces, fake, "the next portion");
    fake->pending = 1;
    unsigned pieces = fake->pieces;
    v2_pass_ms(&rig, 50);
    assert_int_equal(fake->pieces, pieces);
    fake->pending = 0;
    v2_until(&rig, v2_has_ended, fake, "the rest");
    is_whole(fake);
    assert_int_equal(held(), 0);
    fake_free(fake);
}

static void large_answers_take_turns(void **state)
{
    struct fake_exchange *fakes[3];
    (void)state;
    put_large();
    for (size_t i = 0; i < 3; i++) {
        fakes[i] = ask_large(true);
        assert_false(fakes[i]->ended);
    }
    while (!fakes[0]->ended || !fakes[1]->ended || !fakes[2]->ended) {
        (void)uv_run(&rig.group.loop, UV_RUN_ONCE);
        for (size_t i = 0; i < 3; i++) {
            unsigned mine = fakes[i]->pieces;
            unsigned next = fakes[(i + 1) % 3]->pieces;
            assert_in_range(mine + 1, next, next + 2);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        is_whole(fakes[i]);
        fake_free(fakes[i]);
    }
}

static void a_large_answer_ends_when_its_client_is_gone(void **state)
{
    (void)state;
    struct fake_exchange *fake = ask_large(false);
    assert_true(held() > 0);
    v2_hang_up(fake);
    v2_until(&rig, holds_nothing, NULL, "its share is free");
    fake = fake_new("GET", LARGE, "");
    fake->is_gone_at_start = true;
    v2_serve(&rig, fake);
    assert_int_equal(held(), 0);
    fake_free(fake);
}

/* --- all together ----------------------------------------------------------------------------- */

static void whoever_asks_for_little_is_served_beside_a_crowd(void **state)
{
    struct fake_exchange *fakes[CLIENTS_MAX];
    (void)state;
    v2_write_key(&rig, "/small/a", "value=1");
    size_t count = crowd(fakes);
    size_t share = held() / count;
    assert_in_range(held(), ETCD_PORTIONS_BYTES_MAX - share - 1024, ETCD_PORTIONS_BYTES_MAX);
    struct fake_exchange *fake = v2_ask(&rig, "GET", LARGE "&quorum=true", "");
    assert_true(is_refused(fake));
    fake_free(fake);
    static const char *const targets[] = {"/v2/keys/small?recursive=true",
                                          "/v2/keys/small?recursive=true&quorum=true",
                                          "/v2/keys/small/a", "/v2/keys/large/000?quorum=true"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        fake = v2_ask(&rig, "GET", targets[i], "");
        assert_int_equal(fake->status, 200);
        fake_free(fake);
    }
    v2_write_key(&rig, "/small/a", "value=2");
    v2_hang_up(fakes[count / 2]); /* its share is the next one's at once */
    fakes[count / 2] = ask_large(true);
    assert_int_equal(fakes[count / 2]->status, 200);
    v2_until(&rig, v2_has_ended, fakes[count / 2], "it is served");
    is_whole(fakes[count / 2]);
    (void)end_all(fakes, count);
    v2_until(&rig, holds_nothing, NULL, "all is free");
}

static void whoever_takes_nothing_gives_way_to_one_that_does(void **state)
{
    struct fake_exchange *fakes[CLIENTS_MAX];
    (void)state;
    size_t count = crowd(fakes);
    v2_pass_ms(&rig, ETCD_PORTIONS_STALLED_MS + 50);
    struct fake_exchange *fake = ask_large(true);
    v2_until(&rig, v2_has_ended, fake, "it is served");
    is_whole(fake);
    fake_free(fake);
    assert_true(fakes[0]->cut);
    assert_int_equal(end_all(fakes, count), 1);
    v2_until(&rig, holds_nothing, NULL, "all is free");
}

/* One value may be much larger than a portion, and the more so as JSON. */
static void what_waits_for_clients_counts(void **state)
{
    (void)state;
    struct fake_exchange *slow = ask_large(false);
    slow->pending = ETCD_PORTIONS_BYTES_MAX;
    struct fake_exchange *fake = ask_large(true);
    assert_int_equal(fake->pieces, 1);
    v2_pass_ms(&rig, 50);
    assert_in_range(fake->pieces, 1, 2); /* one before that was looked at */
    struct fake_exchange *refused = ask_large(true);
    assert_true(is_refused(refused));
    fake_free(refused);
    slow->pending = 1;
    v2_until(&rig, v2_has_ended, fake, "it goes on");
    is_whole(fake);
    fake_free(fake);
    slow->pending = ETCD_PORTIONS_BYTES_MAX;
    fake = ask_large(true);
    v2_until(&rig, v2_has_ended, fake, "it goes on");
    is_whole(fake);
    fake_free(fake);
    assert_true(slow->cut); /* since it took nothing */
    fake_free(slow);
    assert_int_equal(held(), 0);
}

/* The last one: the service takes nothing more. */
static void a_stop_cuts_what_is_half_sent(void **state)
{
    (void)state;
    struct fake_exchange *fake = ask_large(false);
    v2_hang_up(ask_large(false)); /* and not seen yet */
    etcd_service_close(rig.service);
    assert_true(fake->ended && fake->cut);
    assert_int_equal(held(), 0);
    fake_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_tree_comes_in_portions_as_the_client_takes_them),
        cmocka_unit_test(large_answers_take_turns),
        cmocka_unit_test(a_large_answer_ends_when_its_client_is_gone),
        cmocka_unit_test(whoever_asks_for_little_is_served_beside_a_crowd),
        cmocka_unit_test(whoever_takes_nothing_gives_way_to_one_that_does),
        cmocka_unit_test(what_waits_for_clients_counts),
        cmocka_unit_test(a_stop_cuts_what_is_half_sent),
    };
    return cmocka_run_group_tests(tests, v2_open_one, v2_close_one);
}
