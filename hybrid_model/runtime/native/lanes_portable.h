/* 16 lanes in plain C: arrays that the compiler may turn into whatever vectors it has. The other lanes_*.h define the
 * same types and operations with intrinsics; what each does is written here.
 */
#ifndef DEWPOINT_LANES_PORTABLE_H
#define DEWPOINT_LANES_PORTABLE_H

#include <stdint.h>
#include <string.h>

/* Vectors only pass between functions that are inlined: how they would be passed does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define LANE_COUNT 16
#define LANE static inline __attribute__((always_inline))
#define EACH_LANE for (int i = 0; i < LANE_COUNT; i++)

typedef uint32_t Ints __attribute__((vector_size(64)));
typedef int32_t SignedInts __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));

LANE Ints ints_zero(void) { return (Ints){0}; }

LANE Ints ints_load(const void *p) {
    Ints v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The 32-bit word at p, which need not be aligned, in every lane. */
LANE Ints ints_broadcast(const void *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word - (Ints){0};
}

LANE Ints ints_add(Ints a, Ints b) { return a + b; }
LANE Ints ints_sub(Ints a, Ints b) { return a - b; }
LANE Ints ints_xor(Ints a, Ints b) { return a ^ b; }

LANE Ints ints_popcount(Ints x) {
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0Fu;
    x += x >> 8;
    return (x + (x >> 16)) & 0x3Fu;
}

/* Bit i: lane i of a <= lane i of b, as signed numbers. */
LANE uint16_t ints_le(Ints a, Ints b) {
    SignedInts yes = (SignedInts)a <= (SignedInts)b;
    uint32_t mask = 0;
    EACH_LANE mask |= (uint32_t)(yes[i] & 1) << i;
    return (uint16_t)mask;
}

LANE Floats floats_load(const float *p) {
    Floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

LANE void floats_store(float *p, Floats v) { memcpy(p, &v, sizeof v); }
LANE Floats floats_set(float value) { return value - (Floats){0}; }
LANE Floats floats_of_bits(Ints v) { return (Floats)v; }
LANE Ints bits_of_floats(Floats v) { return (Ints)v; }
/* Whole numbers only. */
LANE Ints ints_from_floats(Floats v) { return (Ints)__builtin_convertvector(v, SignedInts); }
LANE Floats floats_from_ints(Ints v) { return __builtin_convertvector((SignedInts)v, Floats); }
LANE Floats floats_add(Floats a, Floats b) { return a + b; }
LANE Floats floats_sub(Floats a, Floats b) { return a - b; }
LANE Floats floats_mul(Floats a, Floats b) { return a * b; }

/* a > b ? yes : no; no where either is NaN. */
LANE Floats floats_if_greater(Floats a, Floats b, Floats yes, Floats no) {
    Ints mask = (Ints)(a > b);
    return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no));
}

/* Bit i: lane i of a >= lane i of b; 0 where either is NaN. */
LANE uint16_t floats_ge(Floats a, Floats b) {
    SignedInts yes = (SignedInts)(a >= b);
    uint32_t mask = 0;
    EACH_LANE mask |= (uint32_t)(yes[i] & 1) << i;
    return (uint16_t)mask;
}

/* Stores values in 0..255 as octets, rounded half to even. */
LANE void floats_store_octets(uint8_t *p, Floats v) {
    /* Behind 2^23 a float has no fraction, so the sum is rounded, and the low byte of its bits is the number. */
    Ints rounded = (Ints)(v + 8388608.0f);
    EACH_LANE p[i] = (uint8_t)rounded[i];
}

#endif
