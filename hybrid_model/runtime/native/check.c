#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_DIM 65536
#define MAX_PADDING 64
#define MAX_TENSOR_BYTES ((int64_t)1 << 30)
#define MAX_COUNT 8192

/* Bytes of an array; a product beyond any memory stays there. */
static int64_t times(int64_t a, int64_t b) {
    const int64_t beyond = INT64_MAX / 4;
    if (a < 0 || b < 0 || (b != 0 && a > beyond / b)) return beyond;
    return a * b;
}

static int in_range(int64_t value, int64_t least, int64_t greatest) { return value >= least && value <= greatest; }

static const char *fill_tensor(const BufferSpec *spec, Tensor *t) {
    if (!in_range(spec->kind, 0, TENSOR_KINDS - 1)) return "has an unknown kind";
    if (!in_range(spec->h, 1, MAX_DIM) || !in_range(spec->w, 1, MAX_DIM) || !in_range(spec->c, 1, MAX_DIM)) {
        return "has a dimension out of range";
    }
    memset(t, 0, sizeof *t);
    t->kind = (enum TensorKind)spec->kind;
    t->h = (ptrdiff_t)spec->h, t->w = (ptrdiff_t)spec->w, t->c = (ptrdiff_t)spec->c;
    if (t->kind == TENSOR_LEVELS && spec->bits != 2 && spec->bits != 4 && spec->bits != 8) {
        return "has levels of unknown width";
    }
    if (t->kind == TENSOR_CODES && !in_range(spec->bits, 1, 4)) return "has codes of unknown width";
    t->bits = t->kind == TENSOR_LEVELS || t->kind == TENSOR_CODES ? (int)spec->bits : 0;
    if (held_as_bits(t)) {
        t->pixel_bytes = words_for(t->c) * 4;
    } else if (t->kind == TENSOR_U8) {
        t->pixel_bytes = t->c;
    } else {
        int octets = t->kind == TENSOR_LEVELS || t->kind == TENSOR_CODES;
        t->pixel_bytes = padded_channels(t->c) * (octets ? 1 : 4);
    }
    int64_t bytes = times(times(spec->h, spec->w), t->pixel_bytes);
    if (bytes > MAX_TENSOR_BYTES) return "is too large";
    t->bytes = (size_t)bytes;
    return NULL;
}

static int same_shape(const Tensor *a, const Tensor *b) { return a->h == b->h && a->w == b->w && a->c == b->c; }

/* Is parameter `i` there with exactly this many elements of this size? */
static int has_param(const Step *s, int i, int64_t count, int64_t size) {
    return s->param[i].data != NULL && (uint64_t)s->param[i].bytes == (uint64_t)times(count, size);
}

static int has_no_param_from(const Step *s, int i) { return i >= MAX_PARAMS || s->param[i].data == NULL; }

static int window_fits(const Step *s, const Tensor *in, const Tensor *out, int64_t greatest_padding) {
    const int64_t size[2] = {in->h, in->w}, result[2] = {out->h, out->w};
    for (int axis = 0; axis < 2; axis++) {
        int64_t k = s->window[axis], step = s->window[2 + axis], pad = s->window[4 + axis];
        if (!in_range(k, 1, MAX_DIM) || !in_range(step, 1, MAX_DIM) || !in_range(pad, 0, greatest_padding)) return 0;
        if (pad >= k || size[axis] + 2 * pad < k) return 0;
        if ((size[axis] + 2 * pad - k) / step + 1 != result[axis]) return 0;
    }
    return 1;
}

static int64_t weights_of(const Step *s, const Tensor *in, const Tensor *out) {
    return times(times(s->window[0], s->window[1]), times(in->c, out->c));
}

static const char *check_convolution(const Step *s, const Tensor *in, const Tensor *out) {
    if (!window_fits(s, in, out, MAX_PADDING)) return "has windows that do not fit";
    const char *wrong = "has parameters of another size";
    int64_t oc = out->c;
    if (s->operation == OP_CONV_BINARY) {
        int64_t words = times(times(s->window[0], s->window[1]), times(oc, words_for(in->c)));
        if (in->kind != TENSOR_BITS) return "takes bits";
        if (!has_param(s, 0, words, 4)) return wrong;
        if (out->kind == TENSOR_BITS) return has_param(s, 1, oc, 4) && has_no_param_from(s, 2) ? NULL : wrong;
        if (out->kind != TENSOR_FLOAT) return "gives bits or floats";
        return has_param(s, 1, oc, 4) && has_param(s, 2, oc, 4) && has_no_param_from(s, 3) ? NULL : wrong;
    }
    if (out->kind != TENSOR_FLOAT) return "gives floats";
    if (s->operation == OP_CONV_FLOAT) {
        if (in->kind != TENSOR_FLOAT) return "takes floats";
        return has_param(s, 0, weights_of(s, in, out), 4) && has_param(s, 1, oc, 4) && has_no_param_from(s, 2) ? NULL
                                                                                                             : wrong;
    }
    int octets = s->operation == OP_CONV_INT8, first = octets ? 2 : 1;
    if (in->kind != (octets ? TENSOR_U8 : TENSOR_LEVELS)) return "takes another kind";
    if (!has_param(s, 0, weights_of(s, in, out), 1) || (octets && !has_param(s, 1, in->c, 2))) return wrong;
    if (!has_param(s, first, oc, 4) || !has_param(s, first + 1, oc, 4)) return wrong;
    return has_no_param_from(s, first + 2) ? NULL : wrong;
}

static const char *check_quantizer(const Step *s, const Tensor *in, const Tensor *out) {
    enum TensorKind kind = s->operation == OP_BINARIZE ? TENSOR_BITS
                           : s->operation == OP_QUANTIZE ? TENSOR_LEVELS
                                                         : TENSOR_CODES;
    if (in->kind != TENSOR_FLOAT || out->kind != kind || !same_shape(in, out)) return "has tensors that do not fit";
    if (kind != TENSOR_BITS && s->quantizer != out->bits) return "has another width than its result";
    if (held_as_bits(out)) {
        return has_param(s, 0, in->c, 4) && has_no_param_from(s, 1) ? NULL : "has parameters of another size";
    }
    if (!has_no_param_from(s, 0)) return "has parameters of another size";
    return isfinite(s->gain) && s->gain > 0 ? NULL : "has a gain that is not finite and positive";
}

static const char *check_linear(const Step *s, const Tensor *in, const Tensor *out) {
    if (in->kind != TENSOR_FLOAT || out->kind != TENSOR_LOGITS || out->h != 1 || out->w != 1) {
        return "has tensors that do not fit";
    }
    int64_t features = times(times(in->h, in->w), in->c);
    int fits = has_param(s, 0, times(features, out->c), 4) && has_param(s, 1, out->c, 4) && has_no_param_from(s, 2);
    return fits ? NULL : "has parameters of another size";
}

static const char *check_pool(const Step *s, const Tensor *in, const Tensor *out) {
    int bits = in->kind == TENSOR_BITS && s->operation == OP_MAX_POOL;
    if ((in->kind != TENSOR_FLOAT && !bits) || out->kind != in->kind || out->c != in->c) {
        return "has tensors that do not fit";
    }
    if (!has_no_param_from(s, 0)) return "takes no parameters";
    return window_fits(s, in, out, 0) ? NULL : "has windows that do not fit";
}

static const char *check_repeat(const Step *s, const Tensor *in, const Tensor *out) {
    if (in->kind != TENSOR_FLOAT || out->kind != TENSOR_FLOAT || in->h != out->h || in->w != out->w ||
        out->c % in->c != 0) {
        return "has tensors that do not fit";
    }
    return has_no_param_from(s, 0) ? NULL : "takes no parameters";
}

static const char *check_pointwise(const Step *s, const Tensor *in, const Tensor *out) {
    int octets = in->kind == TENSOR_U8 && s->operation == OP_NORMALIZE;
    if ((in->kind != TENSOR_FLOAT && !octets) || out->kind != TENSOR_FLOAT || !same_shape(in, out)) {
        return "has tensors that do not fit";
    }
    int wanted = s->operation == OP_NORMALIZE ? 2 : s->operation == OP_RPRELU ? 3 : 0;
    for (int i = 0; i < wanted; i++) {
        if (!has_param(s, i, in->c, 4)) return "has parameters of another size";
    }
    return has_no_param_from(s, wanted) ? NULL : "has parameters of another size";
}

static const char *check_step(const Step *s, const Tensor *tensors) {
    const Tensor *in = &tensors[s->in[0]], *out = &tensors[s->out];
    switch (s->operation) {
    case OP_CONV_INT8:
    case OP_CONV_FLOAT:
    case OP_CONV_BINARY:
    case OP_CONV_KBIT:
        return check_convolution(s, in, out);
    case OP_BINARIZE:
    case OP_QUANTIZE:
    case OP_CUT:
        return check_quantizer(s, in, out);
    case OP_LINEAR:
        return check_linear(s, in, out);
    case OP_AVG_POOL:
    case OP_MAX_POOL:
        return check_pool(s, in, out);
    case OP_REPEAT:
        return check_repeat(s, in, out);
    case OP_ADD:
        if (tensors[s->in[1]].kind != TENSOR_FLOAT || !same_shape(in, &tensors[s->in[1]])) {
            return "adds tensors that do not fit";
        }
        return check_pointwise(s, in, out);
    case OP_NORMALIZE:
    case OP_RELU:
    case OP_RPRELU:
        return check_pointwise(s, in, out);
    default:
        return "is an unknown operation";
    }
}

/* Do the numbers of a step name tensors that are there when it runs? `made`: the stage that makes each, -1 = none. */
static const char *check_order(const Graph *g, const Step *s, int64_t stage, const int64_t *made) {
    if (!in_range(s->stage, stage, g->exit_count)) return "stands in the wrong stage";
    int inputs = s->operation == OP_ADD ? 2 : 1;
    for (int i = 0; i < inputs; i++) {
        if (!in_range(s->in[i], 0, g->buffer_count - 1) || made[s->in[i]] < 0) return "reads what nothing has made";
    }
    if (!in_range(s->out, 1, g->buffer_count - 1) || made[s->out] >= 0) return "makes what is there already";
    return NULL;
}

static const char *check_ends(const Graph *g, const Tensor *tensors, const int64_t *made) {
    for (ptrdiff_t e = 0; e < g->exit_count; e++) {
        int64_t b = g->exit_buffers[e];
        if (!in_range(b, 0, g->buffer_count - 1) || made[b] < 0 || made[b] > e) return "an exit has no logits";
        if (tensors[b].kind != TENSOR_LOGITS) return "an exit reads something else than logits";
        if (tensors[b].c != tensors[g->exit_buffers[0]].c) return "exits differ in their classes";
    }
    int64_t cut = g->cut_buffer;
    if (!in_range(cut, 0, g->buffer_count - 1) || made[cut] < 0) return "there is no cut";
    return tensors[cut].kind == TENSOR_CODES ? NULL : "the cut has no codes";
}

static int has_bytes(const Bytes *param, int64_t count, int64_t size) {
    return param->data != NULL && (uint64_t)param->bytes == (uint64_t)times(count, size);
}

/* Does every sum that this guard can make fit an int32? */
static int sums_fit(const Tensor *in, const int8_t *weight, int64_t directions) {
    int64_t greatest = times(times(in->h, in->w), held_as_bits(in) ? 1 : ((int64_t)1 << in->bits) - 1);
    for (int64_t r = 0; r < directions; r++) {
        int64_t sum = 0;
        for (int64_t c = 0; c < in->c; c++) {
            int64_t w = weight[c * directions + r];
            sum += w < 0 ? -w : w;
        }
        if (times(sum, greatest) > INT32_MAX) return 0;
    }
    return 1;
}

static const char *check_guard(const Graph *g, const GuardSpec *guard, ptrdiff_t e, const Tensor *tensors,
                               const int64_t *made) {
    if (guard->source == -1) return NULL;
    if (!in_range(guard->source, 1, g->buffer_count - 1) || made[guard->source] < 0 || made[guard->source] > e) {
        return "a guard reads what nothing has made";
    }
    const Tensor *in = &tensors[guard->source];
    if (in->kind != TENSOR_BITS && in->kind != TENSOR_LEVELS) return "a guard reads something else than bits or levels";
    int64_t directions = guard->directions, classes = tensors[g->exit_buffers[0]].c;
    if (!in_range(directions, 1, MAX_DIRECTIONS)) return "a guard has too few or too many directions";
    if (!has_bytes(&guard->weight, times(in->c, directions), 1) || !has_bytes(&guard->scale, directions, 4) ||
        !has_bytes(&guard->mean, times(classes, directions), 4)) {
        return "a guard has parameters of another size";
    }
    return sums_fit(in, guard->weight.data, directions) ? NULL : "the sums of a guard may be too large";
}

static const char *check_guards(const Graph *g, const Tensor *tensors, const int64_t *made) {
    for (ptrdiff_t e = 0; e < g->exit_count; e++) {
        const char *reason = check_guard(g, &g->guards[e], e, tensors, made);
        if (reason != NULL) return reason;
    }
    return NULL;
}

int check_graph(const Graph *g, Tensor *tensors, char error[PLAN_ERROR_BYTES]) {
    if (!in_range(g->buffer_count, 1, MAX_COUNT) || !in_range(g->step_count, 1, MAX_COUNT) ||
        !in_range(g->exit_count, 1, 127)) {
        snprintf(error, PLAN_ERROR_BYTES, "the graph has too few or too many parts");
        return 0;
    }
    for (ptrdiff_t b = 0; b < g->buffer_count; b++) {
        const char *reason = fill_tensor(&g->buffers[b], &tensors[b]);
        if (reason != NULL) {
            snprintf(error, PLAN_ERROR_BYTES, "buffer %td %s", b, reason);
            return 0;
        }
    }
    Arena own = {0};
    int64_t *made = arena_take(&own, (size_t)g->buffer_count, sizeof(int64_t));
    if (made == NULL) return 0;
    for (ptrdiff_t b = 1; b < g->buffer_count; b++) made[b] = -1;
    const char *reason = NULL;
    if (tensors[0].kind != TENSOR_U8 && tensors[0].kind != TENSOR_FLOAT) reason = "the input is of another kind";
    int64_t stage = 0;
    for (ptrdiff_t i = 0; i < g->step_count && reason == NULL; i++) {
        const Step *s = &g->steps[i];
        reason = check_order(g, s, stage, made);
        if (reason == NULL) reason = check_step(s, tensors);
        if (reason != NULL) {
            snprintf(error, PLAN_ERROR_BYTES, "step %td %s", i, reason);
            arena_free(&own);
            return 0;
        }
        stage = s->stage;
        made[s->out] = stage;
    }
    if (reason == NULL) reason = check_ends(g, tensors, made);
    if (reason == NULL) reason = check_guards(g, tensors, made);
    if (reason != NULL) snprintf(error, PLAN_ERROR_BYTES, "%s", reason);
    arena_free(&own);
    return reason == NULL;
}
