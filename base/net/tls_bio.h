/* Private to base/net: the two ends of the wire as OpenSSL sees them. It reads from bytes that are
 * lent to it and writes into a buffer, so that nothing is copied that need not be, and a connection
 * that rests holds no memory. */
#ifndef BASE_NET_TLS_BIO_H
#define BASE_NET_TLS_BIO_H

#include "base/buf.h"

#include <openssl/bio.h>

struct tls_wire {
    struct span in; /* borrowed: what came and was not taken yet */
    struct buf out; /* what is to be sent */
};

/* NULL: no memory. `wire` outlives it. */
BIO *tls_bio_new(struct tls_wire *wire);

#endif
