/* Asks the name servers of the system for SRV records, on a thread of libuv: the loop is not
 * blocked. By UDP only (an answer over TCP may hang for minutes); an answer that does not fit
 * counts as far as it goes. */
#ifndef BASE_NET_SRV_LOOKUP_H
#define BASE_NET_SRV_LOOKUP_H

#include "base/err.h"
#include "base/net/srv_answer.h"

#include <netinet/in.h>
#include <uv.h>

#define SRV_LOOKUP_TRY_S   1 /* for one server of resolv.conf's three at most, */
#define SRV_LOOKUP_TRIES   2 /* and each is asked so many times: 6 s in all */
#define SRV_NAME_BYTES_MAX 255

struct srv_lookup; /* valid until its callback */

/* `answer` is in the order to be tried; valid until it returns; NULL when rc is not 0:
 *   ERR_NOT_FOUND    there is no such name, or no record of use
 *   ERR_UNAVAILABLE  the servers did not answer, or failed
 *   ERR_CORRUPT, ERR_REFUSED, ERR_CANCELED, ERR_IO
 * The text of `err` begins with "looking up NAME: ". */
typedef void (*srv_lookup_done)(void *arg, int rc, const struct srv_answer *answer,
                                const struct error *err);

struct srv_question {
    const char *name;                     /* fully qualified; copied */
    const struct sockaddr_in *nameserver; /* NULL = the system's; copied */
    uint64_t random;                      /* for the order */
};

/* The callback comes once, never inside the call; not if this fails. */
int srv_lookup_start(uv_loop_t *loop, const struct srv_question *question, srv_lookup_done done,
                     void *arg, struct srv_lookup **ret_lookup, struct error *err) MUST_CHECK;
/* The callback comes with ERR_CANCELED, though not before the thread is done with it. */
void srv_lookup_cancel(struct srv_lookup *lookup);

#endif
