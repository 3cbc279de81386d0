/* The kernels of one variant, written once on vectors of 16 lanes. A variant's file defines, before it includes this:
 *
 *   VARIANT, TARGET           name (an identifier), and the attribute that its functions carry
 *   BLOCK_VECTORS, PIXELS(n)  vectors of output channels per pass; pixels per tile when a block has n vectors
 *   WHOLE_BYTES               see Kernels.whole_bytes
 *   TABLES                    1: conv_sums, patterns and wants_tables of this variant are there as well
 *   Ints, Floats and the operations on them that lanes_portable.h lists
 */
#include <string.h>

#include "kernels.h"

#if WHOLE_BYTES == 0
#define ints_dot(acc, word, weights) (acc) /* whole numbers are held in floats */
#endif

#define INLINE static inline __attribute__((always_inline)) TARGET
#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define NAME(base) JOINED(JOINED(base, _), VARIANT)

/* ---- Convolution ---- */

INLINE int gives_bits(enum ConvKind kind) {
    return kind == CONV_BINARY_BITS || kind == CONV_WHOLE_BITS || kind == CONV_WHOLE_FLOAT_BITS;
}

typedef struct {
    const Conv *conv;
    ptrdiff_t first_vector;
    const int32_t *classes; /* base or limit of this row's class, at the block's first channel */
    float *floats;          /* the row's first pixel, at the block's first channel */
    uint16_t *bits;
} RowOut;

INLINE void store_tile_vector(const RowOut *o, enum ConvKind kind, ptrdiff_t x, ptrdiff_t j, Ints sum) {
    const Conv *c = o->conv;
    ptrdiff_t channel = (o->first_vector + j) * LANES, padded = c->vectors * LANES;
    if (gives_bits(kind)) {
        if (kind == CONV_WHOLE_FLOAT_BITS) sum = ints_from_floats(floats_of_bits(sum));
        Ints limit = ints_load(o->classes + c->column_class[x] * padded + j * LANES);
        uint16_t bits = ints_le(sum, limit);
        if (kind != CONV_BINARY_BITS) bits ^= c->flip[o->first_vector + j];
        o->bits[x * 2 * words_for(c->oc) + j] = bits;
        return;
    }
    Floats value;
    if (kind == CONV_BINARY_FLOAT) {
        Ints base = ints_load(o->classes + c->column_class[x] * padded + j * LANES);
        value = floats_from_ints(ints_sub(base, ints_add(sum, sum)));
    } else if (kind == CONV_WHOLE) {
        value = floats_from_ints(ints_sub(sum, ints_load(c->correction + channel)));
    } else {
        value = floats_of_bits(sum);
    }
    if (kind != CONV_FLOAT) value = floats_mul(value, floats_load(c->scale + channel));
    value = floats_add(value, floats_load(c->bias + channel));
    floats_store(o->floats + x * padded + j * LANES, value);
}

/* `pixels` neighbouring windows times `vectors` vectors of channels; both are constants where this is inlined. */
INLINE void conv_tile(const RowOut *o, enum ConvKind kind, int pixels, int vectors, const uint8_t *window,
                      const uint8_t *weights, ptrdiff_t x) {
    const Conv *c = o->conv;
    const ptrdiff_t run = c->run, segments = c->segments, step = c->pixel_bytes * c->window.sw;
    Ints acc[8][4];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) acc[p][j] = ints_zero();
    }
    for (ptrdiff_t s = 0; s < segments; s++) {
        const uint8_t *in = window + c->segment_offset[s];
        for (ptrdiff_t k = 0; k < run; k++, in += 4, weights += vectors * LANES * 4) {
            Ints w[4];
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) w[j] = ints_load(weights + j * LANES * 4);
#pragma GCC unroll 8
            for (int p = 0; p < pixels; p++) {
                Ints word = ints_broadcast(in + p * step);
#pragma GCC unroll 4
                for (int j = 0; j < vectors; j++) {
                    if (kind == CONV_BINARY_FLOAT || kind == CONV_BINARY_BITS) {
                        acc[p][j] = ints_add(acc[p][j], ints_popcount(ints_xor(word, w[j])));
                    } else if (kind == CONV_WHOLE || kind == CONV_WHOLE_BITS) {
                        acc[p][j] = ints_dot(acc[p][j], word, w[j]);
                    } else {
                        Floats product = floats_mul(floats_of_bits(word), floats_of_bits(w[j]));
                        acc[p][j] = bits_of_floats(floats_add(floats_of_bits(acc[p][j]), product));
                    }
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) store_tile_vector(o, kind, x + p, j, acc[p][j]);
    }
}

INLINE void conv_row(const RowOut *o, enum ConvKind kind, int vectors, const uint8_t *row, const uint8_t *weights) {
    const Conv *c = o->conv;
    const ptrdiff_t step = c->pixel_bytes * c->window.sw;
    ptrdiff_t x = 0;
    for (; x + PIXELS(vectors) <= c->ow; x += PIXELS(vectors)) {
        conv_tile(o, kind, PIXELS(vectors), vectors, row + x * step, weights, x);
    }
    for (; x + 2 <= c->ow; x += 2) conv_tile(o, kind, 2, vectors, row + x * step, weights, x);
    for (; x < c->ow; x++) conv_tile(o, kind, 1, vectors, row + x * step, weights, x);
}

INLINE void conv_block(RowOut *o, enum ConvKind kind, int vectors, const uint8_t *map, const uint8_t *weights,
                       ptrdiff_t y0, ptrdiff_t y1, float *floats, uint16_t *bits) {
    const Conv *c = o->conv;
    const ptrdiff_t padded = c->vectors * LANES, halves = 2 * words_for(c->oc);
    const int32_t *classes = gives_bits(kind) ? c->limit : c->base;
    for (ptrdiff_t y = y0; y < y1; y++) {
        if (gives_bits(kind)) {
            o->bits = bits + (y - y0) * c->ow * halves + o->first_vector;
        } else {
            o->floats = floats + (y - y0) * c->ow * padded + o->first_vector * LANES;
        }
        if (gives_bits(kind) || kind == CONV_BINARY_FLOAT) {
            o->classes = classes + c->row_class[y] * c->column_classes * padded + o->first_vector * LANES;
        }
        conv_row(o, kind, vectors, map + y * c->window.sh * c->row_bytes, weights);
    }
}

#if TABLES
/* Rows of floats from sums that tables have made. */
INLINE void summed_floats(const Conv *c, const uint16_t *sums, ptrdiff_t y0, ptrdiff_t y1, float *floats) {
    const ptrdiff_t padded = c->vectors * LANES, pixels = c->oh * c->ow;
    for (ptrdiff_t v = 0; v < c->vectors; v++) {
        const uint16_t *from = sums + v * LANES / TABLE_CHANNELS * pixels * TABLE_CHANNELS + v * LANES % TABLE_CHANNELS;
        const Floats scale = floats_load(c->scale + v * LANES), bias = floats_load(c->bias + v * LANES);
        for (ptrdiff_t y = y0; y < y1; y++) {
            const int32_t *base = c->base + c->row_class[y] * c->column_classes * padded + v * LANES;
            float *to = floats + (y - y0) * c->ow * padded + v * LANES;
            for (ptrdiff_t x = 0; x < c->ow; x++, to += padded) {
                Ints sum = ints_from_shorts(from + (y * c->ow + x) * TABLE_CHANNELS);
                Ints dot = ints_sub(ints_load(base + c->column_class[x] * padded), ints_add(sum, sum));
                floats_store(to, floats_add(floats_mul(floats_from_ints(dot), scale), bias));
            }
        }
    }
}

/* Rows of bits from such sums. */
INLINE void summed_bits(const Conv *c, const uint16_t *sums, ptrdiff_t y0, ptrdiff_t y1, uint16_t *bits) {
    const ptrdiff_t halves = 2 * words_for(c->oc), pixels = c->oh * c->ow, per_block = TABLE_CHANNELS / LANES;
    const ptrdiff_t blocks = (c->vectors + per_block - 1) / per_block, width = blocks * TABLE_CHANNELS;
    for (ptrdiff_t y = y0; y < y1; y++) {
        const int16_t *bounds = c->bound + c->row_class[y] * c->column_classes * width;
        for (ptrdiff_t x = 0; x < c->ow; x++, bits += halves) {
            for (ptrdiff_t b = 0; b < blocks; b++) {
                const uint16_t *sum = sums + (b * pixels + y * c->ow + x) * TABLE_CHANNELS;
                uint64_t below = sums_below(sum, bounds + c->column_class[x] * width + b * TABLE_CHANNELS);
                ptrdiff_t left = c->vectors - b * per_block;
                if (left >= per_block) {
                    memcpy(bits + b * per_block, &below, 8);
                } else {
                    for (ptrdiff_t j = 0; j < left; j++) bits[b * per_block + j] = (uint16_t)(below >> (16 * j));
                }
            }
        }
    }
}
#endif

INLINE void conv_kind(const Conv *c, enum ConvKind kind, const uint8_t *map, ptrdiff_t y0, ptrdiff_t y1, float *floats,
                      uint16_t *bits) {
#if TABLES
    const uint16_t *sums = (const uint16_t *)(const void *)map;
    if (c->tables && kind == CONV_BINARY_FLOAT) {
        summed_floats(c, sums, y0, y1, floats);
        return;
    }
    if (c->tables && kind == CONV_BINARY_BITS) {
        summed_bits(c, sums, y0, y1, bits);
        return;
    }
#endif
    const uint8_t *weights = c->weights;
    RowOut o = {.conv = c, .first_vector = 0};
    for (ptrdiff_t b = 0; b < c->blocks; b++) {
        ptrdiff_t vectors = c->block_vectors + (b < c->larger);
        switch (vectors) {
        case 1:
            conv_block(&o, kind, 1, map, weights, y0, y1, floats, bits);
            break;
#if BLOCK_VECTORS >= 2
        case 2:
            conv_block(&o, kind, 2, map, weights, y0, y1, floats, bits);
            break;
#endif
#if BLOCK_VECTORS >= 4
        case 3:
            conv_block(&o, kind, 3, map, weights, y0, y1, floats, bits);
            break;
        case 4:
            conv_block(&o, kind, 4, map, weights, y0, y1, floats, bits);
            break;
#endif
        default:
            break;
        }
        weights += c->segments * c->run * vectors * LANES * 4;
        o.first_vector += vectors;
    }
}

#define CONV_OF_KIND(function, kind)                                                                                  \
    TARGET static __attribute__((noinline)) void NAME(function)(const Conv *c, const uint8_t *map, ptrdiff_t y0,       \
                                                                ptrdiff_t y1, float *floats, uint16_t *bits) {         \
        conv_kind(c, kind, map, y0, y1, floats, bits);                                                                \
    }

CONV_OF_KIND(binary_float, CONV_BINARY_FLOAT)
CONV_OF_KIND(binary_bits, CONV_BINARY_BITS)
CONV_OF_KIND(whole_float, CONV_WHOLE_FLOAT)
CONV_OF_KIND(whole_float_bits, CONV_WHOLE_FLOAT_BITS)
CONV_OF_KIND(floating, CONV_FLOAT)
#if WHOLE_BYTES != 0
CONV_OF_KIND(whole, CONV_WHOLE)
CONV_OF_KIND(whole_bits, CONV_WHOLE_BITS)
#endif

/* Where the vectors of a pixel fill its last word by half, the other half is zero. */
static void clear_upper_halves(ptrdiff_t pixels, ptrdiff_t vectors, uint16_t *bits) {
    if (vectors % 2 == 0) return;
    for (ptrdiff_t p = 0; p < pixels; p++) bits[p * (vectors + 1) + vectors] = 0;
}

TARGET static void NAME(conv_rows)(const Conv *c, const uint8_t *map, ptrdiff_t y0, ptrdiff_t y1, float *floats,
                                   uint16_t *bits) {
    switch (c->kind) {
    case CONV_BINARY_FLOAT:
        NAME(binary_float)(c, map, y0, y1, floats, bits);
        break;
    case CONV_BINARY_BITS:
        NAME(binary_bits)(c, map, y0, y1, floats, bits);
        break;
    case CONV_WHOLE_FLOAT:
        NAME(whole_float)(c, map, y0, y1, floats, bits);
        break;
    case CONV_WHOLE_FLOAT_BITS:
        NAME(whole_float_bits)(c, map, y0, y1, floats, bits);
        break;
    case CONV_FLOAT:
        NAME(floating)(c, map, y0, y1, floats, bits);
        break;
#if WHOLE_BYTES != 0
    case CONV_WHOLE:
        NAME(whole)(c, map, y0, y1, floats, bits);
        break;
    case CONV_WHOLE_BITS:
        NAME(whole_bits)(c, map, y0, y1, floats, bits);
        break;
#endif
    default:
        break;
    }
    if (conv_makes_bits(c)) clear_upper_halves((y1 - y0) * c->ow, c->vectors, bits);
}

/* ---- Tail ---- */

/* What each case has is constant where this is inlined. A vector of channels at a time, so its parameters stay put. */
INLINE void tail_case(const Tail *t, const TailRows *r, int residual, enum Activation act, int store,
                      enum Quantizer quant) {
    const ptrdiff_t padded = r->vectors * LANES, halves = (r->vectors + 1) / 2 * 2;
    const Floats gain = floats_set(t->gain), top = floats_set(t->top), zero = floats_set(0.0f);
    for (ptrdiff_t v = 0; v < r->vectors; v++) {
        Floats shift_in = zero, slope = zero, shift_out = zero, threshold = zero;
        if (act == ACT_RPRELU) {
            shift_in = floats_load(t->shift_in + v * LANES);
            slope = floats_load(t->slope + v * LANES);
            shift_out = floats_load(t->shift_out + v * LANES);
        }
        if (quant == QUANT_BITS) threshold = floats_load(t->threshold + v * LANES);
        const float *added = residual ? r->residual + v % r->residual_vectors * LANES : NULL;
        for (ptrdiff_t p = 0; p < r->pixels; p++) {
            ptrdiff_t at = p * padded + v * LANES;
            Floats y = floats_load(r->source + at);
            if (residual) y = floats_add(y, floats_load(added + p * r->residual_vectors * LANES));
            if (act == ACT_RELU) y = floats_if_greater(y, zero, y, zero);
            if (act == ACT_RPRELU) {
                y = floats_sub(y, shift_in);
                y = floats_if_greater(y, zero, y, floats_mul(slope, y));
                y = floats_add(y, shift_out);
            }
            if (store) floats_store(r->store + at, y);
            if (quant == QUANT_BITS) r->bits[p * halves + v] = floats_ge(y, threshold);
            if (quant == QUANT_LEVELS) {
                y = floats_mul(y, gain);
                y = floats_if_greater(y, zero, y, zero);
                y = floats_if_greater(top, y, y, top);
                floats_store_octets(r->levels + at, y);
            }
        }
    }
}

INLINE void tail_stored(const Tail *t, const TailRows *r, int residual, enum Activation act, int store) {
    switch (t->quant) {
    case QUANT_NONE:
        tail_case(t, r, residual, act, store, QUANT_NONE);
        break;
    case QUANT_BITS:
        tail_case(t, r, residual, act, store, QUANT_BITS);
        break;
    case QUANT_LEVELS:
        tail_case(t, r, residual, act, store, QUANT_LEVELS);
        break;
    }
}

INLINE void tail_activated(const Tail *t, const TailRows *r, int residual, enum Activation act) {
    if (r->store != NULL) {
        tail_stored(t, r, residual, act, 1);
    } else {
        tail_stored(t, r, residual, act, 0);
    }
}

INLINE void tail_summed(const Tail *t, const TailRows *r, int residual) {
    switch (t->act) {
    case ACT_NONE:
        tail_activated(t, r, residual, ACT_NONE);
        break;
    case ACT_RELU:
        tail_activated(t, r, residual, ACT_RELU);
        break;
    case ACT_RPRELU:
        tail_activated(t, r, residual, ACT_RPRELU);
        break;
    }
}

TARGET static void NAME(tail)(const Tail *t, const TailRows *r) {
    if (r->residual != NULL) {
        tail_summed(t, r, 1);
    } else {
        tail_summed(t, r, 0);
    }
    if (t->quant == QUANT_BITS) clear_upper_halves(r->pixels, r->vectors, r->bits);
}

/* ---- Pooling ---- */

INLINE void pool_rows(const Pool *pool, int greatest, const float *in, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    const Window *k = &pool->window;
    const ptrdiff_t padded = pool->vectors * LANES;
    const Floats factor = floats_set(pool->factor);
    for (ptrdiff_t y = y0; y < y1; y++) {
        for (ptrdiff_t x = 0; x < pool->ow; x++, out += padded) {
            const float *window = in + (y * k->sh * pool->iw + x * k->sw) * padded;
            for (ptrdiff_t v = 0; v < pool->vectors; v++) {
                Floats acc = greatest ? floats_load(window + v * LANES) : floats_set(0.0f);
                for (ptrdiff_t i = 0; i < k->kh; i++) {
                    for (ptrdiff_t j = 0; j < k->kw; j++) {
                        Floats value = floats_load(window + (i * pool->iw + j) * padded + v * LANES);
                        acc = greatest ? floats_if_greater(value, acc, value, acc) : floats_add(acc, value);
                    }
                }
                floats_store(out + v * LANES, greatest ? acc : floats_mul(acc, factor));
            }
        }
    }
}

TARGET static void NAME(average_rows)(const Pool *pool, const float *in, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    pool_rows(pool, 0, in, y0, y1, out);
}

TARGET static void NAME(greatest_rows)(const Pool *pool, const float *in, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    pool_rows(pool, 1, in, y0, y1, out);
}

/* ---- Guards ---- */

TARGET static void NAME(bit_sums)(const uint32_t *in, ptrdiff_t pixels, ptrdiff_t words, uint32_t *sums) {
    for (ptrdiff_t w = 0; w < words; w++, sums += 32) {
        uint32_t acc[32] = {0};
        for (ptrdiff_t p = 0; p < pixels; p++) {
            const uint32_t word = in[p * words + w];
            for (int i = 0; i < 32; i++) acc[i] += word >> i & 1u;
        }
        memcpy(sums, acc, sizeof acc);
    }
}

TARGET static void NAME(level_sums)(const uint8_t *in, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t step,
                                    uint32_t *sums) {
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (ptrdiff_t p = 0; p < pixels; p++, in += step) {
        for (ptrdiff_t c = 0; c < channels; c++) sums[c] += in[c];
    }
}

TARGET static void NAME(weighted_sums)(const uint32_t *sums, ptrdiff_t channels, const int16_t *weight,
                                       ptrdiff_t padded, uint32_t *placed) {
    for (ptrdiff_t first = 0; first < padded; first += LANES, placed += LANES) {
        uint32_t acc[LANES] = {0};
        for (ptrdiff_t c = 0; c < channels; c++) {
            const int16_t *row = weight + c * padded + first;
            for (int i = 0; i < LANES; i++) acc[i] += sums[c] * (uint32_t)(int32_t)row[i];
        }
        memcpy(placed, acc, sizeof acc);
    }
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const Kernels NAME(kernels) = {
    .name = TEXT(VARIANT),
    .block_vectors = BLOCK_VECTORS,
    .whole_bytes = WHOLE_BYTES,
    .runs_here = NAME(runs_here),
    .conv_rows = NAME(conv_rows),
#if TABLES
    .wants_tables = NAME(wants_tables),
    .conv_sums = NAME(conv_sums),
    .patterns = NAME(patterns),
#endif
    .tail = NAME(tail),
    .average_rows = NAME(average_rows),
    .greatest_rows = NAME(greatest_rows),
    .bit_sums = NAME(bit_sums),
    .level_sums = NAME(level_sums),
    .weighted_sums = NAME(weighted_sums),
};
