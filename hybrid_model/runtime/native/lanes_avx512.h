/* 16 lanes in one AVX-512 register; see lanes_portable.h for what each operation does. */
#ifndef DEWPOINT_LANES_AVX512_H
#define DEWPOINT_LANES_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni")))
#define LANE static inline __attribute__((always_inline)) AVX512

typedef __m512i Ints;
typedef __m512 Floats;

LANE Ints ints_zero(void) { return _mm512_setzero_si512(); }
LANE Ints ints_load(const void *p) { return _mm512_load_si512(p); }

LANE Ints ints_broadcast(const void *p) {
    int word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

LANE Ints ints_from_shorts(const uint16_t *p) {
    return _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(const void *)p));
}

LANE Ints ints_add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
LANE Ints ints_sub(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
LANE Ints ints_xor(Ints a, Ints b) { return _mm512_xor_si512(a, b); }
LANE Ints ints_popcount(Ints a) { return _mm512_popcnt_epi32(a); }

/* acc + the four products of unsigned octets in a and signed octets in b. */
LANE Ints ints_dot(Ints acc, Ints a, Ints b) { return _mm512_dpbusd_epi32(acc, a, b); }
LANE uint16_t ints_le(Ints a, Ints b) { return _mm512_cmple_epi32_mask(a, b); }

LANE Floats floats_load(const float *p) { return _mm512_load_ps(p); }
LANE void floats_store(float *p, Floats v) { _mm512_store_ps(p, v); }
LANE Floats floats_set(float value) { return _mm512_set1_ps(value); }
LANE Floats floats_of_bits(Ints v) { return _mm512_castsi512_ps(v); }
LANE Ints bits_of_floats(Floats v) { return _mm512_castps_si512(v); }
LANE Ints ints_from_floats(Floats v) { return _mm512_cvttps_epi32(v); }
LANE Floats floats_from_ints(Ints v) { return _mm512_cvtepi32_ps(v); }
LANE Floats floats_add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
LANE Floats floats_sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
LANE Floats floats_mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }

LANE Floats floats_if_greater(Floats a, Floats b, Floats yes, Floats no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}

LANE uint16_t floats_ge(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }

LANE void floats_store_octets(uint8_t *p, Floats v) {
    Ints rounded = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(8388608.0f)));
    _mm_store_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(rounded));
}

#endif
