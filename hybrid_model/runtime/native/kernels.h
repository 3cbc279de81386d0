/* The table of function pointers behind which the variants stand: AVX-512, AVX2, NEON, portable C. */
#ifndef DEWPOINT_KERNELS_H
#define DEWPOINT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "conv.h"

enum Activation { ACT_NONE, ACT_RELU, ACT_RPRELU };
enum Quantizer { QUANT_NONE, QUANT_BITS, QUANT_LEVELS };

/* What is done to a float map before it is written: + residual, activation, then stored and/or quantized. */
typedef struct {
    enum Activation act;
    enum Quantizer quant;
    /* Padded to whole vectors. */
    float *shift_in, *slope, *shift_out;
    float *threshold;
    float gain, top;
} Tail;

/* The operands of a tail on `pixels` pixels of `vectors` * LANES channels. NULL: not there. `store` may be `source`.
 * The residual has `residual_vectors` * LANES channels, repeated where that is fewer. */
typedef struct {
    ptrdiff_t pixels, vectors, residual_vectors;
    const float *source, *residual;
    float *store;
    uint16_t *bits;
    uint8_t *levels;
} TailRows;

typedef struct {
    Window window;
    ptrdiff_t iw, ow;  /* pixels in a row */
    ptrdiff_t vectors; /* of LANES floats, or for bits: words */
    float factor;      /* 1 / (kh * kw) */
} Pool;

typedef struct Kernels {
    const char *name;
    int block_vectors; /* vectors of output channels that one pass over a window can hold */
    int whole_bytes;   /* whole-number products: 1 = four of 8 bits a word, 2 = two of 16 bits, 0 = as floats */
    int (*runs_here)(void);
    /* Rows y0 to y1 of a convolution, from a prepared map (by tables: from its sums) into `floats` or `bits`, which begin with
     * row y0. */
    void (*conv_rows)(const Conv *conv, const uint8_t *map, ptrdiff_t y0, ptrdiff_t y1, float *floats, uint16_t *bits);
    /* Does this variant make the sums of such a binary convolution faster by tables? NULL: never. */
    int (*wants_tables)(const Conv *conv);
    /* The mismatch counts of every window of a prepared map: (blocks of TABLE_CHANNELS, pixels,
     * TABLE_CHANNELS) uint16, in conv->sums_bytes of memory, the rest of which is scratch. */
    void (*conv_sums)(const Conv *conv, const uint8_t *map, uint8_t *sums);
    void (*patterns)(const uint8_t *words, ptrdiff_t pixels, ptrdiff_t channels, uint16_t *patterns);
    void (*tail)(const Tail *tail, const TailRows *rows);
    void (*average_rows)(const Pool *pool, const float *in, ptrdiff_t y0, ptrdiff_t y1, float *out);
    void (*greatest_rows)(const Pool *pool, const float *in, ptrdiff_t y0, ptrdiff_t y1, float *out);
    /* Of every channel: how many of its bits are set, in `pixels` pixels of `words` words; (words * 32) sums. */
    void (*bit_sums)(const uint32_t *in, ptrdiff_t pixels, ptrdiff_t words, uint32_t *sums);
    /* Of every channel: the sum of its levels, in pixels that lie `step` bytes apart; (channels) sums. */
    void (*level_sums)(const uint8_t *in, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t step, uint32_t *sums);
    /* placed[r] = sum over c of sums[c] * weight[c, r], modulo 2^32; `padded` is whole vectors. */
    void (*weighted_sums)(const uint32_t *sums, ptrdiff_t channels, const int16_t *weight, ptrdiff_t padded,
                          uint32_t *placed);
} Kernels;

/* Every variant that was compiled, the best first; NULL ends the list. */
extern const Kernels *const kernels_compiled[];

/* The variant of this name if this machine can run it, else NULL. */
const Kernels *kernels_find(const char *name);

#endif
