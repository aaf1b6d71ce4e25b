/* Rotation of certificates without a restart: looks every so often whether the files of a context
 * have changed, reads them again if so, and tells when our certificate is about to expire. Disk
 * work is done in the thread pool: a disk that hangs does not hold the loop.
 *
 * What cannot be used leaves the context as it is. Files are seldom replaced at one instant, so a
 * failure is told only when a second look finds the same; then once, until they change again. */
#ifndef BASE_NET_TLS_WATCH_H
#define BASE_NET_TLS_WATCH_H

#include "base/net/tls.h"

#define TLS_WATCH_LOOK_MS     5000
#define TLS_WATCH_EXPIRY_DAYS 30

struct tls_watch;

struct tls_watch_events {
    /* The files were read again, and new connections use them from here on; `text` says what they
     * are. */
    void (*on_loaded)(void *arg, const char *text);
    /* The old ones go on. */
    void (*on_failed)(void *arg, const struct error *err);
    /* Our certificate, or one that it hangs on, ends within TLS_WATCH_EXPIRY_DAYS, or has ended:
     * once a day, and at each reading. */
    void (*on_expiry)(void *arg, const char *text);
    void *arg;
};

/* `context` is held. `interval_ms` 0 = TLS_WATCH_LOOK_MS. The first look is in the next turn. */
struct tls_watch *tls_watch_start(uv_loop_t *loop, struct tls_context *context,
                                  const struct tls_watch_events *events, int64_t interval_ms);
/* Looks now, and tells a failure at once. Read again also where nothing seems to have changed. */
void tls_watch_look(struct tls_watch *watch);
/* No event after this; `stopped` (may be NULL) when the loop holds nothing of it. */
void tls_watch_stop(struct tls_watch *watch, void (*stopped)(void *arg), void *arg);

#endif
