// A driver without a GPU, for tests: its device memory is the host's, its work is done at once or recorded, and it ends the program where
// a call breaks the driver's rules: no context bound, memory that is not there, things left behind when the context goes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_PTX = 218, NOT_FOUND = 500, CAPTURE = 900 };

static void die(const char *call, const char *why) {
    fprintf(stderr, "pretend driver: %s: %s\n", call, why);
    abort();
}

static long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text ? atoll(text) : otherwise;
}

static int sticky;

// PRETEND_FAIL=function:code:n makes the n-th call of a function fail; from 700 on, all that follow, too.
static int fails(const char *call) {
    static char name[64];
    static int code, after = -1;
    if (sticky) return sticky;
    const char *text = getenv("PRETEND_FAIL");
    if (!text) return SUCCESS;
    if (after < 0 && sscanf(text, "%63[^:]:%d:%d", name, &code, &after) != 3) die(call, "PRETEND_FAIL is wrong");
    if (strcmp(name, call) || --after) return SUCCESS;
    if (code >= 700) sticky = code;
    return code;
}

// A context for each GPU, of which a thread has one at a time.
static int retained[8], streams[8], modules, executables, capturing, recorded_graphs;
static __thread int *current;
int pretend_library_handles;

static int enter(const char *call) {
    if (!current || !*current) die(call, "no context is bound");
    return fails(call);
}
#define STREAM (&streams[current - retained])
#define ENTER { int status = enter(__func__); if (status) return status; }

// Memory.
typedef struct { char *start; size_t bytes; int used, async; } Block;
static Block blocks[4096];
static int block_count;
static size_t reserved, threshold;

static size_t limit(void) { return (size_t)setting("PRETEND_MEMORY", 1ll << 30); }

static int fresh(uint64_t *address, size_t bytes, int async) {
    if (!bytes) return INVALID_VALUE;
    for (int i = 0; async && i < block_count; i++)
        if (!blocks[i].used && blocks[i].start && blocks[i].bytes == bytes && blocks[i].async) {
            blocks[i].used = 1;
            *address = (uint64_t)blocks[i].start;
            return SUCCESS;
        }
    if (reserved + bytes > limit()) return OUT_OF_MEMORY;
    if (block_count == 4096) die("cuMemAlloc", "too many blocks");
    char *start = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(start, 0xff, bytes);
    blocks[block_count++] = (Block){start, bytes, 1, async};
    reserved += bytes;
    *address = (uint64_t)start;
    return SUCCESS;
}

static Block *block_at(const char *call, uint64_t address, int async) {
    for (int i = 0; i < block_count; i++)
        if ((uint64_t)blocks[i].start == address && address && blocks[i].used && blocks[i].async == async) return &blocks[i];
    die(call, "there is no such memory");
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

// Ends the program unless so many bytes are there.
void *pretend_memory(const char *call, uint64_t address, size_t bytes) {
    for (int i = 0; i < block_count; i++)
        if (blocks[i].used && address >= (uint64_t)blocks[i].start && address + bytes <= (uint64_t)blocks[i].start + blocks[i].bytes)
            return (void *)address;
    die(call, "outside of all memory");
    return 0;
}
int pretend_bound(void) { return current && *current; }

int cuMemAllocAsync(uint64_t *address, size_t bytes, void *stream) { ENTER if (capturing) die(__func__, "recording"); (void)stream; return fresh(address, bytes, 1); }
int cuMemAlloc_v2(uint64_t *address, size_t bytes) { ENTER return fresh(address, bytes, 0); }
int cuMemFreeAsync(uint64_t address, void *stream) { ENTER if (capturing) die(__func__, "recording"); (void)stream; block_at(__func__, address, 1)->used = 0; return SUCCESS; }
int cuMemFree_v2(uint64_t address) { ENTER block_at(__func__, address, 0)->used = 0; trim(); return SUCCESS; }
int cuMemGetInfo_v2(size_t *bytes, size_t *total) { ENTER *total = limit(); *bytes = limit() - reserved; return SUCCESS; }
int cuDeviceGetDefaultMemPool(void **pool, int device) { (void)device; *pool = &threshold; return fails(__func__); }
int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    if (pool != &threshold || attribute != 4) die(__func__, "not the pool's threshold");
    if ((threshold = *(uint64_t *)value) != UINT64_MAX) die(__func__, "it gives memory back too soon");
    return fails(__func__);
}
int cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
    uint64_t used = 0;
    for (int i = 0; i < block_count; i++) used += blocks[i].used && blocks[i].async ? blocks[i].bytes : 0;
    if (pool != &threshold) die(__func__, "no pool");
    if (attribute != 5 && attribute != 7) return INVALID_VALUE;
    *(uint64_t *)value = attribute == 5 ? reserved : used;
    return fails(__func__);
}
int cuMemPoolTrimTo(void *pool, size_t keep) { ENTER if (pool != &threshold || keep) die(__func__, "not the pool"); trim(); return SUCCESS; }

static int locked;
int cuMemAllocHost_v2(void **start, size_t bytes) { ENTER locked++; *start = malloc(bytes); return SUCCESS; }
int cuMemFreeHost(void *start) { ENTER locked--; free(start); return SUCCESS; }

// Work: done, or kept for a graph.
typedef struct { int kind; uint64_t to, from; size_t count; unsigned value; float number; unsigned blocks[3], threads, shared; } Work;
typedef struct { Work work[256]; int count; } Graph;
static Graph *recording;

// Copies from host memory that is not page-locked may read it until the stream is waited for: they do so then.
typedef struct { uint64_t to; const char *from; size_t count; } Late;
static Late late[1024];
static int late_count;
static void catch_up(void) {
    for (int i = 0; i < late_count; i++) memcpy((void *)late[i].to, late[i].from, late[i].count);
    late_count = 0;
}

enum { SET8, SET16, SET32, COPY, ADD_NUMBER };
static int launches;
static void perform(Work w) {
    catch_up();
    switch (w.kind) {
    case SET8: memset(pretend_memory("cuMemsetD8Async", w.to, w.count), (int)w.value, w.count); break;
    case SET16: for (size_t i = 0; i < w.count; i++) ((uint16_t *)pretend_memory("cuMemsetD16Async", w.to, 2 * w.count))[i] = (uint16_t)w.value; break;
    case SET32: for (size_t i = 0; i < w.count; i++) ((uint32_t *)pretend_memory("cuMemsetD32Async", w.to, 4 * w.count))[i] = w.value; break;
    case COPY: memcpy(pretend_memory("cuMemcpyDtoDAsync", w.to, w.count), pretend_memory("cuMemcpyDtoDAsync", w.from, w.count), w.count); break;
    case ADD_NUMBER: launches++; for (size_t i = 0; i < w.count; i++) ((float *)pretend_memory("add_number", w.to, 4 * w.count))[i] += w.number; break;
    }
}
static int work(Work w) {
    if (!capturing) perform(w);
    else if (recording->count == 256) die("work", "too much");
    else recording->work[recording->count++] = w;
    return SUCCESS;
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t count, void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; return work((Work){SET8, to, 0, count, value, 0, {0}, 0, 0}); }
int cuMemsetD16Async(uint64_t to, unsigned short value, size_t count, void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; return work((Work){SET16, to, 0, count, value, 0, {0}, 0, 0}); }
int cuMemsetD32Async(uint64_t to, unsigned value, size_t count, void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; return work((Work){SET32, to, 0, count, value, 0, {0}, 0, 0}); }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t count, void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; return work((Work){COPY, to, from, count, 0, 0, {0}, 0, 0}); }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t count, void *stream) { ENTER (void)stream; if (capturing) die(__func__, "recording"); catch_up(); memcpy(to, pretend_memory(__func__, from, count), count); return SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t count, void *stream) {
    ENTER
    (void)stream;
    if (capturing) die(__func__, "recording");
    pretend_memory(__func__, to, count);
    if (late_count == 1024) die(__func__, "too many copies");
    late[late_count++] = (Late){to, from, count};
    return SUCCESS;
}
void pretend_catch_up(void) { catch_up(); }

// Device, context, stream.
int cuInit(unsigned flags) { if (flags) return INVALID_VALUE; return setting("PRETEND_DEVICES", 1) ? fails(__func__) : NO_DEVICE; }
int cuDriverGetVersion(int *version) { *version = (int)setting("PRETEND_VERSION", 13000); return fails(__func__); }
int cuDeviceGetCount(int *count) { *count = (int)setting("PRETEND_DEVICES", 1); return fails(__func__); }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 7; return fails(__func__); }
int cuDeviceGetName(char *name, int length, int device) { if (device < 7) return INVALID_VALUE; snprintf(name, (size_t)length, "Pretend GPU %d", device - 7); return fails(__func__); }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device < 7) return INVALID_VALUE;
    int capability = (int)setting("PRETEND_CAPABILITY", 90);
    switch (attribute) {
    case 16: *value = 132; break;
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    case 97: *value = 227 << 10; break;
    case 115: *value = (int)setting("PRETEND_POOLS", 1); break;
    default: return INVALID_VALUE;
    }
    return fails(__func__);
}
int cuDevicePrimaryCtxRetain(void **handle, int device) { if (device < 7) return INVALID_VALUE; *handle = &retained[device - 7]; retained[device - 7]++; return fails(__func__); }
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (device < 7 || !retained[device - 7]) die(__func__, "not retained");
    retained[device - 7]--;
    for (int i = 0; i < 8; i++) if (retained[i]) return SUCCESS;
    for (int i = 0; i < block_count && !sticky; i++) if (blocks[i].used) die(__func__, "memory was left behind");
    for (int i = 0; i < 8 && !sticky; i++) if (streams[i]) die(__func__, "a stream was left behind");
    if (!sticky && (locked || modules || executables || recorded_graphs || pretend_library_handles)) die(__func__, "something was left behind");
    return sticky;
}
int cuCtxSetCurrent(void *handle) { if (!*(int *)handle) return 201; current = handle; return fails(__func__); }
int cuStreamCreate(void **stream, unsigned flags) { ENTER if (flags != 1) return INVALID_VALUE; ++*STREAM; *stream = STREAM; return SUCCESS; }
int cuStreamDestroy_v2(void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; --*STREAM; return SUCCESS; }
int cuStreamSynchronize(void *stream) { ENTER if (stream != STREAM || capturing) return capturing ? CAPTURE : INVALID_VALUE; catch_up(); return SUCCESS; }
int cuStreamQuery(void *stream) { ENTER if (stream != STREAM || capturing) return capturing ? CAPTURE : INVALID_VALUE; return 600; }
int cuGetErrorName(int code, const char **text) { *text = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == INVALID_PTX ? "CUDA_ERROR_INVALID_PTX" : 0; return *text ? SUCCESS : INVALID_VALUE; }
int cuGetErrorString(int code, const char **text) { *text = code == 700 ? "an illegal memory access was encountered" : 0; return *text ? SUCCESS : INVALID_VALUE; }

// Kernels: two names of one kernel, (float *x, unsigned n, float number): x += number.
static char *source;
int cuModuleLoadDataEx(void **module, const char *image, unsigned count, const int *options, void **values) {
    ENTER
    if (count != 2 || options[0] != 5 || options[1] != 6) die(__func__, "options are not those of a log");
    if (strstr(image, "nonsense")) {
        snprintf(values[0], (size_t)values[1], "ptxas application ptx input, line 1; error: nonsense");
        return INVALID_PTX;
    }
    source = strdup(image);
    modules++;
    *module = &modules;
    return SUCCESS;
}
int cuModuleUnload(void *module) { ENTER if (module != &modules) return INVALID_VALUE; modules--; return SUCCESS; }
typedef struct { char name[64]; int shared; } Function;
static Function functions[16];
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
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned shared, void *stream, void **arguments, void **extra) {
    ENTER
    if (stream != STREAM || extra || !x || !y || !z || !tx || ty != 1 || tz != 1) return INVALID_VALUE;
    if ((int)shared + 1024 > ((Function *)function)->shared || tx > 512) return INVALID_VALUE;
    return work((Work){ADD_NUMBER, *(uint64_t *)arguments[0], 0, *(unsigned *)arguments[1], 0, *(float *)arguments[2], {x, y, z}, tx, shared});
}

// Graphs.
int cuStreamBeginCapture_v2(void *stream, int mode) { ENTER if (stream != STREAM || mode != 2 || capturing) return INVALID_VALUE; capturing = 1; recording = calloc(1, sizeof(Graph)); recorded_graphs++; return SUCCESS; }
int cuStreamEndCapture(void *stream, void **graph) { ENTER if (stream != STREAM || !capturing) return INVALID_VALUE; capturing = 0; *graph = recording; return SUCCESS; }
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) { ENTER if (flags) return INVALID_VALUE; *executable = malloc(sizeof(Graph)); memcpy(*executable, graph, sizeof(Graph)); executables++; return SUCCESS; }
int cuGraphDestroy(void *graph) { ENTER free(graph); recorded_graphs--; return SUCCESS; }
int cuGraphExecDestroy(void *executable) { ENTER free(executable); executables--; return SUCCESS; }
int cuGraphLaunch(void *executable, void *stream) { ENTER if (stream != STREAM) return INVALID_VALUE; for (int i = 0; i < ((Graph *)executable)->count; i++) perform(((Graph *)executable)->work[i]); return SUCCESS; }
