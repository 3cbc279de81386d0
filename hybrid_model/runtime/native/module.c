/* hybrid_model.runtime._native: the C kernels for Python, through the limited API. */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "run.h"

/* Integers of one row of a graph's table; see native_walker.py. */
#define BUFFER_FIELDS 5
#define STEP_FIELDS 14
#define GUARD_FIELDS 3
#define IDLE_WORKSPACES 64

typedef struct {
    PyObject_HEAD
    Plan *plan;
    /* Workspaces that no call uses now. Guarded by the interpreter's lock. */
    uint8_t *idle[IDLE_WORKSPACES];
    int idle_count;
} PlanObject;

/* ---- Buffers from Python ---- */

/* A contiguous buffer of exactly `bytes` bytes (-1: any), aligned to `alignment`; 0 with an exception set. */
static int take_buffer(PyObject *object, Py_buffer *view, const char *what, Py_ssize_t bytes, size_t alignment,
                       int writable) {
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) return 0;
    if (bytes >= 0 && view->len != bytes) {
        PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not %zd", what, view->len, bytes);
    } else if (view->len > 0 && (uintptr_t)view->buf % alignment != 0) {
        PyErr_Format(PyExc_ValueError, "%s is not aligned", what);
    } else {
        return 1;
    }
    PyBuffer_Release(view);
    return 0;
}

/* ---- Building ---- */

typedef struct {
    Graph graph;
    Py_buffer table, gains;
    Py_buffer *params;
    Py_ssize_t param_count;
    BufferSpec *buffers;
    Step *steps;
    int64_t *exits;
    GuardSpec *guards;
} Incoming;

static void incoming_free(Incoming *in) {
    for (Py_ssize_t i = 0; i < in->param_count; i++) PyBuffer_Release(&in->params[i]);
    PyMem_Free(in->params);
    PyMem_Free(in->buffers);
    PyMem_Free(in->steps);
    PyMem_Free(in->exits);
    PyMem_Free(in->guards);
    if (in->table.obj != NULL) PyBuffer_Release(&in->table);
    if (in->gains.obj != NULL) PyBuffer_Release(&in->gains);
}

static int take_params(Incoming *in, PyObject *params) {
    Py_ssize_t count = PySequence_Size(params);
    if (count < 0) return 0;
    in->params = PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer));
    if (in->params == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(params, i);
        if (item == NULL) return 0;
        int taken = take_buffer(item, &in->params[i], "a parameter", -1, 4, 0);
        Py_DECREF(item);
        if (!taken) return 0;
        in->param_count++;
    }
    return 1;
}

/* One row of the table: operation, stage, two inputs, output, window of 6, quantizer, first parameter, parameters. */
static int read_step(const Incoming *in, const int64_t *row, double gain, Step *step) {
    step->operation = row[0], step->stage = row[1];
    step->in[0] = row[2], step->in[1] = row[3], step->out = row[4];
    memcpy(step->window, row + 5, sizeof step->window);
    step->quantizer = row[11];
    step->gain = gain;
    int64_t first = row[12], count = row[13];
    if (count < 0 || count > MAX_PARAMS || first < 0 || first > in->param_count - count) return 0;
    for (int64_t i = 0; i < count; i++) {
        const Py_buffer *view = &in->params[first + i];
        step->param[i] = (Bytes){view->buf, (size_t)view->len};
    }
    return 1;
}

/* One row of the table: the tensor that the guard reads (-1: there is no guard), its directions, first parameter. */
static int read_guard(const Incoming *in, const int64_t *row, GuardSpec *guard) {
    *guard = (GuardSpec){.source = row[0], .directions = row[1]};
    if (guard->source == -1) return 1;
    if (row[2] < 0 || row[2] > in->param_count - 3) return 0;
    Bytes *const to[] = {&guard->weight, &guard->scale, &guard->mean};
    for (int i = 0; i < 3; i++) {
        const Py_buffer *view = &in->params[row[2] + i];
        *to[i] = (Bytes){view->buf, (size_t)view->len};
    }
    return 1;
}

/* The table: counts of buffers, steps and exits, the cut's buffer; then their rows, and those of the exits' guards. */
static int read_table(Incoming *in) {
    const int64_t *table = in->table.buf;
    Py_ssize_t length = in->table.len / 8;
    const int64_t most = 1 << 20;
    if (length < 4) return 0;
    int64_t buffers = table[0], steps = table[1], exits = table[2];
    if (buffers < 1 || buffers > most || steps < 1 || steps > most || exits < 1 || exits > most) return 0;
    if (length != 4 + buffers * BUFFER_FIELDS + steps * STEP_FIELDS + exits * (1 + GUARD_FIELDS)) return 0;
    if (in->gains.len != steps * 8) return 0;
    in->buffers = PyMem_Calloc((size_t)buffers, sizeof(BufferSpec));
    in->steps = PyMem_Calloc((size_t)steps, sizeof(Step));
    in->exits = PyMem_Calloc((size_t)exits, sizeof(int64_t));
    in->guards = PyMem_Calloc((size_t)exits, sizeof(GuardSpec));
    if (in->buffers == NULL || in->steps == NULL || in->exits == NULL || in->guards == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    in->graph = (Graph){.buffers = in->buffers,
                        .buffer_count = (ptrdiff_t)buffers,
                        .steps = in->steps,
                        .step_count = (ptrdiff_t)steps,
                        .exit_buffers = in->exits,
                        .guards = in->guards,
                        .exit_count = (ptrdiff_t)exits,
                        .cut_buffer = table[3]};
    table += 4;
    for (int64_t b = 0; b < buffers; b++, table += BUFFER_FIELDS) {
        in->buffers[b] = (BufferSpec){table[0], table[1], table[2], table[3], table[4]};
    }
    const double *gains = in->gains.buf;
    for (int64_t s = 0; s < steps; s++, table += STEP_FIELDS) {
        if (!read_step(in, table, gains[s], &in->steps[s])) return 0;
    }
    memcpy(in->exits, table, (size_t)exits * sizeof(int64_t));
    table += exits;
    for (int64_t e = 0; e < exits; e++, table += GUARD_FIELDS) {
        if (!read_guard(in, table, &in->guards[e])) return 0;
    }
    return 1;
}

static Plan *build_from(Incoming *in, const char *kernel, PyObject *table, PyObject *gains, PyObject *params) {
    const Kernels *kernels = kernels_find(kernel);
    if (kernels == NULL) {
        PyErr_Format(PyExc_ValueError, "this machine cannot run the kernel %s", kernel);
        return NULL;
    }
    if (!take_buffer(table, &in->table, "the table", -1, 8, 0)) return NULL;
    if (!take_buffer(gains, &in->gains, "gains", -1, 8, 0)) return NULL;
    if (!take_params(in, params)) return NULL;
    if (!read_table(in)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "the table is not one of a graph");
        return NULL;
    }
    char error[PLAN_ERROR_BYTES];
    Plan *plan = plan_build(&in->graph, kernels, error);
    if (plan == NULL && error[0] != '\0') PyErr_SetString(PyExc_ValueError, error);
    if (plan == NULL && error[0] == '\0') PyErr_NoMemory();
    return plan;
}

static PyObject *plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    const char *kernel;
    PyObject *table, *gains, *params;
    static char *names[] = {"kernel", "table", "gains", "params", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sOOO", names, &kernel, &table, &gains, &params)) return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PlanObject *self = (PlanObject *)allocate(type, 0);
    if (self == NULL) return NULL;
    Incoming in = {0};
    self->plan = build_from(&in, kernel, table, gains, params);
    incoming_free(&in);
    if (self->plan == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void plan_dealloc(PyObject *object) {
    PlanObject *self = (PlanObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    while (self->idle_count > 0) free(self->idle[--self->idle_count]);
    plan_free(self->plan);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* ---- Running ---- */

enum {
    INPUT,
    RULES,
    MAY_LEAVE,
    EXIT_INDEX,
    CLASS_INDEX,
    CONFIDENCE,
    IN_DOMAIN,
    EXIT_CLASSES,
    SCORES,
    AT_CUT,
    LOGITS,
    CODES,
    FEATURES,
    DISTANCES,
    EXIT_IN_DOMAIN,
    SUMS,
    OPERANDS
};

/* What each operand of `run` is: bytes in all, alignment, may it be None? */
typedef struct {
    const char *name;
    Py_ssize_t bytes;
    size_t alignment;
    int writable, optional;
} Operand;

static int read_rules(const double *values, Py_ssize_t exits, ExitRule *rules) {
    for (Py_ssize_t e = 0; e < exits; e++, values += 4) {
        if (!(values[0] >= 0 && values[0] < SCORE_KINDS)) return 0;
        if (!(isfinite(values[1]) && values[1] > 0)) return 0;
        rules[e] = (ExitRule){(enum ScoreKind)(int)values[0], values[1], values[2], values[3]};
    }
    return 1;
}

static int take_operands(const Plan *plan, Py_ssize_t count, PyObject **objects, Py_buffer *views) {
    const Py_ssize_t e = plan->exit_count, k = plan->classes;
    const Operand operands[OPERANDS] = {
        [INPUT] = {"the batch", count * (Py_ssize_t)plan->input_bytes, 1, 0, 0},
        [RULES] = {"rules", e * 32, 8, 0, 0},
        [MAY_LEAVE] = {"may_leave", count, 1, 0, 1},
        [EXIT_INDEX] = {"exit_index", count, 1, 1, 0},
        [CLASS_INDEX] = {"class_index", count * 4, 4, 1, 0},
        [CONFIDENCE] = {"confidence", count * 4, 4, 1, 0},
        [IN_DOMAIN] = {"in_domain", count, 1, 1, 0},
        [EXIT_CLASSES] = {"exit_classes", count * e * 4, 4, 1, 0},
        [SCORES] = {"scores", count * e * 8, 8, 1, 0},
        [AT_CUT] = {"at_cut", count, 1, 1, 0},
        [LOGITS] = {"logits", count * e * k * 4, 4, 1, 1},
        [CODES] = {"codes", count * (Py_ssize_t)plan->cut_codes, 1, 1, 1},
        [FEATURES] = {"features", count * (Py_ssize_t)plan->feature_bytes, 1, 1, 1},
        [DISTANCES] = {"distances", count * e * 4, 4, 1, 1},
        [EXIT_IN_DOMAIN] = {"exit_in_domain", count * e, 1, 1, 1},
        [SUMS] = {"sums", count * (Py_ssize_t)plan->sum_count * 4, 4, 1, 1},
    };
    for (int i = 0; i < OPERANDS; i++) {
        if (operands[i].optional && objects[i] == Py_None) continue;
        if (!take_buffer(objects[i], &views[i], operands[i].name, operands[i].bytes, operands[i].alignment,
                         operands[i].writable)) {
            return 0;
        }
    }
    return 1;
}

static uint8_t *take_workspace(PlanObject *self) {
    if (self->idle_count > 0) return self->idle[--self->idle_count];
    uint8_t *workspace = aligned_zeros(self->plan->workspace_bytes);
    if (workspace == NULL) PyErr_NoMemory();
#ifdef DEWPOINT_POISON
    /* Nothing may rest on what a workspace held before. */
    if (workspace != NULL) memset(workspace, 0xA5, self->plan->workspace_bytes);
#endif
    return workspace;
}

static void return_workspace(PlanObject *self, uint8_t *workspace) {
    if (self->idle_count < IDLE_WORKSPACES) {
        self->idle[self->idle_count++] = workspace;
    } else {
        free(workspace);
    }
}

static int run_taken(PlanObject *self, Py_ssize_t count, int to_cut, int guard, Py_buffer *views) {
    const Plan *plan = self->plan;
    ExitRule rules[127];
    if (!read_rules(views[RULES].buf, plan->exit_count, rules)) {
        PyErr_SetString(PyExc_ValueError, "a rule has an unknown score or a temperature that is not positive");
        return 0;
    }
    Batch batch = {
        .count = count,
        .input = views[INPUT].buf,
        .rules = rules,
        .may_leave = views[MAY_LEAVE].obj == NULL ? NULL : views[MAY_LEAVE].buf,
        .to_cut = to_cut,
        .guard = guard,
        .exit_index = views[EXIT_INDEX].buf,
        .class_index = views[CLASS_INDEX].buf,
        .confidence = views[CONFIDENCE].buf,
        .in_domain = views[IN_DOMAIN].buf,
        .exit_classes = views[EXIT_CLASSES].buf,
        .scores = views[SCORES].buf,
        .at_cut = views[AT_CUT].buf,
        .logits = views[LOGITS].obj == NULL ? NULL : views[LOGITS].buf,
        .codes = views[CODES].obj == NULL ? NULL : views[CODES].buf,
        .features = views[FEATURES].obj == NULL ? NULL : views[FEATURES].buf,
        .distances = views[DISTANCES].obj == NULL ? NULL : views[DISTANCES].buf,
        .exit_in_domain = views[EXIT_IN_DOMAIN].obj == NULL ? NULL : views[EXIT_IN_DOMAIN].buf,
        .sums = views[SUMS].obj == NULL ? NULL : views[SUMS].buf,
    };
    uint8_t *workspace = take_workspace(self);
    if (workspace == NULL) return 0;
    Py_BEGIN_ALLOW_THREADS
    run_batch(plan, &batch, workspace);
    Py_END_ALLOW_THREADS
    return_workspace(self, workspace);
    return 1;
}

PyDoc_STRVAR(run_doc,
             "run(count, to_cut, guard, batch, rules, may_leave, exit_index, class_index, confidence, in_domain, "
             "exit_classes, scores, at_cut, logits, codes, features, distances, exit_in_domain, sums)\n--\n\n"
             "Runs `count` samples and fills the arrays behind `may_leave`; that one, and `logits` and all behind it, "
             "may be None.\nRaises ValueError for a buffer of another size.");

static PyObject *plan_run(PyObject *object, PyObject *args) {
    PlanObject *self = (PlanObject *)object;
    Py_ssize_t count;
    int to_cut, guard;
    PyObject *objects[OPERANDS];
    if (!PyArg_ParseTuple(args, "nppOOOOOOOOOOOOOOOO", &count, &to_cut, &guard, &objects[0], &objects[1], &objects[2],
                          &objects[3], &objects[4], &objects[5], &objects[6], &objects[7], &objects[8], &objects[9],
                          &objects[10], &objects[11], &objects[12], &objects[13], &objects[14], &objects[15])) {
        return NULL;
    }
    if (count < 0 || count > (Py_ssize_t)1 << 24) {
        PyErr_Format(PyExc_ValueError, "a batch of %zd samples", count);
        return NULL;
    }
    Py_buffer views[OPERANDS];
    memset(views, 0, sizeof views);
    int done = take_operands(self->plan, count, objects, views) && run_taken(self, count, to_cut, guard, views);
    for (int i = 0; i < OPERANDS; i++) {
        if (views[i].obj != NULL) PyBuffer_Release(&views[i]);
    }
    if (!done) return NULL;
    Py_RETURN_NONE;
}

static PyObject *plan_feature_bytes(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(((PlanObject *)object)->plan->feature_bytes);
}

static PyObject *plan_workspace_bytes(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(((PlanObject *)object)->plan->workspace_bytes);
}

static PyObject *plan_weight_bytes(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(((PlanObject *)object)->plan->arena.bytes);
}

static PyMethodDef plan_methods[] = {{"run", plan_run, METH_VARARGS, run_doc}, {NULL, NULL, 0, NULL}};

static PyGetSetDef plan_getters[] = {
    {"feature_bytes", plan_feature_bytes, NULL, "Bytes of one sample's features.", NULL},
    {"workspace_bytes", plan_workspace_bytes, NULL, "Bytes of activations, once per thread that runs.", NULL},
    {"weight_bytes", plan_weight_bytes, NULL, "Bytes of packed weights and parameters.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(plan_doc, "Plan(kernel, table, gains, params)\n--\n\n"
                       "A graph ready to run with the named kernels. Raises ValueError for one that does not fit "
                       "together, or a kernel that this machine cannot run.");

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, (void *)plan_doc},          {Py_tp_new, (void *)plan_new},
    {Py_tp_dealloc, (void *)plan_dealloc},  {Py_tp_methods, (void *)plan_methods},
    {Py_tp_getset, (void *)plan_getters},   {0, NULL},
};

static PyType_Spec plan_spec = {
    .name = "hybrid_model.runtime._native.Plan",
    .basicsize = sizeof(PlanObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = plan_slots,
};

/* ---- The module ---- */

PyDoc_STRVAR(kernels_doc, "kernels()\n--\n\nNames of the kernels that this machine can run, the best first.");

static PyObject *module_kernels(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (const Kernels *const *k = kernels_compiled; names != NULL && *k != NULL; k++) {
        if (!(*k)->runs_here()) continue;
        PyObject *name = PyUnicode_FromString((*k)->name);
        if (name == NULL || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef module_methods[] = {{"kernels", module_kernels, METH_NOARGS, kernels_doc}, {NULL, NULL, 0, NULL}};

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&plan_spec);
    if (type == NULL) return -1;
    int added = PyModule_AddObjectRef(module, "Plan", type);
    Py_DECREF(type);
    return added;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)module_exec}, {0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "hybrid_model.runtime._native",
    .m_doc = "The edge engine's C kernels.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module_def); }
