/* The machine's own peak of xor + popcount + add, from registers alone: what a kernel without tables cannot pass. */
#include <stdint.h>
#include <time.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq"), noinline))
#define AVX2 __attribute__((target("avx2"), noinline))

/* Bits per second. The empty asm makes each operand new, so that no xor is moved out of the loop. */
AVX512 double peak_avx512(long rounds) {
    __m512i acc[4][4], word = _mm512_set1_epi32((int)rounds), weight[4];
    for (int i = 0; i < 4; i++) {
        weight[i] = _mm512_set1_epi32((int)rounds * 13 + i);
        for (int j = 0; j < 4; j++) acc[i][j] = _mm512_setzero_si512();
    }
    double start = seconds();
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            __m512i fresh = word;
            __asm__ volatile("" : "+v"(fresh));
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                __m512i count = _mm512_popcnt_epi32(_mm512_xor_si512(fresh, weight[j]));
                acc[p][j] = _mm512_add_epi32(acc[p][j], count);
            }
        }
    }
    double took = seconds() - start;
    __m512i sum = _mm512_setzero_si512();
    for (int p = 0; p < 4; p++) {
        for (int j = 0; j < 4; j++) sum = _mm512_add_epi32(sum, acc[p][j]);
    }
    volatile int kept = _mm512_reduce_add_epi32(sum);
    (void)kept;
    return (double)rounds * 16 * 512 / took;
}

/* By nibbles, counts kept in octets: the fastest popcount that AVX2 has. */
AVX2 double peak_avx2(long rounds) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i acc[4], word = _mm256_set1_epi32((int)rounds), weight[4];
    for (int i = 0; i < 4; i++) {
        acc[i] = _mm256_setzero_si256();
        weight[i] = _mm256_set1_epi32((int)rounds * 13 + i);
    }
    double start = seconds();
    for (long r = 0; r < rounds; r++) {
        __m256i fresh = word;
        __asm__ volatile("" : "+x"(fresh));
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m256i x = _mm256_xor_si256(fresh, weight[j]);
            __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, nibble));
            __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
            acc[j] = _mm256_add_epi8(acc[j], _mm256_add_epi8(low, high));
        }
    }
    double took = seconds() - start;
    __m256i sum = _mm256_add_epi8(_mm256_add_epi8(acc[0], acc[1]), _mm256_add_epi8(acc[2], acc[3]));
    volatile int kept = _mm256_extract_epi32(sum, 0);
    (void)kept;
    return (double)rounds * 4 * 256 / took;
}
#endif

#if defined(__aarch64__)
#include <arm_neon.h>

double peak_neon(long rounds) {
    uint8x16_t acc[8], word = vdupq_n_u8((uint8_t)rounds), weight[8];
    for (int i = 0; i < 8; i++) {
        acc[i] = vdupq_n_u8(0);
        weight[i] = vdupq_n_u8((uint8_t)(rounds * 13 + i));
    }
    double start = seconds();
    for (long r = 0; r < rounds; r++) {
        __asm__ volatile("" : "+w"(word));
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) acc[j] = vaddq_u8(acc[j], vcntq_u8(veorq_u8(word, weight[j])));
    }
    double took = seconds() - start;
    for (int j = 0; j < 8; j++) __asm__ volatile("" : : "w"(acc[j]));
    return (double)rounds * 8 * 128 / took;
}
#endif

double peak_portable(long rounds) {
    uint64_t acc[4] = {0}, word = (uint64_t)rounds, weight[4] = {1, 2, 3, 4};
    double start = seconds();
    for (long r = 0; r < rounds; r++) {
        __asm__ volatile("" : "+r"(word));
        for (int j = 0; j < 4; j++) acc[j] += (uint64_t)__builtin_popcountll(word ^ weight[j]);
    }
    double took = seconds() - start;
    for (int j = 0; j < 4; j++) __asm__ volatile("" : : "r"(acc[j]));
    return (double)rounds * 4 * 64 / took;
}
