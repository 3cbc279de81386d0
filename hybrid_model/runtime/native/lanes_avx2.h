/* 16 lanes in two AVX2 registers; see lanes_portable.h for what each operation does. */
#ifndef DEWPOINT_LANES_AVX2_H
#define DEWPOINT_LANES_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define LANE static inline __attribute__((always_inline)) AVX2

typedef struct {
    __m256i lo, hi;
} Ints;
typedef struct {
    __m256 lo, hi;
} Floats;

#define INTS(low, high) ((Ints){low, high})
#define FLOATS(low, high) ((Floats){low, high})

LANE Ints ints_zero(void) { return INTS(_mm256_setzero_si256(), _mm256_setzero_si256()); }

LANE Ints ints_load(const void *p) {
    const __m256i *at = p;
    return INTS(_mm256_load_si256(at), _mm256_load_si256(at + 1));
}

LANE Ints ints_broadcast(const void *p) {
    int word;
    memcpy(&word, p, sizeof word);
    __m256i all = _mm256_set1_epi32(word);
    return INTS(all, all);
}

LANE Ints ints_add(Ints a, Ints b) { return INTS(_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)); }
LANE Ints ints_sub(Ints a, Ints b) { return INTS(_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)); }
LANE Ints ints_xor(Ints a, Ints b) { return INTS(_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)); }

LANE Ints ints_from_shorts(const uint16_t *p) {
    const __m128i *at = (const __m128i *)(const void *)p;
    return INTS(_mm256_cvtepu16_epi32(_mm_load_si128(at)), _mm256_cvtepu16_epi32(_mm_load_si128(at + 1)));
}

/* By nibbles (W. Mula), then summed over the four octets of each lane. */
LANE __m256i popcount_half(__m256i x) {
    const __m256i counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, nibble));
    __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_add_epi8(low, high), _mm256_set1_epi8(1));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

LANE Ints ints_popcount(Ints a) { return INTS(popcount_half(a.lo), popcount_half(a.hi)); }

/* acc + the two products of signed 16-bit numbers in a and b. */
LANE Ints ints_dot(Ints acc, Ints a, Ints b) {
    return ints_add(acc, INTS(_mm256_madd_epi16(a.lo, b.lo), _mm256_madd_epi16(a.hi, b.hi)));
}

LANE uint16_t ints_le(Ints a, Ints b) {
    int low = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.lo, b.lo)));
    int high = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.hi, b.hi)));
    return (uint16_t)~(low | high << 8);
}

LANE Floats floats_load(const float *p) { return FLOATS(_mm256_load_ps(p), _mm256_load_ps(p + 8)); }

LANE void floats_store(float *p, Floats v) {
    _mm256_store_ps(p, v.lo);
    _mm256_store_ps(p + 8, v.hi);
}

LANE Floats floats_set(float value) { return FLOATS(_mm256_set1_ps(value), _mm256_set1_ps(value)); }
LANE Floats floats_of_bits(Ints v) { return FLOATS(_mm256_castsi256_ps(v.lo), _mm256_castsi256_ps(v.hi)); }
LANE Ints bits_of_floats(Floats v) { return INTS(_mm256_castps_si256(v.lo), _mm256_castps_si256(v.hi)); }
LANE Ints ints_from_floats(Floats v) { return INTS(_mm256_cvttps_epi32(v.lo), _mm256_cvttps_epi32(v.hi)); }
LANE Floats floats_from_ints(Ints v) { return FLOATS(_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)); }
LANE Floats floats_add(Floats a, Floats b) { return FLOATS(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)); }
LANE Floats floats_sub(Floats a, Floats b) { return FLOATS(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)); }
LANE Floats floats_mul(Floats a, Floats b) { return FLOATS(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)); }

LANE Floats floats_if_greater(Floats a, Floats b, Floats yes, Floats no) {
    return FLOATS(_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
                  _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)));
}

LANE uint16_t floats_ge(Floats a, Floats b) {
    int low = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ));
    int high = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ));
    return (uint16_t)(low | high << 8);
}

LANE void floats_store_octets(uint8_t *p, Floats v) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi));
    words = _mm256_permute4x64_epi64(words, 0xD8);
    _mm_store_si128((__m128i *)(void *)p,
                    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

#endif
