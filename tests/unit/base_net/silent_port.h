/* Listens, has its queue full, and accepts nobody: further SYNs are dropped without a word. */
#ifndef TESTS_UNIT_BASE_NET_SILENT_PORT_H
#define TESTS_UNIT_BASE_NET_SILENT_PORT_H

#include "tests/harness/free_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct silent_port {
    uint16_t port;
    int fd;
    int fillers[2]; /* who stands in the queue */
};

static inline struct silent_port silent_port_open(void)
{
    struct silent_port silent = {.port = free_port(),
                                 .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(silent.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(silent.fd >= 0);
    assert_int_equal(bind(silent.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(silent.fd, 0), 0);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
        assert_true(rc == 0 || errno == EINPROGRESS);
        silent.fillers[i] = fd;
    }
    return silent;
}

static inline void silent_port_close(const struct silent_port *silent)
{
    (void)close(silent->fd);
    (void)close(silent->fillers[0]);
    (void)close(silent->fillers[1]);
}

#endif
