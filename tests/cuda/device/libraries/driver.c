// A fake CUDA driver for tests. Device memory is host memory, and stream operations run when they are submitted.
// It aborts the process when a call breaks the driver's rules: no context is bound, an address was not allocated, or a resource
// is still alive when the last context is released.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_PTX = 218, ILLEGAL_STATE = 401, NOT_FOUND = 500, NOT_READY = 600,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901
};

static void die(const char *call, const char *why) {
    fprintf(stderr, "fake driver: %s: %s\n", call, why);
    abort();
}

static long long setting(const char *name, long long fallback) {
    const char *text = getenv(name);
    return text ? atoll(text) : fallback;
}

static int sticky;

// FAKE_FAIL=function:code:n makes the n-th call of a function fail with that code. A code from 700 to 799 also fails every later call.
static int fails(const char *call) {
    static char name[64];
    static int code, after = -1;
    if (sticky) return sticky;
    const char *text = getenv("FAKE_FAIL");
    if (!text) return SUCCESS;
    if (after < 0 && sscanf(text, "%63[^:]:%d:%d", name, &code, &after) != 3) die(call, "FAKE_FAIL is not function:code:n");
    if (strcmp(name, call) || --after) return SUCCESS;
    if (code >= 700 && code < 800) sticky = code;
    return code;
}

static size_t reserved;
static size_t limit(void) { return (size_t)setting("FAKE_MEMORY", 1ll << 30); }

// FAKE_SHORT=function:code:bytes makes a function of a library fail with that code while fewer bytes are free.
int fake_short(const char *call) {
    static char name[64];
    static int code;
    static long long bytes = -1;
    const char *text = getenv("FAKE_SHORT");
    if (!text) return SUCCESS;
    if (bytes < 0 && sscanf(text, "%63[^:]:%d:%lld", name, &code, &bytes) != 3) die(call, "FAKE_SHORT is not function:code:bytes");
    return !strcmp(name, call) && limit() - reserved < (size_t)bytes ? code : SUCCESS;
}

// One primary context per GPU. A thread has at most one current context.
static int retained[8], streams[8], modules;
static __thread int *current;
int fake_library_handles;

static int enter(const char *call) {
    if (!current || !*current) die(call, "no context is bound");
    return fails(call);
}
#define STREAM (&streams[current - retained])
#define ENTER { int status = enter(__func__); if (status) return status; }

// Capture. While the stream captures, its operations are nodes of a graph instead of running. A call that is not permitted then fails and
// invalidates the capture: later operations fail, and so does the end of the capture, which has no graph.
typedef struct { void (*run)(void *); void *data; size_t size; } Node;
typedef struct { Node nodes[256]; int count; } Graph;
static Graph *capture;
static int invalidated, graphs;

static int forbidden(void) {
    if (!capture) return SUCCESS;
    invalidated = 1;
    return CAPTURE_UNSUPPORTED;
}
#define FORBIDDEN { int status = forbidden(); if (status) return status; }
int fake_capturing(void) { return capture != 0; }

static void append(Graph *graph, Node node) {
    if (graph->count == 256) die("capture", "too many nodes");
    void *data = malloc(node.size);
    memcpy(data, node.data, node.size);
    graph->nodes[graph->count++] = (Node){node.run, data, node.size};
}
static Graph *copy_of(const Graph *graph) {
    Graph *copy = calloc(1, sizeof *copy);
    for (int i = 0; i < graph->count; i++) append(copy, graph->nodes[i]);
    graphs++;
    return copy;
}
static void discard(Graph *graph) {
    for (int i = 0; i < graph->count; i++) free(graph->nodes[i].data);
    free(graph);
    graphs--;
}

static void catch_up(void);
// Runs an operation of the stream with its data, or makes it a node.
int fake_submit(void (*run)(void *), void *data, size_t size) {
    if (!capture) {
        catch_up();
        run(data);
        return SUCCESS;
    }
    if (invalidated) return CAPTURE_INVALIDATED;
    append(capture, (Node){run, data, size});
    return SUCCESS;
}

// Memory.
typedef struct { char *start; size_t bytes; int used, async; } Block;
static Block blocks[4096];
static int block_count;
static size_t threshold;

static int fresh(uint64_t *address, size_t bytes, int async) {
    if (!bytes) return INVALID_VALUE;
    for (int i = 0; async && i < block_count; i++)
        if (!blocks[i].used && blocks[i].start && blocks[i].bytes == bytes && blocks[i].async) {
            blocks[i].used = 1;
            *address = (uint64_t)blocks[i].start;
            return SUCCESS;
        }
    if (reserved + bytes > limit()) return OUT_OF_MEMORY;
    int slot = 0;
    while (slot < block_count && blocks[slot].start) slot++;
    if (slot == 4096) die("cuMemAlloc", "too many blocks");
    if (slot == block_count) block_count++;
    char *start = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(start, 0xff, bytes);
    blocks[slot] = (Block){start, bytes, 1, async};
    reserved += bytes;
    *address = (uint64_t)start;
    return SUCCESS;
}

static Block *block_at(const char *call, uint64_t address, int async) {
    for (int i = 0; i < block_count; i++)
        if ((uint64_t)blocks[i].start == address && address && blocks[i].used && blocks[i].async == async) return &blocks[i];
    die(call, "not an allocation");
    return 0;
}

static void trim(void) {
    for (int i = 0; i < block_count; i++)
        if (blocks[i].start && !blocks[i].used) {
            free(blocks[i].start);
            blocks[i].start = 0;
            reserved -= blocks[i].bytes;
        }
}

// Returns the bytes at an address; aborts when they are not inside one allocation.
void *fake_memory(const char *call, uint64_t address, size_t bytes) {
    for (int i = 0; i < block_count; i++)
        if (blocks[i].used && address >= (uint64_t)blocks[i].start && address + bytes <= (uint64_t)blocks[i].start + blocks[i].bytes)
            return (void *)address;
    die(call, "outside every allocation");
    return 0;
}
int fake_bound(void) { return current && *current; }

// The driver captures an asynchronous allocation as a node, with which a graph cannot be launched twice. The program must not make one.
int cuMemAllocAsync(uint64_t *address, size_t bytes, void *stream) { ENTER FORBIDDEN (void)stream; return fresh(address, bytes, 1); }
int cuMemAlloc_v2(uint64_t *address, size_t bytes) { ENTER FORBIDDEN return fresh(address, bytes, 0); }
int cuMemFreeAsync(uint64_t address, void *stream) { ENTER FORBIDDEN (void)stream; block_at(__func__, address, 1)->used = 0; return SUCCESS; }
int cuMemFree_v2(uint64_t address) { ENTER FORBIDDEN block_at(__func__, address, 0)->used = 0; trim(); return SUCCESS; }
int cuMemGetInfo_v2(size_t *bytes, size_t *total) { ENTER *total = limit(); *bytes = limit() - reserved; return SUCCESS; }
int cuDeviceGetDefaultMemPool(void **pool, int device) { (void)device; *pool = &threshold; return fails(__func__); }
int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    if (pool != &threshold || attribute != 4) die(__func__, "only the release threshold may be set");
    if ((threshold = *(uint64_t *)value) != UINT64_MAX) die(__func__, "the release threshold must be the maximum");
    return fails(__func__);
}
int cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
    uint64_t used = 0;
    for (int i = 0; i < block_count; i++) used += blocks[i].used && blocks[i].async ? blocks[i].bytes : 0;
    if (pool != &threshold) die(__func__, "unknown pool");
    if (attribute != 5 && attribute != 7) return INVALID_VALUE;
    *(uint64_t *)value = attribute == 5 ? reserved : used;
    return fails(__func__);
}
int cuMemPoolTrimTo(void *pool, size_t keep) { ENTER if (pool != &threshold || keep) die(__func__, "unknown pool, or not trimmed to 0"); trim(); return SUCCESS; }

static int locked;
int cuMemAllocHost_v2(void **start, size_t bytes) { ENTER locked++; *start = malloc(bytes); return SUCCESS; }
int cuMemFreeHost(void *start) { ENTER locked--; free(start); return SUCCESS; }

// Stream operations. They run when they are submitted.
// A copy from pageable host memory may read its source until the stream is synchronised. The fake copies as late as that.
typedef struct { uint64_t to; const char *from; size_t count; } Late;
static Late late[1024];
static int late_count;
static void catch_up(void) {
    // Operations of a capture do not run.
    if (capture) return;
    for (int i = 0; i < late_count; i++) memcpy((void *)late[i].to, late[i].from, late[i].count);
    late_count = 0;
}

typedef struct { uint64_t to; unsigned value; size_t count; int width; } Set;
static void set(void *data) {
    Set *s = data;
    char *bytes = fake_memory("cuMemset", s->to, s->count * (size_t)s->width);
    for (size_t i = 0; i < s->count; i++) memcpy(bytes + i * (size_t)s->width, &s->value, (size_t)s->width);
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t count, void *stream) {
    ENTER
    if (stream != STREAM) return INVALID_VALUE;
    return fake_submit(set, &(Set){to, value, count, 1}, sizeof(Set));
}
int cuMemsetD16Async(uint64_t to, unsigned short value, size_t count, void *stream) {
    ENTER
    if (stream != STREAM) return INVALID_VALUE;
    return fake_submit(set, &(Set){to, value, count, 2}, sizeof(Set));
}
int cuMemsetD32Async(uint64_t to, unsigned value, size_t count, void *stream) {
    ENTER
    if (stream != STREAM) return INVALID_VALUE;
    return fake_submit(set, &(Set){to, value, count, 4}, sizeof(Set));
}
typedef struct { uint64_t to, from; size_t count; } Copy;
static void copy(void *data) {
    Copy *c = data;
    memcpy(fake_memory("cuMemcpyDtoD", c->to, c->count), fake_memory("cuMemcpyDtoD", c->from, c->count), c->count);
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t count, void *stream) {
    ENTER
    if (stream != STREAM) return INVALID_VALUE;
    return fake_submit(copy, &(Copy){to, from, count}, sizeof(Copy));
}
// The driver captures copies of the host, too. The program must not make any: a graph would read the same host memory again.
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t count, void *stream) { ENTER FORBIDDEN (void)stream; catch_up(); memcpy(to, fake_memory(__func__, from, count), count); return SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t count, void *stream) {
    ENTER
    FORBIDDEN
    (void)stream;
    fake_memory(__func__, to, count);
    if (late_count == 1024) die(__func__, "too many copies");
    late[late_count++] = (Late){to, from, count};
    return SUCCESS;
}
void fake_catch_up(void) { catch_up(); }

// Device, context, stream.
int cuInit(unsigned flags) {
    // FAKE_LOADING is the way of loading kernels that the program must have chosen by now.
    const char *expected = getenv("FAKE_LOADING"), *loading = getenv("CUDA_MODULE_LOADING");
    if (expected && (!loading || strcmp(expected, loading))) die(__func__, "CUDA_MODULE_LOADING is not as expected");
    if (flags) return INVALID_VALUE;
    return setting("FAKE_DEVICES", 1) ? fails(__func__) : NO_DEVICE;
}
int cuDriverGetVersion(int *version) { *version = (int)setting("FAKE_VERSION", 13000); return fails(__func__); }
int cuDeviceGetCount(int *count) { *count = (int)setting("FAKE_DEVICES", 1); return fails(__func__); }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 7; return fails(__func__); }
int cuDeviceGetName(char *name, int length, int device) { if (device < 7) return INVALID_VALUE; snprintf(name, (size_t)length, "Fake GPU %d", device - 7); return fails(__func__); }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device < 7) return INVALID_VALUE;
    int capability = (int)setting("FAKE_CAPABILITY", 90);
    switch (attribute) {
    case 16: *value = 132; break;
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    case 97: *value = 227 << 10; break;
    case 115: *value = (int)setting("FAKE_POOLS", 1); break;
    default: return INVALID_VALUE;
    }
    return fails(__func__);
}
int cuDevicePrimaryCtxRetain(void **handle, int device) { if (device < 7) return INVALID_VALUE; *handle = &retained[device - 7]; retained[device - 7]++; return fails(__func__); }
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (device < 7 || !retained[device - 7]) die(__func__, "not retained");
    retained[device - 7]--;
    for (int i = 0; i < 8; i++) if (retained[i]) return SUCCESS;
    for (int i = 0; i < block_count && !sticky; i++) if (blocks[i].used) die(__func__, "memory was leaked");
    for (int i = 0; i < 8 && !sticky; i++) if (streams[i]) die(__func__, "a stream was leaked");
    if (!sticky && (locked || modules || graphs || fake_library_handles)) die(__func__, "a resource was leaked");
    return sticky;
}
int cuCtxSetCurrent(void *handle) { if (!*(int *)handle) return 201; current = handle; return fails(__func__); }
int cuStreamCreate(void **stream, unsigned flags) { ENTER if (flags != 1) return INVALID_VALUE; ++*STREAM; *stream = STREAM; return SUCCESS; }
int cuStreamDestroy_v2(void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; --*STREAM; return SUCCESS; }
int cuStreamSynchronize(void *stream) { ENTER FORBIDDEN if (stream != STREAM) return INVALID_VALUE; catch_up(); return SUCCESS; }
int cuStreamQuery(void *stream) { ENTER FORBIDDEN if (stream != STREAM) return INVALID_VALUE; return NOT_READY; }

int cuStreamBeginCapture_v2(void *stream, int mode) {
    ENTER
    if (stream != STREAM) return INVALID_VALUE;
    if (mode != 1) die(__func__, "the mode must be that of a thread");
    if (capture) return ILLEGAL_STATE;
    capture = calloc(1, sizeof *capture);
    graphs++;
    invalidated = 0;
    return SUCCESS;
}
int cuStreamEndCapture(void *stream, Graph **graph) {
    int status = enter(__func__);
    if (stream != STREAM) return INVALID_VALUE;
    if (!capture) return ILLEGAL_STATE;
    if (!status && invalidated) status = CAPTURE_INVALIDATED;
    *graph = status ? 0 : capture;
    if (status) discard(capture);
    capture = 0;
    return status;
}
int cuGraphInstantiateWithFlags(Graph **handle, Graph *graph, unsigned long long flags) { ENTER if (flags || !graph) return INVALID_VALUE; *handle = copy_of(graph); return SUCCESS; }
int cuGraphDestroy(Graph *graph) { ENTER discard(graph); return SUCCESS; }
int cuGraphExecDestroy(Graph *handle) { ENTER discard(handle); return SUCCESS; }
int cuGraphLaunch(Graph *handle, void *stream) {
    ENTER
    FORBIDDEN
    if (stream != STREAM) return INVALID_VALUE;
    catch_up();
    for (int i = 0; i < handle->count; i++) handle->nodes[i].run(handle->nodes[i].data);
    return SUCCESS;
}

int cuGetErrorName(int code, const char **text) { *text = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == INVALID_PTX ? "CUDA_ERROR_INVALID_PTX" : 0; return *text ? SUCCESS : INVALID_VALUE; }
int cuGetErrorString(int code, const char **text) { *text = code == 700 ? "an illegal memory access was encountered" : 0; return *text ? SUCCESS : INVALID_VALUE; }

// Kernels. The entry points of the tests' modules run the same kernel, (float *x, unsigned n, float value): x[i] += factor * value, where the
// factor is that of the image, `factor N`, or 1. Those of the program compute nothing.
static char *source;
static float factor;
int cuModuleLoadDataEx(void **module, const char *image, unsigned count, const int *options, void **values) {
    ENTER
    if (count != 2 || options[0] != 5 || options[1] != 6) die(__func__, "expected the two error log options");
    if (strstr(image, "nonsense")) {
        snprintf(values[0], (size_t)values[1], "ptxas application ptx input, line 1; error: nonsense");
        return INVALID_PTX;
    }
    source = strdup(image);
    const char *own = strstr(image, "factor ");
    factor = own ? (float)atof(own + 7) : 1;
    modules++;
    *module = &modules;
    return SUCCESS;
}
int cuModuleUnload(void *module) { ENTER if (module != &modules) return INVALID_VALUE; modules--; return SUCCESS; }
typedef struct { char name[64]; int shared; } Function;
static Function functions[512];
static int function_count;
int cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER
    char text[96];
    snprintf(text, sizeof text, ".entry %s(", name);
    if (module != &modules || !strstr(source, text)) return NOT_FOUND;
    strcpy(functions[function_count].name, name);
    functions[function_count].shared = 48 << 10;
    *function = &functions[function_count++];
    return SUCCESS;
}
int cuFuncGetAttribute(int *value, int attribute, void *function) { ENTER (void)function; *value = attribute == 0 ? 512 : attribute == 1 ? 1024 : -1; return *value < 0 ? INVALID_VALUE : SUCCESS; }
int cuFuncSetAttribute(void *function, int attribute, int value) { ENTER if (attribute != 8 || value + 1024 > 227 << 10) return INVALID_VALUE; ((Function *)function)->shared = value + 1024; return SUCCESS; }
typedef struct { uint64_t to; unsigned count; float value; } Add;
static void add(void *data) {
    Add *a = data;
    float *elements = fake_memory("cuLaunchKernel", a->to, 4 * (size_t)a->count);
    for (size_t i = 0; i < a->count; i++) elements[i] += factor * a->value;
}
static void nothing(void *data) { (void)data; }
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned shared, void *stream, void **arguments, void **extra) {
    ENTER
    if (stream != STREAM || extra || !x || !y || !z || !tx || ty != 1 || tz != 1) return INVALID_VALUE;
    if ((int)shared + 1024 > ((Function *)function)->shared || tx > 512) return INVALID_VALUE;
    const char *name = ((Function *)function)->name;
    if (strcmp(name, "add_value") && strcmp(name, "attention_add")) return fake_submit(nothing, "", 1);
    return fake_submit(add, &(Add){*(uint64_t *)arguments[0], *(unsigned *)arguments[1], *(float *)arguments[2]}, sizeof(Add));
}
