// Atomic operations on words in mapped memory, which Swift's `Atomic` cannot be laid over.
#ifndef CPETIOLE_ATOMICS_H
#define CPETIOLE_ATOMICS_H
#include <stdint.h>

static inline uint64_t petiole_load_u64(const void *_Nonnull at) {
    return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
}
static inline void petiole_store_u64(void *_Nonnull at, uint64_t value) {
    __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELEASE);
}
/// A store that no later load of this thread passes: half of Dekker's handshake.
static inline void petiole_publish_u64(void *_Nonnull at, uint64_t value) {
    (void)__atomic_exchange_n((uint64_t *)at, value, __ATOMIC_SEQ_CST);
}
static inline int petiole_swap_u64(void *_Nonnull at, uint64_t expected, uint64_t value) {
    return __atomic_compare_exchange_n((uint64_t *)at, &expected, value, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}
static inline uint32_t petiole_load_u32(const void *_Nonnull at) {
    return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
}
/// The other half of Dekker's handshake: not moved before an earlier `petiole_publish_u64`.
static inline uint32_t petiole_load_sequential_u32(const void *_Nonnull at) {
    return __atomic_load_n((const uint32_t *)at, __ATOMIC_SEQ_CST);
}
static inline void petiole_store_u32(void *_Nonnull at, uint32_t value) {
    __atomic_store_n((uint32_t *)at, value, __ATOMIC_RELEASE);
}
static inline int petiole_swap_u32(void *_Nonnull at, uint32_t expected, uint32_t value) {
    return __atomic_compare_exchange_n((uint32_t *)at, &expected, value, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}
static inline uint32_t petiole_or_u32(void *_Nonnull at, uint32_t bits) {
    return __atomic_fetch_or((uint32_t *)at, bits, __ATOMIC_SEQ_CST);
}
static inline uint32_t petiole_and_u32(void *_Nonnull at, uint32_t bits) {
    return __atomic_fetch_and((uint32_t *)at, bits, __ATOMIC_SEQ_CST);
}
static inline uint32_t petiole_add_u32(void *_Nonnull at, uint32_t value) {
    return __atomic_fetch_add((uint32_t *)at, value, __ATOMIC_SEQ_CST);
}
static inline void petiole_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#endif
