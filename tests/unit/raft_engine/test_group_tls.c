/* A group whose connections are mutual TLS: who gets in, who does not and what is said, and new
 * certificates while it runs. */
#include "group_fixture.h"

#include "raft/client.h"
#include "raft/engine/client_impl.h"
#include "tests/harness/tls_files.h"

#include <signal.h>

#define STAYS_MS 700

static struct rig rig;

/* "%dir/<leaf>.crt" and so on. */
static void give(struct member *member, const char *leaf, const char *ca)
{
    snprintf(member->certfile, sizeof member->certfile, "%s/%s.crt", rig.dir, leaf);
    snprintf(member->keyfile, sizeof member->keyfile, "%s/%s.key", rig.dir, leaf);
    snprintf(member->cafile, sizeof member->cafile, "%s/%s.crt", rig.dir, ca);
}

static void make(const char *file, const char *ca, const char *name, const char *alt, long until_s)
{
    struct tls_leaf leaf = {
        .file = file, .ca = ca, .name = name, .alt = alt, .from_s = -2 * TLS_DAY_S};
    leaf.until_s = until_s;
    tls_make(rig.dir, &leaf);
}

static void open_rig(size_t count, const char *password)
{
    rig_init(&rig, count, password);
    tls_make_ca(rig.dir, "ca");
    tls_make_ca(rig.dir, "stranger");
    for (size_t i = 0; i < count; i++) {
        struct member *member = &rig.members[i];
        make(member->name, "ca", member->name, NULL, 0);
        give(member, member->name, "ca");
    }
}

static void start_all(void)
{
    members_start(&rig);
    wait_for(&rig, all_connected, NULL, 10000, "the members find one another");
}

struct said {
    const struct member *member;
    const char *text;
};

static bool is_said(struct rig *same, void *arg)
{
    const struct said *said = arg;
    (void)same;
    return strstr(said->member->warnings, said->text) != NULL ||
           strstr(said->member->notes, said->text) != NULL;
}

static void await_said(size_t at, const char *text)
{
    struct said said = {.member = &rig.members[at], .text = text};
    wait_for(&rig, is_said, &said, 10000, text);
}

static void forget(void)
{
    for (size_t i = 0; i < rig.count; i++) {
        rig.members[i].warnings[0] = rig.members[i].notes[0] = '\0';
    }
}

/* --- members ---------------------------------------------------------------------------------- */

static void three_members_make_a_group_over_tls(void **state)
{
    (void)state;
    open_rig(3, NULL);
    make("node3", "ca", "another", "DNS:x,IP:127.0.0.1", 0); /* its address will do */
    start_all();
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    assert_int_equal(put(&rig, 2, "/b", "two", 3000), 0);
    for (size_t i = 0; i < 3; i++) {
        await_value(&rig, i, "/a", "one");
        await_value(&rig, i, "/b", "two");
        assert_string_equal(rig.members[i].warnings, ""); /* no password: the certificate counts */
    }
    member_stop(&rig, 1); /* and again after a restart */
    assert_int_equal(put(&rig, 0, "/c", "three", 5000), 0);
    member_start(&rig, 1);
    await_value(&rig, 1, "/c", "three");
    rig_free(&rig);
}

static void a_long_value_goes_through_in_pieces(void **state)
{
    static char value[1200 * 1024];
    (void)state;
    open_rig(3, "secret");
    start_all();
    memset(value, 'x', sizeof value - 1);
    assert_int_equal(put(&rig, 1, "/long", value, 30000), 0);
    await_value(&rig, 2, "/long", value);
    rig_free(&rig);
}

/* Two of three make no new group; the third would be the one that is missing. */
static void stays_out(const char *leaf, const char *ca, const char *it_says, const char *they_say)
{
    struct member *third = &rig.members[2];
    member_stop(&rig, 2);
    give(third, leaf, ca);
    third->warnings[0] = '\0';
    forget();
    member_start(&rig, 2);
    await_said(2, it_says);
    await_said(0, they_say);
    run_for(&rig, STAYS_MS);
    assert_int_equal(put(&rig, 0, "/a", leaf, 3000), 0); /* the others go on */
    struct store_kv kv;
    struct raft_node *node = node_of(&rig, 2);
    assert_true(node == NULL || !store_get(raft_node_store(node), span_str("/a"), &kv) ||
                !span_equal_str(kv.value, leaf));
}

static void who_has_no_good_certificate_stays_out_and_both_sides_say_why(void **state)
{
    (void)state;
    open_rig(3, "secret");
    tls_join(rig.dir, "two", "ca", "stranger");
    make("foreign", "stranger", "node3", NULL, 0);
    make("expired", "ca", "node3", NULL, -60);
    make("misnamed", "ca", "node9", "DNS:node9.test", 0);
    start_all();
    stays_out("foreign", "two", "the other side refuses our certificate '",
              "is not signed by an authority of '");
    stays_out("expired", "ca", "has expired at 20", "(node3) has expired: it was valid until 20");
    stays_out("misnamed", "ca",
              "the certificate (node9, node9.test) has neither the name of member 'node3' nor the "
              "host of its address 127.0.0.1:",
              "the certificate (node9, node9.test) has neither the name of member 'node3'");
    rig_free(&rig);
}

static void the_password_is_asked_for_all_the_same(void **state)
{
    (void)state;
    open_rig(3, "secret");
    start_all();
    member_stop(&rig, 2);
    rig.members[2].password = "guess";
    forget();
    member_start(&rig, 2);
    await_said(2, "the password is not the one configured here");
    rig_free(&rig);
}

static void a_member_of_plain_text_and_one_of_tls_say_what_is_set_where(void **state)
{
    (void)state;
    open_rig(2, "secret");
    rig.members[1].certfile[0] = rig.members[1].keyfile[0] = rig.members[1].cafile[0] = '\0';
    member_start(&rig, 0);
    member_start(&rig, 1);
    await_said(0, "plain text came where TLS is spoken: raft.certfile is set here and not on that "
                  "side");
    await_said(0, "the other side does not speak TLS: raft.certfile is set here and not on that "
                  "side");
    await_said(1, "TLS came where plain text is spoken: raft.certfile is set there and not here");
    await_said(1, "refused by the other side: TLS is spoken here: raft.certfile is set here and "
                  "not on the side that calls");
    rig_free(&rig);
}

/* What the try before it has left is closed in the next turns. */
static int open_fails(struct error *err)
{
    int rc;
    while ((rc = member_open(&rig, 0, err)) == ERR_BUSY) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    return rc;
}

static void files_that_are_no_good_end_the_start(void **state)
{
    struct error err;
    (void)state;
    open_rig(1, NULL);
    struct member *member = &rig.members[0];
    give(member, "none", "ca");
    assert_int_equal(open_fails(&err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "raft: certificate file '"));
    give(member, "node1", "stranger");
    assert_int_equal(open_fails(&err), ERR_INVALID);
    assert_non_null(strstr(err.text, "which the others would refuse"));
    member->cafile[0] = '\0';
    assert_int_equal(open_fails(&err), ERR_INVALID);
    rig_free(&rig);
}

/* --- rotation --------------------------------------------------------------------------------- */

static void reload_all(void)
{
    for (size_t i = 0; i < rig.count; i++) {
        raft_group_reload(rig.members[i].group);
    }
    for (size_t i = 0; i < rig.count; i++) {
        await_said(i, "certificates were read again");
    }
    forget();
}

static void renew_leaves(const char *ca)
{
    for (size_t i = 0; i < rig.count; i++) {
        const char *name = rig.members[i].name;
        make("new", ca, name, NULL, 0);
        tls_move(rig.dir, "new", name);
    }
}

static void trust(const char *file)
{
    char command[512];
    snprintf(command, sizeof command, "cp '%s/%s.crt' '%s/new' && mv '%s/new' '%s/trust.crt'",
             rig.dir, file, rig.dir, rig.dir, rig.dir);
    assert_int_equal(system(command), 0);
}

/* The authority too: both are believed, then everybody gets a new certificate, then one is believed
 * again. Never without a leader, and at the end the old ones are refused. */
static void everything_is_rotated_without_a_restart(void **state)
{
    (void)state;
    open_rig(3, NULL);
    tls_make_ca(rig.dir, "next");
    tls_join(rig.dir, "either", "ca", "next");
    trust("ca");
    for (size_t i = 0; i < 3; i++) {
        give(&rig.members[i], rig.members[i].name, "trust");
    }
    start_all();
    trust("either");
    reload_all();
    renew_leaves("next");
    reload_all();
    trust("next");
    reload_all();
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    member_stop(&rig, 2); /* connections anew, with the new certificates */
    member_start(&rig, 2);
    wait_for(&rig, all_connected, NULL, 10000, "the third is back");
    await_value(&rig, 2, "/a", "one");
    member_stop(&rig, 2);
    make("old", "ca", "node3", NULL, 0);
    give(&rig.members[2], "old", "ca");
    member_start(&rig, 2);
    await_said(0, "(node3) is not signed by an authority of");
    rig_free(&rig);
}

static void files_that_cannot_be_used_change_nothing(void **state)
{
    (void)state;
    open_rig(3, NULL);
    start_all();
    tls_write_text(rig.dir, "node1.key", "");
    raft_group_reload(rig.members[0].group);
    await_said(0, "there is no private key in it (PEM is wanted); the ones that were read before "
                  "stay in use");
    member_stop(&rig, 1);
    member_start(&rig, 1);
    wait_for(&rig, all_connected, NULL, 10000, "the second is back");
    rig_free(&rig);
}

/* --- clients ---------------------------------------------------------------------------------- */

struct seen {
    bool done;
    int rc;
    struct error err;
};

static void on_status(void *arg, int rc, const struct raft_status *status, const struct error *err)
{
    struct seen *seen = arg;
    (void)status;
    seen->done = true;
    seen->rc = rc;
    if (rc != 0) {
        seen->err = *err;
    }
}

static bool is_seen(struct rig *same, void *arg)
{
    (void)same;
    return ((struct seen *)arg)->done;
}

static bool is_true(struct rig *same, void *arg)
{
    (void)same;
    return *(bool *)arg;
}

static void on_client_closed(void *arg)
{
    *(bool *)arg = true;
}

/* What a client with these files is told; NULL = no TLS, no name. `at`: the address that it says is
 * its own, as no client of ours does. */
static struct seen ask_at(const char *name, const char *at, const char *leaf, const char *ca)
{
    const char *address = rig.members[0].address;
    struct raft_client *client = NULL;
    struct seen seen = {0};
    bool closed = false;
    struct member files;
    assert_int_equal(raft_client_new(&rig.loop, &address, 1, "secret", &client, NULL), 0);
    if (name != NULL) {
        assert_int_equal(raft_client_set_name(client, name, NULL), 0);
        snprintf(client->identity.address, sizeof client->identity.address, "%s", at);
    }
    if (leaf != NULL) {
        give(&files, leaf, ca);
        assert_int_equal(
            raft_client_use_tls(client, files.certfile, files.keyfile, files.cafile, &seen.err), 0);
    }
    assert_int_equal(raft_client_status(client, 3000, on_status, &seen, NULL), 0);
    wait_for(&rig, is_seen, &seen, 5000, "the client is answered");
    raft_client_close(client, on_client_closed, &closed);
    wait_for(&rig, is_true, &closed, 5000, "the client closes");
    return seen;
}

static struct seen ask_as(const char *name, const char *leaf, const char *ca)
{
    return ask_at(name, "", leaf, ca);
}

static struct seen ask(const char *leaf, const char *ca)
{
    return ask_as(NULL, leaf, ca);
}

/* What it does is done in that name: leases are held under it. */
static void a_client_with_a_name_needs_a_certificate_of_that_name(void **state)
{
    (void)state;
    open_rig(1, "secret");
    make("node4", "ca", "node4", NULL, 0);
    member_start(&rig, 0);
    wait_for(&rig, has_leader, NULL, 10000, "a leader");
    assert_int_equal(ask_as("node4", "node4", "ca").rc, 0);
    struct seen seen = ask_as("node5", "node4", "ca");
    assert_int_equal(seen.rc, ERR_PERMISSION);
    assert_non_null(strstr(seen.err.text, "does not have the name of 'node5', which calls"));
    /* An address that the certificate does bear makes the name no truer. */
    seen = ask_at("node5", "node4:2222", "node4", "ca");
    assert_int_equal(seen.rc, ERR_PERMISSION);
    rig_free(&rig);
}

static void a_client_needs_a_certificate_of_the_same_authority(void **state)
{
    (void)state;
    open_rig(1, "secret");
    make("operator", "ca", "an operator", NULL, 0); /* a client has no member's name */
    make("foreign", "stranger", "node1", NULL, 0);
    member_start(&rig, 0);
    wait_for(&rig, has_leader, NULL, 10000, "a leader");
    assert_int_equal(ask("operator", "ca").rc, 0);
    assert_int_equal(ask("node1", "ca").rc, 0);
    struct seen seen = ask("foreign", "stranger");
    assert_int_equal(seen.rc, ERR_PERMISSION);
    assert_non_null(strstr(seen.err.text, "is not signed by an authority of"));
    seen = ask(NULL, NULL);
    assert_int_equal(seen.rc, ERR_PERMISSION);
    assert_non_null(strstr(seen.err.text, "TLS is spoken here: raft.certfile is set here"));
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_members_make_a_group_over_tls),
        cmocka_unit_test(a_long_value_goes_through_in_pieces),
        cmocka_unit_test(who_has_no_good_certificate_stays_out_and_both_sides_say_why),
        cmocka_unit_test(the_password_is_asked_for_all_the_same),
        cmocka_unit_test(a_member_of_plain_text_and_one_of_tls_say_what_is_set_where),
        cmocka_unit_test(files_that_are_no_good_end_the_start),
        cmocka_unit_test(everything_is_rotated_without_a_restart),
        cmocka_unit_test(files_that_cannot_be_used_change_nothing),
        cmocka_unit_test(a_client_needs_a_certificate_of_the_same_authority),
        cmocka_unit_test(a_client_with_a_name_needs_a_certificate_of_that_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
