/* Private to base/net: what a context is made of, shared by tls_context.c (files), tls.c
 * (connections) and tls_watch.c (reading again, on another thread). */
#ifndef BASE_NET_TLS_IMPL_H
#define BASE_NET_TLS_IMPL_H

#include "base/net/tls.h"
#include "base/net/tls_turn.h"

#include <openssl/ssl.h>

#define TLS_REFUSAL_BYTES  384
#define TLS_PROTOCOL_BYTES 33 /* a name of ALPN and its length, or its terminator */

enum tls_file { TLS_FILE_CERT, TLS_FILE_KEY, TLS_FILE_CA, TLS_FILES };

/* Tells whether a file is still the one that was read. */
struct tls_stamp {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    int64_t changed_ns; /* of its content or its inode, whichever is later */
};

/* What one reading of the files gave. */
struct tls_material {
    SSL_CTX *ctx;
    struct tls_stamp stamps[TLS_FILES];
    struct tls_about about;
};

/* Only `material` and `turn` change after it was made, and that on the loop's thread alone. */
struct tls_context {
    unsigned references;
    char *paths[TLS_FILES]; /* NULL = not given */
    char *key_password;     /* NULL = none; wiped when it is freed */
    char *ciphers;          /* NULL = our own choice */
    char *section;          /* NULL = messages name no key */
    enum tls_verify verify;
    bool mutual;
    uint8_t protocols[TLS_PROTOCOLS_MAX *
                      TLS_PROTOCOL_BYTES]; /* as ALPN wants it: each after its length */
    size_t protocols_len;
    struct tls_material material;
    struct tls_turn turn;
};

/* May run on any thread. */
int tls_material_read(const struct tls_context *context, struct tls_material *ret_material,
                      struct error *err) MUST_CHECK;
void tls_material_free(struct tls_material *material);
/* A file is not there, or another one. May run on any thread. */
bool tls_stamps_old(const struct tls_context *context, const struct tls_stamp *stamps);

/* From here on new connections use it. */
void tls_context_take(struct tls_context *context, struct tls_material *material);

/* One connection's: app data of its SSL, where the look at the other side's certificate says what
 * it found. */
struct tls_notes {
    const char *host;   /* NULL = any */
    const char *cafile; /* NULL = none */
    char refusal[TLS_REFUSAL_BYTES];
};

#endif
