#include "lowering.h"

#include <stdio.h>
#include <string.h>

/* Rows of a float map at a time: they stay in the first-level cache from head to tail. */
#define BLOCK_BYTES 24576

/* What is known while steps become nodes. */
typedef struct {
    const Graph *graph;
    Plan *plan;
    ptrdiff_t *readers; /* of each tensor, steps and exits */
    uint8_t *lowered;   /* of each step */
    uint8_t *made;      /* of each tensor */
    ptrdiff_t *repeats; /* of each tensor, which one it repeats without being stored itself; -1: none */
} Lowering;

static float *padded_floats(Plan *plan, const Bytes *param, ptrdiff_t channels, float fill) {
    size_t padded = (size_t)padded_channels(channels);
    float *values = arena_take(&plan->arena, padded, sizeof(float));
    if (values == NULL) return NULL;
    memcpy(values, param->data, (size_t)channels * sizeof(float));
    for (size_t i = (size_t)channels; i < padded; i++) values[i] = fill;
    return values;
}

/* ---- Heads ---- */

static Window window_of(const Step *s) {
    return (Window){(ptrdiff_t)s->window[0], (ptrdiff_t)s->window[1], (ptrdiff_t)s->window[2],
                    (ptrdiff_t)s->window[3], (ptrdiff_t)s->window[4], (ptrdiff_t)s->window[5]};
}

static const char *lower_convolution(Plan *plan, Node *node, const Step *s) {
    ConvSpec spec = {.window = window_of(s), .in = plan->tensors[s->in[0]], .out = plan->tensors[s->out]};
    const void *p[MAX_PARAMS];
    for (int i = 0; i < MAX_PARAMS; i++) p[i] = s->param[i].data;
    switch (s->operation) {
    case OP_CONV_INT8:
        spec.whole_weight = p[0], spec.zero_point = p[1], spec.scale = p[2], spec.bias = p[3];
        break;
    case OP_CONV_KBIT:
        spec.whole_weight = p[0], spec.scale = p[1], spec.bias = p[2];
        break;
    case OP_CONV_BINARY:
        spec.binary_weight = p[0];
        if (spec.out.kind == TENSOR_BITS) {
            spec.threshold = p[1];
        } else {
            spec.scale = p[1], spec.bias = p[2];
        }
        break;
    case OP_LINEAR:
        spec.window = (Window){spec.in.h, spec.in.w, 1, 1, 0, 0};
        spec.float_weight = p[0], spec.bias = p[1];
        break;
    default:
        spec.float_weight = p[0], spec.bias = p[1];
    }
    node->head = HEAD_CONV;
    return conv_build(&node->conv, &spec, plan->kernels, &plan->arena);
}

static void lower_pool(Plan *plan, Node *node, const Step *s) {
    const Tensor *in = &plan->tensors[s->in[0]];
    int bits = in->kind == TENSOR_BITS;
    node->head = bits ? HEAD_ANY_BIT : s->operation == OP_AVG_POOL ? HEAD_AVERAGE : HEAD_GREATEST;
    node->pool = (Pool){
        .window = window_of(s),
        .iw = in->w,
        .ow = plan->tensors[s->out].w,
        .vectors = bits ? words_for(in->c) : padded_channels(in->c) / LANES,
        .factor = (float)(1.0 / ((double)s->window[0] * (double)s->window[1])),
    };
}

/* ---- Tails ---- */

static void take_quantizer(Plan *plan, Node *node, const Step *s) {
    const Tensor *out = &plan->tensors[s->out];
    node->quantized = (ptrdiff_t)s->out;
    if (held_as_bits(out)) {
        node->tail.quant = QUANT_BITS;
        /* Padding channels hold zeros: no bit of theirs is ever set. */
        node->tail.threshold = padded_floats(plan, &s->param[0], out->c, 1.0f);
    } else {
        node->tail.quant = QUANT_LEVELS;
        node->tail.gain = (float)s->gain;
        node->tail.top = (float)((1 << out->bits) - 1);
    }
}

static void take_activation(Plan *plan, Node *node, const Step *s) {
    ptrdiff_t channels = plan->tensors[s->out].c;
    node->tail.act = s->operation == OP_RELU ? ACT_RELU : ACT_RPRELU;
    if (s->operation == OP_RELU) return;
    node->tail.shift_in = padded_floats(plan, &s->param[0], channels, 0.0f);
    node->tail.slope = padded_floats(plan, &s->param[1], channels, 0.0f);
    node->tail.shift_out = padded_floats(plan, &s->param[2], channels, 0.0f);
}

/* The first step behind `from` in the same stage that reads `tensor` and is not lowered yet; NULL where none does. */
static const Step *next_reader(const Lowering *l, ptrdiff_t from, ptrdiff_t tensor, int quantizers_only) {
    int64_t stage = l->graph->steps[from].stage;
    for (ptrdiff_t i = from + 1; i < l->graph->step_count && l->graph->steps[i].stage == stage; i++) {
        const Step *s = &l->graph->steps[i];
        int quantizer = s->operation == OP_BINARIZE || s->operation == OP_QUANTIZE || s->operation == OP_CUT;
        if (l->lowered[i] || (quantizers_only && !quantizer)) continue;
        if (s->in[0] == tensor || (s->operation == OP_ADD && s->in[1] == tensor)) return s;
    }
    return NULL;
}

static void mark_lowered(Lowering *l, const Step *s) { l->lowered[s - l->graph->steps] = 1; }

/* Where what an addition reads is stored: in a tensor of as many channels, or of a whole fraction of them. */
static ptrdiff_t stored(const Lowering *l, ptrdiff_t tensor) {
    return l->repeats[tensor] >= 0 ? l->repeats[tensor] : tensor;
}

/* Leaves a repetition that one addition alone reads to that addition, where channels are whole vectors: it then reads
 * the same vectors again. 0: it has to be stored. */
static int repeat_in_place(Lowering *l, ptrdiff_t i) {
    const Step *s = &l->graph->steps[i], *reader = NULL;
    if (s->operation != OP_REPEAT || l->plan->tensors[s->in[0]].c % LANES != 0 || l->readers[s->out] != 1) return 0;
    for (ptrdiff_t j = i + 1; j < l->graph->step_count && reader == NULL; j++) {
        const Step *next = &l->graph->steps[j];
        if (next->in[0] == s->out || (next->operation == OP_ADD && next->in[1] == s->out)) reader = next;
    }
    if (reader == NULL || reader->operation != OP_ADD) return 0;
    /* An addition takes only one of its two like that. */
    if (l->repeats[reader->in[0] == s->out ? reader->in[1] : reader->in[0]] >= 0) return 0;
    l->repeats[s->out] = (ptrdiff_t)s->in[0];
    l->made[s->out] = 1;
    mark_lowered(l, s);
    return 1;
}

/* Takes the pointwise steps behind a float map into the node that makes it, as far as nobody else reads between. */
static void grow_tail(Lowering *l, Node *node, ptrdiff_t step, ptrdiff_t current) {
    Plan *plan = l->plan;
    const Step *s = l->readers[current] == 1 ? next_reader(l, step, current, 0) : NULL;
    if (s != NULL && s->operation == OP_ADD && node->residual < 0 && node->tail.act == ACT_NONE) {
        ptrdiff_t other = (ptrdiff_t)(s->in[0] == current ? s->in[1] : s->in[0]);
        if (l->made[other]) {
            node->residual = stored(l, other);
            current = (ptrdiff_t)s->out;
            mark_lowered(l, s);
            s = l->readers[current] == 1 ? next_reader(l, step, current, 0) : NULL;
        }
    }
    if (s != NULL && (s->operation == OP_RELU || s->operation == OP_RPRELU) && node->tail.act == ACT_NONE) {
        take_activation(plan, node, s);
        current = (ptrdiff_t)s->out;
        mark_lowered(l, s);
    }
    s = next_reader(l, step, current, 1);
    if (s != NULL) {
        take_quantizer(plan, node, s);
        mark_lowered(l, s);
    }
    if (s == NULL || l->readers[current] > 1) node->floats = current;
}

static const char *lower_step(Lowering *l, ptrdiff_t i, Node *node) {
    Plan *plan = l->plan;
    const Step *s = &l->graph->steps[i];
    const char *error = NULL;
    *node = (Node){.in = (ptrdiff_t)s->in[0], .stage = (ptrdiff_t)s->stage};
    node->residual = node->floats = node->quantized = -1;
    mark_lowered(l, s);
    ptrdiff_t out = (ptrdiff_t)s->out;
    switch (s->operation) {
    case OP_CONV_INT8:
    case OP_CONV_FLOAT:
    case OP_CONV_BINARY:
    case OP_CONV_KBIT:
    case OP_LINEAR:
        error = lower_convolution(plan, node, s);
        break;
    case OP_AVG_POOL:
    case OP_MAX_POOL:
        lower_pool(plan, node, s);
        break;
    case OP_NORMALIZE:
        node->head = HEAD_NORMALIZE;
        node->zero_point = padded_floats(plan, &s->param[0], plan->tensors[out].c, 0.0f);
        node->scale = padded_floats(plan, &s->param[1], plan->tensors[out].c, 0.0f);
        break;
    case OP_REPEAT:
        node->head = HEAD_REPEAT;
        break;
    case OP_ADD: {
        int turned = l->repeats[s->in[0]] >= 0;
        node->in = (ptrdiff_t)s->in[turned];
        node->residual = stored(l, (ptrdiff_t)s->in[!turned]);
        break;
    }
    case OP_RELU:
    case OP_RPRELU:
        take_activation(plan, node, s);
        break;
    default:
        take_quantizer(plan, node, s);
    }
    if (error != NULL || plan->arena.failed) return error;
    const Tensor *made = &plan->tensors[out];
    if (made->kind == TENSOR_FLOAT) {
        grow_tail(l, node, i, out);
    } else if (made->kind == TENSOR_LOGITS) {
        node->floats = out;
    } else {
        node->quantized = out;
    }
    int bits_alone = node->floats < 0 && node->residual < 0 && node->tail.act == ACT_NONE;
    if (node->head == HEAD_CONV && bits_alone && node->tail.quant == QUANT_BITS && !plan->arena.failed &&
        conv_take_threshold(&node->conv, node->tail.threshold, &plan->arena)) {
        node->tail.quant = QUANT_NONE;
    }
    node->has_tail = node->residual >= 0 || node->tail.act != ACT_NONE || node->tail.quant != QUANT_NONE;
    if (node->floats >= 0) l->made[node->floats] = 1;
    if (node->quantized >= 0) l->made[node->quantized] = 1;
    return NULL;
}

static void choose_rows(const Plan *plan, Node *node) {
    const Tensor *out = &plan->tensors[node->floats >= 0 ? node->floats : node->quantized];
    node->oh = out->h, node->ow = out->w;
    node->vectors = padded_channels(out->c) / LANES;
    size_t row_bytes = (size_t)(node->ow * node->vectors) * LANES * sizeof(float);
    size_t rows = row_bytes >= BLOCK_BYTES ? 1 : BLOCK_BYTES / row_bytes;
    node->block_rows = !node->has_tail || rows > (size_t)node->oh ? node->oh : (ptrdiff_t)rows;
    int needs_block = node->has_tail && node->floats < 0 && node->head != HEAD_LOAD;
    node->block_bytes = needs_block ? row_bytes * (size_t)node->block_rows : 0;
}

/* ---- All of it ---- */

static void count_readers(const Graph *g, ptrdiff_t *readers) {
    for (ptrdiff_t i = 0; i < g->step_count; i++) {
        readers[g->steps[i].in[0]]++;
        if (g->steps[i].operation == OP_ADD) readers[g->steps[i].in[1]]++;
    }
    for (ptrdiff_t e = 0; e < g->exit_count; e++) {
        readers[g->exit_buffers[e]]++;
        if (g->guards[e].source >= 0) readers[g->guards[e].source]++;
    }
    readers[g->cut_buffer]++;
}

int lower(Plan *plan, const Graph *g, char error[PLAN_ERROR_BYTES]) {
    Arena own = {0};
    Lowering l = {.graph = g, .plan = plan};
    l.readers = arena_take(&own, (size_t)g->buffer_count, sizeof *l.readers);
    l.lowered = arena_take(&own, (size_t)g->step_count, 1);
    l.made = arena_take(&own, (size_t)g->buffer_count, 1);
    l.repeats = arena_take(&own, (size_t)g->buffer_count, sizeof *l.repeats);
    int done = 0;
    if (own.failed) goto end;
    count_readers(g, l.readers);
    l.made[0] = 1;
    for (ptrdiff_t b = 0; b < g->buffer_count; b++) l.repeats[b] = -1;
    for (ptrdiff_t i = 0; i < g->step_count; i++) {
        if (l.lowered[i] || repeat_in_place(&l, i)) continue;
        Node *node = &plan->nodes[plan->node_count];
        const char *reason = lower_step(&l, i, node);
        if (reason != NULL) snprintf(error, PLAN_ERROR_BYTES, "step %td cannot be run: %s", i, reason);
        if (reason != NULL || plan->arena.failed) goto end;
        choose_rows(plan, node);
        plan->node_count++;
        for (ptrdiff_t stage = node->stage; stage <= plan->exit_count; stage++) {
            plan->stage_end[stage] = plan->node_count;
        }
    }
    done = 1;
end:
    arena_free(&own);
    return done;
}
