#include "base/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 128, BITS_4 = 32, MAPPED_BITS = BITS - BITS_4 };

static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

static bool is_4(struct net_ip ip)
{
    return memcmp(ip.bytes, mapped, sizeof mapped) == 0;
}

static bool parse_ip(const char *text, struct net_ip *ret_ip)
{
    struct net_ip ip = {{0}};
    memcpy(ip.bytes, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, ip.bytes + sizeof mapped) != 1 &&
        inet_pton(AF_INET6, text, ip.bytes) != 1) {
        return false;
    }
    *ret_ip = ip;
    return true;
}

/* Digits only, up to `max`. */
static bool parse_bits(const char *text, unsigned max, unsigned *ret_bits)
{
    size_t len = strlen(text);
    if (len == 0 || len > 3 || strspn(text, "0123456789") != len) {
        return false;
    }
    *ret_bits = (unsigned)strtoul(text, NULL, 10);
    return *ret_bits <= max;
}

int net_network_parse(const char *text, struct net_network *ret_network, struct error *err)
{
    char host[INET6_ADDRSTRLEN];
    struct net_network network = {.bits = BITS};
    size_t len = strcspn(text, "/");
    (void)snprintf(host, sizeof host, "%.*s", (int)len, text);
    bool good = len < sizeof host && parse_ip(host, &network.ip);
    if (!good && text[len] == '\0') {
        return error_set(err, ERR_NOT_FOUND, "'%.100s' is no address", text);
    }
    if (good && text[len] == '/') {
        bool four = strchr(host, ':') == NULL;
        good = parse_bits(text + len + 1, four ? BITS_4 : BITS, &network.bits);
        network.bits += four ? MAPPED_BITS : 0;
    }
    if (!good) {
        return error_set(err, ERR_INVALID, "'%.100s' is no network: give one such as 10.0.0.0/8",
                         text);
    }
    *ret_network = network;
    return 0;
}

bool net_network_has(const struct net_network *network, struct net_ip ip)
{
    unsigned bytes = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (is_4(ip) && network->bits < MAPPED_BITS) {
        return false;
    }
    if (memcmp(network->ip.bytes, ip.bytes, bytes) != 0) {
        return false;
    }
    unsigned differ = rest == 0 ? 0U : (unsigned)(network->ip.bytes[bytes] ^ ip.bytes[bytes]);
    return differ >> (8 - rest) == 0;
}
