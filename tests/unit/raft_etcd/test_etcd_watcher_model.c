/* Watchers against the list of all events. Three members apply the same random commands, each at
 * its own pace; one is replaced by a snapshot of another now and then. Watchers of random ranges
 * come and go, pause, and go on at another member from their next revision. Whatever they are given
 * has to be the next of the list, whole revisions, until they are told that it is compacted. */
#include "fake_service.h"

enum {
    MEMBERS = 3,
    EVENTS_MAX = 4000, /* within the window: only commands compact */
    COMMANDS_MAX = 2000,
    STEPS = 6000,
    ROUNDS = 20
};

#include "watcher_model.h"

struct member {
    struct etcd_service service;
    size_t applied;
};

static uv_loop_t loop;
static struct member members[MEMBERS];
static struct buf commands[COMMANDS_MAX];
static size_t command_count;

static struct etcd_service *model_service(int member)
{
    return &members[member].service;
}

static void model_submit(const struct store_command *command)
{
    commands[command_count] = (struct buf)BUF_INIT;
    assert_int_equal(store_command_encode(command, &commands[command_count++], NULL), 0);
}

static void member_apply(struct member *member, size_t count)
{
    while (count-- > 0 && member->applied < command_count) {
        struct store *store = member->service.store;
        struct store_result result;
        store_apply(store, store_applied(store) + 1, buf_span(&commands[member->applied++]),
                    &result, NULL);
        assert_int_equal(result.code, 0);
    }
    etcd_service_on_change(&member->service);
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* A member that is behind gets the state of one that is not. */
static void member_replace(struct member *member)
{
    const struct member *other = &members[dice(MEMBERS)];
    if (other->applied > member->applied) {
        fake_restore(&member->service, &other->service);
        member->applied = other->applied;
    }
}

static void step(void)
{
    switch (dice(10)) {
    case 0:
    case 1:
    case 2:
        if (command_count < COMMANDS_MAX) {
            command_random();
        }
        break;
    case 3:
    case 4: member_apply(&members[dice(MEMBERS)], (size_t)dice(6) + 1); break;
    case 5:
        if (dice(4) == 0) {
            member_replace(&members[dice(MEMBERS)]);
        }
        break;
    case 6:
    case 7: listener_random(&listeners[dice(WATCHERS)]); break;
    default: (void)uv_run(&loop, UV_RUN_NOWAIT); break;
    }
}

/* Everybody gets everything: then nothing of the list may be left. */
static void settle(void)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        member_apply(&members[i], COMMANDS_MAX);
    }
    listeners_resume();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    listeners_close();
}

static void run_round(uint64_t number)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < MEMBERS; i++) {
        fake_service_open(&members[i].service, &loop);
        members[i].applied = 0;
    }
    model_begin(number, members[0].service.store);
    command_count = 0;
    for (int i = 0; i < STEPS; i++) {
        step();
    }
    settle();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < MEMBERS; i++) {
        fake_service_close(&members[i].service);
    }
    for (size_t i = 0; i < command_count; i++) {
        buf_free(&commands[i]);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void watchers_give_the_list_of_all_events(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        run_round(round);
    }
    assert_true(events_given > 10000); /* it was about something */
    assert_true(compactions_told > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchers_give_the_list_of_all_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
