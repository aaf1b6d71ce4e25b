/* Private to base/net: certificates and OpenSSL's errors in words that an operator can act upon.
 * Nothing here trusts what a certificate says: it is cut, and made printable. */
#ifndef BASE_NET_TLS_TEXT_H
#define BASE_NET_TLS_TEXT_H

#include "base/err.h"
#include "base/net/tls_impl.h"

#include <openssl/x509.h>

#define TLS_TIME_TEXT_BYTES 40

/* The first reason that OpenSSL has in its queue, which is emptied. */
void tls_text_reason(char *out, size_t size);
/* "2026-11-29 01:02:03 UTC". */
void tls_text_time(const ASN1_TIME *time, char out[static TLS_TIME_TEXT_BYTES]);
/* Its common name, else the first other one; "" = none. */
void tls_text_name(X509 *certificate, char *out, size_t size);
/* All of them: "node1, localhost, 10.0.0.1". */
void tls_text_names(X509 *certificate, char *out, size_t size);
/* Why the certificate that is looked at is no good, into notes->refusal. */
void tls_text_refusal(X509_STORE_CTX *store, struct tls_notes *notes);
/* Sets and returns an error for a step of a connection that failed, by OpenSSL's queue, which is
 * emptied. `certfile`: ours, NULL = none. */
int tls_text_failure(const struct tls_notes *notes, const char *certfile, struct error *err);

#endif
