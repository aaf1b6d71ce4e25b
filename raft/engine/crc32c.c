#include "raft/engine/crc32c.h"

#include <string.h>

/* Slicing by 8: entry [i][b] is what byte b does i bytes before the end of the eight. Filled before
 * main, since two threads use them. */
static uint32_t slices[8][256];

__attribute__((constructor)) static void slices_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
        slices[0][byte] = crc;
    }
    for (size_t i = 1; i < 8; i++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t before = slices[i - 1][byte];
            slices[i][byte] = (before >> 8) ^ slices[0][before & 0xff];
        }
    }
}

static uint32_t eight_bytes(uint32_t crc, const uint8_t *at)
{
    return slices[7][at[0] ^ (crc & 0xff)] ^ slices[6][at[1] ^ (crc >> 8 & 0xff)] ^
           slices[5][at[2] ^ (crc >> 16 & 0xff)] ^ slices[4][at[3] ^ (crc >> 24)] ^
           slices[3][at[4]] ^ slices[2][at[5]] ^ slices[1][at[6]] ^ slices[0][at[7]];
}

uint32_t crc32c_portable(uint32_t crc, struct span bytes)
{
    size_t at = 0;
    crc = ~crc;
    for (; at + 8 <= bytes.len; at += 8) {
        crc = eight_bytes(crc, bytes.data + at);
    }
    for (; at < bytes.len; at++) {
        crc = (crc >> 8) ^ slices[0][(crc ^ bytes.data[at]) & 0xff];
    }
    return ~crc;
}

#if defined(__x86_64__)

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc,
                                                                     struct span bytes)
{
    uint64_t wide = ~crc;
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= bytes.len; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes.data + at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; at < bytes.len; at++) {
        narrow = __builtin_ia32_crc32qi(narrow, bytes.data[at]);
    }
    return ~narrow;
}

#else

static bool has_instruction(void)
{
    return false;
}

static uint32_t crc32c_instruction(uint32_t crc, struct span bytes)
{
    return crc32c_portable(crc, bytes);
}

#endif

uint32_t crc32c(uint32_t crc, struct span bytes)
{
    return has_instruction() ? crc32c_instruction(crc, bytes) : crc32c_portable(crc, bytes);
}

uint32_t crc32c_u64(uint32_t crc, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    return crc32c(crc, span_of(bytes, sizeof(bytes)));
}
