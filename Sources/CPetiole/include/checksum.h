// CRC-32C (Castagnoli), as in RFC 3720, with the processor's instruction where it has one.
#ifndef CPETIOLE_CHECKSUM_H
#define CPETIOLE_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>

/// The checksum of `length` bytes, going on from `seed` (0 to begin).
uint32_t petiole_crc32c(uint32_t seed, const void *_Nullable bytes, size_t length);

/// The checksum of the 8 bytes of `value` in little-endian order, going on from `seed`.
uint32_t petiole_crc32c_u64(uint32_t seed, uint64_t value);

/// What seals an entry of a block: goes on from `seed` over 8 bytes at `fields`, 8 bytes at `fields + 4`, and an id.
uint32_t petiole_crc32c_entry(uint32_t seed, const void *_Nonnull fields, uint64_t id);

/// The first by table, for processors without the instruction, and to check the others by.
uint32_t petiole_crc32c_by_table(uint32_t seed, const void *_Nullable bytes, size_t length);
#endif
