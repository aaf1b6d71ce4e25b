/* Real members in one loop: directories under /tmp, ports of 127.0.0.1, real clocks. For the tests
 * of groups and of their clients. */
#ifndef TEST_GROUP_FIXTURE_H
#define TEST_GROUP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "raft/group.h"
#include "tests/harness/free_port.h"
#include "tests/harness/scratch.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define MEMBERS_MAX  4
#define ELECTION_MS  200
#define HEARTBEAT_MS 20
#define PASSWORD     "correct horse"

enum event { NO_EVENT, READY, CHANGE, WAITING, WARNING, FATAL };

struct member {
    struct raft_group *group;
    enum event close_at;    /* it is closed from inside the first such callback */
    const char *close_text; /* the text has to have this in it */
    char name[32];
    char dir[128];
    char address[64];
    char bind[64];           /* empty = address */
    const char *client_urls; /* NULL = none */
    const char *password;
    char certfile[128]; /* empty = none */
    char keyfile[128];
    char cafile[128];
    bool armed_page;
    bool witness;
    void (*changed)(void *arg); /* beside what the rig does itself; may be NULL */
    void *changed_arg;
    bool closed;
    int readies;
    char waiting[512];
    char warnings[4096];
    char notes[1024];
    char fatal[512];
};

struct rig {
    uv_loop_t loop;
    uv_timer_t tick;
    char dir[64];
    struct member members[MEMBERS_MAX];
    size_t count;
    int election_ms; /* of members that are started from now on */
    int heartbeat_ms;
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void ports_find(uint16_t *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ports[i] = free_port();
    }
}

static void rig_init(struct rig *rig, size_t count, const char *password)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(uv_timer_init(&rig->loop, &rig->tick), 0);
    assert_int_equal(uv_timer_start(&rig->tick, on_tick, 5, 5), 0);
    scratch_make(rig->dir, sizeof rig->dir, "/tmp", "group");
    uint16_t ports[MEMBERS_MAX];
    ports_find(ports, count);
    rig->count = count;
    rig->election_ms = ELECTION_MS;
    rig->heartbeat_ms = HEARTBEAT_MS;
    for (size_t i = 0; i < count; i++) {
        struct member *member = &rig->members[i];
        snprintf(member->name, sizeof member->name, "node%zu", i + 1);
        snprintf(member->dir, sizeof member->dir, "%s/node%zu", rig->dir, i + 1);
        snprintf(member->address, sizeof member->address, "127.0.0.1:%u", ports[i]);
        member->password = password;
        member->closed = true;
    }
}

static void on_member_closed(void *arg)
{
    struct member *member = arg;
    member->closed = true;
    member->group = NULL;
}

static void member_event(struct member *member, enum event event, const char *text)
{
    if (member->close_at == event &&
        (member->close_text == NULL || strstr(text, member->close_text) != NULL)) {
        member->close_at = NO_EVENT;
        raft_group_close(member->group, on_member_closed, member);
    }
}

static void on_ready(void *arg)
{
    struct member *member = arg;
    member->readies++;
    if (member->changed != NULL) {
        member->changed(member->changed_arg);
    }
    member_event(member, READY, "");
}

static void on_change(void *arg)
{
    struct member *member = arg;
    if (member->changed != NULL) {
        member->changed(member->changed_arg);
    }
    member_event(arg, CHANGE, "");
}

static void on_waiting(void *arg, const char *text)
{
    struct member *member = arg;
    snprintf(member->waiting, sizeof member->waiting, "%s", text);
    member_event(member, WAITING, text);
}

static void on_warning(void *arg, const char *text)
{
    struct member *member = arg;
    size_t used = strlen(member->warnings);
    snprintf(member->warnings + used, sizeof member->warnings - used, "%s\n", text);
    member_event(member, WARNING, text);
}

static void on_note(void *arg, const char *text)
{
    struct member *member = arg;
    size_t used = strlen(member->notes);
    snprintf(member->notes + used, sizeof member->notes - used, "%s\n", text);
}

static void on_fatal(void *arg, const struct error *err)
{
    struct member *member = arg;
    snprintf(member->fatal, sizeof member->fatal, "%s", err->text);
    member_event(member, FATAL, err->text);
}

static const char *given(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static int member_open(struct rig *rig, size_t at, struct error *err)
{
    struct member *member = &rig->members[at];
    const char *partners[MEMBERS_MAX];
    size_t partner_count = 0;
    for (size_t i = 0; i < rig->count; i++) {
        if (i != at) {
            partners[partner_count++] = rig->members[i].address;
        }
    }
    struct raft_group_config config = {.data_dir = member->dir,
                                       .name = member->name,
                                       .self_addr = member->address,
                                       .bind_addr = given(member->bind),
                                       .client_urls = member->client_urls,
                                       .partner_addrs = partners,
                                       .partner_count = partner_count,
                                       .password = member->password,
                                       .certfile = given(member->certfile),
                                       .keyfile = given(member->keyfile),
                                       .cafile = given(member->cafile),
                                       .election_timeout_ms = rig->election_ms,
                                       .heartbeat_ms = rig->heartbeat_ms,
                                       .armed_page = member->armed_page,
                                       .witness = member->witness};
    struct raft_group_callbacks callbacks = {.on_ready = on_ready,
                                             .on_change = on_change,
                                             .on_waiting = on_waiting,
                                             .on_warning = on_warning,
                                             .on_note = on_note,
                                             .on_fatal = on_fatal,
                                             .arg = member};
    member->waiting[0] = '\0';
    member->readies = 0;
    member->closed = false;
    int rc = raft_group_open(&rig->loop, &config, &callbacks, &member->group, err);
    member->closed = rc != 0;
    return rc;
}

static void member_start(struct rig *rig, size_t at)
{
    struct error err = {0};
    int rc = member_open(rig, at, &err);
    if (rc != 0) {
        fail_msg("%s: %s", rig->members[at].name, err.text);
    }
}

static inline void members_start(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        member_start(rig, i);
    }
}

static void member_print(const struct member *member)
{
    static struct raft_status status;
    print_message("%s: waiting '%s' fatal '%s' warnings:\n%s", member->name, member->waiting,
                  member->fatal, member->warnings);
    struct raft_node *node = member->closed ? NULL : raft_group_node(member->group);
    if (node == NULL) {
        return;
    }
    raft_node_status(node, &status);
    print_message("  id %llx role %d term %llu leader %llx commit %llu applied %llu last %llu\n",
                  (unsigned long long)status.id, (int)status.role, (unsigned long long)status.term,
                  (unsigned long long)status.leader, (unsigned long long)status.commit_index,
                  (unsigned long long)status.applied_index, (unsigned long long)status.last_index);
    for (size_t i = 0; i < status.member_count; i++) {
        const struct raft_member_status *other = &status.members[i];
        print_message("    %llx '%s' %s voter %d connected %d match %llu\n",
                      (unsigned long long)other->id, other->name, other->address, other->voter,
                      other->connected, (unsigned long long)other->match_index);
    }
}

/* Runs the loop until `holds`, or fails after `limit_ms`. */
static void wait_for(struct rig *rig, bool (*holds)(struct rig *rig, void *arg), void *arg,
                     int limit_ms, const char *what)
{
    uint64_t until = uv_hrtime() + (uint64_t)limit_ms * 1000000;
    while (!holds(rig, arg)) {
        if (uv_hrtime() > until) {
            for (size_t i = 0; i < rig->count; i++) {
                member_print(&rig->members[i]);
            }
            fail_msg("not within %d ms: %s", limit_ms, what);
        }
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

static bool is_closed(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct member *)arg)->closed;
}

static void member_stop(struct rig *rig, size_t at)
{
    raft_group_close(rig->members[at].group, on_member_closed, &rig->members[at]);
    wait_for(rig, is_closed, &rig->members[at], 5000, "the member closes");
}

static void dir_remove(const char *dir)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void rig_free(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        if (!rig->members[i].closed) {
            member_stop(rig, i);
        }
    }
    uv_close((uv_handle_t *)&rig->tick, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    dir_remove(rig->dir);
}

static struct raft_node *node_of(struct rig *rig, size_t at)
{
    return rig->members[at].closed ? NULL : raft_group_node(rig->members[at].group);
}

/* The running member that leads, or -1. */
static int leader_of(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        struct raft_node *node = node_of(rig, i);
        if (node != NULL) {
            struct raft_status status;
            raft_node_status(node, &status);
            if (status.role == RAFT_ROLE_LEADER) {
                return (int)i;
            }
        }
    }
    return -1;
}

static inline bool has_leader(struct rig *rig, void *arg)
{
    (void)arg;
    return leader_of(rig) >= 0;
}

/* Every member knows all as voters with a name, and somebody leads. */
static inline bool all_are_voters(struct rig *rig, void *arg)
{
    static struct raft_status status;
    (void)arg;
    for (size_t i = 0; i < rig->count; i++) {
        size_t voters = 0;
        if (node_of(rig, i) == NULL) {
            return false;
        }
        raft_node_status(node_of(rig, i), &status);
        for (size_t j = 0; j < status.member_count; j++) {
            voters += status.members[j].voter && status.members[j].name[0] != '\0' ? 1 : 0;
        }
        if (voters != rig->count) {
            return false;
        }
    }
    return leader_of(rig) >= 0;
}

/* Each is connected with each, has told its name, and somebody leads. */
static inline bool all_connected(struct rig *rig, void *arg)
{
    static struct raft_status status;
    size_t links = 0;
    (void)arg;
    for (size_t i = 0; i < rig->count; i++) {
        if (node_of(rig, i) == NULL) {
            return false;
        }
        raft_node_status(node_of(rig, i), &status);
        for (size_t j = 0; j < status.member_count; j++) {
            links += status.members[j].connected && status.members[j].name[0] != '\0';
        }
    }
    return links == rig->count * rig->count && leader_of(rig) >= 0;
}

static inline bool all_waiting(struct rig *rig, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < rig->count; i++) {
        if (!rig->members[i].closed && rig->members[i].waiting[0] == '\0') {
            return false;
        }
    }
    return true;
}

static inline bool some_time(struct rig *rig, void *arg)
{
    (void)rig;
    return uv_hrtime() > *(uint64_t *)arg;
}

/* Lets the members run; for showing that something does not happen. */
static inline void run_for(struct rig *rig, int ms)
{
    uint64_t until = uv_hrtime() + (uint64_t)ms * 1000000;
    wait_for(rig, some_time, &until, ms + 1000, "time passes");
}

struct answer {
    bool done;
    int rc;
    struct store_result result;
};

static inline void on_answer(void *arg, int rc, const struct store_result *result)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->rc = rc;
    if (rc == 0) {
        answer->result = *result;
    }
}

static inline bool is_answered(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct answer *)arg)->done;
}

/* Puts through member `at`; the outcome. */
static inline int put(struct rig *rig, size_t at, const char *key, const char *value,
                      int timeout_ms)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    struct answer answer = {0};
    struct error err = {0};
    int rc = raft_node_propose(node_of(rig, at), &command, timeout_ms, 0, on_answer, &answer, &err);
    if (rc != 0) {
        return rc;
    }
    wait_for(rig, is_answered, &answer, timeout_ms + 2000, "a put is answered");
    return answer.rc != 0 ? answer.rc : answer.result.code;
}

struct expected {
    size_t at;
    const char *key;
    const char *value;
};

static inline bool has_value(struct rig *rig, void *arg)
{
    struct expected *expected = arg;
    struct store_kv kv;
    struct raft_node *node = node_of(rig, expected->at);
    return node != NULL && store_get(raft_node_store(node), span_str(expected->key), &kv) &&
           span_equal_str(kv.value, expected->value);
}

static inline void await_value(struct rig *rig, size_t at, const char *key, const char *value)
{
    struct expected expected = {.at = at, .key = key, .value = value};
    wait_for(rig, has_value, &expected, 5000, "the value is replicated");
}

#endif
