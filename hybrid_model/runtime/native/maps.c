/* The maps that windows are read from: copies of a tensor between borders. */
#include <string.h>

#include "conv.h"
#include "kernels.h"
#include "tables.h"

/* Copies rows of words between borders of zero words. */
static void copy_words(const Conv *conv, const uint8_t *source, uint8_t *map) {
    size_t border = (size_t)(conv->window.pw * conv->pixel_bytes), inner = (size_t)(conv->iw * conv->pixel_bytes);
    size_t above = (size_t)(conv->window.ph * conv->row_bytes);
    memset(map, 0, above);
    map += above;
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        memset(map, 0, border);
        memcpy(map + border, source, inner);
        memset(map + border + inner, 0, border);
        map += conv->row_bytes;
        source += inner;
    }
    memset(map, 0, above);
}

static uint16_t *fill_outside(const Conv *conv, uint16_t *patterns, ptrdiff_t pixels) {
    ptrdiff_t count = pixels * groups_for(conv->ic);
    for (ptrdiff_t i = 0; i < count; i++) patterns[i] = OUTSIDE_PATTERN;
    return patterns + count;
}

/* In ascending order: the kernel may write beyond a row's end. */
static void copy_patterns(const Conv *conv, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t width = conv->iw + 2 * k->pw;
    uint16_t *to = fill_outside(conv, (uint16_t *)(void *)map, k->ph * width);
    for (ptrdiff_t y = 0; y < conv->ih; y++, source += conv->iw * words_for(conv->ic) * 4) {
        to = fill_outside(conv, to, k->pw);
        conv->kernels->patterns(source, conv->iw, conv->ic, to);
        to = fill_outside(conv, to + conv->iw * groups_for(conv->ic), k->pw);
    }
    to = fill_outside(conv, to, k->ph * width);
    /* What fills up the last window's last triple reads on here. */
    for (int i = 0; i < TRIPLE - 1; i++) to[i] = OUTSIDE_PATTERN;
}

static void fill_zero_points(const Conv *conv, uint8_t *map, ptrdiff_t pixels) {
    for (ptrdiff_t p = 0; p < pixels; p++) {
        for (ptrdiff_t i = 0; i < conv->ic; i++) *map++ = (uint8_t)conv->zero_point[i];
    }
}

static void copy_octets(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t width = conv->iw + 2 * k->pw;
    fill_zero_points(conv, map, k->ph * width);
    map += k->ph * conv->row_bytes;
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        fill_zero_points(conv, map, k->pw);
        map += k->pw * conv->ic;
        if (source_pixel == conv->ic) {
            memcpy(map, source, (size_t)(conv->iw * conv->ic));
        } else {
            for (ptrdiff_t x = 0; x < conv->iw; x++) {
                memcpy(map + x * conv->ic, source + x * source_pixel, (size_t)conv->ic);
            }
        }
        source += conv->iw * source_pixel;
        map += conv->iw * conv->ic;
        fill_zero_points(conv, map, k->pw);
        map += k->pw * conv->ic;
    }
    fill_zero_points(conv, map, k->ph * width);
}

static void copy_shorts(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        int16_t *to = (int16_t *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel) {
            for (ptrdiff_t i = 0; i < conv->ic; i++) *to++ = (int16_t)(source[i] - conv->zero_point[i]);
        }
    }
}

static void copy_floats(const Conv *conv, const float *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t source_pixel = padded_channels(conv->ic);
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        float *to = (float *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel, to += conv->ic) {
            memcpy(to, source, (size_t)conv->ic * sizeof(float));
        }
    }
}

static void copy_centred(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        float *to = (float *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel) {
            for (ptrdiff_t i = 0; i < conv->ic; i++) *to++ = (float)(source[i] - conv->zero_point[i]);
        }
    }
}

const uint8_t *conv_prepare(const Conv *conv, const Tensor *in, const uint8_t *source, uint8_t *scratch) {
    switch (conv->map) {
    case MAP_DIRECT:
        return source;
    case MAP_WORDS:
        copy_words(conv, source, scratch);
        break;
    case MAP_PATTERNS:
        copy_patterns(conv, source, scratch);
        break;
    case MAP_U8:
        copy_octets(conv, in->pixel_bytes, source, scratch);
        break;
    case MAP_S16:
        copy_shorts(conv, in->pixel_bytes, source, scratch);
        break;
    case MAP_FLOAT:
        copy_floats(conv, (const float *)(const void *)source, scratch);
        break;
    case MAP_CENTRED:
        copy_centred(conv, in->pixel_bytes, source, scratch);
        break;
    }
    return scratch;
}
