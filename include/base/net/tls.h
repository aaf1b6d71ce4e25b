/* TLS 1.2 and 1.3 as one more kind of stream, over any stream but another one of this kind.
 *
 * A context is the files (certificate, key, authorities) and how they are used, for connections in
 * either direction. A stream is one connection: it may be written to at once (what is written waits
 * for the handshake), reads as any other, and ends as any other:
 *
 *   ERR_CLOSED       the other side ended its direction in order (close_notify); ours may go on
 *   ERR_IO           the connection was lost, or closed without that word: what came may be cut off
 *   ERR_PERMISSION   a certificate was refused, by us or by the other side; the text says which and
 *                    why (expired, not valid yet, another name, another authority, none)
 *   ERR_UNSUPPORTED  the other side speaks plain text, or no version in common
 *   ERR_TIMEOUT      no handshake in time
 *   ERR_CORRUPT      bytes were changed on their way
 *   ERR_INVALID      bytes that are no TLS, or break its rules
 *
 * No renegotiation, no compression, no resumption (a certificate that is not good any more gets no
 * new connection), no early data. SIGPIPE has to be ignored. */
#ifndef BASE_NET_TLS_H
#define BASE_NET_TLS_H

#include "base/net/stream.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define TLS_FILE_BYTES_MAX ((size_t)1024 * 1024)
#define TLS_PROTOCOLS_MAX  4 /* of ALPN, each of 1 to 32 bytes */

enum tls_verify {
    TLS_VERIFY_NONE,     /* a server asks for no certificate; a client believes every server */
    TLS_VERIFY_OPTIONAL, /* a client may have none; one that it has must be good */
    TLS_VERIFY_REQUIRED
};

struct tls_config {
    /* PEM. Our own certificate, then what lies between it and its authority. NULL = none, which is
     * good for clients only. */
    const char *certfile;
    const char *keyfile;      /* PEM; NULL = in certfile */
    const char *key_password; /* that it is locked with; NULL = it is not locked */
    /* PEM: whose certificates are believed, and which of them, or of those that they signed, were
     * revoked (their lists, if there are any: one that is out of date, or not valid yet, still
     * counts, for no list may end all connections). */
    const char *cafile; /* needed unless `verify` is TLS_VERIFY_NONE */
    enum tls_verify verify;
    /* Everybody has a certificate of the same authorities, and calls and listens with it: one of
     * our own that the others would refuse is refused here, when it is read. (Not for its dates:
     * they are looked at when somebody connects.) */
    bool mutual;
    /* ALPN, the one liked best first. A client that offers others only is refused; one that offers
     * none is not. */
    const char *const *protocols;
    size_t protocol_count;
    /* Of TLS 1.2, as OpenSSL names them; NULL = those with forward secrecy and AEAD. */
    const char *ciphers;
    /* Whose keys `certfile`, `keyfile`, `cafile` and `ciphers` are: "restapi". Messages then begin
     * with the whole key. NULL = they do not. */
    const char *section;
};

struct tls_context;

/* Reads the files, here and now: for the start of a program. Everything is copied. ERR_NOT_FOUND,
 * ERR_PERMISSION, ERR_INVALID, ERR_LIMIT: `err` names the file, and what is wrong with it. */
int tls_context_new(const struct tls_config *config, struct tls_context **ret_context,
                    struct error *err) MUST_CHECK;
/* Let go of as often as it was held or made; streams that were made with it live on. */
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_free(struct tls_context *context);

/* Reads the files again; on failure what was read before stays. Streams that are there keep what
 * they began with. Waits for the disk: a running loop uses tls_watch.h. */
int tls_context_reload(struct tls_context *context, struct error *err) MUST_CHECK;

struct tls_about {
    char name[STREAM_PEER_NAME_BYTES];        /* of our certificate; "" = none */
    char authorities[STREAM_PEER_NAME_BYTES]; /* "ca, next"; may be cut */
    /* Seconds since 1970: the first end among our certificate and those that it hangs on. 0 = no
     * certificate. */
    int64_t expires_s;
    int64_t begins_s; /* the last beginning among them */
};
void tls_context_about(const struct tls_context *context, struct tls_about *ret_about);

struct tls_options {
    uv_loop_t *loop;
    struct tls_context *context;
    bool is_server;
    /* Of a client: the name or address that the server's certificate has to bear; NULL = any that
     * is good. Not looked at with TLS_VERIFY_NONE (but sent as SNI). */
    const char *host;
    int64_t handshake_ms;         /* 0 = 10 s */
    size_t write_queue_bytes_max; /* 0 = 1 MiB */
    /* Of a server: what is sent, in plain, to somebody who speaks plain text. May be empty. */
    struct span plain_answer;
};

/* Takes `below`, which has to take 512 KiB at once. Never fails: what goes wrong is told by on_end.
 * The handshake begins here. */
struct stream *tls_stream_new(struct stream *below, const struct tls_options *options);

/* Of a stream made by tls_stream_new. */
bool tls_stream_is_open(const struct stream *stream); /* the handshake is over */
/* What ALPN has chosen; "" = nothing. Known once it is open. */
const char *tls_stream_protocol(const struct stream *stream);
/* Its certificate is verified and bears `name`: as common name, or as DNS name or address. */
bool tls_stream_peer_has(const struct stream *stream, const char *name);
/* All names of its certificate, for messages: "node1, 10.0.0.1". Returns `out`; "" = none. */
const char *tls_stream_peer_names(const struct stream *stream, char *out, size_t size);

#endif
