/* Private to base/net: the sockets by which libcurl reaches servers. It opens and closes them
 * through here, so that those that wait for their next request can be looked after. */
#ifndef BASE_NET_HTTP_CONNECTIONS_H
#define BASE_NET_HTTP_CONNECTIONS_H

#include "base/list.h"

#include <curl/curl.h>
#include <stdbool.h>

struct http_connections {
    struct list all;
    void (*on_closed)(void *arg); /* one was closed; called by libcurl, so it may not call it */
    void *arg;
};

void http_connections_init(struct http_connections *connections, void (*on_closed)(void *arg),
                           void *arg);
void http_connections_close(struct http_connections *connections);
/* Lets libcurl open and close the sockets of that handle here. */
void http_connections_own(struct http_connections *connections, CURL *curl);
/* An exchange has it, or no longer. Other descriptors than ours are passed over. */
void http_connections_watched(struct http_connections *connections, curl_socket_t fd, bool watched);
/* To be called before libcurl may take a waiting connection for a request. */
void http_connections_end_spoilt(struct http_connections *connections);

#endif
