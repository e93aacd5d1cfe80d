#include "checksum.h"
#include <stdatomic.h>
#include <string.h>

// The reflected polynomial of CRC-32C: RFC 3720, appendix B.4.
#define POLYNOMIAL 0x82F63B78u

static uint32_t table[256];
static atomic_int table_ready;

static const uint32_t *crc_table(void) {
    // Two threads may fill it at once: they write the same values.
    if (!atomic_load_explicit(&table_ready, memory_order_acquire)) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
            __atomic_store_n(&table[byte], crc, __ATOMIC_RELAXED);
        }
        atomic_store_explicit(&table_ready, 1, memory_order_release);
    }
    return table;
}

uint32_t petiole_crc32c_by_table(uint32_t seed, const void *bytes, size_t length) {
    const uint32_t *by = crc_table();
    const uint8_t *next = bytes;
    uint32_t crc = ~seed;
    while (length--)
        crc = (crc >> 8) ^ by[(crc ^ *next++) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE __attribute__((target("sse4.2")))
static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#define CRC_U64(crc, value) ((uint32_t)_mm_crc32_u64(crc, value))
#define CRC_U8(crc, value) _mm_crc32_u8(crc, value)
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HARDWARE
static int has_instruction(void) { return 1; }
#define CRC_U64(crc, value) __crc32cd(crc, value)
#define CRC_U8(crc, value) __crc32cb(crc, value)
#endif

#ifdef HARDWARE
// The instruction takes three cycles and one can start in each, so long runs go as three streams of 256 bytes side by
// side: 1 MiB out of memory in 55 µs instead of 110 (reading it alone: 44). A state moves over the bytes of the streams
// behind its own as over zeros, which is linear in its bits: four lookups.
enum { STREAM = 256 };

static uint32_t over_stream[4][256];
static atomic_int over_stream_ready;

HARDWARE static void fill_over_stream(void) {
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (int i = 0; i < STREAM; i += 8)
            crc = CRC_U64(crc, 0);
        of_bit[bit] = crc;
    }
    // Two threads may fill it at once: they write the same values.
    for (int byte = 0; byte < 4; byte++)
        for (int value = 0; value < 256; value++) {
            uint32_t crc = 0;
            for (int bit = 0; bit < 8; bit++)
                if (value >> bit & 1)
                    crc ^= of_bit[8 * byte + bit];
            __atomic_store_n(&over_stream[byte][value], crc, __ATOMIC_RELAXED);
        }
    atomic_store_explicit(&over_stream_ready, 1, memory_order_release);
}

static uint32_t moved_over_stream(uint32_t crc) {
    return over_stream[0][crc & 0xFF] ^ over_stream[1][crc >> 8 & 0xFF] ^
           over_stream[2][crc >> 16 & 0xFF] ^ over_stream[3][crc >> 24];
}

HARDWARE static uint32_t by_instruction(uint32_t seed, const void *bytes, size_t length) {
    const uint8_t *next = bytes;
    uint32_t crc = ~seed;
    if (length >= 3 * STREAM && !atomic_load_explicit(&over_stream_ready, memory_order_acquire))
        fill_over_stream();
    for (; length >= 3 * STREAM; length -= 3 * STREAM, next += 3 * STREAM) {
        uint32_t second = 0, third = 0;
        for (int i = 0; i < STREAM; i += 8) {
            uint64_t words[3];
            memcpy(&words[0], next + i, 8);
            memcpy(&words[1], next + STREAM + i, 8);
            memcpy(&words[2], next + 2 * STREAM + i, 8);
            crc = CRC_U64(crc, words[0]);
            second = CRC_U64(second, words[1]);
            third = CRC_U64(third, words[2]);
        }
        crc = moved_over_stream(moved_over_stream(crc) ^ second) ^ third;
    }
    for (; length >= 8; length -= 8, next += 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        crc = CRC_U64(crc, word);
    }
    while (length--)
        crc = CRC_U8(crc, *next++);
    return ~crc;
}
HARDWARE static uint32_t word_by_instruction(uint32_t seed, uint64_t value) {
    return ~CRC_U64(~seed, value);
}
#endif

#ifdef HARDWARE
HARDWARE static uint32_t entry_by_instruction(uint32_t seed, const void *fields, uint64_t id) {
    uint64_t first, second;
    memcpy(&first, fields, 8);
    memcpy(&second, (const char *)fields + 4, 8);
    uint32_t crc = ~(uint32_t)CRC_U64(~seed, first);
    crc = ~(uint32_t)CRC_U64(~crc, second);
    return ~(uint32_t)CRC_U64(~crc, id);
}
#endif

uint32_t petiole_crc32c_entry(uint32_t seed, const void *fields, uint64_t id) {
#ifdef HARDWARE
    if (has_instruction())
        return entry_by_instruction(seed, fields, id);
#endif
    uint64_t first, second;
    memcpy(&first, fields, 8);
    memcpy(&second, (const char *)fields + 4, 8);
    return petiole_crc32c_u64(petiole_crc32c_u64(petiole_crc32c_u64(seed, first), second), id);
}

uint32_t petiole_crc32c(uint32_t seed, const void *bytes, size_t length) {
#ifdef HARDWARE
    if (has_instruction())
        return by_instruction(seed, bytes, length);
#endif
    return petiole_crc32c_by_table(seed, bytes, length);
}

uint32_t petiole_crc32c_u64(uint32_t seed, uint64_t value) {
#ifdef HARDWARE
    if (has_instruction())
        return word_by_instruction(seed, value);
#endif
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return petiole_crc32c_by_table(seed, bytes, 8);
}
