/* What a real etcd answered to tests/golden/etcd/v2_transcript.txt, byte for byte, is what we
 * answer, but where its fifth column says otherwise. */
#include "tests/unit/raft_etcd/golden.h"
#include "tests/unit/raft_etcd/v2_rig.h"

enum { FIRST_INDEX = 10 }; /* of record_v2.py */

static unsigned differences;

static int64_t revision(void)
{
    return store_revision(raft_node_store(v2_node(&rig)));
}

/* The times are not those of the record. */
static void put_without_times(struct buf *out, const char *text)
{
    static const char name[] = "\"expiration\":\"";
    for (; *text != '\0'; text++) {
        buf_put(out, *text == '\n' ? "\\n" : text, *text == '\n' ? 2 : 1);
        if (out->len >= strlen(name) &&
            memcmp(out->data + out->len - strlen(name), name, strlen(name)) == 0) {
            buf_put_str(out, "T");
            text += strcspn(text + 1, "\"");
        }
    }
}

static void put_answer(struct buf *out, struct fake_exchange *fake)
{
    buf_printf(out, "%d|%s|%s|", fake->status, fake->type,
               fake_answer_header(fake, "X-Etcd-Index"));
    buf_put_str(out, fake_answer_header(fake, "X-Etcd-Cluster-Id")[0] == '\0' ? "" : "c");
    buf_put_str(out, fake_answer_header(fake, "X-Raft-Index")[0] == '\0' ? "" : "r");
    buf_printf(out, "|%s|", fake_answer_header(fake, "Allow"));
    put_without_times(out, buf_str(&fake->body));
}

static bool is_gone(struct v2_rig *any, void *arg)
{
    struct store_v2_node node;
    struct span cause;
    return store_v2_get(raft_node_store(v2_node(any)), span_str(arg), &node, &cause) != 0;
}

static void check_line(char *const columns[GOLDEN_COLUMNS])
{
    const char *body = columns[2] == NULL ? "" : columns[2];
    struct buf answer = BUF_INIT;
    if (strcmp(columns[0], "EXPIRE") == 0) {
        v2_until(&rig, is_gone, columns[1], "the ttl ends");
        return;
    }
    struct fake_exchange *fake = v2_ask(&rig, columns[0], columns[1], body);
    const char *expected = columns[4] != NULL ? columns[4] : columns[3];
    put_answer(&answer, fake);
    if (expected == NULL || strcmp(buf_str(&answer), expected) != 0) {
        (void)fprintf(stderr, "%s\t%s\t%s\n  want %s\n  is   %s\n", columns[0], columns[1], body,
                      expected, buf_str(&answer)); /* cmocka's print would cut it */
        differences++;
    }
    buf_free(&answer);
    fake_free(fake);
}

static void answers_are_those_of_etcd(void **state)
{
    (void)state;
    while (revision() < FIRST_INDEX - 1) {
        fake_free(v2_ask(&rig, "PUT", "/v2/keys/_first", "value=1"));
    }
    fake_free(v2_ask(&rig, "DELETE", "/v2/keys/_first", ""));
    assert_int_equal(revision(), FIRST_INDEX);
    assert_true(golden_each("tests/golden/etcd/v2_transcript.txt", check_line) > 200);
    assert_int_equal(differences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_etcd),
    };
    return cmocka_run_group_tests(tests, v2_open_one, v2_close_one);
}
