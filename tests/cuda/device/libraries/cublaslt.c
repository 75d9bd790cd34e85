// A fake cuBLASLt for tests: column-major products in double precision on the fake driver's memory.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 130102
#endif

enum { SUCCESS = 0, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };

static void die(const char *call, const char *why) {
    fprintf(stderr, "fake cuBLASLt: %s: %s\n", call, why);
    abort();
}
static void *of_driver(const char *name) {
    static void *driver;
    if (!driver && !(driver = dlopen("libcuda.so.1", RTLD_NOW))) die(name, "the fake driver is missing");
    void *symbol = dlsym(driver, name);
    if (!symbol) die(name, "missing in the fake driver");
    return symbol;
}
static void *memory(uint64_t address, size_t bytes) { return ((void *(*)(const char *, uint64_t, size_t))of_driver("fake_memory"))("cublasLtMatmul", address, bytes); }
static int short_of_memory(const char *call) { return ((int (*)(const char *))of_driver("fake_short"))(call); }
static int *alive(void) { return of_driver("fake_library_handles"); }
static void bound(const char *call) { if (!((int (*)(void))of_driver("fake_bound"))()) die(call, "no context is bound"); }

typedef struct { int32_t compute, scale, left, right; uint32_t epilogue; uint64_t bias; } Description;
typedef struct { int32_t type; uint64_t rows, cols; int64_t leading; int32_t batch; int64_t stride; } Layout;
typedef struct { uint64_t workspace; uint32_t reduction, alignment[4]; } Preference;
typedef struct { uint64_t data[8]; } Algorithm;
typedef struct { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; } Result;

static int set(const char *call, void *to, const void *from, size_t given, size_t size) {
    if (given != size) die(call, "an attribute has the wrong size");
    memcpy(to, from, size);
    return SUCCESS;
}

int cublasLtCreate(void **handle) { bound(__func__); ++*alive(); *handle = alive(); return SUCCESS; }
int cublasLtDestroy(void *handle) { bound(__func__); (void)handle; --*alive(); return SUCCESS; }
size_t cublasLtGetVersion(void) { return getenv("FAKE_CUBLASLT") ? (size_t)atoll(getenv("FAKE_CUBLASLT")) : VERSION; }
const char *cublasLtGetStatusString(int status) { return status == NOT_SUPPORTED ? "not supported" : "failed"; }

int cublasLtMatmulDescCreate(Description **d, int compute, int scale) { *d = calloc(1, sizeof **d); (*d)->compute = compute; (*d)->scale = scale; (*d)->epilogue = 1; ++*alive(); return SUCCESS; }
int cublasLtMatmulDescDestroy(Description *d) { free(d); --*alive(); return SUCCESS; }
int cublasLtMatmulDescSetAttribute(Description *d, int attribute, const void *value, size_t size) {
    switch (attribute) {
    case 3: return set(__func__, &d->left, value, size, 4);
    case 4: return set(__func__, &d->right, value, size, 4);
    case 7: return set(__func__, &d->epilogue, value, size, 4);
    case 8: return set(__func__, &d->bias, value, size, 8);
    default: return INVALID_VALUE;
    }
}
int cublasLtMatrixLayoutCreate(Layout **l, int type, uint64_t rows, uint64_t cols, int64_t leading) { *l = calloc(1, sizeof **l); **l = (Layout){type, rows, cols, leading, 1, 0}; ++*alive(); return SUCCESS; }
int cublasLtMatrixLayoutDestroy(Layout *l) { free(l); --*alive(); return SUCCESS; }
int cublasLtMatrixLayoutSetAttribute(Layout *l, int attribute, const void *value, size_t size) {
    if (attribute == 5) return set(__func__, &l->batch, value, size, 4);
    if (attribute == 6) return set(__func__, &l->stride, value, size, 8);
    return INVALID_VALUE;
}
int cublasLtMatmulPreferenceCreate(Preference **p) { *p = calloc(1, sizeof **p); ++*alive(); return SUCCESS; }
int cublasLtMatmulPreferenceDestroy(Preference *p) { free(p); --*alive(); return SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(Preference *p, int attribute, const void *value, size_t size) {
    if (attribute == 1) return set(__func__, &p->workspace, value, size, 8);
    if (attribute == 3) return set(__func__, &p->reduction, value, size, 4);
    if (attribute >= 5 && attribute <= 8) return set(__func__, &p->alignment[attribute - 5], value, size, 4);
    return INVALID_VALUE;
}

static size_t width(int type) { return type == 0 ? 4 : 2; }
int cublasLtMatmulAlgoGetHeuristic(void *handle, Description *d, Layout *a, Layout *b, Layout *c, Layout *out, Preference *p, int capacity, Result *found, int *count) {
    (void)handle;
    bound(__func__);
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    const char *refuse = getenv("FAKE_REFUSE");
    *count = 0;
    if (refuse && strstr(refuse, "all")) return NOT_SUPPORTED;
    if (refuse && strstr(refuse, "bias") && d->epilogue == 4) return NOT_SUPPORTED;
    Layout *layouts[4] = {a, b, c, out};
    if (capacity < 2) return INVALID_VALUE;
    for (int i = 0; i < 4; i++)
        if (layouts[i]->leading < (int64_t)layouts[i]->rows || layouts[i]->batch != out->batch) return INVALID_VALUE;
    if (d->epilogue == 4 && !d->bias) return INVALID_VALUE;
    for (int k = 0; k < 2; k++) {
        found[k] = (Result){.workspace = 1000, .state = 0};
        // FAKE_REFUSE=first makes the first algorithm unsupported when it runs.
        found[k].algorithm.data[0] = refuse && strstr(refuse, "first") && k == 0 ? 13 : 42;
        for (int i = 0; i < 4; i++) found[k].algorithm.data[1 + i] = p->alignment[i];
    }
    *count = 2;
    return SUCCESS;
}

static double load(int type, const char *at) {
    if (type == 0) return *(const float *)at;
    if (type == 2) return (double)*(const _Float16 *)at;
    uint32_t bits = (uint32_t)*(const uint16_t *)at << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static void store(int type, char *at, double value) {
    float f = (float)value;
    uint32_t bits;
    if (type == 0) *(float *)at = f;
    else if (type == 2) *(_Float16 *)at = (_Float16)f;
    else { memcpy(&bits, &f, 4); *(uint16_t *)at = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); }
}
static char *at(Layout *l, uint64_t address, int n, uint64_t row, uint64_t col) {
    return memory(address + ((uint64_t)(n * l->stride) + col * (uint64_t)l->leading + row) * width(l->type), width(l->type));
}

// A product with its own copies of what describes it.
typedef struct { Description d; Layout la, lb, lc, lo; uint64_t a, b, c, out, workspace; size_t bytes; float alpha, beta; } Product;
static void multiply(void *data) {
    Product *p = data;
    Description *d = &p->d;
    Layout *la = &p->la, *lb = &p->lb, *lc = &p->lc, *lo = &p->lo;
    uint64_t a = p->a, b = p->b, c = p->c, out = p->out, inner = d->left ? la->rows : la->cols;
    memory(p->workspace, p->bytes);
    for (int n = 0; n < lo->batch; n++)
        for (uint64_t j = 0; j < lo->cols; j++)
            for (uint64_t i = 0; i < lo->rows; i++) {
                double sum = 0;
                for (uint64_t k = 0; k < inner; k++)
                    sum += load(la->type, d->left ? at(la, a, n, k, i) : at(la, a, n, i, k)) * load(lb->type, d->right ? at(lb, b, n, j, k) : at(lb, b, n, k, j));
                sum *= p->alpha;
                if (p->beta != 0) sum += p->beta * load(lc->type, at(lc, c, n, i, j));
                if (d->epilogue == 4) sum += load(lo->type, memory(d->bias + i * width(lo->type), width(lo->type)));
                store(lo->type, at(lo, out, n, i, j), sum);
            }
}

int cublasLtMatmul(void *handle, Description *d, const float *alpha, uint64_t a, Layout *la, uint64_t b, Layout *lb, const float *beta, uint64_t c, Layout *lc, uint64_t out, Layout *lo, const Algorithm *algorithm, uint64_t workspace, size_t bytes, void *stream) {
    (void)handle, (void)stream;
    bound(__func__);
    int failure = short_of_memory(__func__);
    if (failure) return failure;
    if (algorithm->data[0] == 13) return NOT_SUPPORTED;
    if (algorithm->data[0] != 42 || bytes < 1000) return INVALID_VALUE;
    memory(workspace, bytes);
    uint64_t addresses[4] = {a, b, c, out};
    for (int i = 0; i < 4; i++) if (addresses[i] % algorithm->data[1 + i]) die(__func__, "an address does not have the promised alignment");
    if (d->scale != 0 || (d->compute != 68 && d->compute != 77) || (d->compute == 77 && la->type != 0)) die(__func__, "the sums are not f32");
    uint64_t inner = d->left ? la->rows : la->cols;
    if (inner != (d->right ? lb->cols : lb->rows) || lo->rows != (d->left ? la->cols : la->rows) || lo->cols != (d->right ? lb->rows : lb->cols)) die(__func__, "the sizes are inconsistent");
    Product product = {*d, *la, *lb, *lc, *lo, a, b, c, out, workspace, bytes, *alpha, *beta};
    int (*submit)(void (*)(void *), void *, size_t) = of_driver("fake_submit");
    return submit(multiply, &product, sizeof product) ? EXECUTION_FAILED : SUCCESS;
}
