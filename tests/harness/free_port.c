/* Walks through the range from a place that depends on the process, so that tests beside each other
 * start apart. */
#include "tests/harness/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_FIRST = 12000, PORT_COUNT = 20000, STEP = 37 };

static int is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
    if (fd >= 0) {
        close(fd);
    }
    return rc == 0;
}

uint16_t free_port(void)
{
    static unsigned next;
    if (next == 0) {
        next = (unsigned)getpid() * 101U % PORT_COUNT;
    }
    for (int tries = 0; tries < PORT_COUNT; tries++) {
        next = (next + STEP) % PORT_COUNT;
        uint16_t port = (uint16_t)(PORT_FIRST + next);
        if (is_free(port)) {
            return port;
        }
    }
    fprintf(stderr, "no free port\n");
    abort();
}
