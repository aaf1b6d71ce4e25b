/* Each connection is an open file, and how many there are is for others to say, up to the limits of
 * the listeners. A service may often open 1024: with those taken, a crowd of clients would keep us
 * from asking PostgreSQL, and the members from one another. */
#include "agent/app_descriptors.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/net/http1.h"
#include "base/net/http2.h"
#include "base/net/http_client.h"
#include "base/net/http_port.h"
#include "base/net/tcp.h"

#include <stdio.h>
#include <string.h>

enum { TELL_MS = 60000 }; /* between two lines of a shortage that lasts */

_Static_assert(2 * (2 * HTTP1_CONNECTIONS_MAX + HTTP2_CONNECTIONS_MAX + HTTP_PORT_UNDECIDED_MAX +
                    HTTP_CLIENT_EXCHANGES_MAX) <=
                   APP_DESCRIPTORS,
               "REST and etcd's port, and the rest");

/* The listeners try again ten times a second. */
static void on_shortage(int errnum)
{
    static int64_t tell_from_ms;
    static unsigned untold;
    char more[64];
    int64_t now_ms = clock_mono_ms(clock_real());
    if (now_ms < tell_from_ms) {
        untold++;
        return;
    }
    (void)snprintf(more, sizeof more, ", %u times more since this was told", untold);
    log_warning("who wants to connect has to wait: %s, retrying%s", strerror(errnum),
                untold > 0 ? more : "");
    tell_from_ms = now_ms + TELL_MS;
    untold = 0;
}

void app_descriptors_provide(void)
{
    tcp_listeners_on_shortage(on_shortage);
    size_t may = descriptors_raise(APP_DESCRIPTORS);
    if (may < APP_DESCRIPTORS) {
        log_warning("only %zu files may be open at once ('ulimit -Hn'), and %d are wanted: many "
                    "clients at once could keep this member from PostgreSQL and from the others",
                    may, APP_DESCRIPTORS);
    }
}
