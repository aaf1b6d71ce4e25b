/* Two things that libcurl before 8.0 gets wrong are made good here.
 *
 * Nothing may come on a connection that waits for its next request. If something did (TLS takes its
 * leave, a proxy says 408, an answer is longer than it claimed), libcurl takes the connection for a
 * good one: the request goes nowhere, or what came is taken for its answer. So it is emptied and
 * shut down, which makes it a dead one to any libcurl.
 *
 * A socket that is not connected yet is closed without a word. Its number may be anybody's in the
 * next moment, so nothing is done to a number whose inode is not the one that was opened. */
#include "base/net/http_connections.h"

#include "base/assert.h"
#include "base/mem.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct http_connection {
    struct list link;
    curl_socket_t fd;
    ino_t inode;
    bool watched; /* an exchange has it */
};

static struct http_connection *find(struct http_connections *connections, curl_socket_t fd)
{
    LIST_EACH(item, &connections->all)
    {
        struct http_connection *connection = LIST_OWNER(item, struct http_connection, link);
        if (connection->fd == fd) {
            return connection;
        }
    }
    return NULL;
}

static void forget(struct http_connection *connection)
{
    list_remove(&connection->link);
    mem_free(connection);
}

static ino_t inode_of(curl_socket_t fd)
{
    struct stat facts;
    return fstat(fd, &facts) == 0 && S_ISSOCK(facts.st_mode) ? facts.st_ino : 0;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_connections *connections = arg;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    struct http_connection *connection = find(connections, fd);
    if (connection == NULL) { /* else one that was closed without a word */
        connection = mem_new(struct http_connection);
        connection->fd = fd;
        list_append(&connections->all, &connection->link);
    }
    connection->inode = inode_of(fd);
    ASSERT(connection->inode != 0);
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct http_connections *connections = arg;
    struct http_connection *connection = find(connections, fd);
    ASSERT(connection != NULL);
    forget(connection);
    connections->on_closed(connections->arg);
    return close(fd);
}

void http_connections_init(struct http_connections *connections, void (*on_closed)(void *arg),
                           void *arg)
{
    list_init(&connections->all);
    connections->on_closed = on_closed;
    connections->arg = arg;
}

void http_connections_close(struct http_connections *connections)
{
    LIST_EACH(item, &connections->all)
    {
        forget(LIST_OWNER(item, struct http_connection, link));
    }
}

void http_connections_own(struct http_connections *connections, CURL *curl)
{
    /* Pointers only, which libcurl never refuses. */
    ASSERT(curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK);
    ASSERT(curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, connections) == CURLE_OK);
    ASSERT(curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK);
    ASSERT(curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, connections) == CURLE_OK);
}

void http_connections_watched(struct http_connections *connections, curl_socket_t fd, bool watched)
{
    struct http_connection *connection = find(connections, fd);
    if (connection == NULL) {
        return; /* the pipe of a lookup */
    }
    connection->watched = watched;
    if (!watched && inode_of(fd) != connection->inode) {
        forget(connection);
        connections->on_closed(connections->arg);
    }
}

static void end_if_spoilt(struct http_connection *connection)
{
    enum { READS_MAX = 64 };
    char bytes[4096];
    if (connection->watched) {
        return;
    }
    if (inode_of(connection->fd) != connection->inode) {
        forget(connection);
        return;
    }
    if (recv(connection->fd, bytes, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        return; /* quiet, or at its end, which libcurl sees */
    }
    for (int i = 0; i < READS_MAX; i++) {
        if (recv(connection->fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) {
            break;
        }
    }
    (void)shutdown(connection->fd, SHUT_RDWR);
}

void http_connections_end_spoilt(struct http_connections *connections)
{
    LIST_EACH(item, &connections->all)
    {
        end_if_spoilt(LIST_OWNER(item, struct http_connection, link));
    }
}
