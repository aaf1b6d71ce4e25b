/* One look at a time: a job in the thread pool compares the files' stamps and reads them if they
 * differ; what it read is taken over on the loop's thread. The job has a hold on the context and
 * touches only what never changes of it. */
#include "base/net/tls_watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tls_impl.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 3600, NAME_SHOWN = 100 };

struct tls_watch {
    uv_loop_t *loop;
    struct tls_context *context;
    struct tls_watch_events events;
    int64_t interval_ms;
    uv_timer_t timer;
    uv_work_t work;
    bool working;
    bool stopping;
    bool again;    /* tls_watch_look came while one was under way */
    bool insisted; /* this look was asked for */
    int failures;  /* looks in a row that found the same failure */
    char failure[ERROR_TEXT_BYTES];
    int64_t expiry_told_s;
    /* Of the job. */
    struct tls_stamp stamps[TLS_FILES];
    bool force;
    bool changed;
    struct tls_material material;
    int rc;
    struct error err;
    int parts;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static void on_timer(uv_timer_t *timer);

static void part_closed(struct tls_watch *watch)
{
    if (--watch->parts > 0) {
        return;
    }
    void (*stopped)(void *arg) = watch->stopped;
    void *arg = watch->stopped_arg;
    tls_context_free(watch->context);
    mem_free(watch);
    if (stopped != NULL) {
        stopped(arg);
    }
}

static void wait_ms(struct tls_watch *watch, int64_t ms)
{
    int rc = uv_timer_start(&watch->timer, on_timer, (uint64_t)ms, 0);
    ASSERT(rc == 0);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void utc_text(int64_t at_s, char out[static 32])
{
    struct tm tm;
    time_t at = (time_t)at_s;
    if (gmtime_r(&at, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        memcpy(out, "?", 2);
    }
}

struct date_words {
    int64_t at_s;
    const char *before, *after;
};

/* `before` NULL: there is nothing to be said. */
static struct date_words words_for(const struct tls_about *about, int64_t now_s)
{
    if (about->expires_s == 0 ||
        (now_s >= about->begins_s && about->expires_s - now_s >= TLS_WATCH_EXPIRY_DAYS * DAY_S)) {
        return (struct date_words){.before = NULL};
    }
    if (now_s < about->begins_s) {
        return (struct date_words){about->begins_s, "is not valid before",
                                   " (is a clock wrong?): nobody takes a new connection with it"};
    }
    if (now_s >= about->expires_s) {
        return (struct date_words){about->expires_s, "has expired at",
                                   ": nobody takes a new connection with it"};
    }
    return (struct date_words){about->expires_s, "expires at", ": put a new one there in time"};
}

/* Wall time: for words only. */
static void tell_dates(struct tls_watch *watch, bool anew)
{
    struct tls_about about;
    char text[ERROR_TEXT_BYTES];
    char when[32];
    int64_t now_s = (int64_t)time(NULL);
    tls_context_about(watch->context, &about);
    struct date_words words = words_for(&about, now_s);
    bool told = !anew && now_s - watch->expiry_told_s < DAY_S && now_s >= watch->expiry_told_s;
    if (words.before == NULL || told || watch->stopping) {
        return;
    }
    watch->expiry_told_s = now_s;
    utc_text(words.at_s, when);
    (void)snprintf(text, sizeof text, "the certificate in '%s', or one that it hangs on, %s %s%s",
                   watch->context->paths[TLS_FILE_CERT], words.before, when, words.after);
    watch->events.on_expiry(watch->events.arg, text);
}

static void tell_loaded(struct tls_watch *watch)
{
    struct tls_about about;
    char text[ERROR_TEXT_BYTES];
    char when[32];
    tls_context_about(watch->context, &about);
    utc_text(about.expires_s, when);
    (void)snprintf(
        text, sizeof text,
        "certificates were read again, '%.*s' is valid until %s, and the authorities are "
        "'%s': new connections use them",
        NAME_SHOWN, about.name, when, about.authorities);
    watch->events.on_loaded(watch->events.arg, text);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void look(uv_work_t *work)
{
    struct tls_watch *watch = work->data;
    watch->changed = watch->force || tls_stamps_old(watch->context, watch->stamps);
    watch->rc = 0;
    if (watch->changed) {
        watch->rc = tls_material_read(watch->context, &watch->material, &watch->err);
        ERR_clear_error(); /* of this thread */
    }
}

static void look_failed(struct tls_watch *watch)
{
    bool same = strcmp(watch->failure, watch->err.text) == 0;
    watch->failures = same ? watch->failures + 1 : 1;
    memcpy(watch->failure, watch->err.text, sizeof watch->failure);
    if (watch->insisted || watch->failures == 2) {
        watch->failures = watch->failures < 2 ? 2 : watch->failures;
        watch->events.on_failed(watch->events.arg, &watch->err);
    }
}

static void look_loaded(struct tls_watch *watch)
{
    watch->failures = 0;
    watch->failure[0] = '\0';
    tls_context_take(watch->context, &watch->material);
    tell_loaded(watch);
    tell_dates(watch, true);
}

static void on_looked(uv_work_t *work, int status)
{
    struct tls_watch *watch = work->data;
    watch->working = false;
    bool done = status == 0 && watch->changed;
    if (watch->stopping) {
        if (done && watch->rc == 0) {
            tls_material_free(&watch->material);
        }
        part_closed(watch);
        return;
    }
    watch->parts--;
    if (done && watch->rc == 0) {
        look_loaded(watch);
    } else if (done) {
        look_failed(watch);
    } else {
        watch->failures = 0; /* what did not fit was taken back */
        watch->failure[0] = '\0';
    }
    tell_dates(watch, false);
    if (!watch->stopping) {
        watch->insisted = watch->again;
        watch->again = false;
        wait_ms(watch, watch->insisted ? 0 : watch->interval_ms);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct tls_watch *watch = timer->data;
    memcpy(watch->stamps, watch->context->material.stamps, sizeof watch->stamps);
    watch->force = watch->insisted;
    if (uv_queue_work(watch->loop, &watch->work, look, on_looked) != 0) {
        wait_ms(watch, watch->interval_ms);
        return;
    }
    watch->working = true;
    watch->parts++;
}

/* --- life ------------------------------------------------------------------------------------- */

struct tls_watch *tls_watch_start(uv_loop_t *loop, struct tls_context *context,
                                  const struct tls_watch_events *events, int64_t interval_ms)
{
    struct tls_watch *watch = mem_new(struct tls_watch);
    watch->loop = loop;
    watch->context = tls_context_hold(context);
    watch->events = *events;
    watch->interval_ms = interval_ms > 0 ? interval_ms : TLS_WATCH_LOOK_MS;
    watch->work.data = watch;
    int rc = uv_timer_init(loop, &watch->timer);
    ASSERT(rc == 0);
    watch->timer.data = watch;
    watch->parts = 1;
    wait_ms(watch, 0);
    return watch;
}

void tls_watch_look(struct tls_watch *watch)
{
    if (watch->working) {
        watch->again = true;
    } else {
        watch->insisted = true;
        wait_ms(watch, 0);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void tls_watch_stop(struct tls_watch *watch, void (*stopped)(void *arg), void *arg)
{
    ASSERT(!watch->stopping);
    watch->stopping = true;
    watch->stopped = stopped;
    watch->stopped_arg = arg;
    uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
    if (watch->working) {
        (void)uv_cancel((uv_req_t *)&watch->work); /* on_looked comes in any case */
    }
}
