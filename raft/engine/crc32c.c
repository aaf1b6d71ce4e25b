#include "raft/engine/crc32c.h"

#define CRC32C_POLYNOMIAL 0x82f63b78U

/* Half a table: 16 entries, two look-ups a byte. Rows are small and the disk is slower. */
static const uint32_t nibbles[16] = {
    0x00000000U, 0x105ec76fU, 0x20bd8edeU, 0x30e349b1U, 0x417b1dbcU, 0x5125dad3U,
    0x61c69362U, 0x7198540dU, 0x82f63b78U, 0x92a8fc17U, 0xa24bb5a6U, 0xb21572c9U,
    0xc38d26c4U, 0xd3d3e1abU, 0xe330a81aU, 0xf36e6f75U,
};
_Static_assert(CRC32C_POLYNOMIAL == 0x82f63b78U, "the table is of this polynomial: its entry 8");

uint32_t crc32c(uint32_t crc, struct span bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
    }
    return ~crc;
}

uint32_t crc32c_u64(uint32_t crc, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    return crc32c(crc, span_of(bytes, sizeof(bytes)));
}
