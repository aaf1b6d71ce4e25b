/* The thread has the question and the room for the answer to itself until after_work; only then
 * does the loop look at them. The resolver's state is the thread's own, too. */
#include "base/net/srv_lookup.h"

#include "base/mem.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdbool.h>
#include <string.h>

#define FLAG_TRUNCATED 0x02 /* in the third byte of an answer */

struct srv_lookup {
    uv_work_t work;
    char name[SRV_NAME_BYTES_MAX + 1];
    struct sockaddr_in nameserver;
    bool own_nameserver;
    bool canceled;
    uint64_t random;
    uint8_t bytes[SRV_ANSWER_BYTES_MAX];
    int len;   /* < 0: none */
    int fault; /* of netdb.h; -1 = the resolver could not be set up */
    srv_lookup_done done;
    void *arg;
};

static void on_thread(uv_work_t *work)
{
    struct srv_lookup *lookup = work->data;
    struct __res_state resolver;

    memset(&resolver, 0, sizeof resolver);
    lookup->len = -1;
    lookup->fault = -1;
    if (res_ninit(&resolver) != 0) {
        return;
    }
    if (lookup->own_nameserver) {
        resolver.nsaddr_list[0] = lookup->nameserver;
        resolver.nscount = 1;
    }
    resolver.retrans = SRV_LOOKUP_TRY_S;
    resolver.retry = SRV_LOOKUP_TRIES;
    resolver.options |= RES_IGNTC | RES_USE_EDNS0;
    resolver.options &= ~(unsigned long)RES_USEVC;
    lookup->len =
        res_nquery(&resolver, lookup->name, ns_c_in, ns_t_srv, lookup->bytes, sizeof lookup->bytes);
    lookup->fault = resolver.res_h_errno;
    res_nclose(&resolver);
}

static int fault_of(const struct srv_lookup *lookup, struct error *err)
{
    switch (lookup->fault) {
    case HOST_NOT_FOUND: return error_set(err, ERR_NOT_FOUND, "there is no such name");
    case NO_DATA:
        if ((lookup->bytes[2] & FLAG_TRUNCATED) != 0) {
            return error_set(err, ERR_CORRUPT, "the answer is cut off before its first record");
        }
        return error_set(err, ERR_NOT_FOUND, "there is no SRV record");
    case TRY_AGAIN:
        return error_set(err, ERR_UNAVAILABLE, "the name servers fail, or do not answer");
    case -1: return error_set(err, ERR_IO, "the resolver cannot be set up");
    default: return error_set(err, ERR_UNAVAILABLE, "the name servers refuse the question");
    }
}

static void after_work(uv_work_t *work, int status)
{
    struct srv_lookup *lookup = work->data;
    struct srv_answer answer = {.count = 0};
    struct error err = {0};
    int rc = 0;

    if (status != 0 || lookup->canceled) {
        rc = error_set(&err, ERR_CANCELED, "canceled");
    } else if (lookup->len < 0) {
        rc = fault_of(lookup, &err);
    } else {
        size_t len = (size_t)lookup->len; /* what did not fit is counted, and not there */
        len = len > sizeof lookup->bytes ? sizeof lookup->bytes : len;
        rc = srv_answer_parse(span_of(lookup->bytes, len), &answer, &err);
    }
    if (rc == 0) {
        srv_answer_order(&answer, lookup->random);
    } else {
        error_wrap(&err, "looking up %s", lookup->name);
    }
    lookup->done(lookup->arg, rc, rc == 0 ? &answer : NULL, &err);
    mem_free(lookup);
}

int srv_lookup_start(uv_loop_t *loop, const struct srv_question *question, srv_lookup_done done,
                     void *arg, struct srv_lookup **ret_lookup, struct error *err)
{
    size_t len = strlen(question->name);
    if (len > SRV_NAME_BYTES_MAX) {
        return error_set(err, ERR_INVALID, "looking up '%.40s...': a name has at most %d bytes",
                         question->name, SRV_NAME_BYTES_MAX);
    }
    struct srv_lookup *lookup = mem_new(struct srv_lookup);
    memcpy(lookup->name, question->name, len + 1);
    if (question->nameserver != NULL) {
        lookup->nameserver = *question->nameserver;
        lookup->own_nameserver = true;
    }
    lookup->random = question->random;
    lookup->done = done;
    lookup->arg = arg;
    lookup->work.data = lookup;
    if (uv_queue_work(loop, &lookup->work, on_thread, after_work) != 0) {
        mem_free(lookup);
        return error_set(err, ERR_IO, "looking up %s: no thread for it", question->name);
    }
    *ret_lookup = lookup;
    return 0;
}

void srv_lookup_cancel(struct srv_lookup *lookup)
{
    lookup->canceled = true;
    (void)uv_cancel((uv_req_t *)&lookup->work); /* if no thread has it yet */
}
