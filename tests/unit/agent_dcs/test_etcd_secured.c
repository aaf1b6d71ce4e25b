/* A real etcd that is found by the SRV records of its peers, speaks TLS to peers and clients, and
 * asks for a user and a password: all of it at once, in both dialects. */
#include "tests/harness/tls_files.h"
#include "tests/unit/agent_dcs/real_dcs.h"

#include "tests/unit/agent_dcs/fake_dns.h"

static char tls_dir[64];
static struct dcs *dcs;

/* $0: the client's URL, $1: the authority's file. One user may do with /s/x what he likes; nobody
 * else may do anything. */
static const char users_make[] =
    "set -e\n"
    "export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=\"$0\" ETCDCTL_CACERT=\"$1\"\n"
    "etcdctl user add root:r; etcdctl user grant-role root root\n"
    "etcdctl user add store:secret; etcdctl role add cluster\n"
    "etcdctl role grant-permission cluster --prefix=true readwrite /s/x/\n"
    "etcdctl user grant-role store cluster; etcdctl auth enable\n"
    "export ETCDCTL_API=2; unset ETCDCTL_CACERT; v2='etcdctl --ca-file '\"$1\"\n"
    "$v2 user add root:r; $v2 user add store:secret; $v2 role add cluster\n"
    "$v2 role grant cluster -path '/s/x*' -readwrite; $v2 user grant store -roles cluster\n"
    "$v2 auth enable; $v2 --username root:r role remove guest\n";

static int shell(const char *script)
{
    int status = -1;
    char log[128];
    (void)snprintf(log, sizeof log, "%s/sh.log", tls_dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl("/bin/sh", "sh", "-c", script, etcd_url, tls_path(tls_dir, "ca", ".crt"),
                    (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void secured_run(void)
{
    char peer_url[64];
    char cluster[128];
    const char *crt = tls_path(tls_dir, "here", ".crt");
    const char *key = tls_path(tls_dir, "here", ".key");
    const char *ca = tls_path(tls_dir, "ca", ".crt");
    (void)snprintf(etcd_url, sizeof etcd_url, "https://127.0.0.1:%u", etcd_port);
    (void)snprintf(peer_url, sizeof peer_url, "https://127.0.0.1:%u", etcd_peer_port);
    (void)snprintf(cluster, sizeof cluster, "one=%s", peer_url);
    etcd_pid = fork();
    if (etcd_pid == 0) {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl("/usr/bin/etcd", "etcd", "--enable-v2", "--name", "one", "--data-dir", etcd_dir,
                    "--heartbeat-interval", "50", "--election-timeout", "250", "--bcrypt-cost", "4",
                    "--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url,
                    "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                    "--initial-cluster", cluster, "--cert-file", crt, "--key-file", key,
                    "--peer-cert-file", crt, "--peer-key-file", key, "--peer-trusted-ca-file", ca,
                    (char *)NULL);
        _exit(127);
    }
    assert_true(etcd_pid > 0);
}

static int secured_start(void **state)
{
    static const struct tls_leaf here = {
        .file = "here", .name = "here", .alt = "DNS:localhost,IP:127.0.0.1"};
    static const struct tls_leaf client = {.file = "client", .name = "client"};
    (void)state;
    if (!etcd_is_installed()) {
        return 0;
    }
    tls_dir_make(tls_dir, sizeof tls_dir);
    tls_make_ca(tls_dir, "ca");
    tls_make_ca(tls_dir, "stranger");
    tls_make(tls_dir, &here);
    tls_make(tls_dir, &client);
    etcd_port = free_port();
    etcd_peer_port = free_port();
    scratch_make(etcd_dir, sizeof etcd_dir, "/tmp", "etcd");
    secured_run();
    if (shell("export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=\"$0\" ETCDCTL_CACERT=\"$1\"\n"
              "for i in $(seq 300); do etcdctl endpoint health && exit 0; sleep 0.1; done; "
              "exit 1\n") != 0 ||
        shell(users_make) != 0) {
        print_message("etcd and its users could not be set up: see %s/sh.log\n", tls_dir);
        return 1;
    }
    return 0;
}

static int secured_stop(void **state)
{
    (void)state;
    if (etcd_pid > 0) {
        etcd_stop();
        tls_dir_remove(tls_dir);
    }
    return 0;
}

static const struct dns_record *peers(void)
{
    static struct dns_record records[2];
    records[0] = (struct dns_record){"_etcd-server-ssl", 0, etcd_peer_port, 60, "127.0.0.1"};
    return records;
}

static int secured_open(void **state)
{
    (void)state;
    if (!etcd_is_installed()) {
        print_message("/usr/bin/etcd is not installed (make deps): not run\n");
        skip();
    }
    loop_open(WATCHDOG_MS, TICK_MS);
    dns_open(&loop);
    dns_records = peers();
    return 0;
}

static void secured_dcs(const char *ca, const char *password)
{
    struct error err = {0};
    struct dcs_etcd_config config = {.base = "/s/x/",
                                     .name = "n1",
                                     .etcd = {.srv = "example.org",
                                              .nameserver = &dns_address,
                                              .cacert = tls_path(tls_dir, ca, ".crt"),
                                              .cert = tls_path(tls_dir, "client", ".crt"),
                                              .key = tls_path(tls_dir, "client", ".key"),
                                              .username = "store",
                                              .password = password,
                                              .idle_ms = 10000,
                                              .clock = clock_real(),
                                              .random = random_real()},
                                     .heartbeat_ms = 300,
                                     .on_note = on_dcs_note};
    int rc = dialect == ETCD_V3 ? dcs_etcd3_new(&loop, &config, &dcs, &err)
                                : dcs_etcd2_new(&loop, &config, &dcs, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
}

static int secured_close(void **state)
{
    (void)state;
    if (dcs != NULL) {
        dcs->ops->free(dcs);
        dcs = NULL;
    }
    dns_close();
    loop_end();
    buf_free(&dcs_notes);
    return 0;
}

/* By a member that is started anew. */
static void tokens_are_forgotten(int64_t epoch)
{
    struct result result = {0};
    assert_int_equal(kill(etcd_pid, SIGKILL), 0);
    assert_int_equal(waitpid(etcd_pid, NULL, 0), etcd_pid);
    secured_run();
    for (int i = 0; i < 10 && (i == 0 || result.is.rc != 0); i++) {
        result = renew(dcs, epoch, 30000);
    }
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(put(dcs, "history", "[1]", DCS_ANY).is.rc, 0);
    RUN_UNTIL(key_is(dcs, "history", "[1]"));
}

static void leads_over_tls_with_a_password(void **state)
{
    struct result member;
    (void)state;
    secured_dcs("ca", "secret");
    RUN_UNTIL(view_of(dcs) != NULL);
    assert_non_null(strstr(buf_str(&dcs_notes), "SRV _etcd-server-ssl._tcp.example.org: "
                                                "addresses=1, the first is 'https://127.0.0.1:"));
    int64_t epoch = lead(dcs, "n1", 30000);
    assert_int_equal(renew(dcs, epoch, 30000).is.rc, 0);
    FINISH(member, dcs->ops->put_member(dcs, "n1", "m", 30000, ASK_MS, on_done, &member, NULL));
    assert_int_equal(member.is.rc, 0);
    assert_int_equal(put(dcs, "history", "[]", DCS_ABSENT).is.rc, 0);
    RUN_UNTIL(key_is(dcs, "history", "[]") && key_is(dcs, "members/n1", "m"));
    if (dialect == ETCD_V3) {
        tokens_are_forgotten(epoch);
    }
    assert_int_equal(release(dcs, epoch, NULL).is.rc, 0);
    assert_int_equal(take_away(dcs, "history", DCS_ANY).is.rc, 0);
}

static void another_password_is_refused(void **state)
{
    static const char *const words[] = {
        [ETCD_V3] = "authentication failed", [ETCD_V2] = "Insufficient credentials"};
    struct result result;
    (void)state;
    secured_dcs("ca", "another");
    RUN_UNTIL(strstr(buf_str(&dcs_notes), "SRV _etcd-server-ssl") != NULL);
    FINISH(result, dcs->ops->put(dcs, "history", "x", DCS_ANY, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_REFUSED);
    if (strstr(result.text, words[dialect]) == NULL) {
        fail_msg("%s", result.text);
    }
    assert_null(view_of(dcs));
}

/* Its members are nobody that we know: they are not asked for anything. */
static void peer_of_another_authority_is_not_believed(void **state)
{
    (void)state;
    secured_dcs("stranger", "secret");
    RUN_UNTIL(strstr(buf_str(&dcs_notes), "waiting for etcd") != NULL);
    assert_non_null(strstr(buf_str(&dcs_notes),
                           "asking a peer of _etcd-server-ssl._tcp.example.org for its members"));
    assert_non_null(strstr(buf_str(&dcs_notes), "certificate"));
    assert_null(view_of(dcs));
}

#define SECURED(name) cmocka_unit_test_setup_teardown(name, secured_open, secured_close)

static int run(enum etcd_dialect which, const char *title)
{
    const struct CMUnitTest tests[] = {
        SECURED(leads_over_tls_with_a_password),
        SECURED(another_password_is_refused),
        SECURED(peer_of_another_authority_is_not_believed),
    };
    dialect = which;
    return cmocka_run_group_tests_name(title, tests, NULL, NULL);
}

int main(void)
{
    if (secured_start(NULL) != 0) {
        return 1;
    }
    int failed = run(ETCD_V3, "v3") + run(ETCD_V2, "v2");
    (void)secured_stop(NULL);
    return failed;
}
