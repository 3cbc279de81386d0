/* 16 lanes in four NEON registers; see lanes_portable.h for what each operation does. */
#ifndef DEWPOINT_LANES_NEON_H
#define DEWPOINT_LANES_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LANE static inline __attribute__((always_inline))

typedef uint32x4x4_t Ints;
typedef float32x4x4_t Floats;

#define INTS(f) ((Ints){{f(0), f(1), f(2), f(3)}})
#define FLOATS(f) ((Floats){{f(0), f(1), f(2), f(3)}})

LANE Ints ints_zero(void) {
#define PART(i) vdupq_n_u32(0)
    return INTS(PART);
#undef PART
}

LANE Ints ints_load(const void *p) {
    const uint32_t *at = p;
#define PART(i) vld1q_u32(at + 4 * i)
    return INTS(PART);
#undef PART
}

LANE Ints ints_broadcast(const void *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
#define PART(i) vdupq_n_u32(word)
    return INTS(PART);
#undef PART
}

LANE Ints ints_from_shorts(const uint16_t *p) {
#define PART(i) vmovl_u16(vld1_u16(p + 4 * i))
    return INTS(PART);
#undef PART
}

LANE Ints ints_add(Ints a, Ints b) {
#define PART(i) vaddq_u32(a.val[i], b.val[i])
    return INTS(PART);
#undef PART
}

LANE Ints ints_sub(Ints a, Ints b) {
#define PART(i) vsubq_u32(a.val[i], b.val[i])
    return INTS(PART);
#undef PART
}

LANE Ints ints_xor(Ints a, Ints b) {
#define PART(i) veorq_u32(a.val[i], b.val[i])
    return INTS(PART);
#undef PART
}

LANE Ints ints_popcount(Ints a) {
#define PART(i) vpaddlq_u16(vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u32(a.val[i]))))
    return INTS(PART);
#undef PART
}

LANE uint32x4_t dot_quarter(uint32x4_t acc, int16x8_t a, int16x8_t b) {
    int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b)), high = vmull_high_s16(a, b);
    return vaddq_u32(acc, vreinterpretq_u32_s32(vpaddq_s32(low, high)));
}

/* acc + the two products of signed 16-bit numbers in a and b. */
LANE Ints ints_dot(Ints acc, Ints a, Ints b) {
#define PART(i) dot_quarter(acc.val[i], vreinterpretq_s16_u32(a.val[i]), vreinterpretq_s16_u32(b.val[i]))
    return INTS(PART);
#undef PART
}

/* Bit i: lane i of the masks, each all ones or all zeros, is set. */
LANE uint16_t mask_of(Ints m) {
    static const uint8_t places[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    uint8x8_t place = vld1_u8(places);
    uint8x8_t low = vmovn_u16(vcombine_u16(vmovn_u32(m.val[0]), vmovn_u32(m.val[1])));
    uint8x8_t high = vmovn_u16(vcombine_u16(vmovn_u32(m.val[2]), vmovn_u32(m.val[3])));
    return (uint16_t)(vaddv_u8(vand_u8(low, place)) | vaddv_u8(vand_u8(high, place)) << 8);
}

LANE uint16_t ints_le(Ints a, Ints b) {
#define PART(i) vcleq_s32(vreinterpretq_s32_u32(a.val[i]), vreinterpretq_s32_u32(b.val[i]))
    return mask_of(INTS(PART));
#undef PART
}

LANE Floats floats_load(const float *p) {
#define PART(i) vld1q_f32(p + 4 * i)
    return FLOATS(PART);
#undef PART
}

LANE void floats_store(float *p, Floats v) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, v.val[i]);
}

LANE Floats floats_set(float value) {
#define PART(i) vdupq_n_f32(value)
    return FLOATS(PART);
#undef PART
}

LANE Floats floats_of_bits(Ints v) {
#define PART(i) vreinterpretq_f32_u32(v.val[i])
    return FLOATS(PART);
#undef PART
}

LANE Ints bits_of_floats(Floats v) {
#define PART(i) vreinterpretq_u32_f32(v.val[i])
    return INTS(PART);
#undef PART
}

LANE Ints ints_from_floats(Floats v) {
#define PART(i) vreinterpretq_u32_s32(vcvtq_s32_f32(v.val[i]))
    return INTS(PART);
#undef PART
}

LANE Floats floats_from_ints(Ints v) {
#define PART(i) vcvtq_f32_s32(vreinterpretq_s32_u32(v.val[i]))
    return FLOATS(PART);
#undef PART
}

LANE Floats floats_add(Floats a, Floats b) {
#define PART(i) vaddq_f32(a.val[i], b.val[i])
    return FLOATS(PART);
#undef PART
}

LANE Floats floats_sub(Floats a, Floats b) {
#define PART(i) vsubq_f32(a.val[i], b.val[i])
    return FLOATS(PART);
#undef PART
}

LANE Floats floats_mul(Floats a, Floats b) {
#define PART(i) vmulq_f32(a.val[i], b.val[i])
    return FLOATS(PART);
#undef PART
}

LANE Floats floats_if_greater(Floats a, Floats b, Floats yes, Floats no) {
#define PART(i) vbslq_f32(vcgtq_f32(a.val[i], b.val[i]), yes.val[i], no.val[i])
    return FLOATS(PART);
#undef PART
}

LANE uint16_t floats_ge(Floats a, Floats b) {
#define PART(i) vcgeq_f32(a.val[i], b.val[i])
    return mask_of(INTS(PART));
#undef PART
}

LANE void floats_store_octets(uint8_t *p, Floats v) {
#define PART(i) vmovn_u32(vreinterpretq_u32_f32(vaddq_f32(v.val[i], vdupq_n_f32(8388608.0f))))
    vst1_u8(p, vmovn_u16(vcombine_u16(PART(0), PART(1))));
    vst1_u8(p + 8, vmovn_u16(vcombine_u16(PART(2), PART(3))));
#undef PART
}

#endif
