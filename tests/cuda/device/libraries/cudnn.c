// A fake cuDNN for tests: NHWC convolutions of f32 in double precision on the fake driver's memory.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 91002
#endif

enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000, EXECUTION_FAILED = 5000 };

static void die(const char *call, const char *why) {
    fprintf(stderr, "fake cuDNN: %s: %s\n", call, why);
    abort();
}
static void *of_driver(const char *name) {
    static void *driver;
    if (!driver && !(driver = dlopen("libcuda.so.1", RTLD_NOW))) die(name, "the fake driver is missing");
    void *symbol = dlsym(driver, name);
    if (!symbol) die(name, "missing in the fake driver");
    return symbol;
}
static float *memory(uint64_t address, size_t numbers) { return ((float *(*)(const char *, uint64_t, size_t))of_driver("fake_memory"))("cudnn", address, 4 * numbers); }
static int short_of_memory(const char *call) { return ((int (*)(const char *))of_driver("fake_short"))(call); }
static int *alive(void) { return of_driver("fake_library_handles"); }
static void begin(const char *call) {
    if (!((int (*)(void))of_driver("fake_bound"))()) die(call, "no context is bound");
    ((void (*)(void))of_driver("fake_catch_up"))();
}
static int refuses(const char *what) { const char *text = getenv("FAKE_REFUSE"); return text && strstr(text, what); }

typedef struct { int type, n, c, h, w; } Tensor;
typedef struct { int pad, stride, math, compute; } Geometry;
typedef struct { int algorithm, status; float time; size_t memory; int determinism, math, reserved[3]; } Performance;
typedef struct { int mode; } Activation;

size_t cudnnGetVersion(void) {
    // As the library itself, which passes the call on.
    if (!dlopen("libcudnn_graph.so.9", RTLD_NOW | RTLD_NOLOAD)) die(__func__, "its sublibrary is not loaded");
    return getenv("FAKE_CUDNN") ? (size_t)atoll(getenv("FAKE_CUDNN")) : VERSION;
}
size_t cudnnGetCudartVersion(void) { return getenv("FAKE_CUDART") ? (size_t)atoll(getenv("FAKE_CUDART")) : 13000; }
const char *cudnnGetErrorString(int status) { return status / 1000 == 3 ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM"; }
#if VERSION >= 90000
void cudnnGetLastErrorString(char *text, size_t size) { snprintf(text, size, "reported by the fake library"); }
#endif
int cudnnCreate(void **handle) { begin(__func__); *handle = alive(); ++*alive(); return SUCCESS; }
int cudnnDestroy(void *handle) { begin(__func__); (void)handle; --*alive(); return SUCCESS; }
static void *stream_of_handle;
int cudnnSetStream(void *handle, void *stream) { (void)handle; stream_of_handle = stream; return stream ? SUCCESS : BAD_PARAM; }

static void *create(size_t size) { ++*alive(); return calloc(1, size); }
static int destroy(void *d) { --*alive(); free(d); return SUCCESS; }
int cudnnCreateTensorDescriptor(Tensor **d) { *d = create(sizeof **d); return SUCCESS; }
int cudnnDestroyTensorDescriptor(Tensor *d) { return destroy(d); }
int cudnnSetTensor4dDescriptor(Tensor *d, int format, int type, int n, int c, int h, int w) { *d = (Tensor){type, n, c, h, w}; return format == 1 ? SUCCESS : BAD_PARAM; }
int cudnnCreateFilterDescriptor(Tensor **d) { *d = create(sizeof **d); return SUCCESS; }
int cudnnDestroyFilterDescriptor(Tensor *d) { return destroy(d); }
int cudnnSetFilter4dDescriptor(Tensor *d, int type, int format, int k, int c, int h, int w) { *d = (Tensor){type, k, c, h, w}; return format == 1 ? SUCCESS : BAD_PARAM; }
int cudnnCreateConvolutionDescriptor(Geometry **d) { *d = create(sizeof **d); return SUCCESS; }
int cudnnDestroyConvolutionDescriptor(Geometry *d) { return destroy(d); }
int cudnnSetConvolution2dDescriptor(Geometry *d, int pad_h, int pad_w, int u, int v, int dilation_h, int dilation_w, int mode, int compute) {
    *d = (Geometry){pad_h, u, -1, compute};
    return pad_h == pad_w && u == v && dilation_h == 1 && dilation_w == 1 && mode == 1 && compute == 0 ? SUCCESS : BAD_PARAM;
}
int cudnnSetConvolutionMathType(Geometry *d, int math) { d->math = math; return SUCCESS; }
int cudnnCreateActivationDescriptor(Activation **d) { *d = create(sizeof **d); return SUCCESS; }
int cudnnDestroyActivationDescriptor(Activation *d) { return destroy(d); }
int cudnnSetActivationDescriptor(Activation *d, int mode, int nan, double coefficient) { (void)nan, (void)coefficient; d->mode = mode; return SUCCESS; }

static int fits(Tensor *x, Tensor *w, Geometry *g, Tensor *y) {
    return x->type == 0 && w->type == 0 && y->type == 0 && w->c == x->c && w->n == y->c && x->n == y->n
        && (x->h + 2 * g->pad - w->h) / g->stride + 1 == y->h && (x->w + 2 * g->pad - w->w) / g->stride + 1 == y->w;
}
// The first algorithm is not deterministic, the second needs too much workspace, unless there is FAKE_WORKSPACE, the third is acceptable.
static int heuristics(int deterministic, int other, int capacity, int *count, Performance *found) {
    if (capacity < 3) return BAD_PARAM;
    found[0] = (Performance){other, 0, 1, 16, 0, 0, {0}};
    found[1] = (Performance){deterministic, 0, 2, 16, 1, 1, {0}};
    found[2] = (Performance){deterministic, 0, 3, 16, 1, 3, {0}};
    *count = 3;
    return SUCCESS;
}
int cudnnGetConvolutionForwardAlgorithm_v7(void *handle, Tensor *x, Tensor *w, Geometry *g, Tensor *y, int capacity, int *count, Performance *found) {
    (void)handle;
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (refuses("convolution") || !fits(x, w, g, y)) return NOT_SUPPORTED;
    return heuristics(1, 0, capacity, count, found);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void *handle, Tensor *w, Tensor *y, Geometry *g, Tensor *x, int capacity, int *count, Performance *found) {
    (void)handle;
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (refuses("convolution") || !fits(x, w, g, y)) return NOT_SUPPORTED;
    return heuristics(1, 0, capacity, count, found);
}
int cudnnGetConvolutionForwardWorkspaceSize(void *handle, Tensor *x, Tensor *w, Geometry *g, Tensor *y, int algorithm, size_t *bytes) {
    (void)handle, (void)algorithm;
    *bytes = g->math == 1 ? 257u << 20 : 3u << 20;
    return fits(x, w, g, y) ? SUCCESS : NOT_SUPPORTED;
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(void *handle, Tensor *w, Tensor *y, Geometry *g, Tensor *x, int algorithm, size_t *bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(handle, x, w, g, y, algorithm, bytes);
}

static void check(const char *call, Geometry *g, int algorithm, uint64_t scratch, size_t bytes) {
    begin(call);
    int large = getenv("FAKE_WORKSPACE") != 0;
    if (g->math != (large ? 1 : 3) || algorithm != 1 || bytes != (large ? 257u : 3u) << 20) die(call, "not the acceptable algorithm");
    memory(scratch, bytes / 4);
}
static float *element(Tensor *t, uint64_t address, int n, int h, int w, int c) { return memory(address + 4 * (uint64_t)(((n * t->h + h) * t->w + w) * t->c + c), 1); }

// Calls `add` for every multiplication of the convolution.
static void each(Tensor *x, Tensor *w, Geometry *g, Tensor *y, void (*add)(int, int, int, int, int, int, int, int, int, void *), void *data) {
    for (int n = 0; n < y->n; n++) for (int i = 0; i < y->h; i++) for (int j = 0; j < y->w; j++) for (int k = 0; k < y->c; k++)
        for (int r = 0; r < w->h; r++) for (int s = 0; s < w->w; s++) for (int c = 0; c < x->c; c++) {
            int h = i * g->stride - g->pad + r, v = j * g->stride - g->pad + s;
            if (h >= 0 && h < x->h && v >= 0 && v < x->w) add(n, i, j, k, h, v, c, r, s, data);
        }
}
typedef struct { Tensor *x, *w, *y; uint64_t from, weight; double *sum; } Sums;
static void to_y(int n, int i, int j, int k, int h, int v, int c, int r, int s, void *data) {
    Sums *m = data;
    m->sum[((n * m->y->h + i) * m->y->w + j) * m->y->c + k] += (double)*element(m->x, m->from, n, h, v, c) * *element(m->w, m->weight, k, r, s, c);
}
static void to_x(int n, int i, int j, int k, int h, int v, int c, int r, int s, void *data) {
    Sums *m = data;
    m->sum[((n * m->x->h + h) * m->x->w + v) * m->x->c + c] += (double)*element(m->y, m->from, n, i, j, k) * *element(m->w, m->weight, k, r, s, c);
}

// FAKE_CAPTURE=function makes a convolution that is captured call a function of the driver that a capture does not permit, and
// FAKE_CAPTURE=refuse makes it unsupported.
static int captured(void) {
    const char *text = getenv("FAKE_CAPTURE");
    if (!text || !((int (*)(void))of_driver("fake_capturing"))()) return SUCCESS;
    if (!strcmp(text, "refuse")) return NOT_SUPPORTED;
    uint64_t address;
    int status = !strcmp(text, "cuMemAlloc_v2") ? ((int (*)(uint64_t *, size_t))of_driver(text))(&address, 4) : ((int (*)(void *))of_driver(text))(stream_of_handle);
    if (status != 900) die(text, "a capture must not permit it");
    return EXECUTION_FAILED;
}

// A convolution with its own copies of what describes it.
typedef struct { Tensor x, w, y; Geometry g; uint64_t from, weight, to, residual, bias, scratch; size_t bytes; float factor; int backward; } Convolution;
static void convolve(void *data) {
    Convolution *k = data;
    Tensor *result = k->backward ? &k->x : &k->y;
    size_t count = (size_t)(result->n * result->h * result->w * result->c);
    Sums m = {&k->x, &k->w, &k->y, k->from, k->weight, calloc(count, 8)};
    memory(k->scratch, k->bytes / 4);
    each(&k->x, &k->w, &k->g, &k->y, k->backward ? to_x : to_y, &m);
    for (size_t i = 0; i < count; i++) {
        double rest = k->factor != 0 ? k->factor * memory(k->residual, count)[i] : 0;
        if (k->bias) rest += memory(k->bias, (size_t)result->c)[i % (size_t)result->c];
        memory(k->to, count)[i] = (float)(m.sum[i] + rest);
    }
    free(m.sum);
}
static int submit(Convolution convolution) {
    int status = captured();
    if (status) return status;
    int (*submit)(void (*)(void *), void *, size_t) = of_driver("fake_submit");
    return submit(convolve, &convolution, sizeof convolution) ? EXECUTION_FAILED : SUCCESS;
}

int cudnnConvolutionForward(void *handle, const float *alpha, Tensor *x, uint64_t from, Tensor *w, uint64_t weight, Geometry *g, int algorithm, uint64_t scratch, size_t bytes, const float *beta, Tensor *y, uint64_t to) {
    (void)handle;
    check(__func__, g, algorithm, scratch, bytes);
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (*alpha != 1 || *beta != 0) die(__func__, "alpha must be 1 and beta 0");
    return submit((Convolution){*x, *w, *y, *g, from, weight, to, 0, 0, scratch, bytes, 0, 0});
}
int cudnnConvolutionBiasActivationForward(void *handle, const float *alpha, Tensor *x, uint64_t from, Tensor *w, uint64_t weight, Geometry *g, int algorithm, uint64_t scratch, size_t bytes, const float *factor, Tensor *z, uint64_t residual, Tensor *b, uint64_t bias, Activation *a, Tensor *y, uint64_t to) {
    (void)handle;
    check(__func__, g, algorithm, scratch, bytes);
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (refuses("fused")) return NOT_SUPPORTED;
    if (*alpha != 1 || a->mode != 5 || b->n != 1 || b->h != 1 || b->w != 1 || b->c != y->c || memcmp(z, y, sizeof *z)) die(__func__, "inconsistent parameters");
    return submit((Convolution){*x, *w, *y, *g, from, weight, to, residual, bias, scratch, bytes, *factor, 0});
}
int cudnnConvolutionBackwardData(void *handle, const float *alpha, Tensor *w, uint64_t weight, Tensor *y, uint64_t from, Geometry *g, int algorithm, uint64_t scratch, size_t bytes, const float *beta, Tensor *x, uint64_t to) {
    (void)handle;
    check(__func__, g, algorithm, scratch, bytes);
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (*alpha != 1 || *beta != 0) die(__func__, "alpha must be 1 and beta 0");
    return submit((Convolution){*x, *w, *y, *g, from, weight, to, 0, 0, scratch, bytes, 0, 1});
}

#include "cudnn_graph.c"
