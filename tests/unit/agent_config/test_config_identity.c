/* Which changes of a file make another agent of it, or another witness. */
#include "agent/config/config_identity.h"
#include "tests/unit/agent_config/config_fixture.h"

struct variant {
    const char *from; /* NULL = the good file */
    const char *to;
};

static struct config load_witness(const char *from, const char *to)
{
    static const struct config_source source = {
        .path = "w.yml", .cwd = "/", .home = "/home/pg", .use = CONFIG_WITNESS};
    struct config config;
    struct error err = {0};
    char *text = edited(from, to);
    *strstr(text, "postgresql:\n  listen") = '\0';
    if (config_load_text(&source, text, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return config;
}

static struct config (*load_one)(const char *from, const char *to) = loaded;

static int compare(struct variant before, struct variant after, struct error *err)
{
    struct config running = load_one(before.from, before.to);
    struct config now = load_one(after.from, after.to);
    char *identity = config_identity(&running);
    *err = (struct error){0};
    int rc = config_identity_check(&now, identity, err);
    mem_free(identity);
    config_free(&running);
    config_free(&now);
    return rc;
}

static void is_another(struct variant before, struct variant after, const char *words)
{
    struct error err;
    int rc = compare(before, after, &err);
    if (rc != ERR_REFUSED || strstr(err.text, words) == NULL) {
        fail_msg("'%s' is not in: %d, %s", words, rc, err.text);
    }
}

static void is_the_same(struct variant before, struct variant after)
{
    struct error err;
    if (compare(before, after, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static const struct variant good_one;
#define V(from, to) ((struct variant){from, to})
#define RAFT                                \
    "raft:\n"                               \
    "  data_dir: /data/raft\n"              \
    "  self_addr: 172.20.0.10:2222\n"       \
    "  partner_addrs: ['172.20.0.11:2222'," \
    " '172.20.0.12:2222']\n"
#define CLIENT "raft:\n  partner_addrs: ['172.20.0.11:2222']\n  password: p\n"

static void what_makes_another_agent_is_refused(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *words;
    } cases[] = {
        {"scope: postgres", "scope: other", "scope: is 'other' now, and 'postgres' for what runs"},
        {"namespace: /db/", "namespace: /d/", "namespace: is '/d' now, and '/db' for"},
        {"namespace: /db/\n", "", "namespace: is '/service' now, and '/db' for"},
        {"name: node1", "name: node9", "name: is 'node9' now, and 'node1' for"},
        {"/data/raft", "/data/raft2", "raft.data_dir: is '/data/raft2' now, and '/data/raft' for"},
        {"self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10:2223",
         "raft.self_addr: is '172.20.0.10:2223' now, and '172.20.0.10:2222' for"},
        {"/data/patroni", "/data/new",
         "postgresql.data_dir: is '/data/new' now, and '/data/patroni' for"},
        {RAFT, "etcd3: {host: 172.20.0.4}\n", "store: is 'etcd3' now, and 'raft' for"},
        {RAFT, CLIENT, "raft.self_addr: is not given now, and '172.20.0.10:2222' for"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        is_another(good_one, V(cases[i].from, cases[i].to), cases[i].words);
    }
    is_another(good_one, V("name: node1", "name: node9"),
               "node1.yml: name: is 'node9' now, and 'node1' for what runs here: that would be "
               "another agent in its place: put it back, or stop this one and start it anew");
    is_another(V(RAFT, "etcd: {host: 172.20.0.4}\n"), V(RAFT, "etcd3: {host: 172.20.0.4}\n"),
               "store: is 'etcd3' now, and 'etcd' for");
    is_another(V(RAFT, "state_dir: /s\netcd: {host: 172.20.0.4}\n"),
               V(RAFT, "etcd: {host: 172.20.0.4}\n"),
               "state_dir: is '/home/pg/.pgquorum/postgres-node1' now, and '/s' for");
    is_another(V(RAFT, "state_dir: /s\n" CLIENT), good_one,
               "raft.self_addr: is '172.20.0.10:2222' now, and not given for");
}

static void what_the_same_agent_may_do_anew_is_not(void **state)
{
    static const char *const edits[][2] = {
        {"namespace: /db/", "namespace: db"},
        {"data_dir: /data/raft", "data_dir: /data/../data/raft/"},
        {"  listen: 172.20.0.10:8008", "  listen: 172.20.0.10:8009"},
        {"  partner_addrs: ['172.20.0.11:2222', ", "  partner_addrs: ["},
        {"listen: 172.20.0.10:5432", "listen: 172.20.0.10:5433"},
        {"self_addr: 172.20.0.10:2222", "self_addr: 172.20.0.10:2222\n  bind_addr: '*:2222'"},
        {"data_dir: /data/patroni", "data_dir: /data/patroni/\n  config_dir: /etc/pg"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        is_the_same(good_one, V(edits[i][0], edits[i][1]));
    }
    is_the_same(V(RAFT, "etcd3: {host: 172.20.0.4}\n"), V(RAFT, "etcd3: {host: 172.20.0.5}\n"));
}

static void a_witness_is_held_to_what_it_has(void **state)
{
    (void)state;
    load_one = load_witness;
    is_the_same(good_one, V("ttl: 30", "ttl: 40"));
    is_another(good_one, V("/data/raft", "/data/raft2"),
               "w.yml: raft.data_dir: is '/data/raft2' now, and '/data/raft' for what runs here: "
               "that would be another witness in its place");
    is_another(good_one, V("name: node1", "name: w"), "name: is 'w' now, and 'node1' for");
    load_one = loaded;
}

static void long_values_leave_room_for_what_to_do(void **state)
{
    char path[201] = "/";
    (void)state;
    memset(path + 1, 'x', sizeof path - 2);
    char *long_one = mem_printf("data_dir: %s", path);
    is_another(V("data_dir: /data/patroni", long_one),
               V("data_dir: /data/patroni", "data_dir: /data/patroni"),
               "xxx'... for what runs here: that would be another agent in its place: put it back, "
               "or stop this one and start it anew");
    mem_free(long_one);
}

/* Of another release: it may know more, or less. */
static void only_what_both_know_is_compared(void **state)
{
    static const char *const none[] = {"", "[]", "{", "nonsense"};
    struct config config = loaded(NULL, NULL);
    struct error err = {0};
    (void)state;
    assert_int_equal(config_identity_check(&config, "{}", &err), 0);
    assert_int_equal(
        config_identity_check(&config, "{\"name\": \"node1\", \"later\": \"x\"}", &err), 0);
    assert_int_equal(config_identity_check(&config, "{\"name\": \"n\"}", &err), ERR_REFUSED);
    assert_int_equal(config_identity_check(&config, "{\"scope\": null}", &err), ERR_REFUSED);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(config_identity_check(&config, none[i], &err), ERR_REFUSED);
        assert_non_null(strstr(err.text, "has not said who it is"));
    }
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_makes_another_agent_is_refused),
        cmocka_unit_test(what_the_same_agent_may_do_anew_is_not),
        cmocka_unit_test(a_witness_is_held_to_what_it_has),
        cmocka_unit_test(long_values_leave_room_for_what_to_do),
        cmocka_unit_test(only_what_both_know_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
