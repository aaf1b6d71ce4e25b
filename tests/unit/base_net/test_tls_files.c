/* The files of a context: what is wrong with them, in words; reading them again; and the watch over
 * them while the loop runs. */
#include "base/net/tls_watch.h"
#include "tests/unit/base_net/tls_fixture.h"

#include <sys/stat.h>
#include <time.h>

/* --- reading ---------------------------------------------------------------------------------- */

static int read_them(const char *certfile, const char *keyfile, const char *cafile, bool mutual,
                     struct error *err)
{
    char texts[3][256];
    const char *names[3] = {certfile, keyfile, cafile};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%s/%s", dir, names[i] != NULL ? names[i] : "");
    }
    struct tls_config config = {.certfile = certfile != NULL ? texts[0] : NULL,
                                .keyfile = keyfile != NULL ? texts[1] : NULL,
                                .cafile = cafile != NULL ? texts[2] : NULL,
                                .verify = cafile != NULL ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE,
                                .mutual = mutual};
    struct tls_context *context = NULL;
    *err = (struct error){0};
    int rc = tls_context_new(&config, &context, err);
    assert_true((context != NULL) == (rc == 0));
    tls_context_free(context);
    return rc;
}

static void what_is_wrong_with_a_file_is_said_with_its_name(void **state)
{
    static const struct {
        const char *certfile;
        const char *keyfile;
        const char *cafile;
        int rc;
        const char *says; /* where "%" is the directory */
    } rows[] = {
        {"none.crt", "here.key", "ca.crt", ERR_NOT_FOUND,
         "certificate file '%/none.crt': No such file or directory"},
        {"here.crt", "none.key", "ca.crt", ERR_NOT_FOUND,
         "key file '%/none.key': No such file or directory"},
        {"here.crt", "here.key", "none.crt", ERR_NOT_FOUND,
         "authorities file '%/none.crt': No such file or directory"},
        {"", "here.key", "ca.crt", ERR_INVALID, "certificate file '%/' is no file"},
        {"pipe", "here.key", "ca.crt", ERR_INVALID, "certificate file '%/pipe' is no file"},
        {"empty", "here.key", "ca.crt", ERR_INVALID,
         "certificate file '%/empty': there is no certificate in it (PEM is wanted)"},
        {"here.key", "here.key", "ca.crt", ERR_INVALID,
         "certificate file '%/here.key': there is no certificate in it (PEM is wanted)"},
        {"here.crt", "here.crt", "ca.crt", ERR_INVALID,
         "key file '%/here.crt': there is no private key in it (PEM is wanted)"},
        {"here.crt", "here.key", "here.key", ERR_INVALID,
         "authorities file '%/here.key': there is no certificate in it (PEM is wanted)"},
        {"here.crt", "here.key", "empty", ERR_INVALID,
         "authorities file '%/empty': there is no certificate in it (PEM is wanted)"},
        {"here.crt", "other.key", "ca.crt", ERR_INVALID,
         "the key in '%/other.key' does not belong to the certificate in '%/here.crt'"},
        {"here.crt", "rsa.key", "ca.crt", ERR_INVALID,
         "the key in '%/rsa.key' does not belong to the certificate in '%/here.crt'"},
        {"here.crt", "locked.key", "ca.crt", ERR_INVALID,
         "key file '%/locked.key': the key is locked with a passphrase, which nobody is there to "
         "give: store it without one, readable to this user only"},
        {"cut.crt", "here.key", "ca.crt", ERR_INVALID, "certificate file '%/cut.crt': "},
        {"half_chain.crt", "here.key", "ca.crt", ERR_INVALID,
         "certificate file '%/half_chain.crt': "},
        {"large", "here.key", "ca.crt", ERR_LIMIT,
         "certificate file '%/large' has 1048577 bytes, 1048576 are allowed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err;
        char expected[600];
        size_t len = 0;
        for (const char *c = rows[i].says; *c != '\0'; c++) {
            len += (size_t)snprintf(expected + len, sizeof expected - len,
                                    *c == '%' ? "%s" : "%.1s", *c == '%' ? dir : c);
        }
        int rc = read_them(rows[i].certfile, rows[i].keyfile, rows[i].cafile, false, &err);
        if (rc != rows[i].rc || strncmp(err.text, expected, strlen(expected)) != 0) {
            fail_msg("%zu: expected %d '%s', got %d '%s'", i, rows[i].rc, expected, rc, err.text);
        }
    }
}

static int read_with(const struct tls_config *more, struct error *err)
{
    struct tls_config config = *more;
    struct tls_context *context = NULL;
    char texts[2][256];
    (void)snprintf(texts[0], sizeof texts[0], "%s/%s", dir, config.certfile);
    (void)snprintf(texts[1], sizeof texts[1], "%s/%s", dir, config.keyfile);
    config.certfile = texts[0];
    config.keyfile = texts[1];
    *err = (struct error){0};
    int rc = tls_context_new(&config, &context, err);
    tls_context_free(context);
    return rc;
}

static void locked_key_is_opened_by_its_passphrase(void **state)
{
    struct error err;
    struct tls_config config = {
        .certfile = "here.crt", .keyfile = "here_locked.key", .key_password = "open sesame"};
    (void)state;
    EVP_PKEY *key = tls_read_key(dir, "here");
    tls_write_key(dir, "here_locked", key, "open sesame");
    EVP_PKEY_free(key);
    assert_int_equal(read_with(&config, &err), 0);
    config.key_password = "wrong";
    config.section = "restapi";
    assert_int_equal(read_with(&config, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "restapi.keyfile: "));
    assert_non_null(strstr(err.text, "its passphrase is not the one that is given"));
    assert_null(strstr(err.text, "wrong"));
    config.key_password = NULL;
    assert_int_equal(read_with(&config, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "is locked with a passphrase"));
    config.keyfile = "here.key"; /* one that is not needed does no harm */
    config.key_password = "open sesame";
    assert_int_equal(read_with(&config, &err), 0);
}

static void ciphers_are_those_that_are_given(void **state)
{
    struct error err;
    struct tls_config config = {
        .certfile = "here.crt", .keyfile = "here.key", .ciphers = "ECDHE+AESGCM"};
    (void)state;
    assert_int_equal(read_with(&config, &err), 0);
    config.ciphers = "NONSENSE";
    config.section = "restapi";
    assert_int_equal(read_with(&config, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "restapi.ciphers: 'NONSENSE' names no cipher"));
}

static void messages_name_the_key_of_a_section(void **state)
{
    struct error err;
    struct tls_config config = {
        .certfile = "none.crt", .keyfile = "here.key", .section = "restapi"};
    (void)state;
    assert_int_equal(read_with(&config, &err), ERR_NOT_FOUND);
    assert_int_equal(strncmp(err.text, "restapi.certfile: certificate file '",
                             strlen("restapi.certfile: certificate file '")),
                     0);
    assert_non_null(strstr(err.text, "give a file that is there and that this user may read"));
    config.certfile = "here.crt";
    config.keyfile = "other.key";
    assert_int_equal(read_with(&config, &err), ERR_INVALID);
    assert_int_equal(
        strncmp(err.text, "restapi.keyfile: the key in '", strlen("restapi.keyfile: the key in '")),
        0);
}

static void a_file_that_may_not_be_read_is_said_so(void **state)
{
    struct error err;
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(seteuid(65534), 0);
    int rc = read_them("here.crt", "here.key", "ca.crt", false, &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, ERR_PERMISSION);
    assert_non_null(strstr(err.text, "/here.crt': Permission denied"));
}

static void key_and_certificate_may_stand_in_one_file(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(read_them("here.crt", NULL, "ca.crt", true, &err), ERR_INVALID);
    assert_int_equal(read_them("pair.pem", NULL, "ca.crt", true, &err), 0);
    assert_int_equal(read_them(NULL, NULL, "ca.crt", false, &err), 0); /* a client without one */
}

static void files_that_do_not_make_sense_together_are_refused(void **state)
{
    struct error err;
    struct tls_context *context = NULL;
    struct tls_config asks = {.verify = TLS_VERIFY_OPTIONAL};
    (void)state;
    assert_int_equal(tls_context_new(&asks, &context, &err), ERR_INVALID);
    assert_int_equal(read_them(NULL, "here.key", "ca.crt", false, &err), ERR_INVALID);
    assert_int_equal(read_them(NULL, NULL, "ca.crt", true, &err), ERR_INVALID);
    assert_int_equal(read_them("here.crt", "here.key", NULL, true, &err), ERR_INVALID);
}

/* Where the others would refuse it, it is better refused here. */
static void a_certificate_that_the_others_would_refuse_is_told_when_it_is_read(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(read_them("foreign.crt", "foreign.key", "ca.crt", true, &err), ERR_INVALID);
    assert_non_null(strstr(err.text,
                           "/foreign.crt', which the others would refuse: the certificate "
                           "of the other side (foreign) is not signed by"));
    assert_int_equal(read_them("foreign.crt", "foreign.key", "ca.crt", false, &err), 0);
    assert_int_equal(read_them("serves.crt", "serves.key", "ca.crt", true, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "may not be used in both directions"));
    assert_int_equal(read_them("serves.crt", "serves.key", "ca.crt", false, &err), 0);
    assert_int_equal(read_them("expired.crt", "expired.key", "ca.crt", true, &err), 0);
}

/* That there is a list of another authority's makes no difference to that. */
static void an_authority_without_a_list_is_looked_at_all_the_same(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(read_them("here.crt", "here.key", "other_has_list.crt", true, &err), 0);
    assert_int_equal(read_them("posed.crt", "posed.key", "other_has_list.crt", true, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "posed.crt', which the others would refuse"));
}

static void without_memory_a_file_is_not_read(void **state)
{
    struct error err;
    (void)state;
    for (unsigned n = 1; n <= 3; n++) {
        mem_fault_at(n);
        assert_int_equal(read_them("here.crt", "here.key", "ca.crt", false, &err), ERR_NOMEM);
        assert_non_null(strstr(err.text, ": no memory for its "));
    }
    mem_fault_at(0);
}

static void the_first_end_of_the_chain_is_told(void **state)
{
    static const struct {
        const char *leaf;
        const char *ca;
        const char *authorities;
        int64_t days;
    } rows[] = {{"here", "ca", "ca", 100},
                {"of_short", "ca", "ca", 20},
                {"expired", "ca", "ca", 0},
                {"of_brief", "brief", "brief, stranger", 10}}; /* which has no list of its own */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_about about;
        struct tls_context *context = context_of(rows[i].leaf, rows[i].ca, TLS_VERIFY_REQUIRED);
        tls_context_about(context, &about);
        int64_t left_s = about.expires_s - (int64_t)time(NULL);
        assert_in_range(left_s + TLS_DAY_S, rows[i].days * TLS_DAY_S + TLS_DAY_S - 100,
                        rows[i].days * TLS_DAY_S + TLS_DAY_S + 1);
        assert_string_equal(about.name, rows[i].leaf);
        assert_string_equal(about.authorities, rows[i].authorities);
        tls_context_free(context);
    }
}

/* --- reading again ---------------------------------------------------------------------------- */

static void put_in_use(const char *leaf)
{
    char command[800];
    (void)snprintf(command, sizeof command,
                   "cp '%s/%s.crt' '%s/n.crt' && cp '%s/%s.key' '%s/n.key' && "
                   "mv '%s/n.crt' '%s/used.crt' && mv '%s/n.key' '%s/used.key'",
                   dir, leaf, dir, dir, leaf, dir, dir, dir, dir, dir);
    assert_int_equal(system(command), 0);
}

static void about_is(const struct tls_context *context, const char *name)
{
    struct tls_about about;
    tls_context_about(context, &about);
    assert_string_equal(about.name, name);
}

static void reading_again_takes_new_files_and_keeps_the_old_where_it_fails(void **state)
{
    struct end *client;
    struct end *server;
    struct error err;
    (void)state;
    put_in_use("here");
    struct tls_context *context = context_of("used", "ca", TLS_VERIFY_REQUIRED);
    struct tls_options options = {.loop = &loop, .context = context};
    ends_meet(options, options, &client, &server);
    end_read(client);
    end_read(server);
    TURN_UNTIL(is_open(client) && is_open(server));
    put_in_use("other");
    assert_int_equal(tls_context_reload(context, &err), 0);
    about_is(context, "other");
    tls_write_text(dir, "used.key", "");
    assert_int_equal(tls_context_reload(context, &err), ERR_INVALID);
    about_is(context, "other");
    assert_int_equal(end_write(client, span_str("on")), 0); /* what is there goes on */
    TURN_UNTIL(server->got.len == 2);
    assert_string_equal(stream_peer(server->stream)->name, "here");
    ends_meet(options, options, &client, &server);
    tls_context_free(context);
    TURN_UNTIL(is_open(client) && is_open(server));
    assert_string_equal(stream_peer(server->stream)->name, "other");
}

/* --- watching --------------------------------------------------------------------------------- */

static struct {
    struct tls_context *context;
    struct tls_watch *watch;
    int loads;
    int failures;
    int expiries;
    int stops;
    char text[ERROR_TEXT_BYTES];
    char expiry[ERROR_TEXT_BYTES];
    bool stop_inside;
} seen;

static void on_stopped(void *arg)
{
    (void)arg;
    seen.stops++;
}

static void maybe_stop(void)
{
    if (seen.stop_inside) {
        tls_watch_stop(seen.watch, on_stopped, NULL);
    }
}

static void on_loaded(void *arg, const char *text)
{
    (void)arg;
    seen.loads++;
    (void)snprintf(seen.text, sizeof seen.text, "%s", text);
    maybe_stop();
}

static void on_failed(void *arg, const struct error *err)
{
    (void)arg;
    seen.failures++;
    (void)snprintf(seen.text, sizeof seen.text, "%s", err->text);
    maybe_stop();
}

static void on_expiry(void *arg, const char *text)
{
    (void)arg;
    seen.expiries++;
    (void)snprintf(seen.expiry, sizeof seen.expiry, "%s", text);
    maybe_stop();
}

static void watch_begin(const char *leaf, int64_t interval_ms)
{
    static const struct tls_watch_events events = {
        .on_loaded = on_loaded, .on_failed = on_failed, .on_expiry = on_expiry};
    memset(&seen, 0, sizeof seen);
    put_in_use(leaf);
    seen.context = context_of("used", "ca", TLS_VERIFY_REQUIRED);
    seen.watch = tls_watch_start(&loop, seen.context, &events, interval_ms);
}

static void watch_end(void)
{
    if (!seen.stop_inside) {
        tls_watch_stop(seen.watch, on_stopped, NULL);
    }
    RUN_UNTIL(seen.stops == 1);
    tls_context_free(seen.context);
}

static void new_files_are_found_without_being_asked(void **state)
{
    (void)state;
    watch_begin("here", 5);
    put_in_use("other");
    RUN_UNTIL(seen.loads == 1);
    about_is(seen.context, "other");
    assert_non_null(strstr(seen.text, "certificates were read again, 'other' is valid until 20"));
    assert_non_null(strstr(seen.text, ", and the authorities are 'ca': new connections use them"));
    put_in_use("here");
    RUN_UNTIL(seen.loads == 2);
    about_is(seen.context, "here");
    assert_int_equal(seen.failures, 0);
    assert_int_equal(seen.expiries, 0);
    watch_end();
}

static bool looked;

static void on_timer_closed(uv_handle_t *timer)
{
    (void)timer;
    looked = true;
}

static void on_look_over(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

static void for_a_while(uint64_t ms)
{
    static uv_timer_t timer;
    looked = false;
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_look_over, ms, 0), 0);
    RUN_UNTIL(looked);
}

static void files_that_cannot_be_used_are_told_once_and_change_nothing(void **state)
{
    (void)state;
    watch_begin("here", 5);
    tls_write_text(dir, "used.key", "");
    RUN_UNTIL(seen.failures == 1);
    assert_non_null(strstr(seen.text, "used.key': there is no private key in it"));
    for_a_while(60);
    assert_int_equal(seen.failures, 1);
    about_is(seen.context, "here");
    put_in_use("other");
    RUN_UNTIL(seen.loads == 1);
    tls_write_text(dir, "used.key", ""); /* it is told anew */
    RUN_UNTIL(seen.failures == 2);
    watch_end();
}

/* Certificate first, key a moment later: nothing to be told. */
static void files_that_change_one_after_the_other_are_waited_for(void **state)
{
    char command[300];
    (void)state;
    watch_begin("here", 400);
    for_a_while(20); /* the first look is over */
    (void)snprintf(command, sizeof command, "cp '%s/other.crt' '%s/used.crt'", dir, dir);
    assert_int_equal(system(command), 0);
    for_a_while(400); /* one look saw the two that do not belong together */
    put_in_use("other");
    RUN_UNTIL(seen.loads == 1);
    assert_int_equal(seen.failures, 0);
    watch_end();
}

static void a_look_that_was_asked_for_tells_at_once_what_it_found(void **state)
{
    (void)state;
    watch_begin("here", 60000);
    tls_watch_look(seen.watch);
    tls_watch_look(seen.watch); /* twice is once */
    RUN_UNTIL(seen.loads == 1); /* though nothing has changed */
    tls_write_text(dir, "used.key", "");
    tls_watch_look(seen.watch);
    RUN_UNTIL(seen.failures == 1);
    tls_watch_look(seen.watch);
    RUN_UNTIL(seen.failures == 2);
    put_in_use("other");
    tls_watch_look(seen.watch);
    RUN_UNTIL(seen.loads == 2);
    watch_end();
}

static void an_end_that_is_near_is_told(void **state)
{
    (void)state;
    watch_begin("soon", 5);
    RUN_UNTIL(seen.expiries == 1);
    assert_non_null(strstr(seen.expiry, "used.crt', or one that it hangs on, expires at 20"));
    for_a_while(40);
    assert_int_equal(seen.expiries, 1); /* once a day */
    put_in_use("of_short");
    RUN_UNTIL(seen.expiries == 2); /* the authority between is what ends */
    put_in_use("expired");
    RUN_UNTIL(seen.expiries == 3);
    assert_non_null(strstr(seen.expiry, "has expired at 20"));
    put_in_use("future");
    RUN_UNTIL(seen.expiries == 4);
    assert_non_null(strstr(seen.expiry, "is not valid before 20"));
    put_in_use("here");
    RUN_UNTIL(seen.loads == 4);
    assert_int_equal(seen.expiries, 4);
    watch_end();
}

static void a_watch_may_be_stopped_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        watch_begin(i == 4 ? "soon" : "here", 5);
        seen.stop_inside = i >= 3;
        if (i == 3) {
            put_in_use("other");
        } else if (i == 5) {
            tls_write_text(dir, "used.key", "");
        }
        for (int turns_done = 0; turns_done < i && i < 3; turns_done++) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
        watch_end();
    }
}

/* --- set up ----------------------------------------------------------------------------------- */

static void make_pair(void)
{
    char command[512];
    (void)snprintf(command, sizeof command,
                   "cd '%s' && cat here.crt here.key > pair.pem && mkfifo pipe && "
                   "head -c 300 here.crt > cut.crt && cat here.crt cut.crt > half_chain.crt && "
                   "head -c 1048577 /dev/zero > large && chmod 700 .",
                   dir);
    assert_int_equal(system(command), 0);
}

static int files_make(void **state)
{
    static const struct tls_leaf leaves[] = {
        {.file = "here", .name = "here"},
        {.file = "other", .name = "other"},
        {.file = "foreign", .ca = "stranger", .name = "foreign"},
        {.file = "expired", .name = "expired", .from_s = -2 * TLS_DAY_S, .until_s = -60},
        {.file = "soon", .name = "soon", .until_s = 29 * TLS_DAY_S},
        {.file = "future", .name = "future", .from_s = TLS_DAY_S, .until_s = 90 * TLS_DAY_S},
        {.file = "serves", .name = "serves", .usage = "serverAuth"},
        {.file = "short", .name = "short", .until_s = 20 * TLS_DAY_S, .is_authority = true},
        {.file = "of_short", .ca = "short", .name = "of_short", .chain = "short"},
        {.file = "of_brief", .ca = "brief", .name = "of_brief"},
        {.file = "posed", .ca = "poser", .name = "posed"},
    };
    static const struct tls_leaf roots[] = {
        {.file = "ca", .name = "ca", .is_authority = true},
        {.file = "stranger", .name = "stranger", .is_authority = true},
        {.file = "poser", .name = "ca", .is_authority = true}, /* another key of that name */
        {.file = "brief",
         .name = "brief",
         .until_s = 10 * TLS_DAY_S,
         .is_authority = true,
         .chain = "stranger"},
    };
    (void)state;
    tls_dir_make(dir, sizeof dir);
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        tls_make_root(dir, &roots[i]);
    }
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        tls_make(dir, &leaves[i]);
    }
    tls_join(dir, "other_has_list", "ca", "stranger");
    tls_revoke(
        dir, &(struct tls_list){.file = "other_has_list", .ca = "stranger", .revoked = "foreign"});
    tls_revoke(dir, &(struct tls_list){.file = "brief", .ca = "stranger", .revoked = "foreign"});
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    EVP_PKEY *here = tls_read_key(dir, "here");
    tls_write_key(dir, "rsa", rsa, NULL);
    tls_write_key(dir, "locked", here, "secret");
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(here);
    tls_write_text(dir, "empty", "");
    make_pair();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(what_is_wrong_with_a_file_is_said_with_its_name),
        WIRE_TEST(locked_key_is_opened_by_its_passphrase),
        WIRE_TEST(ciphers_are_those_that_are_given),
        WIRE_TEST(messages_name_the_key_of_a_section),
        WIRE_TEST(a_file_that_may_not_be_read_is_said_so),
        WIRE_TEST(key_and_certificate_may_stand_in_one_file),
        WIRE_TEST(files_that_do_not_make_sense_together_are_refused),
        WIRE_TEST(a_certificate_that_the_others_would_refuse_is_told_when_it_is_read),
        WIRE_TEST(an_authority_without_a_list_is_looked_at_all_the_same),
        WIRE_TEST(without_memory_a_file_is_not_read),
        WIRE_TEST(the_first_end_of_the_chain_is_told),
        WIRE_TEST(reading_again_takes_new_files_and_keeps_the_old_where_it_fails),
        WIRE_TEST(new_files_are_found_without_being_asked),
        WIRE_TEST(files_that_cannot_be_used_are_told_once_and_change_nothing),
        WIRE_TEST(files_that_change_one_after_the_other_are_waited_for),
        WIRE_TEST(a_look_that_was_asked_for_tells_at_once_what_it_found),
        WIRE_TEST(an_end_that_is_near_is_told),
        WIRE_TEST(a_watch_may_be_stopped_at_any_time),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
