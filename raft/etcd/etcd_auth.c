/* Token: the end of its time and a MAC over user and end,
 *
 *   0000019a7e3c5d80.<64 hex digits>
 *
 * keyed from the password and the cluster: a token of another cluster, or of before the password
 * was changed, is none. Whatever comes from a client is compared by its MAC, so that neither
 * content nor length of what would be right shows in how long an answer takes. */
#include "raft/etcd/etcd_auth.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <strings.h>

#define MAC_BYTES       32
#define END_DIGITS      16
#define TOKEN_BYTES     (END_DIGITS + 1 + 2 * MAC_BYTES)
#define BASIC_BYTES_MAX 1368 /* 1 KiB in base64: no name and password are longer */

struct mac {
    uint8_t bytes[MAC_BYTES];
};

static struct mac mac_of(struct span key, struct span text)
{
    static const uint8_t empty[1] = {0};
    struct mac mac;
    unsigned len = 0;
    const uint8_t *made = HMAC(EVP_sha256(), key.len > 0 ? key.data : empty, (int)key.len,
                               text.len > 0 ? text.data : empty, text.len, mac.bytes, &len);
    ASSERT(made != NULL && len == MAC_BYTES);
    return mac;
}

static bool mac_equal(const struct mac *a, const struct mac *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, MAC_BYTES) == 0;
}

static struct span mac_span(const struct mac *mac)
{
    return span_of(mac->bytes, MAC_BYTES);
}

bool etcd_auth_user(const struct etcd_auth *auth, struct span username, struct span password)
{
    struct mac user = mac_of(auth->password, username);
    struct mac user_right = mac_of(auth->password, auth->username);
    struct mac word = mac_of(auth->password, password);
    struct mac word_right = mac_of(auth->password, auth->password);
    bool is_user = mac_equal(&user, &user_right);
    bool is_word = mac_equal(&word, &word_right);
    return is_user && is_word;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void put_hex(struct buf *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        buf_put_u8(out, (uint8_t)digits[bytes[i] >> 4]);
        buf_put_u8(out, (uint8_t)digits[bytes[i] & 15]);
    }
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool take_hex(const uint8_t *digits, uint8_t *ret_bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(digits[2 * i]);
        int low = hex_value(digits[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void put_big_endian(uint8_t bytes[static 8], uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (7 - i)));
    }
}

static struct mac token_mac(const struct etcd_auth *auth, uint64_t cluster,
                            const uint8_t end[static 8])
{
    struct buf text = BUF_INIT;
    buf_put_str(&text, "pgquorum etcd token");
    buf_put_u64(&text, cluster);
    struct mac key = mac_of(auth->password, buf_span(&text));
    buf_clear(&text);
    buf_put(&text, end, 8);
    buf_put_span(&text, auth->username);
    struct mac mac = mac_of(mac_span(&key), buf_span(&text));
    buf_free(&text);
    OPENSSL_cleanse(&key, sizeof key);
    return mac;
}

void etcd_auth_token(const struct etcd_auth *auth, uint64_t cluster, int64_t until_wall_ms,
                     struct buf *out)
{
    uint8_t end[8];
    put_big_endian(end, (uint64_t)until_wall_ms);
    struct mac mac = token_mac(auth, cluster, end);
    put_hex(out, end, sizeof end);
    buf_put_u8(out, '.');
    put_hex(out, mac.bytes, MAC_BYTES);
}

bool etcd_auth_token_is_good(const struct etcd_auth *auth, uint64_t cluster, struct span token,
                             int64_t now_wall_ms)
{
    uint8_t end[8];
    struct mac given;
    if (token.len != TOKEN_BYTES || token.data[END_DIGITS] != '.' ||
        !take_hex(token.data, end, sizeof end) ||
        !take_hex(token.data + END_DIGITS + 1, given.bytes, MAC_BYTES)) {
        return false;
    }
    struct mac right = token_mac(auth, cluster, end);
    uint64_t until_ms = 0;
    for (size_t i = 0; i < sizeof end; i++) {
        until_ms = until_ms << 8 | end[i];
    }
    return mac_equal(&given, &right) && now_wall_ms < (int64_t)until_ms;
}

/* --- HTTP Basic ------------------------------------------------------------------------------- */

/* user:password out of `text`; the name has no colon. */
static bool take_pair(const struct etcd_auth *auth, struct span text)
{
    const uint8_t *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    size_t name_len = (size_t)(colon - text.data);
    return etcd_auth_user(auth, span_of(text.data, name_len),
                          span_of(colon + 1, text.len - name_len - 1));
}

bool etcd_auth_basic(const struct etcd_auth *auth, struct span header)
{
    static const char scheme[] = "Basic ";
    const size_t scheme_len = sizeof scheme - 1;
    uint8_t text[BASIC_BYTES_MAX / 4 * 3];
    if (header.len <= scheme_len ||
        strncasecmp((const char *)header.data, scheme, scheme_len) != 0) {
        return false;
    }
    struct span coded = span_of(header.data + scheme_len, header.len - scheme_len);
    if (coded.len % 4 != 0 || coded.len > BASIC_BYTES_MAX) {
        return false;
    }
    int len = EVP_DecodeBlock(text, coded.data, (int)coded.len);
    if (len < 0) {
        return false;
    }
    size_t padding = coded.data[coded.len - 1] != '='   ? 0
                     : coded.data[coded.len - 2] != '=' ? 1
                                                        : 2;
    /* Spaces at its ends are skipped by the decoder: then less came out than the padding says. */
    bool good =
        (size_t)len == coded.len / 4 * 3 && take_pair(auth, span_of(text, (size_t)len - padding));
    OPENSSL_cleanse(text, sizeof text);
    return good;
}
