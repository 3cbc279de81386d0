/* What a numbered buffer holds for one sample, and how it lies in memory: NHWC, channels padded to whole vectors. */
#ifndef DEWPOINT_TENSOR_H
#define DEWPOINT_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum TensorKind { TENSOR_U8, TENSOR_FLOAT, TENSOR_BITS, TENSOR_LEVELS, TENSOR_LOGITS, TENSOR_CODES, TENSOR_KINDS };

typedef struct {
    enum TensorKind kind;
    ptrdiff_t h, w, c;
    int bits;
    /* Bytes from one pixel to the next; bits are in 32-bit words, least significant first, unused bits zero. */
    ptrdiff_t pixel_bytes;
    size_t bytes;
    /* Where in a workspace, and from which node to which it is needed. */
    size_t offset;
    ptrdiff_t first_node, last_node;
} Tensor;

/* Floats from one pixel of a float map to the next. */
static inline ptrdiff_t padded_channels(ptrdiff_t channels) { return (channels + 15) / 16 * 16; }

static inline ptrdiff_t words_for(ptrdiff_t channels) { return (channels + 31) / 32; }

/* 1-bit codes are kept as bits, wider ones as levels. */
static inline int held_as_bits(const Tensor *t) {
    return t->kind == TENSOR_BITS || (t->kind == TENSOR_CODES && t->bits == 1);
}

#endif
