#include "raft/engine/crc32c.h"

#include <string.h>

/* 16 entries of the polynomial 0x82f63b78, two look-ups a byte. */
static const uint32_t nibbles[16] = {
    0x00000000U, 0x105ec76fU, 0x20bd8edeU, 0x30e349b1U, 0x417b1dbcU, 0x5125dad3U,
    0x61c69362U, 0x7198540dU, 0x82f63b78U, 0x92a8fc17U, 0xa24bb5a6U, 0xb21572c9U,
    0xc38d26c4U, 0xd3d3e1abU, 0xe330a81aU, 0xf36e6f75U,
};

uint32_t crc32c_portable(uint32_t crc, struct span bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
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
