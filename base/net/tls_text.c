#include "base/net/tls_text.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of an alert's number in the reason codes of OpenSSL. */
#define ALERT_LAST 255

void tls_text_reason(char *out, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    if (reason != NULL) {
        (void)snprintf(out, size, "%s", reason);
    } else if (ERR_SYSTEM_ERROR(code)) {
        (void)snprintf(out, size, "%s", strerror(ERR_GET_REASON(code)));
    } else {
        (void)snprintf(out, size, "OpenSSL gives no reason (code %lx)", code);
    }
    ERR_clear_error();
}

void tls_text_time(const ASN1_TIME *time, char out[static TLS_TIME_TEXT_BYTES])
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1 ||
        strftime(out, TLS_TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        memcpy(out, "?", 2);
    }
}

/* --- names ------------------------------------------------------------------------------------ */

struct names {
    char *out;
    size_t size;
    size_t len;
    size_t count;
};

static void names_add(struct names *names, const char *text, size_t len)
{
    const char *separator = names->count > 0 ? ", " : "";
    size_t gap = strlen(separator);
    if (len == 0 || names->len + gap + 1 >= names->size) {
        return; /* cut */
    }
    memcpy(names->out + names->len, separator, gap);
    names->len += gap;
    for (size_t i = 0; i < len && names->len + 1 < names->size; i++) {
        unsigned char c = (unsigned char)text[i];
        names->out[names->len++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    names->out[names->len] = '\0';
    names->count++;
}

static void names_add_string(struct names *names, const ASN1_STRING *string)
{
    names_add(names, (const char *)ASN1_STRING_get0_data(string),
              (size_t)ASN1_STRING_length(string));
}

static void names_add_common(struct names *names, X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return;
    }
    unsigned char *utf8 = NULL;
    int len =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len > 0) {
        names_add(names, (const char *)utf8, (size_t)len);
    }
    OPENSSL_free(utf8);
}

static void names_add_address(struct names *names, const ASN1_OCTET_STRING *address)
{
    char text[INET6_ADDRSTRLEN];
    int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
    if ((family == AF_INET || ASN1_STRING_length(address) == 16) &&
        inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text) != NULL) {
        names_add(names, text, strlen(text));
    }
}

static void names_add_others(struct names *names, X509 *certificate, size_t count_max)
{
    GENERAL_NAMES *others = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(others) && names->count < count_max; i++) {
        const GENERAL_NAME *other = sk_GENERAL_NAME_value(others, i);
        if (other->type == GEN_DNS) {
            names_add_string(names, other->d.dNSName);
        } else if (other->type == GEN_IPADD) {
            names_add_address(names, other->d.iPAddress);
        }
    }
    GENERAL_NAMES_free(others);
    ERR_clear_error(); /* an extension that cannot be read is none */
}

void tls_text_names(X509 *certificate, char *out, size_t size)
{
    struct names names = {.out = out, .size = size};
    out[0] = '\0';
    names_add_common(&names, certificate);
    names_add_others(&names, certificate, SIZE_MAX);
}

void tls_text_name(X509 *certificate, char *out, size_t size)
{
    struct names names = {.out = out, .size = size};
    out[0] = '\0';
    names_add_common(&names, certificate);
    names_add_others(&names, certificate, 1);
}

/* --- a certificate that is refused ------------------------------------------------------------ */

static void refuse_dates(struct tls_notes *notes, const char *who, X509 *certificate, int why)
{
    bool expired = why == X509_V_ERR_CERT_HAS_EXPIRED;
    char time[TLS_TIME_TEXT_BYTES];
    tls_text_time(expired ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate),
                  time);
    (void)snprintf(notes->refusal, sizeof notes->refusal,
                   expired ? "%s has expired: it was valid until %s"
                           : "%s is not valid yet: it will be from %s on (is a clock wrong?)",
                   who, time);
}

/* No way leads from it to an authority that we believe; where the way was lost does not matter. */
static bool is_foreign(int why)
{
    return why == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           why == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           why == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE || why == X509_V_ERR_CERT_UNTRUSTED ||
           why == X509_V_ERR_CERT_SIGNATURE_FAILURE ||
           why == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           why == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
}

void tls_text_refusal(X509_STORE_CTX *store, struct tls_notes *notes)
{
    int why = X509_STORE_CTX_get_error(store);
    bool own = is_foreign(why) || X509_STORE_CTX_get_error_depth(store) <= 0;
    X509 *certificate =
        own ? X509_STORE_CTX_get0_cert(store) : X509_STORE_CTX_get_current_cert(store);
    char names[160] = "";
    char who[224];
    if (certificate != NULL) {
        tls_text_names(certificate, names, sizeof names);
    }
    (void)snprintf(who, sizeof who, "the certificate of %s (%s)",
                   own ? "the other side" : "its authority",
                   names[0] != '\0' ? names : "without a name");
    if (is_foreign(why)) {
        (void)snprintf(notes->refusal, sizeof notes->refusal,
                       "%s is not signed by an authority of '%s'", who, notes->cafile);
        return;
    }
    switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: refuse_dates(notes, who, certificate, why); return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        (void)snprintf(notes->refusal, sizeof notes->refusal, "%s is not for '%.100s'", who,
                       notes->host);
        return;
    case X509_V_ERR_CERT_REVOKED:
        (void)snprintf(notes->refusal, sizeof notes->refusal, "%s was revoked", who);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        (void)snprintf(notes->refusal, sizeof notes->refusal,
                       "%s may not be used in this direction (extendedKeyUsage)", who);
        return;
    default:
        (void)snprintf(notes->refusal, sizeof notes->refusal, "%s: %s", who,
                       X509_verify_cert_error_string(why));
        return;
    }
}

/* --- a connection that failed ----------------------------------------------------------------- */

/* What the other side has said of our certificate; NULL = it spoke of something else. */
static const char *certificate_alert(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE: /* what OpenSSL says of one whose time has not come */
        return "it is damaged, not valid yet (is a clock wrong?), or not the one that was asked "
               "for";
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
        return "its kind or use (extendedKeyUsage) is not the right one";
    case SSL_AD_CERTIFICATE_REVOKED: return "it was revoked";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "it has expired, or is not valid yet (is a clock wrong?)";
    case SSL_AD_CERTIFICATE_UNKNOWN: return "no more is said";
    case SSL_AD_UNKNOWN_CA: return "no authority that the other side believes has signed it";
    case SSL_AD_ACCESS_DENIED: return "it gives no access";
    case SSL_AD_CERTIFICATE_REQUIRED: return "there is none, and the other side requires one";
    default: return NULL;
    }
}

static int alert_failure(int alert, const char *certfile, struct error *err)
{
    const char *why = certificate_alert(alert);
    if (why != NULL && certfile != NULL) {
        return error_set(err, ERR_PERMISSION, "the other side refuses our certificate '%s': %s",
                         certfile, why);
    }
    if (why != NULL) {
        return error_set(err, ERR_PERMISSION, "the other side refuses us without a certificate: %s",
                         why);
    }
    return error_set(err, alert == SSL_AD_PROTOCOL_VERSION ? ERR_UNSUPPORTED : ERR_REFUSED,
                     "the other side ended TLS: %s", SSL_alert_desc_string_long(alert));
}

int tls_text_failure(const struct tls_notes *notes, const char *certfile, struct error *err)
{
    char text[160];
    int reason = ERR_GET_REASON(ERR_peek_error());
    tls_text_reason(text, sizeof text);
    if (notes->refusal[0] != '\0') {
        return error_set(err, ERR_PERMISSION, "%s", notes->refusal);
    }
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + ALERT_LAST) {
        return alert_failure(reason - SSL_AD_REASON_OFFSET, certfile, err);
    }
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return error_set(err, ERR_PERMISSION,
                         "the other side has no certificate, and one of '%s' is required",
                         notes->cafile);
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return error_set(err, ERR_UNSUPPORTED, "nothing in common in TLS: %s", text);
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return error_set(err, ERR_CORRUPT, "bytes were changed on their way (%s)", text);
    default: return error_set(err, ERR_INVALID, "no TLS, or broken: %s", text);
    }
}
