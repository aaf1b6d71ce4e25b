/* Who may ask for what, over which connection: every endpoint with every kind of caller, and what
 * changes while the server runs. Callers are libcurl, on this side of real connections. */
#include "tests/harness/tls_files.h"
#include "tests/unit/agent_api/api_fixture.h"

#include "base/net/http1.h"
#include "base/net/http_basic.h"

#include <curl/curl.h>

static char dir[64];

/* --- the server's side ------------------------------------------------------------------------ */

static struct api_security security;
static struct tls_context *contexts[8];
static size_t context_count;

static struct tls_context *make_context(const char *leaf, enum tls_verify verify)
{
    static const char *const protocols[] = HTTP1_PROTOCOLS;
    char crt[128];
    char key[128];
    char ca[128];
    struct error err;
    (void)snprintf(crt, sizeof crt, "%s/%s.crt", dir, leaf);
    (void)snprintf(key, sizeof key, "%s/%s.key", dir, leaf);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", dir);
    struct tls_config config = {.certfile = crt,
                                .keyfile = key,
                                .cafile = ca,
                                .verify = verify,
                                .protocols = protocols,
                                .protocol_count = HTTP1_PROTOCOL_COUNT};
    struct tls_context *context = NULL;
    if (tls_context_new(&config, &context, &err) != 0) {
        fail_msg("%s", err.text);
    }
    contexts[context_count++] = context;
    return context;
}

static void secure_now(void *arg)
{
    api_server_secure(rig.server, arg);
}

static void secure(void)
{
    rig_call(secure_now, &security);
}

static int start(void **state)
{
    security = (struct api_security){0};
    context_count = 0;
    return rig_start(state);
}

static int finish(void **state)
{
    int rc = rig_finish(state);
    for (size_t i = 0; i < context_count; i++) {
        tls_context_free(contexts[i]);
    }
    return rc;
}

static int make_files(void **state)
{
    static const struct tls_leaf leaves[] = {
        {.file = "server", .name = "server", .alt = "IP:127.0.0.1"},
        {.file = "next", .name = "next", .alt = "IP:127.0.0.1"},
        {.file = "client", .name = "a client"},
        {.file = "past", .name = "a client of yesterday", .from_s = -7200, .until_s = -3600},
        {.file = "future", .name = "a client of tomorrow", .from_s = 3600, .until_s = 7200},
        {.file = "stranger", .ca = "other", .name = "a client"},
        {.file = "server_only", .name = "a server", .usage = "serverAuth"},
    };
    (void)state;
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make_ca(dir, "other");
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        tls_make(dir, &leaves[i]);
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_dir_remove(dir);
    return 0;
}

/* --- callers ---------------------------------------------------------------------------------- */

struct caller {
    CURL *curl;
    bool tls;
    char headers[4096];
    size_t headers_len;
    char body[4096];
    size_t body_len;
};

static size_t take(char *data, size_t count, char *out, size_t size, size_t *len)
{
    size_t part = count < size - 1 - *len ? count : size - 1 - *len;
    memcpy(out + *len, data, part);
    *len += part;
    out[*len] = '\0';
    return count;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct caller *caller = arg;
    return take(data, size * count, caller->headers, sizeof caller->headers, &caller->headers_len);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct caller *caller = arg;
    return take(data, size * count, caller->body, sizeof caller->body, &caller->body_len);
}

static void set(struct caller *caller, CURLoption option, const void *value)
{
    assert_int_equal(curl_easy_setopt(caller->curl, option, value), CURLE_OK);
}

/* `leaf` NULL: without a certificate; `user` NULL: without name and password ("name:password"). */
static void call_as(struct caller *caller, bool tls, const char *leaf, const char *user,
                    const char *from)
{
    *caller = (struct caller){.curl = curl_easy_init(), .tls = tls};
    (void)curl_easy_setopt(caller->curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(caller->curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(caller->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    (void)curl_easy_setopt(caller->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(caller->curl, CURLOPT_TIMEOUT_MS, (long)RIG_WAIT_MS);
    set(caller, CURLOPT_HEADERDATA, caller);
    set(caller, CURLOPT_WRITEDATA, caller);
    set(caller, CURLOPT_PROXY, "");
    if (from != NULL) {
        set(caller, CURLOPT_INTERFACE, from);
    }
    if (leaf != NULL) {
        set(caller, CURLOPT_SSLCERT, tls_path(dir, leaf, ".crt"));
        set(caller, CURLOPT_SSLKEY, tls_path(dir, leaf, ".key"));
    }
    if (user != NULL) {
        set(caller, CURLOPT_USERPWD, user);
    }
}

/* Its status; 0: there was no answer. */
static long ask(struct caller *caller, const char *method, const char *path)
{
    char url[128];
    long status = 0;
    bool has_body =
        strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0;
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u%s", caller->tls ? "https" : "http", rig.port,
                   path);
    caller->headers_len = caller->body_len = 0;
    caller->headers[0] = caller->body[0] = '\0';
    set(caller, CURLOPT_URL, url);
    (void)curl_easy_setopt(caller->curl, CURLOPT_HTTPGET, 1L);
    (void)curl_easy_setopt(caller->curl, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
    if (has_body) {
        set(caller, CURLOPT_POSTFIELDS, "{}");
    }
    set(caller, CURLOPT_CUSTOMREQUEST, method);
    if (curl_easy_perform(caller->curl) == CURLE_OK) {
        (void)curl_easy_getinfo(caller->curl, CURLINFO_RESPONSE_CODE, &status);
    }
    return status;
}

static void hang_up(struct caller *caller)
{
    curl_easy_cleanup(caller->curl);
}

static long ask_once(bool tls, const char *leaf, const char *user, const char *from,
                     const char *method, const char *path)
{
    struct caller caller;
    call_as(&caller, tls, leaf, user, from);
    long status = ask(&caller, method, path);
    hang_up(&caller);
    return status;
}

/* --- every endpoint x every kind of caller ---------------------------------------------------- */

enum { PLAIN, TLS_NONE, TLS_OPTIONAL, TLS_REQUIRED, PORTS };

struct side {
    int port;
    bool password;
    bool listed; /* 127.0.0.2 may, 127.0.0.1 may not */
};

struct kind {
    const char *leaf;
    const char *user;
    const char *from;
};

static const char *const leaves[] = {NULL, "client", "past", "future", "stranger", "server_only"};
static const char *const users[] = {NULL, "admin:wrong", "admin:secret"};
static const char *const places[] = {"127.0.0.1", "127.0.0.2"};
static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"};
/* `odd`: ways to say it otherwise; of HEAD and OPTIONS the first ones will do. */
enum { FEW = 3, REGULAR = 21 };
static const char *const paths[] = {
    "/",         "/patroni",   "/restart",      "/cluster",      "/history",
    "/config",   "/metrics",   "/explain",      "/liveness",     "/readiness",
    "/health",   "/failsafe",  "/reload",       "/reinitialize", "/switchover",
    "/failover", "/sigterm",   "/citus",        "/mpp",          "/dry-run/switchover",
    "/reexec",   "/restart/x", "/config/x?y",   "/unknown",      "/..//config",
    "/%63onfig", "//restart",  "/restart?a=/x", "/RESTART"};

/* What changes something: the only ones that are not answered with 501. */
static bool is_unsafe(const char *method, const char *path)
{
    static const struct {
        const char *method;
        const char *segment;
    } known[] = {{"PATCH", "config"},      {"PUT", "config"},   {"POST", "switchover"},
                 {"POST", "failover"},     {"POST", "reload"},  {"POST", "failsafe"},
                 {"DELETE", "switchover"}, {"POST", "restart"}, {"DELETE", "restart"},
                 {"POST", "reinitialize"}, {"POST", "dry-run"}, {"POST", "reexec"}};
    size_t len = strcspn(path + 1, "/?");
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        found = found || (strcmp(known[i].method, method) == 0 && strlen(known[i].segment) == len &&
                          strncmp(known[i].segment, path + 1, len) == 0);
    }
    return found;
}

static bool reads(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "OPTIONS") == 0;
}

/* 0: no connection; 1: it is let in. */
static long expected(const struct side *side, const struct kind *kind, bool unsafe)
{
    bool asks = side->port == TLS_OPTIONAL || side->port == TLS_REQUIRED;
    bool good = kind->leaf != NULL && strcmp(kind->leaf, "client") == 0;
    if (asks && !good && (kind->leaf != NULL || side->port == TLS_REQUIRED)) {
        return 0;
    }
    if (!unsafe) {
        return 1;
    }
    if (side->listed && strcmp(kind->from, "127.0.0.2") != 0) {
        return 403;
    }
    if (asks && !good) {
        return 403;
    }
    return side->password && (kind->user == NULL || strcmp(kind->user, "admin:secret") != 0) ? 401
                                                                                             : 1;
}

static bool something_happened(void)
{
    return rig.write_count > 0 || rig.reloads > 0 || rig.restarts > 0 || rig.reinits > 0 ||
           rig.failsafe_name[0] != '\0' || rig.scheduled != NULL || rig.dry_runs > 0;
}

static void forget_what_happened(void)
{
    rig.reloads = rig.restarts = rig.reinits = rig.dry_runs = 0;
    rig.failsafe_name[0] = '\0';
}

static void check(const struct side *side, const struct kind *kind, struct caller *caller,
                  const char *method, const char *path)
{
    bool unsafe = is_unsafe(method, path);
    long want = expected(side, kind, unsafe);
    long got = ask(caller, method, path);
    bool let_in = got != 0 && got != 401 && got != 403;
    bool right = want == 1 ? let_in : got == want;
    if (let_in && !unsafe && !reads(method)) {
        right = right && got == 501;
    } else if (let_in && unsafe) {
        right = right && got != 501;
    }
    if (want == 401) {
        right =
            right && strstr(caller->headers, "WWW-Authenticate: Basic realm=\"Patroni\"") != NULL;
    }
    if (want != 1 || !unsafe) {
        right = right && !something_happened();
    }
    forget_what_happened();
    if (!right) {
        fail_msg("port %d%s%s, %s %s with certificate %s, as %s, from %s: %ld, and not %ld",
                 side->port, side->password ? " with password" : "", side->listed ? " listed" : "",
                 method, path, kind->leaf, kind->user, kind->from, got, want);
    }
}

static void check_kind(const struct side *side, const struct kind *kind)
{
    struct caller caller;
    call_as(&caller, side->port != PLAIN, kind->leaf, kind->user, kind->from);
    (void)curl_easy_setopt(caller.curl, CURLOPT_PATH_AS_IS, 1L);
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        bool few = strcmp(methods[m], "HEAD") == 0 || strcmp(methods[m], "OPTIONS") == 0;
        bool all = side->password && side->listed;
        size_t count = few ? FEW : all ? sizeof paths / sizeof paths[0] : REGULAR;
        for (size_t p = 0; p < count; p++) {
            check(side, kind, &caller, methods[m], paths[p]);
            if (expected(side, kind, false) == 0 && p > 2) {
                break; /* nobody is there to be asked */
            }
        }
    }
    hang_up(&caller);
}

static void check_side(const struct side *side)
{
    size_t leaf_count = side->port == PLAIN      ? 1
                        : side->port == TLS_NONE ? 2
                                                 : sizeof leaves / sizeof leaves[0];
    for (size_t l = 0; l < leaf_count; l++) {
        for (size_t u = 0; u < sizeof users / sizeof users[0]; u++) {
            for (size_t f = 0; f < sizeof places / sizeof places[0]; f++) {
                struct kind kind = {leaves[l], users[u], places[f]};
                if (u + f == 0 || expected(side, &kind, false) != 0) { /* else nobody is heard */
                    check_kind(side, &kind);
                }
            }
        }
    }
}

static void every_endpoint_answers_each_caller_as_it_should(void **state)
{
    static const char *const list[] = {"127.0.0.2"};
    char *credentials = http_basic_encode("admin", "secret");
    (void)state;
    rig_publish(rig_primary());
    rig.refuse_rc = rig.restart_rc = ERR_BUSY; /* who is let in is answered at once */
    rig.refuse_text = rig.restart_why = "busy";
    struct tls_context *by_port[PORTS] = {NULL, make_context("server", TLS_VERIFY_NONE),
                                          make_context("server", TLS_VERIFY_OPTIONAL),
                                          make_context("server", TLS_VERIFY_REQUIRED)};
    for (int port = PLAIN; port < PORTS; port++) {
        for (int more = 0; more < 4; more++) {
            struct side side = {port, (more & 1) != 0, (more & 2) != 0};
            security = (struct api_security){.tls = by_port[port],
                                             .certificate_wanted = port >= TLS_OPTIONAL,
                                             .credentials = side.password ? credentials : NULL,
                                             .allowlist = list,
                                             .allowlist_count = side.listed ? 1 : 0};
            secure();
            check_side(&side);
        }
    }
    mem_free(credentials);
}

static void only_the_exact_name_and_password_will_do(void **state)
{
    static const char *const wrong[] = {
        "Admin:secret", "admin:secretsecret", "admin:secre", "admin:", ":secret", "admin:secret "};
    char *credentials = http_basic_encode("admin", "secret");
    (void)state;
    rig_publish(rig_primary());
    security.credentials = credentials;
    secure();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(ask_once(false, NULL, wrong[i], NULL, "POST", "/reload"), 401);
    }
    assert_int_equal(ask_once(false, NULL, "admin:secret", NULL, "POST", "/reload"), 202);
    static const struct {
        const char *header;
        int status;
    } headers[] = {{"Authorization: Basic", 401},
                   {"Authorization: Basic ", 401},
                   {"Authorization: Basic YWRtaW46c2VjcmV0", 202},
                   {"authorization:\tbasic YWRtaW46c2VjcmV0 ", 202},
                   {"Authorization: Bearer YWRtaW46c2VjcmV0", 401},
                   {"Authorization: Basic YWRtaW46c2VjcmV0=", 401},
                   {"Authorization: x\r\nAuthorization: Basic YWRtaW46c2VjcmV0", 401}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char request[256];
        (void)snprintf(request, sizeof request,
                       "POST /reload HTTP/1.0\r\n%s\r\nContent-Length: 0\r\n\r\n",
                       headers[i].header);
        int fd = rig_client();
        rig_say(fd, request);
        assert_int_equal(rig_code(rig_reply(fd)), headers[i].status);
    }
    mem_free(credentials);
}

/* --- the allowlist ---------------------------------------------------------------------------- */

static void allow(const char *const *list, size_t count, bool members)
{
    security.allowlist = list;
    security.allowlist_count = count;
    security.include_members = members;
    secure();
}

static long reload_from(const char *from)
{
    return ask_once(false, NULL, NULL, from, "POST", "/reload");
}

static void reload_becomes(const char *from, long status)
{
    int64_t until = rig_now_ms() + RIG_WAIT_MS;
    while (reload_from(from) != status) { /* a name is being looked up */
        assert_true(rig_now_ms() < until);
    }
}

static void look_at_refusal(void *arg)
{
    *(bool *)arg = strstr(rig.refusal, "allowlist: 'nobody.invalid' is not found, and nobody is "
                                       "let in by it: ") != NULL;
}

static void count_refusals(void *arg)
{
    *(unsigned *)arg = rig.refusals;
}

/* The caller hears TLS's alert before the server has told of it. */
static void wait_for_refusals(unsigned count)
{
    int64_t until = rig_now_ms() + RIG_WAIT_MS;
    for (unsigned told = 0; told != count; rig_call(count_refusals, &told)) {
        assert_true(rig_now_ms() < until);
    }
}

static void wait_until_told_of_nobody(void)
{
    int64_t until = rig_now_ms() + RIG_WAIT_MS;
    for (bool told = false; !told; rig_call(look_at_refusal, &told)) {
        assert_true(rig_now_ms() < until);
    }
}

static void callers_are_allowed_by_address_network_and_name(void **state)
{
    static const char *const address[] = {"10.0.0.1", "127.0.0.2"};
    static const char *const network[] = {"127.0.0.4/30"};
    static const char *const six[] = {"::/0"};
    static const char *const all[] = {"0.0.0.0/0"};
    static const char *const name[] = {"localhost"};
    static const char *const nobody[] = {"nobody.invalid"};
    (void)state;
    rig_publish(rig_primary());
    allow(address, 2, false);
    assert_int_equal(reload_from("127.0.0.1"), 403);
    assert_int_equal(reload_from("127.0.0.2"), 202);
    allow(network, 1, false);
    assert_int_equal(reload_from("127.0.0.3"), 403);
    assert_int_equal(reload_from("127.0.0.4"), 202);
    assert_int_equal(reload_from("127.0.0.7"), 202);
    assert_int_equal(reload_from("127.0.0.8"), 403);
    allow(six, 1, false);
    assert_int_equal(reload_from("127.0.0.1"), 403);
    allow(all, 1, false);
    assert_int_equal(reload_from("127.0.0.1"), 202);
    allow(name, 1, false);
    reload_becomes("127.0.0.1", 202);
    assert_int_equal(reload_from("127.0.0.2"), 403);
    allow(nobody, 1, false); /* a list that nobody is found by is a list all the same */
    wait_until_told_of_nobody();
    assert_int_equal(reload_from("127.0.0.1"), 403);
    allow(NULL, 0, false);
    assert_int_equal(reload_from("127.0.0.1"), 202);
}

static struct api_status *members_at(const char *first, const char *second)
{
    struct api_status *status = rig_primary();
    struct ha_member *members = status->cluster.members;
    (void)snprintf(members[0].api_url, sizeof members[0].api_url, "https://%s:8008/patroni", first);
    (void)snprintf(members[1].api_url, sizeof members[1].api_url, "http://%s:8008/patroni", second);
    (void)snprintf(members[2].api_url, sizeof members[2].api_url, "nonsense");
    return status;
}

static void members_are_allowed_where_the_list_includes_them(void **state)
{
    static const char *const list[] = {"127.0.0.9"};
    (void)state;
    allow(NULL, 0, true);
    assert_int_equal(reload_from("127.0.0.1"), 403); /* nobody is known yet */
    rig_publish(members_at("127.0.0.2", "[::1]"));
    assert_int_equal(reload_from("127.0.0.2"), 202);
    assert_int_equal(reload_from("127.0.0.1"), 403);
    assert_int_equal(ask_once(false, NULL, NULL, "127.0.0.1", "POST", "/failsafe"), 400);
    allow(list, 1, true);
    assert_int_equal(reload_from("127.0.0.2"), 202);
    assert_int_equal(reload_from("127.0.0.9"), 202);
    assert_int_equal(ask_once(false, NULL, NULL, "127.0.0.2", "POST", "/failsafe"), 400);
    assert_int_equal(ask_once(false, NULL, NULL, "127.0.0.1", "POST", "/failsafe"), 403);
    rig_publish(members_at("127.0.0.3", "localhost"));
    assert_int_equal(reload_from("127.0.0.2"), 403);
    assert_int_equal(reload_from("127.0.0.3"), 202);
    reload_becomes("127.0.0.1", 202);
    allow(NULL, 0, false);
    assert_int_equal(reload_from("127.0.0.5"), 202);
}

/* --- changes while it runs -------------------------------------------------------------------- */

static void certificate_of(struct caller *caller, char *name, size_t size)
{
    struct curl_certinfo *info = NULL;
    name[0] = '\0';
    assert_int_equal(curl_easy_getinfo(caller->curl, CURLINFO_CERTINFO, &info), CURLE_OK);
    assert_true(info != NULL && info->num_of_certs > 0);
    for (struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next) {
        if (strncmp(line->data, "Subject:", strlen("Subject:")) == 0) {
            (void)snprintf(name, size, "%s", line->data + strlen("Subject:"));
        }
    }
}

static void shows(const char *name)
{
    struct caller caller;
    char found[64];
    call_as(&caller, true, NULL, NULL, NULL);
    (void)curl_easy_setopt(caller.curl, CURLOPT_CERTINFO, 1L);
    assert_int_equal(ask(&caller, "GET", "/patroni"), 200);
    certificate_of(&caller, found, sizeof found);
    hang_up(&caller);
    assert_non_null(strstr(found, name));
}

static long connections_of(struct caller *caller)
{
    long count = 0;
    assert_int_equal(curl_easy_getinfo(caller->curl, CURLINFO_NUM_CONNECTS, &count), CURLE_OK);
    return count;
}

static void certificates_are_exchanged_while_it_serves(void **state)
{
    struct caller old;
    (void)state;
    rig_publish(rig_primary());
    security.tls = make_context("server", TLS_VERIFY_NONE);
    secure();
    call_as(&old, true, NULL, NULL, NULL);
    assert_int_equal(ask(&old, "GET", "/primary"), 200);
    shows("CN = server");
    security.tls = make_context("next", TLS_VERIFY_NONE);
    secure();
    shows("CN = next");
    assert_int_equal(ask(&old, "GET", "/primary"), 200); /* on the connection of before */
    assert_int_equal(connections_of(&old), 0);
    security.tls = NULL;
    secure();
    assert_int_equal(ask(&old, "GET", "/primary"), 200);
    assert_int_equal(connections_of(&old), 0);
    assert_int_equal(ask_once(true, NULL, NULL, NULL, "GET", "/primary"), 0);
    assert_int_equal(ask_once(false, NULL, NULL, NULL, "GET", "/primary"), 200);
    hang_up(&old);
}

static void rules_count_for_connections_that_are_there(void **state)
{
    static const char *const elsewhere[] = {"10.0.0.1"};
    struct caller old;
    (void)state;
    rig_publish(rig_primary());
    call_as(&old, false, NULL, NULL, NULL);
    assert_int_equal(ask(&old, "POST", "/reload"), 202);
    allow(elsewhere, 1, false);
    assert_int_equal(ask(&old, "POST", "/reload"), 403);
    assert_int_equal(connections_of(&old), 0);
    hang_up(&old);
}

static void who_speaks_plain_text_to_tls_is_told_so(void **state)
{
    (void)state;
    rig_publish(rig_primary());
    security.tls = make_context("server", TLS_VERIFY_NONE);
    secure();
    int fd = rig_client();
    rig_say(fd, "OPTIONS / HTTP/1.0\r\n\r\n");
    const char *reply = rig_hear(fd, NULL, 0);
    assert_true(strncmp(reply, "HTTP/1.0 400 ", strlen("HTTP/1.0 400 ")) == 0);
    assert_non_null(strstr(reply, "use https"));
    (void)close(fd);
}

static void many_refusals_are_told_of_a_few_times(void **state)
{
    static const char *const elsewhere[] = {"10.0.0.1"};
    (void)state;
    rig_publish(rig_primary());
    allow(elsewhere, 1, false);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(reload_from("127.0.0.3"), 403);
    }
    assert_int_equal(rig.refusals, 1);
    assert_non_null(strstr(rig.refusal, "POST /reload of 127.0.0.3:"));
    rig.mono_ms += 60000;
    assert_int_equal(reload_from("127.0.0.3"), 403);
    assert_int_equal(rig.refusals, 2);
    assert_non_null(strstr(rig.refusal, "(4 more before"));
    assert_null(strstr(rig.refusal, "secret"));
    rig.mono_ms += 60000;
    security.tls = make_context("server", TLS_VERIFY_REQUIRED);
    secure();
    assert_int_equal(ask_once(true, "past", NULL, NULL, "GET", "/primary"), 0);
    wait_for_refusals(3);
    assert_non_null(strstr(rig.refusal, "has expired"));
}

/* --- headers ---------------------------------------------------------------------------------- */

static void answers_have_the_headers_of_the_file(void **state)
{
    struct caller caller;
    (void)state;
    rig_publish(rig_primary());
    call_as(&caller, false, NULL, NULL, NULL);
    assert_int_equal(ask(&caller, "GET", "/patroni"), 200);
    assert_non_null(strstr(caller.headers, "Server: pgquorum\r\n"));
    security.server = "Patroni";
    security.headers = "X-Frame-Options: deny\r\nX-Two: 2\r\n";
    secure();
    assert_int_equal(ask(&caller, "GET", "/patroni"), 200);
    assert_non_null(strstr(caller.headers, "Server: Patroni\r\n"));
    assert_non_null(strstr(caller.headers, "X-Frame-Options: deny\r\nX-Two: 2\r\n"));
    assert_int_equal(ask(&caller, "POST", "/reload"), 202);
    assert_non_null(strstr(caller.headers, "X-Two: 2\r\n"));
    assert_int_equal(ask(&caller, "HEAD", "/"), 200); /* a status line alone */
    assert_null(strstr(caller.headers, "X-Two"));
    assert_int_equal(ask(&caller, "GET", "/liveness"), 200);
    assert_null(strstr(caller.headers, "X-Two"));
    assert_int_equal(ask(&caller, "POST", "/unknown"), 501); /* an error page */
    assert_null(strstr(caller.headers, "X-Two"));
    hang_up(&caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_endpoint_answers_each_caller_as_it_should, start,
                                        finish),
        cmocka_unit_test_setup_teardown(only_the_exact_name_and_password_will_do, start, finish),
        cmocka_unit_test_setup_teardown(callers_are_allowed_by_address_network_and_name, start,
                                        finish),
        cmocka_unit_test_setup_teardown(members_are_allowed_where_the_list_includes_them, start,
                                        finish),
        cmocka_unit_test_setup_teardown(certificates_are_exchanged_while_it_serves, start, finish),
        cmocka_unit_test_setup_teardown(rules_count_for_connections_that_are_there, start, finish),
        cmocka_unit_test_setup_teardown(who_speaks_plain_text_to_tls_is_told_so, start, finish),
        cmocka_unit_test_setup_teardown(many_refusals_are_told_of_a_few_times, start, finish),
        cmocka_unit_test_setup_teardown(answers_have_the_headers_of_the_file, start, finish),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
