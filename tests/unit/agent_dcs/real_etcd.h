/* A real etcd of one member, as a child of the test on ports of 127.0.0.1, and a client of it that
 * blocks: what an operator does by hand. */
#ifndef TESTS_UNIT_AGENT_DCS_REAL_ETCD_H
#define TESTS_UNIT_AGENT_DCS_REAL_ETCD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/harness/free_port.h"
#include "tests/harness/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum { ETCD_START_MS = 30000, BY_HAND_S = 5 };

static pid_t etcd_pid;
static uint16_t etcd_port;
static uint16_t etcd_peer_port;
static char etcd_dir[64];
static char etcd_url[64];

static inline bool etcd_is_installed(void)
{
    return access("/usr/bin/etcd", X_OK) == 0;
}

/* One request; the body of the answer (mem_free), NULL if there is none. */
static inline char *by_hand(const char *method, const char *path, const char *type,
                            const char *body)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(etcd_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = BY_HAND_S};
    struct buf got = BUF_INIT;
    char piece[4096];
    char *request =
        mem_printf("%s %s HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", method,
                   path, type, strlen(body), body);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request)) {
        ssize_t n = 0;
        do { /* a signal ends a wait that has a limit, whatever its handler says */
            n = recv(fd, piece, sizeof piece, 0);
            buf_put(&got, piece, n > 0 ? (size_t)n : 0);
        } while (n > 0 || (n < 0 && errno == EINTR));
    }
    close(fd);
    mem_free(request);
    const char *end = got.len == 0 ? NULL : strstr(buf_str(&got), "\r\n\r\n");
    char *answer = end == NULL ? NULL : mem_strdup(end + 4);
    buf_free(&got);
    return answer;
}

static inline void v3_by_hand(const char *path, const char *body)
{
    char *answer = by_hand("POST", path, "application/json", body);
    if (answer == NULL || strstr(answer, "\"error\"") != NULL) {
        fail_msg("%s %s: %s", path, body, answer == NULL ? "(nothing)" : answer);
    }
    mem_free(answer);
}

static inline void v2_by_hand(const char *method, const char *path, const char *form)
{
    mem_free(by_hand(method, path, "application/x-www-form-urlencoded", form));
}

static inline void etcd_run(void)
{
    char peer_url[64];
    char cluster[128];
    char log[128];
    (void)snprintf(etcd_url, sizeof etcd_url, "http://127.0.0.1:%u", etcd_port);
    (void)snprintf(peer_url, sizeof peer_url, "http://127.0.0.1:%u", etcd_peer_port);
    (void)snprintf(cluster, sizeof cluster, "one=%s", peer_url);
    (void)snprintf(log, sizeof log, "%s.log", etcd_dir);
    etcd_pid = fork();
    if (etcd_pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl("/usr/bin/etcd", "etcd", "--enable-v2", "--name", "one", "--data-dir", etcd_dir,
                    "--heartbeat-interval", "50", "--election-timeout", "250",
                    "--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url,
                    "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                    "--initial-cluster", cluster, (char *)NULL);
        _exit(127);
    }
    assert_true(etcd_pid > 0);
    for (int waited_ms = 0;; waited_ms += 50) {
        char *answer = by_hand("GET", "/health", "text/plain", "");
        bool healthy = answer != NULL && strstr(answer, "\"true\"") != NULL;
        mem_free(answer);
        if (healthy) {
            return;
        }
        assert_true(waited_ms < ETCD_START_MS);
        (void)usleep(50000);
    }
}

static inline void etcd_start(void)
{
    etcd_port = free_port();
    etcd_peer_port = free_port();
    scratch_make(etcd_dir, sizeof etcd_dir, "/tmp", "etcd");
    etcd_run();
}

static inline void etcd_end(void)
{
    if (etcd_pid > 0) {
        (void)kill(etcd_pid, SIGKILL);
        (void)waitpid(etcd_pid, NULL, 0);
        etcd_pid = 0;
    }
}

/* Until SIGCONT. All its threads have stopped when this returns. */
static inline void etcd_stand_still(void)
{
    int status = 0;
    assert_int_equal(kill(etcd_pid, SIGSTOP), 0);
    assert_int_equal(waitpid(etcd_pid, &status, WUNTRACED), etcd_pid);
    assert_true(WIFSTOPPED(status));
}

static inline void remove_tree(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/rm", "rm", "-rf", path, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

/* Data and identity gone, the address the same. */
static inline void etcd_wipe(void)
{
    etcd_end();
    remove_tree(etcd_dir);
    etcd_run();
}

/* As an operator does it from a backup of this moment: the keys and their revisions are the same,
 * the Raft terms begin anew. */
static inline void etcd_restore(void)
{
    char restored[80];
    char snapshot[96];
    char peer_url[64];
    char cluster[128];
    int status = 0;
    (void)usleep(300000); /* its database is written every 100 ms */
    etcd_end();
    (void)snprintf(restored, sizeof restored, "%s.new", etcd_dir);
    (void)snprintf(snapshot, sizeof snapshot, "%s/member/snap/db", etcd_dir);
    (void)snprintf(peer_url, sizeof peer_url, "http://127.0.0.1:%u", etcd_peer_port);
    (void)snprintf(cluster, sizeof cluster, "one=%s", peer_url);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)setenv("ETCDCTL_API", "3", 1);
        (void)execl("/usr/bin/etcdctl", "etcdctl", "snapshot", "restore", snapshot,
                    "--skip-hash-check", "--name", "one", "--data-dir", restored,
                    "--initial-cluster", cluster, "--initial-advertise-peer-urls", peer_url,
                    (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    remove_tree(etcd_dir);
    assert_int_equal(rename(restored, etcd_dir), 0);
    etcd_run();
}

static inline void etcd_stop(void)
{
    char log[128];
    etcd_end();
    remove_tree(etcd_dir);
    (void)snprintf(log, sizeof log, "%s.log", etcd_dir);
    (void)unlink(log);
}

#endif
