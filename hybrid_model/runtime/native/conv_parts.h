/* What a convolution is put together from: packed weights, and classes of windows at the border. */
#ifndef DEWPOINT_CONV_PARTS_H
#define DEWPOINT_CONV_PARTS_H

#include "conv.h"
#include "tables.h"

static inline int is_binary(const Conv *conv) {
    return conv->kind == CONV_BINARY_FLOAT || conv->kind == CONV_BINARY_BITS;
}

static inline ptrdiff_t table_blocks(const Conv *conv) { return (conv->oc + TABLE_CHANNELS - 1) / TABLE_CHANNELS; }

static inline ptrdiff_t pixel_blocks(const Conv *conv) {
    return (conv->oh * conv->ow + TABLE_PIXELS - 1) / TABLE_PIXELS;
}

/* Packs the weights as conv->kind, map, tables and swapped ask for; 0: memory ran out, and the arena has failed. */
int weights_pack(Conv *conv, const ConvSpec *spec, Arena *arena);

/* Fills in the classes of a binary convolution. Returns NULL, or why it cannot be had. */
const char *borders_classify(Conv *conv, const ConvSpec *spec, Arena *arena);

#endif
