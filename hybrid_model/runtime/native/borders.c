/* Exact zero padding of binary convolutions: windows by which of their taps lie inside the map. */
#include "conv_parts.h"

/* Entries of the table of border classes: far more than any real network has. */
#define MAX_CLASS_ENTRIES ((ptrdiff_t)1 << 24)

static int popcount32(uint32_t x) {
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    return (int)((((x + (x >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24);
}

/* Numbers the sets of taps inside the map along one axis; returns how many, `first` and `end` of each. */
static ptrdiff_t number_classes(ptrdiff_t in, ptrdiff_t out, ptrdiff_t k, ptrdiff_t step, ptrdiff_t pad, uint16_t *of,
                                ptrdiff_t *first, ptrdiff_t *end) {
    ptrdiff_t classes = 0;
    for (ptrdiff_t i = 0; i < out; i++) {
        ptrdiff_t start = i * step - pad;
        ptrdiff_t a = start < 0 ? -start : 0, b = in - start < k ? in - start : k;
        if (classes == 0 || first[classes - 1] != a || end[classes - 1] != b) {
            first[classes] = a;
            end[classes++] = b;
        }
        of[i] = (uint16_t)(classes - 1);
    }
    return classes;
}

static int32_t clamped(int64_t value) {
    const int64_t top = (int64_t)1 << 30;
    return (int32_t)(value > top ? top : value < -top ? -top : value);
}

/* base and limit of one class: taps (y0..y1, x0..x1) lie inside the map, the border's zero words count as mismatches
 * where weights have ones. */
static void fill_class(const Conv *conv, const ConvSpec *spec, const int32_t *ones, const ptrdiff_t range[4],
                       int32_t *base, int32_t *limit) {
    const Window *k = &conv->window;
    ptrdiff_t inside = (range[1] - range[0]) * (range[3] - range[2]);
    for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
        int64_t outside_ones = 0;
        for (ptrdiff_t y = 0; y < k->kh; y++) {
            for (ptrdiff_t x = 0; x < k->kw; x++) {
                int in = y >= range[0] && y < range[1] && x >= range[2] && x < range[3];
                if (!in) outside_ones += ones[(y * k->kw + x) * conv->oc + oc];
            }
        }
        int64_t value = (int64_t)inside * conv->ic + 2 * outside_ones;
        base[oc] = clamped(value);
        if (limit != NULL) {
            int64_t twice = value - spec->threshold[oc];
            limit[oc] = clamped(twice < 0 ? -1 : twice / 2);
        }
    }
}

/* Limits as 16-bit numbers, for sums that are compared as such. */
static void make_bounds(Conv *conv, ptrdiff_t classes, Arena *arena) {
    ptrdiff_t width = table_blocks(conv) * TABLE_CHANNELS, padded = conv->vectors * LANES;
    conv->bound = arena_take(arena, (size_t)(classes * width), sizeof(int16_t));
    for (ptrdiff_t i = 0; i < classes && conv->bound != NULL && conv->limit != NULL; i++) {
        for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
            int32_t limit = conv->limit[i * padded + oc];
            conv->bound[i * width + oc] = (int16_t)(limit < 0 ? 0 : limit >= INT16_MAX ? INT16_MAX : limit + 1);
        }
        /* Sums behind the last channel may be anything, and give no bits. */
        for (ptrdiff_t oc = conv->oc; oc < width; oc++) conv->bound[i * width + oc] = INT16_MIN;
    }
}

const char *borders_classify(Conv *conv, const ConvSpec *spec, Arena *arena) {
    const Window *k = &conv->window;
    ptrdiff_t taps = k->kh * k->kw, words = words_for(conv->ic), padded = conv->vectors * LANES;
    Arena own = {0};
    int32_t *ones = arena_take(&own, (size_t)(taps * conv->oc), sizeof(int32_t));
    ptrdiff_t *rows = arena_take(&own, (size_t)conv->oh * 2, sizeof(ptrdiff_t));
    ptrdiff_t *columns = arena_take(&own, (size_t)conv->ow * 2, sizeof(ptrdiff_t));
    conv->row_class = arena_take(arena, (size_t)conv->oh, sizeof(uint16_t));
    conv->column_class = arena_take(arena, (size_t)conv->ow, sizeof(uint16_t));
    if (own.failed || arena->failed) {
        arena_free(&own);
        arena->failed = 1;
        return NULL;
    }
    /* By tables, what lies outside adds nothing in the first place. */
    for (ptrdiff_t i = 0; i < taps * conv->oc && !conv->tables; i++) {
        for (ptrdiff_t j = 0; j < words; j++) ones[i] += popcount32(spec->binary_weight[i * words + j]);
    }
    ptrdiff_t n = number_classes(conv->ih, conv->oh, k->kh, k->sh, k->ph, conv->row_class, rows, rows + conv->oh);
    ptrdiff_t m = number_classes(conv->iw, conv->ow, k->kw, k->sw, k->pw, conv->column_class, columns,
                                 columns + conv->ow);
    conv->column_classes = m;
    const char *error = NULL;
    if (n * m > MAX_CLASS_ENTRIES / padded) {
        error = "its windows meet the border in too many ways";
    } else {
        size_t entries = (size_t)(n * m * padded);
        conv->base = arena_take(arena, entries, sizeof(int32_t));
        if (spec->threshold != NULL) conv->limit = arena_take(arena, entries, sizeof(int32_t));
        for (ptrdiff_t i = 0; i < n * m && !arena->failed; i++) {
            ptrdiff_t r = i / m, c = i % m;
            ptrdiff_t range[4] = {rows[r], rows[conv->oh + r], columns[c], columns[conv->ow + c]};
            int32_t *limit = conv->limit == NULL ? NULL : conv->limit + i * padded;
            fill_class(conv, spec, ones, range, conv->base + i * padded, limit);
            for (ptrdiff_t oc = conv->oc; limit != NULL && oc < padded; oc++) limit[oc] = -1;
        }
    }
    arena_free(&own);
    if (error == NULL && conv->tables && spec->threshold != NULL) make_bounds(conv, n * m, arena);
    return error;
}
