/* The SRV records (RFC 2782) of one answer of a name server. Plain bytes and arithmetic: nothing is
 * asked, and no answer, however broken, does more than be refused. */
#ifndef BASE_NET_SRV_ANSWER_H
#define BASE_NET_SRV_ANSWER_H

#include "base/err.h"
#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

#define SRV_ANSWER_BYTES_MAX 4096
#define SRV_RECORDS_MAX      32 /* of one answer; what stands behind them is left out */
#define SRV_TARGET_BYTES     256

struct srv_record {
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    char target[SRV_TARGET_BYTES]; /* a host name, without the dot at the end */
};

struct srv_answer {
    struct srv_record records[SRV_RECORDS_MAX];
    size_t count;
    uint32_t ttl_s; /* the shortest of the records; 0 if there is none */
};

/* Records that name no host (RFC 2782: "."), no port, or have bytes that no host name has are left
 * out. A truncated answer counts as far as it goes. ERR_NOT_FOUND: no record, or none of use;
 * ERR_CORRUPT: no answer, or broken; ERR_REFUSED: the server says so. */
int srv_answer_parse(struct span bytes, struct srv_answer *ret_answer,
                     struct error *err) MUST_CHECK;
/* In the order in which they are to be tried: by priority; among equals by lot, the heavier the
 * likelier first. */
void srv_answer_order(struct srv_answer *answer, uint64_t random);

#endif
