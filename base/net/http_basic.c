/* Compared are digests: they are of one length, and where they begin to differ says nothing of
 * the secret. */
#include "base/net/http_basic.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

char *http_basic_encode(const char *user, const char *password)
{
    char *plain = mem_printf("%s:%s", user, password);
    size_t len = strlen(plain);
    size_t size = 4 * ((len + 2) / 3) + 1;
    char *encoded = mem_new_array(char, size);
    int made = EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)plain, (int)len);
    ASSERT(made >= 0 && (size_t)made == size - 1);
    OPENSSL_cleanse(plain, len);
    mem_free(plain);
    return encoded;
}

bool http_basic_matches(struct span header, const char *credentials)
{
    static const char scheme[] = "basic ";
    const size_t scheme_len = sizeof scheme - 1;
    unsigned char got[SHA256_DIGEST_LENGTH];
    unsigned char want[SHA256_DIGEST_LENGTH];
    if (header.data == NULL || header.len < scheme_len ||
        strncasecmp((const char *)header.data, scheme, scheme_len) != 0) {
        return false;
    }
    (void)SHA256(header.data + scheme_len, header.len - scheme_len, got);
    (void)SHA256((const unsigned char *)credentials, strlen(credentials), want);
    return CRYPTO_memcmp(got, want, sizeof got) == 0;
}
