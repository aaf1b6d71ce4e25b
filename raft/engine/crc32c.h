/* CRC-32C (Castagnoli) of bytes, continued over several pieces: start with 0. PURE. */
#ifndef RAFT_ENGINE_CRC32C_H
#define RAFT_ENGINE_CRC32C_H

#include "base/span.h"

uint32_t crc32c(uint32_t crc, struct span bytes);
uint32_t crc32c_u64(uint32_t crc, uint64_t value); /* as 8 bytes, little endian */

/* The same without the processor's instruction; crc32c uses it where there is none. */
uint32_t crc32c_portable(uint32_t crc, struct span bytes);

#endif
