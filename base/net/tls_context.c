/* From files to an SSL_CTX. The files are read by ourselves, whole and bounded, so that what is
 * read and its stamp are of one file, and a pipe or a directory in its place does not hang us.
 * Whatever is wrong with them is found here, before anything is taken over.
 *
 * One SSL_CTX serves both directions: the methods of OpenSSL's that are for either. */
#include "base/net/tls_impl.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/net/tls_text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* TLS 1.2: forward secrecy and AEAD only. (TLS 1.3 has nothing else.) */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

enum { S_TO_NS = 1000000000, KIND_BYTES = 96 };

/* --- files ------------------------------------------------------------------------------------ */

static const char *const file_kinds[TLS_FILES] = {
    [TLS_FILE_CERT] = "certificate", [TLS_FILE_KEY] = "key", [TLS_FILE_CA] = "authorities"};

static const char *path_of(const struct tls_context *context, enum tls_file file)
{
    bool in_certfile = file == TLS_FILE_KEY && context->paths[TLS_FILE_KEY] == NULL;
    return context->paths[in_certfile ? TLS_FILE_CERT : file];
}

static struct tls_stamp stamp_of(const struct stat *st)
{
    int64_t content_ns = (int64_t)st->st_mtim.tv_sec * S_TO_NS + st->st_mtim.tv_nsec;
    int64_t inode_ns = (int64_t)st->st_ctim.tv_sec * S_TO_NS + st->st_ctim.tv_nsec;
    return (struct tls_stamp){.device = (uint64_t)st->st_dev,
                              .inode = (uint64_t)st->st_ino,
                              .size = (int64_t)st->st_size,
                              .changed_ns = content_ns > inode_ns ? content_ns : inode_ns};
}

static bool stamp_equal(const struct tls_stamp *a, const struct tls_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_ns == b->changed_ns;
}

bool tls_stamps_old(const struct tls_context *context, const struct tls_stamp *stamps)
{
    for (size_t i = 0; i < TLS_FILES; i++) {
        const char *path = path_of(context, (enum tls_file)i);
        struct stat st;
        if (path != NULL && stat(path, &st) != 0) {
            return true;
        }
        if (path != NULL) {
            struct tls_stamp now = stamp_of(&st);
            if (!stamp_equal(&now, &stamps[i])) {
                return true;
            }
        }
    }
    return false;
}

struct loaded_file {
    const char *path;
    char kind[KIND_BYTES]; /* "restapi.certfile: certificate" */
    const char *password;
    char *bytes; /* mem_free, wiped before */
    size_t len;
    bool locked; /* it asked for a passphrase */
};

static const char *const file_keys[TLS_FILES] = {
    [TLS_FILE_CERT] = "certfile", [TLS_FILE_KEY] = "keyfile", [TLS_FILE_CA] = "cafile"};

/* "restapi.certfile: ", or nothing. */
static const char *key_of(const struct tls_context *context, const char *key,
                          char out[static KIND_BYTES])
{
    out[0] = '\0';
    if (context->section != NULL) {
        (void)snprintf(out, KIND_BYTES, "%s.%s: ", context->section, key);
    }
    return out;
}

static void file_free(struct loaded_file *file)
{
    if (file->bytes != NULL) {
        OPENSSL_cleanse(file->bytes, file->len);
    }
    mem_free(file->bytes);
}

static int read_all(int fd, struct loaded_file *file, struct error *err)
{
    size_t at = 0;
    while (at < file->len) {
        ssize_t count = read(fd, file->bytes + at, file->len - at);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return error_set(err, ERR_IO, "%s file '%s': %s", file->kind, file->path,
                             count == 0 ? "it was cut while it was read" : strerror(errno));
        }
        at += (size_t)count;
    }
    return 0;
}

static int read_open_file(int fd, struct loaded_file *file, struct tls_stamp *ret_stamp,
                          struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return error_set(err, ERR_IO, "%s file '%s': %s", file->kind, file->path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(err, ERR_INVALID, "%s file '%s' is no file", file->kind, file->path);
    }
    if (st.st_size > (off_t)TLS_FILE_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "%s file '%s' has %lld bytes, %zu are allowed", file->kind,
                         file->path, (long long)st.st_size, TLS_FILE_BYTES_MAX);
    }
    file->len = (size_t)st.st_size;
    file->bytes = mem_try(file->len);
    if (file->bytes == NULL) {
        return error_set(err, ERR_NOMEM, "%s file '%s': no memory for its %zu bytes", file->kind,
                         file->path, file->len);
    }
    *ret_stamp = stamp_of(&st);
    return read_all(fd, file, err);
}

/* file_free also when it failed. */
static int file_load(const struct tls_context *context, enum tls_file which,
                     struct loaded_file *file, struct tls_stamp *ret_stamp, struct error *err)
{
    char key[KIND_BYTES];
    bool in_certfile = which == TLS_FILE_KEY && context->paths[TLS_FILE_KEY] == NULL;
    *file =
        (struct loaded_file){.path = path_of(context, which), .password = context->key_password};
    (void)key_of(context, file_keys[in_certfile ? TLS_FILE_CERT : which], key);
    (void)snprintf(file->kind, sizeof file->kind, "%.64s%s", key, file_kinds[which]);
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return error_set(err, err_from_errno(errno),
                         "%s file '%s': %s: give a file that is there and that this user may read",
                         file->kind, file->path, strerror(errno));
    }
    int rc = read_open_file(fd, file, ret_stamp, err);
    (void)close(fd);
    return rc;
}

/* What OpenSSL says of a file that has nothing of the kind in it. */
static bool is_none(unsigned long code)
{
    int lib = ERR_GET_LIB(code);
    int reason = ERR_GET_REASON(code);
    return (lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
           (lib == ERR_LIB_OSSL_DECODER && reason == ERR_R_UNSUPPORTED);
}

static int file_fail(const struct loaded_file *file, const char *what, struct error *err)
{
    char reason[160];
    bool none = is_none(ERR_peek_last_error());
    tls_text_reason(reason, sizeof reason);
    if (file->locked && file->password != NULL) {
        return error_set(err, ERR_INVALID,
                         "%s file '%s': its passphrase is not the one that is given: give the "
                         "right one as 'keyfile_password'",
                         file->kind, file->path);
    }
    if (file->locked) {
        return error_set(err, ERR_INVALID,
                         "%s file '%s': the key is locked with a passphrase, which nobody is there "
                         "to give: store it without one, readable to this user only",
                         file->kind, file->path);
    }
    if (none) {
        return error_set(err, ERR_INVALID, "%s file '%s': there is no %s in it (PEM is wanted)",
                         file->kind, file->path, what);
    }
    return error_set(err, ERR_INVALID, "%s file '%s': %s", file->kind, file->path, reason);
}

static int ask_passphrase(char *buffer, int size, int writing, void *arg)
{
    struct loaded_file *file = arg;
    size_t len = file->password == NULL ? 0 : strlen(file->password);
    (void)writing;
    file->locked = true;
    if (file->password == NULL || len > (size_t)size) {
        return -1;
    }
    memcpy(buffer, file->password, len);
    return (int)len;
}

static BIO *file_bio(const struct loaded_file *file)
{
    return BIO_new_mem_buf(file->bytes, (int)file->len);
}

/* --- what they hold --------------------------------------------------------------------------- */

/* Our own certificate, then those between it and its authority. */
static int take_chain(struct tls_material *material, BIO *bio, struct loaded_file *file,
                      struct error *err)
{
    SSL_CTX *ctx = material->ctx;
    X509 *own = PEM_read_bio_X509(bio, NULL, ask_passphrase, file);
    if (own == NULL || SSL_CTX_use_certificate(ctx, own) != 1) {
        X509_free(own);
        return file_fail(file, "certificate", err);
    }
    X509_free(own); /* the context holds it */
    for (;;) {
        X509 *next = PEM_read_bio_X509(bio, NULL, ask_passphrase, file);
        if (next == NULL) {
            break;
        }
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            return file_fail(file, "certificate", err);
        }
    }
    if (!is_none(ERR_peek_last_error())) {
        return file_fail(file, "certificate", err);
    }
    ERR_clear_error();
    return 0;
}

static bool is_mismatch(unsigned long code)
{
    return ERR_GET_LIB(code) == ERR_LIB_X509 &&
           (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
            ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH);
}

/* ERR_CONFLICT, without words: it is another certificate's. */
static int take_key(struct tls_material *material, BIO *bio, struct loaded_file *file,
                    struct error *err)
{
    SSL_CTX *ctx = material->ctx;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, file);
    int rc = 0;
    if (key == NULL || SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        rc =
            is_mismatch(ERR_peek_last_error()) ? ERR_CONFLICT : file_fail(file, "private key", err);
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        rc = ERR_CONFLICT;
    }
    EVP_PKEY_free(key);
    return rc;
}

/* One of the pieces of the file; OpenSSL puts a certificate and a list that follows it into one.
 * Clients are told the names of authorities, and choose a certificate by them. */
static bool take_authority(struct tls_material *material, const X509_INFO *info, size_t *count)
{
    SSL_CTX *ctx = material->ctx;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    const unsigned long looked_up = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    if (info->x509 != NULL) {
        char name[STREAM_PEER_NAME_BYTES];
        char *names = material->about.authorities;
        size_t len = strlen(names);
        tls_text_name(info->x509, name, sizeof name);
        (void)snprintf(names + len, sizeof material->about.authorities - len, "%s%s",
                       len > 0 ? ", " : "", name);
        (*count)++;
        if (X509_STORE_add_cert(store, info->x509) != 1 ||
            SSL_CTX_add_client_CA(ctx, info->x509) != 1) {
            return false;
        }
    }
    return info->crl == NULL || (X509_STORE_add_crl(store, info->crl) == 1 &&
                                 X509_STORE_set_flags(store, looked_up) == 1);
}

static int take_authorities(struct tls_material *material, BIO *bio, struct loaded_file *file,
                            struct error *err)
{
    size_t count = 0;
    bool good = true;
    STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(bio, NULL, ask_passphrase, file);
    if (infos == NULL) {
        return file_fail(file, "certificate", err);
    }
    for (int i = 0; i < sk_X509_INFO_num(infos) && good; i++) {
        good = take_authority(material, sk_X509_INFO_value(infos, i), &count);
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    if (!good) {
        return file_fail(file, "certificate", err);
    }
    if (count == 0) {
        return error_set(err, ERR_INVALID,
                         "%s file '%s': there is no certificate in it (PEM is "
                         "wanted)",
                         file->kind, file->path);
    }
    /* Who stands in the file is believed, whether it is a root or not. */
    (void)X509_STORE_set_flags(SSL_CTX_get_cert_store(material->ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return 0;
}

typedef int (*take_part)(struct tls_material *material, BIO *bio, struct loaded_file *file,
                         struct error *err);

static int take_file(const struct tls_context *context, enum tls_file which, take_part take,
                     struct tls_material *material, struct error *err)
{
    struct loaded_file file;
    if (path_of(context, which) == NULL) {
        return 0;
    }
    int rc = file_load(context, which, &file, &material->stamps[which], err);
    if (rc == 0) {
        ERR_clear_error();
        BIO *bio = file_bio(&file);
        rc = bio != NULL
                 ? take(material, bio, &file, err)
                 : error_set(err, ERR_NOMEM, "%s file '%s': no memory", file.kind, file.path);
        BIO_free(bio);
    }
    file_free(&file);
    if (rc == ERR_CONFLICT) {
        char key[KIND_BYTES];
        ERR_clear_error();
        return error_set(err, ERR_INVALID,
                         "%sthe key in '%s' does not belong to the certificate in "
                         "'%s'",
                         key_of(context, file_keys[TLS_FILE_KEY], key),
                         path_of(context, TLS_FILE_KEY), path_of(context, TLS_FILE_CERT));
    }
    return rc;
}

/* --- checks ----------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void note_dates(struct tls_about *about, const STACK_OF(X509) * chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t begin_s = seconds_of(X509_get0_notBefore(sk_X509_value(chain, i)));
        int64_t end_s = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));
        about->begins_s = begin_s > about->begins_s ? begin_s : about->begins_s;
        about->expires_s = end_s < about->expires_s ? end_s : about->expires_s;
    }
}

/* Whether it is about the list that could name the authority itself, where the chain ends: who
 * stands in the file needs nobody who signed it. */
static bool is_list_of_last(X509_STORE_CTX *store, int why)
{
    int last = sk_X509_num(X509_STORE_CTX_get0_chain(store)) - 1;
    return last > 0 && X509_STORE_CTX_get_error_depth(store) == last &&
           (why == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER || why == X509_V_ERR_CRL_SIGNATURE_FAILURE);
}

/* A list that is out of date, or of a clock ahead of ours, still says whom it names; an authority
 * without one has revoked nobody. */
static int on_look(int good, X509_STORE_CTX *store)
{
    int why = X509_STORE_CTX_get_error(store);
    bool of_list = why == X509_V_ERR_CRL_HAS_EXPIRED || why == X509_V_ERR_CRL_NOT_YET_VALID ||
                   why == X509_V_ERR_UNABLE_TO_GET_CRL || is_list_of_last(store, why);
    if (good != 1 && of_list) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return good;
}

/* The others will look at it as we look at theirs, but for the dates: a certificate that has
 * expired must not keep a member from starting, and a good one may take its place any time. */
static int check_own(const struct tls_context *context, struct tls_material *material, X509 *own,
                     struct error *err)
{
    STACK_OF(X509) *between = NULL;
    struct tls_notes notes = {.cafile = context->paths[TLS_FILE_CA]};
    (void)SSL_CTX_get0_chain_certs(material->ctx, &between);
    X509_STORE_CTX *look = X509_STORE_CTX_new();
    if (look == NULL ||
        X509_STORE_CTX_init(look, SSL_CTX_get_cert_store(material->ctx), own, between) != 1) {
        X509_STORE_CTX_free(look);
        return error_set(err, ERR_NOMEM, "no memory to look at certificates");
    }
    X509_STORE_CTX_set_flags(look, X509_V_FLAG_NO_CHECK_TIME);
    X509_STORE_CTX_set_verify_cb(look, on_look);
    bool good = X509_verify_cert(look) == 1;
    if (good) {
        note_dates(&material->about, X509_STORE_CTX_get0_chain(look));
    } else {
        tls_text_refusal(look, &notes);
    }
    X509_STORE_CTX_free(look);
    ERR_clear_error();
    if (!context->mutual) {
        return 0; /* its authority may be another one than the clients' */
    }
    if (!good) {
        return error_set(err, ERR_INVALID,
                         "certificate file '%s', which the others would refuse: "
                         "%s",
                         context->paths[TLS_FILE_CERT], notes.refusal);
    }
    if (X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1 ||
        X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
        return error_set(err, ERR_INVALID,
                         "certificate file '%s': it may not be used in both "
                         "directions: give it no extendedKeyUsage, or serverAuth and clientAuth",
                         context->paths[TLS_FILE_CERT]);
    }
    return 0;
}

static int look_at_own(const struct tls_context *context, struct tls_material *material,
                       struct error *err)
{
    X509 *own = SSL_CTX_get0_certificate(material->ctx);
    STACK_OF(X509) *between = NULL;
    if (own == NULL) {
        return 0;
    }
    tls_text_name(own, material->about.name, sizeof material->about.name);
    material->about.begins_s = seconds_of(X509_get0_notBefore(own));
    material->about.expires_s = seconds_of(X509_get0_notAfter(own));
    (void)SSL_CTX_get0_chain_certs(material->ctx, &between);
    note_dates(&material->about, between);
    return context->paths[TLS_FILE_CA] != NULL ? check_own(context, material, own, err) : 0;
}

/* --- the connection's side -------------------------------------------------------------------- */

static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (on_look(good, store) == 1) {
        return 1;
    }
    tls_text_refusal(store, SSL_get_app_data(ssl));
    return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_context *context = arg;
    unsigned char *chosen = NULL;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, context->protocols,
                              (unsigned)context->protocols_len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_rules(const struct tls_context *context, SSL_CTX *ctx)
{
    static const int modes[] = {[TLS_VERIFY_NONE] = SSL_VERIFY_NONE,
                                [TLS_VERIFY_OPTIONAL] = SSL_VERIFY_PEER,
                                [TLS_VERIFY_REQUIRED] =
                                    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_verify(ctx, modes[context->verify], on_verify);
    if (context->protocols_len > 0) {
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)context);
    }
}

static SSL_CTX *ctx_new(const struct tls_context *context, struct error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        (context->protocols_len > 0 &&
         SSL_CTX_set_alpn_protos(ctx, context->protocols, (unsigned)context->protocols_len) != 0)) {
        char reason[160];
        tls_text_reason(reason, sizeof reason);
        SSL_CTX_free(ctx);
        (void)error_set(err, ERR_NOMEM, "setting up TLS: %s", reason);
        return NULL;
    }
    const char *ciphers = context->ciphers != NULL ? context->ciphers : CIPHERS_1_2;
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        char key[KIND_BYTES];
        SSL_CTX_free(ctx);
        ERR_clear_error();
        (void)error_set(err, ERR_INVALID,
                        "%s'%.200s' names no cipher that is there: give a list as `openssl ciphers`"
                        " takes it, or nothing",
                        key_of(context, "ciphers", key), ciphers);
        return NULL;
    }
    set_rules(context, ctx);
    return ctx;
}

int tls_material_read(const struct tls_context *context, struct tls_material *ret_material,
                      struct error *err)
{
    struct tls_material material = {.ctx = ctx_new(context, err)};
    if (material.ctx == NULL) {
        return err->code;
    }
    int rc = take_file(context, TLS_FILE_CERT, take_chain, &material, err);
    rc = rc != 0 ? rc : take_file(context, TLS_FILE_KEY, take_key, &material, err);
    rc = rc != 0 ? rc : take_file(context, TLS_FILE_CA, take_authorities, &material, err);
    rc = rc != 0 ? rc : look_at_own(context, &material, err);
    if (rc != 0) {
        SSL_CTX_free(material.ctx);
        return rc;
    }
    *ret_material = material;
    return 0;
}

void tls_material_free(struct tls_material *material)
{
    SSL_CTX_free(material->ctx);
    material->ctx = NULL;
}

/* --- contexts --------------------------------------------------------------------------------- */

static int config_check(const struct tls_config *config, struct error *err)
{
    if (config->cafile == NULL && (config->verify != TLS_VERIFY_NONE || config->mutual)) {
        return error_set(err, ERR_INVALID,
                         "certificates are to be looked at, and there is no file with authorities");
    }
    if (config->certfile == NULL && (config->keyfile != NULL || config->mutual)) {
        return error_set(err, ERR_INVALID, "there is no file with a certificate");
    }
    ASSERT(config->protocol_count <= TLS_PROTOCOLS_MAX);
    return 0;
}

static void protocols_set(struct tls_context *context, const struct tls_config *config)
{
    for (size_t i = 0; i < config->protocol_count; i++) {
        size_t len = strlen(config->protocols[i]);
        ASSERT(len >= 1 && len < TLS_PROTOCOL_BYTES);
        context->protocols[context->protocols_len++] = (uint8_t)len;
        memcpy(context->protocols + context->protocols_len, config->protocols[i], len);
        context->protocols_len += len;
    }
}

int tls_context_new(const struct tls_config *config, struct tls_context **ret_context,
                    struct error *err)
{
    int rc = config_check(config, err);
    if (rc != 0) {
        return rc;
    }
    struct tls_context *context = mem_new(struct tls_context);
    context->references = 1;
    context->paths[TLS_FILE_CERT] = mem_strdup(config->certfile);
    context->paths[TLS_FILE_KEY] = mem_strdup(config->keyfile);
    context->paths[TLS_FILE_CA] = mem_strdup(config->cafile);
    context->key_password = mem_strdup(config->key_password);
    context->ciphers = mem_strdup(config->ciphers);
    context->section = mem_strdup(config->section);
    context->verify = config->verify;
    context->mutual = config->mutual;
    protocols_set(context, config);
    rc = tls_material_read(context, &context->material, err);
    if (rc != 0) {
        tls_context_free(context);
        return rc;
    }
    *ret_context = context;
    return 0;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    context->references++;
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    ASSERT(context->references > 0);
    if (--context->references > 0) {
        return;
    }
    for (size_t i = 0; i < TLS_FILES; i++) {
        mem_free(context->paths[i]);
    }
    if (context->key_password != NULL) {
        OPENSSL_cleanse(context->key_password, strlen(context->key_password));
    }
    mem_free(context->key_password);
    mem_free(context->ciphers);
    mem_free(context->section);
    tls_material_free(&context->material);
    mem_free(context);
}

void tls_context_take(struct tls_context *context, struct tls_material *material)
{
    tls_material_free(&context->material);
    context->material = *material;
    material->ctx = NULL;
}

int tls_context_reload(struct tls_context *context, struct error *err)
{
    struct tls_material material;
    int rc = tls_material_read(context, &material, err);
    if (rc == 0) {
        tls_context_take(context, &material);
    }
    return rc;
}

void tls_context_about(const struct tls_context *context, struct tls_about *ret_about)
{
    *ret_about = context->material.about;
}
