/* Certificates, keys and revocation lists for tests, made with OpenSSL's library: authorities of
 * one test, and whatever they sign, valid from and until when the test likes. A thing called "x" is
 * DIR/x.crt and DIR/x.key. Whatever fails ends the process. Included by tests and fuzz harnesses;
 * every function is static, and none need be used. */
#ifndef TESTS_HARNESS_TLS_FILES_H
#define TESTS_HARNESS_TLS_FILES_H

#include "base/assert.h"
#include "tests/harness/scratch.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLS_DAY_S 86400L

struct tls_leaf {
    const char *file;  /* "node1" */
    const char *ca;    /* file of its authority; NULL = "ca" */
    const char *name;  /* common name; NULL = none */
    const char *alt;   /* "DNS:localhost,IP:127.0.0.1"; NULL = none */
    const char *usage; /* "serverAuth"; NULL = any */
    long from_s;       /* from now; 0 = an hour ago */
    long until_s;      /* from now; 0 = in a hundred days */
    const char *chain; /* file of a certificate that is appended; NULL = none */
    bool is_authority;
};

static char tls_path_texts[8][256];

/* One of a few at a time. */
static inline const char *tls_path(const char *dir, const char *file, const char *ending)
{
    static size_t next;
    char *path = tls_path_texts[next++ % 8];
    (void)snprintf(path, sizeof tls_path_texts[0], "%s/%s%s", dir, file, ending);
    return path;
}

static inline FILE *tls_open(const char *dir, const char *file, const char *ending,
                             const char *mode)
{
    FILE *stream = fopen(tls_path(dir, file, ending), mode);
    ASSERT(stream != NULL);
    return stream;
}

static inline void tls_write_key(const char *dir, const char *file, EVP_PKEY *key,
                                 const char *passphrase)
{
    FILE *out = tls_open(dir, file, ".key", "w");
    ASSERT(PEM_write_PrivateKey(out, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                                (const unsigned char *)passphrase,
                                passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL) == 1);
    ASSERT(fclose(out) == 0);
}

static inline EVP_PKEY *tls_read_key(const char *dir, const char *file)
{
    FILE *in = tls_open(dir, file, ".key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    ASSERT(key != NULL && fclose(in) == 0);
    return key;
}

static inline X509 *tls_read_certificate(const char *dir, const char *file)
{
    FILE *in = tls_open(dir, file, ".crt", "r");
    X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
    ASSERT(certificate != NULL && fclose(in) == 0);
    return certificate;
}

static inline void tls_extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ASSERT(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline X509 *tls_sign(const struct tls_leaf *leaf, EVP_PKEY *key, X509 *issuer,
                             EVP_PKEY *issuer_key)
{
    static long serial;
    X509 *certificate = X509_new();
    ASSERT(certificate != NULL && X509_set_version(certificate, 2) == 1);
    serial = serial == 0 ? (long)getpid() * 1000 : serial + 1;
    ASSERT(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial) == 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate),
                          leaf->from_s != 0 ? leaf->from_s : -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate),
                          leaf->until_s != 0 ? leaf->until_s : 100 * TLS_DAY_S);
    X509_NAME *subject = X509_get_subject_name(certificate);
    if (leaf->name != NULL) {
        ASSERT(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                          (const unsigned char *)leaf->name, -1, -1, 0) == 1);
    }
    issuer = issuer != NULL ? issuer : certificate;
    ASSERT(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
    ASSERT(X509_set_pubkey(certificate, key) == 1);
    tls_extend(certificate, issuer, NID_basic_constraints,
               leaf->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (leaf->alt != NULL) {
        tls_extend(certificate, issuer, NID_subject_alt_name, leaf->alt);
    }
    if (leaf->usage != NULL) {
        tls_extend(certificate, issuer, NID_ext_key_usage, leaf->usage);
    }
    ASSERT(X509_sign(certificate, issuer_key, EVP_sha256()) != 0);
    return certificate;
}

static inline void tls_write_certificate(const char *dir, const struct tls_leaf *leaf,
                                         X509 *certificate)
{
    FILE *out = tls_open(dir, leaf->file, ".crt", "w");
    ASSERT(PEM_write_X509(out, certificate) == 1);
    if (leaf->chain != NULL) {
        X509 *more = tls_read_certificate(dir, leaf->chain);
        ASSERT(PEM_write_X509(out, more) == 1);
        X509_free(more);
    }
    ASSERT(fclose(out) == 0);
}

/* It signs itself. */
static inline void tls_make_root(const char *dir, const struct tls_leaf *leaf)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = tls_sign(leaf, key, NULL, key);
    tls_write_certificate(dir, leaf, certificate);
    tls_write_key(dir, leaf->file, key, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline void tls_make_ca(const char *dir, const char *file)
{
    tls_make_root(dir, &(struct tls_leaf){.file = file, .name = file, .is_authority = true});
}

/* Signed by leaf->ca, whose files are there. */
static inline void tls_make(const char *dir, const struct tls_leaf *leaf)
{
    const char *ca = leaf->ca != NULL ? leaf->ca : "ca";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *issuer_key = tls_read_key(dir, ca);
    X509 *issuer = tls_read_certificate(dir, ca);
    X509 *certificate = tls_sign(leaf, key, issuer, issuer_key);
    tls_write_certificate(dir, leaf, certificate);
    tls_write_key(dir, leaf->file, key, NULL);
    X509_free(certificate);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
}

/* DIR/<file>.crt: the certificates of `first` and `second` in one file. */
static inline void tls_join(const char *dir, const char *file, const char *first,
                            const char *second)
{
    struct tls_leaf leaf = {.file = file, .chain = second};
    X509 *certificate = tls_read_certificate(dir, first);
    tls_write_certificate(dir, &leaf, certificate);
    X509_free(certificate);
}

/* A list of who was revoked. */
struct tls_list {
    const char *file;    /* it is appended to FILE.crt */
    const char *ca;      /* who says so; NULL = "ca" */
    const char *revoked; /* whom; a list of one */
    long from_s;         /* from now; 0 = an hour ago */
    long until_s;        /* from now: the next one was to be there; 0 = in a day */
};

static inline void tls_revoke(const char *dir, const struct tls_list *told)
{
    const char *ca = told->ca != NULL ? told->ca : "ca";
    EVP_PKEY *key = tls_read_key(dir, ca);
    X509 *issuer = tls_read_certificate(dir, ca);
    X509 *certificate = tls_read_certificate(dir, told->revoked);
    X509_CRL *list = X509_CRL_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *time = X509_gmtime_adj(NULL, told->from_s != 0 ? told->from_s : -3600);
    ASSERT(X509_CRL_set_version(list, 1) == 1 &&
           X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer)) == 1 &&
           X509_CRL_set1_lastUpdate(list, time) == 1 &&
           X509_REVOKED_set_revocationDate(revoked, time) == 1 &&
           X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate)) == 1);
    (void)X509_gmtime_adj(time, told->until_s != 0 ? told->until_s : TLS_DAY_S);
    ASSERT(X509_CRL_set1_nextUpdate(list, time) == 1 && X509_CRL_add0_revoked(list, revoked) == 1 &&
           X509_CRL_sort(list) == 1 && X509_CRL_sign(list, key, EVP_sha256()) != 0);
    FILE *out = tls_open(dir, told->file, ".crt", "a");
    ASSERT(PEM_write_X509_CRL(out, list) == 1 && fclose(out) == 0);
    ASN1_TIME_free(time);
    X509_CRL_free(list);
    X509_free(certificate);
    X509_free(issuer);
    EVP_PKEY_free(key);
}

static inline void tls_write_text(const char *dir, const char *file, const char *text)
{
    FILE *out = tls_open(dir, file, "", "w");
    ASSERT(fputs(text, out) >= 0 && fclose(out) == 0);
}

/* At one instant, as it should be done. */
static inline void tls_move(const char *dir, const char *from, const char *to)
{
    ASSERT(rename(tls_path(dir, from, ".crt"), tls_path(dir, to, ".crt")) == 0 &&
           rename(tls_path(dir, from, ".key"), tls_path(dir, to, ".key")) == 0);
}

static inline void tls_dir_make(char *dir, size_t size)
{
    scratch_make(dir, size, "/tmp", "tls");
}

static inline void tls_dir_remove(const char *dir)
{
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf -- '%s'", dir);
    ASSERT(system(command) == 0);
}

#endif
