/* A convolution, ready to run: packed weights, epilogue parameters, and how its windows lie in memory.
 *
 * All convolutions share one form. A window is `segments` runs of `run` 32-bit words; each word is broadcast and combined
 * with a vector of 16 output channels per step. A word is 32 activation bits, four 8-bit values, two 16-bit values, or
 * one float, and the weights beside it are packed alike. No horizontal sums anywhere.
 */
#ifndef DEWPOINT_CONV_H
#define DEWPOINT_CONV_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "tensor.h"

/* Channels in one vector; float maps and parameters are padded to whole vectors. */
#define LANES 16

struct Kernels;

/* How a word and its weights are combined, and what becomes of the sums. */
enum ConvKind {
    CONV_BINARY_FLOAT, /* mismatches -> dot -> * scale + bias */
    CONV_BINARY_BITS,  /* mismatches <= limit */
    CONV_WHOLE,        /* 8-bit or 16-bit whole numbers -> (sum - correction) * scale + bias */
    CONV_WHOLE_FLOAT,  /* whole numbers held in floats -> sum * scale + bias */
    CONV_WHOLE_BITS,       /* as CONV_WHOLE, then a threshold: sum <= limit, turned round where `flip` says so */
    CONV_WHOLE_FLOAT_BITS, /* likewise */
    CONV_FLOAT             /* floats, in the fixed order -> sum + bias */
};

/* How `conv_prepare` lays out the map that windows are read from. */
enum ConvMap {
    MAP_DIRECT,    /* the tensor itself: no padding */
    MAP_WORDS,     /* bits, with a border of zero words */
    MAP_PATTERNS,  /* five bits each as an offset into a table; see tables.h */
    MAP_U8,        /* dense 8-bit values, the border holds the zero points */
    MAP_S16,       /* dense 16-bit values less their zero points */
    MAP_FLOAT,     /* dense floats */
    MAP_CENTRED    /* dense floats of 8-bit values less their zero points */
};

typedef struct {
    ptrdiff_t kh, kw, sh, sw, ph, pw;
} Window;

typedef struct Conv {
    const struct Kernels *kernels;
    enum ConvKind kind;
    enum ConvMap map;
    Window window;
    ptrdiff_t ih, iw, ic, oh, ow, oc;
    /* Windows in the prepared map. */
    ptrdiff_t pixel_bytes, row_bytes;
    ptrdiff_t segments, run;
    ptrdiff_t *segment_offset; /* bytes from a window's start */
    size_t map_bytes;          /* scratch that the prepared map takes; 0: none */
    size_t sums_bytes;         /* scratch for the sums of the whole map, where they are made by tables; 0: none */
    int16_t *zero_point;       /* (ic) */
    /* Channels in vectors, vectors in blocks: the first `larger` blocks have one vector more. */
    ptrdiff_t vectors, blocks, block_vectors, larger;
    /* [block][segment][run][vectors of the block][LANES] words; of MAP_PATTERNS [block][segment][run] seeds of tables;
     * with roles swapped [pass][OC][tables of the pass] patterns of 16 bits. */
    uint8_t *weights;
    int tables;          /* sums are made by tables */
    int swapped;         /* tables of pixels, looked up by weights */
    int32_t *word_offset; /* swapped: (blocks of TABLE_PIXELS, TABLE_PIXELS): a window's start in the map, in words,
                           * in the order of entries */
    uint8_t *inside;      /* swapped: (blocks, taps, ENTRY_BYTES): 1 in the nibbles of pixels inside the map */
    /* Epilogue, each padded to `vectors` * LANES channels. */
    float *scale, *bias;
    int32_t *correction;
    /* Exact zero padding: a class for each set of taps inside the map. (classes, channels) */
    uint16_t *row_class, *column_class;
    ptrdiff_t column_classes;
    int32_t *base;  /* dot = base - 2 * mismatches */
    int32_t *limit; /* bit = mismatches (or sum) <= limit */
    uint16_t *flip; /* (vectors): bits to turn round */
    int16_t *bound; /* by tables, (classes, blocks of TABLE_CHANNELS): bit = mismatches < bound */
} Conv;

/* What a convolution is made from, all shapes checked by the caller. */
typedef struct {
    Window window;
    Tensor in, out;
    const uint32_t *binary_weight; /* (KH, KW, OC, words) */
    const int8_t *whole_weight;    /* (KH, KW, IC, OC) */
    const float *float_weight;     /* (KH, KW, IC, OC) */
    const int16_t *zero_point;     /* (IC) or NULL */
    const float *scale, *bias;     /* (OC) or NULL */
    const int32_t *threshold;      /* (OC) or NULL */
} ConvSpec;

/* Builds a convolution in `arena`. Returns NULL, or why it cannot be had. */
const char *conv_build(Conv *conv, const ConvSpec *spec, const struct Kernels *kernels, Arena *arena);

/* Makes a whole-number convolution give bits at once, those of f32(sum) * scale + bias >= threshold (padded to whole
 * vectors). Returns 0 and changes nothing where there is no such integer limit. */
int conv_take_threshold(Conv *conv, const float *threshold, Arena *arena);

static inline int conv_makes_bits(const Conv *conv) {
    return conv->kind == CONV_BINARY_BITS || conv->kind == CONV_WHOLE_BITS || conv->kind == CONV_WHOLE_FLOAT_BITS;
}

/* The map that `conv` reads its windows from: `source` itself or a padded copy in `scratch` (conv->map_bytes). */
const uint8_t *conv_prepare(const Conv *conv, const Tensor *in, const uint8_t *source, uint8_t *scratch);

#endif
